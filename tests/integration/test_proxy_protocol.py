"""
A gateway behind load balancers that announce their clients: what counts, and what is believed of whom.

The load balancer is at 127.0.0.2, which is this machine too, and nobody else is one.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from tests.http.test_proxy_protocol import ADDRESSES4, ADDRESSES6, block, extension, line, summed
from tests.integration.flow_case import PATIENCE, FlowTestCase, get
from tests.integration.loop_thread import in_loop
from tests.integration.raw_client import WRITE_MODES, RawClient
from tests.integration.wire import Response

BALANCER = "127.0.0.2"
HEADER = line("TCP4 192.0.2.7 198.51.100.1 40000 80")


def announce(address: str) -> bytes:
    """
    A header that names this client.
    """
    return line(f"TCP4 {address} 198.51.100.1 40000 80")


class BalancedCase(FlowTestCase):
    """
    Tests of a gateway behind a load balancer, which is behind another proxy at times.
    """

    config: ClassVar[dict[str, Any]] = {
        "proxy_protocol": ["127.0.0.2/32"],
        "trusted_proxies": ["203.0.113.0/24"],
        "limits": {"connections_per_client": 3, "header_timeout": 2},
        "rate_limit": {"requests_per_second": 0.1, "burst": 4},
    }

    async def send(self, data: bytes, mode: str = "whole") -> RawClient:
        """
        A connection of the load balancer's that sends this.
        """
        client = await self.connect(source=BALANCER)
        await client.send(data, mode)
        return client

    async def told(self, response: Response, path: bytes) -> list[object]:
        """
        Whose request it was, for the backend and for the access log.
        """
        _, request = await self.arrival(path)
        return [request.value(b"x-forwarded-for"), (await self.access_line(response))["client"]]

    async def silence(self, client: RawClient) -> None:
        """
        This connection ends, and nothing was said on it.
        """
        self.assertTrue(await client.until_closed(PATIENCE))
        self.assertEqual(bytes(client.raw), b"")


class AnnouncedTests(BalancedCase):
    """
    Connections that begin as they must.
    """

    @in_loop
    async def test_client(self) -> None:
        """
        Row D3: the client is the one that the header names, for backend and log, by whatever header and in whatever
        pieces it comes.
        """
        headers = {
            b"/one": (announce("192.0.2.10"), "192.0.2.10"),
            b"/two": (block(ADDRESSES4[:3] + b"\x0b" + ADDRESSES4[4:]), "192.0.2.11"),
            b"/sum": (summed(ADDRESSES4[:3] + b"\x0c" + ADDRESSES4[4:] + extension(4, b"a")), "192.0.2.12"),
            b"/six": (block(ADDRESSES6, 0x21), "2001:db8::7"),
        }
        for path, (header, address) in headers.items():
            for mode in WRITE_MODES:
                target = b"%b-%b" % (path, mode.encode())
                client = await self.send(header + get(target), mode)
                response = await self.response(client)
                self.assertEqual(response.status, 200)
                self.assertEqual(await self.told(response, target), [address.encode(), address])
                await client.close()

    @in_loop
    async def test_all_requests(self) -> None:
        """
        Row D3: it is the client of all requests on the connection; what these claim is worth nothing.
        """
        client = await self.send(announce("192.0.2.20") + get(b"/first", b"X-Forwarded-For: 6.6.6.6\r\n"))
        response = await self.response(client)
        self.assertEqual(await self.told(response, b"/first"), [b"192.0.2.20", "192.0.2.20"])
        await client.send(get(b"/second", b"Forwarded: for=6.6.6.6\r\n"))
        response = await self.response(client, 2)
        self.assertEqual(await self.told(response, b"/second"), [b"192.0.2.20", "192.0.2.20"])

    @in_loop
    async def test_trusted_proxy(self) -> None:
        """
        Row D3: an announced address that is a trusted proxy's speaks for its clients.
        """
        head = get(b"/chain", b"X-Forwarded-For: 6.6.6.6, 192.0.2.30\r\n")
        client = await self.send(announce("203.0.113.9") + head)
        response = await self.response(client)
        self.assertEqual(await self.told(response, b"/chain"), [b"192.0.2.30, 203.0.113.9", "192.0.2.30"])

    @in_loop
    async def test_own_connection(self) -> None:
        """
        A balancer's own connection is the balancer's.
        """
        for path, header in ((b"/local", block(b"", 0, 0x20)), (b"/unknown", line("UNKNOWN"))):
            client = await self.send(header + get(path))
            response = await self.response(client)
            self.assertEqual(await self.told(response, path), [b"127.0.0.2", "127.0.0.2"])

    @in_loop
    async def test_body(self) -> None:
        """
        What follows the header in the same breath is all there, to the last byte.
        """
        body = bytes(range(256)) * 4096
        head = get(b"/body", b"Content-Length: %d\r\n" % len(body), b"POST")
        client = await self.send(announce("192.0.2.40") + head + body + get(b"/after"))
        self.assertEqual((await self.response(client, 2)).status, 200)
        _, request = await self.arrival(b"/body")
        self.assertEqual((request.length, bytes(request.body) == body[: len(request.body)]), (len(body), True))

    @in_loop
    async def test_rate_limit(self) -> None:
        """
        Row D3: requests count against the announced client, not against the load balancer.
        """
        for address, statuses in (("192.0.2.50", [200] * 4 + [429]), ("192.0.2.51", [200])):
            client = await self.send(announce(address))
            for number, status in enumerate(statuses):
                await client.send(get(b"/limit"))
                self.assertEqual((await self.response(client, number + 1)).status, status)
        client = await self.send(announce("192.0.2.50") + get(b"/limit"))
        response = await self.response(client)
        self.problem(response, 429, "rate_limited")
        self.assertEqual((await self.access_line(response))["client"], "192.0.2.50")

    @in_loop
    async def test_connections(self) -> None:
        """
        Row D3: connections count against the announced client, and those of the load balancer have no limit of a
        client's.
        """
        first = await self.send(announce("192.0.2.60") + get(b"/first"))
        await self.response(first)
        for _ in range(2):
            await self.response(await self.send(announce("192.0.2.60") + get(b"/more")))
        await self.silence(await self.send(announce("192.0.2.60") + get(b"/over")))
        for number in range(61, 66):
            await self.response(await self.send(announce(f"192.0.2.{number}") + get(b"/others")))
        await first.close()
        for _ in range(100):
            client = await self.send(announce("192.0.2.60") + get(b"/room"))
            if await client.finals(1, PATIENCE):
                break
            await asyncio.sleep(0.02)
        self.assertEqual((await self.response(client)).status, 200)
        self.assertEqual(self.backend.find(b"/over"), [])


class RefusedTests(BalancedCase):
    """
    Connections that do not begin as they must.
    """

    @in_loop
    async def test_no_header(self) -> None:
        """
        Row D3: without a header, a load balancer's connection ends at once and without a word.
        """
        spoilt = bytearray(summed(ADDRESSES4))
        spoilt[19] ^= 1
        for data in (
            get(b"/none"),
            b"\r\n" + HEADER + get(b"/none"),
            line("TCP4 192.0.2.7 198.51.100.1 40000") + get(b"/none"),
            line("TCP4 192.0.2.7 198.51.100.1 40000 80").replace(b"\r", b"") + get(b"/none"),
            bytes(spoilt) + get(b"/none"),
            b"PROXY UNKNOWN " + b"a" * 200,
        ):
            for mode in ("whole", "bytes"):
                await self.silence(await self.send(data, mode))
        self.assertEqual(self.backend.find(b"/none"), [])
        self.assertIn("no PROXY protocol header from 127.0.0.2", self.gateway.output())

    @in_loop
    async def test_late_header(self) -> None:
        """
        So does one whose header does not come in time: F3.
        """
        client = await self.send(HEADER[:-1])
        await self.silence(client)

    @in_loop
    async def test_half_close(self) -> None:
        """
        And one that ends before its header does.
        """
        client = await self.send(HEADER[:-1])
        client.half_close()
        await self.silence(client)

    @in_loop
    async def test_second_header(self) -> None:
        """
        Row D3: a client cannot add a header of its own behind the load balancer's.
        """
        client = await self.send(announce("192.0.2.70") + announce("6.6.6.6") + get(b"/twice"))
        response = await self.response(client)
        self.problem(response, 400, "malformed_request")
        self.assertEqual((await self.access_line(response))["client"], "192.0.2.70")
        self.assertEqual(self.backend.find(b"/twice"), [])

    @in_loop
    async def test_strangers(self) -> None:
        """
        Row D3: from anybody else, a header is a malformed request.
        """
        for source in ("127.0.0.3", "127.0.0.4"):
            for number, header in enumerate((HEADER, line("UNKNOWN"), block(ADDRESSES4), block(b"", 0, 0x20))):
                client = await self.connect(source=source)
                await client.send(header + get(b"/stranger"), ("whole", "bytes", "lines", "gaps")[number])
                response = await self.response(client)
                self.problem(response, 400, "malformed_request")
                self.assertTrue(await client.until_closed(PATIENCE))
                self.assertEqual((await self.access_line(response))["client"], source)
                await client.close()
        self.assertEqual(self.backend.find(b"/stranger"), [])

    @in_loop
    async def test_without(self) -> None:
        """
        Anybody else needs no header.
        """
        client = await self.connect(source="127.0.0.5")
        await client.send(get(b"/plain"))
        response = await self.response(client)
        self.assertEqual(await self.told(response, b"/plain"), [b"127.0.0.5", "127.0.0.5"])
