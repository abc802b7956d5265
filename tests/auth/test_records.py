"""
Tests for L{siger.auth.records} and L{siger.auth.errors}.
"""

from __future__ import annotations

import orjson
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.errors import FieldError, FieldErrors
from siger.auth.records import BrokenRecordError, User, check_role, decode, encode, timestamp

HASH = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
BOB = User("17", "bob", "user", HASH, False, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", 1767225600)


class RecordTests(SynchronousTestCase):
    """
    Tests for L{encode} and L{decode}.
    """

    def broken(self, value: bytes, key: str = "bob") -> str:
        """
        Why a record is refused.
        """
        return str(self.assertRaises(BrokenRecordError, decode, key, value))

    def test_round_trip(self) -> None:
        """
        What was written can be read.
        """
        self.assertEqual(decode("bob", encode(BOB)), BOB)
        other = evolve(BOB, disabled=True, role="admin", tokens_valid_from=0)
        self.assertEqual(decode("bob", encode(other)), other)

    def test_fields(self) -> None:
        """
        A record is one JSON object with the fields of a user, and no more.
        """
        self.assertEqual(
            orjson.loads(encode(BOB)),
            {
                "id": "17",
                "username": "bob",
                "role": "user",
                "password_hash": HASH,
                "disabled": False,
                "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-02T00:00:00Z",
                "tokens_valid_from": 1767225600,
            },
        )

    def test_later_versions(self) -> None:
        """
        Fields that a later version writes are passed over.
        """
        self.assertEqual(decode("bob", orjson.dumps({**orjson.loads(encode(BOB)), "email": None})), BOB)

    def test_missing_or_odd(self) -> None:
        """
        Every field must be there, and of its kind: a number is no flag, and a flag is no number.
        """
        good = orjson.loads(encode(BOB))
        for name in good:
            self.assertIn(name, self.broken(orjson.dumps({key: value for key, value in good.items() if key != name})))
            for odd in (None, 1.5, [], {}, ["x"]):
                self.assertIn(name, self.broken(orjson.dumps({**good, name: odd})))
        self.assertIn("disabled", self.broken(orjson.dumps({**good, "disabled": 0})))
        self.assertIn("tokens_valid_from", self.broken(orjson.dumps({**good, "tokens_valid_from": True})))

    def test_under_another_name(self) -> None:
        """
        Row H14: a record that lies under another name, or one that is not canonical, is nobody's.
        """
        self.assertIn("somebody else", self.broken(encode(BOB), "eve"))
        self.assertIn("somebody else", self.broken(encode(evolve(BOB, username="Bob")), "Bob"))

    def test_hash(self) -> None:
        """
        Row H15: a record with a password in place of a hash, or with a hash that would take hours, is refused.
        """
        for odd in ("", "user123", HASH.replace("argon2id", "argon2d"), HASH.replace("t=2", "t=999")):
            self.broken(encode(evolve(BOB, password_hash=odd)))

    def test_no_json(self) -> None:
        """
        So is what is no JSON object.
        """
        for value in (b"", b"{", b"[]", b"null", b"17", b'"bob"', b"\xff", b"[" * 100_000, encode(BOB) + b"}"):
            self.broken(value)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, value: bytes) -> None:
        """
        Whatever lies in the store, reading it ends with a user or as a broken record.
        """
        self.broken(value)

    def test_repr(self) -> None:
        """
        Row H15: a user can be logged without its hash.
        """
        self.assertNotIn("argon2", repr(BOB))
        self.assertIn("bob", repr(BOB))


class RoleTests(SynchronousTestCase):
    """
    Tests for L{check_role}.
    """

    def test_known(self) -> None:
        """
        Row H13: of the roles that there are each is one, exactly as it is written.
        """
        roles = frozenset(("user", "admin"))
        self.assertEqual(check_role("admin", roles), "admin")
        for role in ("Admin", "admin ", "root", "", "user,admin"):
            error = self.assertRaises(FieldError, check_role, role, roles)
            self.assertEqual(error.pointer, "#/role")

    def test_form(self) -> None:
        """
        Where any role is one, it is a short word that fits in a header.
        """
        self.assertEqual(check_role("gpu_owner-2"), "gpu_owner-2")
        for role in ("", "-x", "a,b", "a b", "a\r\nb", "\u00fc", "a" * 65, "user\n"):
            self.assertRaises(FieldError, check_role, role)


class TimestampTests(SynchronousTestCase):
    """
    Tests for L{timestamp}.
    """

    def test_form(self) -> None:
        """
        RFC 3339 in UTC, to the second that has begun.
        """
        self.assertEqual(timestamp(0), "1970-01-01T00:00:00Z")
        self.assertEqual(timestamp(1767225599.999), "2025-12-31T23:59:59Z")


class FieldErrorTests(SynchronousTestCase):
    """
    Tests for L{FieldError} and L{FieldErrors}.
    """

    def test_pointer(self) -> None:
        """
        A field is named by a JSON pointer, with what is special there escaped.
        """
        self.assertEqual([FieldError(name, "x").pointer for name in ("role", "a/b~c")], ["#/role", "#/a~1b~0c"])

    def test_all(self) -> None:
        """
        Several keep their order and say everything.
        """
        errors = FieldErrors([FieldError("username", "is odd"), FieldError("password", "is short")])
        self.assertEqual([error.field for error in errors.errors], ["username", "password"])
        self.assertEqual(str(errors), "username is odd; password is short")
