"""
What the tests of whole exchanges share: a gateway, its backend, raw clients that are closed in the end.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.loop_thread import run_in_loop
from tests.integration.raw_client import RawClient
from tests.integration.recording_backend import Behaviour, Connection, answer
from tests.integration.shared_gateway import shared_pair
from tests.integration.wire import Request, Response

__all__ = ["FlowTestCase", "get", "play"]

PATIENCE = 5.0


class FlowTestCase(SynchronousTestCase):
    """
    Tests that need a running gateway.

    @cvar config: what its configuration has beyond the ordinary, as for L{echo_config}.
    """

    config: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.pair = shared_pair(**self.config)
        self.gateway, self.backend = self.pair.gateway, self.pair.backend
        self._clients: list[RawClient] = []
        self.addCleanup(self._close_clients)

    def _close_clients(self) -> None:
        for client in self._clients:
            run_in_loop(client.close())
        self.assertTrue(self.gateway.alive, "the gateway died")

    async def connect(self, **options: Any) -> RawClient:
        """
        A client of this gateway.
        """
        client = await RawClient.connect(self.gateway.port, **options)
        self._clients.append(client)
        return client

    async def ask(self, request: bytes, timeout: float = PATIENCE) -> Response:
        """
        Send a request on a new connection and wait for its response.
        """
        client = await self.connect()
        if request.startswith(b"HEAD "):
            client.reader.methods.append(b"HEAD")
        await client.send(request)
        return await self.response(client, 1, timeout)

    async def response(self, client: RawClient, number: int = 1, timeout: float = PATIENCE) -> Response:
        """
        The C{number}th final response to this client, complete and well formed.
        """
        came = await client.finals(number, timeout)
        self.assertTrue(came, f"{bytes(client.raw[:300])!r} and {client.closed or 'open'}")
        response = client.reader.finals[number - 1]
        self.assertEqual(response.faults, [])
        return response

    def problem(self, response: Response, status: int, reason: str, error: str = "") -> dict[str, Any]:
        """
        Check a problem document: the same reason in body and status, and the RFC 9209 error beside them.
        """
        self.assertEqual(response.status, status, response)
        self.assertEqual(response.value(b"content-type"), b"application/problem+json")
        document: dict[str, Any] = json.loads(bytes(response.body))
        self.assertEqual((document["status"], document["reason"]), (status, reason))
        self.assertEqual(document["request_id"].encode(), response.value(b"x-request-id"))
        self.assertTrue(document["type"] and document["title"] and document["detail"])
        proxy_status = (response.value(b"proxy-status") or b"").decode()
        self.assertIn(error and f"error={error}", proxy_status)
        return document

    async def access_line(self, response: Response) -> dict[str, Any]:
        """
        The line that the access log has on this response's request.
        """
        request_id = (response.value(b"x-request-id") or b"").decode()
        return await asyncio.to_thread(
            self.gateway.wait_for_access_line, lambda line: line["request_id"] == request_id, PATIENCE
        )

    async def until(self, true: Any, what: str, timeout: float = PATIENCE) -> None:
        """
        Wait for something to happen at the backend.
        """
        self.assertTrue(await self.backend.changed.until(true, timeout), f"not {what} within {timeout} s")

    async def arrival(self, beginning: bytes) -> tuple[Connection, Request]:
        """
        The first request whose target begins so, once its head has reached the backend, and its connection.
        """
        await self.until(lambda: self.backend.find(beginning), f"a request for {beginning!r} at the backend")
        for connection in self.backend.connections:
            for request in connection.requests:
                if request.target.startswith(beginning):
                    return connection, request
        raise AssertionError("gone again")


def get(path: bytes, lines: bytes = b"", method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """
    A request head for a path of the service C{echo}.
    """
    return b"%b /services/echo%b %b\r\nHost: gw.test\r\n%b\r\n" % (method, path, version, lines)


def play(data: bytes = b"", close: bool = False, whole: bool = True) -> Behaviour:
    """
    A behaviour that sends these bytes, by default an ordinary answer.

    @param whole: wait for the end of the request first.
    """

    async def behaviour(connection: Connection, request: Request) -> None:
        if whole:
            await connection.whole(request)
        connection.write(data or answer())
        if close:
            connection.close()

    return behaviour
