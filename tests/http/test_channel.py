"""
Tests for L{siger.http.h1.channel}.
"""

from __future__ import annotations

import gc
import os
import socket

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.limits import Limits
from siger.errors import Reason
from siger.http.h1.channel import Channel
from siger.http.h2.constants import PREFACE
from tests.http.client import Client, get
from tests.http.fakes import FakeApplication, FakeExchange, FakeTransport
from tests.http.generators import noise, properties, splits
from tests.http.messages import Message


def post(body: bytes, *lines: str, path: str = "/") -> bytes:
    """
    A request with a body of a declared length.
    """
    head = "\r\n".join((f"POST {path} HTTP/1.1", "Host: a.test", f"Content-Length: {len(body)}", *lines, "", ""))
    return head.encode() + body


def chunked(*chunks: bytes, path: str = "/") -> bytes:
    """
    The beginning of a request with a chunked body.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


def answering(exchange: FakeExchange) -> None:
    """
    Answer with the request's path.
    """
    exchange.answer(exchange.head.path)


class _ChannelMixin(SynchronousTestCase):
    """
    What most tests here assert.
    """

    def one(self, client: Client, methods: str = "") -> Message:
        """
        The one response that the client got.
        """
        (response,) = client.responses(methods)
        return response

    def refused(self, client: Client, status: int, reason: Reason) -> None:
        """
        The client was told why, and the connection is over for requests.
        """
        response = client.responses()[-1]
        self.assertEqual(response.status, status)
        self.assertEqual(response.fields["connection"], "close")
        self.assertEqual(response.fields["content-type"], "application/problem+json")
        self.assertTrue(response.complete)
        self.assertIn(reason.code.encode(), response.body)
        self.closed(client)

    def closed(self, client: Client) -> None:
        """
        The client has seen the end of the stream, and nothing that it sends is read as a request.
        """
        self.assertTrue(client.transport.half_closed)
        before = len(client.exchanges)
        client.send(get("/smuggled"))
        self.assertEqual(len(client.exchanges), before)

    def kept(self, client: Client) -> None:
        """
        The connection takes another request.
        """
        self.assertFalse(client.transport.half_closed)
        before = len(client.exchanges)
        client.send(get("/next"))
        self.assertEqual(client.paths[before:], [b"/next"])


class RequestTests(_ChannelMixin):
    """
    Tests for reading requests and handing them over.
    """

    def test_get(self) -> None:
        """
        A request is handed over with its connection's facts, and answered.
        """
        client = Client()
        client.send(get("/a?b", "X-C: d"))
        exchange = client.exchange
        self.assertEqual((exchange.head.path, exchange.head.query, exchange.events), (b"/a", b"?b", []))
        self.assertEqual(
            (exchange.stream.peer, exchange.stream.secure, exchange.stream.reason), (b"192.0.2.7", False, None)
        )
        exchange.answer(b"hello")
        response = self.one(client)
        self.assertEqual((response.status, response.body), (200, b"hello"))
        self.assertNotIn("connection", response.fields)
        self.kept(client)

    def test_repr(self) -> None:
        """
        A channel shows whose it is, its state and how much it did.
        """
        client = Client()
        self.assertEqual(repr(client.channel), "<Channel 192.0.2.7 [idle, 0 requests]>")
        client.send(get())
        self.assertEqual(repr(client.channel), "<Channel 192.0.2.7 [wait, 1 requests]>")

    def test_body(self) -> None:
        """
        A body is passed on as it comes, and its end is told.
        """
        client = Client()
        client.send(post(b"hello")[:-3])
        exchange = client.exchange
        self.assertEqual(exchange.body, b"he")
        client.send(b"llo")
        self.assertEqual((exchange.body, exchange.events), (b"hello", ["body", "body", "finished"]))
        exchange.answer()
        self.kept(client)

    def test_chunked_body(self) -> None:
        """
        So is a chunked one, with its trailers.
        """
        client = Client()
        client.send(chunked(b"hello", b" world") + b"0\r\nX-A: b\r\n\r\n")
        self.assertEqual((client.exchange.body, client.exchange.trailers), (b"hello world", b"X-A: b\r\n"))

    def test_no_body(self) -> None:
        """
        A body of no bytes is none.
        """
        client = Client()
        client.send(post(b""))
        self.assertEqual(client.exchange.events, [])

    def test_body_that_looks_like_a_request(self) -> None:
        """
        The bytes of a body are never read as a request: A14.
        """
        client = Client(FakeApplication(answering))
        client.send(post(get("/smuggled")) + get("/b"))
        self.assertEqual([response.body for response in client.responses()], [b"/", b"/b"])

    def test_same_fields_again(self) -> None:
        """
        A header section that repeats means the same again; one that differs does not.
        """
        client = Client()
        for lines in (["X-A: b"], ["X-A: b"], ["X-A: c"], [], ["X-A: b"]):
            client.send(get("/", *lines))
            self.assertEqual(client.exchange.head.fields.relay, b"".join(b"%b\r\n" % line.encode() for line in lines))
            client.exchange.answer()
        first, second, *_ = client.exchanges
        self.assertIs(first.head.fields, second.head.fields)

    def test_headless_requests_share_nothing(self) -> None:
        """
        What is kept with a header section is never shared with another connection, not even with an empty section: D3.
        """
        first, second = Client(), Client()
        first.send(b"GET / HTTP/1.0\r\n\r\n")
        second.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertIsNot(first.exchange.head.fields, second.exchange.head.fields)

    def test_blank_lines(self) -> None:
        """
        Up to four empty lines before a request are ignored: A23.
        """
        client = Client(FakeApplication(answering))
        for path in ("/a", "/b"):
            client.send(b"\r\n" * 4 + get(path))
        self.assertEqual([response.body for response in client.responses()], [b"/a", b"/b"])

    def test_many_blank_lines(self) -> None:
        """
        A fifth is refused, however they come: A23.
        """
        for lengths in ([99], [1], [2], [3]):
            client = Client()
            client.send(b"\r\n" * 5 + get(), lengths)
            self.refused(client, 400, Reason.MALFORMED_REQUEST)
            self.assertEqual(client.exchanges, [])

    def test_other_blanks(self) -> None:
        """
        A bare LF, a space or a NUL before a request is refused at once: A22, A23.
        """
        for blank in (b"\n", b" ", b"\0", b"\r\n\n", b"\r\r\n"):
            client = Client()
            client.send(blank + b"GET / HT")
            client.send(b"TP/1.1\r\nHost: a.test\r\n\r\n")
            self.refused(client, 400, Reason.MALFORMED_REQUEST)

    def test_malformed(self) -> None:
        """
        A request that is not understood is refused, and nothing behind it is read: A15.
        """
        for raw, status, reason in (
            (b"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, Reason.MALFORMED_REQUEST),
            (b"GET / HTTP/1.1\r\n\r\n", 400, Reason.INVALID_HOST),
            (b"GET / HTTP/1.1\r\nHost: a.test\r\nX_A: b\r\n\r\n", 400, Reason.MALFORMED_REQUEST),
            (b"GET /%00 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, Reason.INVALID_TARGET),
            (b"GET / HTTP/2.0\r\nHost: a.test\r\n\r\n", 505, Reason.VERSION_UNSUPPORTED),
            (b"BREW / HTTP/1.1\r\nHost: a.test\r\n\r\n", 501, Reason.METHOD_UNKNOWN),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, Reason.VERSION_UNSUPPORTED),
        ):
            client = Client()
            client.send(raw + get("/smuggled"))
            self.assertEqual(client.fake.refusals, [reason])
            self.assertEqual(client.exchanges, [])
            self.refused(client, status, reason)

    def test_seen_at_once(self) -> None:
        """
        A head that can no longer become valid is refused before it ends: A17, A18.
        """
        for raw in (
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\nHost: a.test\n",
            b"GET / HTTP/1.1\r\nHost: a\0",
            b"GET / HTTP/1.1\r\nHost: a\rb",
            b"GET /  HTTP/1.1\r\nH",
            b"GET\r\n",
            b"\x16\x03\x01\x02\0",
        ):
            for lengths in ([99], [1]):
                client = Client()
                client.send(raw, lengths)
                self.refused(client, 400, Reason.MALFORMED_REQUEST)

    def test_version_seen_at_once(self) -> None:
        """
        So is one of another version.
        """
        client = Client()
        client.send(b"GET / HTTP/3.0\r\nHost: a", [7])
        self.refused(client, 505, Reason.VERSION_UNSUPPORTED)

    def test_failure_of_application(self) -> None:
        """
        What the application raises is its transport's to handle; the bytes are not read again: L7.
        """

        def fail(exchange: FakeExchange) -> None:
            raise RuntimeError("oops")

        client = Client(FakeApplication(fail))
        self.assertRaises(RuntimeError, client.send, get())


class PrefaceTests(_ChannelMixin):
    """
    Tests for clients that speak HTTP/2 (RFC 9113 section 3.4).
    """

    def make(self, spoken: bool = True) -> Client:
        """
        A client of a channel that knows who speaks HTTP/2, or does not.
        """
        client = Client()
        self.taken: list[bytes] = []
        if spoken:
            client.channel.on_preface = self.taken.append
        return client

    def test_taken_over(self) -> None:
        """
        What begins with the preface is handed on as it came, and the channel has nothing more to do with it.
        """
        for behind in (b"", b"\0\0\0\4\0\0\0\0\0"):
            client = self.make()
            client.send(PREFACE + behind)
            self.assertEqual((self.taken, client.transport.written), ([PREFACE + behind], b""))
            self.assertEqual((client.context.channels, client.exchanges), (set(), []))
            client.wait(100)
            client.channel.drain(True)
            client.go()
            self.assertFalse(client.transport.closed)

    def test_by_bytes(self) -> None:
        """
        It may come a byte at a time, until it is plain what it is.
        """
        client = self.make()
        for count, byte in enumerate(PREFACE[:18], 1):
            self.assertEqual((self.taken, client.transport.written), ([], b""))
            client.send(bytes((byte,)))
            self.assertEqual(bool(self.taken), count == 18)
        self.assertEqual(self.taken, [PREFACE[:18]])

    def test_not_spoken(self) -> None:
        """
        Where HTTP/2 is not spoken it is a request of a version that is not: G14.
        """
        client = self.make(spoken=False)
        client.send(PREFACE)
        self.refused(client, 505, Reason.VERSION_UNSUPPORTED)

    def test_not_the_preface(self) -> None:
        """
        What is only like it is refused as it always is.
        """
        for said, status in (
            (b"PRI * HTTP/2.1\r\n\r\n", 505),
            (b"PRI / HTTP/2.0\r\n\r\n", 505),
            (b"PRI * HTTP/1.1\r\nHost: a.test\r\n\r\n", 501),
            (b"PRI * HTTP/2.0\r\nHost: a.test\r\n\r\n", 505),
            (b"GET / HTTP/2.0\r\n\r\n", 505),
            (b"PRI\rX", 400),
        ):
            client = self.make()
            client.send(said)
            self.assertEqual((self.taken, client.responses()[0].status), ([], status), said)

    def test_not_first(self) -> None:
        """
        A connection that has begun as one of HTTP/1.1 remains one.
        """
        client = self.make()
        client.send(get())
        client.exchange.answer()
        client.send(PREFACE)
        self.assertEqual((self.taken, client.statuses()), ([], [200, 505]))

    def test_never_whole(self) -> None:
        """
        A preface that does not go on is given up when a head would have to be there.
        """
        client = self.make()
        client.send(PREFACE[:10])
        client.wait(11)
        self.assertTrue(client.transport.closed)


class LimitTests(_ChannelMixin):
    """
    Tests for limits of size.
    """

    def test_request_line(self) -> None:
        """
        A request-line may have 16 KiB, however it arrives: F1, A36.
        """
        path = "/" + "a" * (16384 - len("GET / HTTP/1.1"))
        for lengths in ([99999], [16385], [16384], [1000]):
            client = Client()
            client.send(get(path), lengths)
            self.assertEqual(client.paths, [path.encode()], lengths)

    def test_long_request_line(self) -> None:
        """
        A longer one is refused: F1.
        """
        path = "/" + "a" * (16385 - len("GET / HTTP/1.1"))
        for lengths in ([99999], [16387], [16386], [1000]):
            client = Client()
            client.send(get(path), lengths)
            self.refused(client, 414, Reason.URI_TOO_LONG)

    def test_endless_request_line(self) -> None:
        """
        One that does not end is refused when it is too long: F1.
        """
        client = Client()
        client.send(b"GET /" + b"a" * 16384)
        self.refused(client, 414, Reason.URI_TOO_LONG)

    def test_fields(self) -> None:
        """
        Fields may have 64 KiB together, however they arrive: F2, A36.
        """
        lines = [f"X-{number}: {'a' * 16000}" for number in range(4)]
        lines.append("Y: " + "b" * (65536 - len(get("/", *lines)) + len("GET / HTTP/1.1") - 1))
        raw = get("/", *lines)
        for lengths in ([99999], [len(raw) - 1], [len(raw) - 3], [1000]):
            client = Client()
            client.send(raw, lengths)
            self.assertEqual(client.paths, [b"/"], lengths)
        for lengths in ([99999], [len(raw)], [1000]):
            client = Client()
            client.send(get("/", *lines[:-1], lines[-1] + "b"), lengths)
            self.refused(client, 431, Reason.HEADERS_TOO_LARGE)

    def test_endless_fields(self) -> None:
        """
        Fields that do not end are refused when they are too large: F2.
        """
        client = Client()
        client.send(get()[:-2] + b"X-A: b\r\n" * 10000, [4000])
        self.refused(client, 431, Reason.HEADERS_TOO_LARGE)

    def test_many_fields(self) -> None:
        """
        So are too many: F2.
        """
        client = Client(limits=Limits(header_count=3))
        client.send(get("/", "A: b", "C: d", "E: f"))
        self.refused(client, 431, Reason.HEADERS_TOO_LARGE)

    def test_max_requests(self) -> None:
        """
        A connection takes so many requests and says so with the last: F6.
        """
        client = Client(FakeApplication(answering), Limits(max_requests=2))
        client.send(get("/a") + get("/b") + get("/c"))
        responses = client.responses()
        self.assertEqual([response.body for response in responses], [b"/a", b"/b"])
        self.assertEqual([response.fields.get("connection") for response in responses], [None, "close"])
        self.closed(client)


class PipelineTests(_ChannelMixin):
    """
    Tests for requests that come before the answer to another.
    """

    def test_order(self) -> None:
        """
        A request waits until the one before it is answered: A16.
        """
        client = Client()
        client.send(get("/slow") + get("/fast") + get("/last"))
        self.assertEqual(client.paths, [b"/slow"])
        client.exchange.begin()
        client.exchange.stream.send_body(b"slow")
        self.assertEqual(client.paths, [b"/slow"])
        client.exchange.stream.end_response(b"")
        self.assertEqual(client.paths, [b"/slow", b"/fast"])
        client.exchange.answer(b"fast")
        client.exchange.answer(b"last")
        self.assertEqual([response.body for response in client.responses()], [b"slow", b"fast", b"last"])

    def test_between_reads(self) -> None:
        """
        It makes no difference when the bytes come.
        """
        client = Client()
        client.send(get("/a") + get("/b")[:9])
        client.exchange.answer()
        self.assertEqual(client.paths, [b"/a"])
        client.send(get("/b")[9:])
        self.assertEqual(client.paths, [b"/a", b"/b"])
        client.send(get("/c"))
        client.exchange.answer()
        self.assertEqual(client.paths, [b"/a", b"/b", b"/c"])

    def test_behind_a_body(self) -> None:
        """
        A request behind a body begins where that ends.
        """
        client = Client()
        client.send(post(b"hello") + chunked(b"x" * 5) + b"0\r\n\r\n" + get("/c"))
        client.exchange.answer()
        self.assertEqual(client.exchange.body, b"xxxxx")
        client.exchange.answer()
        self.assertEqual(client.exchange.head.path, b"/c")

    def test_answered_at_once(self) -> None:
        """
        Thousands of requests in one piece, each answered as soon as it is asked, need no stack: A16.
        """
        client = Client(FakeApplication(answering))
        client.send(b"".join(get(f"/{number}") for number in range(5000)))
        bodies = [response.body for response in client.responses()]
        self.assertEqual(bodies, [b"/%d" % number for number in range(5000)])

    def test_answered_at_the_end_of_the_body(self) -> None:
        """
        The same with requests that are answered when their bodies end.
        """

        def wait(exchange: FakeExchange) -> None:
            exchange.on_finished = lambda finished: finished.answer(finished.body)

        client = Client(FakeApplication(wait))
        client.send(b"".join(post(b"%d" % number) for number in range(3000)))
        self.assertEqual([response.body for response in client.responses()], [b"%d" % number for number in range(3000)])

    def test_answered_later(self) -> None:
        """
        The same with the first of them answered later.
        """

        def answer(exchange: FakeExchange) -> None:
            if exchange.head.path != b"/first":
                answering(exchange)

        application = FakeApplication(answer)
        client = Client(application)
        client.send(get("/first") + get() * 2000)
        application.exchanges[0].answer()
        self.assertEqual(len(client.responses()), 2001)

    def test_bounded(self) -> None:
        """
        While a request waits, a client is read up to a limit, and again when it is answered: A16, C11.
        """
        client = Client()
        client.send(get("/slow"))
        for _ in range(200):
            client.send(get("/x", "X-A: " + "b" * 1000))
        self.assertTrue(client.transport.paused)
        self.assertGreater(client.held_back, 0)
        client.exchange.answer()
        self.assertFalse(client.transport.paused)
        self.assertEqual(client.paths, [b"/slow", b"/x"])

    def test_close_in_between(self) -> None:
        """
        Nothing is read behind a request that asked for the connection to be closed: A15.
        """
        for line in ("Connection: close", "connection: keep-alive, CLOSE", "Connection: x\r\nConnection: close"):
            client = Client(FakeApplication(answering))
            client.send(get("/a", line) + get("/smuggled"))
            response = self.one(client)
            self.assertEqual((response.body, response.fields["connection"]), (b"/a", "close"))
            self.closed(client)

    def test_old_version_in_between(self) -> None:
        """
        Nor behind a request of HTTP/1.0: A15.
        """
        client = Client(FakeApplication(answering))
        client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get("/smuggled"))
        self.assertEqual(self.one(client).fields["connection"], "close")
        self.closed(client)

    def test_refusal_in_between(self) -> None:
        """
        Nor behind one that was refused; those before it are answered: A15.
        """
        client = Client(FakeApplication(answering))
        client.send(get("/a") + b"GET\r\n\r\n" + get("/smuggled"))
        self.assertEqual(client.statuses(), [200, 400])
        self.refused(client, 400, Reason.MALFORMED_REQUEST)


class ResponseTests(_ChannelMixin):
    """
    Tests for framing responses.
    """

    def test_length_known_later(self) -> None:
        """
        A response whose length is not known comes in chunks, with its trailers.
        """
        client = Client()
        client.send(get())
        stream = client.exchange.stream
        stream.send_response(200, b"OK", b"X-A: b\r\n", None, b"one", False)
        stream.send_body(b"")
        stream.send_body(b"two")
        stream.send_body(b"x" * 20000)
        stream.end_response(b"X-T: u\r\n")
        response = self.one(client)
        self.assertTrue(response.chunked)
        self.assertEqual((response.body, response.trailers), (b"onetwo" + b"x" * 20000, b"X-T: u\r\n"))
        self.assertEqual(response.fields, {"x-a": "b", "transfer-encoding": "chunked"})
        self.kept(client)

    def test_chunked_from_the_beginning(self) -> None:
        """
        The same without a body at first, and without trailers.
        """
        client = Client()
        client.send(get())
        client.exchange.begin()
        self.assertFalse(self.one(client).complete)
        client.exchange.stream.end_response(b"")
        response = self.one(client)
        self.assertEqual((response.complete, response.body), (True, b""))
        self.kept(client)

    def test_length_known(self) -> None:
        """
        A response whose length is known has a Content-Length and is sent as it comes.
        """
        client = Client()
        client.send(get())
        client.exchange.begin(length=6, body=b"abc")
        client.exchange.stream.send_body(b"def")
        client.exchange.stream.end_response(b"X-T: dropped\r\n")
        response = self.one(client)
        self.assertEqual((response.body, response.trailers), (b"abcdef", b""))
        self.assertEqual(response.fields, {"content-length": "6"})
        self.kept(client)

    def test_whole(self) -> None:
        """
        A response that is sent whole gets its length counted, small or large.
        """
        for body in (b"", b"abc", b"x" * 100000):
            client = Client()
            client.send(get())
            client.exchange.answer(body)
            self.assertEqual(self.one(client).fields, {"content-length": str(len(body))})
            self.assertEqual(self.one(client).body, body)

    def test_nothing_after_the_end(self) -> None:
        """
        What is said after the end of a response goes nowhere.
        """
        client = Client()
        client.send(get())
        stream = client.exchange.stream
        client.exchange.answer(b"abc")
        before = client.transport.written
        stream.send_response(500, b"", b"", None, b"", True)
        stream.send_interim(103, b"")
        stream.send_body(b"x")
        stream.end_response(b"")
        stream.abort_response()
        self.assertEqual(client.transport.written, before)
        self.kept(client)

    def test_one_head(self) -> None:
        """
        A response has one head.
        """
        client = Client()
        client.send(get())
        client.exchange.begin(length=1)
        client.exchange.answer(b"x", 500)
        client.exchange.stream.send_body(b"a")
        client.exchange.stream.end_response(b"")
        self.assertEqual((self.one(client).status, self.one(client).body), (200, b"a"))

    def test_status_lines(self) -> None:
        """
        Phrases are passed on as they are given.
        """
        client = Client()
        for status, phrase in ((200, b"OK"), (200, b"Fine"), (599, b""), (299, b"A B")):
            client.send(get())
            client.exchange.over = True
            client.exchange.stream.send_response(status, phrase, b"", None, b"", True)
            line = b"HTTP/1.1 %d %b\r\nContent-Length: 0\r\n\r\n" % (status, phrase)
            self.assertTrue(client.transport.written.endswith(line), line)

    def test_head(self) -> None:
        """
        A response to HEAD says a length and has no body: C4.
        """
        client = Client()
        client.send(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        client.exchange.stream.send_response(200, b"OK", b"", 5, b"", True)
        self.assertEqual(self.one(client, "HEAD").fields, {"content-length": "5"})
        self.kept(client)

    def test_head_with_a_body(self) -> None:
        """
        A body that is given all the same is not sent: C4.
        """
        client = Client()
        client.send(b"HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        client.exchange.begin(body=b"abc")
        client.exchange.stream.send_body(b"def")
        client.exchange.stream.end_response(b"X-A: b\r\n")
        self.assertEqual(client.transport.written, b"HTTP/1.1 200 OK\r\n\r\n")
        self.kept(client)

    def test_statuses_without_a_body(self) -> None:
        """
        204 and 304 have no body; only 304 may say a length: C4.
        """
        for status, length, fields in (
            (204, 5, {}),
            (204, None, {}),
            (304, 5, {"content-length": "5"}),
            (304, None, {}),
        ):
            client = Client()
            client.send(get())
            client.exchange.stream.send_response(status, b"", b"", length, b"hello", True)
            self.assertEqual(self.one(client).fields, fields)
            self.assertTrue(client.transport.written.endswith(b"\r\n\r\n"))
            self.kept(client)

    def test_streamed_status_without_a_body(self) -> None:
        """
        Neither has one if its response is streamed: C4.
        """
        for status in (204, 304):
            client = Client()
            client.send(get())
            client.exchange.begin(status=status, body=b"a")
            client.exchange.stream.send_body(b"b")
            client.exchange.stream.end_response(b"")
            self.assertTrue(client.transport.written.endswith(b"\r\n\r\n"), client.transport.written)
            self.kept(client)

    def test_interim(self) -> None:
        """
        Interim responses go before the final one: C6.
        """
        client = Client()
        client.send(get())
        stream = client.exchange.stream
        stream.send_interim(103, b"Link: </a>\r\n")
        stream.send_interim(100, b"")
        stream.send_interim(199, b"")
        client.exchange.begin(length=0)
        stream.send_interim(103, b"")
        stream.end_response(b"")
        self.assertEqual(client.statuses(), [103, 100, 199, 200])
        self.assertEqual(client.responses()[0].fields, {"link": "</a>"})

    def test_interim_for_old_version(self) -> None:
        """
        A client of HTTP/1.0 gets none: C6, A34.
        """
        client = Client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        client.exchange.stream.send_interim(103, b"")
        client.exchange.answer()
        self.assertEqual(client.statuses(), [200])

    def test_old_version(self) -> None:
        """
        A client of HTTP/1.0 gets a length where there is one, and the connection closes.
        """
        client = Client()
        client.send(b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n")
        client.exchange.answer(b"abc")
        response = self.one(client)
        self.assertEqual(response.fields, {"content-length": "3", "connection": "close"})
        self.closed(client)

    def test_old_version_without_length(self) -> None:
        """
        Where there is none, the end of the connection ends the body: C5.
        """
        client = Client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        client.exchange.begin(body=b"abc")
        client.exchange.stream.send_body(b"def")
        self.assertFalse(client.transport.half_closed)
        client.exchange.stream.end_response(b"X-A: b\r\n")
        response = self.one(client)
        self.assertEqual((response.body, response.fields), (b"abcdef", {"connection": "close"}))
        self.assertFalse(client.transport.aborted)
        self.closed(client)

    def test_upgrade_required(self) -> None:
        """
        A 426 says what to upgrade to, in fields of this connection: B5.
        """
        client = Client()
        client.send(get())
        client.exchange.answer(status=426)
        self.assertIn(b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", client.transport.written)


class AbortTests(_ChannelMixin):
    """
    Tests for responses that do not end cleanly.
    """

    def test_chunked(self) -> None:
        """
        A chunked response lacks its last chunk, and what was sent still arrives: C2.
        """
        client = Client()
        client.send(get())
        client.exchange.begin(body=b"abc")
        client.transport.stalled = True
        client.exchange.stream.send_body(b"def")
        client.exchange.stream.abort_response()
        client.transport.flow()
        response = self.one(client)
        self.assertEqual((response.body, response.complete), (b"abcdef", False))
        self.assertFalse(client.transport.aborted)
        self.assertTrue(client.transport.closed)

    def test_length(self) -> None:
        """
        A response of a declared length is shorter: C2.
        """
        client = Client()
        client.send(get())
        client.exchange.begin(length=5, body=b"abc")
        client.exchange.stream.abort_response()
        self.assertFalse(self.one(client).complete)
        self.assertTrue(client.transport.closed)

    def test_delimited_by_close(self) -> None:
        """
        One that ends with its connection is reset, for a clean end would complete it: C2, C5.
        """
        client = Client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        client.exchange.begin(body=b"abc")
        client.exchange.stream.abort_response()
        self.assertTrue(client.transport.aborted)

    def test_nothing_follows(self) -> None:
        """
        The connection is not used again, though a request is waiting: design rule 4.
        """
        client = Client()
        client.send(get("/a") + get("/b"))
        client.exchange.begin(body=b"abc")
        client.exchange.stream.abort_response()
        client.send(get("/c"))
        self.assertEqual(client.paths, [b"/a"])

    def test_told_nothing(self) -> None:
        """
        Who aborted a response hears no more of the client.
        """
        client = Client()
        client.send(get())
        client.exchange.begin()
        client.exchange.stream.abort_response()
        client.go()
        self.assertEqual(client.exchange.events, [])

    def test_with_a_stalled_reader(self) -> None:
        """
        A connection whose client does not read closes once it has read: no producer is in the way.
        """
        client = Client()
        client.transport.stalled = True
        client.send(get())
        client.exchange.begin(body=b"x" * 70000)
        self.assertEqual(client.exchange.events, ["pause"])
        client.exchange.stream.abort_response()
        self.assertFalse(client.transport.closed)
        client.transport.flow()
        self.assertTrue(client.transport.closed)


class EarlyResponseTests(_ChannelMixin):
    """
    Tests for responses that overtake the request's body.
    """

    def test_short_rest(self) -> None:
        """
        A rest that is known to be short is read and dropped, and the connection is kept: A14.
        """
        client = Client(FakeApplication(answering))
        client.send(post(get("/smuggled"))[:-5])
        self.assertNotIn("connection", self.one(client).fields)
        client.send(get("/smuggled")[-5:] + get("/b"))
        self.assertEqual([response.body for response in client.responses()], [b"/", b"/b"])

    def test_in_the_middle(self) -> None:
        """
        The same when the response comes in the middle of the body.
        """
        client = Client()
        client.send(post(b"hello")[:-3])
        client.exchange.answer(b"early")
        client.send(b"llo")
        self.assertEqual(client.exchange.events, ["body"])
        self.kept(client)

    def test_with_the_last_byte(self) -> None:
        """
        The same when it comes upon the last bytes of the body.
        """

        def wait(exchange: FakeExchange) -> None:
            exchange.on_body = lambda told: told.answer(told.body)

        client = Client(FakeApplication(wait))
        client.send(post(b"hello") + post(b"world"))
        self.assertEqual([response.body for response in client.responses()], [b"hello", b"world"])
        self.kept_with(client)

    def kept_with(self, client: Client) -> None:
        """
        The connection takes another request, of whatever application.
        """
        before = len(client.responses())
        client.send(post(b"again"))
        self.assertEqual(len(client.responses()), before + 1)

    def test_streamed(self) -> None:
        """
        A response that began early and ends after the body is none of this.
        """
        client = Client()
        client.send(post(b"hello")[:-3])
        client.exchange.begin()
        client.send(b"llo")
        client.exchange.stream.end_response(b"")
        self.assertEqual((client.exchange.body, client.exchange.events), (b"hello", ["body", "body", "finished"]))
        self.kept(client)

    def test_long_rest(self) -> None:
        """
        A rest that is long or of unknown length is not waited for: the connection closes in stages: A14, A33.
        """
        for raw in (post(b"x" * 65537)[:-65537], chunked(b"hello")):
            client = Client(FakeApplication(answering))
            client.send(raw)
            self.assertEqual(self.one(client).fields["connection"], "close")
            self.assertFalse(client.transport.closed)
            self.closed(client)

    def test_just_short_enough(self) -> None:
        """
        64 KiB are short enough.
        """
        client = Client(FakeApplication(answering))
        client.send(post(b"x" * 65536), [9999])
        self.assertNotIn("connection", self.one(client).fields)
        self.kept_with(client)

    def test_expected(self) -> None:
        """
        A client that waits to be told to go on may send its body or not, so the connection closes: A34.
        """
        client = Client(FakeApplication(answering))
        client.send(post(b"hello", "Expect: 100-continue")[:-5])
        self.assertEqual(self.one(client).fields["connection"], "close")
        self.closed(client)

    def test_expected_and_sent(self) -> None:
        """
        If the body came all the same, there is no doubt: A34.
        """
        client = Client()
        client.send(post(b"hello", "Expect: 100-continue")[:-5])
        client.exchange.stream.send_interim(100, b"")
        client.send(b"hello")
        client.exchange.answer()
        self.assertEqual(client.statuses(), [100, 200])
        self.kept(client)

    def test_rest_does_not_come(self) -> None:
        """
        A short rest that does not come in five seconds is given up: A14.
        """
        client = Client(FakeApplication(answering))
        client.send(post(b"hello")[:-5])
        client.wait(4.5)
        self.assertFalse(client.transport.half_closed)
        client.wait(1)
        self.assertTrue(client.transport.half_closed)
        client.send(b"hello")
        client.wait(6)
        self.assertTrue(client.transport.closed)

    def test_broken_rest(self) -> None:
        """
        A rest whose framing turns out to be broken ends the connection.
        """
        client = Client()
        client.send(chunked(b"hello"))
        client.exchange.begin(length=0)
        client.send(b"0\r\nbroken\r\n")
        self.assertEqual(client.exchange.events, ["body", "failed invalid_framing"])
        self.assertTrue(client.transport.closed)

    def test_client_closes(self) -> None:
        """
        A client that asked for a close gets one, in stages, after an early response too: A33.
        """
        client = Client(FakeApplication(answering))
        client.send(post(b"hello", "Connection: close")[:-5])
        self.assertEqual(self.one(client).fields["connection"], "close")
        self.assertTrue(client.transport.half_closed)
        self.assertFalse(client.transport.closed)

    def test_end_of_stream(self) -> None:
        """
        A client that half-closes instead of sending the rest is closed.
        """
        client = Client(FakeApplication(answering))
        client.send(post(b"hello")[:-5])
        client.end()
        self.assertTrue(client.transport.closed)


class BodyFailureTests(_ChannelMixin):
    """
    Tests for bodies that will never be complete.
    """

    def test_broken(self) -> None:
        """
        A body whose framing is broken fails the request and ends the connection: A8, A10.
        """
        client = Client()
        client.send(chunked(b"hello") + b"0x0\r\n\r\n" + get("/smuggled"))
        self.assertEqual(client.exchange.events, ["failed invalid_framing"])
        self.refused(client, 400, Reason.INVALID_FRAMING)

    def test_broken_later(self) -> None:
        """
        What came before the fault may have been passed on; the body's end is not.
        """
        client = Client()
        client.send(chunked(b"hello"))
        client.send(b"5\r\nhelloX")
        self.assertEqual((client.exchange.body, client.exchange.trailers), (b"hello", None))
        self.refused(client, 400, Reason.INVALID_FRAMING)

    def test_after_the_response_began(self) -> None:
        """
        Where the response has begun, it is broken off.
        """
        client = Client()
        client.send(chunked(b"hello"))
        client.exchange.begin(body=b"abc")
        client.send(b"z\r\n")
        response = self.one(client)
        self.assertEqual((response.status, response.complete), (200, False))
        self.assertTrue(client.transport.closed)

    def test_cut_short(self) -> None:
        """
        A client that half-closes in its body is told, and no one takes the request for complete: A12.
        """
        for raw in (post(b"hello")[:-1], chunked(b"hello"), chunked(b"hello")[:-3]):
            client = Client()
            client.send(raw)
            client.end()
            self.assertEqual(client.exchange.events[-1], "failed incomplete_body")
            self.assertEqual(self.one(client).status, 400)
            self.assertTrue(client.transport.closed)

    def test_silent_exchange(self) -> None:
        """
        An exchange that does not end the response when it must is cut off.
        """

        class Silent(FakeExchange):
            def body_failed(self, reason: Reason) -> None:
                self.events.append("failed")

        exchanges: list[FakeExchange] = []

        class Application(FakeApplication):
            def __call__(self, head, stream):  # type: ignore[no-untyped-def]
                exchanges.append(Silent(head, stream))
                return exchanges[-1]

        client = Client(Application())
        client.send(chunked(b"hello") + b"z\r\n")
        self.assertEqual(exchanges[0].events, ["failed"])
        self.assertTrue(client.transport.aborted)
        exchanges[0].answer(b"too late")
        self.assertFalse(client.transport.half_closing)


class HalfCloseTests(_ChannelMixin):
    """
    Tests for a client that ends what it sends.
    """

    def test_between_requests(self) -> None:
        """
        Between requests it is the end of the connection.
        """
        client = Client(FakeApplication(answering))
        client.send(get())
        client.end()
        self.assertTrue(client.transport.closed)
        self.assertFalse(client.transport.aborted)

    def test_before_any_request(self) -> None:
        """
        Before the first request, too.
        """
        client = Client()
        client.end()
        self.assertEqual((client.transport.closed, client.transport.written), (True, b""))

    def test_in_a_head(self) -> None:
        """
        In the middle of a head it is a fault.
        """
        client = Client()
        client.send(get()[:-2])
        client.end()
        self.assertEqual(self.one(client).status, 400)
        self.assertTrue(client.transport.closed)

    def test_while_waiting(self) -> None:
        """
        While a request is being answered, it counts as gone: C12.
        """
        client = Client()
        client.send(get())
        client.end()
        self.assertTrue(client.transport.aborted)
        client.go()
        self.assertEqual(client.exchange.events, ["gone"])

    def test_answered_too_late(self) -> None:
        """
        An answer that comes before the transport says that all is over changes nothing any more: what was pipelined
        behind the request is not read, and nothing is waited for.
        """
        client = Client()
        client.send(get("/a") + get("/b"))
        client.end()
        client.exchange.answer(b"x")
        self.assertEqual(client.paths, [b"/a"])
        client.wait(60.0)
        self.assertFalse(client.transport.half_closing)

    def test_while_lingering(self) -> None:
        """
        After the last response it is what was waited for: A33.
        """
        client = Client()
        client.send(b"GET\r\n\r\n")
        self.assertFalse(client.transport.closed)
        client.end()
        self.assertTrue(client.transport.closed)

    def test_transport_without_half_close(self) -> None:
        """
        A transport that cannot half-close is closed after the last response.
        """

        class Transport(FakeTransport):
            loseWriteConnection = None  # type: ignore[assignment]

        client = Client(transport=Transport())
        client.send(b"GET\r\n\r\n")
        self.assertTrue(client.transport.closed)


class GoneTests(_ChannelMixin):
    """
    Tests for a client that is gone.
    """

    def test_while_waiting(self) -> None:
        """
        The exchange is told, once, and what it says afterwards goes nowhere: C12.
        """
        client = Client()
        client.send(get())
        client.go()
        self.assertEqual(client.exchange.events, ["gone"])
        before = client.transport.written
        client.exchange.stream.send_interim(103, b"")
        client.exchange.answer(b"late")
        client.exchange.stream.abort_response()
        self.assertEqual(client.transport.written, before)
        self.assertEqual(repr(client.channel), "<Channel 192.0.2.7 [closed, 1 requests]>")

    def test_in_a_body(self) -> None:
        """
        The same in the middle of a body.
        """
        client = Client()
        client.send(post(b"hello")[:-1])
        client.go()
        self.assertEqual(client.exchange.events, ["body", "gone"])

    def test_after_the_response(self) -> None:
        """
        After its response an exchange is told nothing.
        """
        client = Client()
        client.send(get())
        client.exchange.answer()
        client.go()
        self.assertEqual(client.exchange.events, [])

    def test_forgotten(self) -> None:
        """
        Nothing is left of its channel: F12.
        """
        client = Client()
        client.send(get()[:9])
        client.go()
        self.assertEqual(client.context.channels, set())
        client.wait(20)
        self.assertEqual(client.transport.written, b"")

    def test_freed(self) -> None:
        """
        Not even among the deadlines, which live as long as the gateway: F12.
        """

        def channels() -> int:
            gc.collect()
            return sum(isinstance(each, Channel) for each in gc.get_objects())

        before = channels()
        client = Client()
        lasting = client.context, client.clock
        self.assertEqual(channels(), before + 1)
        client.go()
        del client
        self.assertEqual(channels(), before)
        del lasting


class LingerTests(_ChannelMixin):
    """
    Tests for the end of a connection in stages.
    """

    def test_in_stages(self) -> None:
        """
        After the last response the write side closes; input is dropped for five seconds; then all is over: A33.
        """
        client = Client()
        client.send(b"GET\r\n\r\n")
        self.assertTrue(client.transport.half_closed)
        client.send(b"x" * 60000)
        client.wait(4.5)
        self.assertFalse(client.transport.closed)
        client.wait(1)
        self.assertTrue(client.transport.closed)

    def test_too_much(self) -> None:
        """
        More than 64 KiB of input end it: A33.
        """
        client = Client()
        client.send(b"GET\r\n\r\n")
        client.send(b"x" * 65536)
        self.assertFalse(client.transport.closed)
        client.send(b"x")
        self.assertTrue(client.transport.aborted)

    def test_rest_in_hand(self) -> None:
        """
        What came in one piece with the last request counts.
        """
        client = Client(FakeApplication(answering))
        client.send(get("/", "Connection: close") + b"x" * 65537)
        self.assertTrue(client.transport.aborted)

    def test_announced(self) -> None:
        """
        Also for a client that said that nothing follows: what it pipelines all the same, or a blank line behind a body,
        would be answered with a reset.
        """
        for request in (get("/", "Connection: close"), post(b"hello", "Connection: close")):
            client = Client(FakeApplication(answering))
            client.send(request)
            self.assertEqual((client.transport.half_closed, client.transport.closed), (True, False))
            client.send(get("/b"))
            self.assertEqual((client.statuses(), client.transport.aborted), ([200], False))

    def test_reading_again(self) -> None:
        """
        A connection that was not being read is read again, to see its end.
        """
        client = Client()
        client.send(post(b"hello", "Connection: close")[:-3])
        client.exchange.stream.pause_body()
        client.exchange.answer()
        self.assertFalse(client.transport.paused)

    def test_nothing_after_the_end(self) -> None:
        """
        What still comes after the end is ignored.
        """
        client = Client()
        client.send(get())
        client.exchange.begin()
        client.exchange.stream.abort_response()
        client.channel.data_received(get("/smuggled"))
        self.assertEqual(client.paths, [b"/"])


class DeadlineTests(_ChannelMixin):
    """
    Tests for limits of time.
    """

    def test_silence(self) -> None:
        """
        A client that says nothing is closed without a word.
        """
        client = Client()
        client.wait(9.5)
        self.assertFalse(client.transport.closed)
        client.wait(1)
        self.assertTrue(client.transport.closed)
        self.assertEqual(client.transport.written, b"")

    def test_slow_head(self) -> None:
        """
        The whole head is to come within ten seconds of its first byte, however it drips: F3.
        """
        client = Client()
        client.wait(5)
        for byte in get("/" + "a" * 50)[:20]:
            client.send(bytes((byte,)))
            self.assertEqual(client.transport.written, b"")
            client.wait(0.5)
        self.refused(client, 408, Reason.REQUEST_TIMEOUT)

    def test_slow_second_head(self) -> None:
        """
        The same for the next request, from its own first byte: F3.
        """
        client = Client(FakeApplication(answering))
        client.send(get())
        client.wait(30)
        client.send(b"GET")
        client.wait(9.5)
        self.assertEqual(len(client.responses()), 1)
        client.wait(1)
        self.refused(client, 408, Reason.REQUEST_TIMEOUT)

    def test_keep_alive(self) -> None:
        """
        Between requests a connection may be idle for 75 seconds: F6.
        """
        client = Client(FakeApplication(answering))
        client.send(get())
        client.wait(74.5)
        self.assertFalse(client.transport.closed)
        client.wait(1)
        self.assertTrue(client.transport.closed)
        self.assertEqual(len(client.responses()), 1)

    def test_idle_body(self) -> None:
        """
        A body of which nothing comes for a minute times out: F4.
        """
        client = Client()
        client.send(post(b"hello")[:-5])
        client.wait(59.5)
        self.assertEqual(client.exchange.events, [])
        client.wait(1)
        self.assertEqual(client.exchange.events, ["failed request_timeout"])
        self.refused(client, 408, Reason.REQUEST_TIMEOUT)

    def test_slow_body(self) -> None:
        """
        One that drips times out after a few seconds of grace: F4.
        """
        client = Client()
        client.send(post(b"x" * 1000)[:-1000])
        for _ in range(19):
            client.send(b"x" * 10)
            client.wait(0.25)
        self.assertEqual(client.transport.written, b"")
        for _ in range(6):
            client.send(b"x" * 10)
            client.wait(0.25)
        self.refused(client, 408, Reason.REQUEST_TIMEOUT)

    def test_fast_enough_body(self) -> None:
        """
        One of 500 bytes a second does not.
        """
        client = Client()
        client.send(post(b"x" * 20000)[:-20000])
        for _ in range(160):
            client.send(b"x" * 125)
            client.wait(0.25)
        self.assertEqual(client.exchange.trailers, b"")
        client.exchange.answer()
        self.assertEqual(client.statuses(), [200])

    def test_without_rate(self) -> None:
        """
        Without a least rate, any byte in time is in time.
        """
        client = Client(limits=Limits(min_body_rate=0))
        client.send(post(b"x" * 10)[:-10])
        for _ in range(10):
            client.wait(50)
            client.send(b"x")
        self.assertEqual(client.exchange.body, b"x" * 10)

    def test_time_of_the_application(self) -> None:
        """
        The client is not blamed for the time that an answer takes.
        """
        client = Client()
        client.send(post(b"hello"))
        client.wait(1000)
        client.exchange.answer()
        self.kept(client)

    def test_time_not_read(self) -> None:
        """
        Nor for time in which it is not read: a pause stops the clock, also for what was on its way: C11.
        """
        client = Client()
        client.send(post(b"hello")[:-5])
        client.exchange.stream.pause_body()
        client.wait(1000)
        client.channel.data_received(b"he")
        client.wait(1000)
        self.assertEqual(client.exchange.events, ["body"])
        client.exchange.stream.resume_body()
        client.wait(50)
        client.send(b"llo")
        self.assertEqual(client.exchange.events, ["body", "body", "finished"])

    def test_paused_at_once(self) -> None:
        """
        The same when an exchange asks for a pause before it was given anything, and the body has begun to come.
        """
        client = Client(FakeApplication(lambda exchange: exchange.stream.pause_body()))
        client.send(post(b"hello")[:-3])
        client.wait(1000)
        self.assertEqual(client.transport.written, b"")

    def test_body_after_a_pause(self) -> None:
        """
        After a pause the client has a few seconds before its rate counts again.
        """
        client = Client()
        client.send(post(b"x" * 100)[:-99])
        client.exchange.stream.pause_body()
        client.wait(100)
        client.exchange.stream.resume_body()
        client.send(b"x")
        client.wait(4.5)
        self.assertEqual(client.transport.written, b"")
        client.send(b"x" * 97)
        client.wait(1)
        self.refused(client, 408, Reason.REQUEST_TIMEOUT)

    def test_stalled_reader(self) -> None:
        """
        A client that takes nothing of its response for a minute is cut off: F8.
        """
        client = Client()
        client.transport.stalled = True
        client.send(get())
        client.exchange.begin(body=b"x" * 70000)
        client.wait(59.5)
        self.assertFalse(client.transport.aborted)
        client.wait(1)
        self.assertTrue(client.transport.aborted)

    def test_reader_that_goes_on(self) -> None:
        """
        One that reads again in time is not.
        """
        client = Client()
        client.transport.stalled = True
        client.send(get())
        client.exchange.begin(body=b"x" * 70000)
        client.wait(50)
        client.transport.flow()
        client.wait(1000)
        self.assertFalse(client.transport.aborted)
        self.assertEqual(client.exchange.events, ["pause", "resume"])

    def test_stalled_reader_in_its_body(self) -> None:
        """
        A client that neither reads nor ends its body is cut off, whatever came first: F8.
        """
        for finish in (False, True):
            client = Client()
            client.transport.stalled = True
            client.send(post(b"hello")[:-3])
            client.exchange.begin(body=b"x" * 70000)
            if finish:
                client.send(b"llo")
            client.wait(61)
            self.assertTrue(client.transport.closed or client.transport.closing, finish)
            client.wait(61)
            self.assertTrue(client.transport.aborted, finish)

    def test_stalled_both_ways(self) -> None:
        """
        A client that is not read because its instance is slow, and does not read, is cut off: F8, C11.
        """
        for pause_first in (False, True):
            client = Client()
            client.transport.stalled = True
            client.send(post(b"hello")[:-3])
            if pause_first:
                client.exchange.stream.pause_body()
            client.exchange.begin(body=b"x" * 70000)
            if not pause_first:
                client.exchange.stream.pause_body()
            client.wait(59.5)
            self.assertFalse(client.transport.aborted)
            client.wait(1)
            self.assertTrue(client.transport.aborted)

    def test_read_again_both_ways(self) -> None:
        """
        When such a client reads again, its time is over no more: the instance may be as slow as it likes.
        """
        client = Client()
        client.transport.stalled = True
        client.send(post(b"hello")[:-3])
        client.exchange.stream.pause_body()
        client.exchange.begin(body=b"x" * 70000)
        client.transport.flow()
        client.wait(1000)
        self.assertFalse(client.transport.aborted)
        client.exchange.stream.resume_body()
        client.send(b"llo")
        self.assertEqual(client.exchange.trailers, b"")

    def test_small_last_response(self) -> None:
        """
        A client that does not take even a little of its last response is cut off.
        """
        client = Client()
        client.transport.stalled = True
        client.send(get())
        client.exchange.begin(body=b"x" * 100)
        client.exchange.stream.abort_response()
        client.wait(59.5)
        self.assertFalse(client.transport.aborted)
        client.wait(1)
        self.assertTrue(client.transport.aborted)

    def test_stalled_last_response(self) -> None:
        """
        A client that does not take its last response is cut off too.
        """
        client = Client()
        client.transport.stalled = True
        client.send(get())
        client.exchange.begin(body=b"x" * 70000)
        client.exchange.stream.abort_response()
        client.wait(61)
        self.assertTrue(client.transport.aborted)


class SlowReaderTests(_ChannelMixin):
    """
    Tests for clients that read slowly but surely: what their kernel has acknowledged is asked for. That needs a real
    buffer, so there is a pair of sockets for it.
    """

    def setUp(self) -> None:
        """
        Make a pair whose one end can be asked how much the other has not read.
        """
        self.near, self.far = socket.socketpair()
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)
        self.near.send(b"x" * 100)

    def stalled_client(self) -> Client:
        """
        A client that has not read what it was sent.
        """
        client = Client(transport=FakeTransport(handle=self.near))
        client.transport.stalled = True
        client.send(get())
        client.exchange.begin(body=b"x" * 70000)
        return client

    def test_progress(self) -> None:
        """
        A client that has taken something, if not enough for us to write more, is given more time: F8.
        """
        client = self.stalled_client()
        for _ in range(5):
            client.wait(59)
            os.read(self.far.fileno(), 10)
            self.near.send(b"x" * 7)
        self.assertFalse(client.transport.aborted)

    def test_no_progress(self) -> None:
        """
        One that has taken nothing is not: F8.
        """
        client = self.stalled_client()
        client.wait(60.5)
        self.assertTrue(client.transport.aborted)

    def test_last_response(self) -> None:
        """
        A client that is still reading its last response when there is nothing more to write gets the time it needs.
        """
        for request in (get("/", "Connection: close"), b"GET / HTTP/1.0\r\n\r\n"):
            client = Client(transport=FakeTransport(handle=self.near))
            client.send(request)
            client.exchange.answer(b"x" * 100000)
            for _ in range(5):
                client.wait(4.75)
                os.read(self.far.fileno(), 10)
                self.near.send(b"x" * 7)
            self.assertFalse(client.transport.closed)
            client.wait(15)
            self.assertTrue(client.transport.closed)

    def test_everything_read(self) -> None:
        """
        One that has read all of it, and does not close, gets five seconds: A33.
        """
        os.read(self.far.fileno(), 200)
        client = Client(transport=FakeTransport(handle=self.near))
        client.send(b"GET\r\n\r\n")
        client.wait(5.5)
        self.assertTrue(client.transport.closed)


class BackpressureTests(_ChannelMixin):
    """
    Tests for slow readers on either side.
    """

    def test_slow_client(self) -> None:
        """
        An exchange is told when its client reads slowly, and when it has caught up: C11.
        """
        client = Client()
        client.send(get())
        client.exchange.begin()
        client.transport.stalled = True
        client.exchange.stream.send_body(b"x" * 65000)
        self.assertEqual(client.exchange.events, [])
        client.exchange.stream.send_body(b"x" * 1000)
        self.assertEqual(client.exchange.events, ["pause"])
        client.transport.flow()
        self.assertEqual(client.exchange.events, ["pause", "resume"])

    def test_slow_from_the_beginning(self) -> None:
        """
        One that sends too much while it is being asked is told as soon as it can be.
        """

        def begin(exchange: FakeExchange) -> None:
            exchange.begin(body=b"x" * 70000)

        application = FakeApplication(begin)
        client = Client(application)
        client.transport.stalled = True
        client.send(get())
        self.assertEqual(application.exchanges[0].events, ["pause"])

    def test_slow_instance(self) -> None:
        """
        A client is not read while nobody wants its body: C11.
        """
        client = Client()
        client.send(post(b"hello world")[:-6])
        client.exchange.stream.pause_body()
        client.exchange.stream.pause_body()
        self.assertTrue(client.transport.paused)
        client.send(b" world")
        self.assertEqual(client.exchange.body, b"hello")
        client.exchange.stream.resume_body()
        self.assertFalse(client.transport.paused)
        client.deliver()
        self.assertEqual(client.exchange.body, b"hello world")

    def test_body_that_is_here_already(self) -> None:
        """
        When the rest of a body was here before the pause, the client is read again, so that its end is seen: C12.
        """
        client = Client(FakeApplication(lambda exchange: exchange.stream.pause_body()))
        client.send(post(b"hello"))
        self.assertFalse(client.transport.paused)

    def test_too_late(self) -> None:
        """
        To pause or resume a body that has ended changes nothing.
        """
        client = Client()
        client.send(get())
        client.exchange.stream.pause_body()
        self.assertFalse(client.transport.paused)
        client.exchange.stream.resume_body()
        client.wait(1000)
        client.exchange.answer()
        self.kept(client)

    def test_next_request_waits(self) -> None:
        """
        While a client does not read, its next request waits: C11.
        """
        client = Client()
        client.send(get("/a"))
        client.transport.stalled = True
        client.exchange.answer(b"x" * 70000)
        client.send(get("/b"))
        self.assertEqual(client.paths, [b"/a"])
        client.transport.flow()
        self.assertEqual(client.paths, [b"/a", b"/b"])

    def test_waiting_requests(self) -> None:
        """
        So do many, up to a limit.
        """
        application = FakeApplication(lambda exchange: exchange.answer(b"x" * 1000))
        client = Client(application)
        client.transport.stalled = True
        client.send(get() * 1000)
        self.assertLess(len(application.exchanges), 66)
        client.send(get("/", "X-A: " + "b" * 10000) * 10)
        client.send(get("/last"))
        self.assertTrue(client.transport.paused)
        for _ in range(20):
            client.transport.flow()
            client.deliver()
        self.assertEqual(len(client.responses()), 1011)
        self.assertFalse(client.transport.paused)

    def test_long_head_waits(self) -> None:
        """
        A client is read again after such a wait even if what it has sent is no whole head yet.
        """
        client = Client()
        client.send(get("/a"))
        client.transport.stalled = True
        client.exchange.answer(b"x" * 70000)
        client.send(get("/" + "b" * 16000, *(f"X-{number}: {'c' * 16000}" for number in range(4)))[:-2])
        self.assertTrue(client.transport.paused)
        client.transport.flow()
        self.assertFalse(client.transport.paused)
        client.send(b"\r\n")
        self.assertEqual(len(client.paths), 2)


class TunnelTests(_ChannelMixin):
    """
    Tests for upgraded connections.
    """

    HANDSHAKE = get("/", "Connection: Upgrade", "Upgrade: websocket")

    def upgraded(self, client: Client) -> bytes:
        """
        Answer the handshake.

        @return: what the client sent behind it.
        """
        client.send(self.HANDSHAKE)
        early = client.channel.upgrade(b"Upgrade: websocket\r\n")
        self.assertEqual(client.statuses(), [101])
        return early

    def test_bytes(self) -> None:
        """
        After a 101 bytes pass both ways as they are: B2, B7.
        """
        client = Client()
        self.assertEqual(self.upgraded(client), b"")
        before = len(client.transport.written)
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        client.exchange.stream.send_body(b"\0\xff")
        self.assertEqual(client.exchange.body, b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(client.transport.written[before:], b"\0\xff")
        self.assertEqual(repr(client.channel), "<Channel 192.0.2.7 [tunnel, 1 requests]>")

    def test_end(self) -> None:
        """
        When the instance ends the tunnel the connection ends in stages, also where its client wanted nothing after the
        handshake: it may be sending.
        """
        for connection in ("Upgrade", "Upgrade, close"):
            client = Client()
            client.send(get("/", f"Connection: {connection}", "Upgrade: websocket"))
            client.channel.upgrade(b"Upgrade: websocket\r\n")
            client.exchange.stream.end_response(b"")
            self.assertEqual((client.transport.half_closing, client.transport.closed), (True, False))

    def test_early_bytes(self) -> None:
        """
        What came behind the handshake is held until then: B7.
        """
        client = Client()
        client.send(self.HANDSHAKE + b"early")
        self.assertEqual(client.exchange.body, b"")
        self.assertEqual(client.channel.upgrade(b""), b"early")

    def test_many_early_bytes(self) -> None:
        """
        If that was so much that the client was not read, it is read again.
        """
        client = Client()
        client.send(self.HANDSHAKE)
        client.send(b"x" * 70000)
        self.assertTrue(client.transport.paused)
        self.assertEqual(len(client.channel.upgrade(b"")), 70000)
        self.assertFalse(client.transport.paused)

    def test_refused(self) -> None:
        """
        After a refused handshake nothing is read: the bytes may be a tunnel's: B7.
        """
        client = Client()
        client.send(self.HANDSHAKE + get("/smuggled"))
        client.exchange.answer(status=403)
        self.assertEqual(self.one(client).fields["connection"], "close")
        self.closed(client)

    def test_other_upgrade(self) -> None:
        """
        An upgrade that nobody takes up leaves an HTTP connection: B1, B2.
        """
        client = Client()
        client.send(get("/a", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c") + get("/b"))
        client.exchange.answer()
        self.assertEqual(client.paths, [b"/a", b"/b"])

    def test_ended_by_instance(self) -> None:
        """
        When the instance ends the tunnel, the client gets what was sent, and the end.
        """
        client = Client()
        self.upgraded(client)
        client.exchange.stream.send_body(b"bye")
        client.exchange.stream.end_response(b"")
        self.assertTrue(client.transport.written.endswith(b"bye"))
        self.closed(client)

    def test_ended_by_client(self) -> None:
        """
        When the client ends it, the exchange is told.
        """
        client = Client()
        self.upgraded(client)
        client.end()
        client.go()
        self.assertEqual(client.exchange.events, ["gone"])

    def test_failed(self) -> None:
        """
        When the instance fails, the tunnel ends.
        """
        client = Client()
        self.upgraded(client)
        client.exchange.stream.abort_response()
        self.assertTrue(client.transport.closed)
        client.channel.data_received(b"more")
        self.assertEqual(client.exchange.body, b"")

    def test_backpressure(self) -> None:
        """
        Both directions can be held back: C11.
        """
        client = Client()
        self.upgraded(client)
        client.exchange.stream.pause_body()
        self.assertTrue(client.transport.paused)
        client.exchange.stream.resume_body()
        self.assertFalse(client.transport.paused)
        client.transport.stalled = True
        client.exchange.stream.send_body(b"x" * 70000)
        client.transport.flow()
        self.assertEqual(client.exchange.events, ["pause", "resume"])

    def test_time(self) -> None:
        """
        A tunnel's silence is judged on the other side; a client that does not read is cut off: B8, F8.
        """
        for paused in (False, True):
            client = Client()
            self.upgraded(client)
            client.wait(1000)
            self.assertFalse(client.transport.aborted)
            client.transport.stalled = True
            client.exchange.stream.send_body(b"x" * 70000)
            if paused:
                client.exchange.stream.pause_body()
            client.wait(61)
            self.assertTrue(client.transport.aborted)


class DrainTests(_ChannelMixin):
    """
    Tests for the gateway's shutdown.
    """

    def test_idle(self) -> None:
        """
        An idle connection stays open for a moment, then it is closed: L9.
        """
        client = Client()
        client.channel.drain(False)
        self.assertFalse(client.transport.closed)
        client.channel.drain(True)
        self.assertTrue(client.transport.closed)

    def test_last_request(self) -> None:
        """
        A request that comes in that moment is answered, and is the last: L9.
        """
        client = Client()
        client.context.draining = True
        client.channel.drain(False)
        client.send(get("/a") + get("/b"))
        client.exchange.answer()
        self.assertEqual(self.one(client).fields["connection"], "close")
        self.closed(client)

    def test_running(self) -> None:
        """
        A request in progress is finished, and told that it is the last if there is time: L9.
        """
        client = Client()
        client.send(get())
        client.context.draining = True
        client.channel.drain(True)
        self.assertFalse(client.transport.closed)
        client.exchange.answer(b"done")
        response = self.one(client)
        self.assertEqual((response.body, response.fields["connection"]), (b"done", "close"))
        self.closed(client)

    def test_response_under_way(self) -> None:
        """
        A response under way is finished, and then the connection closes: L9.
        """
        client = Client()
        client.send(get())
        client.exchange.begin(body=b"a")
        client.context.draining = True
        client.channel.drain(True)
        client.exchange.stream.send_body(b"b")
        client.exchange.stream.end_response(b"")
        self.assertEqual((self.one(client).body, self.one(client).complete), (b"ab", True))
        self.closed(client)

    def test_response_under_way_before_the_body(self) -> None:
        """
        If its request's body is still to come, then in stages: A33, L9.
        """
        client = Client()
        client.send(post(b"hello")[:-3])
        client.exchange.begin(body=b"a")
        client.context.draining = True
        client.channel.drain(True)
        client.exchange.stream.end_response(b"")
        self.assertTrue(client.transport.half_closed)
        self.assertFalse(client.transport.closed)

    def test_head_under_way(self) -> None:
        """
        A head that has begun to come may come.
        """
        client = Client()
        client.send(get()[:9])
        client.channel.drain(True)
        self.assertFalse(client.transport.closed)
        client.send(get()[9:])
        client.exchange.answer()
        self.assertEqual(client.statuses(), [200])

    def test_lingering(self) -> None:
        """
        A connection that only waits for its client's end is not waited for.
        """
        client = Client()
        client.send(b"GET\r\n\r\n")
        client.channel.drain(False)
        self.assertFalse(client.transport.closed)
        client.channel.drain(True)
        self.assertTrue(client.transport.closed)

    def test_tunnel(self) -> None:
        """
        A tunnel goes on.
        """
        client = Client()
        client.send(TunnelTests.HANDSHAKE)
        client.channel.upgrade(b"")
        client.channel.drain(True)
        client.send(b"x")
        self.assertEqual(client.exchange.body, b"x")


class PropertyTests(SynchronousTestCase):
    """
    Properties of L{siger.http.h1.channel.Channel}.
    """

    def seen(self, data: bytes, lengths: list[int]) -> tuple[list[tuple[bytes, bytes, bytes | None]], list[int], bool]:
        """
        The requests an application sees in C{data}, their statuses, and whether the connection is over.
        """

        def wait(exchange: FakeExchange) -> None:
            if exchange.head.fields.chunked or exchange.head.fields.content_length:
                exchange.on_finished = lambda finished: finished.answer(finished.body)
            else:
                answering(exchange)

        application = FakeApplication(wait)
        client = Client(application)
        client.send(data, lengths)
        methods = " ".join(exchange.head.method.decode() for exchange in application.exchanges)
        requests = [(one.head.method + one.head.path, one.body, one.trailers) for one in application.exchanges]
        return requests, [one.status for one in client.responses(methods)], client.transport.half_closed

    @properties
    @given(
        st.lists(
            st.sampled_from(
                [
                    get("/a"),
                    get("/b", "Connection: close"),
                    get("/c/%2e./d", "X-A: b"),
                    b"\r\n" + get("/e"),
                    post(b"hello"),
                    post(b"\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
                    chunked(b"hello", b"\r\n0\r\n\r\n") + b"0\r\nX-T: u\r\n\r\n",
                    b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
                    b"HEAD / HTTP/1.0\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: a.test\r\nX_B: c\r\n\r\n",
                    b"GET /\r\n\r\n",
                    chunked(b"hello") + b"5 \r\n",
                    b"\r\n" * 5,
                ]
            ),
            max_size=6,
        ),
        splits(40),
    )
    def test_any_split(self, messages: list[bytes], lengths: list[int]) -> None:
        """
        However a connection's bytes are cut into pieces, the same requests are seen and get the same answers: A36.
        """
        data = b"".join(messages)
        whole, expected, over = self.seen(data, [len(data) or 1])
        requests, statuses, cut_over = self.seen(data, lengths)
        self.assertEqual((statuses, cut_over), (expected, over))
        if expected and expected[-1] >= 400:
            # Of a body that turns out to be broken, more or less may have been passed on.
            self.assertEqual([each[0] for each in requests], [each[0] for each in whole])
        else:
            self.assertEqual(requests, whole)

    @properties
    @given(
        noise(
            b"GET / HTTP/1.1\r\nHost: a.test\r\n",
            b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\na\r\n",
            b"\r\n\r\n",
            b"Connection: close",
        ),
        splits(30),
    )
    def test_any_bytes(self, data: bytes, lengths: list[int]) -> None:
        """
        Any bytes are requests, or refused, or waited for; nothing is raised, and there are no more answers than
        requests and one refusal: L7.
        """
        whole, expected, over = self.seen(data, [len(data) or 1])
        requests, statuses, cut_over = self.seen(data, lengths)
        self.assertEqual((statuses, cut_over), (expected, over))
        self.assertLessEqual(len(statuses), len(requests) + 1)
        self.assertEqual([each[0] for each in requests], [each[0] for each in whole])


ARRIVALS = ["get", "post", "body", "end-body", "chunk", "long", "half-close"]
SAID = ["answer", "begin", "more", "finish", "abort", "pause", "resume", "interim"]
STEPS = [*ARRIVALS, *SAID, "stall", "flow", "wait", "drain", "go"]


class LifeTests(SynchronousTestCase):
    """
    Any order of events on one connection.
    """

    @properties
    @given(
        st.lists(
            st.sampled_from(STEPS),
            max_size=25,
        )
    )
    def test_any_order(self, steps: list[str]) -> None:
        """
        Whatever happens in whatever order, nothing is raised, every exchange hears its end at most once, and nothing is
        written after the end.
        """
        client = Client()
        gone = False
        for step in steps:
            if gone:
                break
            gone = step == "go"
            self.take(client, step)
        if not gone:
            client.go()
        for exchange in client.exchanges:
            ends = [event for event in exchange.events if event.startswith(("gone", "failed"))]
            self.assertLessEqual(len(ends), 1, (steps, exchange.events))
            if not exchange.answered:
                self.assertEqual(len(ends), 1, (steps, exchange.events))
        self.assertEqual(client.context.channels, set())

    def take(self, client: Client, step: str) -> None:
        """
        Let one of these happen.
        """
        exchange = client.exchange if client.exchanges else None
        if step == "get":
            client.send(get())
        elif step == "post":
            client.send(post(b"hello")[:-5])
        elif step == "body":
            client.send(b"he")
        elif step == "end-body":
            client.send(b"llo")
        elif step == "chunk":
            client.send(chunked(b"abc"))
        elif step == "long":
            client.send(b"x" * 70000)
        elif step == "stall":
            client.transport.stalled = True
        elif step == "flow":
            client.transport.flow()
            client.deliver()
        elif step == "half-close":
            client.end()
        elif step == "go":
            client.go()
        elif step == "wait":
            client.wait(15)
        elif step == "drain":
            client.channel.drain(True)
        elif exchange is not None and not exchange.over and "gone" not in exchange.events:
            self.say(exchange, step)

    def say(self, exchange: FakeExchange, step: str) -> None:
        """
        Let an exchange say something.
        """
        stream = exchange.stream
        if step == "answer" and not exchange.answered:
            exchange.answer(b"x" * 1000)
        elif step == "begin" and not exchange.answered:
            exchange.begin(body=b"x" * 70000)
        elif step == "more" and exchange.answered:
            stream.send_body(b"x" * 40000)
        elif step in ("finish", "abort") and exchange.answered:
            exchange.over = True
            if step == "finish":
                stream.end_response(b"")
            else:
                stream.abort_response()
        elif step == "pause":
            stream.pause_body()
        elif step == "resume":
            stream.resume_body()
        elif step == "interim":
            stream.send_interim(103, b"X-A: b\r\n")
