"""
The request target and the authority, in the one form that routing, admission, logs and backends all see.

A path is compared as bytes after dot segments are resolved and unreserved characters decoded (RFC 3986 section 6.2.2).
What two decoders could read in two ways (an encoded slash, a backslash, NUL, a broken escape) is refused.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from siger.errors import Reason
from siger.http.fields import HeadError
from siger.http.grammar import decimal

__all__ = ["normalise_path", "parse_authority", "split_target"]

# Browsers leave "[", "]" and "|" as they are in a path (WHATWG URL), although RFC 3986 has no place for them.
_SEGMENT = rb"A-Za-z0-9_~!$&'()*+,;=:@\[\]|\-"
_QUERY = rb"(\?[!$-;=?-\[\]-~]*)?"

_CLEAN_PATH = rb"(?:/[" + _SEGMENT + rb"][" + _SEGMENT + rb".]*)+/?|/"

is_clean_path = re.compile(_CLEAN_PATH).fullmatch
"""A target that is a path in normal form, and no query."""

clean_target = re.compile(rb"(" + _CLEAN_PATH + rb")" + _QUERY).fullmatch
"""A target that is in normal form already: groups are path and query. Dots may only follow something in a segment."""

_any_target = re.compile(rb"(/[" + _SEGMENT + rb".%/]*)" + _QUERY).fullmatch
_absolute_form = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)(.*)", re.DOTALL).fullmatch
_escape = re.compile(rb"%([0-9A-Fa-f]{2})?").sub
_dots_with_parameter = re.compile(rb"/\.{1,2};").search
_registered_name = re.compile(rb"(?!-)[A-Za-z0-9_~\-]+(?:\.[A-Za-z0-9_~\-]+)*\.?").fullmatch
_bracketed = re.compile(rb"\[([0-9A-Fa-f:.]+)\](?::([0-9]*))?").fullmatch

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def _decode(match: re.Match[bytes]) -> bytes:
    digits = match[1]
    if digits is None:
        raise HeadError(Reason.INVALID_TARGET, "The path holds a broken percent-encoding.")
    byte = int(digits, 16)
    if byte in _UNRESERVED:
        return bytes((byte,))
    if byte in (0x00, 0x5C):
        raise HeadError(Reason.INVALID_TARGET, "The path holds an encoded NUL or backslash.")
    return b"%" + digits.upper()


def normalise_path(path: bytes) -> bytes:
    """
    Decode what needs no encoding, resolve dot segments (RFC 3986 section 5.2.4) and merge empty segments.

    An encoded slash stays as C{%2F}: whether it may pass is its route's choice.

    @raise HeadError: the path is ambiguous.
    """
    path = _escape(_decode, path)
    if _dots_with_parameter(path) is not None:
        raise HeadError(Reason.INVALID_TARGET, "The path holds a dot segment with a parameter.")
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    ends_open = kept and segments[-1] in (b"", b".", b"..")
    return b"/" + b"/".join(kept) + (b"/" if ends_open else b"")


def split_target(target: bytes) -> tuple[bytes, bytes, bytes]:
    """
    Take an origin-form or absolute-form target apart (RFC 9112 section 3.2).

    @return: authority (C{b""} for origin-form), normalised path, query with its question mark.
    @raise HeadError: any other form, or a path that L{normalise_path} refuses.
    """
    authority = b""
    absolute = _absolute_form(target)
    if absolute is not None:
        authority, target = parse_authority(absolute[1]), absolute[2]
        if not target.startswith(b"/"):
            target = b"/" + target
    match = _any_target(target)
    if match is None:
        raise HeadError(Reason.INVALID_TARGET, "The request target is not an absolute path.")
    return authority, normalise_path(match[1]), match[2] or b""


def parse_authority(text: bytes) -> bytes:
    """
    Check C{uri-host [":" port]} (RFC 9110 section 7.2): an IPv4 or IPv6 literal or a plain name, no userinfo.

    @return: the same, without an empty port.
    @raise HeadError: it is anything else.
    """
    bracketed = _bracketed(text)
    if bracketed is not None:
        host, port = text[: text.index(b"]") + 1], bracketed[2] or b""
        valid = _is_ipv6(bracketed[1])
    else:
        host, _, port = text.partition(b":")
        valid = len(host) <= 255 and _registered_name(host) is not None
    try:
        valid = valid and (not port or decimal(port) <= 65535)
    except ValueError:
        valid = False
    if not valid:
        raise HeadError(Reason.INVALID_HOST, "The host is not a valid authority.")
    return b"%b:%b" % (host, port) if port else host


def _is_ipv6(text: bytes) -> bool:
    try:
        IPv6Address(text.decode("ascii"))
    except AddressValueError:
        return False
    return True
