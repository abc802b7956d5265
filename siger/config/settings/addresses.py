"""
Where things are: to be listened on, connected to, or trusted.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from attrs import frozen

__all__ = ["Address", "Listen", "Network", "host_and_port"]

Network = IPv4Network | IPv6Network


def host_and_port(host: str, port: int) -> str:
    """
    An address as it is written: with brackets around an IPv6 address.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@frozen
class Listen:
    """
    Where the gateway accepts connections.

    @ivar host: an IP address without brackets, a host name, or C{""} for every interface.
    @ivar port: 0-65535; 0 lets the system choose a free one.
    """

    host: str = ""
    port: int = 8080

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)


@frozen
class Address:
    """
    A TCP address to connect to.

    @ivar host: an IP address without brackets, or a host name.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)
