"""
Who the client is, and what a backend is told about it (RFC 7239, RFC 9110 section 7.6.3).

What a client claims about itself is worth nothing: unless the peer of the socket is a trusted proxy, C{X-Forwarded-*}
and C{Forwarded} are made anew from the socket. Behind trusted proxies the list is walked from the right, and the first
address that is not one of them is the client; what stands left of it is the client's own word, and goes no further. So
limits, logs and backends have one answer, whichever field, and whichever end of it, a backend reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from siger.http.fields import HeadError
from siger.http.grammar import LIST_SPLIT, OWS, TCHAR, decimal
from siger.http.target import parse_authority

__all__ = ["PSEUDONYM", "Forwarding"]

PSEUDONYM: Final = b"siger"
"""This gateway's name in C{Via}."""

_VIA: Final = {10: b"1.0 " + PSEUDONYM, 11: b"1.1 " + PSEUDONYM, 20: b"2 " + PSEUDONYM}

_CACHED_PEERS: Final = 4096
_CACHED_LENGTH: Final = 256
_MAX_PASSES: Final = 2

_passes = re.compile(rb"(?:^|,)[ \t]*[!-+\--~]+[ \t]+" + PSEUDONYM + rb"(?=[ \t,(]|\Z)", re.IGNORECASE).findall

# RFC 7239 section 4. Values come from clients in part, a host above all, so what is quoted has to be taken as a whole.
_QUOTED: Final = rb'"(?:[^"\\]|\\.)*"'
_ELEMENT: Final = rb'[^",]*(?:' + _QUOTED + rb'[^",]*)*'
_PAIR: Final = rb"([" + TCHAR + rb"]+)=(" + _QUOTED + rb"|[" + TCHAR + rb":\[\]]*)"
_MAYBE_PAIR: Final = rb"[ \t]*(?:" + _PAIR + rb"[ \t]*)?"
_is_balanced = re.compile(_ELEMENT + rb"(?:," + _ELEMENT + rb")*", re.DOTALL).fullmatch
_elements = re.compile(rb"(?:\A|(?<=,))" + _ELEMENT, re.DOTALL).findall
_is_element = re.compile(_MAYBE_PAIR + rb"(?:;" + _MAYBE_PAIR + rb")*", re.DOTALL).fullmatch
_pairs = re.compile(_PAIR, re.DOTALL).findall
_is_node = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[0-9A-Za-z._\-]+))?").fullmatch

_SCHEMES: Final = (b"http", b"https")

_Hop = tuple[bytes, bytes, bytes]
"""Somebody on the way: address, and the host and the scheme that were asked for there, if that is known."""

_NO_HOP: Final = (b"", b"", b"")


class Forwarding:
    """
    The rules of one gateway.
    """

    __slots__ = ("_elements", "_lines", "_listed", "_trusted", "_verdicts")

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        """
        @param trusted: the networks whose C{X-Forwarded-For} and C{Forwarded} are believed.
        """
        self._trusted = tuple(trusted)
        self._verdicts: dict[bytes, bool] = {}
        # Whose requests are that came with these values of X-Forwarded-For, and of Forwarded; b"" for the peer's own.
        self._listed: dict[bytes, bytes] = {}
        self._elements: dict[bytes, bytes] = {}
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
        listed = owned.get(b"x-forwarded-for")
        known = self._listed
        if listed is None:
            listed = owned.get(b"forwarded")
            known = self._elements
            if listed is None:
                return peer
        client = known.get(listed)
        if client is None:
            client = (self._believed(_claimed(owned)) or [b""])[0]
            if len(listed) <= _CACHED_LENGTH:
                if len(known) >= _CACHED_PEERS:
                    known.clear()
                known[listed] = client
        return client or peer

    def _believed(self, claimed: list[bytes]) -> list[bytes]:
        # The end of a list of addresses, from the client's on: as far as each was said by a trusted proxy. What is no
        # address says nothing, and so does all that stands before it.
        believed: list[bytes] = []
        for text in reversed(claimed):
            address = _normal_address(text)
            if not address:
                break
            believed.append(address)
            if not self.trusts(address):
                break
        believed.reverse()
        return believed

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
            scheme = b"https" if secure else b"http"
            lines = self._lines[key] = _lines(peer, [], host, scheme, _port_of(host, scheme))
        return lines

    def _continued(self, peer: bytes, owned: dict[bytes, bytes], host: bytes, secure: bool) -> bytes:
        # A trusted proxy's own lines are continued, and what it says of the client's side is kept. Of two fields that
        # tell of different ways, the one that is believed is told in both.
        elements = [_parse_element(element) for element in _split_elements(owned.get(b"forwarded", b""))]
        way = self._believed(_claimed(owned))
        hops = elements[-len(way) :] if way else []
        if [hop[0] for hop in hops] != way:
            hops = [(address, b"", b"") for address in way]
        _, said_host, said_scheme = hops[0] if hops else elements[-1] if elements else _NO_HOP
        scheme = owned.get(b"x-forwarded-proto", b"").lower()
        if scheme not in _SCHEMES:
            scheme = said_scheme or (b"https" if secure else b"http")
        host = _authority(owned.get(b"x-forwarded-host", b"")) or said_host or host
        port = _port(owned.get(b"x-forwarded-port", b"")) or _port_of(host, scheme)
        return _lines(peer, hops, host, scheme, port)


def _lines(peer: bytes, hops: list[_Hop], host: bytes, scheme: bytes, port: bytes) -> bytes:
    chain = b", ".join([*(hop[0] for hop in hops), peer])
    forwarded = b", ".join([*(_element(hop) for hop in hops), _element((peer, host, scheme))])
    return (
        b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Port: %b\r\n"
        b"Forwarded: %b\r\nX-Gateway: siger-api-gateway\r\n" % (chain, scheme, host, port, forwarded)
    )


def _element(hop: _Hop) -> bytes:
    address, host, scheme = hop
    element = b'for="[%b]"' % address if b":" in address else b"for=" + address
    if host:
        element += b';host="%b"' % host.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return element + b";proto=" + scheme if scheme else element


def _authority(text: bytes) -> bytes:
    # Nobody has checked this one yet, as the request's own was.
    try:
        return parse_authority(text)
    except HeadError:
        return b""


def _port(text: bytes) -> bytes:
    try:
        number = decimal(text)
    except ValueError:
        return b""
    return b"%d" % number if 0 < number < 65536 else b""


def _port_of(host: bytes, scheme: bytes) -> bytes:
    # The port that the client asked for: a name alone is the default port of its scheme.
    _, colon, port = host.rpartition(b":")
    return (_port(port) if colon else b"") or (b"443" if scheme == b"https" else b"80")


def via_line(owned: dict[bytes, bytes], version: int) -> bytes:
    """
    The C{Via} line that names this gateway after those before it.
    """
    own = _VIA[version]
    before = owned.get(b"via")
    return b"Via: %b, %b\r\n" % (before, own) if before else b"Via: " + own + b"\r\n"


def is_loop(owned: dict[bytes, bytes]) -> bool:
    """
    Whether the request has come through gateways of this name so often that it must be going round. Twice is allowed:
    one gateway may stand behind another.
    """
    via = owned.get(b"via")
    return via is not None and len(_passes(via)) >= _MAX_PASSES


def _claimed(owned: dict[bytes, bytes]) -> list[bytes]:
    listed = owned.get(b"x-forwarded-for")
    if listed is not None:
        return LIST_SPLIT(listed.strip(OWS))
    return [_parse_element(element)[0] for element in _split_elements(owned.get(b"forwarded", b""))]


def _split_elements(value: bytes) -> list[bytes]:
    # With a quote left open, where one element ends and the next begins is anybody's guess.
    if not value or _is_balanced(value) is None:
        return []
    return [element.strip(OWS) for element in _elements(value)]


def _parse_element(element: bytes) -> _Hop:
    # What can be used of an element, C{b""} for what cannot; of a parameter that is there twice, neither can.
    if _is_element(element) is None:
        return _NO_HOP
    values: dict[bytes, bytes] = {}
    for name, value in _pairs(element):
        name = name.lower()
        values[name] = b"" if name in values else value.strip(b'"')
    scheme = values.get(b"proto", b"").lower()
    return (
        _node_address(values.get(b"for", b"")),
        _authority(values.get(b"host", b"")),
        scheme if scheme in _SCHEMES else b"",
    )


def _node_address(node: bytes) -> bytes:
    # RFC 7239 section 6: an address, maybe with a port; or a name that is hidden, which is as good as none.
    match = _is_node(node)
    return _normal_address(match[1] or match[2]) if match is not None else b""


def _normal_address(text: bytes) -> bytes:
    # One client has one text. Python would take anything at all for the zone of an IPv6 address, and a zone means
    # nothing on another machine.
    if b"%" in text:
        return b""
    try:
        address = ip_address(text.decode("ascii"))
    except ValueError:
        return b""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address).encode("ascii")
