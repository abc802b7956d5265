"""
Tests for L{siger.http.grpc_web}.
"""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given
from hypothesis.strategies import binary, integers, lists, sampled_from
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.grpc.content import GRPC, WEB, WEB_TEXT
from siger.grpc.metadata import status_in
from siger.grpc.status import INTERNAL
from siger.grpc.web import Base64Decoder
from siger.http.fields import Field
from siger.http.grpc_web import WebExchange, WebStream, response_kind, translate
from siger.http.problem import send_problem
from siger.http.request import RequestFields, RequestHead
from siger.http.request_parser import RequestParser
from tests.http.fakes import FakeExchange, FakeStream

TYPES = {WEB: b"application/grpc-web", WEB_TEXT: b"application/grpc-web-text"}
STATUS = b"grpc-status: 0\r\ngrpc-message: fine\r\n"
MESSAGE = b"\x00\x00\x00\x00\x03abc"
FRAME = b"\x80" + len(STATUS).to_bytes(4, "big") + STATUS


def request(*lines: bytes, kind: int = WEB) -> RequestHead:
    """
    A call, as its connection parsed it.
    """
    section = b"\r\n".join((b"Host: gateway.test", b"Content-Type: %b+proto" % TYPES[kind], *lines))
    parser = RequestParser()
    return parser.head(b"POST /echo.Echo/Say?a=b HTTP/1.1", parser.fields(section))


class TranslateTests(SynchronousTestCase):
    """
    Tests for L{translate}.
    """

    def test_content_type(self) -> None:
        """
        The media type becomes that of gRPC, with the message format and the parameters it had, wherever one looks.
        """
        for kind, name in TYPES.items():
            for after in (b"", b"+proto", b"+json; a=b", b";charset=utf-8"):
                section = b"Host: a\r\nCONTENT-TYPE: " + name.title() + after
                parser = RequestParser()
                head = translate(parser.head(b"POST / HTTP/1.1", parser.fields(section)), kind)
                expected = b"application/grpc" + after
                self.assertEqual(head.fields.relay, b"content-type: %b\r\n" % expected)
                self.assertEqual(
                    (head.fields.owned[b"content-type"], head.fields.get(b"content-type")), (expected,) * 2
                )
                self.assertEqual(head.fields.grpc, GRPC)

    def test_the_rest_stays(self) -> None:
        """
        Where the call goes, whose it is and how long it may take is as it was.
        """
        before = request(b"Authorization: Bearer t", b"grpc-timeout: 1S", b"X-Mine: 1", b"Origin: https://a.test")
        before.fields.bearer = bearer = object()
        head = translate(before, WEB)
        self.assertEqual((head.method, head.path, head.query), (b"POST", b"/echo.Echo/Say", b"?a=b"))
        self.assertEqual((head.version, head.host, head.fields.host), (11, b"gateway.test", b"gateway.test"))
        self.assertEqual((head.fields.owned[b"grpc-timeout"], head.fields.bearer), (b"1S", bearer))
        lines = head.fields.relay
        for line in (
            b"Authorization: Bearer t\r\n",
            b"grpc-timeout: 1S\r\n",
            b"X-Mine: 1\r\n",
            b"Origin: https://a.test\r\n",
        ):
            self.assertIn(line, lines)

    def test_dropped(self) -> None:
        """
        What is between the page and the gateway ends here; above all, nobody may compress what the gateway adds to.
        """
        lines = (b"Accept: application/grpc-web-text", b"x-grpc-web: 1", b"X-User-Agent: grpc-web-javascript/0.1")
        head = translate(request(*lines, b"Accept-Encoding: gzip, br", b"Accept-Language: en"), WEB)
        self.assertEqual(head.fields.relay, b"Accept-Language: en\r\ncontent-type: application/grpc+proto\r\n")

    def test_length(self) -> None:
        """
        The length of a body stays known, unless it is one of base64.
        """
        for kind, expected in ((WEB, (8, False)), (WEB_TEXT, (None, True))):
            fields = translate(request(b"Content-Length: 8", kind=kind), kind).fields
            self.assertEqual((fields.content_length, fields.chunked), expected)
            self.assertEqual(b"content-length" in fields.owned, kind == WEB)

    def test_no_body_and_unknown_length(self) -> None:
        """
        A request without a body keeps having none, and one of unknown length has that still.
        """
        for kind in TYPES:
            for line, expected in ((b"Content-Length: 0", (0, False)), (b"Transfer-Encoding: chunked", (None, True))):
                fields = translate(request(line, kind=kind), kind).fields
                self.assertEqual((fields.content_length, fields.chunked), expected)
            fields = translate(request(kind=kind), kind).fields
            self.assertEqual((fields.content_length, fields.chunked), (None, False))

    def test_expectation(self) -> None:
        """
        A client that waits for leave to send its body still does.
        """
        lines = (b"Content-Length: 8", b"Expect: 100-continue", b"Connection: close")
        fields = translate(request(*lines), WEB).fields
        self.assertEqual((fields.expect_continue, fields.close), (True, True))

    def test_original_is_untouched(self) -> None:
        """
        The connection's own fields, which stand for its next request too, are as they were.
        """
        head = request(b"Content-Length: 8", b"Accept: a", kind=WEB_TEXT)
        fields = head.fields
        before = (fields.relay, dict(fields.owned), fields.items(), fields.content_length, fields.chunked, fields.grpc)
        translated = translate(head, WEB_TEXT)
        translated.fields.tail_key = translated.fields.packed_key = object()
        after = (fields.relay, dict(fields.owned), fields.items(), fields.content_length, fields.chunked, fields.grpc)
        self.assertEqual(after, before)
        self.assertIs(head.fields, fields)
        self.assertEqual((fields.tail_key, fields.packed_key), (None, None))

    def test_of_http2(self) -> None:
        """
        A section of HTTP/2, which is kept field by field, comes out as lines.
        """
        fields = RequestFields(b"")
        pairs = ((b"content-type", TYPES[WEB]), (b"accept", b"*/*"), (b"x-mine", b"1"))
        fields.parsed = [Field(name, value, b"%b: %b\r\n" % (name, value)) for name, value in pairs]
        fields.relay = None
        fields.owned = {b"content-type": TYPES[WEB]}
        fields.grpc = WEB
        head = translate(RequestHead(b"POST", b"/a/b", b"", 20, b"gw", fields), WEB)
        self.assertEqual(head.fields.relay, b"x-mine: 1\r\ncontent-type: application/grpc\r\n")
        self.assertEqual(head.fields.items(), [(b"x-mine", b"1"), (b"content-type", b"application/grpc")])
        self.assertEqual(head.version, 20)


class ResponseKindTests(SynchronousTestCase):
    """
    Tests for L{response_kind}.
    """

    def test_accept(self) -> None:
        """
        C{Accept} decides if it names a kind of gRPC-Web; else the response is of the request's kind.
        """
        for kind in TYPES:
            self.assertEqual(response_kind(request(kind=kind)), kind)
            for accept in (b"*/*", b"application/grpc", b"text/html"):
                self.assertEqual(response_kind(request(b"Accept: " + accept, kind=kind)), kind)
            for asked, name in TYPES.items():
                self.assertEqual(response_kind(request(b"Accept: %b+proto" % name, kind=kind)), asked)


class WebStreamTests(SynchronousTestCase):
    """
    Tests for L{WebStream}.
    """

    def setUp(self) -> None:
        """
        A client's stream.
        """
        self.client = FakeStream(b"192.0.2.9", True)
        self.client.version = 20

    def stream(self, kind: int = WEB) -> WebStream:
        """
        What stands before it.
        """
        return WebStream(self.client, kind)

    def begin(self, kind: int = WEB, content_type: bytes = b"application/grpc+proto", body: bytes = b"") -> WebStream:
        """
        The stream when its response has begun.
        """
        stream = self.stream(kind)
        stream.send_response(200, b"OK", b"a: b\r\ncontent-type: %b\r\n" % content_type, None, body, False)
        return stream

    def test_binary(self) -> None:
        """
        Messages go through as they are, and trailers follow as the last one.
        """
        stream = self.begin(body=MESSAGE)
        stream.send_body(MESSAGE)
        stream.end_response(STATUS)
        self.assertEqual(self.client.lines, b"a: b\r\ncontent-type: application/grpc-web+proto\r\n")
        self.assertEqual(self.client.body, MESSAGE + MESSAGE + FRAME)
        self.assertEqual((self.client.trailers, self.client.ended), (b"", True))

    def test_text(self) -> None:
        """
        Each piece is base64 that can be decoded when it arrives.
        """
        stream = self.begin(WEB_TEXT, body=MESSAGE)
        stream.send_body(b"\x00")
        stream.end_response(STATUS)
        self.assertEqual(self.client.lines, b"a: b\r\ncontent-type: application/grpc-web-text+proto\r\n")
        self.assertEqual(self.client.body, b64encode(MESSAGE) + b64encode(b"\x00") + b64encode(FRAME))

    @given(sampled_from(sorted(TYPES)), lists(binary(min_size=1, max_size=20), max_size=6))
    def test_any_body(self, kind: int, pieces: list[bytes]) -> None:
        """
        However a response is cut, the client has its bytes and the trailers behind them.
        """
        self.setUp()
        stream = self.begin(kind)
        for piece in pieces:
            stream.send_body(piece)
        stream.end_response(STATUS)
        body = self.client.body if kind == WEB else Base64Decoder().feed(self.client.body)
        self.assertEqual(body, b"".join(pieces) + FRAME)

    def test_content_type(self) -> None:
        """
        The media type is found in whatever case, and what follows it stays.
        """
        for line, expected in (
            (b"Content-Type:Application/gRPC\r\n", b"Content-Type:application/grpc-web\r\n"),
            (b"content-type: application/grpc;a=b\r\n", b"content-type: application/grpc-web;a=b\r\n"),
            (
                b"x: y\r\ncontent-type: application/grpc+json\r\n",
                b"x: y\r\ncontent-type: application/grpc-web+json\r\n",
            ),
        ):
            self.setUp()
            self.stream().send_response(200, b"OK", line, None, b"", False)
            self.assertEqual(self.client.lines, expected)

    def test_status_in_the_head(self) -> None:
        """
        A response that is nothing but a status stays that: it has no body, where clients would find it once more.
        """
        for kind, name in TYPES.items():
            self.setUp()
            stream = self.stream(kind)
            stream.send_response(200, b"OK", b"content-type: application/grpc\r\n" + STATUS, None, b"", True)
            self.assertEqual(self.client.lines, b"content-type: %b\r\n" % name + STATUS)
            self.assertEqual((self.client.body, self.client.ended), (b"", True))

    def test_refused(self) -> None:
        """
        The gateway's own refusals are such responses.
        """
        self.client.grpc = True
        stream = self.stream(WEB_TEXT)
        send_problem(stream, b"POST", Reason.NO_ROUTE, b"id")
        self.assertEqual(self.client.fields()["content-type"], ["application/grpc-web-text"])
        self.assertEqual(self.client.fields()["grpc-status"], ["12"])
        self.assertEqual((self.client.status, self.client.body, self.client.ended), (200, b"", True))
        self.assertIs(self.client.reason, Reason.NO_ROUTE)

    def test_no_trailers(self) -> None:
        """
        Where an instance says no status, none is made up.
        """
        self.begin(body=MESSAGE).end_response(b"")
        self.assertEqual((self.client.body, self.client.events), (MESSAGE, ["response", "end"]))

    def test_length_is_not_kept(self) -> None:
        """
        A length that was said is that of the body without its last message.
        """
        stream = self.stream()
        stream.send_response(200, b"OK", b"content-type: application/grpc\r\n", 8, MESSAGE, False)
        self.assertIs(self.client.length, None)

    def test_not_grpc(self) -> None:
        """
        A response of another type is passed on as it is, trailers and all; so is one that is of gRPC-Web already.
        """
        for content_type in (b"text/html", b"application/grpcfoo", b"application/grpc-web+proto"):
            for kind in TYPES:
                self.setUp()
                lines = b"x-content-type: application/grpc\r\ncontent-type: %b\r\n" % content_type
                stream = self.stream(kind)
                stream.send_response(502, b"Bad Gateway", lines, 4, b"<a", False)
                stream.send_body(b"/>")
                stream.end_response(STATUS)
                self.assertEqual((self.client.status, self.client.lines, self.client.length), (502, lines, 4))
                self.assertEqual((self.client.body, self.client.trailers), (b"<a/>", STATUS))

    def test_others_calls(self) -> None:
        """
        Everything else goes through.
        """
        stream = self.stream()
        stream.send_interim(103, b"link: a\r\n")
        stream.pause_body()
        stream.resume_body()
        stream.let_body_rest()
        self.assertFalse(self.client.body_rests, "a page sends its request in one go")
        stream.abort_response()
        self.assertEqual(self.client.events, ["interim", "pause_body", "resume_body", "abort"])
        self.assertEqual(self.client.interim, [(103, b"link: a\r\n")])

    def test_attributes(self) -> None:
        """
        What a stream tells, it tells; what it is told is told to it.
        """
        stream = self.stream()
        self.assertEqual((stream.peer, stream.secure, stream.version), (b"192.0.2.9", True, 20))
        stream.reason, stream.request_id, stream.added, stream.grpc = Reason.DRAINING, b"id", b"a: b\r\n", True
        client = self.client
        self.assertEqual((client.reason, client.request_id, client.added), (Reason.DRAINING, b"id", b"a: b\r\n"))
        self.assertEqual((stream.reason, stream.request_id, stream.added), (Reason.DRAINING, b"id", b"a: b\r\n"))
        self.assertEqual((client.grpc, stream.grpc), (True, True))


class KeepingExchange(FakeExchange):
    """
    An exchange that notes whether its body came with its end.
    """

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        Keep some of the body.
        """
        super().body_received(data)
        if end:
            self.events.append("end")
            self.trailers = b""


class WebExchangeTests(SynchronousTestCase):
    """
    Tests for L{WebExchange}.
    """

    def setUp(self) -> None:
        """
        An exchange with a call.
        """
        self.client = FakeStream()
        self.client.grpc = True
        self.inner = KeepingExchange(translate(request(kind=WEB_TEXT), WEB_TEXT), WebStream(self.client, WEB_TEXT))
        self.exchange = WebExchange(self.inner)

    @given(lists(binary(max_size=20), max_size=5), lists(integers(1, 9), max_size=9), sampled_from((False, True)))
    def test_any_body(self, pieces: list[bytes], sizes: list[int], together: bool) -> None:
        """
        However a body was encoded and cut, the exchange has its bytes and learns its end once.
        """
        self.setUp()
        text = b"".join([b64encode(piece) for piece in pieces])
        for size in sizes:
            if len(text) > size:
                self.exchange.body_received(text[:size])
                text = text[size:]
        if together and text:
            self.exchange.body_received(text, True)
        else:
            if text:
                self.exchange.body_received(text)
            self.exchange.body_finished(b"")
        self.assertEqual((self.inner.body, self.inner.trailers), (b"".join(pieces), b""))
        self.assertEqual(self.inner.events.count("finished") + self.inner.events.count("end"), 1)

    def test_end_with_data(self) -> None:
        """
        What completes the body completes it for the exchange in the same call.
        """
        self.exchange.body_received(b"YWJj", True)
        self.assertEqual(self.inner.events, ["body", "end"])

    def test_trailers(self) -> None:
        """
        Trailers of the request go on.
        """
        self.exchange.body_received(b"YWJj")
        self.exchange.body_finished(b"a: b\r\n")
        self.assertEqual((self.inner.body, self.inner.trailers), (b"abc", b"a: b\r\n"))

    def test_garbage(self) -> None:
        """
        A body that is not base64 fails the call, once, and nothing of what follows gets through.
        """
        self.exchange.body_received(b"YWJj")
        self.exchange.body_received(b"!!!!")
        self.exchange.body_received(b"YWJj")
        self.exchange.body_received(b"YWJj", True)
        self.exchange.body_finished(b"")
        self.exchange.body_failed(Reason.REQUEST_TIMEOUT)
        self.assertEqual(self.inner.events, ["body", "failed malformed_request"])
        self.assertEqual(status_in(self.client.lines), INTERNAL)

    def test_cut_short(self) -> None:
        """
        So does one that ends in the midst of four characters, in either way that a body ends.
        """
        self.exchange.body_received(b"YWJjZ")
        self.exchange.body_finished(b"")
        self.assertEqual(self.inner.events, ["body", "failed malformed_request"])
        self.setUp()
        self.exchange.body_received(b"YWJjZ", True)
        self.assertEqual(self.inner.events, ["failed malformed_request"])

    def test_other_calls(self) -> None:
        """
        Everything else goes through.
        """
        self.exchange.pause_response()
        self.exchange.resume_response()
        self.exchange.client_gone()
        self.exchange.body_failed(Reason.INCOMPLETE_BODY)
        self.assertEqual(self.inner.events, ["pause", "resume", "gone", "failed incomplete_body"])
