"""
Tests for L{siger.auth.names}.
"""

from __future__ import annotations

import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.errors import FieldError
from siger.auth.names import canonical, fold
from siger.messaging.bucket import check_key


class CanonicalTests(SynchronousTestCase):
    """
    Tests for L{canonical}.
    """

    def test_plain(self) -> None:
        """
        Row H14: lower-case letters, digits, dots, underscores and hyphens stay as they are, 3 to 64 of them.
        """
        for name in ("bob", "a.b", "x_1", "-a-", "0123", "first.second.third", "a" * 64):
            self.assertEqual(canonical(name), name)

    def test_lookalikes(self) -> None:
        """
        Row H14: names that differ in case, width or ligatures are one, so there is only one C{admin}.
        """
        for name in ("Admin", "ADMIN", "\uff41dmin", "\uff21\uff24\uff2d\uff29\uff2e", "\u24d0dmin", "adm\u2170n"):
            self.assertEqual(canonical(name), "admin", ascii(name))
        self.assertEqual(canonical("Stra\xdfe"), "strasse")
        self.assertEqual(canonical("o\ufb03ce"), "office")
        self.assertEqual(canonical("\u212aelvin"), "kelvin")

    def test_invisible(self) -> None:
        """
        Row H14: what cannot be seen, joins, turns around or combines is refused, wherever it is.
        """
        for character in "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e\u2066\u034f\u0301\ufe0f\x00\x1f\x7f\t\n":
            for name in (f"admin{character}", f"{character}admin", f"ad{character}min"):
                self.assertRaises(FieldError, canonical, name)

    def test_other_scripts(self) -> None:
        """
        Row H14: letters of other scripts are refused, also those that look like ours.
        """
        for name in (
            "\u0430dmin",
            "\u03b1dmin",
            "adm\u0131n",
            "ad\u043cin",
            "\u0662\u0663\u0664",
            "\u30a2\u30c9\u30df",
        ):
            self.assertRaises(FieldError, canonical, name)

    def test_other_characters(self) -> None:
        """
        Row H14: so are spaces, wildcards, separators, quotes and lone surrogates.
        """
        for character in " *>/\\:;,'\"%@+=$#?&<|()[]{}~`^!\ud800\u00a0\u3000":
            self.assertRaises(FieldError, canonical, f"ad{character}min")

    def test_final_newline(self) -> None:
        """
        A line feed at the end does not slip through.
        """
        self.assertRaises(FieldError, canonical, "admin\n")

    def test_length(self) -> None:
        """
        Row H14: fewer than 3 characters or more than 64 are refused, as they are counted in the canonical form.
        """
        for name in ("", "a", "ab", "a" * 65, "\ufb03" * 22, "a" * 1_000_000, "\ufdfa" * 64):
            self.assertRaises(FieldError, canonical, name)
        self.assertEqual(canonical("\ufb03"), "ffi")
        self.assertEqual(len(canonical("\ufb03" * 21)), 63)

    def test_dots(self) -> None:
        """
        Dots at an end, or two in a row, are refused: they would make no key, or look like a path.
        """
        for name in (".bob", "bob.", "b..ob", "...", "\u2026bob", "bob\u2024"):
            self.assertRaises(FieldError, canonical, name)

    def test_error(self) -> None:
        """
        A refusal names the field, says the rule, points into the body, and does not repeat the name.
        """
        error = self.assertRaises(FieldError, canonical, "<script>")
        self.assertEqual((error.field, error.pointer), ("username", "#/username"))
        self.assertNotIn("script", str(error))

    @given(st.text(max_size=70))
    @example("\u0130stanbul")
    @example("\u1e9e\u1e9e\u1e9e")
    def test_any_text(self, name: str) -> None:
        """
        Row H14: whatever is given, the result is ASCII of the allowed form, canonical itself, a key of a bucket, and
        the same for every spelling; or nobody can be called that.
        """
        found = fold(name)
        if not found:
            self.assertRaises(FieldError, canonical, name)
            return
        self.assertTrue(re.fullmatch(r"[a-z0-9._-]{3,64}", found, re.ASCII))
        self.assertEqual(canonical(found), found)
        self.assertEqual(check_key(found), found)
        self.assertEqual(fold(unicodedata.normalize("NFKC", name)), found)

    @given(st.from_regex(r"[a-zA-Z0-9_-]{3,64}", fullmatch=True))
    def test_spellings(self, name: str) -> None:
        """
        Row H14: a name, in capitals and in full width, is the same name.
        """
        wide = "".join(chr(ord(each) + 0xFEE0) for each in name)
        self.assertEqual(canonical(name), name.lower())
        self.assertEqual(canonical(name.upper()), name.lower())
        self.assertEqual(canonical(wide), name.lower())


class FoldTests(SynchronousTestCase):
    """
    Tests for L{fold}.
    """

    def test_nobody(self) -> None:
        """
        What nobody can be called is the empty name, which is nobody's either.
        """
        self.assertEqual([fold("Bob"), fold("b"), fold(""), fold("b\u200bob")], ["bob", "", "", ""])
