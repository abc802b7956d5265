"""
Stand-ins for the two sides of L{siger.http.stream}, and for the transport below them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from siger.http.problem import send_problem

if TYPE_CHECKING:
    from siger.errors import Reason
    from siger.http.request import RequestHead
    from siger.http.stream import Application, Exchange, Stream
    from siger.http.transport import Transport

__all__ = ["FakeApplication", "FakeExchange", "FakeHandle", "FakeStream", "FakeTransport"]

_HIGH_WATER = 65536


class FakeStream:
    """
    A stream that keeps what it was told, and fails a test that breaks the rules a channel relies on.

    @ivar events: the names of the calls, in order.
    """

    def __init__(self, peer: bytes = b"192.0.2.7", secure: bool = False) -> None:
        self.peer = peer
        self.secure = secure
        self.version = 11
        self.reason: Reason | None = None
        self.request_id = b""
        self.added = b""
        self.grpc = False
        self.events: list[str] = []
        self.interim: list[tuple[int, bytes]] = []
        self.status: int | None = None
        self.phrase = b""
        self.lines = b""
        self.length: int | None = None
        self.body = b""
        self.trailers = b""
        self.ended = False
        self.aborted = False
        self.body_paused = False
        self.body_rests = False

    def send_interim(self, status: int, lines: bytes) -> None:
        """
        Keep a 1xx response.
        """
        assert self.status is None, "interim response after the final head"
        self.events.append("interim")
        self.interim.append((status, lines))

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        Keep the final head.
        """
        assert self.status is None, "second final head"
        assert lines == b"" or lines.endswith(b"\r\n"), "broken field lines"
        self.events.append("response")
        self.status, self.phrase, self.lines, self.length, self.body = status, phrase, lines, length, body
        self.ended = end

    def send_body(self, data: bytes) -> None:
        """
        Keep more of the body.
        """
        assert self.status is not None, "body before head"
        assert not self.ended, "body after end"
        self.events.append("body")
        self.body += data

    def end_response(self, trailers: bytes) -> None:
        """
        Note the end.
        """
        assert self.status is not None, "end before head"
        assert not self.ended, "second end"
        self.events.append("end")
        self.trailers = trailers
        self.ended = True

    def abort_response(self) -> None:
        """
        Note the unclean end.
        """
        self.events.append("abort")
        self.aborted = True

    def pause_body(self) -> None:
        """
        Note that no more body is wanted.
        """
        self.events.append("pause_body")
        self.body_paused = True

    def let_body_rest(self) -> None:
        """
        Note that it may take its time.
        """
        self.body_rests = True

    def resume_body(self) -> None:
        """
        Note that body is wanted again.
        """
        self.events.append("resume_body")
        self.body_paused = False

    def fields(self) -> dict[str, list[str]]:
        """
        The response's fields by lower-case name.
        """
        found: dict[str, list[str]] = {"x-request-id": [self.request_id.decode("ascii")]} if self.request_id else {}
        for line in self.lines.decode("latin-1").split("\r\n")[:-1]:
            name, _, value = line.partition(": ")
            found.setdefault(name.lower(), []).append(value)
        return found


class FakeExchange:
    """
    An exchange that keeps what it was told; a test answers on its stream.

    @ivar events: what it was told, in order.
    @ivar body: what it got of the request's body.
    """

    def __init__(self, head: RequestHead, stream: Stream) -> None:
        self.head = head
        self.stream = stream
        self.events: list[str] = []
        self.body = b""
        self.trailers: bytes | None = None
        self.on_body: Callable[[FakeExchange], None] = lambda exchange: None
        self.on_finished: Callable[[FakeExchange], None] = lambda exchange: None
        self.answered = False
        self.over = False

    def answer(self, body: bytes = b"", status: int = 200) -> None:
        """
        Send a whole response.
        """
        self.answered = self.over = True
        self.stream.send_response(status, b"OK", b"", None, body, True)

    def begin(self, length: int | None = None, body: bytes = b"", status: int = 200) -> None:
        """
        Send the beginning of a response.
        """
        self.answered = True
        self.stream.send_response(status, b"OK", b"", length, body, False)

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        Keep some of the body.
        """
        assert data, "empty body bytes"
        assert self.trailers is None, "body after its end"
        self.events.append("last body" if end else "body")
        self.body += data
        if end:
            self.trailers = b""
        self.on_body(self)

    def body_finished(self, trailers: bytes) -> None:
        """
        Note the body's end.
        """
        assert self.trailers is None, "second end of body"
        self.events.append("finished")
        self.trailers = trailers
        self.on_finished(self)

    def body_failed(self, reason: Reason) -> None:
        """
        Note it, and end the response as the seam asks for.
        """
        self.events.append(f"failed {reason.code}")
        if self.answered:
            self.stream.abort_response()
        else:
            self.answered = True
            send_problem(self.stream, self.head.method, reason, b"")

    def client_gone(self) -> None:
        """
        Note it.
        """
        self.events.append("gone")

    def pause_response(self) -> None:
        """
        Note it.
        """
        self.events.append("pause")

    def resume_response(self) -> None:
        """
        Note it.
        """
        self.events.append("resume")


class FakeApplication:
    """
    Keeps the requests that it is asked to answer.

    @ivar exchanges: one a request, in order.
    @ivar refusals: the heads that could not be read.
    @ivar on_request: called with each exchange; may answer it at once.
    """

    def __init__(self, on_request: Callable[[FakeExchange], None] = lambda exchange: None) -> None:
        self.on_request = on_request
        self.exchanges: list[FakeExchange] = []
        self.refusals: list[Reason] = []

    def __call__(self, head: RequestHead, stream: Stream) -> Exchange | None:
        """
        See L{siger.http.stream.Application}.
        """
        exchange = FakeExchange(head, stream)
        self.exchanges.append(exchange)
        self.on_request(exchange)
        return None if exchange.over else exchange

    def refuse(self, stream: Stream, reason: Reason, detail: str) -> None:
        """
        See L{siger.http.stream.Application}.
        """
        self.refusals.append(reason)
        send_problem(stream, b"GET", reason, b"", detail)


class FakeHandle:
    """
    A socket that notes the options that are set.
    """

    def __init__(self) -> None:
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """
        Note it.
        """
        self.options.append((level, option, value))


class FakeTransport:
    """
    A connection's transport that keeps Twisted's promises: it pauses its producer when the peer does not read, ends
    only when no producer is registered, and ignores what is written after that.

    @ivar written: what reached the peer.
    @ivar stalled: the peer does not read now.
    @ivar paused: the protocol wants nothing delivered.
    @ivar closing: C{loseConnection} was called.
    @ivar half_closing: C{loseWriteConnection} was called.
    @ivar aborted: C{abortConnection} was called.
    """

    def __init__(self, handle: Any = None) -> None:
        """
        @param handle: what C{getHandle} gives.
        """
        self.written = b""
        self.queued = b""
        self.stalled = False
        self.paused = False
        self.closing = False
        self.half_closing = False
        self.aborted = False
        self.producer: Any = None
        self.producer_paused = False
        self.handle = handle

    @property
    def closed(self) -> bool:
        """
        Whether the connection is over.
        """
        return self.aborted or (self.closing and self.producer is None and not self.queued)

    @property
    def half_closed(self) -> bool:
        """
        Whether the peer has seen the end of what it reads.
        """
        return self.closed or (self.half_closing and self.producer is None and not self.queued)

    def write(self, data: bytes) -> None:
        """
        Send, or queue.
        """
        assert type(data) is bytes
        if self.closing or self.half_closing or self.aborted:
            return
        if not self.stalled:
            self.written += data
            return
        self.queued += data
        if len(self.queued) > _HIGH_WATER and self.producer is not None and not self.producer_paused:
            self.producer_paused = True
            self.producer.pauseProducing()

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        """
        The same for pieces.
        """
        self.write(b"".join(pieces))

    def flow(self) -> None:
        """
        The peer reads everything, and goes on reading.
        """
        self.stalled = False
        self.written, self.queued = self.written + self.queued, b""
        if self.producer_paused and self.producer is not None:
            self.producer_paused = False
            self.producer.resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        Tell this producer when the peer does not read.
        """
        assert streaming
        assert self.producer is None, "second producer"
        self.producer = producer

    def unregisterProducer(self) -> None:
        """
        Tell it no more.
        """
        self.producer = None

    def loseConnection(self) -> None:
        """
        End after what is queued.
        """
        self.closing = True

    def loseWriteConnection(self) -> None:
        """
        End what the peer reads, after what is queued.
        """
        self.half_closing = True

    def abortConnection(self) -> None:
        """
        End now.
        """
        self.aborted = True

    def pauseProducing(self) -> None:
        """
        Deliver nothing for now.
        """
        self.paused = True

    def resumeProducing(self) -> None:
        """
        Deliver again.
        """
        self.paused = False

    def getHandle(self) -> Any:
        """
        What stands for the socket.
        """
        return self.handle


if TYPE_CHECKING:
    _fits: Stream = FakeStream()
    _answers: Application = FakeApplication()
    _carries: Transport = FakeTransport()
