"""
Tests for L{siger.http.faults}; what channels make of it is in L{tests.http.test_channel}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.limits import Limits
from siger.errors import Reason
from siger.http.faults import first_fault
from siger.http.request_parser import RequestParser
from tests.http.generators import noise, properties

LIMITS = Limits(request_line=30, header_bytes=40)


def judge(data: bytes, judged: int = 0) -> Reason | None:
    """
    The reason of the first fault.
    """
    fault = first_fault(data, judged, LIMITS, RequestParser())
    return None if fault is None else fault.reason


class FirstFaultTests(SynchronousTestCase):
    """
    Tests for L{first_fault}.
    """

    def test_none(self) -> None:
        """
        Nothing is wrong with what may become a request.
        """
        data = b"GET / HTTP/1.1\r\nHost: a.test\r\n"
        for length in range(len(data) + 1):
            self.assertIsNone(judge(data[:length]), data[:length])

    def test_in_order(self) -> None:
        """
        Of several faults the first counts.
        """
        for data, reason in (
            (b"GE\0T / HTTP/9.9\r\n\n", Reason.MALFORMED_REQUEST),
            (b"GET / HTTP/2.0\r\nA: \0", Reason.VERSION_UNSUPPORTED),
            (b"GET /" + b"a" * 30 + b"\0", Reason.URI_TOO_LONG),
            (b"GET /" + b"a" * 30 + b"\r\n\0", Reason.URI_TOO_LONG),
            (b"GET /\0" + b"a" * 30, Reason.MALFORMED_REQUEST),
            (b"GET / HTTP/1.1\r\nA: " + b"a" * 50 + b"\0", Reason.HEADERS_TOO_LARGE),
            (b"GET / HTTP/1.1\r\nA: \0" + b"a" * 50, Reason.MALFORMED_REQUEST),
            (b"\r\nGET", Reason.MALFORMED_REQUEST),
        ):
            self.assertIs(judge(data), reason, data)

    @properties
    @given(
        noise(b"GET / HTTP/1.1\r\n", b"A: b\r\n", b"aaaaaaaaaaaaaaaaaaaa", b"HTTP/2.0\r\n", b"GET /"),
        st.lists(st.integers(1, 20), min_size=1, max_size=20),
    )
    def test_in_pieces(self, data: bytes, lengths: list[int]) -> None:
        """
        However a head arrives, the same fault is the first: A36.
        """
        found, position = None, 0
        while found is None and position < len(data):
            judged, position = position, min(len(data), position + lengths[position % len(lengths)])
            found = judge(data[:position], judged)
        self.assertIs(found, judge(data))
