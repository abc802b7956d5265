"""
Tests for L{siger.proxy.exchanges}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.http.request_parser import RequestParser
from siger.proxy.call import Call
from siger.proxy.exchange import Exchange
from siger.proxy.exchanges import make_exchange
from siger.proxy.tunnel import Tunnel
from tests.http.fakes import FakeStream
from tests.proxy.world import World

HANDSHAKE = (b"Connection: Upgrade", b"Upgrade: websocket")
GRPC = b"Content-Type: application/grpc"


class MakeExchangeTests(SynchronousTestCase):
    """
    Tests for L{make_exchange}.
    """

    def kind(self, *lines: bytes, method: bytes = b"GET", websocket: bool = True) -> type[Exchange]:
        """
        The kind of exchange that a request gets.
        """
        world = World(websocket=websocket)
        parser = RequestParser()
        fields = parser.fields(b"\r\n".join((b"Host: a.test", *lines)))
        head = parser.head(method + b" /services/echo/x HTTP/1.1", fields)
        return type(make_exchange(world.context, world.arrival(head, FakeStream())))

    def test_request(self) -> None:
        """
        Most requests are nothing special.
        """
        self.assertIs(self.kind(), Exchange)
        self.assertIs(self.kind(b"Content-Length: 5", method=b"POST"), Exchange)

    def test_call(self) -> None:
        """
        A call of gRPC is one by its content type; gRPC-Web that comes so far is for an instance that speaks it itself.
        """
        self.assertIs(self.kind(GRPC, method=b"POST"), Call)
        self.assertIs(self.kind(GRPC + b"-web", method=b"POST"), Exchange)

    def test_tunnel(self) -> None:
        """
        A handshake may become a tunnel where its service lets that through; other upgrades are ignored: B5.
        """
        self.assertIs(self.kind(*HANDSHAKE), Tunnel)
        self.assertIs(self.kind(*HANDSHAKE, websocket=False), Exchange)
        self.assertIs(self.kind(*HANDSHAKE, method=b"POST"), Exchange)
        self.assertIs(self.kind(b"Connection: Upgrade", b"Upgrade: h2c"), Exchange)

    def test_handshake_that_says_to_be_a_call(self) -> None:
        """
        It is one: its client is told of failures in terms of gRPC, and is counted so.
        """
        self.assertIs(self.kind(GRPC, *HANDSHAKE), Call)
        self.assertIs(self.kind(GRPC, *HANDSHAKE, websocket=False), Call)
