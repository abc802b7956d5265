"""
What happens when a backend, or a client, does not do its part.

Every failure has one name: the same in the problem document, in C{Proxy-Status} and in the access log.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.flow_case import FlowTestCase, get, play
from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import in_loop, run_in_loop
from tests.integration.raw_client import RawClient
from tests.integration.recording_backend import Connection, RecordingBackend, answer
from tests.integration.shared_gateway import shared_pair
from tests.integration.wire import Request

QUICK = {"connect": 1, "response": 1, "idle": 1}

EARLY = 0.7
"""
When a limit of one second may be over: the gateway looks at its clock four times a second.
"""


class UpstreamFailureTests(FlowTestCase):
    """
    A backend that accepts and then fails.
    """

    config: ClassVar[dict[str, Any]] = {"echo": {"timeouts": QUICK}}

    async def _fails(self, path: bytes, status: int, reason: str, error: str, **line: Any) -> None:
        """
        Ask, expect this problem, and the same in the access log.
        """
        response = await self.ask(get(path))
        self.problem(response, status, reason, error)
        logged = await self.access_line(response)
        wanted = {"status": status, "reason": reason, "service": "echo", "route": "/services/{serviceName}/*", **line}
        self.assertEqual({key: logged[key] for key in wanted}, wanted)

    @in_loop
    async def test_closes(self) -> None:
        """
        A close without a byte of response is a 502.
        """

        async def close(connection: Connection, request: Request) -> None:
            connection.close()

        self.backend.scripts[b"/closes"] = close
        await self._fails(b"/closes", 502, "upstream_reset", "connection_terminated")

    @in_loop
    async def test_resets(self) -> None:
        """
        A reset in the middle of the head is a 502.
        """

        async def reset(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\nContent-")
            await asyncio.sleep(0.1)
            connection.reset()

        self.backend.scripts[b"/resets"] = reset
        await self._fails(b"/resets", 502, "upstream_reset", "connection_terminated", attempts=1)

    @in_loop
    async def test_malformed(self) -> None:
        """
        What is no HTTP is a 502, and nothing of it is repeated.
        """
        self.backend.scripts[b"/odd"] = play(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await self._fails(b"/odd", 502, "upstream_malformed", "http_protocol_error", attempts=1)

    @in_loop
    async def test_silent(self) -> None:
        """
        A backend that never begins to answer is given up after its response timeout: 504.
        """

        async def silent(connection: Connection, request: Request) -> None:
            await asyncio.sleep(30)

        self.backend.scripts[b"/silent"] = silent
        began = time.monotonic()
        await self._fails(b"/silent", 504, "upstream_timeout", "http_response_timeout")
        self.assertGreater(time.monotonic() - began, EARLY)
        connection, _ = await self.arrival(b"/silent")
        await self.until(lambda: connection.closed, "closed upstream")

    @in_loop
    async def test_trickling_head(self) -> None:
        """
        A head that comes byte by byte does not gain time by it.
        """

        async def trickle(connection: Connection, request: Request) -> None:
            for _ in range(100):
                connection.write(b"H")
                await asyncio.sleep(0.2)

        self.backend.scripts[b"/trickle"] = trickle
        response = await self.ask(get(b"/trickle"))
        self.assertIn(response.status, (502, 504))

    @in_loop
    async def test_leaves_mid_body(self) -> None:
        """
        A body that ends early ends early at the client too: less than Content-Length, or no last chunk.
        """
        self.backend.scripts[b"/short"] = play(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", close=True)
        self.backend.scripts[b"/chunk"] = play(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", close=True
        )
        for path in (b"/short", b"/chunk"):
            client = await self.connect()
            await client.send(get(path))
            self.assertTrue(await client.until_closed(5))
            response = client.reader.finals[0]
            self.assertEqual((bytes(response.body), response.complete), (b"hello", False), path)
            logged = await self.access_line(response)
            self.assertEqual((logged["status"], logged["reason"]), (200, "upstream_truncated"))

    @in_loop
    async def test_http10_truncated(self) -> None:
        """
        An HTTP/1.0 client, whose body ends with the connection, sees a reset when it is incomplete.
        """

        async def cut(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            await asyncio.sleep(0.1)
            connection.close()

        self.backend.scripts[b"/cut"] = cut
        client = await self.connect()
        await client.send(get(b"/cut", version=b"HTTP/1.0"))
        self.assertTrue(await client.until_closed(5))
        self.assertEqual(client.closed, "reset")

    @in_loop
    async def test_stalls_mid_body(self) -> None:
        """
        A body that stands still for longer than the idle timeout is given up, uncleanly.
        """
        self.backend.scripts[b"/stall"] = play(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        client = await self.connect()
        began = time.monotonic()
        await client.send(get(b"/stall"))
        self.assertTrue(await client.until_closed(5))
        self.assertGreater(time.monotonic() - began, EARLY)
        self.assertFalse(client.reader.finals[0].complete)
        connection, _ = await self.arrival(b"/stall")
        await self.until(lambda: connection.closed, "closed upstream")

    @in_loop
    async def test_slow_but_steady(self) -> None:
        """
        A response that takes longer in all than any timeout, but never stands still, is delivered.
        """

        async def steady(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            for byte in b"hello":
                await asyncio.sleep(0.3)
                connection.write(bytes([byte]))

        self.backend.scripts[b"/steady"] = steady
        response = await self.ask(get(b"/steady"), timeout=10)
        self.assertEqual(bytes(response.body), b"hello")

    @in_loop
    async def test_slow_upload(self) -> None:
        """
        The response timeout counts from the end of the request: a slow upload does not use it up.
        """
        client = await self.connect()
        await client.send(get(b"/slow-upload", b"Content-Length: 5000\r\n", b"POST"))
        for _ in range(5):
            await asyncio.sleep(0.3)
            await client.send(bytes(1000))
        self.assertEqual((await self.response(client)).status, 200)


class ReplayTests(FlowTestCase):
    """
    A connection that was kept open and died is replaced, where nothing can happen twice by it.
    """

    async def _stale(self, path: bytes, request: bytes, always: bool = False) -> Any:
        """
        Let the backend drop a kept connection at the very moment of the next request on it.

        @param always: on fresh connections as well.
        """

        async def drop(connection: Connection, request: Request) -> None:
            await connection.whole(request)
            if connection.served or always:
                connection.close()
            else:
                connection.write(answer())

        self.backend.drop_idle()
        await asyncio.sleep(0.1)
        self.backend.forget()
        await self.ask(get(b"/warm"))
        self.backend.scripts[path] = drop
        return await self.ask(request)

    @in_loop
    async def test_get(self) -> None:
        """
        A GET is sent again, once, on a new connection.
        """
        response = await self._stale(b"/get", get(b"/get"))
        self.assertEqual((response.status, len(self.backend.find(b"/get"))), (200, 2))
        self.assertEqual((await self.access_line(response))["attempts"], 2)

    @in_loop
    async def test_get_once(self) -> None:
        """
        A GET is not sent a third time.
        """
        response = await self._stale(b"/once", get(b"/once"), always=True)
        self.problem(response, 502, "upstream_reset", "connection_terminated")
        self.assertEqual(len(self.backend.find(b"/once")), 2)

    @in_loop
    async def test_post(self) -> None:
        """
        A POST is never sent again, with a body or without.
        """
        for path, lines, body in ((b"/post", b"Content-Length: 5\r\n", b"hello"), (b"/bare", b"", b"")):
            response = await self._stale(path, get(path, lines, b"POST") + body)
            self.problem(response, 502, "upstream_reset", "connection_terminated")
            self.assertEqual(len(self.backend.find(path)), 1)

    @in_loop
    async def test_put_with_body(self) -> None:
        """
        A body that was sent is gone: a PUT with one is not sent again.
        """
        response = await self._stale(b"/put", get(b"/put", b"Content-Length: 5\r\n", b"PUT") + b"hello")
        self.assertEqual((response.status, len(self.backend.find(b"/put"))), (502, 1))

    @in_loop
    async def test_fresh(self) -> None:
        """
        On a connection that never served, a close is an answer: nothing is sent again.
        """

        async def close(connection: Connection, request: Request) -> None:
            connection.close()

        self.backend.scripts[b"/fresh"] = close
        self.backend.drop_idle()
        await asyncio.sleep(0.1)
        self.backend.forget()
        response = await self.ask(get(b"/fresh"))
        self.assertEqual((response.status, len(self.backend.find(b"/fresh"))), (502, 1))

    @in_loop
    async def test_begun(self) -> None:
        """
        After the first byte of a response nothing is sent again.
        """

        async def begin(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" if connection.served else answer())
            if connection.served:
                connection.close()

        self.backend.drop_idle()
        await asyncio.sleep(0.1)
        await self.ask(get(b"/warm"))
        self.backend.scripts[b"/begun"] = begin
        response = await self.ask(get(b"/begun"))
        self.assertEqual((response.status, len(self.backend.find(b"/begun"))), (502, 1))


class ClientFailureTests(FlowTestCase):
    """
    A client that does not do its part.
    """

    config: ClassVar[dict[str, Any]] = {"limits": {"header_timeout": 1, "body_timeout": 1}}

    @in_loop
    async def test_leaves_waiting(self) -> None:
        """
        A client that leaves while it waits for its response takes the upstream request with it.
        """

        async def never(connection: Connection, request: Request) -> None:
            await asyncio.sleep(60)

        self.backend.scripts[b"/never"] = never
        for leave in (RawClient.close, RawClient.reset):
            self.backend.forget()
            client = await self.connect()
            await client.send(get(b"/never"))
            connection, _ = await self.arrival(b"/never")
            await leave(client)
            await self.until(lambda: connection.closed, "closed upstream")  # noqa: B023

    @in_loop
    async def test_leaves_uploading(self) -> None:
        """
        A client that leaves in the middle of its body, and not one that had its time: the backend never takes the
        request for complete.
        """
        for path, lines, body in (
            (b"/half/known", b"Content-Length: 10\r\n", b"hello"),
            (b"/half/chunked", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"),
        ):
            client = await self.connect()
            await client.send(get(path, lines, b"POST") + body)
            connection, request = await self.arrival(path)
            await self.until(lambda: request.length == 5, "half of the body at the backend")  # noqa: B023
            await client.close()
            await self.until(lambda: connection.closed, "closed upstream")  # noqa: B023
            self.assertFalse(request.complete)
            logged = await asyncio.to_thread(
                self.gateway.wait_for_access_line,
                lambda line: line["path"].endswith(path.decode()),  # noqa: B023
            )
            self.assertEqual(logged["reason"], "incomplete_body")

    @in_loop
    async def test_leaves_downloading(self) -> None:
        """
        A client that leaves in the middle of a response: the backend hears of it, and the log says so.
        """

        async def endless(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not connection.closed:
                await connection.write_slowly(b"400\r\n%b\r\n" % bytes(1024))
                await asyncio.sleep(0.001)

        self.backend.scripts[b"/endless"] = endless
        client = await self.connect()
        await client.send(get(b"/endless"))
        await client.changed.until(lambda: client.received > 5000, 5)
        connection, _ = await self.arrival(b"/endless")
        await client.close()
        await self.until(lambda: connection.closed, "closed upstream")
        logged = await self.access_line(client.reader.finals[0])
        self.assertEqual((logged["status"], logged["reason"]), (200, "client_gone"))

    @in_loop
    async def test_slow_head(self) -> None:
        """
        A head has to be complete in time, however often another byte of it comes: 408.
        """
        client = await self.connect()
        began = time.monotonic()
        sending = asyncio.ensure_future(self._drip(client, get(b"/slowloris", b"X-A: b\r\n" * 10)))
        response = await self.response(client)
        sending.cancel()
        self.problem(response, 408, "request_timeout")
        self.assertGreater(time.monotonic() - began, EARLY)
        self.assertTrue(await client.until_closed(5))
        self.assertEqual(self.backend.requests, [])

    async def _drip(self, client: RawClient, data: bytes) -> None:
        for byte in data:
            await client.send(bytes([byte]))
            await asyncio.sleep(0.1)

    @in_loop
    async def test_stalled_body(self) -> None:
        """
        A body that stands still is given up: 408, and the backend never takes the request for complete.
        """
        client = await self.connect()
        await client.send(get(b"/stalled", b"Content-Length: 10\r\n", b"POST") + b"hello")
        response = await self.response(client)
        self.problem(response, 408, "request_timeout")
        connection, request = await self.arrival(b"/stalled")
        await self.until(lambda: connection.closed, "closed upstream")
        self.assertFalse(request.complete)

    @in_loop
    async def test_body_limit(self) -> None:
        """
        A chunked body is counted as it comes: above the limit it is a 413, and the backend's request is cut off.
        """
        pair = await asyncio.to_thread(shared_pair, echo={"max_body": 100_000})
        client = await RawClient.connect(pair.gateway.port)
        try:
            await client.send(get(b"/large", b"Transfer-Encoding: chunked\r\n", b"POST"))
            for _ in range(11):
                await client.send(b"2710\r\n%b\r\n" % bytes(10_000))
            await client.send(b"0\r\n\r\n")
            self.problem(await self.response(client), 413, "body_too_large")
            self.assertTrue(await client.until_closed(5))
        finally:
            await client.close()
        await pair.backend.changed.until(lambda: all(one.closed for one in pair.backend.connections), 5)
        self.assertFalse(any(one.complete for one in pair.backend.find(b"/large")))


class UnreachableTests(SynchronousTestCase):
    """
    Instances that cannot be connected to.
    """

    def setUp(self) -> None:
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def start(self, *ports: int, **overrides: Any) -> GatewayProcess:
        """
        A gateway whose service has instances at these ports.
        """
        config = echo_config(*ports, **{"echo": {"timeouts": QUICK}, **overrides})
        gateway = GatewayProcess(config).start()
        self.stack.callback(gateway.kill)
        return gateway

    def backend(self) -> RecordingBackend:
        """
        A backend that goes with the test.
        """
        backend = run_in_loop(RecordingBackend().start())
        self.stack.callback(lambda: run_in_loop(backend.stop()))
        return backend

    def black_hole(self) -> int:
        """
        A port on which connections are neither accepted nor refused: its backlog is full.
        """
        listener = self.stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        for _ in range(3):
            filler = self.stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(0.1)
        return port

    def ask(self, gateway: GatewayProcess, request: bytes) -> Any:
        """
        One request on a connection of its own.
        """

        async def exchange() -> Any:
            client = await RawClient.connect(gateway.port)
            try:
                await client.send(request)
                self.assertTrue(await client.finals(1, 10), bytes(client.raw))
                return client.reader.finals[0]
            finally:
                await client.close()

        return run_in_loop(exchange())

    def assert_fails(self, gateway: GatewayProcess, status: int, reason: str, error: str, attempts: int) -> None:
        """
        Ask, and look for the failure in the response and in the access log.
        """
        response = self.ask(gateway, get(b"/x"))
        FlowTestCase.problem(self, response, status, reason, error)  # type: ignore[arg-type]
        request_id = response.value(b"x-request-id").decode()
        line = gateway.wait_for_access_line(lambda one: one["request_id"] == request_id)
        self.assertEqual((line["status"], line["reason"], line["attempts"]), (status, reason, attempts))

    def test_refused(self) -> None:
        """
        A single instance that refuses is a 502.
        """
        gateway = self.start(free_port())
        self.assert_fails(gateway, 502, "upstream_refused", "connection_refused", 1)

    def test_all_down(self) -> None:
        """
        Of several instances that refuse, two are tried.
        """
        gateway = self.start(free_port(), free_port(), free_port())
        self.assert_fails(gateway, 502, "upstream_refused", "connection_refused", 2)

    def test_other_instance(self) -> None:
        """
        A request that one instance refused is served by another, whatever its method, body included.
        """
        backend = self.backend()
        gateway = self.start(free_port(), backend.port)
        for _ in range(4):
            self.assertEqual(self.ask(gateway, get(b"/get")).status, 200)
            request = get(b"/post", b"Content-Length: 5\r\n", b"POST") + b"hello"
            self.assertEqual(self.ask(gateway, request).status, 200)
        self.assertEqual({bytes(one.body) for one in backend.find(b"/post")}, {b"hello"})
        self.assertEqual(len(backend.find(b"/post")), 4)

    def test_black_hole(self) -> None:
        """
        An instance that does not answer at all is given up after the connect timeout: 504.
        """
        gateway = self.start(self.black_hole())
        began = time.monotonic()
        self.assert_fails(gateway, 504, "connect_timeout", "connection_timeout", 1)
        self.assertGreater(time.monotonic() - began, EARLY)

    def test_no_instance(self) -> None:
        """
        A service without instances is a 503 that says when to come again; an unknown service is a 404.
        """
        gateway = self.start()
        response = self.ask(gateway, get(b"/x"))
        FlowTestCase.problem(self, response, 503, "no_instance", "destination_unavailable")  # type: ignore[arg-type]
        self.assertRegex(response.value(b"retry-after"), rb"^[0-9]+$")
        unknown = self.ask(gateway, b"GET /services/nobody/x HTTP/1.1\r\nHost: gw.test\r\n\r\n")
        FlowTestCase.problem(self, unknown, 404, "unknown_service")  # type: ignore[arg-type]

    def test_recovers(self) -> None:
        """
        An instance that comes back is used again.
        """
        port = free_port()
        gateway = self.start(port)
        self.assertEqual(self.ask(gateway, get(b"/x")).status, 502)
        backend = run_in_loop(RecordingBackend().start(port))
        self.stack.callback(lambda: run_in_loop(backend.stop()))
        self.assertEqual(self.ask(gateway, get(b"/x")).status, 200)

    def test_connection_limit(self) -> None:
        """
        Requests beyond an instance's connections wait, and beyond those that may wait they are refused: 503.
        """
        backend = self.backend()
        gateway = self.start(backend.port, echo={"max_connections": 2, "max_waiting": 3})
        gate = asyncio.Event()

        async def held(connection: Connection, request: Request) -> None:
            await gate.wait()
            connection.write(answer())

        backend.scripts[b"/held"] = held

        async def crowd() -> list[int]:
            clients = [await RawClient.connect(gateway.port) for _ in range(8)]
            for client in clients:
                await client.send(get(b"/held"))
            async with asyncio.timeout(10):
                while sum(bool(client.reader.finals) for client in clients) < 3:
                    await asyncio.sleep(0.01)
            gate.set()
            for client in clients:
                await client.finals(1, 10)
            statuses = [client.reader.finals[0].status for client in clients]
            for client in clients:
                await client.close()
            return sorted(statuses)

        self.assertEqual(run_in_loop(crowd()), [200] * 5 + [503] * 3)
        self.assertLessEqual(backend.accepted, 2)
