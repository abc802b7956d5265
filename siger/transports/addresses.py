"""
Socket addresses as Twisted's address objects.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

__all__ = ["Address", "twisted_address"]

Address = IPv4Address | IPv6Address | UNIXAddress

_NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


def twisted_address(sockaddr: Any) -> Address:
    """
    Make an address object from what C{getsockname} or C{getpeername} returned.

    @param sockaddr: a pair for IPv4, four items for IPv6, a path (empty for an unnamed socket) for UNIX sockets.
    """
    if not isinstance(sockaddr, tuple):
        return UNIXAddress(sockaddr or None)
    if len(sockaddr) == 2:
        return IPv4Address("TCP", *sockaddr)
    host, port, flow_info, scope_id = sockaddr
    if scope_id:
        # Python leaves the interface's name out of link-local addresses, without which nobody can connect to them.
        host = socket.getnameinfo(sockaddr, _NUMERIC)[0]
    return IPv6Address("TCP", host, port, flow_info, scope_id)
