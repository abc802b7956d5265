"""
Tests for L{siger.proxy.websocket}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.request import RequestHead
from siger.http.request_parser import RequestParser
from siger.http.response import ResponseHead, ResponseParser
from siger.proxy.websocket import accepts, check_handshake, is_handshake, request_lines, response_lines

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The example of RFC 6455 section 1.3."""

HOST = b"Host: a.test"
CONNECTION = b"Connection: Upgrade"
UPGRADE = b"Upgrade: websocket"
VERSION = b"Sec-WebSocket-Version: 13"
KEY_LINE = b"Sec-WebSocket-Key: " + KEY


def request(*lines: bytes, line: bytes = b"GET / HTTP/1.1") -> RequestHead:
    """
    A request's head.
    """
    parser = RequestParser()
    return parser.head(line, parser.fields(b"\r\n".join((HOST, *lines))))


def response(*lines: bytes) -> ResponseHead:
    """
    A 101's head.
    """
    return ResponseParser().head(b"\r\n".join((b"HTTP/1.1 101 Switching Protocols", *lines)))


class IsHandshakeTests(SynchronousTestCase):
    """
    Tests for L{is_handshake}.
    """

    def test_handshake(self) -> None:
        """
        A GET that asks for C{websocket} by both fields is one: B5.
        """
        self.assertTrue(is_handshake(request(CONNECTION, UPGRADE)))
        self.assertTrue(is_handshake(request(b"Connection: keep-alive, upgrade", b"Upgrade: WebSocket")))

    def test_something_else(self) -> None:
        """
        Any other upgrade, method, version or number of protocols is none: B1, B5.
        """
        for head in (
            request(),
            request(UPGRADE),
            request(CONNECTION),
            request(b"Connection: keep-alive", UPGRADE),
            request(CONNECTION, b"Upgrade: h2c"),
            request(CONNECTION, b"Upgrade: websocket, h2c"),
            request(CONNECTION, b"Upgrade: websocket/13"),
            request(CONNECTION, UPGRADE, line=b"POST / HTTP/1.1"),
            request(CONNECTION, UPGRADE, line=b"GET / HTTP/1.0"),
        ):
            self.assertFalse(is_handshake(head), head.fields.raw)


class CheckHandshakeTests(SynchronousTestCase):
    """
    Tests for L{check_handshake}.
    """

    def test_good(self) -> None:
        """
        With a key of 16 bytes and version 13, and without a body, nothing is wrong: B5.
        """
        for key in (KEY, b"AAAAAAAAAAAAAAAAAAAAAA==", b"+/+/+/+/+/+/+/+/+/+/+w=="):
            self.assertIsNone(check_handshake(request(CONNECTION, UPGRADE, VERSION, b"Sec-WebSocket-Key: " + key)))
        self.assertIsNone(check_handshake(request(CONNECTION, UPGRADE, VERSION, KEY_LINE, b"Content-Length: 0")))

    def test_key(self) -> None:
        """
        Without a key, or with another, it is invalid: B5.
        """
        self.assertIs(check_handshake(request(CONNECTION, UPGRADE, VERSION)), Reason.INVALID_UPGRADE)
        for key in (
            b"",
            KEY[:-1],
            KEY[:-2],
            KEY + b"=",
            b"A" + KEY,
            b"AAAAAAAAAAAAAAAAAAAAAB==",
            b"-" * 22 + b"==",
            b"x",
        ):
            head = request(CONNECTION, UPGRADE, VERSION, b"Sec-WebSocket-Key: " + key)
            self.assertIs(check_handshake(head), Reason.INVALID_UPGRADE, key)

    def test_version(self) -> None:
        """
        Without version 13 it is told which there is: B5.
        """
        self.assertIs(check_handshake(request(CONNECTION, UPGRADE, KEY_LINE)), Reason.UPGRADE_REQUIRED)
        for version in (b"", b"8", b"013", b"13, 8", b"14"):
            head = request(CONNECTION, UPGRADE, KEY_LINE, b"Sec-WebSocket-Version: " + version)
            self.assertIs(check_handshake(head), Reason.UPGRADE_REQUIRED, version)

    def test_body(self) -> None:
        """
        With a body it is invalid: B3.
        """
        for line in (b"Content-Length: 1", b"Transfer-Encoding: chunked"):
            head = request(CONNECTION, UPGRADE, VERSION, KEY_LINE, line)
            self.assertIs(check_handshake(head), Reason.INVALID_UPGRADE)


class AcceptsTests(SynchronousTestCase):
    """
    Tests for L{accepts}.
    """

    GOOD = (CONNECTION, UPGRADE, b"Sec-WebSocket-Accept: " + ACCEPT)

    def test_accepted(self) -> None:
        """
        A 101 with both fields and the key's digest accepts the handshake: B6.
        """
        asked = request(CONNECTION, UPGRADE, VERSION, KEY_LINE)
        self.assertTrue(accepts(asked, response(*self.GOOD)))
        self.assertTrue(accepts(asked, response(b"Connection: x, UPGRADE", b"Upgrade: WebSocket", self.GOOD[2])))

    def test_not_accepted(self) -> None:
        """
        Any other does not: B6.
        """
        asked = request(CONNECTION, UPGRADE, VERSION, KEY_LINE)
        for lines in (
            (),
            (self.GOOD[0], self.GOOD[1]),
            (self.GOOD[0], self.GOOD[2]),
            (self.GOOD[1], self.GOOD[2]),
            (CONNECTION, b"Upgrade: h2c", self.GOOD[2]),
            (CONNECTION, b"Upgrade: websocket, h2c", self.GOOD[2]),
            (b"Connection: close", UPGRADE, self.GOOD[2]),
            (CONNECTION, UPGRADE, b"Sec-WebSocket-Accept: " + ACCEPT.lower()),
            (CONNECTION, UPGRADE, b"Sec-WebSocket-Accept: " + KEY),
            (CONNECTION, UPGRADE, b"Sec-WebSocket-Accept:"),
        ):
            self.assertFalse(accepts(asked, response(*lines)), lines)


class LinesTests(SynchronousTestCase):
    """
    Tests for L{request_lines} and L{response_lines}.
    """

    def test_request(self) -> None:
        """
        The instance gets the handshake's fields, written anew.
        """
        asked = request(b"Connection: x, upgrade", b"Upgrade: WEBSOCKET", VERSION, KEY_LINE)
        self.assertEqual(
            request_lines(asked),
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            + KEY
            + b"\r\n",
        )

    def test_response(self) -> None:
        """
        The client gets the answer's, and what else the instance said.
        """
        head = response(*AcceptsTests.GOOD, b"Sec-WebSocket-Protocol: chat", b"Keep-Alive: 5")
        self.assertEqual(
            response_lines(head),
            b"Sec-WebSocket-Protocol: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
            + ACCEPT
            + b"\r\n",
        )
