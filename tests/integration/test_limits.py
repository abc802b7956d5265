"""
Limits and roles in a real gateway: what a refused request leaves behind on its connection, and what counts.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar

import jwt

from tests.integration.flow_case import FlowTestCase, play
from tests.integration.loop_thread import in_loop
from tests.integration.recording_backend import answer
from tests.integration.wire import Response

SECRET = "a-test-of-limits-signs-with-this-and-nothing-else-does"
SLOW = 0.01


def to(path: bytes, lines: bytes = b"", method: bytes = b"GET") -> bytes:
    """
    A request head.
    """
    return b"%b %b HTTP/1.1\r\nHost: gw.test\r\n%b\r\n" % (method, path, lines)


def bearer(user: str, role: str = "user", **claims: Any) -> bytes:
    """
    The C{Authorization} line of somebody.
    """
    now = int(time.time())
    own = {"user_id": user, "sub": user, "username": f"user-{user}", "role": role, "jti": f"limits-{user}"}
    frame = {"iss": "siger-api-gateway", "aud": "siger", "iat": now, "exp": now + 600}
    token = jwt.encode({**frame, **own, **claims}, SECRET, "HS256")
    return b"Authorization: Bearer %b\r\n" % token.encode()


def way(name: str, key: Any = "client_ip", burst: int = 2, **more: Any) -> dict[str, Any]:
    """
    A route with a limit under which nothing comes back during a test.
    """
    limit = {"requests_per_second": SLOW, "burst": burst, "key": key, **more.pop("limit", {})}
    return {"path": f"/{name}", "service": "echo", "strip": f"/{name}", "rate_limit": limit, **more}


class LimitsTestCase(FlowTestCase):
    """
    A gateway with several small limits. Each test uses routes of its own, as buckets outlive a test.
    """

    config: ClassVar[dict[str, Any]] = {
        "jwt_secret": SECRET,
        "routes": [
            way("refused"),
            way("pipelined", burst=3),
            way("spelled"),
            way("unread"),
            way("early", auth="user"),
            way("by-user", "user", 1, auth="user"),
            way("by-team", "claim:team", 1, auth="user"),
            way("by-key", ["header:x-api-key", "client_ip"], 1),
            way("shadow", burst=1, limit={"shadow": True}),
            {"path": "/auditors", "service": "echo", "strip": "/auditors", "auth": ["auditor"]},
        ],
    }

    async def statuses(self, *requests: bytes) -> list[int]:
        """
        The answers to requests on connections of their own.
        """
        return [(await self.ask(request)).status for request in requests]

    def limited(self, response: Response) -> None:
        """
        It is a complete answer for who has to wait.
        """
        self.problem(response, 429, "rate_limited", "http_request_denied")
        wait = int(response.value(b"retry-after") or b"0")
        self.assertTrue(1 <= wait <= 1 / SLOW, wait)
        self.assertIn(b";w=", response.value(b"ratelimit-policy") or b"")
        self.assertTrue((response.value(b"ratelimit") or b"").endswith(b";r=0;t=%d" % wait), response)


class RefusalTests(LimitsTestCase):
    """
    Answers to requests over a limit.
    """

    @in_loop
    async def test_answer(self) -> None:
        """
        Row I4: the answer says what happened, in the body, the fields, the log and the metrics.
        """
        self.assertEqual(await self.statuses(to(b"/refused/"), to(b"/refused/")), [200, 200])
        response = await self.ask(to(b"/refused/x?a=b"))
        self.limited(response)
        line = await self.access_line(response)
        self.assertEqual((line["status"], line["reason"], line["route"]), (429, "rate_limited", "/refused/*"))
        self.assertEqual((line["service"], line["user"]), (None, None))
        metrics = self.gateway.get("/metrics").decode()
        self.assertIn('siger_rate_limit_decisions_total{decision="allowed",policy="/refused/*"} 2.0', metrics)
        self.assertIn('siger_rate_limit_decisions_total{decision="limited",policy="/refused/*"} 1.0', metrics)

    @in_loop
    async def test_body_is_no_request(self) -> None:
        """
        Row I4: the body of a refused request is read and dropped, or the connection ends; what looks like a request in
        it is none, and one behind it is one.
        """
        await self.statuses(to(b"/unread/"), to(b"/unread/"))
        smuggled = to(b"/services/echo/smuggled")
        client = await self.connect()
        head = to(b"/unread/", b"Content-Length: %d\r\n" % len(smuggled), b"POST")
        await client.send(head + smuggled + to(b"/services/echo/next"))
        self.limited(await self.response(client, 1))
        self.assertEqual((await self.response(client, 2)).status, 200)
        self.assertEqual(self.backend.find(b"/smuggled"), [])

    @in_loop
    async def test_body_is_not_asked_for(self) -> None:
        """
        Row I4: who waits for leave to send a body over the limit gets the refusal, and no leave.
        """
        await self.statuses(to(b"/unread/"), to(b"/unread/"))
        client = await self.connect()
        await client.send(to(b"/unread/", b"Content-Length: 1000000\r\nExpect: 100-continue\r\n", b"POST"))
        self.limited(await self.response(client, 1))
        self.assertNotIn(b"100 Continue", bytes(client.raw))


class CountingTests(LimitsTestCase):
    """
    What counts, and for whom.
    """

    @in_loop
    async def test_pipelined(self) -> None:
        """
        Row I5: each pipelined request counts.
        """
        client = await self.connect()
        await client.send(to(b"/pipelined/") * 5)
        self.assertEqual([(await self.response(client, n)).status for n in range(1, 6)], [200, 200, 200, 429, 429])

    @in_loop
    async def test_spellings(self) -> None:
        """
        Row I5: other spellings of a path share its bucket.
        """
        spelled = [b"/spelled", b"/spelled/", b"/./spelled/x", b"/x/../spelled/x", b"/%73pelled/"]
        self.assertEqual(await self.statuses(*map(to, spelled)), [200, 200, 429, 429, 429])

    @in_loop
    async def test_claimed_addresses(self) -> None:
        """
        Row I1: to claim other addresses makes no other client.
        """
        lines = [b"X-Forwarded-For: 10.9.8.%d\r\nX-Real-IP: 10.9.8.%d\r\n" % (n, n) for n in range(4)]
        requests = [to(b"/early/", line + bearer("1")) for line in lines]
        self.assertEqual(await self.statuses(*requests), [200, 200, 429, 429])

    @in_loop
    async def test_users(self) -> None:
        """
        Row I1: where a user is asked for, each has a bucket, from wherever.
        """
        requests = [to(b"/by-user/", bearer(user)) for user in ("1", "1", "2", "2")]
        self.assertEqual(await self.statuses(*requests), [200, 429, 200, 429])

    @in_loop
    async def test_claims(self) -> None:
        """
        Users of one team share a bucket, if the limit is by that claim.
        """
        teams = [("1", "red"), ("2", "red"), ("3", "blue")]
        requests = [to(b"/by-team/", bearer(user, team=team)) for user, team in teams]
        self.assertEqual(await self.statuses(*requests), [200, 429, 200])

    @in_loop
    async def test_combination(self) -> None:
        """
        Each combination of the parts of a key has a bucket.
        """
        keys = [b"a", b"a", b"b"]
        self.assertEqual(
            await self.statuses(*(to(b"/by-key/", b"X-API-Key: %b\r\n" % key) for key in keys)), [200, 429, 200]
        )

    @in_loop
    async def test_shadow(self) -> None:
        """
        A limit in shadow refuses nothing, and the metrics say what it would have.
        """
        self.assertEqual(await self.statuses(*[to(b"/shadow/")] * 4), [200] * 4)
        metrics = self.gateway.get("/metrics").decode()
        self.assertIn('siger_rate_limit_decisions_total{decision="shadowed",policy="/shadow/*"} 3.0', metrics)

    def test_health(self) -> None:
        """
        Probes and scrapers are never counted: with the default limit, more of them are answered than it allows.
        """
        for path in ("/health", "/livez", "/readyz", "/metrics"):
            self.assertEqual({self.gateway.status_of(path) for _ in range(5)}, {200})


class RoleTests(LimitsTestCase):
    """
    Roles.
    """

    @in_loop
    async def test_roles(self) -> None:
        """
        A place for one role is for that one and administrators; RFC 6750 says how the others are told.
        """
        self.backend.scripts[b"/x"] = play(answer(b"secret"))
        for lines, status in (
            (b"", 401),
            (bearer("1"), 403),
            (bearer("2", "auditor"), 200),
            (bearer("3", "admin"), 200),
            (bearer("2", "auditor", exp=1), 401),
        ):
            response = await self.ask(to(b"/auditors/x", lines))
            self.assertEqual(response.status, status)
            self.assertEqual(b"www-authenticate" in {name.lower() for name, _ in response.fields}, status != 200)
        self.assertEqual(len(self.backend.find(b"/x")), 2)

    @in_loop
    async def test_own_figures(self) -> None:
        """
        The figures are for administrators.
        """
        asked = [(b"", 401), (bearer("1"), 403), (bearer("3", "admin"), 200)]
        for path in (b"/admin", b"/api/v1/admin-stats"):
            self.assertEqual(await self.statuses(*(to(path, lines) for lines, _ in asked)), [each for _, each in asked])


class DefaultTests(FlowTestCase):
    """
    The limit that there is when nothing is said.
    """

    config: ClassVar[dict[str, Any]] = {"rate_limit": {"requests_per_second": 100}}

    @in_loop
    async def test_burst(self) -> None:
        """
        Row I3: two hundred at once pass, and with them what a hundred a second adds meanwhile, and no more; those who
        wait as long as they are told to pass.
        """
        client = await self.connect()
        began = time.monotonic()
        await client.send(to(b"/services/echo/") * 400)
        await client.finals(400, 20)
        took = time.monotonic() - began
        statuses = [response.status for response in client.reader.finals]
        passed = statuses.count(200)
        self.assertEqual(len(statuses), 400)
        self.assertTrue(200 <= passed <= 201 + took * 100, (passed, took))
        self.assertEqual(set(statuses[:200]), {200})
        await asyncio.sleep(0.2)
        self.assertEqual((await self.ask(to(b"/services/echo/"))).status, 200)
