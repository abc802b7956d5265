"""
Who the client is, and what a backend is told about it (RFC 7239, RFC 9110 section 7.6.3).

What a client claims about itself is worth nothing: unless the peer of the socket is a trusted proxy, C{X-Forwarded-*}
and C{Forwarded} are made anew from the socket. Behind trusted proxies the list is walked from the right, and the first
address that is not one of them is the client. One answer serves limits, logs and backends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from siger.http.grammar import LIST_SPLIT, OWS

__all__ = ["PSEUDONYM", "Forwarding"]

PSEUDONYM: Final = b"siger"
"""This gateway's name in C{Via}."""

_VIA_10: Final = b"1.0 " + PSEUDONYM
_VIA_11: Final = b"1.1 " + PSEUDONYM

_CACHED_PEERS: Final = 4096
_MAX_PASSES: Final = 2

_passes = re.compile(rb"(?:^|,)[ \t]*[!-+\--~]+[ \t]+" + PSEUDONYM + rb"(?=[ \t,(]|\Z)", re.IGNORECASE).findall
_forwarded_for = re.compile(rb'[Ff][Oo][Rr]=(?:"?\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?"?|"?([0-9.]+)(?::[0-9]+)?"?)').search


class Forwarding:
    """
    The rules of one gateway.
    """

    __slots__ = ("_lines", "_trusted", "_verdicts")

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        """
        @param trusted: the networks whose C{X-Forwarded-For} and C{Forwarded} are believed.
        """
        self._trusted = tuple(trusted)
        self._verdicts: dict[bytes, bool] = {}
        self._lines: dict[tuple[bytes, bytes, bool], bytes] = {}

    def trusts(self, address: bytes) -> bool:
        """
        Whether this address, as text, is a trusted proxy's.
        """
        if not self._trusted:
            return False
        verdict = self._verdicts.get(address)
        if verdict is None:
            if len(self._verdicts) >= _CACHED_PEERS:
                self._verdicts.clear()
            verdict = self._verdicts[address] = self._is_trusted(address)
        return verdict

    def _is_trusted(self, address: bytes) -> bool:
        try:
            parsed = ip_address(address.decode("ascii"))
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(mapped in network for network in self._trusted)

    def client(self, peer: bytes, owned: dict[bytes, bytes]) -> bytes:
        """
        The client's address.

        @param peer: the socket's peer.
        @param owned: the request's C{x-forwarded-for} and C{forwarded} values, if any.
        """
        if not self.trusts(peer):
            return peer
        client = peer
        for address in reversed(_claimed_addresses(owned)):
            if not _is_address(address):
                break
            client = address
            if not self.trusts(address):
                break
        return client

    def lines(self, peer: bytes, owned: dict[bytes, bytes], host: bytes, secure: bool) -> bytes:
        """
        The field lines that tell a backend about the client and the request's way here.

        @param host: the authority that the client asked for, or C{b""}.
        """
        if self.trusts(peer):
            return self._continued(peer, owned, host, secure)
        key = (peer, host, secure)
        lines = self._lines.get(key)
        if lines is None:
            if len(self._lines) >= _CACHED_PEERS:
                self._lines.clear()
            lines = self._lines[key] = _lines(peer, peer, host, b"https" if secure else b"http", b"")
        return lines

    def _continued(self, peer: bytes, owned: dict[bytes, bytes], host: bytes, secure: bool) -> bytes:
        # A trusted proxy's own lines are continued, and what it says of the client's side is kept.
        chain = b"%b, %b" % (owned[b"x-forwarded-for"], peer) if b"x-forwarded-for" in owned else peer
        scheme = owned.get(b"x-forwarded-proto", b"").lower()
        if scheme not in (b"http", b"https"):
            scheme = b"https" if secure else b"http"
        host = owned.get(b"x-forwarded-host", host)
        return _lines(peer, chain, host, scheme, owned.get(b"forwarded", b""))


def _lines(peer: bytes, chain: bytes, host: bytes, scheme: bytes, forwarded: bytes) -> bytes:
    quoted = host.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    element = b'for=%b;host="%b";proto=%b' % (_node(peer), quoted, scheme)
    return (
        b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\nForwarded: %b\r\n"
        b"X-Gateway: siger-api-gateway\r\n"
        % (chain, scheme, host, b"%b, %b" % (forwarded, element) if forwarded else element)
    )


def via_line(owned: dict[bytes, bytes], minor: int) -> bytes:
    """
    The C{Via} line that names this gateway after those before it.
    """
    own = _VIA_11 if minor else _VIA_10
    before = owned.get(b"via")
    return b"Via: %b, %b\r\n" % (before, own) if before else b"Via: " + own + b"\r\n"


def is_loop(owned: dict[bytes, bytes]) -> bool:
    """
    Whether the request has come through gateways of this name so often that it must be going round. Twice is allowed:
    one gateway may stand behind another.
    """
    via = owned.get(b"via")
    return via is not None and len(_passes(via)) >= _MAX_PASSES


def _claimed_addresses(owned: dict[bytes, bytes]) -> list[bytes]:
    listed = owned.get(b"x-forwarded-for")
    if listed is not None:
        return LIST_SPLIT(listed.strip(OWS))
    found = [_forwarded_for(element) for element in LIST_SPLIT(owned.get(b"forwarded", b""))]
    return [(match[1] or match[2]) if match else b"" for match in found]


def _is_address(text: bytes) -> bool:
    # Python would take anything at all for the zone of an IPv6 address, and a zone means nothing on another machine.
    try:
        ip_address(text.decode("ascii"))
    except ValueError:
        return False
    return b"%" not in text


def _node(address: bytes) -> bytes:
    return b'"[%b]"' % address if b":" in address else address
