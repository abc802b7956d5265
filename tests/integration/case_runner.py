"""
Runs cases against a gateway that serves C{/services/echo/}: sends, waits for what must come, writes down what came.

Nothing here sleeps for a while to see whether more happens. An ordinary request follows every case instead, on the
same connection where that is still open. Its answer must be its own, which shows that nothing was left over on either
side of the gateway.
"""

from __future__ import annotations

import asyncio
import itertools
import json

from tests.integration import request_judge, response_judge
from tests.integration.case_files import Case
from tests.integration.raw_client import RawClient, segments
from tests.integration.recording_backend import Behaviour, Connection, RecordingBackend, echo
from tests.integration.wire import Request

__all__ = ["CaseRunner"]

_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
_HANDSHAKE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n" % _KEY
)
_TUNNELLED = b"\x00raw\r\n\r\nbytes"
_METHODS = {"HEAD": b"HEAD", "POST-1MB": b"POST", "POST-expect": b"POST"}
_LINES = {
    "WS": _HANDSHAKE,
    "POST-1MB": b"Content-Length: 1048576\r\n",
    "POST-expect": b"Content-Length: 5\r\nExpect: 100-continue\r\n",
}
_serial = itertools.count()


class CaseRunner:
    """
    Runs one case after the other against one gateway and its one backend.

    @ivar patience: seconds to wait for what should happen at once.
    @ivar quiet: seconds without an answer after which a request that need not be forwarded is half-closed.
    """

    def __init__(self, port: int, backend: RecordingBackend, patience: float = 4.0) -> None:
        self.port = port
        self.backend = backend
        self.patience = patience
        self.quiet = patience / 4

    async def request(self, case: Case, mode: str, accept_websocket: bool = True) -> list[str]:
        """
        Send the case's bytes as a client, in this write mode.

        @param accept_websocket: whether the backend accepts WebSocket handshakes.
        @return: what violates the case, in words.
        """
        self.backend.forget()
        self.backend.scripts = {b"": _websocket_or_echo if accept_websocket else echo}
        client = await RawClient.connect(self.port)
        if case.raw.startswith(b"HEAD "):
            client.reader.methods.append(b"HEAD")
        sending = asyncio.ensure_future(_send(case, mode, client))
        try:
            await self._outcome(case, client)
            if not client.closed:
                await asyncio.wait([sending], timeout=self.patience)
            seen = _client_side(client)
            reusable = not client.closed and seen.finals and sending.done() and not case.get("eof")
            seen.canary = await self._canary(client if reusable and seen.finals[-1].status != 101 else None)
            _backend_side(seen, self.backend)
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            await client.close()
        return request_judge.judge(case, seen)

    async def _outcome(self, case: Case, client: RawClient) -> None:
        """
        Wait for the responses that the case promises, and for the end where it or the last response promises one.
        """
        if case.expect == "reject":
            await client.finals(1, self.quiet)
        else:
            count = case.get("responses", case.get("forwarded", 1))
            timeout = self.patience if case.expect == "forward" else self.quiet
            await client.changed.until(lambda: _settled(case, client, count), timeout)
        if not client.reader.finals and not client.closed:
            client.half_close()
            await client.until_closed(self.patience)
        if case.expect == "reject":
            await client.finals(case.get("responses", case.get("forwarded", 0) + 1), self.patience)
        if _must_close(case, client):
            await client.until_closed(self.patience)
        await self.backend.changed.until(lambda: not any(one.busy for one in self.backend.connections), self.patience)

    async def response(self, case: Case, mode: str) -> list[str]:
        """
        Let the backend send the case's bytes, in pieces as C{mode} says, and see what the client gets.

        @return: what violates the case, in words.
        """
        self.backend.forget()
        self.backend.scripts = {b"/case": _play(case, mode), b"/idle": _play_idle(case, mode)}
        client = await RawClient.connect(self.port)
        try:
            await self._ask(case, client)
            seen = response_judge.Observation(client.reader.finals, client.reader.interims, client.closed, client.raw)
            if seen.tunnelled:
                await self._talk_through(client, len(case.get("body") or b""))
                seen.tunnel = bytes(client.reader.tunnel)
                await client.close()
            await self._upstream_side(case, seen)
        finally:
            await client.close()
        return response_judge.judge(case, seen)

    async def _ask(self, case: Case, client: RawClient) -> None:
        """
        Send the request that the case is about, and wait for its response to end.
        """
        kind, version = case.get("request", "GET"), case.get("client_version", "1.1").encode()
        method, path = _METHODS.get(kind, b"GET"), b"idle" if case.get("when") == "idle" else b"case"
        client.reader.methods.append(method)
        head = b"%b /services/echo/%b HTTP/%b\r\nHost: gw.test\r\n%b\r\n"
        await client.send(head % (method, path, version, _LINES.get(kind, b"")))
        if kind == "POST-1MB":
            await self._upload(case, client)
        if kind == "POST-expect":
            await client.changed.until(lambda: client.reader.messages or client.closed, self.patience)
            if not client.reader.finals:
                await client.send(b"hello")
        await client.finals(1, self.patience)
        if client.reader.finals and not client.reader.finals[-1].complete:
            await client.until_closed(self.patience)

    async def _upload(self, case: Case, client: RawClient) -> None:
        """
        Send a megabyte; where an early answer is the point, not before it has come.
        """
        await client.send(bytes(1 << 16))
        if case.get("when") == "before-body":
            await client.finals(1, self.patience)
        await client.send(bytes((1 << 20) - (1 << 16)))

    async def _talk_through(self, client: RawClient, expected: int) -> None:
        """
        Show that a tunnel carries bytes both ways.
        """
        await client.changed.until(lambda: len(client.reader.tunnel) >= expected or client.closed, self.patience)
        await client.send(_TUNNELLED)
        await self.backend.changed.until(
            lambda: any(_TUNNELLED in one.reader.tunnel for one in self.backend.connections), self.patience
        )

    async def _upstream_side(self, case: Case, seen: response_judge.Observation) -> None:
        """
        See what became of the connection, and whether two more requests, one after the other, get their own answers.
        """
        carriers = [one for one in self.backend.connections if one.requests]
        seen.talked = any(_TUNNELLED in one.reader.tunnel for one in carriers)
        if seen.tunnelled or _expects_close(case, seen):
            await self.backend.changed.until(lambda: all(one.closed for one in carriers), self.patience)
        seen.upstream_closed = all(one.closed for one in carriers)
        unseen = case.get("next_request_must_not_see", "").encode("latin-1")
        seen.canary = await self._canary(None, unseen) or await self._canary(None, unseen)
        seen.reused = any(one.target.startswith(b"/canary") for carrier in carriers for one in carrier.requests)
        seen.asked = [one for one in self.backend.requests if not one.target.startswith(b"/canary")]

    async def _canary(self, client: RawClient | None, unseen: bytes = b"") -> str:
        """
        Send an ordinary request, on a new connection unless one is given.

        @param unseen: bytes that must not come with the answer.
        @return: what is wrong with the answer; C{""} for nothing.
        """
        own = await RawClient.connect(self.port) if client is None else client
        target, before, start = f"/canary-{next(_serial)}", len(own.reader.finals), len(own.raw)
        try:
            await own.send(b"GET /services/echo%b HTTP/1.1\r\nHost: gw.test\r\n\r\n" % target.encode())
            await own.finals(before + 1, self.patience)
        finally:
            if client is None:
                await own.close()
        if unseen and unseen in own.raw[start:]:
            return f"an ordinary request afterwards saw {unseen!r}"
        finals = own.reader.finals[before:]
        if not finals and client is not None and own.closed:
            return ""
        if len(finals) != 1 or not finals[0].complete:
            return f"an ordinary request afterwards got {len(finals)} responses ({own.closed or 'open'})"
        return (
            "" if (got := _target_in(bytes(finals[0].body))) == target else f"an ordinary request afterwards got {got}"
        )


async def _websocket_or_echo(connection: Connection, request: Request) -> None:
    """
    Accept the handshake of the sample key, echo anything else.
    """
    if request.value(b"sec-websocket-key") == _KEY and b"upgrade" in request.names():
        connection.write(b"HTTP/1.1 101 Switching Protocols\r\n" + _ACCEPT + b"\r\n")
        connection.reader.become_tunnel()
    else:
        await echo(connection, request)


async def _send(case: Case, mode: str, client: RawClient) -> None:
    await client.send(case.raw, mode)
    if case.get("eof"):
        client.half_close()


def _settled(case: Case, client: RawClient, count: int) -> bool:
    """
    Whether no more responses are to come: all are there, or the only refusal is, or the connection has ended.
    """
    done = [one for one in client.reader.finals if one.complete]
    refused = "responses" not in case.options and any(one.status >= 400 for one in done)
    return bool(client.closed) or len(done) >= count or refused


def _must_close(case: Case, client: RawClient) -> bool:
    if case.get("client_close") or (case.expect == "reject" and case.get("close", True)):
        return True
    return any(b"close" in (one.value(b"connection") or b"").lower() for one in client.reader.finals)


def _client_side(client: RawClient) -> request_judge.Observation:
    return request_judge.Observation(
        finals=list(client.reader.finals), interims=list(client.reader.interims), closed=client.closed
    )


def _backend_side(seen: request_judge.Observation, backend: RecordingBackend) -> None:
    ordinary = [one for one in backend.requests if not one.target.startswith(b"/canary-")]
    seen.forwarded = [one for one in ordinary if one.complete]
    seen.partial = [one for one in ordinary if not one.complete]
    seen.dangling = sum(one.busy for one in backend.connections)
    seen.streams = [_http_part(one) for one in backend.connections if one.raw]


def _http_part(connection: Connection) -> bytes:
    """
    What came before the connection became a tunnel.
    """
    return bytes(connection.raw[: len(connection.raw) - len(connection.reader.tunnel)])


def _target_in(body: bytes) -> str:
    """
    The target that an echo tells of, or the body itself where it is none.
    """
    try:
        return str(json.loads(body)["target"])
    except (ValueError, KeyError, TypeError):
        return repr(body[:80])


def _expects_close(case: Case, seen: response_judge.Observation) -> bool:
    """
    Whether the connection to the backend has to end, by what the case says or by what the client got.
    """
    delivered = any(one.complete and one.status != 502 for one in seen.finals)
    return not delivered or "forward" not in {case.expect, *case.get("also", ())}


def _play(case: Case, mode: str) -> Behaviour:
    """
    A behaviour that sends the case's bytes and nothing else.
    """

    async def play(connection: Connection, request: Request) -> None:
        if case.get("when") != "before-body":
            await connection.whole(request)
        if case.raw.startswith(b"HTTP/1.1 101"):
            connection.reader.become_tunnel()
        await _write_in(mode, connection, case.raw)
        if case.get("eof"):
            connection.close()

    return play


def _play_idle(case: Case, mode: str) -> Behaviour:
    """
    A behaviour that answers properly and a little later, unasked, sends the case's bytes.
    """

    async def play(connection: Connection, request: Request) -> None:
        await echo(connection, request)
        await asyncio.sleep(0.05)
        await _write_in(mode, connection, case.raw)
        if case.get("eof"):
            connection.close()

    return play


async def _write_in(mode: str, connection: Connection, data: bytes) -> None:
    for piece in segments(mode, data):
        await connection.write_slowly(piece)
        await asyncio.sleep(0)
