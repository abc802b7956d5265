"""
What the gateway answers by itself, on real connections: its endpoints, and the problem documents of everything else.
"""

from __future__ import annotations

import asyncio
import json
import re

from tests.integration.flow_case import FlowTestCase, get
from tests.integration.loop_thread import in_loop


def local(path: bytes, lines: bytes = b"", method: bytes = b"GET") -> bytes:
    """
    A request head for any path.
    """
    return b"%b %b HTTP/1.1\r\nHost: gw.test\r\n%b\r\n" % (method, path, lines)


class EndpointTests(FlowTestCase):
    """
    Health, status, metrics.
    """

    @in_loop
    async def test_health(self) -> None:
        """
        C{/health} says OK in plain text, and more in JSON to those who ask for it.
        """
        response = await self.ask(local(b"/health"))
        self.assertEqual((response.status, bytes(response.body).strip()), (200, b"OK"))
        self.assertRegex(response.value(b"content-type") or b"", rb"^text/plain")
        response = await self.ask(local(b"/health", b"Accept: application/json\r\n"))
        self.assertRegex(response.value(b"content-type") or b"", rb"^application/json")
        self.assertIsInstance(json.loads(bytes(response.body)), dict)

    @in_loop
    async def test_probes(self) -> None:
        """
        A running gateway is alive and ready, for HEAD too.
        """
        for path in (b"/livez", b"/readyz", b"/health"):
            self.assertEqual((await self.ask(local(path))).status, 200)
            response = await self.ask(local(path, method=b"HEAD"))
            self.assertEqual((response.status, response.length), (200, 0))

    @in_loop
    async def test_status(self) -> None:
        """
        C{/api/v1/status} names the state and the version.
        """
        response = await self.ask(local(b"/api/v1/status"))
        status = json.loads(bytes(response.body))
        self.assertEqual((response.status, status["status"]), (200, "operational"))
        self.assertRegex(status["version"], r"^\d+\.\d+")

    @in_loop
    async def test_metrics(self) -> None:
        """
        C{/metrics} is Prometheus text, or OpenMetrics for those who ask for it.
        """
        response = await self.ask(local(b"/metrics"))
        self.assertEqual(response.status, 200)
        self.assertRegex(response.value(b"content-type") or b"", rb"^text/plain; *version=")
        self.assertIn(b"# TYPE gateway_in_flight_requests gauge", bytes(response.body))
        response = await self.ask(local(b"/metrics", b"Accept: application/openmetrics-text; version=1.0.0\r\n"))
        self.assertRegex(response.value(b"content-type") or b"", rb"^application/openmetrics-text")
        self.assertTrue(bytes(response.body).endswith(b"# EOF\n"))

    @in_loop
    async def test_keep_alive(self) -> None:
        """
        Local and proxied requests share a connection, in order, pipelined too.
        """
        client = await self.connect()
        await client.send(local(b"/health") + get(b"/x") + local(b"/nowhere") + local(b"/livez") + get(b"/y"))
        await self.response(client, 5)
        self.assertEqual([one.status for one in client.reader.finals], [200, 200, 404, 200, 200])


class ProblemTests(FlowTestCase):
    """
    Answers to what is not there.
    """

    @in_loop
    async def test_not_found(self) -> None:
        """
        Unknown paths, the root among them, are a 404 that repeats nothing of the request.
        """
        for path in (b"/", b"/nowhere/<script>?x=1".replace(b"<script>", b"script"), b"/services", b"/admin/nowhere"):
            response = await self.ask(local(path))
            self.problem(response, 404, "no_route")
            self.assertEqual(response.value(b"x-content-type-options"), b"nosniff")
            self.assertNotIn(b"script", bytes(response.body))

    @in_loop
    async def test_reflection(self) -> None:
        """
        A refusal never contains what was wrong.
        """
        client = await self.connect()
        await client.send(b"GET /services/echo/x HTTP/1.1\r\nHost: <script>alert(1)</script>\r\n\r\n")
        response = await self.response(client)
        self.problem(response, 400, "invalid_host")
        self.assertNotIn(b"script", bytes(client.raw))

    @in_loop
    async def test_method_not_allowed(self) -> None:
        """
        A wrong method is a 405 that names the right ones.
        """
        for path in (b"/health", b"/metrics", b"/api/v1/status"):
            for method in (b"POST", b"DELETE"):
                response = await self.ask(local(path, method=method))
                self.problem(response, 405, "method_not_allowed")
                allowed = set(re.split(rb",\s*", response.value(b"allow") or b""))
                self.assertTrue({b"GET", b"HEAD"} <= allowed, allowed)
                self.assertNotIn(method, allowed)

    @in_loop
    async def test_trace(self) -> None:
        """
        TRACE and CONNECT are a 405, an unknown method a 501.
        """
        self.problem(await self.ask(get(b"/x", method=b"TRACE")), 405, "method_not_allowed")
        self.problem(await self.ask(local(b"gw.test:443", method=b"CONNECT")), 405, "method_not_allowed")
        self.problem(await self.ask(get(b"/x", method=b"BREW")), 501, "method_unknown")
        self.assertEqual(self.backend.requests, [])

    @in_loop
    async def test_body_drained(self) -> None:
        """
        A body behind a local answer is read and dropped, never taken for a request; the connection serves on.
        """
        hidden = get(b"/smuggled")
        for path, status in ((b"/nowhere", 404), (b"/services/nobody/x", 404), (b"/health", 405)):
            for lines, body in (
                (b"Content-Length: %d\r\n" % len(hidden), hidden),
                (b"Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden)),
            ):
                client = await self.connect()
                await client.send(local(path, lines, b"POST"))
                await asyncio.sleep(0.02)
                await client.send(body)
                await self.response(client)
                await client.send(get(b"/next"))
                await client.finals(2, 5)
                statuses = [one.status for one in client.reader.finals]
                self.assertIn((statuses, client.closed != ""), [([status, 200], False), ([status], True)], path)
        self.assertEqual(self.backend.find(b"/smuggled"), [])

    @in_loop
    async def test_small_body_keeps_connection(self) -> None:
        """
        After a local answer to a request with a small body the connection is kept.
        """
        client = await self.connect()
        await client.send(local(b"/nowhere", b"Content-Length: 10000\r\n", b"POST") + bytes(10_000) + get(b"/next"))
        await self.response(client, 2)
        self.assertEqual([one.status for one in client.reader.finals], [404, 200])

    @in_loop
    async def test_large_body(self) -> None:
        """
        A client that is still sending ten megabytes hears the answer: it is not lost by a reset.
        """
        for path in (b"/nowhere", b"/api/v1/status"):
            client = await self.connect()
            await client.send(local(path, b"Content-Length: 10000000\r\n", b"POST"))
            sending = asyncio.ensure_future(client.send(bytes(10_000_000)))
            response = await self.response(client)
            self.assertIn(response.status, (404, 405, 413))
            self.assertEqual(response.value(b"connection"), b"close")
            self.assertTrue(await client.until_closed(10))
            sending.cancel()

    @in_loop
    async def test_encoded_paths(self) -> None:
        """
        What one decoder would take for a local path and another would not reaches neither.
        """
        for path in (b"/api/v1%2Fstatus", b"/api/v1/status%00", b"/api/v1/x/..%2fstatus", b"/api/v1/..;/v1/status"):
            response = await self.ask(local(path))
            self.assertIn(response.status, (400, 404), path)
        response = await self.ask(local(b"/api/./v1//x/../%73tatus"))
        self.assertEqual(response.status, 200)
