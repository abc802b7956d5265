"""
Tests for L{siger.http.transport}.
"""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.http.transport import keep_alive


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
            transport: Any = SimpleNamespace(getHandle=lambda: handle)
            keep_alive(transport)
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
        transport: Any = SimpleNamespace()
        keep_alive(transport)
        transport.getHandle = lambda: None
        keep_alive(transport)
