"""
Which addresses the gateway agrees to connect to.

Whoever can write to a registry can name any address, and the gateway stands where it can reach more than its clients
can: a registration of a cloud's metadata address would hand out credentials, one of the gateway's own would loop. So
discovery proposes, and a L{Guard} refuses.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

from siger.balancing.instances import Instance

__all__ = ["Guard", "is_own_address"]

IP = IPv4Address | IPv6Address

#: Where clouds answer questions about their machines, as far as not link-local: AWS, Google, Alibaba, Oracle, Azure.
METADATA = frozenset(
    ip_address(text) for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
#: RFC 6052: the last four bytes are an IPv4 address that a translator will connect to.
TRANSLATED = ip_network("64:ff9b::/96")
#: RFC 1122 section 3.2.1.3: "this network", never a destination; Linux connects 0.0.0.0 to itself.
THIS_NETWORK = IPv4Network("0.0.0.0/8")
#: RFC 1123, with the underscore that Docker and Kubernetes users write. A name that ends in a number is an IPv4 address
#: in one of the old notations to many a resolver (C{2852039166}, C{0xa9fea9fe}), and so no name.
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z)({LABEL}\.)*(?!\d+\Z|0x){LABEL}", re.IGNORECASE)


class Guard:
    """
    Says why an instance must not be used, if so.

    @ivar listeners: addresses and ports at which the gateway itself accepts connections; an empty or unspecified
        address stands for every interface.
    """

    def __init__(self, is_own: Callable[[IP], bool] | None = None) -> None:
        self.listeners: frozenset[tuple[str, int]] = frozenset()
        self._is_own = is_own_address if is_own is None else is_own

    def refusal(self, instance: Instance, names: bool = False) -> str | None:
        """
        @param names: whether host names are fine. They are in configuration; from a registry a name is refused, because
            what it resolves to can change after it was looked at.
        @return: the reason, or C{None} when nothing speaks against it.
        """
        if not 1 <= instance.port <= 65535:
            return "its port is not one of 1-65535"
        try:
            address = ip_address(instance.address)
        except ValueError:
            return None if names and HOST_NAME.fullmatch(instance.address) else "its address is not an IP address"
        return _address_refusal(address) or self._listener_refusal(address, instance.port)

    def _listener_refusal(self, address: IP, port: int) -> str | None:
        for host, own_port in self.listeners:
            if port == own_port and self._is_listener(address, host):
                return "it is this gateway itself"
        return None

    def _is_listener(self, address: IP, host: str) -> bool:
        try:
            listener = ip_address(host or "::")
        except ValueError:  # a listener given by name: any of our addresses may be meant
            return self._is_own(_inner(address))
        return self._is_own(_inner(address)) if listener.is_unspecified else _inner(address) == _inner(listener)


def _inner(address: IP) -> IP:
    """
    The IPv4 address that an IPv6 one stands for, where it does: what is refused there must not return in disguise.
    """
    if isinstance(address, IPv6Address):
        if address in TRANSLATED:
            return IPv4Address(address.packed[-4:])
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _address_refusal(address: IP) -> str | None:
    address = _inner(address)
    if address in METADATA:
        return "its address is a cloud metadata address"
    for refused, kind in (
        (address.is_link_local, "link-local"),
        (address.is_multicast, "multicast"),
        (address.is_unspecified or address in THIS_NETWORK, "unspecified"),
        (isinstance(address, IPv4Address) and address.is_reserved, "reserved"),
    ):
        if refused:
            return f"its address is {kind}"
    return None


def is_own_address(address: IP) -> bool:
    """
    Whether this machine has the address: only then can a socket be bound to it.
    """
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
