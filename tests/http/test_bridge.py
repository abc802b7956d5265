"""
Tests for L{siger.http.bridge}, L{siger.http.local_channel} and what that is made of, with real Klein applications
behind them.
"""

from __future__ import annotations

import json
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPullProducer, IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from siger.errors import Reason
from siger.http.bridge import LocalApplication, LocalSite
from siger.http.local_channel import LocalChannel
from siger.http.observed import ObservedStream
from siger.http.request import RequestHead
from siger.http.request_parser import RequestParser
from siger.http.stream import Exchange
from siger.observe.observer import UNMATCHED, Observer
from tests.http.fakes import FakeStream
from tests.observe.test_observer import RecordingLog

ID = b"0192f3a4b5c6"
JSON = b"Content-Type: application/json\r\n"


def parse(line: bytes, fields: bytes = b"") -> RequestHead:
    """
    A head as the gateway's own parser makes it.
    """
    parser = RequestParser()
    return parser.head(line, parser.fields(b"\r\n".join((b"Host: gw.test", *fields.split(b"\r\n"))).rstrip(b"\r\n")))


def template(path: bytes) -> str | None:
    """
    The route template of the path that most tests use.
    """
    return "/x" if path == b"/x" else None


@implementer(IPushProducer)
class PushProducer:
    """
    A push producer that notes what it is told.
    """

    def __init__(self) -> None:
        self.events: list[str] = []

    def pauseProducing(self) -> None:
        """
        Note it.
        """
        self.events.append("pause")

    def resumeProducing(self) -> None:
        """
        Note it.
        """
        self.events.append("resume")

    def stopProducing(self) -> None:
        """
        Note it.
        """
        self.events.append("stop")


@implementer(IPullProducer)
class PullProducer:
    """
    A pull producer of a few pieces.
    """

    def __init__(self, request: Any, pieces: list[bytes]) -> None:
        self.request = request
        self.pieces = pieces
        self.stopped = False
        self.slow_at = b""
        self.exchange: Any = None

    def resumeProducing(self) -> None:
        """
        Write a piece, or finish.
        """
        if self.pieces:
            piece = self.pieces.pop(0)
            self.request.write(piece)
            if piece == self.slow_at:
                self.exchange.pause_response()
        else:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        """
        Note it.
        """
        self.stopped = True


class BridgeTestCase(SynchronousTestCase):
    """
    Sends requests to a Klein application through the bridge.

    @ivar app: the application; tests add what they need.
    @ivar requests: the requests that handlers were called with.
    """

    def setUp(self) -> None:
        """
        An application without routes, a stream.
        """
        self.clock = Clock()
        self.app = Klein()
        self.requests: list[Any] = []
        self.stream = FakeStream()
        self.stream.request_id = ID
        self.log = RecordingLog()
        self.observer = Observer(self.log)  # type: ignore[arg-type]

    def send(
        self, line: bytes = b"GET /x HTTP/1.1", fields: bytes = b"", *, limit: int = 100, client: bytes = b"192.0.2.7"
    ) -> Exchange | None:
        """
        Begin a request.
        """
        application = LocalApplication(LocalSite(self.app.resource(), self.clock), self.observer, template, limit)
        return application(parse(line, fields), self.stream, ID, client)

    def post(self, body: bytes, fields: bytes = JSON, **options: Any) -> Exchange | None:
        """
        Send a complete POST.
        """
        exchange = self.send(b"POST /x HTTP/1.1", fields + b"Content-Length: %d" % len(body), **options)
        assert exchange is not None
        exchange.body_received(body)
        exchange.body_finished(b"")
        return exchange

    def keep(self, answer: object = b"", path: str = "/x", methods: list[str] | None = None) -> None:
        """
        Add a route that keeps its requests and gives an answer, called if it can be.
        """

        def handler(request: Any) -> object:
            self.requests.append(request)
            return answer(request) if callable(answer) else answer

        self.app.route(path, methods=methods or ["GET", "POST"])(handler)


class ResponseTests(BridgeTestCase):
    """
    Tests for ordinary responses.
    """

    def test_goes_out_in_one_piece(self) -> None:
        """
        A handler's answer is one call with head, length, body and end, and no exchange is left.
        """
        self.keep(b"hello")
        self.assertIs(self.send(), None)
        self.assertEqual(self.stream.events, ["response"])
        self.assertEqual((self.stream.status, self.stream.phrase), (200, b"OK"))
        self.assertEqual((self.stream.length, self.stream.body, self.stream.ended), (5, b"hello", True))

    def test_framing_and_identity_are_the_gateways(self) -> None:
        """
        Framing, connection and server fields of C{twisted.web} or of the handler do not get through; the request id,
        and an order not to guess types, are added.
        """

        def answer(request: Any) -> bytes:
            for name in ("Connection", "Transfer-Encoding", "Keep-Alive", "Trailer", "X-Request-ID", "Upgrade"):
                request.setHeader(name, "bogus")
            request.setHeader("Content-Type", "text/plain")
            request.setHeader("X-Mine", "kept")
            return b"hello"

        self.keep(answer)
        self.send()
        fields = self.stream.fields()
        date = fields.pop("date")
        self.assertEqual(len(date), 1)
        self.assertEqual(
            fields,
            {
                "content-type": ["text/plain"],
                "x-mine": ["kept"],
                "x-request-id": [ID.decode("ascii")],
                "x-content-type-options": ["nosniff"],
            },
        )

    def test_declared_length_is_passed_on(self) -> None:
        """
        A handler that says its length gets that length.
        """

        def answer(request: Any) -> bytes:
            request.setHeader("Content-Length", "5")
            return b"hello"

        self.keep(answer)
        self.send()
        self.assertEqual((self.stream.length, self.stream.body), (5, b"hello"))
        self.assertNotIn("content-length", self.stream.fields())

    def test_several_fields_of_one_name(self) -> None:
        """
        Fields that occur several times, and cookies, stay several lines.
        """

        def answer(request: Any) -> bytes:
            request.responseHeaders.setRawHeaders("Vary", ["Origin", "Accept"])
            request.addCookie("a", "1", httpOnly=True)
            request.addCookie("b", "2")
            return b""

        self.keep(answer)
        self.send()
        self.assertEqual(self.stream.fields()["vary"], ["Origin", "Accept"])
        self.assertEqual(self.stream.fields()["set-cookie"], ["a=1; HttpOnly", "b=2"])

    def test_type_is_never_guessed_html(self) -> None:
        """
        A handler that forgets its type sends plain text.
        """
        self.keep(b"<script>")
        self.send()
        self.assertEqual(self.stream.fields()["content-type"], ["text/plain; charset=utf-8"])

    def test_head(self) -> None:
        """
        To HEAD goes the head alone, with the length if the handler declared one.
        """

        def answer(request: Any) -> bytes:
            request.setHeader("Content-Length", "5")
            return b"hello"

        self.keep(answer)
        self.send(b"HEAD /x HTTP/1.1")
        self.assertEqual((self.stream.status, self.stream.length, self.stream.body), (200, 5, b""))
        self.assertTrue(self.stream.ended)

    def test_head_of_unknown_length(self) -> None:
        """
        To HEAD no length is made up.
        """
        self.keep(b"hello")
        self.send(b"HEAD /x HTTP/1.1")
        self.assertEqual((self.stream.length, self.stream.body, self.stream.ended), (None, b"", True))

    def test_statuses_without_body(self) -> None:
        """
        204 and 304 have no body and no length, whatever the handler returns.
        """
        for status in (204, 304):
            self.setUp()

            def answer(request: Any, status: int = status) -> bytes:
                request.setResponseCode(status)
                return b"surprise"

            self.keep(answer)
            self.send()
            self.assertEqual(
                (self.stream.status, self.stream.length, self.stream.body, self.stream.ended), (status, None, b"", True)
            )

    def test_to_http_1_0(self) -> None:
        """
        The handler's side is the same for HTTP/1.0 clients; framing is the stream's matter.
        """
        self.keep(b"hello")
        self.send(b"GET /x HTTP/1.0")
        self.assertEqual((self.stream.length, self.stream.body, self.stream.ended), (5, b"hello", True))

    def test_large_body(self) -> None:
        """
        A body beyond what is held goes out as it comes, complete.
        """
        self.keep(b"x" * 200_000)
        self.send()
        self.assertEqual(self.stream.body, b"x" * 200_000)
        self.assertTrue(self.stream.ended)


class RequestTests(BridgeTestCase):
    """
    Tests for what handlers see.
    """

    def test_path_and_query(self) -> None:
        """
        A handler sees the normalised path and the query as it came; both decoders agree.
        """
        seen: list[tuple[Any, ...]] = []

        @self.app.route("/v1/<name>/end")
        def handler(request: Any, name: str) -> bytes:
            seen.append((name, request.path, request.uri, request.args))
            return b""

        self.send(b"GET /v1/./../v1/%61%20%25b/end?q=%61&q=b&t= HTTP/1.1")
        self.assertEqual(
            seen,
            [
                (
                    "a %b",
                    b"/v1/a%20%25b/end",
                    b"/v1/a%20%25b/end?q=%61&q=b&t=",
                    {b"q": [b"a", b"b"], b"t": [b""]},
                )
            ],
        )

    def test_double_encoding_is_decoded_once(self) -> None:
        """
        C{%2561dmin} is not C{admin}.
        """
        self.keep(b"secret", path="/admin")
        self.send(b"GET /%2561dmin HTTP/1.1")
        self.assertEqual((self.stream.status, self.requests), (404, []))

    def test_encoded_slash_reaches_no_handler(self) -> None:
        """
        A path that Klein would split where routing did not, or cannot read, is refused.
        """
        self.app.route("/<path:anything>")(lambda request, anything: self.requests.append(request))
        for target in (b"/api%2Fadmin", b"/api%2fadmin", b"/a/..%2fadmin", b"/%FF"):
            self.stream = FakeStream()
            self.assertIs(self.send(b"GET %b HTTP/1.1" % target), None)
            self.assertEqual((self.stream.status, self.requests), (400, []))
            self.assertEqual(json.loads(self.stream.body)["reason"], "invalid_target")

    def test_utf_8_path(self) -> None:
        """
        A path may hold any text.
        """
        self.app.route("/<name>")(lambda request, name: name)
        self.send(b"GET /caf%C3%A9 HTTP/1.1")
        self.assertEqual(self.stream.body, "café".encode())

    def test_host_no_framework_can_read(self) -> None:
        """
        A host label too long for any name is the client's error, not the gateway's.
        """
        self.keep(b"")
        application = LocalApplication(LocalSite(self.app.resource(), self.clock), self.observer, template)
        parser = RequestParser()
        head = parser.head(b"GET /x HTTP/1.1", parser.fields(b"Host: %b.test" % (b"a" * 64)))
        self.assertIs(application(head, self.stream, ID, b"192.0.2.7"), None)
        self.assertEqual((self.stream.status, self.requests), (400, []))

    def test_any_host_the_parser_takes(self) -> None:
        """
        Literals, ports, case and odd names all reach the handler.
        """
        self.keep(b"")
        application = LocalApplication(LocalSite(self.app.resource(), self.clock), self.observer, template)
        parser = RequestParser()
        hosts = (
            b"[::1]",
            b"[::1]:8080",
            b"127.0.0.1:8080",
            b"GW.Test.",
            b"a_b~c",
            b"a" * 63,
            b"xn--a",
            b"xn--a.test:1",
        )
        for host in hosts:
            self.stream = FakeStream()
            application(parser.head(b"GET /x HTTP/1.1", parser.fields(b"Host: " + host)), self.stream, ID, b"192.0.2.7")
            self.assertEqual(self.stream.status, 200, host)
        self.assertEqual([request.getHeader(b"Host") for request in self.requests], list(hosts))
        self.assertEqual(self.requests[1].getHost().port, 8080)
        self.assertEqual(self.requests[1].getHost().host, "::1")

    def test_fields(self) -> None:
        """
        End-to-end fields arrive; hop-by-hop ones and claims of identity do not.
        """
        self.keep(b"")
        self.send(
            fields=b"Accept: text/html\r\naccept: */*\r\nAuthorization: Bearer t\r\nCookie: a=1; b=2\r\n"
            b"X-User-Id: root\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nTE: trailers\r\nX-Request-ID: claimed-id"
        )
        request = self.requests[0]
        names = {name.lower() for name, _ in request.requestHeaders.getAllRawHeaders()}
        self.assertEqual(names, {b"host", b"accept", b"authorization", b"cookie", b"x-request-id"})
        self.assertEqual(request.requestHeaders.getRawHeaders(b"Accept"), [b"text/html", b"*/*"])
        self.assertEqual(request.getHeader(b"X-Request-ID"), ID)
        self.assertEqual(request.getCookie(b"b"), b"2")
        self.assertEqual(request.getHeader(b"Host"), b"gw.test")

    def test_client_address(self) -> None:
        """
        The client's address is the one admission found, of either family.
        """
        self.keep(b"")
        self.send(client=b"203.0.113.9")
        self.stream = FakeStream()
        self.send(client=b"2001:db8::1")
        addresses = [request.getClientAddress() for request in self.requests]
        self.assertEqual([address.host for address in addresses], ["203.0.113.9", "2001:db8::1"])

    def test_secure(self) -> None:
        """
        A handler can tell whether the request came over TLS.
        """
        self.keep(lambda request: b"%d" % request.isSecure())
        self.send()
        self.assertEqual(self.stream.body, b"0")
        self.stream = FakeStream(secure=True)
        self.send()
        self.assertEqual(self.stream.body, b"1")

    def test_body(self) -> None:
        """
        A body arrives whole, in however many pieces it came.
        """
        self.keep(lambda request: request.content.read() + b"|" + request.getHeader(b"content-length"))
        exchange = self.send(b"POST /x HTTP/1.1", b"Transfer-Encoding: chunked")
        assert exchange is not None
        for piece in (b"one", b"two", b"three"):
            exchange.body_received(piece)
        self.assertEqual(self.requests, [])
        exchange.body_finished(b"X-Trailer: 1\r\n")
        self.assertEqual(self.stream.body, b"onetwothree|11")
        self.assertIs(self.requests[0].getHeader(b"x-trailer"), None)

    def test_forms_are_not_parsed(self) -> None:
        """
        A body is never taken for arguments.
        """
        self.keep(lambda request: b"%d" % len(request.args))
        self.post(b"a=1&b=2", b"Content-Type: application/x-www-form-urlencoded\r\n")
        self.assertEqual(self.stream.body, b"0")

    def test_bodies_stay_in_memory(self) -> None:
        """
        However large the limit is, a body makes no temporary file.
        """
        kinds: list[str] = []
        self.keep(lambda request: kinds.append(type(request.content).__name__) or b"")
        self.post(b"x" * 200_000, limit=300_000)
        self.assertEqual(kinds, ["BytesIO"])


class BodyLimitTests(BridgeTestCase):
    """
    Tests for bodies that are not accepted.
    """

    def setUp(self) -> None:
        """
        An application that must not be called.
        """
        super().setUp()
        self.keep(b"called")

    def problem(self) -> str:
        """
        The reason in the problem document that was sent.
        """
        self.assertEqual(self.requests, [])
        self.assertTrue(self.stream.ended)
        document = json.loads(self.stream.body)
        self.assertEqual(document["request_id"], ID.decode("ascii"))
        self.assertEqual(document["status"], self.stream.status)
        reason: str = document["reason"]
        return reason

    def test_declared_too_large(self) -> None:
        """
        A body declared too large is refused before any of it is read, and before it is asked for.
        """
        self.assertIs(self.send(b"POST /x HTTP/1.1", b"Expect: 100-continue\r\nContent-Length: 101"), None)
        self.assertEqual(self.problem(), "body_too_large")
        self.assertEqual(self.stream.interim, [])

    def test_limit_itself(self) -> None:
        """
        A body as large as the limit is accepted.
        """
        self.post(b"x" * 100)
        self.assertEqual(self.stream.body, b"called")

    def test_chunked_too_large(self) -> None:
        """
        A chunked body is refused when it exceeds the limit; what follows is ignored.
        """
        exchange = self.send(b"POST /x HTTP/1.1", b"Transfer-Encoding: chunked")
        assert exchange is not None
        exchange.body_received(b"x" * 100)
        self.assertIs(self.stream.status, None)
        exchange.body_received(b"x")
        self.assertEqual(self.problem(), "body_too_large")
        exchange.body_received(b"x" * 100)
        exchange.body_finished(b"")
        exchange.client_gone()
        self.assertEqual(self.stream.events, ["response"])

    def test_content_encoding(self) -> None:
        """
        A coded body is refused: nothing here inflates what a client sends.
        """
        self.assertIs(self.send(b"POST /x HTTP/1.1", b"Content-Encoding: gzip\r\nContent-Length: 10"), None)
        self.assertEqual(self.problem(), "unsupported_media_type")

    def test_identity_encoding(self) -> None:
        """
        The coding that is none is accepted, and so is any on a request without body.
        """
        self.post(b"{}", b"Content-Encoding: Identity\r\n")
        self.assertEqual(self.stream.body, b"called")
        self.stream = FakeStream()
        self.send(fields=b"Content-Encoding: gzip")
        self.assertEqual(self.stream.body, b"called")

    def test_expect_continue(self) -> None:
        """
        A client that waits for 100 is told to go on, once, before its body is read.
        """
        exchange = self.send(b"POST /x HTTP/1.1", b"Expect: 100-continue\r\nContent-Length: 2")
        assert exchange is not None
        self.assertEqual(self.stream.interim, [(100, b"")])
        exchange.body_received(b"{}")
        exchange.body_finished(b"")
        self.assertEqual(self.stream.events, ["interim", "response"])
        self.assertIs(self.requests[0].getHeader(b"expect"), None)

    def test_expect_continue_nowhere(self) -> None:
        """
        For a path that leads nowhere, no body is asked for: A34.
        """
        self.assertIs(self.send(b"POST /y HTTP/1.1", b"Expect: 100-continue\r\nContent-Length: 2"), None)
        self.assertEqual(self.problem(), "no_route")
        self.assertEqual((self.stream.status, self.stream.interim), (404, []))

    def test_body_that_fails(self) -> None:
        """
        A body that will never be complete is answered with its reason, and reaches no handler.
        """
        exchange = self.send(b"POST /x HTTP/1.1", b"Content-Length: 10")
        assert exchange is not None
        exchange.body_received(b"{")
        exchange.body_failed(Reason.INCOMPLETE_BODY)
        self.assertEqual(self.problem(), "incomplete_body")
        exchange.client_gone()

    def test_client_leaves_before_its_body_is_complete(self) -> None:
        """
        Nothing is called and nothing is sent.
        """
        exchange = self.send(b"POST /x HTTP/1.1", b"Content-Length: 10")
        assert exchange is not None
        exchange.body_received(b"{")
        exchange.client_gone()
        exchange.body_received(b"}")
        exchange.body_finished(b"")
        self.assertEqual((self.requests, self.stream.events), ([], []))


class StreamingTests(BridgeTestCase):
    """
    Tests for answers that take time.
    """

    def begin(self, first: bytes = b"") -> tuple[Any, Exchange]:
        """
        A request whose handler never returns, after it wrote something.
        """

        def answer(request: Any) -> Deferred[None]:
            request.setHeader("Content-Type", "text/event-stream")
            if first:
                request.write(first)
            return self.waiting

        self.cancelled: list[object] = []
        self.waiting: Deferred[None] = Deferred(self.cancelled.append)
        self.keep(answer)
        exchange = self.send()
        assert exchange is not None
        return self.requests[0], exchange

    def test_answer_that_comes_later(self) -> None:
        """
        A handler's deferred answer goes out in one piece when it is there.
        """
        later: Deferred[bytes] = Deferred()
        self.keep(later)
        self.assertIsNot(self.send(), None)
        self.assertEqual(self.stream.events, [])
        later.callback(b"hello")
        self.assertEqual(self.stream.events, ["response"])
        self.assertEqual((self.stream.length, self.stream.body, self.stream.ended), (5, b"hello", True))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_first_write_is_not_kept_waiting(self) -> None:
        """
        What a handler wrote before it returned goes out when it returns, without a length.
        """
        self.begin(b"data: 1\n\n")
        self.assertEqual((self.stream.status, self.stream.length, self.stream.ended), (200, None, False))
        self.assertEqual(self.stream.body, b"data: 1\n\n")

    def test_later_writes_go_out_at_once(self) -> None:
        """
        Once the head is out each write is passed on, unchunked: framing is the stream's.
        """
        request, _ = self.begin(b"1")
        request.write(b"22")
        request.write(b"333")
        self.assertEqual((self.stream.events, self.stream.body), (["response", "body", "body"], b"122333"))
        self.waiting.callback(None)
        self.assertEqual((self.stream.events[-1], self.stream.body, self.stream.ended), ("end", b"122333", True))

    def test_late_first_write_goes_out_in_the_next_turn(self) -> None:
        """
        A first write from a callback is held for the rest of the turn, in case it is all, and no longer.
        """
        request, _ = self.begin()
        request.write(b"1")
        request.write(b"2")
        self.assertEqual(self.stream.events, [])
        self.clock.advance(0)
        self.assertEqual((self.stream.events, self.stream.body), (["response"], b"12"))
        request.write(b"3")
        self.assertEqual(self.stream.body, b"123")

    def test_head_alone(self) -> None:
        """
        An empty write sends the head, as C{twisted.web} has it.
        """
        request, _ = self.begin()
        request.write(b"")
        self.clock.advance(0)
        self.assertEqual((self.stream.status, self.stream.body, self.stream.ended), (200, b"", False))

    def test_client_leaves(self) -> None:
        """
        The handler's deferred is cancelled and C{notifyFinish} fails when the client leaves.
        """
        request, exchange = self.begin(b"1")
        finished = self.failures(request.notifyFinish())
        exchange.client_gone()
        self.assertEqual([type(failure.value) for failure in finished], [ConnectionLost])
        self.assertEqual(self.cancelled, [self.waiting])
        request.write(b"ignored")
        exchange.client_gone()
        self.assertEqual(self.stream.events, ["response"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_client_leaves_with_a_write_pending(self) -> None:
        """
        What was held for the next turn is dropped, timer and all.
        """
        request, exchange = self.begin()
        request.write(b"1")
        exchange.client_gone()
        self.assertEqual((self.stream.events, self.clock.getDelayedCalls()), ([], []))

    def test_finish_is_notified(self) -> None:
        """
        C{notifyFinish} fires when the response is complete.
        """
        request, exchange = self.begin(b"1")
        results: list[object] = []
        request.notifyFinish().addCallback(results.append)
        self.waiting.callback(None)
        self.assertEqual(results, [None])
        exchange.client_gone()
        exchange.pause_response()
        exchange.resume_response()
        self.assertEqual(self.stream.events, ["response", "end"])

    def test_lose_connection(self) -> None:
        """
        A handler that gives up ends the response uncleanly, after what it wrote, and hears of it a turn later.
        """
        request, _ = self.begin()
        finished = self.failures(request.notifyFinish())
        request.write(b"1")
        request.loseConnection()
        self.assertEqual((self.stream.events, self.stream.body), (["response", "abort"], b"1"))
        self.assertEqual(finished, [])
        self.clock.advance(0)
        self.assertEqual([type(failure.value) for failure in finished], [ConnectionDone])

    def test_abort_connection(self) -> None:
        """
        A handler that aborts drops what it wrote and was not sent.
        """
        request, exchange = self.begin()
        request.write(b"1")
        request.transport.abortConnection()
        request.transport.abortConnection()
        self.clock.advance(0)
        exchange.client_gone()
        self.assertEqual(self.stream.events, ["abort"])

    def failures(self, deferred: Deferred[Any]) -> list[Failure]:
        """
        Where a deferred's failure will be.
        """
        found: list[Failure] = []
        deferred.addErrback(found.append)
        return found


class ProducerTests(BridgeTestCase):
    """
    Tests for backpressure.
    """

    def begin(self) -> tuple[Any, Exchange]:
        """
        A request that a plain resource answers some time.
        """
        self.keep(lambda request: Deferred(lambda _: None))
        exchange = self.send()
        assert exchange is not None
        self.requests[0].notifyFinish().addErrback(lambda _: None)
        return self.requests[0], exchange

    def test_push_producer(self) -> None:
        """
        A push producer pauses and resumes with the client.
        """
        request, exchange = self.begin()
        producer = PushProducer()
        request.registerProducer(producer, True)
        exchange.pause_response()
        exchange.resume_response()
        self.assertEqual(producer.events, ["pause", "resume"])
        request.unregisterProducer()
        exchange.pause_response()
        self.assertEqual(producer.events, ["pause", "resume"])

    def test_push_producer_of_a_slow_client(self) -> None:
        """
        A producer that comes while the client is slow starts paused.
        """
        request, exchange = self.begin()
        exchange.pause_response()
        producer = PushProducer()
        request.registerProducer(producer, True)
        self.assertEqual(producer.events, ["pause"])

    def test_producer_is_stopped(self) -> None:
        """
        A producer is stopped when the client leaves.
        """
        request, exchange = self.begin()
        producer = PushProducer()
        request.registerProducer(producer, True)
        exchange.client_gone()
        self.assertEqual(producer.events, ["stop"])

    def test_second_producer(self) -> None:
        """
        There is one producer at a time.
        """
        request, _ = self.begin()
        request.registerProducer(PushProducer(), True)
        self.assertRaises(RuntimeError, request.channel.registerProducer, PushProducer(), True)

    def test_producer_after_the_end(self) -> None:
        """
        A producer that comes when nothing can be sent any more is told to stop.
        """
        request, _ = self.begin()
        channel = request.channel
        request.loseConnection()
        producer = PushProducer()
        channel.registerProducer(producer, True)
        self.assertEqual(producer.events, ["stop"])

    def test_pull_producer(self) -> None:
        """
        A pull producer is asked again and again, in turns of its own, but not while the client is slow.
        """
        request, exchange = self.begin()
        producer = PullProducer(request, [b"1", b"2", b"3"])
        producer.slow_at, producer.exchange = b"2", exchange
        request.registerProducer(producer, False)
        self.assertEqual(len(producer.pieces), 3)
        self.clock.pump([0] * 5)
        self.assertEqual(len(producer.pieces), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        exchange.resume_response()
        exchange.resume_response()
        self.clock.pump([0] * 5)
        self.assertEqual((self.stream.body, self.stream.ended), (b"123", True))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pull_producer_of_a_slow_client(self) -> None:
        """
        A pull producer that comes while the client is slow is asked when the client has caught up.
        """
        request, exchange = self.begin()
        exchange.pause_response()
        producer = PullProducer(request, [b"1"])
        request.registerProducer(producer, False)
        self.clock.pump([0] * 3)
        self.assertEqual(len(producer.pieces), 1)
        exchange.resume_response()
        self.clock.pump([0] * 3)
        self.assertTrue(self.stream.ended)

    def test_pull_producer_is_stopped(self) -> None:
        """
        A pull producer is stopped, and asked no more, when the client leaves.
        """
        request, exchange = self.begin()
        producer = PullProducer(request, [b"1", b"2"])
        request.registerProducer(producer, False)
        exchange.client_gone()
        self.assertTrue(producer.stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pull_producer_that_fails(self) -> None:
        """
        A pull producer that raises ends the response uncleanly.
        """
        request, _ = self.begin()
        producer = PullProducer(request, [b"1"])
        producer.pieces = [None]  # type: ignore[list-item]
        request.registerProducer(producer, False)
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.stream.events, ["abort"])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class FailureTests(BridgeTestCase):
    """
    Tests for handlers that go wrong.
    """

    def problem(self) -> dict[str, Any]:
        """
        The problem document that was sent.
        """
        self.assertTrue(self.stream.ended)
        self.assertEqual(self.stream.fields()["content-type"], ["application/problem+json"])
        document: dict[str, Any] = json.loads(self.stream.body)
        return document

    def test_exception(self) -> None:
        """
        An exception is logged; the client gets a problem document that has nothing of it.
        """

        def answer(request: Any) -> bytes:
            request.setHeader("X-Partial", "1")
            raise ValueError("secret words")

        self.keep(answer)
        self.assertIs(self.send(), None)
        self.assertEqual(self.problem()["reason"], "internal_error")
        self.assertNotIn(b"secret", self.stream.body + self.stream.lines)
        self.assertNotIn(b"X-Partial", self.stream.lines)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_exception_later(self) -> None:
        """
        The same holds for one that comes from a deferred.
        """
        later: Deferred[bytes] = Deferred()
        self.keep(later)
        self.send()
        later.errback(ValueError("secret words"))
        self.assertEqual(self.problem()["status"], 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_exception_after_the_head(self) -> None:
        """
        Once the head is out an exception ends the response so that the client can tell.
        """
        later: Deferred[bytes] = Deferred()

        def answer(request: Any) -> Deferred[bytes]:
            request.write(b"partial")
            return later

        self.keep(answer)
        self.send()
        later.errback(ValueError("secret words"))
        self.assertEqual((self.stream.events, self.stream.body), (["response", "abort"], b"partial"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_exception_after_the_client_left(self) -> None:
        """
        An exception that nobody can be told of is only logged.
        """
        later: Deferred[bytes] = Deferred(lambda deferred: deferred.errback(ValueError("too late")))
        self.keep(later)
        exchange = self.send()
        assert exchange is not None
        exchange.client_gone()
        self.assertEqual(self.stream.events, [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_value_that_would_break_a_line(self) -> None:
        """
        A field value with a control byte is never written: 500 instead. Line ends become spaces in C{twisted.web}.
        """
        for value, status in ((b"a\0b", 500), (b"a\x1bb", 500), (b"a\x7fb", 500), (b"a\r\nX-Injected: 1", 200)):
            self.setUp()

            def answer(request: Any, value: bytes = value) -> bytes:
                request.responseHeaders.addRawHeader(b"X-Value", value)
                return b"body"

            self.keep(answer)
            self.send()
            self.assertEqual(self.stream.status, status, value)
            self.assertNotIn("x-injected", self.stream.fields())
            self.assertTrue(self.stream.ended)

    def test_everything_after_a_refusal_is_ignored(self) -> None:
        """
        A handler that goes on after its head was refused changes nothing any more.
        """
        later: Deferred[None] = Deferred()

        def answer(request: Any) -> Deferred[None]:
            request.responseHeaders.addRawHeader(b"X-Value", b"a\0b")
            request.write(b"one")
            return later

        self.keep(answer)
        self.assertIs(self.send(), None)
        request = self.requests[0]
        channel = request.channel
        request.write(b"two")
        channel.refuse(Reason.OVERLOADED)
        request.loseConnection()
        later.callback(None)
        self.assertEqual(self.problem()["reason"], "internal_error")
        self.assertEqual((self.stream.events, self.clock.getDelayedCalls()), (["response"], []))

    def test_sniffing_is_forbidden_once(self) -> None:
        """
        A handler that forbids to guess types itself is not repeated.
        """

        def answer(request: Any) -> bytes:
            request.setHeader("X-Content-Type-Options", "nosniff")
            return b""

        self.keep(answer)
        self.send()
        self.assertEqual(self.stream.fields()["x-content-type-options"], ["nosniff"])

    def test_pieces(self) -> None:
        """
        The channel takes a body in pieces, as C{IConsumer} users write it.
        """

        def answer(request: Any) -> Deferred[None]:
            request.write(b"1")
            request.channel.writeSequence([b"2", b"3"])
            return Deferred()

        self.keep(answer)
        self.send()
        self.assertEqual(self.stream.body, b"123")

    def test_name_that_is_not_a_token(self) -> None:
        """
        A field name that is no token is never written.
        """

        def answer(request: Any) -> bytes:
            request.responseHeaders._rawHeaders[b"X Y"] = [b"1"]
            return b"body"

        self.keep(answer)
        self.send()
        self.assertEqual(self.problem()["reason"], "internal_error")

    def test_status_that_is_none(self) -> None:
        """
        A status outside 200-999 is not a final response.
        """
        for status in (100, 101, 199, 1000, 0):
            self.setUp()

            def answer(request: Any, status: int = status) -> bytes:
                request.setResponseCode(status)
                return b"body"

            self.keep(answer)
            self.send()
            self.assertEqual(self.problem()["status"], 500)

    def test_less_than_declared(self) -> None:
        """
        A response shorter than its declared length is not passed off as complete.
        """

        def answer(request: Any) -> bytes:
            request.setHeader("Content-Length", "9")
            return b"hello"

        self.keep(answer)
        self.send()
        self.assertEqual(self.problem()["status"], 500)

    def test_less_than_declared_after_the_head(self) -> None:
        """
        If the head is out, it ends uncleanly.
        """
        later: Deferred[None] = Deferred()

        def answer(request: Any) -> Deferred[None]:
            request.setHeader("Content-Length", "9")
            request.write(b"hello")
            return later

        self.keep(answer)
        self.send()
        self.assertEqual(self.stream.length, 9)
        later.callback(None)
        self.assertEqual(self.stream.events, ["response", "abort"])

    def test_more_than_declared(self) -> None:
        """
        A response longer than its declared length is cut to it.
        """

        def answer(request: Any) -> bytes:
            request.setHeader("Content-Length", "3")
            return b"hello"

        self.keep(answer)
        self.send()
        self.assertEqual((self.stream.length, self.stream.body, self.stream.ended), (3, b"hel", True))

    def test_length_that_is_no_number(self) -> None:
        """
        A length nobody can read is ignored.
        """

        def answer(request: Any) -> bytes:
            request.setHeader("Content-Length", "+5")
            return b"hello"

        self.keep(answer)
        self.send()
        self.assertEqual((self.stream.length, self.stream.body), (5, b"hello"))

    def test_producer_that_was_forgotten(self) -> None:
        """
        A handler that finishes with a producer registered still ends its response.
        """

        def answer(request: Any) -> bytes:
            request.registerProducer(PushProducer(), True)
            return b"hello"

        self.keep(answer)
        self.send()
        self.assertTrue(self.stream.ended)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class ObservationTests(BridgeTestCase):
    """
    Tests for what the observer hears of local requests.
    """

    def entry(self) -> dict[str, Any]:
        """
        The one request that was reported, by the names that matter here.
        """
        self.assertEqual((len(self.log.entries), self.observer.in_flight), (1, 0))
        names = ("route", "method", "path", "status", "reason", "start", "first_byte", "now", "bytes_in", "bytes_out")
        route, *rest = self.log.entries[0]
        self.assertEqual(rest[9:], [ID, b"192.0.2.7", None, b"", 0, b"", 11, -1])
        return dict(zip(names, (route.template, *rest), strict=False))

    def test_complete(self) -> None:
        """
        An answered request is reported once, with its route, status, sizes and times.
        """
        self.keep(b"hello")
        self.post(b"{}")
        entry = self.entry()
        self.assertLessEqual(entry.pop("start"), entry["first_byte"])
        self.assertLessEqual(entry.pop("first_byte"), entry.pop("now"))
        self.assertEqual(
            entry,
            {
                "route": "/x",
                "method": b"POST",
                "path": b"/x",
                "status": 200,
                "reason": None,
                "bytes_in": 2,
                "bytes_out": 5,
            },
        )

    def test_in_flight(self) -> None:
        """
        A request is in flight from its head to the end of its response.
        """
        later: Deferred[bytes] = Deferred()
        self.keep(later)
        self.send()
        self.assertEqual((self.observer.in_flight, self.log.entries), (1, []))
        later.callback(b"")
        self.entry()

    def test_streamed(self) -> None:
        """
        A streamed response is reported when it ends, with all of its bytes.
        """
        later: Deferred[bytes] = Deferred()

        def answer(request: Any) -> Deferred[bytes]:
            request.write(b"one")
            return later

        self.keep(answer)
        self.send()
        later.callback(b"two")
        entry = self.entry()
        self.assertEqual((entry["status"], entry["bytes_out"], entry["reason"]), (200, 6, None))

    def test_head_has_no_bytes(self) -> None:
        """
        A response to HEAD is reported as the empty body it is.
        """
        self.keep(b"hello")
        self.send(b"HEAD /x HTTP/1.1")
        self.assertEqual(self.entry()["bytes_out"], 0)

    def test_refused(self) -> None:
        """
        A request that reaches no handler is reported with the reason, at a path of no route as unmatched.
        """
        self.send(b"GET /a%2Fb HTTP/1.1")
        entry = self.entry()
        self.assertEqual((entry["route"], entry["status"], entry["reason"]), (UNMATCHED, 400, Reason.INVALID_TARGET))
        self.assertEqual(entry["bytes_out"], len(self.stream.body))

    def test_body_too_large(self) -> None:
        """
        What was taken of a body that is too large is counted.
        """
        self.keep(b"")
        exchange = self.send(b"POST /x HTTP/1.1", b"Transfer-Encoding: chunked")
        assert exchange is not None
        exchange.body_received(b"x" * 101)
        entry = self.entry()
        self.assertEqual((entry["reason"], entry["bytes_in"]), (Reason.BODY_TOO_LARGE, 101))

    def test_client_gone_before_an_answer(self) -> None:
        """
        A client that left unanswered is a 499.
        """
        self.keep(Deferred(lambda deferred: deferred.callback(None)))
        exchange = self.send()
        assert exchange is not None
        exchange.client_gone()
        exchange.client_gone()
        entry = self.entry()
        self.assertEqual((entry["status"], entry["reason"], entry["first_byte"]), (499, Reason.CLIENT_GONE, 0.0))

    def test_client_gone_before_its_body(self) -> None:
        """
        So is one that left before its body was complete.
        """
        self.keep(b"")
        exchange = self.send(b"POST /x HTTP/1.1", b"Content-Length: 10")
        assert exchange is not None
        exchange.body_received(b"{")
        exchange.client_gone()
        entry = self.entry()
        self.assertEqual((entry["status"], entry["reason"], entry["bytes_in"]), (499, Reason.CLIENT_GONE, 1))

    def test_client_gone_during_an_answer(self) -> None:
        """
        A client that left in the middle is reported with the status it got and the reason it ended.
        """

        def answer(request: Any) -> Deferred[None]:
            request.write(b"one")
            return Deferred(lambda deferred: deferred.callback(None))

        self.keep(answer)
        exchange = self.send()
        assert exchange is not None
        exchange.client_gone()
        entry = self.entry()
        self.assertEqual((entry["status"], entry["reason"], entry["bytes_out"]), (200, Reason.CLIENT_GONE, 3))

    def test_failed(self) -> None:
        """
        A handler that raises is an internal error, whether its head was out or not.
        """
        for begun, status in ((b"", 500), (b"one", 200)):
            self.setUp()

            def answer(request: Any, begun: bytes = begun) -> Deferred[None]:
                if not begun:
                    raise ValueError("secret")
                request.write(begun)
                later: Deferred[None] = Deferred()
                self.clock.callLater(0, later.errback, ValueError("secret"))
                return later

            self.keep(answer)
            self.send()
            self.clock.advance(0)
            entry = self.entry()
            self.assertEqual((entry["status"], entry["reason"]), (status, Reason.INTERNAL_ERROR))
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_interim_and_flow(self) -> None:
        """
        Interim responses and flow control pass through the stream that watches.
        """
        stream = ObservedStream(
            self.stream, self.observer, self.observer.unmatched, parse(b"GET / HTTP/1.1"), ID, b"192.0.2.7"
        )
        stream.send_interim(103, b"Link: x\r\n")
        stream.pause_body()
        stream.resume_body()
        self.assertEqual(self.stream.interim, [(103, b"Link: x\r\n")])
        self.assertEqual(self.stream.events, ["interim", "pause_body", "resume_body"])
        stream.abort_response()
        stream.client_gone()
        self.assertEqual([entry[3:5] for entry in self.log.entries], [(500, Reason.INTERNAL_ERROR)])
        self.assertEqual(self.observer.in_flight, 0)


class OtherSitesTests(SynchronousTestCase):
    """
    Tests for sites that are not Klein's or not a L{LocalSite}.
    """

    def test_plain_resource(self) -> None:
        """
        Any resource tree of C{twisted.web} can answer, streaming or not.
        """

        class Hello(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> int:
                request.write(b"hel")
                request.write(b"lo")
                request.finish()
                return NOT_DONE_YET

        root = Resource()
        root.putChild(b"hello", Hello())
        stream = FakeStream()
        application = LocalApplication(LocalSite(root, Clock()), Observer(), template)
        self.assertIs(application(parse(b"GET /hello HTTP/1.1"), stream, ID, b"192.0.2.7"), None)
        self.assertEqual((stream.length, stream.body, stream.ended), (5, b"hello", True))

    def test_ordinary_site(self) -> None:
        """
        A stock C{Site}, which parses forms, works too; a form it cannot read is a bad request.
        """

        class Form(Resource):
            isLeaf = True

            def render_POST(self, request: Any) -> bytes:
                value: bytes = request.args[b"a"][0]
                return value

        site = Site(Form(), reactor=Clock())
        for kind, body, status in (
            (b"application/x-www-form-urlencoded", b"a=1", 200),
            (b"multipart/form-data; boundary=b", b"garbage", 400),
        ):
            stream = FakeStream()
            head = parse(b"POST / HTTP/1.1", b"Content-Type: %b\r\nContent-Length: %d" % (kind, len(body)))
            exchange = LocalApplication(site, Observer(), template)(head, stream, ID, b"192.0.2.7")
            assert exchange is not None
            exchange.body_received(body)
            exchange.body_finished(b"")
            self.assertEqual(stream.status, status, kind)
            self.assertTrue(stream.ended)

    def test_request_that_fails_before_its_resource(self) -> None:
        """
        A request class that fails on its way costs that request a 500, and nobody else anything.
        """

        class Broken(Site.requestFactory):  # type: ignore[misc,name-defined]
            def process(self) -> None:
                raise ValueError("secret words")

        stream = FakeStream()
        site = Site(Resource(), requestFactory=Broken, reactor=Clock())
        LocalApplication(site, Observer(), template)(parse(b"GET / HTTP/1.1"), stream, ID, b"192.0.2.7")
        self.assertEqual((stream.status, stream.ended), (500, True))
        self.assertNotIn(b"secret", stream.body)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class ChannelInterfaceTests(SynchronousTestCase):
    """
    Tests for L{LocalChannel} as an interface.
    """

    def test_consumer(self) -> None:
        """
        The channel is a consumer, and its request body needs no flow control.
        """
        head = parse(b"GET / HTTP/1.1")
        observer = Observer()
        stream = ObservedStream(FakeStream(), observer, observer.unmatched, head, ID, b"192.0.2.7")
        channel = LocalChannel(LocalSite(Resource(), Clock()), head, stream, ID, b"192.0.2.7")
        self.assertTrue(verifyObject(IConsumer, channel))
        channel.pauseProducing()
        channel.resumeProducing()
