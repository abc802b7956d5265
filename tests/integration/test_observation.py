"""
What a running gateway tells about its requests: the access log and the metrics.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.flow_case import FlowTestCase, get, play
from tests.integration.loop_thread import in_loop
from tests.integration.recording_backend import answer

FIELDS = {
    *(
        "time",
        "request_id",
        "client",
        "user",
        "method",
        "protocol",
        "route",
        "path",
        "status",
        "bytes_in",
        "bytes_out",
        "duration_ms",
    ),
    *("ttfb_ms", "service", "instance", "attempts", "reason"),
}


class AccessLogTests(FlowTestCase):
    """
    One line a request.
    """

    @in_loop
    async def test_proxied(self) -> None:
        """
        A line says who, what, where, how long, how much.
        """
        self.backend.scripts[b"/line"] = play(answer(b"x" * 321))
        response = await self.ask(get(b"/line?q=1", b"Content-Length: 5\r\n", b"POST") + b"hello")
        line = await self.access_line(response)
        self.assertEqual(line.keys(), FIELDS)
        wanted = {
            "client": "127.0.0.1",
            "method": "POST",
            "route": "/services/{serviceName}/*",
            "path": "/services/echo/line",
            "status": 200,
            "bytes_in": 5,
            "bytes_out": 321,
            "service": "echo",
            "instance": f"127.0.0.1:{self.backend.port}",
            "attempts": 1,
            "reason": None,
        }
        self.assertEqual({key: line[key] for key in wanted}, wanted)
        age = datetime.now(UTC) - datetime.fromisoformat(line["time"])
        self.assertTrue(timedelta(seconds=-1) < age < timedelta(seconds=10), line["time"])
        self.assertTrue(0 < line["ttfb_ms"] <= line["duration_ms"] < 5000, line)

    @in_loop
    async def test_every_request(self) -> None:
        """
        Whatever became of a request, local, refused or malformed, it has one line with its status.
        """
        asked = [
            (get(b"/ok"), 200, None),
            (b"GET /health HTTP/1.1\r\nHost: gw.test\r\n\r\n", 200, None),
            (b"GET /nowhere HTTP/1.1\r\nHost: gw.test\r\n\r\n", 404, "no_route"),
            (b"GET /services/nobody/x HTTP/1.1\r\nHost: gw.test\r\n\r\n", 404, "unknown_service"),
            (b"POST /health HTTP/1.1\r\nHost: gw.test\r\n\r\n", 405, "method_not_allowed"),
            (get(b"/x", b"Bad Name: 1\r\n"), 400, "malformed_request"),
            (get(b"/x", b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400, "invalid_framing"),
            (b"GET /services/echo/x HTTP/1.1\r\n\r\n", 400, "invalid_host"),
            (get(b"/x", b"X-A: %b\r\n" % bytes(b"a" * 70_000)), 431, "headers_too_large"),
        ]
        ids = set()
        for request, status, reason in asked:
            response = await self.ask(request)
            line = await self.access_line(response)
            self.assertEqual((response.status, line["status"], line["reason"]), (status, status, reason), request[:80])
            ids.add(line["request_id"])
        lines = [line for line in self.gateway.access_lines() if line["request_id"] in ids]
        self.assertEqual((len(ids), len(lines)), (len(asked), len(asked)))

    @in_loop
    async def test_secrets(self) -> None:
        """
        No token, cookie, password or query ever stands in the access log or in the application's log.
        """
        secret = "s3cr3t-nobody-may-read"
        await self.ask(
            get(
                f"/secret?token={secret}".encode(),
                f"Authorization: Bearer {secret}\r\nCookie: session={secret}\r\nX-Api-Key: {secret}\r\n".encode()
                + b"Proxy-Authorization: Basic %b\r\nContent-Length: %d\r\n" % (secret.encode(), len(secret)),
                b"POST",
            )
            + secret.encode()
        )
        response = await self.ask(get(b"/bad", f"Authorization: Bearer {secret}\r\nBad Name: {secret}\r\n".encode()))
        await self.access_line(response)
        for name in ("access.log", "output.log"):
            self.assertNotIn(secret, (self.gateway.directory / name).read_text("utf-8"), name)

    @in_loop
    async def test_injection(self) -> None:
        """
        No request can write a line of its own.
        """
        response = await self.ask(get(b"/%0a%22%7d%0d%7b%22status%22:1%7d", b"User-Agent: \x80\\n{\r\n"))
        line = await self.access_line(response)
        self.assertEqual(line["status"], 200)
        self.assertEqual([one for one in self.gateway.access_lines() if one.keys() != FIELDS], [])
        self.assertTrue(line["path"].startswith("/services/echo/%0A%22%7D%0D"), line["path"])
        raw = (self.gateway.directory / "access.log").read_bytes()
        self.assertEqual(re.findall(rb"[^\x20-\x7e\n]", raw), [])

    @in_loop
    async def test_order_of_many(self) -> None:
        """
        Five hundred pipelined requests have five hundred lines, in order.
        """
        client = await self.connect()
        await client.send(b"".join(get(b"/many/%d" % number) for number in range(500)))
        await self.response(client, 500, 20)
        last = await self.access_line(client.reader.finals[-1])
        self.assertEqual(last["path"], "/services/echo/many/499")
        paths = [line["path"] for line in self.gateway.access_lines() if "/many/" in line["path"]]
        self.assertEqual(paths, [f"/services/echo/many/{number}" for number in range(500)])


class MetricsTests(FlowTestCase):
    """
    What Prometheus gets.
    """

    async def scrape(self) -> dict[str, float]:
        """
        All samples.
        """
        text = (await asyncio.to_thread(self.gateway.get, "/metrics")).decode()
        lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    async def total(self, name: str, **labels: str) -> float:
        """
        The sum of a metric's samples that have these labels.
        """
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        samples = await self.scrape()
        return sum(
            value
            for sample, value in samples.items()
            if sample.startswith(name + "{") and all(label in sample for label in wanted)
        )

    @in_loop
    async def test_counts(self) -> None:
        """
        Requests are counted by status, method and route template, and by service.
        """
        template = "/services/{serviceName}/*"
        labels = {"status": "200", "method": "GET", "path": template}
        before = await self.total("http_requests_total", **labels)
        upstream = await self.total("gateway_upstream_requests_total", service="echo", status="200")
        timed = await self.total("http_request_duration_seconds_count", method="GET", path=template)
        for number in range(7):
            await self.ask(get(b"/counted/%d" % number))
        self.assertEqual(await self.total("http_requests_total", **labels), before + 7)
        self.assertEqual(
            await self.total("gateway_upstream_requests_total", service="echo", status="200"), upstream + 7
        )
        self.assertEqual(
            await self.total("http_request_duration_seconds_count", method="GET", path=template), timed + 7
        )

    @in_loop
    async def test_names(self) -> None:
        """
        The names that dashboards use are there.
        """
        await self.ask(get(b"/named"))
        names = {re.split(r"[{ ]", sample)[0] for sample in await self.scrape()}
        wanted = {
            "http_requests_total",
            "http_request_duration_seconds_bucket",
            "http_response_size_bytes_bucket",
            "gateway_in_flight_requests",
            "gateway_upstream_requests_total",
            "gateway_upstream_request_duration_seconds_bucket",
        }
        self.assertEqual(wanted - names, set())

    @in_loop
    async def test_cardinality(self) -> None:
        """
        No path, method, service or host that a client makes up becomes a series.
        """

        async def storm(start: int) -> None:
            for number in range(start, start + 30):
                for request in (
                    get(b"/path/%d" % number),
                    b"GET /made/up/%d HTTP/1.1\r\nHost: h%d.test\r\n\r\n" % (number, number),
                    b"GET /services/made-up-%d/x HTTP/1.1\r\nHost: gw.test\r\n\r\n" % number,
                    get(b"/x", method=b"METHOD%d" % number),
                ):
                    await self.ask(request)

        await storm(0)
        await self.scrape()  # which is a request itself
        series = set(await self.scrape())
        await storm(1000)
        self.assertEqual(set(await self.scrape()) - series, set())

    @in_loop
    async def test_in_flight(self) -> None:
        """
        The gauge counts requests that are being answered and comes back down, whatever became of them.
        """
        gate = asyncio.Event()

        async def held(connection: Any, request: Any) -> None:
            await gate.wait()
            connection.write(answer())

        base = (await self.scrape())["gateway_in_flight_requests"]
        self.backend.scripts[b"/held"] = held
        clients = [await self.connect() for _ in range(4)]
        for client in clients:
            await client.send(get(b"/held"))
        await self.until(lambda: len(self.backend.find(b"/held")) == 4, "four at the backend")
        self.assertEqual((await self.scrape())["gateway_in_flight_requests"], base + 4)
        await clients[0].reset()
        gate.set()
        for client in clients[1:]:
            await self.response(client)
        async with asyncio.timeout(10):
            while (await self.scrape())["gateway_in_flight_requests"] != base:
                await asyncio.sleep(0.02)

    @in_loop
    async def test_errors(self) -> None:
        """
        A failure counts under the reason that the client was told.
        """
        before = await self.total("siger_errors_total", reason="unknown_service")
        response = await self.ask(b"GET /services/nobody/x HTTP/1.1\r\nHost: gw.test\r\n\r\n")
        self.assertEqual(json.loads(bytes(response.body))["reason"], "unknown_service")
        self.assertEqual(await self.total("siger_errors_total", reason="unknown_service"), before + 1)
