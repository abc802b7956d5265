"""
Whole exchanges through a real gateway: what reaches the backend, what reaches the client, in which order.
"""

from __future__ import annotations

import asyncio
import json

import aiohttp

from tests.integration.flow_case import FlowTestCase, get, play
from tests.integration.loop_thread import in_loop
from tests.integration.recording_backend import Connection, answer
from tests.integration.wire import Request


class HeadTests(FlowTestCase):
    """
    The request head that a backend gets.
    """

    @in_loop
    async def test_forwarded_fields(self) -> None:
        """
        The backend learns who asked, how, of whom, and under which id; the client's own fields pass as they are.
        """
        await self.ask(get(b"/head", b"X-Own: as is\r\nAccept: */*\r\nAuthorization: Bearer t\r\nCookie: a=1\r\n"))
        _, request = await self.arrival(b"/head")
        wanted = {
            b"host": b"gw.test",
            b"x-own": b"as is",
            b"accept": b"*/*",
            b"authorization": b"Bearer t",
            b"cookie": b"a=1",
            b"x-forwarded-for": b"127.0.0.1",
            b"x-forwarded-proto": b"http",
            b"x-forwarded-host": b"gw.test",
            b"forwarded": b'for=127.0.0.1;host="gw.test";proto=http',
            b"x-gateway": b"siger-api-gateway",
        }
        self.assertEqual({name: request.value(name) for name in wanted}, wanted)
        self.assertRegex(request.value(b"via") or b"", rb"^1\.1 \S+$")
        self.assertRegex(request.value(b"x-request-id") or b"", rb"^[A-Za-z0-9._-]{8,64}$")
        self.assertEqual(request.version, b"HTTP/1.1")

    @in_loop
    async def test_spoofed_fields(self) -> None:
        """
        What a client claims about itself or about the gateway is replaced or removed.
        """
        lines = b"".join(
            b"%b: spoofed\r\n" % name
            for name in (b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Gateway", b"X-Real-IP", b"X-User-Id", b"Proxy")
        )
        await self.ask(get(b"/spoof", lines + b"X-Internal-Role: admin\r\nForwarded: for=6.6.6.6\r\n"))
        _, request = await self.arrival(b"/spoof")
        self.assertNotIn(b"spoofed", request.raw)
        self.assertNotIn(b"6.6.6.6", request.raw)
        self.assertEqual({b"x-user-id", b"proxy", b"x-internal-role", b"x-real-ip"} & request.names(), set())

    @in_loop
    async def test_request_id(self) -> None:
        """
        An acceptable id of the client's is kept, at the backend and in the response; another is replaced.
        """
        response = await self.ask(get(b"/id/kept", b"X-Request-ID: client-id.0001\r\n"))
        self.assertEqual(response.value(b"x-request-id"), b"client-id.0001")
        self.assertEqual((await self.arrival(b"/id/kept"))[1].value(b"x-request-id"), b"client-id.0001")
        response = await self.ask(get(b"/id/new", b'X-Request-ID: {"evil"}\r\n'))
        self.assertRegex(response.value(b"x-request-id") or b"", rb"^[A-Za-z0-9._-]{8,64}$")
        self.assertEqual((await self.arrival(b"/id/new"))[1].values(b"x-request-id"), response.values(b"x-request-id"))

    @in_loop
    async def test_target(self) -> None:
        """
        The prefix is stripped, the path is the normal form that was routed, the query is untouched byte for byte.
        """
        await self.ask(get(b"/a/./b/../t%7Earget//x?q=%2F%00+..;/&&=%zz'"))
        _, request = await self.arrival(b"/a/")
        self.assertEqual(request.target, b"/a/t~arget/x?q=%2F%00+..;/&&=%zz'")
        await self.ask(get(b""))
        await self.ask(get(b"?only=query"))
        self.assertEqual([one.target for one in self.backend.requests[1:]], [b"/", b"/?only=query"])

    @in_loop
    async def test_response_fields(self) -> None:
        """
        The client gets the backend's fields, hop-by-hop ones excepted, and the request's id.
        """
        lines = b"X-Odd_Name: kept\r\nServer: theirs\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=9\r\n"
        self.backend.scripts[b"/fields"] = play(answer(lines=lines + b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"))
        response = await self.ask(get(b"/fields"))
        self.assertEqual(response.status, 200)
        self.assertEqual(response.value(b"x-odd_name"), b"kept")
        self.assertEqual(response.value(b"server"), b"theirs")
        self.assertEqual(response.values(b"set-cookie"), [b"a=1", b"b=2"])
        self.assertEqual({b"x-mine", b"keep-alive"} & response.names(), set())
        self.assertIsNotNone(response.value(b"x-request-id"))

    @in_loop
    async def test_loop(self) -> None:
        """
        A request that has passed this gateway before is not sent round again.
        """
        await self.ask(get(b"/via"))
        _, request = await self.arrival(b"/via")
        via = request.value(b"via") or b""
        response = await self.ask(get(b"/again", b"Via: %b\r\nVia: %b\r\n" % (via, via)))
        self.problem(response, 508, "loop_detected")
        self.assertEqual(self.backend.find(b"/again"), [])


class BodyTests(FlowTestCase):
    """
    Bodies in both directions.
    """

    @in_loop
    async def test_chunked_with_trailers(self) -> None:
        """
        Chunks and trailers pass both ways; framing is the gateway's own, and forbidden trailers are dropped.
        """
        self.backend.scripts[b"/chunks"] = play(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            b"2;x=1\r\nab\r\n3\r\ncde\r\n0\r\nX-Sum: out\r\nContent-Length: 5\r\n\r\n"
        )
        response = await self.ask(
            get(b"/chunks", b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", b"POST")
            + b"5;ext\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: in\r\nX-User-Id: 1\r\n\r\n"
        )
        _, request = await self.arrival(b"/chunks")
        self.assertEqual((bytes(request.body), request.trailers), (b"hello!", [(b"X-Sum", b"in")]))
        self.assertEqual((bytes(response.body), response.trailers), (b"abcde", [(b"X-Sum", b"out")]))
        self.assertNotIn(b"ext", bytes((await self.arrival(b"/chunks"))[0].raw))

    @in_loop
    async def test_streams_request(self) -> None:
        """
        A request's body reaches the backend as it comes, not when it is complete.
        """
        client = await self.connect()
        await client.send(get(b"/stream", b"Content-Length: 10\r\n", b"POST") + b"first")
        _, request = await self.arrival(b"/stream")
        await self.until(lambda: bytes(request.body) == b"first", "the first half at the backend")
        self.assertFalse(request.complete)
        await client.send(b"later")
        self.assertEqual((await self.response(client)).status, 200)

    @in_loop
    async def test_streams_response(self) -> None:
        """
        A response's body reaches the client as it comes, chunked where its length is not known.
        """
        self.backend.scripts[b"/drip"] = play(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        client = await self.connect()
        await client.send(get(b"/drip"))
        connection, _ = await self.arrival(b"/drip")
        self.assertTrue(await client.changed.until(lambda: client.raw.endswith(b"first\r\n"), 5), client.raw)
        connection.write(b"later")
        connection.close()
        response = await self.response(client)
        self.assertEqual(bytes(response.body), b"firstlater")
        self.assertEqual(response.value(b"transfer-encoding"), b"chunked")

    @in_loop
    async def test_bodyless(self) -> None:
        """
        HEAD, 204 and 304 have no body, keep their Content-Length where it is one, and the connection serves on.
        """
        self.backend.scripts[b"/204"] = play(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.backend.scripts[b"/304"] = play(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n")
        self.backend.scripts[b"/head"] = play(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n")
        client = await self.connect()
        client.reader.methods.extend([b"HEAD", b"GET", b"GET", b"GET"])
        await client.send(get(b"/head", method=b"HEAD") + get(b"/204") + get(b"/304") + get(b"/after"))
        await self.response(client, 4)
        statuses = [(one.status, one.value(b"content-length"), one.length) for one in client.reader.finals[:3]]
        self.assertEqual(statuses, [(200, b"77", 0), (204, None, 0), (304, b"99", 0)])
        self.assertEqual(json.loads(bytes(client.reader.finals[3].body))["target"], "/after")
        self.assertEqual(len(self.backend.used_connections), 1)

    @in_loop
    async def test_http10(self) -> None:
        """
        An HTTP/1.0 client gets a body without chunks, by length or by the connection's end, and no interim response.
        """
        self.backend.scripts[b"/old"] = play(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        client = await self.connect()
        await client.send(get(b"/old", b"Connection: keep-alive\r\n", version=b"HTTP/1.0"))
        self.assertTrue(await client.until_closed(5))
        response = await self.response(client)
        self.assertEqual((client.closed, client.reader.interims), ("eof", []))
        self.assertEqual((bytes(response.body), response.value(b"transfer-encoding")), (b"hello", None))
        _, request = await self.arrival(b"/old")
        self.assertEqual(request.version, b"HTTP/1.1")

    @in_loop
    async def test_large_both_ways(self) -> None:
        """
        Megabytes pass unchanged in both directions at once.
        """
        body = bytes(range(256)) * 4096 * 4

        async def mirror(connection: Connection, request: Request) -> None:
            await connection.whole(request)
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            for start in range(0, len(body), 100_000):
                await connection.write_slowly(body[start : start + 100_000])

        self.backend.scripts[b"/mirror"] = mirror
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{self.gateway.port}/services/echo/mirror"
            async with session.post(url, data=body) as response:
                self.assertTrue(await response.read() == body)
        _, request = await self.arrival(b"/mirror")
        self.assertEqual(request.length, len(body))
        self.assertTrue(bytes(request.body) == body[: len(request.body)])


class OrderTests(FlowTestCase):
    """
    Several requests on one connection.
    """

    @in_loop
    async def test_pipelining(self) -> None:
        """
        A slow first request is answered before the fast second that was sent with it.
        """

        async def slow(connection: Connection, request: Request) -> None:
            await asyncio.sleep(0.3)
            connection.write(answer(b"slow"))

        self.backend.scripts[b"/slow"] = slow
        self.backend.scripts[b"/fast"] = play(answer(b"fast"))
        client = await self.connect()
        await client.send(get(b"/slow") + get(b"/fast") + get(b"/slow/2") + get(b"/fast/2"))
        await self.response(client, 4)
        bodies = [bytes(one.body) for one in client.reader.finals]
        self.assertEqual(bodies, [b"slow", b"fast", b"slow", b"fast"])

    @in_loop
    async def test_keep_alive(self) -> None:
        """
        One connection from the client and one to the backend serve request after request.
        """
        client = await self.connect()
        for number in range(1, 21):
            await client.send(get(b"/again/%d" % number))
            response = await self.response(client, number)
            self.assertEqual(json.loads(bytes(response.body))["target"], f"/again/{number}")
        self.assertEqual(len(self.backend.used_connections), 1)

    @in_loop
    async def test_pool(self) -> None:
        """
        Connections to the backend are shared by clients that come one after the other, and as many as are at work.
        """
        self.backend.drop_idle()
        await asyncio.sleep(0.1)
        before = self.backend.accepted
        for number in range(10):
            await self.ask(get(b"/client/%d" % number))
        self.assertEqual(self.backend.accepted - before, 1)
        gate = asyncio.Event()

        async def held(connection: Connection, request: Request) -> None:
            await gate.wait()
            connection.write(answer())

        self.backend.scripts[b"/held"] = held
        asking = [asyncio.ensure_future(self.ask(get(b"/held/%d" % number))) for number in range(5)]
        await self.until(lambda: len(self.backend.find(b"/held")) == 5, "five requests at the backend")
        self.assertEqual(self.backend.accepted - before, 5)
        gate.set()
        await asyncio.gather(*asking)
        for number in range(5):
            await self.ask(get(b"/reuse/%d" % number))
        self.assertEqual(self.backend.accepted - before, 5)

    @in_loop
    async def test_close_honoured(self) -> None:
        """
        A response to C{Connection: close} says so and the connection ends; a backend's close ends only the backend's.
        """
        self.backend.scripts[b"/bye"] = play(answer(lines=b"Connection: close\r\n"))
        client = await self.connect()
        await client.send(get(b"/bye"))
        response = await self.response(client)
        self.assertNotIn(b"close", response.value(b"connection") or b"")
        await client.send(get(b"/more", b"Connection: close\r\n"))
        response = await self.response(client, 2)
        self.assertEqual(response.value(b"connection"), b"close")
        self.assertTrue(await client.until_closed(5))
        self.assertEqual(len({one.target for one in self.backend.requests}), 2)
        self.assertEqual(len(self.backend.used_connections), 2)


class InterimTests(FlowTestCase):
    """
    100, 103, and final answers that come early.
    """

    @in_loop
    async def test_continue(self) -> None:
        """
        C{Expect: 100-continue} is relayed end to end: no 100 before the backend says so, no body before the client
        heard it.
        """
        allowed = asyncio.Event()

        async def reluctant(connection: Connection, request: Request) -> None:
            await allowed.wait()
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await connection.whole(request)
            connection.write(answer(b"thanks"))

        self.backend.scripts[b"/expect"] = reluctant
        client = await self.connect()
        await client.send(get(b"/expect", b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"POST"))
        _, request = await self.arrival(b"/expect")
        self.assertEqual(request.value(b"expect"), b"100-continue")
        await asyncio.sleep(0.1)
        self.assertEqual(bytes(client.raw), b"")
        allowed.set()
        self.assertTrue(await client.changed.until(lambda: client.reader.interims, 5))
        self.assertEqual(client.reader.interims[0].status, 100)
        await client.send(b"hello")
        self.assertEqual(bytes((await self.response(client)).body), b"thanks")

    @in_loop
    async def test_expectation_refused(self) -> None:
        """
        A final answer in place of the 100 reaches the client, which has sent no body, and neither connection is used
        again.
        """
        self.backend.scripts[b"/no"] = play(answer(b"no", b"417 Expectation Failed"), whole=False)
        client = await self.connect()
        await client.send(get(b"/no", b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"POST"))
        response = await self.response(client)
        self.assertEqual((response.status, response.value(b"connection")), (417, b"close"))
        self.assertTrue(await client.until_closed(5))
        connection, _ = await self.arrival(b"/no")
        await self.until(lambda: connection.closed, "closed upstream")

    @in_loop
    async def test_early_413(self) -> None:
        """
        A backend that refuses an upload half-way is heard by a client that is still sending and does not read yet.
        """
        refusal = answer(b"too much", b"413 Content Too Large", b"Connection: close\r\n")

        async def refuse(connection: Connection, request: Request) -> None:
            await self.backend.changed.until(lambda: request.length > 200_000, 5)
            connection.write(refusal)
            connection.close()

        self.backend.scripts[b"/upload"] = refuse
        client = await self.connect()
        await client.send(get(b"/upload", b"Content-Length: 20000000\r\n", b"POST"))
        sending = asyncio.ensure_future(client.send(bytes(20_000_000)))
        response = await self.response(client)
        self.assertEqual((response.status, bytes(response.body)), (413, b"too much"))
        self.assertEqual(response.value(b"connection"), b"close")
        self.assertTrue(await client.until_closed(10))
        sending.cancel()

    @in_loop
    async def test_early_hints(self) -> None:
        """
        103 reaches the client while the backend still works on the final response.
        """

        async def hint(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n")
            await asyncio.sleep(0.2)
            connection.write(answer())

        self.backend.scripts[b"/hints"] = hint
        client = await self.connect()
        await client.send(get(b"/hints"))
        self.assertTrue(await client.changed.until(lambda: client.reader.interims, 5))
        self.assertEqual(client.reader.finals, [])
        self.assertEqual(client.reader.interims[0].value(b"link"), b"</s.css>; rel=preload")
        self.assertEqual((await self.response(client)).status, 200)

    @in_loop
    async def test_too_many_interims(self) -> None:
        """
        A backend that never comes to the point is cut off.
        """
        self.backend.scripts[b"/hm"] = play(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200)
        response = await self.ask(get(b"/hm"))
        self.problem(response, 502, "upstream_malformed", "http_protocol_error")


class ClientTests(FlowTestCase):
    """
    Clients that other people wrote.
    """

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}/services/echo"

    @in_loop
    async def test_aiohttp(self) -> None:
        """
        An aiohttp client posts a stream of unknown length, reads JSON, and keeps its connection.
        """

        async def pieces():  # type: ignore[no-untyped-def]
            for _ in range(50):
                yield b"0123456789"
                await asyncio.sleep(0)

        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.put(f"{self.url}/put?a=b", data=pieces()) as response:
                    seen = await response.json(content_type=None)
                    self.assertEqual((seen["method"], seen["target"], seen["length"]), ("PUT", "/put?a=b", 500))

    @in_loop
    async def test_curl(self) -> None:
        """
        curl uploads with Expect, and reads its answer.
        """
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "-i", "--max-time", "10", "-H", "Expect: 100-continue"),
            *("--data-binary", "@-", f"{self.url}/curl"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate(b"x" * 100_000)
        self.assertEqual((process.returncode, errors), (0, b""))
        self.assertIn(b"HTTP/1.1 200 OK", output)
        self.assertEqual((await self.arrival(b"/curl"))[1].length, 100_000)
