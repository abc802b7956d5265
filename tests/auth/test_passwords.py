"""
Tests for L{siger.auth.passwords}.
"""

from __future__ import annotations

import unicodedata

import argon2
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.errors import BusyError, FieldError
from siger.auth.passwords import Cost, Hasher, check_password, prepare
from tests.auth.accounts import CHEAP, ManualRunner, cheap_hasher


class PrepareTests(SynchronousTestCase):
    """
    Tests for L{prepare}.
    """

    def refused(self, password: str) -> str:
        """
        The rule that a password breaks.
        """
        error = self.assertRaises(FieldError, prepare, password)
        self.assertEqual(error.field, "password")
        return error.message

    def test_text(self) -> None:
        """
        A password is its UTF-8 bytes; letters keep their case, and spaces stay where they are.
        """
        self.assertEqual(prepare(" Pass w\xf6rd \U0001f511"), " Pass w\xf6rd \U0001f511".encode())

    def test_same_for_other_keyboards(self) -> None:
        """
        Composed and decomposed characters are one, and spaces of all kinds are.
        """
        self.assertEqual(prepare("cafe\u0301 noir"), prepare("caf\xe9\u00a0noir"))
        self.assertEqual(prepare("a\u2003b\u3000c"), b"a b c")
        self.assertNotEqual(prepare("\uff41bc"), prepare("abc"))

    def test_control_characters(self) -> None:
        """
        Row H10: control characters are refused, NUL first of all, and lone surrogates.
        """
        for character in "\x00\x07\t\n\r\x1b\x7f\x85\ud800\udfff":
            self.assertIn("control", self.refused(f"correct{character}horse"))

    def test_characters(self) -> None:
        """
        Row H10: 128 characters are allowed, as they are counted after NFC, and 129 are not.
        """
        self.assertEqual(len(prepare("x" * 128)), 128)
        self.assertEqual(len(prepare("e\u0301" * 128)), 256)
        self.assertEqual(len(prepare("\u1112\u1161\u11ab" * 128)), 384)
        for password in ("x" * 129, "e\u0301" * 129, "\u1112\u1161\u11ab" * 129):
            self.assertIn("128 characters", self.refused(password))

    def test_bytes(self) -> None:
        """
        Row H10: 128 characters of four bytes each are the most that there can be.
        """
        self.assertEqual(len(prepare("\U0001f511" * 128)), 512)

    def test_megabyte(self) -> None:
        """
        Row H10: a megabyte is refused for its length alone: it is neither normalised nor looked through.
        """

        class Text(str):
            def __iter__(self) -> object:  # type: ignore[override]
                raise AssertionError("looked through")

        self.assertIn("128 characters", self.refused(Text("e\u0301" * 500_000)))

    @given(st.text(max_size=400))
    def test_any_text(self, password: str) -> None:
        """
        Row H10: whatever is given comes to at most 512 bytes, the same in every normal form; or it is refused.
        """
        try:
            data = prepare(password)
        except FieldError:
            return
        self.assertLessEqual(len(data), 512)
        for form in ("NFC", "NFD"):
            self.assertEqual(prepare(unicodedata.normalize(form, password)), data)


class CheckPasswordTests(SynchronousTestCase):
    """
    Tests for L{check_password}.
    """

    def refused(self, password: str, username: str = "bob") -> str:
        """
        The rule that a password breaks.
        """
        error = self.assertRaises(FieldError, check_password, password, username)
        self.assertEqual(error.pointer, "#/password")
        self.assertNotIn(password or "x", str(error))
        return error.message

    def test_length(self) -> None:
        """
        Row H10: fewer than 8 characters and more than 128 are refused.
        """
        check_password("eight888")
        check_password("\U0001f511" * 8)
        check_password("x" * 128)
        for password in ("", "seven77", "e\u0301" * 7):
            self.assertIn("at least 8", self.refused(password))
        for password in ("x" * 129, "x" * 1_000_000):
            self.assertIn("more than 128", self.refused(password))

    def test_username(self) -> None:
        """
        The username is no password, in capitals neither.
        """
        for password in ("long-username", "Long-USERNAME"):
            self.assertIn("username", self.refused(password, "long-username"))
        check_password("long-username1", "long-username")

    def test_control_characters(self) -> None:
        """
        Row H10: what cannot be hashed is refused here too.
        """
        self.assertIn("control", self.refused("correct\x00horse"))


class CostTests(SynchronousTestCase):
    """
    Tests for L{Cost}.
    """

    def test_default(self) -> None:
        """
        Row H10: by default 19456 KiB, two passes, one lane.
        """
        self.assertEqual(Cost(), Cost(memory=19456, passes=2, lanes=1))

    def test_of(self) -> None:
        """
        It is read from the hash.
        """
        phc = argon2.PasswordHasher(3, 64, 2).hash("correct horse")
        self.assertEqual(Cost.of(phc), Cost(64, 3, 2))

    def test_nonsense(self) -> None:
        """
        What is no argon2id hash has no cost, nor one that would take hours or all memory to verify.
        """
        good = argon2.PasswordHasher(1, 8, 1).hash("correct horse")
        self.assertEqual(Cost.of(good), CHEAP)
        most = good.replace("m=8,t=1,p=1", "m=1048576,t=100,p=16")
        self.assertEqual(Cost.of(most), Cost(1 << 20, 100, 16))
        for phc in (
            "",
            "correct horse",
            good + "$",
            good + "\n",
            good.replace("argon2id", "argon2i"),
            good.replace("v=19", "v=16"),
            good.replace("m=8", "m=08"),
            good.replace("m=8", "m=2097152"),
            good.replace("t=1", "t=101"),
            good.replace("p=1", "p=17"),
            "$2b$12$" + "a" * 53,
        ):
            self.assertRaises(ValueError, Cost.of, phc)

    def test_below(self) -> None:
        """
        Less memory or fewer passes are below, whatever the other is; the number of lanes does not matter.
        """
        cost = Cost(64, 3, 1)
        self.assertTrue(Cost(32, 9, 1).below(cost))
        self.assertTrue(Cost(128, 2, 1).below(cost))
        self.assertFalse(Cost(64, 3, 4).below(cost))
        self.assertFalse(Cost(65, 4, 1).below(cost))


class HasherTests(SynchronousTestCase):
    """
    Tests for L{Hasher}.
    """

    def setUp(self) -> None:
        self.hasher, self.runner = cheap_hasher()

    def test_form(self) -> None:
        """
        Row H10: a hash is an argon2id PHC string of the least cost that OWASP recommends, unless told otherwise, which
        another implementation of the format accepts.
        """
        phc = self.successResultOf(Hasher(None, runner=self.runner).hash("correct horse"))
        self.assertTrue(phc.startswith("$argon2id$v=19$m=19456,t=2,p=1$"), phc)
        self.assertTrue(argon2.PasswordHasher().verify(phc, "correct horse"))
        parameters = argon2.extract_parameters(phc)
        self.assertEqual((parameters.salt_len, parameters.hash_len), (16, 32))

    def test_salt(self) -> None:
        """
        Row H10: every hash has a salt of its own.
        """
        hashes = {self.successResultOf(self.hasher.hash("correct horse")) for _ in range(20)}
        self.assertEqual(len({phc.split("$")[4] for phc in hashes}), 20)

    def test_verify(self) -> None:
        """
        Only the password that was hashed is right.
        """
        phc = self.successResultOf(self.hasher.hash("caf\xe9 noir"))
        self.assertTrue(self.successResultOf(self.hasher.verify(phc, "cafe\u0301\u00a0noir")))
        for password in ("", "caf\xe9 noi", "caf\xe9 noir ", "Caf\xe9 noir", "x" * 128):
            self.assertFalse(self.successResultOf(self.hasher.verify(phc, password)))

    def test_short_ones_verify(self) -> None:
        """
        Rules for new passwords are not asked of those that are in use.
        """
        phc = self.successResultOf(self.hasher.hash("user123"))
        self.assertTrue(self.successResultOf(self.hasher.verify(phc, "user123")))

    def test_verify_by_its_own_cost(self) -> None:
        """
        A hash that was made at another cost is verified at that.
        """
        phc = argon2.PasswordHasher(3, 64, 2).hash("correct horse")
        self.assertTrue(self.successResultOf(self.hasher.verify(phc, "correct horse")))

    def test_nobody(self) -> None:
        """
        Row H11: for nobody a hash is computed like anybody's, and no password is right.
        """
        for password in ("correct horse", "", "x" * 128):
            self.assertFalse(self.successResultOf(self.hasher.verify(None, password)))
        self.assertEqual(self.runner.computed(), ["verify"] * 3)

    def test_nobodys_cost(self) -> None:
        """
        Row H11: the hash that nobody matches has the form and the cost of new ones, so verifying it takes as long; and
        it is another in every process.
        """
        for cost in (Cost(), CHEAP, Cost(64, 3, 2)):
            hasher = Hasher(None, cost=cost, runner=self.runner)
            nobodys = hasher._nobodys.decode()
            somebodys = self.successResultOf(hasher.hash("correct horse"))
            self.assertEqual(argon2.extract_parameters(nobodys), argon2.extract_parameters(somebodys))
            self.assertEqual(len(nobodys), len(somebodys))
            self.assertNotEqual(nobodys, Hasher(None, cost=cost, runner=self.runner)._nobodys.decode())
            self.assertRaises(argon2.exceptions.VerifyMismatchError, argon2.PasswordHasher().verify, nobodys, "x")

    def test_too_long(self) -> None:
        """
        Row H10: nothing is computed for a password that nobody can have; it is wrong for everybody at once.
        """
        phc = self.successResultOf(self.hasher.hash("correct horse"))
        self.runner.computed()
        for password in ("x" * 1_000_000, "correct\x00horse", "\ud800" * 8):
            self.failureResultOf(self.hasher.hash(password), FieldError)
            self.assertFalse(self.successResultOf(self.hasher.verify(phc, password)))
            self.assertFalse(self.successResultOf(self.hasher.verify(None, password)))
        self.assertEqual(self.runner.computed(), [])

    def test_broken_hash(self) -> None:
        """
        A hash that argon2 cannot read is nobody's password, not an error.
        """
        for phc in ("", "nonsense", "$argon2id$v=19$m=8,t=1,p=1$$"):
            self.assertFalse(self.successResultOf(self.hasher.verify(phc, "correct horse")))

    def test_needs_rehash(self) -> None:
        """
        Row H10: a hash that took less than new ones do should be made anew; one that took more should not.
        """
        hasher = Hasher(None, cost=Cost(64, 2, 1), runner=self.runner)
        needs = {
            cost: hasher.needs_rehash(argon2.PasswordHasher(cost[1], cost[0], 1).hash("correct horse"))
            for cost in ((64, 2), (32, 2), (64, 1), (128, 2), (64, 3))
        }
        self.assertEqual(needs, {(64, 2): False, (32, 2): True, (64, 1): True, (128, 2): False, (64, 3): False})

    def test_busy(self) -> None:
        """
        Row H12: when there is no room, hashing and verifying are refused, for nobody as for anybody.
        """
        phc = self.successResultOf(self.hasher.hash("correct horse"))
        self.assertFalse(self.hasher.full)
        self.runner.full = True
        self.assertTrue(self.hasher.full)
        self.failureResultOf(self.hasher.hash("correct horse"), BusyError)
        self.failureResultOf(self.hasher.verify(phc, "correct horse"), BusyError)
        self.failureResultOf(self.hasher.verify(None, "correct horse"), BusyError)

    def test_stop(self) -> None:
        """
        Stopping stops what computes.
        """
        self.successResultOf(self.hasher.stop())
        self.failureResultOf(self.hasher.hash("correct horse"), BusyError)

    def test_secrets_are_not_shown(self) -> None:
        """
        Nothing that is asked of a runner as text is the password: it gets bytes, which are never logged.
        """
        runner = ManualRunner()
        Hasher(None, cost=CHEAP, runner=runner).hash("correct horse")
        self.assertEqual(runner.calls, [("hash", (b"correct horse",))])
