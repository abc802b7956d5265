"""
What other parsers make of the bytes that Siger sent to a backend.

A backend's parser is not ours to choose. Where llhttp, h11 and twisted.web would disagree on how many requests there
are, or on their methods, targets and bodies, one of them can be made to see a request that Siger never routed.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable

import h11
import httptools
from twisted.internet.testing import StringTransport
from twisted.web import http

from tests.integration.wire import RequestReader

__all__ = ["OPINIONS", "Summary", "disagreements"]

Summary = tuple[bytes, bytes, bytes]


def own_reading(data: bytes) -> list[Summary]:
    """
    Complete requests by L{RequestReader}.
    """
    reader = RequestReader()
    reader.feed(data)
    return [(one.word(0), one.word(1), bytes(one.body)) for one in reader.messages if one.complete]


def by_h11(data: bytes) -> list[Summary]:
    """
    Complete requests by h11, which is answered after each so that it reads on.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    found: list[Summary] = []
    head, body = None, b""
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED) and connection.their_state is not None:
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            found.append((bytes(head.method), bytes(head.target), body))
            connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            if connection.our_state is not h11.SEND_BODY:
                break
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                break
            connection.start_next_cycle()
    return found


class _Callbacks:
    """
    Collects what httptools calls back with; targets come in pieces.
    """

    def __init__(self) -> None:
        self.found: list[Summary] = []
        self.method: Callable[[], bytes] = bytes

    def on_message_begin(self) -> None:
        self.target, self.body = b"", b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.found.append((self.method(), self.target, self.body))


def by_httptools(data: bytes) -> list[Summary]:
    """
    Complete requests by llhttp in its strict mode.
    """
    callbacks = _Callbacks()
    parser = httptools.HttpRequestParser(callbacks)
    callbacks.method = parser.get_method
    with contextlib.suppress(httptools.HttpParserUpgrade):
        parser.feed_data(data)
    return callbacks.found


class _Recorder(http.Request):
    """
    Writes itself down and answers, which lets the channel read on.
    """

    def process(self) -> None:
        assert self.content is not None
        self.channel.found.append((self.method, self.uri, self.content.read()))
        self.finish()


class _Channel(http.HTTPChannel):
    """
    twisted.web's own channel without its timers.
    """

    timeOut = None
    requestFactory = _Recorder

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Summary] = []


def by_twisted(data: bytes) -> list[Summary]:
    """
    Complete requests by twisted.web.
    """
    channel = _Channel()
    channel.makeConnection(StringTransport())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BytesWarning)  # twisted.web's own comparisons, under python -b
        channel.dataReceived(data)
    return channel.found


OPINIONS: dict[str, Callable[[bytes], list[Summary]]] = {
    "h11": by_h11,
    "httptools": by_httptools,
    "twisted.web": by_twisted,
}


def disagreements(data: bytes) -> list[str]:
    """
    Every parser that reads C{data} otherwise than we do, in words.
    """
    ours = own_reading(data)
    found = []
    for name, opinion in OPINIONS.items():
        try:
            theirs = opinion(data)
        except httptools.HttpParserInvalidMethodError:
            continue  # llhttp knows a fixed list; an unknown token is no disagreement
        except (h11.RemoteProtocolError, httptools.HttpParserError) as error:
            found.append(f"{name} refuses what was forwarded: {error}")
            continue
        if theirs != ours:
            found.append(f"{name} reads {_brief(theirs)}, we read {_brief(ours)}")
    return found


def _brief(summaries: list[Summary]) -> str:
    return str([(method, target[:60], len(body)) for method, target, body in summaries])
