"""
Tests for L{siger.http.json_body}.
"""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from siger.http.json_body import MAX_DEPTH, JsonError, is_json, read_json

_VALUES = some.recursive(
    some.none()
    | some.booleans()
    | some.text()
    | some.integers(-(2**63), 2**63)
    | some.floats(allow_nan=False).filter(math.isfinite),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=20,
)


class ReadJsonTests(SynchronousTestCase):
    """
    Tests for L{read_json}.
    """

    def assert_refused(self, content: bytes, words: str, max_depth: int = MAX_DEPTH) -> None:
        """
        The body is refused, in these words.
        """
        error = self.assertRaises(JsonError, read_json, content, max_depth)
        self.assertEqual(str(error), words)

    def test_object(self) -> None:
        """
        An object is read.
        """
        self.assertEqual(
            read_json(b' {"a": "\xc3\xa9", "b": [1, 2.5, null, true]}\n'), {"a": "é", "b": [1, 2.5, None, True]}
        )

    @given(some.dictionaries(some.text(), _VALUES))
    def test_everything_that_json_can_say(self, document: dict[str, object]) -> None:
        """
        Every object of JSON is read as it was written.
        """
        self.assertEqual(read_json(json.dumps(document, ensure_ascii=False).encode()), document)

    @given(some.binary(max_size=40) | some.text('[]{}",:0123456789eE+-.nulltruefalse \\', max_size=40).map(str.encode))
    def test_nothing_else(self, content: bytes) -> None:
        """
        Row F10: whatever is sent is read or refused; nothing else ever happens.
        """
        try:
            self.assertIsInstance(read_json(content), dict)
        except JsonError as error:
            self.assertTrue(str(error))

    def test_not_json(self) -> None:
        """
        Row F10: what is not JSON is refused, and what only some parsers take for it too.
        """
        for content in (
            *(b"", b"{", b"{}}", b"a=1", b"{'a': 1}", b'{"a": 1,}', b'{"a": 01}', b'{"a": +1}', b"\xef\xbb\xbf{}"),
            *(b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a": 1e999}', b'{"a": -1e999}'),
            *(b'{"a": "\xff"}', b'{"a": "\\ud800"}', b'{"a": "\n"}', b"{}\x00", '{"a": 1}'.encode("utf-16")),
        ):
            self.assert_refused(content, "The body is not a JSON document in UTF-8.")

    def test_not_an_object(self) -> None:
        """
        Other documents than objects are refused.
        """
        for content in (b"[]", b'"a"', b"1", b"null", b"true"):
            self.assert_refused(content, "The body is not a JSON object.")

    def test_same_name_twice(self) -> None:
        """
        Row F10: an object with two members of one name is refused, wherever it is and however the names are written.
        """
        for content in (
            b'{"a": 1, "a": 1}',
            b'{"a": 1, "b": 2, "\\u0061": 3}',
            b'{"a": [{"b": 1, "b": 2}]}',
            b'{"a": {"b": 1, "b": 2}, "a": 1}',
            b'{"a": ' + b"[" * 1000 + b"]" * 1000 + b', "a": 1}',
        ):
            self.assert_refused(content, "An object in the body has two members of the same name.")

    def test_depth(self) -> None:
        """
        Row F10: what is too deep is refused; a hundred thousand brackets are.
        """
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            inner = opening * (MAX_DEPTH - 1) + b"1" + closing * (MAX_DEPTH - 1)
            self.assertIn("a", read_json(b'{"a":' + inner + b"}"))
            self.assert_refused(b'{"a":' + opening + inner + closing + b"}", "The body is nested too deeply.")
        self.assert_refused(b'{"a":' + b"[" * 100_000, "The body is not a JSON document in UTF-8.")
        self.assert_refused(b'{"a": []}', "The body is nested too deeply.", 1)

    def test_brackets_in_strings(self) -> None:
        """
        Brackets in strings and those side by side do not make a body deep.
        """
        self.assertEqual(read_json(b'{"a": "' + b"[" * 100 + b'"}', 1), {"a": "[" * 100})
        self.assertEqual(len(read_json(b'{"a": [' + b"[]," * 100 + b"[]]}", 3)["a"]), 101)

    def test_integers(self) -> None:
        """
        Row F10: integers have up to 63 bits and a sign; longer ones are refused, whatever they cost to convert.
        """
        for number in (0, 10**18, 2**63, -(2**63)):
            self.assertEqual(read_json(b'{"a": %d}' % number), {"a": number})
        for digits in (b"9223372036854775809", b"-9223372036854775809", b"1" + b"0" * 200):
            self.assert_refused(b'{"a": %b}' % digits, "The body has an integer of more than 64 bits.")
        self.assertRaises(JsonError, read_json, b'{"a": ' + b"9" * 1_000_000 + b"}")

    def test_digits_in_strings(self) -> None:
        """
        Digits in a string are no integer.
        """
        self.assertEqual(read_json(b'{"a": "' + b"9" * 30 + b'", "b": 7}'), {"a": "9" * 30, "b": 7})


class IsJsonTests(SynchronousTestCase):
    """
    Tests for L{is_json}.
    """

    def test_types(self) -> None:
        """
        A body is tried when it is said to be JSON, when nothing is said, and when a client says what it always says.
        """
        for content_type in (
            *(None, b"application/json", b"Application/JSON ; charset=utf-8", b"application/merge-patch+json"),
            *(b"application/x-www-form-urlencoded", b"text/plain;charset=UTF-8", b"text/json"),
        ):
            self.assertTrue(is_json(content_type), content_type)

    def test_other_types(self) -> None:
        """
        A body that is said to be something else is not.
        """
        for content_type in (
            *(
                b"multipart/form-data; boundary=json",
                b"text/html",
                b"application/xml",
                b"image/svg+xml",
                b"text/x+json",
            ),
            *(b"application/jsonp", b"", b"json"),
        ):
            self.assertFalse(is_json(content_type), content_type)
