"""
WebSockets through a real gateway, with the C{websockets} library at both ends, and raw bytes where it is too polite.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from siger.auth.claims import LEEWAY
from tests.integration.flow_case import FlowTestCase, get
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import in_loop, run_in_loop
from tests.integration.raw_client import RawClient
from tests.integration.recording_backend import Connection, answer
from tests.integration.shared_gateway import shared_pair
from tests.integration.wire import Request

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n" % KEY
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
IDLE = 1.0
MIB = 1 << 20

Handler = Callable[[ServerConnection], Coroutine[Any, Any, None]]


class Handlers:
    """
    What the WebSocket server does on each path.

    @ivar closed: the code and reason with which each connection ended, as the server saw it.
    """

    def __init__(self) -> None:
        self.by_path: dict[str, Handler] = {}
        self.closed: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path, closed = connection.request.path.partition("?")[0], self.closed
        try:
            await self.by_path.get(path, echo)(connection)
        except ConnectionClosed:
            pass
        finally:
            await connection.wait_closed()
            closed.put_nowait((connection.close_code, connection.close_reason))


async def echo(connection: ServerConnection) -> None:
    """
    Send back what comes.
    """
    async for message in connection:
        await connection.send(message)


def prefer_first(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """
    The client's first choice, if it has one.
    """
    return offered[0] if offered else None


@cache
def websocket_server() -> tuple[Server, Handlers]:
    """
    One server for all tests, with room for large messages.
    """
    handlers = Handlers()

    async def start() -> Server:
        return await serve(handlers, "127.0.0.1", 0, max_size=None, select_subprotocol=prefer_first, ping_interval=None)

    return run_in_loop(start()), handlers


class WebSocketTestCase(FlowTestCase):
    """
    A gateway with a service C{ws} beside C{echo}: real WebSockets, and one with a short idle timeout.
    """

    def setUp(self) -> None:
        server, self.handlers = websocket_server()
        instance = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        services = {
            "ws": {"instances": [instance], "timeouts": {"idle": 30}},
            "idle": {"instances": [instance], "timeouts": {"idle": IDLE}},
            "plain": {"instances": [instance], "websocket": False},
            "users": {"instances": [instance], "auth": "user"},
        }
        self.pair = shared_pair(services=services)
        self.gateway, self.backend = self.pair.gateway, self.pair.backend
        self._clients = []
        self.addCleanup(self._close_clients)
        self.handlers.by_path = {}
        self.handlers.closed = asyncio.Queue()

    @asynccontextmanager
    async def websocket(self, path: str = "/", service: str = "ws", **options: Any) -> AsyncIterator[ClientConnection]:
        """
        A WebSocket through the gateway.
        """
        options = {"max_size": None, "ping_interval": None, "proxy": None, **options}
        async with connect(f"ws://127.0.0.1:{self.gateway.port}/services/{service}{path}", **options) as connection:
            yield connection

    async def server_saw(self) -> tuple[int | None, str | None]:
        """
        How the next connection ended, as the server saw it.
        """
        return await asyncio.wait_for(self.handlers.closed.get(), 5)


class MessageTests(WebSocketTestCase):
    """
    What passes through a tunnel.
    """

    @in_loop
    async def test_echo(self) -> None:
        """
        Text and binary messages pass both ways, many in flight, in order.
        """
        async with self.websocket() as connection:
            for message in ("text \N{SNOWMAN}", b"\x00binary\xff", "", b""):
                await connection.send(message)
                self.assertEqual(await connection.recv(), message)
            for number in range(500):
                await connection.send(str(number))
            self.assertEqual([await connection.recv() for _ in range(500)], [str(number) for number in range(500)])

    @in_loop
    async def test_large(self) -> None:
        """
        Messages of many megabytes arrive whole, one frame or many.
        """
        message = bytes(range(256)) * (16 * MIB // 256)
        async with self.websocket(compression=None) as connection:
            receiving = asyncio.ensure_future(connection.recv())
            await connection.send(message)
            self.assertTrue(await receiving == message)
            receiving = asyncio.ensure_future(connection.recv())
            await connection.send(message[start : start + 65536] for start in range(0, MIB, 65536))
            self.assertTrue(await receiving == message[:MIB])

    @in_loop
    async def test_ping(self) -> None:
        """
        Pings and their pongs are the endpoints' own, either way.
        """

        async def ping(connection: ServerConnection) -> None:
            await asyncio.wait_for(await connection.ping(b"from the server"), 5)
            await connection.send("ponged")
            await connection.wait_closed()

        self.handlers.by_path["/ping"] = ping
        async with self.websocket("/ping") as connection:
            self.assertEqual(await connection.recv(), "ponged")
            latency = await asyncio.wait_for(await connection.ping(b"from the client"), 5)
            self.assertGreater(latency, 0)

    @in_loop
    async def test_negotiation(self) -> None:
        """
        Subprotocols and extensions are negotiated between the endpoints; the handshake carries the client's fields.
        """
        seen = {}

        async def look(connection: ServerConnection) -> None:
            assert connection.request is not None
            seen.update({name.lower(): value for name, value in connection.request.headers.raw_items()})
            seen["path"] = connection.request.path
            await connection.wait_closed()

        self.handlers.by_path["/look"] = look
        fields = {"Authorization": "Bearer t"}
        async with self.websocket(
            "/look?a=%2F",
            subprotocols=[Subprotocol("v1.test"), Subprotocol("v2.test")],
            additional_headers=fields,
            origin="http://o",
        ) as connection:
            self.assertEqual(connection.subprotocol, "v1.test")
            self.assertEqual([one.name for one in connection.protocol.extensions], ["permessage-deflate"])
        await self.server_saw()
        wanted = {"path": "/look?a=%2F", "authorization": "Bearer t", "origin": "http://o", "x-forwarded-proto": "http"}
        self.assertEqual({key: seen.get(key) for key in wanted}, wanted)
        self.assertIn("x-request-id", seen)

    @in_loop
    async def test_close_codes(self) -> None:
        """
        Close codes and reasons pass untouched, whoever closes.
        """

        async def close(connection: ServerConnection) -> None:
            await connection.close(4001, "server says so")

        self.handlers.by_path["/close"] = close
        async with self.websocket("/close") as connection:
            with self.assertRaises(ConnectionClosed):
                await connection.recv()
            self.assertEqual((connection.close_code, connection.close_reason), (4001, "server says so"))
        self.assertEqual(await self.server_saw(), (4001, "server says so"))
        async with self.websocket() as connection:
            await connection.close(4002, "client says so")
        self.assertEqual(await self.server_saw(), (4002, "client says so"))

    @in_loop
    async def test_unclean_ends(self) -> None:
        """
        When one end goes without a word, the other hears of it at once.
        """

        async def vanish(connection: ServerConnection) -> None:
            await connection.recv()
            connection.transport.abort()

        self.handlers.by_path["/vanish"] = vanish
        async with self.websocket("/vanish") as connection:
            await connection.send("go")
            began = time.monotonic()
            with self.assertRaises(ConnectionClosed):
                await connection.recv()
            self.assertEqual(connection.close_code, 1006)
        await self.server_saw()
        async with self.websocket() as connection:
            connection.transport.abort()
            self.assertEqual((await self.server_saw())[0], 1006)
        self.assertLess(time.monotonic() - began, 10)

    @in_loop
    async def test_logged(self) -> None:
        """
        A tunnel is one line in the access log, when it ends, with what passed.
        """
        async with self.websocket("/logged", compression=None) as connection:
            await connection.send(b"x" * 1000)
            await connection.recv()
        line = await asyncio.to_thread(
            self.gateway.wait_for_access_line, lambda one: one["path"] == "/services/ws/logged"
        )
        self.assertEqual((line["status"], line["reason"]), (101, None))
        self.assertGreaterEqual(line["bytes_in"], 1000)
        self.assertGreaterEqual(line["bytes_out"], 1000)


class IdleTests(WebSocketTestCase):
    """
    The idle timeout.
    """

    @in_loop
    async def test_idle(self) -> None:
        """
        A tunnel on which nothing happens is closed at both ends.
        """
        async with self.websocket(service="idle") as connection:
            began = time.monotonic()
            await connection.wait_closed()
            self.assertTrue(IDLE * 0.7 < time.monotonic() - began < IDLE + 5)
        self.assertEqual((await self.server_saw())[0], 1006)

    @in_loop
    async def test_either_direction(self) -> None:
        """
        Traffic in one direction is enough to keep a tunnel.
        """

        async def listen(connection: ServerConnection) -> None:
            async for _ in connection:
                pass

        async def talk(connection: ServerConnection) -> None:
            for _ in range(7):
                await connection.send("tick")
                await asyncio.sleep(IDLE / 4)

        self.handlers.by_path.update({"/listen": listen, "/talk": talk})
        async with self.websocket("/talk", "idle") as connection:
            for _ in range(7):
                self.assertEqual(await connection.recv(), "tick")
        async with self.websocket("/listen", "idle") as connection:
            for _ in range(7):
                await connection.send("tick")
                await asyncio.sleep(IDLE / 4)
            self.assertEqual(connection.close_code, None)
            await connection.send("still here")


class HandshakeTests(WebSocketTestCase):
    """
    Handshakes that are not accepted, and other upgrades.
    """

    @in_loop
    async def test_refused(self) -> None:
        """
        A backend's refusal is relayed, and its connection is not used again.
        """

        async def refuse(connection: Connection, request: Request) -> None:
            connection.write(answer(b"members only", b"403 Forbidden", b"X-Why: not you\r\n"))

        self.backend.scripts[b"/members"] = refuse
        for number in range(2):
            with self.assertRaises(InvalidStatus) as caught:
                async with self.websocket("/members", "echo"):
                    pass
            response = caught.exception.response
            self.assertEqual((response.status_code, response.body), (403, b"members only"))
            self.assertEqual(response.headers["X-Why"], "not you")
            await self.ask(get(b"/other/%d" % number))
        for connection in self.backend.connections:
            asked = {one.target.split(b"/")[1] for one in connection.requests}
            self.assertLessEqual(len(asked), 1, "a connection that was asked to upgrade served another request")
        refused, _ = await self.arrival(b"/members")
        await self.until(lambda: refused.closed, "closed upstream")

    @in_loop
    async def test_checked(self) -> None:
        """
        A handshake without a proper key is a 400, one of another version a 426 that names ours; a body is refused.
        """
        for key in (b"", b"Sec-WebSocket-Key: c2hvcnQ=\r\n", b"Sec-WebSocket-Key: %b!\r\n" % KEY[:-1]):
            lines = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" + key
            self.problem(await self.ask(get(b"/key", lines)), 400, "invalid_upgrade")
        response = await self.ask(get(b"/version", HANDSHAKE.replace(b": 13", b": 8")))
        self.problem(response, 426, "upgrade_required")
        self.assertEqual(response.value(b"sec-websocket-version"), b"13")
        response = await self.ask(get(b"/body", HANDSHAKE + b"Content-Length: 5\r\n") + b"hello")
        self.problem(response, 400, "invalid_upgrade")
        self.assertEqual(self.backend.requests, [])

    @in_loop
    async def test_others_stripped(self) -> None:
        """
        Any other upgrade is ignored: the request goes on without it, and what follows on the connection is HTTP.
        """
        for number, token in enumerate((b"h2c", b"TLS/1.0", b"foo", b"websocket, h2c")):
            client = await self.connect()
            lines = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\n" % token
            await client.send(get(b"/%d" % number, lines) + get(b"/%d/next" % number))
            await self.response(client, 2)
            _, request = await self.arrival(b"/%d" % number)
            hidden = {b"upgrade", b"connection", b"http2-settings"} & request.names()
            self.assertEqual(hidden, set(), token)
            self.assertEqual([one.status for one in client.reader.finals], [200, 200])

    @in_loop
    async def test_not_allowed(self) -> None:
        """
        A service without WebSockets never sees the upgrade.
        """
        with self.assertRaises(InvalidStatus) as caught:
            async with self.websocket(service="plain"):
                pass
        self.assertEqual(caught.exception.response.status_code, 426)

    @in_loop
    async def test_early_bytes(self) -> None:
        """
        What a client sends right behind its handshake reaches the backend after the 101, not before.
        """
        before: list[bytes] = []

        async def accept(connection: Connection, request: Request) -> None:
            await asyncio.sleep(0.2)
            before.append(bytes(connection.raw[len(request.raw) :]))
            connection.write(ACCEPTED)
            connection.reader.become_tunnel()

        self.backend.scripts[b"/early"] = accept
        client = await self.connect()
        await client.send(get(b"/early", HANDSHAKE) + b"EARLY")
        connection, _ = await self.arrival(b"/early")
        await self.until(lambda: bytes(connection.reader.tunnel) == b"EARLY", "the early bytes in the tunnel")
        self.assertEqual(before, [b""])

    @in_loop
    async def test_bad_accept(self) -> None:
        """
        A 101 that does not answer this very handshake is a 502.
        """

        async def accept(connection: Connection, request: Request) -> None:
            connection.write(ACCEPTED.replace(b"s3pP", b"AAAA"))

        self.backend.scripts[b"/bad"] = accept
        response = await self.ask(get(b"/bad", HANDSHAKE))
        self.problem(response, 502, "upstream_upgrade", "http_upgrade_failed")
        connection, _ = await self.arrival(b"/bad")
        await self.until(lambda: connection.closed, "closed upstream")


class TokenTests(WebSocketTestCase):
    """
    Tunnels for which a token was shown.
    """

    @in_loop
    async def test_end(self) -> None:
        """
        Row B8: a tunnel ends soon after its token, and not before; one that nobody asked a token for goes on.
        """
        claims = {"user_id": "7", "sub": "7", "username": "ann", "role": "user", "jti": "tunnel"}
        now = int(time.time())
        # Clocks may differ by half a minute, so it is good for three seconds more.
        frame = {"iss": "siger-api-gateway", "aud": "siger", "iat": now - 60, "exp": now + 3 - LEEWAY}
        token = jwt.encode({**frame, **claims}, echo_config()["jwt_secret"], "HS256")
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            self.websocket(service="users", additional_headers=headers) as theirs,
            self.websocket(additional_headers=headers) as anybodys,
        ):
            await theirs.send("still here")
            self.assertEqual(await theirs.recv(), "still here")
            with self.assertRaises(ConnectionClosed):
                await asyncio.wait_for(theirs.recv(), 10)
            self.assertGreaterEqual(time.time(), now + 3)
            await anybodys.send("still here")
            self.assertEqual(await anybodys.recv(), "still here")
        line = await asyncio.to_thread(
            self.gateway.wait_for_access_line, lambda line: line["reason"] == "invalid_token", 5
        )
        self.assertEqual((line["status"], line["user"], line["service"]), (101, "7", "users"))

    @in_loop
    async def test_refused(self) -> None:
        """
        Without a token there is no tunnel.
        """
        with self.assertRaises(InvalidStatus) as caught:
            async with self.websocket(service="users"):
                pass
        self.assertEqual(caught.exception.response.status_code, 401)


class BackpressureTests(WebSocketTestCase):
    """
    A tunnel holds back whoever sends faster than the other end reads.
    """

    async def _tunnel(self, path: bytes, pour: bool) -> tuple[RawClient, Connection]:
        async def accept(connection: Connection, request: Request) -> None:
            connection.write(ACCEPTED)
            connection.reader.become_tunnel()
            if pour:
                for _ in range(256):
                    await connection.write_slowly(bytes(MIB))
            else:
                connection.transport.pause_reading()

        self.backend.scripts[path] = accept
        client = await self.connect(reading=False, window=65536)
        await client.send(get(path, HANDSHAKE))
        connection, _ = await self.arrival(path)
        return client, connection

    @in_loop
    async def test_slow_client(self) -> None:
        """
        A client that does not read: the backend cannot send on, and the gateway's memory is flat.
        """
        self.gateway.forget_peak()
        start = self.gateway.rss()
        client, connection = await self._tunnel(b"/pour", True)
        await asyncio.sleep(1.5)
        self.assertGreater(connection.transport.get_write_buffer_size(), 0)
        client.start_reading()
        self.assertTrue(await client.changed.until(lambda: client.received > 256 * MIB, 60))
        self.assertLess(self.gateway.peak_rss() - start, 8 * MIB)

    @in_loop
    async def test_slow_backend(self) -> None:
        """
        A backend that does not read: the client cannot send on, and the gateway's memory is flat.
        """
        self.gateway.forget_peak()
        start = self.gateway.rss()
        client, connection = await self._tunnel(b"/sink", False)
        client.start_reading()
        await client.changed.until(lambda: client.reader.finals, 5)
        sending = asyncio.ensure_future(client.send(bytes(64 * MIB)))
        _, pending = await asyncio.wait([sending], timeout=1.5)
        self.assertTrue(pending, "the gateway swallowed it all")
        connection.transport.resume_reading()
        await self.until(lambda: len(connection.reader.tunnel) == 64 * MIB, "everything at the backend", 60)
        await sending
        self.assertLess(self.gateway.peak_rss() - start, 8 * MIB)


class DrainTests(WebSocketTestCase):
    """
    Tunnels and shutdown.
    """

    def test_drain(self) -> None:
        """
        A tunnel goes on while the gateway drains and is closed when the time is over; the exit status is 0.
        """
        server, _ = websocket_server()
        port = server.sockets[0].getsockname()[1]
        gateway = GatewayProcess(echo_config(port, drain_timeout=1.5)).start()
        self.addCleanup(gateway.kill)

        async def drain() -> float:
            url = f"ws://127.0.0.1:{gateway.port}/services/echo/"
            async with connect(url, ping_interval=None, proxy=None) as connection:
                gateway.signal()
                began = time.monotonic()
                await asyncio.sleep(0.5)
                await connection.send("still")
                self.assertEqual(await connection.recv(), "still")
                await connection.wait_closed()
                return time.monotonic() - began

        self.assertTrue(1 < run_in_loop(drain()) < 8)
        self.assertEqual(gateway.wait(), 0)
