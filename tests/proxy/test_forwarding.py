"""
Tests for L{siger.proxy.forwarding}.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import hpack
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Endpoint, Instance
from siger.config.settings.services import ServiceSettings
from siger.grpc.timeouts import parse_timeout
from siger.http.fields import HeadError
from siger.http.h2.requests import RequestReader
from siger.http.hpack.decoder import Entry
from siger.http.request import RequestHead
from siger.http.request_parser import RequestParser
from siger.observe.observer import Observer
from siger.policy.forwarded import Forwarding
from siger.policy.identity import Identity
from siger.policy.rules import ANYONE, Rules
from siger.proxy.arrival import Arrival, Destination
from siger.proxy.forwarding import packed_head, packed_timeout, request_head
from tests.http.fakes import FakeStream
from tests.http.generators import noise, properties

ENDPOINT = Endpoint(Instance("192.0.2.9", 80))
FORWARDED = (
    b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.test\r\n"
    b"X-Forwarded-Port: 80\r\n"
    b'Forwarded: for=192.0.2.7;host="a.test";proto=http\r\nX-Gateway: siger-api-gateway\r\n'
)


def parse(line: bytes, *lines: bytes) -> RequestHead:
    """
    A request's head.
    """
    parser = RequestParser()
    return parser.head(line, parser.fields(b"\r\n".join(lines)))


def arrive(
    head: RequestHead,
    settings: ServiceSettings | None = None,
    target: bytes = b"/x",
    request_id: bytes = b"id",
    secure: bool = False,
    identity: Identity | None = None,
) -> Arrival:
    """
    A request that has been let in.
    """
    arrival = Arrival(head, FakeStream(b"192.0.2.7", secure), request_id, b"192.0.2.7", 0.0)
    rules = Rules(None, [], [], ANYONE, None)
    arrival.place = Destination(rules, Observer().route("/x"), "", None, settings or ServiceSettings())
    arrival.target = target
    arrival.identity = identity
    return arrival


def forward(
    head: RequestHead,
    settings: ServiceSettings | None = None,
    endpoint: Endpoint = ENDPOINT,
    forwarding: Forwarding | None = None,
    **others: Any,
) -> bytes:
    """
    The head for an instance.
    """
    return request_head(arrive(head, settings, **others), endpoint, forwarding or Forwarding())


def lines_of(written: bytes) -> dict[bytes, bytes]:
    """
    The field lines of a head, by lower-case name; none may be there twice.
    """
    found: dict[bytes, bytes] = {}
    for line in written.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b": ")
        assert name.lower() not in found, written
        found[name.lower()] = value
    return found


class RequestHeadTests(SynchronousTestCase):
    """
    Tests for L{request_head}.
    """

    def test_whole(self) -> None:
        """
        A head is a request line of our own, the client's lines, and the gateway's: design rule 1.
        """
        head = parse(b"POST /services/echo/x HTTP/1.1", b"Host: a.test", b"Accept:  b", b"Content-Length: 005")
        self.assertEqual(
            forward(head),
            b"POST /x HTTP/1.1\r\nHost: a.test\r\nAccept: b\r\nContent-Length: 5\r\n"
            + FORWARDED
            + b"Via: 1.1 siger\r\nX-Request-ID: id\r\n\r\n",
        )

    def test_version(self) -> None:
        """
        It is HTTP/1.1 whatever the client speaks; only Via tells: A25.
        """
        written = forward(parse(b"GET / HTTP/1.0", b"Host: a.test"))
        self.assertTrue(written.startswith(b"GET /x HTTP/1.1\r\n"))
        self.assertEqual(lines_of(written)[b"via"], b"1.0 siger")

    def test_framing(self) -> None:
        """
        The body is framed anew: design rule 1.
        """
        for line, name, value in (
            (b"Content-Length: 7", b"content-length", b"7"),
            (b"Content-Length: 0", b"content-length", b"0"),
            (b"Transfer-Encoding:  CHUNKED", b"transfer-encoding", b"chunked"),
        ):
            lines = lines_of(forward(parse(b"POST / HTTP/1.1", b"Host: a.test", line)))
            self.assertEqual(lines[name], value)
        self.assertEqual({b"content-length", b"transfer-encoding", b"expect"} & set(lines_of(forward_get())), set())

    def test_expect(self) -> None:
        """
        An expectation is passed on, so that the instance decides: A34.
        """
        lines = (b"Host: a.test", b"Content-Length: 5", b"Expect: 100-Continue")
        self.assertEqual(lines_of(forward(parse(b"POST / HTTP/1.1", *lines)))[b"expect"], b"100-continue")

    def test_expect_of_old_version(self) -> None:
        """
        That of a client of HTTP/1.0, who does not wait, is ignored: A34.
        """
        lines = (b"Host: a.test", b"Content-Length: 5", b"Expect: 100-continue")
        self.assertNotIn(b"expect", lines_of(forward(parse(b"POST / HTTP/1.0", *lines))))

    def test_claims(self) -> None:
        """
        Rows D3, D4, D6 and D9: what the client claims about itself is replaced by what is known.
        """
        lines = lines_of(
            forward(
                parse(
                    b"GET / HTTP/1.1",
                    b"Host: a.test",
                    b"X-Forwarded-For: 6.6.6.6",
                    b"Forwarded: for=6.6.6.6",
                    b"X-Forwarded-Proto: https",
                    b"X-Forwarded-Host: evil.test",
                    b"X-Forwarded-Port: 443",
                    b"X-Real-IP: 6.6.6.6",
                    b"X-User-Id: 1",
                    b"X-Gateway: other",
                    b"Proxy: evil.test",
                    b"X-Request-ID: other-id-123",
                    b"Via: 1.0 b",
                )
            )
        )
        self.assertEqual(lines, {**lines_of(forward_get()), b"via": b"1.0 b, 1.1 siger"})

    def test_hop_by_hop(self) -> None:
        """
        Row D1: fields of the client's connection are not the instance's.
        """
        lines = (b"Host: a.test", b"Connection: keep-alive, x-a", b"X-A: b", b"Keep-Alive: 5", b"TE: trailers")
        upgrade = (b"Upgrade: h2c", b"HTTP2-Settings: a", b"Proxy-Authorization: b")
        self.assertEqual(
            set(lines_of(forward(parse(b"GET / HTTP/1.1", *lines, *upgrade)))), set(lines_of(forward_get()))
        )

    def test_trusted_proxy(self) -> None:
        """
        A trusted proxy's word is passed on.
        """
        head = parse(b"GET / HTTP/1.1", b"Host: a.test", b"X-Forwarded-For: 1.2.3.4")
        lines = lines_of(forward(head, forwarding=Forwarding([ip_network("192.0.2.0/24")])))
        self.assertEqual(lines[b"x-forwarded-for"], b"1.2.3.4, 192.0.2.7")

    def test_host(self) -> None:
        """
        An instance sees the client's Host, its own address, or the name that configuration says.
        """
        for host, seen in (("preserve", b"a.test"), ("instance", b"192.0.2.9:80"), ("b.test:81", b"b.test:81")):
            lines = lines_of(forward(parse(b"GET / HTTP/1.1", b"Host: a.test"), ServiceSettings(host=host)))
            self.assertEqual((lines[b"host"], lines[b"x-forwarded-host"]), (seen, b"a.test"))

    def test_no_host(self) -> None:
        """
        A client of HTTP/1.0 that named none leaves the instance its address.
        """
        lines = lines_of(forward(parse(b"GET / HTTP/1.0")))
        self.assertEqual((lines[b"host"], lines[b"x-forwarded-host"]), (b"192.0.2.9:80", b""))

    def test_absolute_form(self) -> None:
        """
        The authority of an absolute-form target is the Host: A29.
        """
        lines = lines_of(forward(parse(b"GET http://A.test/ HTTP/1.1", b"Host: a.test")))
        self.assertEqual(lines[b"host"].lower(), b"a.test")

    def test_authorization(self) -> None:
        """
        Row D10: credentials are passed on only where configuration says so.
        """
        head = (b"GET / HTTP/1.1", b"Host: a.test", b"X-A: b", b"authorization: Bearer c", b"X-D: e")
        lines = lines_of(forward(parse(*head)))
        self.assertEqual(lines[b"authorization"], b"Bearer c")
        withheld = lines_of(forward(parse(*head), ServiceSettings(forward_authorization=False)))
        self.assertEqual(withheld, {name: value for name, value in lines.items() if name != b"authorization"})

    def test_max_forwards(self) -> None:
        """
        Row D8: there is one hop less to go; what is no number is not passed on.
        """
        for value, left in ((b"3", b"2"), (b"1", b"0"), (b"0", b"0"), (b"007", b"6"), (b"-1", None), (b"x", None)):
            head = parse(b"OPTIONS / HTTP/1.1", b"Host: a.test", b"max-forwards: " + value, b"X-A: b")
            lines = lines_of(forward(head))
            self.assertEqual((lines.get(b"max-forwards"), lines[b"x-a"]), (left, b"b"), value)

    def test_withheld_nothing(self) -> None:
        """
        Where there are none, nothing is missing.
        """
        head = parse(b"GET / HTTP/1.1", b"Host: a.test", b"X-A: b")
        self.assertEqual(forward(head, ServiceSettings(forward_authorization=False)), forward(head))


class RepetitionTests(SynchronousTestCase):
    """
    Tests for header sections that come again.
    """

    def setUp(self) -> None:
        """
        Parse a section.
        """
        self.parser = RequestParser()
        self.fields = self.parser.fields(b"Host: a.test\r\nAuthorization: b")

    def head(self, line: bytes) -> RequestHead:
        """
        A head over this section.
        """
        return self.parser.head(line, self.fields)

    def test_only_what_differs(self) -> None:
        """
        Method, target and request id are those of each request.
        """
        first = forward(self.head(b"GET / HTTP/1.1"), settings := ServiceSettings())
        second = forward(self.head(b"PUT / HTTP/1.1"), settings, target=b"/y", request_id=b"other")
        self.assertEqual(second, first.replace(b"GET /x", b"PUT /y").replace(b": id\r\n", b": other\r\n"))
        self.assertIs(self.fields.tail_key, settings)

    def test_other_service(self) -> None:
        """
        Row D10: another service gets what is right for it.
        """
        trusting, other = ServiceSettings(name="a"), ServiceSettings(name="b", forward_authorization=False)
        for _ in range(2):
            self.assertIn(b"Authorization", forward(self.head(b"GET / HTTP/1.1"), trusting))
            self.assertNotIn(b"Authorization", forward(self.head(b"GET / HTTP/1.1"), other))

    def test_other_instance(self) -> None:
        """
        Another instance is called by its own name.
        """
        settings = ServiceSettings(host="instance")
        for address, label in (("192.0.2.9", b"192.0.2.9:80"), ("2001:db8::9", b"[2001:db8::9]:80")):
            written = forward(self.head(b"GET / HTTP/1.1"), settings, endpoint=Endpoint(Instance(address, 80)))
            self.assertEqual(lines_of(written)[b"host"], label)

    def test_other_version(self) -> None:
        """
        Another version is told.
        """
        settings = ServiceSettings()
        for minor in (1, 0, 1):
            written = forward(self.head(b"GET / HTTP/1.%d" % minor), settings)
            self.assertEqual(lines_of(written)[b"via"], b"1.%d siger" % minor)


class PropertyTests(SynchronousTestCase):
    """
    Properties of L{request_head}.
    """

    @properties
    @given(st.lists(noise(b"X-A: b", b"Content-Length: 5", b"Connection: host", b"Authorization: c"), max_size=5))
    def test_reads_back(self, lines: list[bytes]) -> None:
        """
        Whatever was accepted is written so that a strict parser accepts it and sees the same: A31, design rule 1.
        """
        try:
            head = parse(b"POST /services/echo/x HTTP/1.1", b"Host: a.test", *lines)
        except HeadError:
            return
        line, _, section = forward(head)[:-4].partition(b"\r\n")
        parser = RequestParser()
        seen = parser.head(line, parser.fields(section))
        self.assertEqual((seen.method, seen.path, seen.host), (b"POST", b"/x", b"a.test"))
        self.assertEqual(seen.fields.content_length, head.fields.content_length)
        self.assertEqual(seen.fields.chunked, head.fields.chunked)
        self.assertEqual(seen.fields.relay, head.fields.relay)
        self.assertEqual(seen.fields.owned[b"x-forwarded-for"], b"192.0.2.7")


def packed(
    head: RequestHead, settings: ServiceSettings | None = None, endpoint: Endpoint = ENDPOINT, **others: Any
) -> list[tuple[bytes, bytes]]:
    """
    The fields that an instance of HTTP/2 gets.
    """
    block = packed_head(arrive(head, settings, **others), endpoint, Forwarding())
    return [(name, value) for name, value in hpack.Decoder().decode(block, raw=True)]


LINES = st.lists(
    st.sampled_from(
        (
            (b"x-a", b"b"),
            (b"x-a", b"c"),
            (b"accept", b"*/*"),
            (b"authorization", b"Bearer a"),
            (b"content-type", b"text/plain"),
            (b"content-length", b"5"),
            (b"max-forwards", b"3"),
            (b"x-user-id", b"root"),
            (b"x-forwarded-for", b"10.0.0.1"),
            (b"via", b"1.1 other"),
            (b"te", b"trailers"),
            (b"expect", b"100-continue"),
            (b"cookie", b"a=b"),
            (b"x-request-id", b"theirs"),
        )
    ),
    max_size=7,
    unique_by=lambda field: (field[0], field[1] if field[0] == b"x-a" else b""),
)


class PackedHeadTests(SynchronousTestCase):
    """
    Tests for L{packed_head}: the same as L{request_head}, in another form.
    """

    def said(self, fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """
        Fields without those in which the two forms differ.
        """
        framing = (b"host", b"transfer-encoding", b"te")
        return [(name, value) for name, value in fields if name not in framing and not name.startswith(b":")]

    @properties
    @given(LINES, st.booleans(), st.sampled_from((None, False)), st.sampled_from(("preserve", "instance", "b.test")))
    def test_same(self, fields: list[tuple[bytes, bytes]], http2: bool, authorization: bool | None, host: str) -> None:
        """
        Whichever version the client speaks, an instance is told the same in either.
        """
        if http2:
            pseudo = ((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a.test"), (b":path", b"/"))
            entries = [Entry(name, value) for name, value in (*pseudo, *fields)]
            head = RequestReader(RequestParser()).head(entries, True)
        else:
            framing = () if b"content-length" in dict(fields) else (b"Transfer-Encoding: chunked",)
            lines = (b"Host: a.test", *framing, *(b"%b: %b" % field for field in fields))
            head = parse(b"POST / HTTP/1.1", *lines)
        settings = ServiceSettings(forward_authorization=authorization, host=host)
        identity = Identity("7", "alice", ("user",), "token", 0.0, 1.0, {})
        text = forward(head, settings, identity=identity)
        parts = [line.partition(b": ") for line in text.split(b"\r\n")[1:-2]]
        written = [(name, value) for name, _, value in parts]
        theirs = self.said([(name.lower(), value) for name, value in written])
        ours = packed(head, settings, identity=identity)
        self.assertEqual(sorted(self.said(ours)), sorted(theirs))
        self.assertEqual(dict(ours)[b":authority"], dict(written)[b"Host"])
        self.assertEqual(dict(ours).get(b"te"), b"trailers" if head.fields.trailers else None)
        self.assertEqual([name for name, _ in ours[:4]], [b":method", b":scheme", b":path", b":authority"])

    def test_scheme(self) -> None:
        """
        The scheme is that of the connection to the instance.
        """
        for protocol, scheme in (("h2c", b"http"), ("h2", b"https")):
            endpoint = Endpoint(Instance("192.0.2.9", 80), protocol)
            fields = packed(parse(b"GET / HTTP/1.1", b"Host: a.test"), endpoint=endpoint, secure=protocol == "h2c")
            self.assertEqual(dict(fields)[b":scheme"], scheme)

    def test_long(self) -> None:
        """
        Targets, authorities and ids of any length are written with theirs.
        """
        for size in (1, 126, 127, 128, 1023, 1024, 5000):
            text = b"/" + b"a" * size
            fields = dict(packed(parse(b"GET / HTTP/1.1", b"Host: a.test"), target=text, request_id=text))
            self.assertEqual((fields[b":path"], fields[b"x-request-id"]), (text, text))

    def test_timeout(self) -> None:
        """
        What is left of a call's time is a field, which is never nothing.
        """
        for seconds in (5.0, 1e-12, -3.0):
            ((name, value),) = hpack.Decoder().decode(packed_timeout(seconds), raw=True)
            self.assertEqual(name, b"grpc-timeout")
            self.assertTrue(0 < parse_timeout(value) <= max(seconds, 1e-9))


def forward_get() -> bytes:
    """
    What becomes of the plainest request.
    """
    return forward(parse(b"GET / HTTP/1.1", b"Host: a.test"))
