"""
Tests for L{siger.grpc.content}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import binary, from_regex, sampled_from
from twisted.trial.unittest import SynchronousTestCase

from siger.grpc import content
from siger.grpc.content import GRPC, NOT_GRPC, WEB, WEB_TEXT, kind_of

NAMES = {b"application/grpc": GRPC, b"application/grpc-web": WEB, b"application/grpc-web-text": WEB_TEXT}


class KindTests(SynchronousTestCase):
    """
    Tests for L{kind_of}.
    """

    def test_kinds(self) -> None:
        """
        A kind has its media type, with or without a message format and parameters, whatever the case.
        """
        for name, kind in NAMES.items():
            for after in (
                b"",
                b"+proto",
                b"+json",
                b"+vnd.x-y",
                b"+",
                b";charset=utf-8",
                b"+proto; a=b",
                b" ; a=b",
                b" ",
            ):
                self.assertEqual(kind_of(name + after), kind, name + after)
                self.assertEqual(kind_of((name + after).upper()), kind, name + after)

    def test_others(self) -> None:
        """
        What only begins like one of them is something else.
        """
        for value in (b"", b"application/json", b"application/grpcfoo", b"application/grpc-webfoo", b"text/grpc"):
            self.assertEqual(kind_of(value), NOT_GRPC, value)
        for value in (
            b"application/grpc-",
            b"application/grpc-text",
            b"application/grpc-web-textual",
            b" application/grpc",
        ):
            self.assertEqual(kind_of(value), NOT_GRPC, value)
        for value in (b"application/grpc, text/html", b"application/grpc+proto, a", b"*/*", b"application/grpc.v2"):
            self.assertEqual(kind_of(value), NOT_GRPC, value)

    @given(
        sampled_from(sorted(NAMES)),
        from_regex(rb"(\+[a-z0-9.-]{0,20})?( ?; ?[a-z]{1,9}=[a-z0-9-]{1,90})?", fullmatch=True),
    )
    def test_known_and_unknown(self, name: bytes, after: bytes) -> None:
        """
        A kind is the same when it is asked for again, however long the value is.
        """
        self.assertEqual([kind_of(name + after), kind_of(name + after)], [NAMES[name]] * 2)

    @given(binary(max_size=60))
    def test_junk(self, value: bytes) -> None:
        """
        Any bytes have a kind.
        """
        self.assertEqual(kind_of(value), kind_of(value))

    def test_bounded(self) -> None:
        """
        What clients make up is not remembered without end, nor when it is long.
        """
        for number in range(2000):
            kind_of(b"application/x-%d" % number)
        kind_of(b"application/grpc;a=" + b"b" * 64)
        self.assertLessEqual(len(content._kinds), 256)
        self.assertLessEqual(max(map(len, content._kinds)), 64)
