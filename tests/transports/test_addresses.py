"""
Tests for L{siger.transports.addresses}.
"""

from __future__ import annotations

import socket

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from siger.transports.addresses import twisted_address


class TwistedAddressTests(SynchronousTestCase):
    """
    Tests for L{twisted_address}.
    """

    def test_ipv4(self) -> None:
        """
        A pair is an IPv4 address.
        """
        self.assertEqual(twisted_address(("192.0.2.1", 80)), IPv4Address("TCP", "192.0.2.1", 80))

    def test_ipv6(self) -> None:
        """
        Four items are an IPv6 address.
        """
        self.assertEqual(twisted_address(("2001:db8::1", 80, 0, 0)), IPv6Address("TCP", "2001:db8::1", 80))

    def test_scope(self) -> None:
        """
        The host of a link-local address has its interface in it.
        """
        index, name = socket.if_nameindex()[0]
        expected = IPv6Address("TCP", f"fe80::1%{name}", 80, 0, index)
        self.assertEqual(twisted_address(("fe80::1", 80, 0, index)), expected)

    def test_unix(self) -> None:
        """
        A path, as text or as bytes, is a UNIX address; an empty one has no name.
        """
        self.assertEqual(twisted_address("/run/socket"), UNIXAddress("/run/socket"))
        self.assertEqual(twisted_address(b"\0abstract"), UNIXAddress(b"\0abstract"))
        self.assertEqual(twisted_address(""), UNIXAddress(None))
