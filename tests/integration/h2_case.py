"""
What the tests of HTTP/2 share: a gateway with an HTTP/1.1 backend that writes down what it gets, and what an error is.

An error of a stream must leave the connection whole, so an ordinary request follows on it; an error of the connection
ends it after a GOAWAY that says why (RFC 9113 section 5.4). What the gateway sends is judged in every test, by the
ledger of each connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import Code, Fields, headers, literal
from tests.integration.h2_peer import PATIENCE, H2Peer, Incoming
from tests.integration.loop_thread import run_in_loop
from tests.integration.recording_backend import Connection, answer
from tests.integration.shared_gateway import shared_pair
from tests.integration.wire import Request

__all__ = ["Gate", "H2TestCase"]

_MALFORMED = (Code.PROTOCOL_ERROR, 400)
AnyPeer = TypeVar("AnyPeer", bound=H2Peer)


class Gate:
    """
    A behaviour of the backend that takes the whole request and answers when it is opened.
    """

    def __init__(self, response: bytes = b"") -> None:
        self._response = response or answer(b"done")
        self._open = asyncio.Event()

    async def __call__(self, connection: Connection, request: Request) -> None:
        await connection.whole(request)
        await self._open.wait()
        connection.write(self._response)

    def open(self) -> None:
        """
        Let everyone through, from now on.
        """

        async def opening() -> None:
            self._open.set()

        run_in_loop(opening())


class H2TestCase(SynchronousTestCase):
    """
    Tests that need a gateway which speaks HTTP/2 to its clients.

    @ivar config: what its configuration has beyond the ordinary, as for L{echo_config}.
    """

    config: dict[str, Any] = {}

    def setUp(self) -> None:
        self.pair = shared_pair(**{"http2": True, **self.config})
        self.gateway, self.backend = self.pair.gateway, self.pair.backend
        self._peers: list[H2Peer] = []
        self.addCleanup(self._finish)

    def _finish(self) -> None:
        for peer in self._peers:
            peer.close()
        self.assertTrue(self.gateway.alive, "the gateway died")
        self.assertEqual([fault for peer in self._peers for fault in peer.ledger.faults], [])

    def kept(self, peer: AnyPeer) -> AnyPeer:
        """
        Have a connection closed and judged in the end.
        """
        self._peers.append(peer)
        return peer

    def connect(self, *pairs: tuple[int, int], **options: Any) -> H2Client:
        """
        A client whose connection is open, with these settings.
        """
        return self.kept(H2Client(self.gateway.port, **options)).start(*pairs)

    def until(self, true: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
        """
        Wait for something to happen at the backend.
        """
        self.assertTrue(run_in_loop(self.backend.changed.until(true, timeout)), f"not {what} within {timeout} s")

    def arrival(self, path: bytes) -> Request:
        """
        The first request for this path, once its head has reached the backend.
        """
        self.until(lambda: self.backend.find(path), f"a request for {path!r} at the backend")
        return self.backend.find(path)[0]

    def completed(self, path: bytes) -> Request:
        """
        The same, once the backend has all of it.
        """
        found = self.arrival(path)
        self.until(lambda: found.complete, f"all of {path!r} at the backend")
        return found

    def hold(self, client: H2Client, path: bytes = b"/held", end: bool = True) -> tuple[int, Gate]:
        """
        Open a stream whose request is with the backend, which does not answer it yet.
        """
        gate = self.backend.scripts[path] = Gate()
        before = len(self.backend.find(path))
        stream = client.open(request(path, method=b"GET" if end else b"POST"), end)
        self.until(lambda: len(self.backend.find(path)) > before, f"a request for {path!r} at the backend")
        return stream, gate

    def connection_error(self, client: H2Client, *codes: Code) -> None:
        """
        The gateway ends the connection with GOAWAY and one of these codes.
        """
        self.assertTrue(client.until_closed(), f"the connection is still open: {client}")
        self.assertIn(client.goaway, codes, client)

    def stream_error(self, client: H2Client, stream: int, *codes: Code | int) -> Incoming:
        """
        The gateway resets the stream with one of these codes, or answers with one of these statuses, and the connection
        goes on.
        """
        found = client.end(stream)
        seen = found.status if found.code in (None, Code.NO_ERROR) else found.code
        self.assertIn(seen, codes, client)
        self.unharmed(client)
        return found

    def unharmed(self, client: H2Client) -> None:
        """
        Nothing is wrong with the connection: the next request on it is answered, with header blocks that build on what
        was sent before.
        """
        self.assertEqual(client.ask(b"/after", (b"x-after", b"yes")).status, 200, client)
        self.assertEqual((client.closed, client.goaway), ("", None), client)

    def refused(self, fields: Fields, end: bool = True, behind: bytes = b"", *others: Code | int) -> None:
        """
        A request is refused as malformed, and the backend sees nothing of it.

        @param fields: its fields, with a path that nothing else has.
        @param behind: frames that follow on the same stream, 1.
        @param others: what else may be the answer.
        """
        client = self.connect()
        stream, client.next = client.next, client.next + 2
        client.send(headers(stream, literal(fields), end) + behind)
        self.stream_error(client, stream, *_MALFORMED, *others)
        self.assertEqual([one.raw for one in self.backend.requests if not one.target.endswith(b"/after")], [])
