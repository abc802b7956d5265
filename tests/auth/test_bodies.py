"""
Tests for L{siger.auth.bodies}.
"""

from __future__ import annotations

import orjson
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.bodies import BodyError, MediaTypeError, read_fields
from siger.auth.errors import FieldErrors

JSON = b"application/json"


class ReadFieldsTests(SynchronousTestCase):
    """
    Tests for L{read_fields}.
    """

    def read(self, content: bytes, content_type: bytes | None = JSON) -> dict[str, str]:
        """
        Read a form with two fields that are needed and one that is not.
        """
        return read_fields(content_type, content, ("name", "word"), ("role",))

    def faults(self, content: bytes) -> list[tuple[str, str]]:
        """
        What is wrong with the fields.
        """
        errors = self.assertRaises(FieldErrors, self.read, content).errors
        return [(error.pointer, error.message) for error in errors]

    def test_fields(self) -> None:
        """
        Fields are read, with or without those that may be missing.
        """
        self.assertEqual(self.read(b'{"name": "a", "word": ""}'), {"name": "a", "word": ""})
        whole = {"role": "c", "word": "[{\u2028", "name": "é"}
        self.assertEqual(self.read(orjson.dumps(whole)), whole)

    def test_all_faults_at_once(self) -> None:
        """
        All fields that are missing or no strings are named.
        """
        self.assertEqual(self.faults(b"{}"), [("#/name", "is missing"), ("#/word", "is missing")])
        for value in (b"null", b"1", b"true", b'["a"]', b'{"a": "b"}'):
            self.assertEqual(
                self.faults(b'{"word": "x", "role": %b}' % value),
                [("#/name", "is missing"), ("#/role", "must be a string")],
            )

    def test_other_members(self) -> None:
        """
        Row H13: members that mean nothing here are refused, and are not repeated in the refusal.
        """
        for name in ("id", "is_admin", "isAdmin", "Role", "roles", "user_id", "", "<b>"):
            content = orjson.dumps({"name": "a", "word": "b", name: "admin"})
            error = self.assertRaises(BodyError, self.read, content)
            self.assertEqual(str(error), "The body has members other than name, word, role.")

    def test_no_object(self) -> None:
        """
        Row F10: what is no JSON object, is deep, or says something twice is refused.
        """
        for content in (
            *(b"", b"[]", b"name=a&word=b", b'{"name": "a"', b'{"name": NaN}', b"[" * 100_000),
            *(b'{"name": [[]], "word": "b"}', b'{"name": "a", "name": "b", "word": "c"}'),
        ):
            self.assertRaises(BodyError, self.read, content)

    def test_content_type(self) -> None:
        """
        JSON is read whether it is called JSON, nothing, or what clients call everything; a body that is called
        something else is not.
        """
        content = b'{"name": "a", "word": "b"}'
        for good in (None, b"application/json; charset=utf-8", b"application/x-www-form-urlencoded", b"text/plain"):
            self.assertEqual(self.read(content, good)["name"], "a")
        for bad in (b"multipart/form-data; boundary=x", b"application/xml", b"text/html"):
            self.assertRaises(MediaTypeError, self.read, content, bad)
