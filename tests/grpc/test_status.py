"""
Tests for L{siger.grpc.status}.
"""

from __future__ import annotations

from http import HTTPStatus

import grpc
from hypothesis import given
from hypothesis.strategies import integers
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.grpc import status
from siger.grpc.status import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    NAMES,
    OK,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    UNKNOWN,
    status_of_http,
    status_of_reason,
    status_of_reset,
)


class CodesTests(SynchronousTestCase):
    """
    The constants.
    """

    def test_numbers_and_names(self) -> None:
        """
        Codes have the names and numbers that the gRPC project's own library gives them, all of them and no others.
        """
        expected = {code.name: code.value[0] for code in grpc.StatusCode}
        self.assertEqual({name: number for number, name in enumerate(NAMES)}, expected)
        self.assertEqual({name: getattr(status, name) for name in NAMES}, expected)


class ReasonTests(SynchronousTestCase):
    """
    Tests for L{status_of_reason}.
    """

    def test_every_reason(self) -> None:
        """
        Each reason has a status, which is one that there is and which says that the call failed.
        """
        for reason in Reason:
            self.assertIn(status_of_reason(reason), range(1, len(NAMES)), reason)

    def test_who_may(self) -> None:
        """
        A call without a valid token is told apart from one whose token does not suffice.
        """
        for reason in (Reason.UNAUTHENTICATED, Reason.INVALID_TOKEN, Reason.INVALID_CREDENTIALS):
            self.assertEqual(status_of_reason(reason), UNAUTHENTICATED)
        self.assertEqual(status_of_reason(Reason.FORBIDDEN), PERMISSION_DENIED)

    def test_nowhere(self) -> None:
        """
        What leads to no service is a method that nobody implements, as at a server that lacks it.
        """
        for reason in (Reason.NO_ROUTE, Reason.UNKNOWN_SERVICE, Reason.METHOD_NOT_ALLOWED):
            self.assertEqual(status_of_reason(reason), UNIMPLEMENTED)

    def test_too_much(self) -> None:
        """
        Limits that the client met are exhausted resources, whether of numbers or of sizes.
        """
        for reason in (Reason.RATE_LIMITED, Reason.BODY_TOO_LARGE, Reason.HEADERS_TOO_LARGE):
            self.assertEqual(status_of_reason(reason), RESOURCE_EXHAUSTED)

    def test_may_be_better_in_a_moment(self) -> None:
        """
        A client may try again where it would with HTTP: every 503, and a 502 of an instance that cannot be reached or
        broke off, but not of one that does not speak the protocol.
        """
        broken = {Reason.UPSTREAM_MALFORMED, Reason.UPSTREAM_UPGRADE}
        expected = {reason for reason in Reason if reason.status in (502, 503)} - broken
        self.assertEqual({reason for reason in Reason if status_of_reason(reason) == UNAVAILABLE}, expected)
        self.assertEqual({status_of_reason(reason) for reason in broken}, {INTERNAL})

    def test_time(self) -> None:
        """
        Whatever ran out of time exceeded a deadline.
        """
        expected = {reason for reason in Reason if reason.status in (408, 504)}
        self.assertEqual({reason for reason in Reason if status_of_reason(reason) == DEADLINE_EXCEEDED}, expected)

    def test_client_gone(self) -> None:
        """
        A client that left cancelled its call.
        """
        self.assertEqual(status_of_reason(Reason.CLIENT_GONE), CANCELLED)


class HttpTests(SynchronousTestCase):
    """
    Tests for L{status_of_http}.
    """

    def test_table(self) -> None:
        """
        The gRPC project's table is followed, where everything else is unknown, 200 too.
        """
        expected = {
            400: INTERNAL,
            401: UNAUTHENTICATED,
            403: PERMISSION_DENIED,
            404: UNIMPLEMENTED,
            429: UNAVAILABLE,
            431: INTERNAL,
            502: UNAVAILABLE,
            503: UNAVAILABLE,
            504: UNAVAILABLE,
        }
        for http in HTTPStatus:
            self.assertEqual(status_of_http(http.value), expected.get(http.value, UNKNOWN), http)

    @given(integers())
    def test_never_ok(self, http: int) -> None:
        """
        No status of HTTP makes a success of a call that has no status of its own.
        """
        self.assertNotEqual(status_of_http(http), OK)


class ResetTests(SynchronousTestCase):
    """
    Tests for L{status_of_reset}.
    """

    def test_table(self) -> None:
        """
        The table of "gRPC over HTTP2" is followed for all error codes of RFC 9113.
        """
        expected = {0x7: UNAVAILABLE, 0x8: CANCELLED, 0xB: RESOURCE_EXHAUSTED, 0xC: PERMISSION_DENIED}
        for code in range(0xE):
            self.assertEqual(status_of_reset(code), expected.get(code, INTERNAL), code)

    @given(integers(0xE, 2**32 - 1))
    def test_unknown(self, code: int) -> None:
        """
        Codes that nobody registered are treated as INTERNAL_ERROR (RFC 9113 section 7).
        """
        self.assertEqual(status_of_reset(code), INTERNAL)
