"""
Tests for L{siger.http.transport}.
"""

from __future__ import annotations

import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from siger.http.transport import close, half_close, keep_alive, unacknowledged
from tests.http.fakes import FakeTransport


class _Producer:
    """
    Feeds a transport.
    """

    def pauseProducing(self) -> None:
        """
        Nothing to do.
        """

    def resumeProducing(self) -> None:
        """
        Nothing to do.
        """


class _WriteOnly(FakeTransport):
    """
    A transport that cannot half-close, as that of TLS.
    """

    loseWriteConnection = None  # type: ignore[assignment]


class CloseTests(SynchronousTestCase):
    """
    Tests for L{close} and L{half_close}.
    """

    def test_close(self) -> None:
        """
        A transport that is fed would never close: the producer is taken off it first.
        """
        transport = FakeTransport()
        transport.registerProducer(_Producer(), True)
        close(transport)
        self.assertTrue(transport.closed)

    def test_half_close(self) -> None:
        """
        The same holds for its write side.
        """
        transport = FakeTransport()
        transport.registerProducer(_Producer(), True)
        self.assertTrue(half_close(transport))
        self.assertTrue(transport.half_closed)
        self.assertFalse(transport.closed)

    def test_cannot_half_close(self) -> None:
        """
        Where it cannot be done, nothing is.
        """
        transport = _WriteOnly()
        transport.registerProducer(_Producer(), True)
        self.assertFalse(half_close(transport))
        self.assertIsNotNone(transport.producer)


class UnacknowledgedTests(SynchronousTestCase):
    """
    Tests for L{unacknowledged}; the kernel's answer needs a real buffer, of a pair of sockets.
    """

    def test_count(self) -> None:
        """
        The count is what the other side has not read, in the kernel's own measure.
        """
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        transport = FakeTransport(handle=near)
        self.assertEqual(unacknowledged(transport), 0)
        near.send(b"x" * 10)
        first = unacknowledged(transport)
        self.assertGreaterEqual(first, 10)
        near.send(b"x" * 10)
        self.assertGreater(unacknowledged(transport), first)
        os.read(far.fileno(), 100)
        self.assertEqual(unacknowledged(transport), 0)

    def test_cannot_tell(self) -> None:
        """
        It is -1 where nobody can tell: no socket, a closed one, something that is none.
        """
        near, far = socket.socketpair()
        near.close()
        far.close()
        with open(os.devnull, "rb") as file:
            for handle in (None, object(), near, file):
                self.assertEqual(unacknowledged(FakeTransport(handle=handle)), -1)

    def test_no_handle_at_all(self) -> None:
        """
        And where a transport does not know of handles.
        """

        class Transport(FakeTransport):
            getHandle = None  # type: ignore[assignment]

        self.assertEqual(unacknowledged(Transport()), -1)


class KeepAliveTests(SynchronousTestCase):
    """
    Tests for L{keep_alive}.
    """

    def test_found_out(self) -> None:
        """
        A peer that is gone is found out in the same time whether it was silent or something was on its way to it, which
        the kernel takes for two different things (RFC 5482).
        """
        with socket.socket() as handle:
            keep_alive(FakeTransport(handle=handle))
            self.assertEqual(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1)
            idle, every, count, patience = (
                handle.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            )
        self.assertEqual((idle + every * count) * 1000, patience)
        self.assertLessEqual(patience, 120_000)

    def test_no_socket(self) -> None:
        """
        A transport without a socket is left as it is.
        """
        for handle in (None, object()):
            keep_alive(FakeTransport(handle=handle))
