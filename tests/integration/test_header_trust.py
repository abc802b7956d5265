"""
What is believed of a request's fields, and what backends are told: raw bytes in, recorded bytes out.

Anybody at 127.0.0.1 is a stranger here; 127.0.0.2, which is this machine too, is a trusted proxy.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

import jwt

from tests.integration.flow_case import FlowTestCase, get, play
from tests.integration.loop_thread import in_loop
from tests.integration.raw_client import WRITE_MODES
from tests.integration.recording_backend import answer
from tests.integration.wire import Request, Response

PROXY = "127.0.0.2"
STRANGER = "127.0.0.1"
SECRET = "a-test-of-header-trust-signs-with-this-and-nothing-else-does"


def to(path: bytes, lines: bytes = b"", method: bytes = b"GET") -> bytes:
    """
    A request head for any path.
    """
    return b"%b %b HTTP/1.1\r\nHost: gw.test\r\n%b\r\n" % (method, path, lines)


def bearer(**claims: Any) -> bytes:
    """
    The C{Authorization} line of a user.
    """
    own = {"user_id": "42", "sub": "42", "username": "anna", "role": "user"}
    now = int(time.time())
    frame = {"iss": "siger-api-gateway", "aud": "siger", "iat": now, "exp": now + 600, "jti": f"trust-{now}"}
    return b"Authorization: Bearer %b\r\n" % jwt.encode({**frame, **own, **claims}, SECRET, "HS256").encode()


class TrustCase(FlowTestCase):
    """
    Tests of a gateway with a trusted proxy before it, and places that ask for a token.
    """

    config: ClassVar[dict[str, Any]] = {
        "trusted_proxies": ["127.0.0.2/32", "10.0.0.0/8"],
        "jwt_secret": SECRET,
        "routes": [
            {"path": "/members", "service": "echo", "strip": "/members", "auth": "user"},
            {"path": "/told", "service": "echo", "strip": "/told", "auth": "user", "forward_authorization": True},
            {"path": "/untold", "service": "echo", "strip": "/untold", "forward_authorization": False},
            {
                "path": "/few",
                "service": "echo",
                "strip": "/few",
                "rate_limit": {"requests_per_second": 0.05, "burst": 2},
            },
        ],
    }

    async def ask_from(self, source: str, data: bytes, mode: str = "whole") -> Response:
        """
        Send a request from this address and wait for its response.
        """
        client = await self.connect(source=source)
        await client.send(data, mode)
        return await self.response(client)

    async def seen(self, path: bytes, lines: bytes = b"", source: str = STRANGER, mode: str = "whole") -> Request:
        """
        What the backend gets of a request with these lines for the service C{echo}.
        """
        response = await self.ask_from(source, get(path, lines), mode)
        self.assertEqual(response.status, 200, lines)
        return (await self.arrival(path))[1]

    async def logged(self, response: Response) -> object:
        """
        The client that the access log names.
        """
        return (await self.access_line(response))["client"]


class ConnectionTests(TrustCase):
    """
    Fields that are for the gateway alone.
    """

    @in_loop
    async def test_hop_by_hop(self) -> None:
        """
        Row D1: what any Connection line names ends here, and so does the fixed list, named or not; then the gateway's
        own fields are added.
        """
        lines = (
            b"X-One: 1\r\nConnection: X-One , x-none\r\nX-Two: 2\r\nX-Kept: 3\r\nCONNECTION: ,x-two,\r\nX-TWO: 4\r\n"
            b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\n"
            b"Proxy-Authorization: Basic eDp5\r\nTE: trailers, gzip\r\nTrailer: X-T\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABk\r\n"
        )
        dropped = {
            *(b"x-one", b"x-two", b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate"),
            *(b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"),
        }
        for mode in WRITE_MODES:
            request = await self.seen(b"/hop-" + mode.encode(), lines, mode=mode)
            self.assertEqual(request.names() & dropped, set())
            self.assertEqual(request.value(b"x-kept"), b"3")
            self.assertTrue({b"via", b"x-forwarded-for", b"x-request-id", b"x-gateway"} <= request.names())

    @in_loop
    async def test_protected_names(self) -> None:
        """
        Row D2: Connection cannot take away what framing, routing and decisions rest on, nor what the gateway says.
        """
        named = (
            b"Host, Content-Length, Transfer-Encoding, Authorization, Cookie, X-Forwarded-For, X-Forwarded-Proto, "
            b"X-Forwarded-Host, Forwarded, X-User-Id, X-User-Role, X-Gateway, Via, X-Request-ID"
        )
        lines = bearer() + b"Cookie: a=1\r\nConnection: %b\r\nContent-Length: 5\r\nX-User-Id: 1\r\n" % named
        response = await self.ask(to(b"/told/named", lines, b"POST") + b"hello")
        self.assertEqual(response.status, 200)
        _, request = await self.arrival(b"/named")
        wanted = {
            b"host": b"gw.test",
            b"content-length": b"5",
            b"cookie": b"a=1",
            b"x-forwarded-for": b"127.0.0.1",
            b"x-forwarded-proto": b"http",
            b"x-forwarded-host": b"gw.test",
            b"x-user-id": b"42",
            b"x-user-role": b"user",
            b"x-gateway": b"siger-api-gateway",
        }
        self.assertEqual({name: request.value(name) for name in wanted}, wanted)
        self.assertTrue({b"authorization", b"forwarded", b"via", b"x-request-id"} <= request.names())
        self.assertEqual(bytes(request.body), b"hello")


class ClientTests(TrustCase):
    """
    Who the client is.
    """

    @in_loop
    async def test_stranger(self) -> None:
        """
        Row D3: what a stranger says of its address is worth nothing, by any name, for backend and log.
        """
        names = (
            *(b"X-Forwarded-For", b"x-forwarded-for", b"X-Real-IP", b"X-Client-IP", b"X-Cluster-Client-IP"),
            *(b"True-Client-IP", b"X-Forwarded", b"X.Forwarded.For", b"X-Forwarded-By"),
        )
        lines = b"".join(b"%b: 6.6.6.6\r\n" % name for name in names if name != b"X-Forwarded")
        response = await self.ask(get(b"/spoof", lines + b"Forwarded: for=6.6.6.6;by=6.6.6.6\r\n"))
        _, request = await self.arrival(b"/spoof")
        self.assertNotIn(b"6.6.6.6", request.raw)
        self.assertEqual(request.values(b"x-forwarded-for"), [b"127.0.0.1"])
        self.assertEqual(request.values(b"forwarded"), [b'for=127.0.0.1;host="gw.test";proto=http'])
        self.assertEqual(await self.logged(response), STRANGER)

    @in_loop
    async def test_trusted_proxy(self) -> None:
        """
        Row D3: a trusted proxy's list is walked from the right, and the first address that is no trusted proxy's is
        the client, for backend and log; what is malformed ends the walk, and what stands before it goes no further.
        """
        for number, (lines, client, chain) in enumerate(
            (
                (b"X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4", b"1.2.3.4, 127.0.0.2"),
                (b"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n", "1.2.3.4", b"1.2.3.4, 127.0.0.2"),
                (b"X-Forwarded-For: 6.6.6.6\r\nX-FORWARDED-FOR: 1.2.3.4\r\n", "1.2.3.4", b"1.2.3.4, 127.0.0.2"),
                (
                    b"X-Forwarded-For: 6.6.6.6,1.2.3.4 ,\t10.0.0.3\r\n",
                    "1.2.3.4",
                    b"1.2.3.4, 10.0.0.3, 127.0.0.2",
                ),
                (b"X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.3\r\n", "10.0.0.3", b"10.0.0.3, 127.0.0.2"),
                (b"X-Forwarded-For: 1.2.3.4, 1.2.3\r\n", PROXY, b"127.0.0.2"),
                (b"X-Forwarded-For: ::ffff:1.2.3.4\r\n", "1.2.3.4", b"1.2.3.4, 127.0.0.2"),
                (b"Forwarded: for=6.6.6.6, for=1.2.3.4;proto=https\r\n", "1.2.3.4", b"1.2.3.4, 127.0.0.2"),
                (b'Forwarded: for="[2001:db8::7]:1"\r\n', "2001:db8::7", b"2001:db8::7, 127.0.0.2"),
                (b'Forwarded: for=1.2.3.4;host="a,for=6.6.6.6"\r\n', "1.2.3.4", b"1.2.3.4, 127.0.0.2"),
                (b'Forwarded: for="x, for=1.2.3.4\r\n', PROXY, b"127.0.0.2"),
                (b"Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4", b"1.2.3.4, 127.0.0.2"),
                (b"X-Real-IP: 6.6.6.6\r\n", PROXY, b"127.0.0.2"),
            )
        ):
            path = b"/walk-%d" % number
            response = await self.ask_from(PROXY, get(path, lines))
            _, request = await self.arrival(path)
            self.assertEqual(request.values(b"x-forwarded-for"), [chain], lines)
            self.assertEqual(await self.logged(response), client, lines)
            self.assertNotIn(b"6.6.6.6", request.raw)
            (forwarded,) = request.values(b"forwarded")
            self.assertIn(client.encode(), forwarded.split(b",")[0])

    @in_loop
    async def test_same_for_the_limit(self) -> None:
        """
        Row D3: the limit counts whom the log and the backend name: neither another beginning of the list nor the other
        field is another client, and a stranger is not who it says.
        """
        for lines, status in (
            (b"X-Forwarded-For: 6.6.6.1, 1.2.3.5\r\n", 200),
            (b"Forwarded: for=6.6.6.2, for=1.2.3.5\r\n", 200),
            (b"X-Forwarded-For: 6.6.6.3, ::ffff:1.2.3.5, 10.0.0.1\r\n", 429),
            (b"X-Forwarded-For: 1.2.3.6\r\n", 200),
        ):
            response = await self.ask_from(PROXY, to(b"/few/limit", lines))
            self.assertEqual(response.status, status, lines)
            self.assertEqual(await self.logged(response), "1.2.3.6" if b"1.2.3.6" in lines else "1.2.3.5")
        for number, status in enumerate((200, 200, 429)):
            lines = b"X-Forwarded-For: 6.6.7.%d\r\nForwarded: for=6.6.7.%d\r\n" % (number, number)
            response = await self.ask_from("127.0.0.9", to(b"/few/limit", lines))
            self.assertEqual((response.status, await self.logged(response)), (status, "127.0.0.9"))

    @in_loop
    async def test_same_for_own_answers(self) -> None:
        """
        Row D3: and so does what the gateway answers by itself.
        """
        for path in (b"/nowhere", b"/services/none/x", b"/members/x", b"/livez"):
            response = await self.ask_from(PROXY, to(path, b"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\n"))
            self.assertEqual(await self.logged(response), "1.2.3.4")


class IdentityTests(TrustCase):
    """
    Whose request it is.
    """

    spoofs = b"".join(
        b"%b: 1\r\n" % name
        for name in (
            *(b"X-User-Id", b"x-user-id", b"X-USER-ID", b"x-User-Name", b"X-User-Role", b"X-User-Anything"),
            *(b"X.User.Id", b"X-User.Role", b"x.user-id", b"X-Internal-Role", b"X.Internal.Token", b"x-internal-x"),
            *(b"X-Gateway", b"X.Gateway", b"x-GATEWAY"),
        )
    )

    def told(self, request: Request) -> list[tuple[bytes, bytes]]:
        """
        What the backend was told of the user, in any spelling that a backend could take for it.
        """
        starts = (b"x-user-", b"x-internal-")
        pairs = [(name.lower().replace(b"_", b"-").replace(b".", b"-"), value) for name, value in request.fields]
        return sorted((name, value) for name, value in pairs if name.startswith(starts) or name == b"x-gateway")

    @in_loop
    async def test_anonymous(self) -> None:
        """
        Row D4: where nobody asked who it is, the backend is told of nobody, whatever the client says in whatever
        spelling.
        """
        for mode in WRITE_MODES:
            request = await self.seen(b"/nobody-" + mode.encode(), self.spoofs, mode=mode)
            self.assertEqual(self.told(request), [(b"x-gateway", b"siger-api-gateway")])
        request = await self.seen(b"/proxied", self.spoofs, source=PROXY)
        self.assertEqual(self.told(request), [(b"x-gateway", b"siger-api-gateway")])

    @in_loop
    async def test_user(self) -> None:
        """
        Row D4: with a verified token the backend is told of its bearer, once, whatever the client says before or
        behind it.
        """
        for number, lines in enumerate((self.spoofs + bearer(), bearer() + self.spoofs, bearer(role="admin"))):
            path = b"/user-%d" % number
            response = await self.ask(to(b"/members" + path, lines))
            self.assertEqual(response.status, 200)
            _, request = await self.arrival(path)
            role = b"admin" if number == 2 else b"user"
            self.assertEqual(
                self.told(request),
                [
                    (b"x-gateway", b"siger-api-gateway"),
                    (b"x-user-id", b"42"),
                    (b"x-user-name", b"anna"),
                    (b"x-user-role", role),
                ],
            )

    @in_loop
    async def test_user_changes(self) -> None:
        """
        Row D4: on one connection each request has its own user, and one without a token has none.
        """
        client = await self.connect()
        requests = (
            to(b"/members/one", bearer()),
            get(b"/two", self.spoofs),
            to(b"/members/three", bearer(user_id="7", sub="7", username="ben")),
            get(b"/four", bearer()),
        )
        for number, request in enumerate(requests):
            await client.send(request)
            await self.response(client, number + 1)
        ids = [(await self.arrival(path))[1].values(b"x-user-id") for path in (b"/one", b"/two", b"/three", b"/four")]
        self.assertEqual(ids, [[b"42"], [], [b"7"], []])

    @in_loop
    async def test_no_way_in(self) -> None:
        """
        Row D4: and saying that one is somebody opens nothing.
        """
        response = await self.ask(to(b"/members/spoof", self.spoofs))
        self.problem(response, 401, "unauthenticated")
        self.assertEqual(self.backend.find(b"/spoof"), [])

    @in_loop
    async def test_trailers(self) -> None:
        """
        Row D4: nor does it reach the backend behind a body.
        """
        trailers = b"X-Sum: 1\r\nX-User-Id: 1\r\nX.User.Role: admin\r\nX-Internal-A: 1\r\nX-Gateway: a\r\n"
        for token in (b"", bearer()):
            target = b"/members/trailers" if token else b"/services/echo/trailers"
            head = to(target, token + b"Transfer-Encoding: chunked\r\n", b"POST")
            response = await self.ask(head + b"1\r\na\r\n0\r\n" + trailers + b"\r\n")
            self.assertEqual(response.status, 200)
        for request in self.backend.find(b"/trailers"):
            self.assertEqual(request.trailers, [(b"X-Sum", b"1")])
        self.assertEqual(len(self.backend.find(b"/trailers")), 2)

    @in_loop
    async def test_underscores(self) -> None:
        """
        Rows D4 and D5: a name with an underscore is refused, before anything reaches a backend.
        """
        for name in (
            b"X_User_Id",
            b"x-user_id",
            b"X_Forwarded_For",
            b"Transfer_Encoding",
            b"Content_Length",
            b"X_A",
            b"_",
        ):
            for token, path in ((b"", b"/services/echo/under"), (bearer(), b"/members/under")):
                response = await self.ask(to(path, token + b"%b: 1\r\n" % name))
                self.problem(response, 400, "malformed_request")
        self.assertEqual(self.backend.find(b"/under"), [])


class RequestTests(TrustCase):
    """
    What backends are told of the request's way.
    """

    @in_loop
    async def test_scheme_host_port(self) -> None:
        """
        Row D6: scheme, host and port are always the gateway's to tell; a trusted proxy's word on them counts.
        """
        lies = (
            b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 8443\r\n"
            b"X-Forwarded-Prefix: /evil\r\nX-Forwarded-Server: evil\r\nX-Original-URL: /evil\r\n"
            b"X-Rewrite-URL: /evil\r\n"
        )
        names = (b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
        for number, (source, lines, told) in enumerate(
            (
                (STRANGER, b"", [b"http", b"gw.test", b"80"]),
                (STRANGER, lies, [b"http", b"gw.test", b"80"]),
                (PROXY, b"", [b"http", b"gw.test", b"80"]),
                (PROXY, lies, [b"https", b"evil.test", b"8443"]),
                (PROXY, b"X-Forwarded-Proto: https\r\n", [b"https", b"gw.test", b"443"]),
                (PROXY, b"Forwarded: for=1.2.3.4;proto=https;host=b.test\r\n", [b"https", b"b.test", b"443"]),
                (PROXY, lies + lies, [b"http", b"gw.test", b"80"]),
            )
        ):
            request = await self.seen(b"/way-%d" % number, lines, source)
            self.assertEqual([request.values(name) for name in names], [[value] for value in told], lines)
            self.assertEqual(request.names() & {b"x-forwarded-prefix", b"x-forwarded-server", b"x-original-url"}, set())
            self.assertNotIn(b"/evil", request.raw)

    @in_loop
    async def test_request_id(self) -> None:
        """
        Row D7: an acceptable id is kept, any other replaced, and log, backend and client have the same.
        """
        for number, (lines, kept) in enumerate(
            (
                (b"X-Request-ID: client-id.0001\r\n", True),
                (b"X-Request-ID: short\r\n", False),
                (b"X-Request-ID: %b\r\n" % (b"a" * 65), False),
                (b'X-Request-ID: a"b\\c{evil}\r\n', False),
                (b"X-Request-ID: client-id.0001\r\nX-Request-ID: client-id.0002\r\n", False),
                (b"X.Request.ID: client-id.0001\r\n", False),
                (b"", False),
            )
        ):
            path = b"/id-%d" % number
            response = await self.ask(get(path, lines))
            (given,) = response.values(b"x-request-id")
            self.assertEqual((await self.arrival(path))[1].values(b"x-request-id"), [given])
            self.assertEqual((await self.access_line(response))["request_id"], given.decode())
            if kept:
                self.assertEqual(given, b"client-id.0001")
            else:
                self.assertRegex(given, rb"\A[0-9a-f]{32}\Z")

    @in_loop
    async def test_via(self) -> None:
        """
        Row D8: the gateway names itself in Via; who has been through it twice is not sent round again; and an OPTIONS
        that may go no further ends here.
        """
        request = await self.seen(b"/via", b"Via: 1.0 fred, 1.1 siger\r\n")
        self.assertEqual(request.values(b"via"), [b"1.0 fred, 1.1 siger, 1.1 siger"])
        for lines in (b"Via: 1.1 siger, 1.1 SIGER\r\n", b"Via: 1.1 siger\r\nVia: 1.1 a, HTTP/1.1 siger (x)\r\n"):
            response = await self.ask(get(b"/loop", lines))
            self.problem(response, 508, "loop_detected")
        response = await self.ask(get(b"/loop", b"Max-Forwards: 0\r\n", b"OPTIONS"))
        self.assertEqual((response.status, bytes(response.body)), (204, b""))
        self.assertEqual(self.backend.find(b"/loop"), [])
        response = await self.ask(get(b"/hops", b"Max-Forwards: 3\r\n", b"OPTIONS"))
        self.assertEqual((await self.arrival(b"/hops"))[1].value(b"max-forwards"), b"2")

    @in_loop
    async def test_httpoxy(self) -> None:
        """
        Row D9: no C{Proxy} field reaches a backend, which could take it for its own proxy's address.
        """
        lines = b"Proxy: http://evil.test/\r\nPROXY: http://evil.test/\r\nproxy:http://evil.test/\r\n"
        for source in (STRANGER, PROXY):
            request = await self.seen(b"/oxy-" + source.encode(), lines, source)
            self.assertNotIn(b"evil", request.raw)


class CredentialTests(TrustCase):
    """
    Who gets to see credentials.
    """

    @in_loop
    async def test_authorization(self) -> None:
        """
        Row D10: a token that the gateway asked for stays here; where it asks for none, C{Authorization} is between
        client and service; and either can be configured otherwise.
        """
        for prefix, passed in ((b"/services/echo", True), (b"/members", False), (b"/told", True), (b"/untold", False)):
            path = b"/credentials" + prefix.replace(b"/", b"-")
            line = bearer()
            response = await self.ask(to(prefix + path, line + b"proxy-authorization: Basic eDp5\r\nCookie: a=1\r\n"))
            self.assertEqual(response.status, 200)
            _, request = await self.arrival(path)
            self.assertEqual(
                request.value(b"authorization"), line.split()[1] + b" " + line.split()[2] if passed else None
            )
            self.assertNotIn(b"eDp5", request.raw)
            self.assertEqual(request.value(b"cookie"), b"a=1")

    @in_loop
    async def test_spellings(self) -> None:
        """
        Row D10: nor in another spelling, nor by naming it, nor twice.
        """
        token = bearer().split(b" ", 1)[1]
        for number, lines in enumerate((b"AUTHORIZATION: " + token, b"authorization:" + token + b"Connection: x\r\n")):
            response = await self.ask(to(b"/members/spelt-%d" % number, lines + b"Authorization.: Basic eDp5\r\n"))
            self.assertEqual(response.status, 200)
            _, request = await self.arrival(b"/spelt-%d" % number)
            self.assertNotIn(token.strip(), request.raw)
        response = await self.ask(to(b"/members/twice", bearer() + b"Authorization: Basic eDp5\r\n"))
        self.problem(response, 400, "malformed_request")
        self.assertEqual(self.backend.find(b"/twice"), [])

    @in_loop
    async def test_redirect(self) -> None:
        """
        Row D10: a redirect is the client's to follow: nothing is sent anywhere else.
        """
        elsewhere = b"Location: http://127.0.0.1:%d/elsewhere\r\n" % self.backend.port
        self.backend.scripts[b"/away"] = play(answer(status=b"302 Found", lines=elsewhere))
        response = await self.ask(get(b"/away", bearer()))
        self.assertEqual((response.status, response.value(b"location")), (302, elsewhere[10:-2]))
        self.assertEqual([one.target for one in self.backend.requests], [b"/away"])
