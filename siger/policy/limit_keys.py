"""
Whose bucket a request takes its token from.

A key is made of parts, and no two different sets of values make the same one: a value that came from outside is marked,
so that a user can call himself C{192.0.2.7} without being taken for that address, and what is long, or holds the byte
that separates parts, is replaced by its digest. A part that a request does not have falls back on the client's address,
never on a bucket that all such requests would share.

What a client says of itself in a header field it can say differently each time: C{header:NAME} is for fields that
something before or behind the gateway checks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from siger.http.request import RequestHead
    from siger.policy.identity import Identity

__all__ = ["LimitKey", "address_key", "make_key", "needs_identity"]

_LONGEST: Final = 64
_SEPARATOR: Final = b"\0"
_CACHED_ADDRESSES: Final = 4096

_TRANSLATED: Final = bytes.fromhex("0064ff9b") + bytes(8)  # RFC 6052: an IPv4 client beyond a translator

_CLIENT: Final = 0
_USER: Final = 1
_ROUTE: Final = 2
_SERVICE: Final = 3
_CLAIM: Final = 4
_HEADER: Final = 5

_WORDS: Final = {"client_ip": _CLIENT, "user": _USER, "route": _ROUTE, "service": _SERVICE}
_NAMED: Final = {"claim": _CLAIM, "header": _HEADER}

_networks: dict[bytes, bytes] = {}


def address_key(client: bytes) -> bytes:
    """
    What an address counts as: an IPv4 address as itself, an IPv6 address as its /64, since whoever has one address of
    such a network has them all.
    """
    if b":" not in client:
        return client
    network = _networks.get(client)
    if network is None:
        if len(_networks) >= _CACHED_ADDRESSES:
            _networks.clear()
        network = _networks[client] = _network(client)
    return network


def _network(client: bytes) -> bytes:
    try:
        packed = IPv6Address(client.decode("ascii")).packed
    except ValueError:
        return _bounded(b"=", client)
    mapped = IPv6Address(packed).ipv4_mapped
    if mapped is not None or packed.startswith(_TRANSLATED):
        return str(IPv4Address(packed[12:])).encode("ascii")
    return b"%b/64" % str(IPv6Address(packed[:8] + bytes(8))).encode("ascii")


def needs_identity(parts: Sequence[str]) -> bool:
    """
    Whether a key of these parts is known only once a token was verified.
    """
    return any(part == "user" or part.startswith("claim:") for part in parts)


def make_key(parts: Sequence[str]) -> LimitKey:
    """
    @param parts: as in L{siger.config.settings.admission.RateLimit}.
    @raise ValueError: there is none, or one is not known.
    """
    if not parts:
        raise ValueError("a key needs a part")
    return LimitKey([_part(part) for part in parts])


def _part(text: str) -> tuple[int, str, bytes]:
    if text in _WORDS:
        return _WORDS[text], "", b""
    kind, _, name = text.partition(":")
    if kind not in _NAMED or not name:
        raise ValueError(f"not a part of a key: {text}")
    return _NAMED[kind], name, name.encode("utf-8").lower()


class LimitKey:
    """
    Makes the keys of one limit.
    """

    __slots__ = ("_by_address", "_parts")

    def __init__(self, parts: list[tuple[int, str, bytes]]) -> None:
        """
        @param parts: of each, its kind, the name of its claim, and that of its field.
        """
        self._parts = parts
        self._by_address: bool = [part[0] for part in parts] == [_CLIENT]

    def of(
        self, client: bytes, head: RequestHead | None, identity: Identity | None, route: bytes, service: bytes
    ) -> bytes:
        """
        The key of a request.

        @param client: the client's address.
        @param head: C{None} counts as one without fields.
        @param identity: C{None} for a request without a token, or before it was looked at.
        """
        address = address_key(client)
        if self._by_address:
            return address
        values: list[bytes] = []
        for kind, name, field in self._parts:
            value: bytes | None = None
            if kind == _USER:
                value = _user(identity)
            elif kind == _ROUTE:
                value = _bounded(b"=", route)
            elif kind == _SERVICE:
                value = _bounded(b"=", service)
            elif kind == _CLAIM:
                value = _claim(identity, name)
            elif kind == _HEADER:
                value = _field(head, field)
            values.append(address if value is None else value)
        return _SEPARATOR.join(values)


def _user(identity: Identity | None) -> bytes | None:
    if identity is None or not identity.user_id:
        return None
    return _bounded(b"=", _encoded(identity.user_id))


def _claim(identity: Identity | None, name: str) -> bytes | None:
    value = None if identity is None else identity.claims.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return _bounded(b"=", _encoded(value))
    # The number 1 is not the text "1"; and members of an object have no order.
    return _bounded(b"~", json.dumps(value, sort_keys=True, default=str).encode("ascii"))


def _field(head: RequestHead | None, name: bytes) -> bytes | None:
    value = None if head is None else head.fields.get(name)
    return _bounded(b"=", value) if value else None


def _encoded(text: str) -> bytes:
    # JSON can spell halves of surrogate pairs, which have no UTF-8 of their own.
    return text.encode("utf-8", "surrogatepass")


def _bounded(mark: bytes, value: bytes) -> bytes:
    # No mark begins an address, so no value is one.
    if len(value) <= _LONGEST and _SEPARATOR not in value:
        return mark + value
    return b"#" + sha256(mark + value).hexdigest().encode("ascii")
