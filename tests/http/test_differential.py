"""
Siger's reading of messages against other people's, on messages that are nearly right.

C{SIGER_FUZZ_EXAMPLES} sets how many are tried by each test; with it they are new ones each time.
"""

from __future__ import annotations

import os
from typing import Any

from attrs import define
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.limits import Limits
from siger.config.settings.services import Timeouts
from siger.errors import Reason
from siger.http.context import ChannelContext
from siger.http.deadlines import Deadlines
from siger.http.request import RequestHead
from siger.http.response import ResponseHead, ResponseParser
from siger.http.server import ServerFactory
from siger.http.stream import Stream
from siger.proxy.connection import UpstreamConnection
from tests.http.independent import (
    Seen,
    normal_form,
    requests_by_h11,
    requests_by_httptools,
    responses_by_h11,
)
from tests.http.mutations import REQUESTS, RESPONSES, cuts, mutated

ACTED_ON = {b"content-length", b"transfer-encoding", b"connection", b"proxy-connection", b"upgrade"}
"""
Trailers that llhttp, which reads them as it reads fields, obeys; Siger drops them.
"""

EXAMPLES = os.environ.get("SIGER_FUZZ_EXAMPLES")

fuzzed = settings(
    max_examples=int(EXAMPLES or 800),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@define
class Taken:
    """
    One request that the channel handed on, and its exchange at the same time.
    """

    application: Any
    head: RequestHead
    stream: Stream
    body: bytes = b""
    trailers: bytes = b""

    def body_received(self, data: bytes, end: bool = False) -> None:
        self.body += data

    def body_finished(self, trailers: bytes) -> None:
        self.trailers = trailers
        self.complete()

    def complete(self) -> None:
        """
        Keep it, and answer.
        """
        self.application.taken.append(self)
        self.stream.send_response(200, b"OK", b"", 0, b"", True)

    def body_failed(self, reason: Reason) -> None:
        self.application.refused = reason
        self.stream.send_response(reason.status, b"No", b"", 0, b"", True)

    def client_gone(self) -> None: ...

    def pause_response(self) -> None: ...

    def resume_response(self) -> None: ...


class Recorder:
    """
    An application that answers each request once it is complete.

    @ivar refused: why the channel reads no further.
    """

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.refused: Reason | None = None

    def __call__(self, head: RequestHead, stream: Stream) -> Taken | None:
        taken = Taken(self, head, stream)
        if head.fields.chunked or head.fields.content_length:
            return taken
        taken.complete()
        return None

    def refuse(self, stream: Stream, reason: Reason, detail: str) -> None:
        self.refused = reason
        stream.send_response(reason.status, b"No", b"", 0, b"", True)

    def outcome(self) -> list[Any]:
        """
        What can be compared.
        """
        seen: list[Any] = [
            (one.head.method, one.head.path, one.head.query, one.head.host, one.head.fields.items(), one.body)
            for one in self.taken
        ]
        return [*seen, self.refused is None]


def read_requests(pieces: list[bytes]) -> Recorder:
    """
    What a channel makes of a connection on which these pieces arrive.
    """
    recorder = Recorder()
    context = ChannelContext(recorder, Limits(), Deadlines(Clock()))
    protocol = ServerFactory(context).buildProtocol(IPv4Address("TCP", "192.0.2.1", 1234))
    assert protocol is not None
    transport = StringTransport()
    protocol.makeConnection(transport)
    for piece in pieces:
        if piece and not transport.disconnecting:
            protocol.dataReceived(piece)
    return recorder


class RequestTests(SynchronousTestCase):
    """
    Requests.
    """

    @given(raw=mutated(REQUESTS))
    @fuzzed
    def test_others_agree(self, raw: bytes) -> None:
        """
        What Siger takes for a request, h11 and llhttp take for the same one: method, target, fields and body.
        """
        ours = read_requests([raw]).taken
        by_h11, by_httptools = requests_by_h11(raw), requests_by_httptools(raw)
        note(f"h11: {by_h11}\nhttptools: {by_httptools}")
        self.assert_all_same(ours, by_h11, "h11", raw)
        misled = next((index for index, one in enumerate(by_h11) if ACTED_ON & {*one.trailers}), len(ours))
        self.assert_all_same(ours[:misled], by_httptools, "httptools", raw)

    def assert_all_same(self, ours: list[Taken], theirs: list[Seen], name: str, raw: bytes) -> None:
        """
        Compare as far as the other reads.
        """
        for index, one in enumerate(ours):
            self.assertLess(index, len(theirs), f"{name} sees no request {index} in {raw!r}")
            self.assert_same(one, theirs[index], f"{name}, request {index} in {raw!r}")
            if theirs[index].opaque:
                break

    def assert_same(self, ours: Taken, theirs: Seen, where: str) -> None:
        """
        Compare one request.
        """
        head = ours.head
        authority, path, query = normal_form(theirs.target)
        self.assertEqual((head.method, head.path, head.query), (theirs.method, path, query), where)
        host = authority or dict(theirs.fields).get(b"host", b"").removesuffix(b":")
        self.assertEqual(head.host, host, where)
        fields = [_plain(name.lower(), value) for name, value in head.fields.items()]
        self.assertEqual(fields, [_plain(name, value) for name, value in theirs.fields], where)
        if not theirs.opaque:
            self.assertEqual(ours.body, theirs.body, where)

    @given(raw=mutated(REQUESTS), data=st.data())
    @fuzzed
    def test_splits(self, raw: bytes, data: st.DataObject) -> None:
        """
        The same bytes are the same requests, and are refused at the same point, however they are split.
        """
        whole = read_requests([raw])
        split = read_requests(data.draw(cuts(raw)))
        self.assertEqual(split.outcome(), whole.outcome())

    @given(raw=mutated(REQUESTS), data=st.data())
    @fuzzed
    def test_split_statuses(self, raw: bytes, data: st.DataObject) -> None:
        """
        The same bytes are refused with the same status however they are split.
        """
        whole = read_requests([raw]).refused
        split = read_requests(data.draw(cuts(raw))).refused
        self.assertEqual(split and split.status, whole and whole.status)

    @given(raw=st.binary(max_size=300), data=st.data())
    @fuzzed
    def test_noise(self, raw: bytes, data: st.DataObject) -> None:
        """
        No bytes make anything but a request or a refusal; nothing raises.
        """
        self.assertEqual(read_requests(data.draw(cuts(raw))).outcome(), read_requests([raw]).outcome())

    def test_reads_the_cases(self) -> None:
        """
        The independent readers do read: unchanged, most cases that Siger takes are seen by all three.
        """
        counts = [
            (len(read_requests([raw]).taken), len(requests_by_h11(raw)), len(requests_by_httptools(raw)))
            for raw in REQUESTS
        ]
        taken = [sum(count) for count in zip(*counts, strict=True)]
        self.assertGreater(taken[0], 50)
        self.assertGreater(min(taken[1:]), taken[0])


def _plain(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """
    A field as h11 gives it: it writes the one coding it knows in lower case.
    """
    return name, value.lower() if name == b"transfer-encoding" else value


class Upstream:
    """
    Receives one response, and stands for the pool as well.

    @ivar events: C{complete}, C{failed} and C{home} as they came.
    """

    def __init__(self) -> None:
        self.deadlines = Deadlines(Clock())
        self.parser = ResponseParser()
        self.head: ResponseHead | None = None
        self.body = b""
        self.interim = 0
        self.events: list[str] = []

    def checkin(self, connection: UpstreamConnection) -> None:
        self.events.append("home")

    def forget(self, connection: UpstreamConnection) -> None: ...

    def interim_received(self, head: ResponseHead) -> None:
        self.interim += 1

    def switched(self, head: ResponseHead) -> bool:
        return False

    def response_received(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        assert self.head is None
        self.head, self.body = head, body
        if complete:
            self.events.append("complete")

    def response_data(self, data: bytes) -> None:
        self.body += data

    def response_finished(self, trailers: bytes) -> None:
        self.events.append("complete")

    def upstream_failed(self, reason: Reason, replayable: bool) -> None:
        self.events.append("failed")

    def pause_request(self) -> None: ...

    def resume_request(self) -> None: ...

    def outcome(self) -> tuple[Any, ...]:
        """
        What can be compared.
        """
        verdict = [event for event in self.events if event != "home"]
        if verdict == ["failed"]:
            return ("failed",)
        return (*verdict, self.head and self.head.status, self.body, self.interim)


def read_response(pieces: list[bytes], method: bytes, ended: bool) -> Upstream:
    """
    What a connection makes of a response that arrives in these pieces.
    """
    upstream = Upstream()
    transport: Any = StringTransport()
    connection = UpstreamConnection(upstream, transport, Timeouts())
    connection.begin(upstream, b"", method == b"HEAD", False, Timeouts())
    for piece in pieces:
        if piece and connection.usable is False and not upstream.events:
            connection.data_received(piece)
    if ended and not upstream.events:
        connection.connection_lost(True)
    return upstream


class ResponseTests(SynchronousTestCase):
    """
    Responses.
    """

    @given(raw=mutated(RESPONSES), method=st.sampled_from([b"GET", b"HEAD"]), ended=st.booleans())
    @fuzzed
    def test_h11_agrees(self, raw: bytes, method: bytes, ended: bool) -> None:
        """
        What Siger takes for a complete response, h11 takes for the same one: status and body.
        """
        ours = read_response([raw], method, ended)
        if "complete" not in ours.events:
            return
        theirs = responses_by_h11(raw, method, ended)
        assert ours.head is not None
        self.assertEqual([(one.status, one.body) for one in theirs], [(ours.head.status, ours.body)], raw)

    @given(raw=mutated(RESPONSES), method=st.sampled_from([b"GET", b"HEAD"]), ended=st.booleans(), data=st.data())
    @fuzzed
    def test_splits(self, raw: bytes, method: bytes, ended: bool, data: st.DataObject) -> None:
        """
        The same bytes mean the same however they are split, up to how much of a broken body was passed on.
        """
        whole, split = (read_response(pieces, method, ended) for pieces in ([raw], data.draw(cuts(raw))))
        if split.outcome() == ("failed",) or whole.outcome() == ("failed",):
            self.assertEqual(split.outcome()[0], whole.outcome()[0])
        else:
            self.assertEqual(split.outcome(), whole.outcome())

    @given(raw=mutated(RESPONSES), data=st.data())
    @fuzzed
    def test_pool(self, raw: bytes, data: st.DataObject) -> None:
        """
        A connection goes home only after a complete response, and never with bytes left over.
        """
        upstream = read_response([raw], b"GET", False)
        if "home" in upstream.events:
            self.assertIn("complete", upstream.events)
            theirs = responses_by_h11(raw, b"GET", False)
            self.assertEqual(len(theirs), 1, raw)
            self.assertTrue(raw.endswith((upstream.body or b"\r\n", b"\r\n\r\n")), raw)
