"""
gRPC-Web: what browsers' libraries send, over HTTP/1.1 and HTTP/2, in bytes and in base64, to servers that know of
nothing but gRPC.
"""

from __future__ import annotations

import base64
import random
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.grpc_plan import SERVICE, Plan, content
from tests.integration.grpc_web import BINARY, TEXT, WebAnswer, decode_text, encode, split
from tests.integration.grpc_world import ORIGIN, bearer, call_names, eventually, world
from tests.integration.h2_post import post as h2_post
from tests.integration.loop_thread import run_in_loop
from tests.integration.raw_client import RawClient
from tests.integration.wire import Response

DEADLINE_EXCEEDED, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE, UNAUTHENTICATED = (
    4,
    7,
    8,
    12,
    14,
    16,
)

PACKAGE = "/siger.interop.v1."
SECRET = base64.b64encode(bytes(range(256))).decode().rstrip("=")


class WebCase(SynchronousTestCase):
    """
    A page's calls.

    @cvar kind: their media type.
    """

    kind = BINARY

    def setUp(self) -> None:
        self.world = world()
        self.call = next(call_names)
        self.connection = HTTPConnection("127.0.0.1", self.world.gateway.port, timeout=30)
        self.addCleanup(self.connection.close)

    def begin(self, path: str, body: bytes, **fields: str) -> HTTPResponse:
        """
        Send a request over HTTP/1.1, and wait for the head of the response.
        """
        self.connection.request("POST", path, body, self.fields(fields))
        return self.connection.getresponse()

    def fields(self, more: dict[str, str]) -> dict[str, str]:
        """
        What a page's library says of a call.
        """
        more = {name.replace("_", "-"): value for name, value in more.items()}
        return {"content-type": self.kind, "accept": self.kind, "x-grpc-web": "1", "x-call": self.call, **more}

    def post(self, path: str, body: bytes, **fields: str) -> WebAnswer:
        """
        Send a request, and read all of the response.
        """
        response = self.begin(path, body, **fields)
        return WebAnswer.read(response.status, response.getheaders(), response.read())

    def ask(
        self, request: Plan | bytes, method: str = "ServerStream", service: str = "Test", **fields: str
    ) -> WebAnswer:
        """
        Make a call.
        """
        message = request.encode() if isinstance(request, Plan) else request
        body = encode(message, text=self.kind == TEXT)
        answer = self.post(f"{PACKAGE}{service}/{method}", body, **fields)
        family = answer.field("content-type").partition("+")[0]
        self.assertEqual((answer.status, family, answer.rest), (200, self.kind.partition("+")[0], b""))
        return answer


class WebScenarios:
    """
    What a page can do.
    """

    def test_unary(self: Any) -> None:
        """
        A message there, a message back, then trailers.
        """
        answer = self.ask(b"hello", "Unary")
        self.assertEqual((answer.code, answer.messages), (0, [b"hello"]))
        self.assertIn(dict(answer.trailers)["x-server"], ("first", "second"))

    def test_server_streaming(self: Any) -> None:
        """
        A message there, many back.
        """
        answer = self.ask(Plan(sizes=(31415, 0, 9, 2653, 58979)))
        self.assertEqual(answer.messages, [content(size) for size in (31415, 0, 9, 2653, 58979)])
        self.assertEqual(answer.code, 0)

    def test_any_size(self: Any) -> None:
        """
        Messages pass whole and unchanged, wherever pieces of them end.
        """
        random_bytes = random.Random(3)
        for size in (0, 1, 2, 3, 16384, 16385, 65535, 1 << 20):
            message = random_bytes.randbytes(size)
            answer = self.ask(message, "Unary")
            self.assertEqual((answer.code, answer.messages == [message]), (0, True), size)

    def test_as_gRPC_to_the_server(self: Any) -> None:
        """
        The server sees a call like others, with the metadata that the page gave it.
        """
        self.ask(b"", "Empty", x_custom="there", x_secret_bin=SECRET)
        seen = dict(self.world.seen(self.call)["metadata"])
        self.assertEqual((seen["x-custom"], seen["x-secret-bin"]), ("there", bytes(range(256)).decode("latin-1")))

    def test_metadata(self: Any) -> None:
        """
        Metadata before the messages are fields, metadata after them trailers; several values of a name all arrive.
        """
        pairs = [("x-many", "2"), ("x-many", "1"), ("x-some-bin", bytes(range(256)).decode("latin-1"))]
        answer = self.ask(Plan(sizes=[3], initial=pairs[:1], trailing=pairs))
        self.assertEqual(answer.field("x-many"), "2")
        self.assertEqual(answer.trailer("x-many"), ["2", "1"])
        (value,) = answer.trailer("x-some-bin")
        self.assertEqual(base64.b64decode(value + "=" * (-len(value) % 4)), bytes(range(256)))

    def test_status(self: Any) -> None:
        """
        A server's status and message arrive, after messages and without any.
        """
        for sizes in ((), (3, 4)):
            answer = self.ask(Plan(sizes=sizes, code=9, message="tab\tüber\r\n100%", trailing=[("x-why", "so")]))
            self.assertEqual((answer.code, answer.details), (9, "tab\tüber\r\n100%"))
            self.assertEqual((len(answer.messages), answer.trailer("x-why")), (len(sizes), ["so"]))

    def test_refused(self: Any) -> None:
        """
        So do the gateway's own refusals, whatever they are for.
        """
        user = bearer()[1]
        for service, fields, code in (
            ("Private", {}, UNAUTHENTICATED),
            ("Private", {"authorization": "Bearer nonsense"}, UNAUTHENTICATED),
            ("Admins", {"authorization": user}, PERMISSION_DENIED),
            ("Missing", {}, UNIMPLEMENTED),
            ("Nobody", {}, UNAVAILABLE),
            ("Refusing", {}, UNAVAILABLE),
            ("Late", {}, DEADLINE_EXCEEDED),
        ):
            answer = self.ask(b"x" * 900, "Unary", service, **fields)
            self.assertEqual((answer.code, answer.messages), (code, []), service)
        self.assertEqual(self.ask(b"x" * 2000, "Unary", "Small").code, RESOURCE_EXHAUSTED)
        self.assertEqual(self.ask(b"x", "Unary", "Private", authorization=user).code, 0)

    def test_time_limit(self: Any) -> None:
        """
        A page's time limit holds.
        """
        answer = self.ask(Plan(sleep=60), grpc_timeout="300m")
        self.assertEqual((answer.code, answer.messages), (DEADLINE_EXCEEDED, []))
        self.assertTrue(eventually(lambda: self.world.seen(self.call)["ended"] == "cancelled"))


class BinaryTests(WebScenarios, WebCase):
    """
    Bytes over HTTP/1.1.
    """

    def test_short_name(self) -> None:
        """
        A media type that leaves the format out is answered in kind.
        """
        self.kind = "application/grpc-web"
        self.assertEqual(self.ask(b"x", "Unary").messages, [b"x"])

    def test_one_by_one(self) -> None:
        """
        Each message reaches the page before the server goes on to the next.
        """
        path = f"/{SERVICE}/ServerStream"
        response = self.begin(path, encode(Plan(sizes=(5, 50_000, 5), gated=True).encode()))
        body = b""
        for number in range(1, 4):
            while sum(not flags for flags, _ in split(body)[0]) < number:
                body += self.more(response)
            for server in self.world.servers:
                server.let_go(self.call)
        answer = WebAnswer.read(response.status, response.getheaders(), body + response.read())
        self.assertEqual((answer.code, [len(message) for message in answer.messages]), (0, [5, 50_000, 5]))

    def more(self, response: HTTPResponse) -> bytes:
        """
        What has come of a body by now, at least a byte.
        """
        found = response.read1(65536)
        self.assertTrue(found, "the body ended early")
        return found

    def test_leaving(self) -> None:
        """
        A page that goes away cancels its call.
        """
        self.begin(f"/{SERVICE}/ServerStream", encode(Plan(sizes=(5, 5), gated=True).encode()))
        self.connection.close()
        self.assertTrue(eventually(lambda: self.world.seen(self.call)["ended"] == "cancelled"))

    def test_plain_gRPC(self) -> None:
        """
        gRPC itself passes over HTTP/1.1, too, for a client that reads the trailers of a chunked body.
        """
        lines = b"Content-Type: application/grpc\r\nTE: trailers\r\nConnection: TE\r\nContent-Length: 6\r\n"
        head = b"POST /%b/Unary HTTP/1.1\r\nHost: gw.test\r\n%b\r\n" % (SERVICE.encode(), lines)
        response = run_in_loop(self.exchange(head + encode(b"x")))
        self.assertEqual((response.status, bytes(response.body)), (200, encode(b"x")))
        self.assertIn((b"grpc-status", b"0"), response.trailers)

    async def exchange(self, request: bytes) -> Response:
        """
        Send some bytes, and read a response of HTTP/1.1.
        """
        client = await RawClient.connect(self.world.gateway.port)
        await client.send(request)
        self.assertTrue(await client.finals(1, 10))
        await client.close()
        return client.reader.finals[0]

    def test_preflight(self) -> None:
        """
        A page of another origin may call, with all that its library sends, and may read how a call ended.
        """
        asked = {
            "origin": ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent",
        }
        self.connection.request("OPTIONS", f"/{SERVICE}/Unary", headers=asked)
        response = self.connection.getresponse()
        response.read()
        self.assertEqual((response.status, response.getheader("access-control-allow-origin")), (204, ORIGIN))
        allowed = {name.strip().lower() for name in str(response.getheader("access-control-allow-headers")).split(",")}
        self.assertLessEqual(set(asked["access-control-request-headers"].split(",")), allowed)
        for service in ("Test", "Private"):
            answer = self.ask(b"x", "Unary", service, origin=ORIGIN)
            exposed = answer.field("access-control-expose-headers").lower()
            self.assertEqual(answer.field("access-control-allow-origin"), ORIGIN)
            self.assertIn("grpc-status", exposed)
            self.assertIn("grpc-message", exposed)


class TextTests(WebScenarios, WebCase):
    """
    Base64 over HTTP/1.1.
    """

    kind = TEXT

    def test_at_once(self) -> None:
        """
        What comes of a stream can be decoded when it comes: each message reaches the page before the server goes on.
        """
        request = encode(Plan(sizes=(5, 50_000, 5), gated=True).encode(), text=True)
        response = self.begin(f"/{SERVICE}/ServerStream", request)
        body = b""
        for number in range(1, 4):
            while sum(not flags for flags, _ in split(decode_text(body[: len(body) & ~3]))[0]) < number:
                body += response.read1(65536)
            for server in self.world.servers:
                server.let_go(self.call)
        answer = WebAnswer.read(response.status, response.getheaders(), body + response.read())
        self.assertEqual((answer.code, [len(message) for message in answer.messages]), (0, [5, 50_000, 5]))

    def test_pieces(self) -> None:
        """
        A request may have been encoded in pieces, each with its padding.
        """
        body = encode(b"hello, world")
        pieces = b"".join(base64.b64encode(body[at : at + 4]) for at in range(0, len(body), 4))
        self.assertEqual(self.post(f"/{SERVICE}/Unary", pieces).messages, [b"hello, world"])

    def test_nonsense(self) -> None:
        """
        A body that is no base64 is refused as such, and the gateway goes on.
        """
        answer = self.post(f"/{SERVICE}/Unary", b"!!!!")
        self.assertEqual((answer.status, answer.messages), (200, []))
        self.assertNotEqual(answer.code, 0)
        self.setUp()
        self.assertEqual(self.ask(b"x", "Unary").messages, [b"x"])


class OverHttp2(WebCase):
    """
    The same over HTTP/2, which browsers speak where there is TLS.
    """

    def post(self, path: str, body: bytes, **fields: str) -> WebAnswer:
        """
        Send a request on a connection of its own.
        """
        found = h2_post(self.world.gateway.port, path, self.fields(fields), body)
        self.assertEqual((found.ended, found.trailers), (True, []))
        pairs = [(name.decode(), value.decode()) for name, value in found.head]
        return WebAnswer.read(found.status, pairs, bytes(found.body))


class BinaryHttp2Tests(WebScenarios, OverHttp2):
    """
    Bytes over HTTP/2.
    """


class TextHttp2Tests(WebScenarios, OverHttp2):
    """
    Base64 over HTTP/2.
    """

    kind = TEXT
