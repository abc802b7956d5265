"""
The WebSocket handshake, as far as a gateway must understand it (RFC 6455 section 4).
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1
from typing import Final

from siger.errors import Reason
from siger.http.grammar import list_members
from siger.http.request import RequestHead
from siger.http.response import ResponseHead

__all__ = ["accepts", "check_handshake", "is_handshake", "request_lines", "response_lines"]

_KEY: Final = b"sec-websocket-key"
_VERSION: Final = b"sec-websocket-version"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# Sixteen bytes in base64: the last digit before the padding carries four unused bits.
_is_key = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==").fullmatch


def is_handshake(head: RequestHead) -> bool:
    """
    Whether this request asks for a WebSocket. Any other upgrade is ignored, as every server may (RFC 9110 section 7.8).
    """
    return head.fields.upgrade == b"websocket" and head.method == b"GET" and head.version == 11


def check_handshake(head: RequestHead) -> Reason | None:
    """
    What is wrong with a handshake, if anything.
    """
    owned = head.fields.owned
    if head.fields.chunked or head.fields.content_length or _is_key(owned.get(_KEY, b"")) is None:
        return Reason.INVALID_UPGRADE
    if owned.get(_VERSION) != b"13":
        return Reason.UPGRADE_REQUIRED
    return None


def request_lines(head: RequestHead) -> bytes:
    """
    The handshake's own lines for the instance.
    """
    return (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n"
        % head.fields.owned[_KEY]
    )


def accepts(request: RequestHead, response: ResponseHead) -> bool:
    """
    Whether a 101 accepts this very handshake (RFC 6455 section 4.1).
    """
    owned = response.owned
    digest = sha1(request.fields.owned[_KEY] + _GUID, usedforsecurity=False).digest()
    return (
        owned.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in list_members(owned.get(b"connection", b""))
        and owned.get(b"sec-websocket-accept") == b64encode(digest)
    )


def response_lines(response: ResponseHead) -> bytes:
    """
    The 101's lines for the client.
    """
    return response.relay + (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n"
        % response.owned[b"sec-websocket-accept"]
    )
