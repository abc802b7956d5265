"""
Hosts, ports, networks and origins.

An address in a configuration is connected to by a process that stands inside the network, so the kinds that no
backend has are refused: link-local ones, among them the metadata service of the clouds, multicast, and "any".
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from siger.config.decode import text, written
from siger.config.nodes import shorten
from siger.config.section import InvalidError, Value
from siger.config.settings.addresses import Address, Listen, Network

__all__ = [
    "address",
    "consul",
    "host",
    "host_name",
    "instance_host",
    "is_loopback",
    "listen",
    "nats",
    "network",
    "origin",
    "split",
]

IP = IPv4Address | IPv6Address

# RFC 1123, with the underscores that container networks use. A name whose last label is a number, or begins with 0x, is
# no name: many resolvers read 2852039166 and 169.254.43518 as IPv4 addresses.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?!(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z){_LABEL}")
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?")

# Where clouds tell a machine its credentials, as far as the address is not link-local: AWS, Google, Alibaba, Oracle and
# Azure.
_METADATA = frozenset(
    map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"))
)
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_TRANSLATED = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last four bytes


def _ip(characters: str) -> IP | None:
    try:
        return None if "%" in characters else ip_address(characters)
    except ValueError:
        return None


def host_name(characters: str) -> bool:
    """
    Whether this is the name of a host, and not an address in one of its notations.
    """
    return _NAME.fullmatch(characters) is not None


def is_loopback(name: str) -> bool:
    """
    Whether a host is this machine as only it can reach itself: 127.0.0.0/8, C{::1} or C{localhost}.
    """
    found = _ip(name)
    return name.lower() == "localhost" if found is None else found.is_loopback


def split(characters: str, default: int | None = None) -> tuple[str, int] | None:
    """
    Take C{host:port} apart: C{[::1]:80}, C{10.0.0.1:80}, C{name:80}.

    @param default: the port of an address that names none.
    @return: the host without brackets and the port, or C{None} when it is nothing like it.
    """
    name, bracket, rest = characters[1:].partition("]") if characters.startswith("[") else (characters, "", "")
    if not bracket:
        name, colon, rest = characters.partition(":")
        rest = colon + rest
    port = default if not rest and default is not None else _port(rest.removeprefix(":") if rest[:1] == ":" else "")
    found = _ip(name)
    if port is None or bool(bracket) != isinstance(found, IPv6Address):
        return None
    return (name, port) if found is not None or host_name(name) else None


def _port(digits: str) -> int | None:
    return int(digits) if _PORT.fullmatch(digits) and int(digits) < 65536 else None


def listen(value: Value) -> Listen:
    """
    Where to listen: C{8080}, C{:8080}, C{host:8080}. Port 0 is one that the system chooses.
    """
    wanted = "a port from 0 to 65535, :port, host:port or [IPv6]:port"
    characters = written(value, wanted)
    port = _port(characters.removeprefix(":"))
    if port is not None:
        return Listen("", port)
    parts = split(characters)
    if parts is None:
        raise InvalidError(f"expected {wanted}, got {shorten(characters)!r}")
    return Listen(*parts)


def address(characters: str, default: int) -> Address:
    """
    An address to connect to.

    @param default: the port that goes without saying.
    @raise InvalidError: when it is none.
    """
    if "@" in characters:  # never shown: there is a password before it
        raise InvalidError("an address has no user, password or token in it")
    parts = split(characters, default)
    if parts is None or parts[1] == 0:
        raise InvalidError(f"expected host:port or [IPv6]:port, got {shorten(characters)!r}")
    return Address(*parts)


def consul(value: Value) -> Address | None:
    """
    Consul's address, or C{""} for no Consul. Consul's own tools write C{http://} before it.
    """
    characters = text(value)
    if characters.startswith("https://"):
        raise InvalidError("Consul over https is not supported by this version")
    characters = characters.removeprefix("http://").removesuffix("/")
    return address(characters, 8500) if characters else None


def nats(value: Value) -> str:
    """
    NATS servers with commas between, C{embedded}, or C{""} for none. C{nats://} and C{tls://} may stand before one.
    """
    characters = text(value)
    if characters in ("", "embedded"):
        return characters
    servers = [server.strip() for server in characters.split(",")]
    for server in servers:
        if "@" in server:  # never shown: there is a password before it
            raise InvalidError("who the gateway is stands under nats:, not in the address")
        address(re.sub("(nats|tls)://", "", server, count=1), 4222)
    return ",".join(servers)


def host(value: Value) -> str:
    """
    An IP address without brackets, or a host name.
    """
    characters = text(value)
    if _ip(characters) is None and not host_name(characters):
        raise InvalidError(f"expected an IP address or a host name, got {shorten(characters)!r}")
    return characters


def instance_host(characters: str) -> str:
    """
    The host of a backend.

    @raise InvalidError: when it is none, or one that the gateway will not connect to.
    """
    found = _ip(characters)
    if found is None and not host_name(characters):
        raise InvalidError(f"expected an IP address or a host name, got {shorten(characters)!r}")
    refusal = _name_refusal(characters) if found is None else _refusal(_inner(found))
    if refusal:
        raise InvalidError(f"{characters} is {refusal}, which no service has")
    return characters


def _name_refusal(name: str) -> str:
    return "a cloud's metadata address" if name.lower() in _METADATA_NAMES else ""


def _inner(found: IP) -> IP:
    """
    The IPv4 address inside an IPv6 one, if so: what is refused must not come back in disguise.
    """
    if isinstance(found, IPv4Address):
        return found
    if found in _TRANSLATED:
        return IPv4Address(found.packed[-4:])
    return found.ipv4_mapped or found.sixtofour or found


def _refusal(found: IP) -> str:
    if found in _METADATA:
        return "a cloud's metadata address"
    if found.is_link_local:
        return "a link-local address"
    if found.is_multicast:
        return "a multicast address"
    if found.is_unspecified or (found.version == 4 and found.packed[0] in (0, 255)):
        return "an unspecified or broadcast address"
    return ""


def network(value: Value) -> Network:
    """
    A network, C{10.0.0.0/8}, or one address.
    """
    characters = text(value)
    try:
        return ip_network(characters)
    except ValueError:
        hint = _masked(characters)
        raise InvalidError(f"expected a network such as 10.0.0.0/8, got {shorten(characters)!r}{hint}") from None


def _masked(characters: str) -> str:
    """
    What was meant by an address of a host with the length of its network, C{10.1.2.3/8}.
    """
    try:
        return f"; did you mean {str(ip_network(characters, strict=False))!r}?"
    except ValueError:
        return ""


def origin(value: Value) -> str:
    """
    A whole origin as a browser sends it, C{https://app.example.com:8443}, or C{*}. C{null} is nobody's.
    """
    characters = text(value)
    if characters == "*":
        return characters
    match = _ORIGIN.fullmatch(characters)
    if match is None or not _is_sent(match[2]) or (match[3] and not _port(match[3])):
        raise InvalidError(
            f"expected an origin such as https://app.example.com, in lower case and without a path, "
            f"got {shorten(characters)!r}"
        )
    if match[3] == {"http": "80", "https": "443"}[match[1]]:
        raise InvalidError(f"browsers leave the port out of {shorten(characters)!r}; so must this")
    return characters


def _is_sent(name: str) -> bool:
    """
    Whether a browser writes a host so: an IPv6 address in its shortest form (WHATWG URL, host serializing).
    """
    parts = split(name, 1)
    return parts is not None and (":" not in parts[0] or str(_ip(parts[0])) == parts[0])
