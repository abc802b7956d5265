"""
Tests for L{siger.http.target}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.fields import HeadError
from siger.http.target import clean_target, normalise_path, parse_authority, split_target
from tests.http.generators import noise, properties

_words = (b"/", b"a", b".", b"..", b"%2e", b"%2F", b"%25", b"%41", b"%", b";", b"?", b"\\")
_paths = noise(*_words).map(lambda path: b"/" + path)


class NormalisePathTests(SynchronousTestCase):
    """
    Tests for L{normalise_path}.
    """

    def test_dot_segments(self) -> None:
        """
        Dot segments are resolved, in any spelling, and never lead above the root: E1.
        """
        for path, normal in (
            (b"/", b"/"),
            (b"/a/./b", b"/a/b"),
            (b"/a/../b", b"/b"),
            (b"/a/b/..", b"/a/"),
            (b"/a/b/.", b"/a/b/"),
            (b"/..", b"/"),
            (b"/../../a", b"/a"),
            (b"/a/%2e%2E/b", b"/b"),
            (b"/a/.%2e/b", b"/b"),
            (b"/.", b"/"),
            (b"/a/..", b"/"),
        ):
            self.assertEqual(normalise_path(path), normal, path)

    def test_names_with_dots(self) -> None:
        """
        Three dots, and dots in a name, are no dot segments.
        """
        for path in (b"/...", b"/.a", b"/a.", b"/..a", b"/a..b", b"/.well-known/x"):
            self.assertEqual(normalise_path(path), path)

    def test_empty_segments(self) -> None:
        """
        Empty segments are merged: no path begins with two slashes, as a scheme-relative one would: E3.
        """
        self.assertEqual(normalise_path(b"//evil.test//a/"), b"/evil.test/a/")
        self.assertEqual(normalise_path(b"////"), b"/")

    def test_unreserved(self) -> None:
        """
        Characters that need no encoding are decoded, once: E1, E3.
        """
        self.assertEqual(normalise_path(b"/%61%7E%2D%5f%39"), b"/a~-_9")
        self.assertEqual(normalise_path(b"/%2561"), b"/%2561")
        self.assertEqual(normalise_path(b"/%252e%252e/a"), b"/%252e%252e/a")

    def test_other_escapes(self) -> None:
        """
        Other escapes stay, in upper case; an encoded slash is left to the route.
        """
        self.assertEqual(normalise_path(b"/%c3%a9%2f%3b%20"), b"/%C3%A9%2F%3B%20")

    def test_parameters(self) -> None:
        """
        Path parameters are kept: E3.
        """
        self.assertEqual(normalise_path(b"/a;x=1/b;c"), b"/a;x=1/b;c")

    def test_refused(self) -> None:
        """
        What two decoders could read in two ways is refused: E1, E2.
        """
        for path in (b"/%", b"/%4", b"/%zz", b"/%00", b"/a%5cb", b"/%5C", b"/..;/a", b"/a/.;x", b"/%2e%2e;/a", b"/%+1"):
            error = self.assertRaises(HeadError, normalise_path, path)
            self.assertIs(error.reason, Reason.INVALID_TARGET, path)

    @properties
    @given(_paths)
    def test_any_path(self, path: bytes) -> None:
        """
        Of any bytes, a normal form has no dot segment and no empty one, and is its own normal form.
        """
        try:
            normal = normalise_path(path)
        except HeadError:
            return
        self.assertTrue(normal.startswith(b"/"))
        segments = normal[1:].split(b"/")
        self.assertNotIn(b"", segments[:-1])
        self.assertFalse({b".", b".."} & set(segments))
        self.assertEqual(normalise_path(normal), normal)


class SplitTargetTests(SynchronousTestCase):
    """
    Tests for L{split_target}.
    """

    def test_origin_form(self) -> None:
        """
        A path with its query, and no authority: A27.
        """
        self.assertEqual(split_target(b"/a/../b?c=/../d"), (b"", b"/b", b"?c=/../d"))
        self.assertEqual(split_target(b"/a?"), (b"", b"/a", b"?"))

    def test_query_is_kept(self) -> None:
        """
        A query is passed on byte for byte.
        """
        self.assertEqual(split_target(b"/?a=%zz&b=%2e%2f'`{|}[]^")[2], b"?a=%zz&b=%2e%2f'`{|}[]^")

    def test_absolute_form(self) -> None:
        """
        An absolute-form target yields its authority too: A27, A29.
        """
        self.assertEqual(split_target(b"http://a.test:80/b?c"), (b"a.test:80", b"/b", b"?c"))
        self.assertEqual(split_target(b"HTTPS://a.test"), (b"a.test", b"/", b""))
        self.assertEqual(split_target(b"http://a.test?c"), (b"a.test", b"/", b"?c"))
        self.assertEqual(split_target(b"http://[::1]:80/"), (b"[::1]:80", b"/", b""))

    def test_bad_authority(self) -> None:
        """
        An absolute-form target without a valid authority, or with userinfo, is refused: A29.
        """
        for target in (b"http://", b"http:///a", b"http://u@a.test/", b"http://u:p@a.test/", b"http://a b/"):
            error = self.assertRaises(HeadError, split_target, target)
            self.assertIs(error.reason, Reason.INVALID_HOST, target)

    def test_refused(self) -> None:
        """
        Any other form is refused, and so are characters that no target may hold: A27.
        """
        for target in (
            b"",
            b"*",
            b"a",
            b"a.test:80",
            b"ftp://a.test/",
            b"http:/a",
            b"//\\a",
            b"/a\\b",
            b"/a#b",
            b"/a?b#c",
            b"http://a.test#b",
            b"/a\x00",
            b"/a\x7f",
            b"/caf\xe9",
            b"/a\tb",
            b"/a\n",
            b'/"',
            b"/<",
            b"/a?<",
            b"/a?\\",
            b'/a?"',
            b"/a^",
            b"/{a}",
            b"?a",
        ):
            error = self.assertRaises(HeadError, split_target, target)
            self.assertIs(error.reason, Reason.INVALID_TARGET, target)

    @properties
    @given(_paths)
    def test_agrees_with_fast_path(self, target: bytes) -> None:
        """
        A target that the fast path takes is one that the slow path would leave as it is.
        """
        match = clean_target(target)
        if match is not None:
            self.assertEqual(split_target(target), (b"", match[1], match[2] or b""))

    @properties
    @given(noise(b"http://", b"a.test", b"/", b"?", b"@", b"[::1]"))
    def test_any_bytes(self, target: bytes) -> None:
        """
        Any bytes are taken or refused with a L{HeadError}; a path that was taken is absolute.
        """
        try:
            _, path, query = split_target(target)
        except HeadError:
            return
        self.assertTrue(path.startswith(b"/"))
        self.assertTrue(query == b"" or query.startswith(b"?"))


class CleanTargetTests(SynchronousTestCase):
    """
    Tests for C{clean_target}, the fast path.
    """

    def test_plain(self) -> None:
        """
        Plain targets are taken: path and query.
        """
        for target, path, query in (
            (b"/", b"/", None),
            (b"/services/echo/x?y=1", b"/services/echo/x", b"?y=1"),
            (b"/a/b/", b"/a/b/", None),
            (b"/a.b/c..d?e/../f", b"/a.b/c..d", b"?e/../f"),
        ):
            match = clean_target(target)
            assert match is not None
            self.assertEqual((match[1], match[2]), (path, query))

    def test_long(self) -> None:
        """
        A long target that does not match in the end is judged in no time to speak of.
        """
        self.assertIsNone(clean_target(b"/a.b" * 4000 + b"\\"))

    def test_left_to_the_slow_path(self) -> None:
        """
        Whatever needs normalising is not taken.
        """
        for target in (b"//a", b"/a//b", b"/.", b"/..", b"/a/../b", b"/%41", b"*", b"", b"a", b"/a\n", b"/a//", b"//"):
            self.assertIsNone(clean_target(target), target)


class ParseAuthorityTests(SynchronousTestCase):
    """
    Tests for L{parse_authority}.
    """

    def test_taken(self) -> None:
        """
        Names, IPv4 and IPv6 literals are taken, with a port or without: A28.
        """
        for text in (
            b"a",
            b"a.test",
            b"a.test.",
            b"A-b_c~d.test:8080",
            b"192.0.2.7",
            b"192.0.2.7:65535",
            b"[::1]",
            b"[2001:db8::7]:443",
            b"[::ffff:192.0.2.7]",
            b"a" * 255,
        ):
            self.assertEqual(parse_authority(text), text)

    def test_empty_port(self) -> None:
        """
        An empty port is left out.
        """
        self.assertEqual(parse_authority(b"a.test:"), b"a.test")
        self.assertEqual(parse_authority(b"[::1]:"), b"[::1]")

    def test_refused(self) -> None:
        """
        Anything else is no authority: A28.
        """
        for text in (
            b"",
            b":80",
            b"a b",
            b"a/b",
            b"a@b",
            b"u:p@a",
            b"a:b",
            b"a:80:80",
            b"a:65536",
            b"a:-1",
            b"a:+1",
            b"a: 80",
            b"a:" + b"1" * 20,
            b"::1",
            b"[::1",
            b"[::1]a",
            b"[::1]:x",
            b"[]",
            b"[::g]",
            b"[1:2]",
            b"[::1%25eth0]",
            b"[v1.a]",
            b"-a",
            b".a",
            b"a..b",
            b"a,b",
            b"caf\xe9",
            b"a\n",
            b"a%20b",
            b"a" * 256,
            b"<script>",
        ):
            error = self.assertRaises(HeadError, parse_authority, text)
            self.assertIs(error.reason, Reason.INVALID_HOST, text)

    @properties
    @given(noise(b"a.test", b"[", b"]", b"::1", b":", b"80", b".") | st.binary(max_size=12))
    def test_any_bytes(self, text: bytes) -> None:
        """
        Of any bytes, what is taken has no character that could end a field line, a path or a quoted string.
        """
        try:
            taken = parse_authority(text)
        except HeadError:
            return
        self.assertRegex(taken, rb"\A[A-Za-z0-9_~.:\[\]-]+\Z")
        self.assertEqual(parse_authority(taken), taken)
