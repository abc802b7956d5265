"""
The gateway as a client of HTTP/2: what a backend sends that it must not (RFC 9113 sections 4 to 6 and 8).

A malformed response costs its stream, and the client gets a problem or, if it has had a part already, an end that is
none. What spoils the connection ends it, with a GOAWAY that says why.
"""

from __future__ import annotations

from tests.integration.h2_backend import H2Server
from tests.integration.h2_frames import (
    MOST,
    Code,
    Fields,
    Flag,
    Key,
    Kind,
    continuation,
    data,
    frame,
    headers,
    literal,
    ping,
    push_promise,
    reset,
    settings,
    window_update,
)
from tests.integration.h2_peer import PeerSilent
from tests.integration.h2_upstream_case import UpstreamTestCase

OK = (b":status", b"200")


class MalformedTests(UpstreamTestCase):
    """
    Responses that are malformed.
    """

    def malformed(self, *frames: bytes, method: bytes = b"POST") -> None:
        """
        These frames on the first stream make a 502 and a stream error, and the connection goes on.
        """
        stream, server, there = self.begun(method=method)
        server.send(b"".join(frames))
        self.assertEqual(server.reset_of(there), Code.PROTOCOL_ERROR)
        self.assertIn(b"upstream_malformed", self.failed(stream).body)
        self.works(server)
        self.far.drop()

    def sections(self, *sections: Fields) -> None:
        """
        None of these is the section of a response.
        """
        for section in sections:
            self.malformed(headers(1, literal(section)))

    def test_8_3_2_status(self) -> None:
        """
        Section 8.3.2: a response has one status, of three digits.
        """
        self.sections([], [(b"x-one", b"1")], [OK, OK], [OK, (b":status", b"204")])
        self.sections(
            *([(b":status", status)] for status in (b"", b"20", b"2000", b"20x", b"+20", b" 200", b"099", b"600"))
        )

    def test_8_3_pseudo(self) -> None:
        """
        Section 8.3: and no other pseudo-header field, nor this one behind others.
        """
        self.sections(*([OK, (name, b"/")] for name in (b":path", b":method", b":scheme", b":authority", b":x", b":")))
        self.sections([(b"x-one", b"1"), OK])

    def test_8_2_fields(self) -> None:
        """
        Sections 8.2.1 and 8.2.2: fields are those of HTTP/2.
        """
        for name in (b"X-Upper", b"x one", b"x:one", b"", b"x\x00", b"x\xff", b"x\r\ny"):
            self.sections([OK, (name, b"1")])
        for value in (b"\r", b"a\nb", b"a\r\nx-evil: 1", b"\0", b" a", b"a\t"):
            self.sections([OK, (b"x-value", value)])
        for name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"):
            self.sections([OK, (name, b"close")])

    def test_8_1_order(self) -> None:
        """
        Section 8.1: a response begins with its head.
        """
        self.malformed(data(1, b"body"))
        self.malformed(data(1, b"", True))
        self.malformed(headers(1, literal([(b":status", b"103")]), end=False), data(1, b"body", True))

    def test_8_1_interim(self) -> None:
        """
        Sections 8.1 and 8.6: an interim response does not end the stream, and is not 101.
        """
        self.malformed(headers(1, literal([(b":status", b"103")])))
        self.malformed(headers(1, literal([(b":status", b"101")]), end=False))

    def test_8_1_interims_without_end(self) -> None:
        """
        Section 10.5: interim responses do not go on for ever.
        """
        self.malformed(*[headers(1, literal([(b":status", b"103")]), end=False)] * 100)

    def test_8_1_1_length(self) -> None:
        """
        Section 8.1.1: a body is as long as it was said to be. It may be too late for anything but an unclean end.
        """
        for length, *frames in (
            (b"5", headers(1, literal([OK, (b"content-length", b"5")]))),
            (b"5", data(1, b"1234", True)),
            (b"5", data(1, b"123456", True)),
            (b"5", data(1, b"123456")),
            (b"0", data(1, b"1", True)),
            (b"5", data(1, b"12"), headers(1, literal([(b"x-sum", b"1")]))),
        ):
            stream, server, there = self.begun()
            if len(frames) > 1 or frames[0][3] == Kind.DATA:
                frames.insert(0, headers(1, literal([OK, (b"content-length", length)]), end=False))
            server.send(b"".join(frames))
            self.assertEqual(server.reset_of(there), Code.PROTOCOL_ERROR)
            found = self.client.end(stream)
            self.assertIn((found.status, found.ended), ((502, True), (200, False)), (length, frames))
            self.works(server)
            self.far.drop()

    def test_8_1_1_no_length(self) -> None:
        """
        Section 8.1.1: a length is one number.
        """
        for length in (b"", b"+5", b"-1", b"5,6", b"0x5", b"five", b"9" * 30):
            self.malformed(headers(1, literal([OK, (b"content-length", length)]), end=False))
        self.sections([OK, (b"content-length", b"0"), (b"content-length", b"5")])

    def test_8_1_1_head(self) -> None:
        """
        Section 8.1.1: a response to HEAD has a length and no content.
        """
        stream, server, there = self.begun(method=b"HEAD")
        server.respond(there, (b"content-length", b"100"))
        self.assertEqual(
            (self.client.whole(stream).status, self.client.stream(stream).value(b"content-length")), (200, b"100")
        )
        self.far.drop()
        stream, server, there = self.begun(method=b"HEAD")
        server.send_fields(there, OK)
        server.send(data(there, b"content", True))
        self.assertEqual(server.reset_of(there), Code.PROTOCOL_ERROR)
        self.assertEqual(bytes(self.client.end(stream).body).count(b"content"), 0)

    def test_8_1_trailers(self) -> None:
        """
        Section 8.1: trailers end the stream, and are fields without pseudo-header fields.
        """
        for block, end in (
            ([(b"x-sum", b"1")], False),
            ([OK], True),
            ([(b"X-Sum", b"1")], True),
            ([(b"connection", b"close")], True),
            ([(b"x-sum", b"1\r\nx: y")], True),
        ):
            stream, server, there = self.begun()
            server.respond(there, body=b"content", end=False)
            self.assertTrue(self.client.until(lambda: self.client.stream(stream).body))  # noqa: B023
            server.send(headers(there, literal(block), end))
            self.assertEqual(server.reset_of(there), Code.PROTOCOL_ERROR)
            self.broken_off(stream)
            self.works(server)
            self.far.drop()

    def test_8_1_behind_the_end(self) -> None:
        """
        Sections 5.1 and 8.1: what comes behind the end of a response changes nothing in it.
        """
        for behind in (data(1, b"more", True), headers(1, literal([(b"x-sum", b"1")])), headers(1, literal([OK]))):
            stream, server, there = self.begun()
            server.respond(there, body=b"whole")
            server.send(behind)
            found = self.client.whole(stream)
            self.assertEqual((found.status, bytes(found.body), found.trailers), (200, b"whole", []))
            server.until_closed(0.2)
            self.assertIn(server.goaway, (None, Code.STREAM_CLOSED))
            self.far.drop()


class ConnectionTests(UpstreamTestCase):
    """
    What spoils a connection.
    """

    def spoilt(self, raw: bytes, *codes: Code) -> None:
        """
        These bytes end the connection, and its requests; the next request gets another.
        """
        stream, server, _ = self.begun()
        self.another(server)
        server.send(raw)
        self.assertTrue(server.until_closed(), server)
        self.assertIn(server.goaway, codes, server)
        self.failed(stream)
        self.again()

    def again(self) -> None:
        """
        Another connection is made, and works; what was tried again meanwhile is taken back first.
        """
        self.client.send(
            b"".join(reset(one) for one in range(1, self.client.next, 2) if not self.client.stream(one).done)
        )
        self.assertTrue(self.client.barrier(), self.client)
        self.far.drop()
        stream, server, there = self.begun(b"/again")
        self.assertEqual(server.stream(there).value(b":path"), b"/again")
        server.respond(there)
        self.assertEqual(self.client.whole(stream).status, 200)
        self.far.drop()

    def test_3_4_no_settings(self) -> None:
        """
        Section 3.4: a server begins with SETTINGS.
        """
        for raw in (ping(), headers(1, literal([OK])), window_update(0, 1), settings(ack=True)):
            stream = self.client.open([*_post()])
            server = self.kept(self.far.accept())
            server.read_magic()
            server.send(raw)
            self.assertTrue(server.until_closed(), server)
            self.assertEqual(server.goaway, Code.PROTOCOL_ERROR)
            self.failed(stream)
            self.again()

    def test_3_4_another_protocol(self) -> None:
        """
        Section 3.4: a backend that speaks something else is no backend.
        """
        for raw in (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            b"\x15\x03\x03\x00\x02\x02\x28",
            b"\0" * 100,
        ):
            stream = self.client.open([*_post()])
            server = self.kept(self.far.accept())
            server.read_magic()
            server.send(raw)
            server.until_closed(0.5)
            server.close()
            self.failed(stream)
            self.again()

    def test_8_4_pushes(self) -> None:
        """
        Sections 6.6 and 8.4: pushes were forbidden, and servers do not say that they want any.
        """
        pushed = literal([(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"gw.test")])
        self.spoilt(push_promise(1, 2, pushed), Code.PROTOCOL_ERROR)
        self.spoilt(settings((Key.ENABLE_PUSH, 1)), Code.PROTOCOL_ERROR)

    def test_6_5_settings(self) -> None:
        """
        Section 6.5: settings are in range, whole, and on no stream.
        """
        self.spoilt(settings((Key.INITIAL_WINDOW_SIZE, MOST + 1)), Code.FLOW_CONTROL_ERROR)
        self.spoilt(settings((Key.MAX_FRAME_SIZE, 16383)), Code.PROTOCOL_ERROR)
        self.spoilt(settings((Key.ENABLE_PUSH, 2)), Code.PROTOCOL_ERROR)
        self.spoilt(frame(Kind.SETTINGS, 0, 0, bytes(5)), Code.FRAME_SIZE_ERROR)
        self.spoilt(frame(Kind.SETTINGS, Flag.ACK, 0, bytes(6)), Code.FRAME_SIZE_ERROR)
        self.spoilt(frame(Kind.SETTINGS, 0, 1), Code.PROTOCOL_ERROR)

    def test_4_2_sizes(self) -> None:
        """
        Sections 4.2 and 6: frames have their sizes.
        """
        for kind, stream, size in (
            (Kind.HEADERS, 1, 16385),
            (Kind.PING, 0, 7),
            (Kind.RST_STREAM, 1, 3),
            (Kind.WINDOW_UPDATE, 0, 5),
            (Kind.GOAWAY, 0, 7),
        ):
            self.spoilt(frame(kind, 0, stream, bytes(size)), Code.FRAME_SIZE_ERROR)

    def test_5_1_idle(self) -> None:
        """
        Section 5.1: streams are opened by the gateway alone.
        """
        for number in (2, 5, 1001, MOST):
            for raw in (data(number, b"x"), headers(number, literal([OK])), reset(number), window_update(number, 1)):
                self.spoilt(raw, Code.PROTOCOL_ERROR)

    def test_6_stream_zero(self) -> None:
        """
        Section 6: streams, and none, have their frames; padding fits into them.
        """
        self.spoilt(data(0, b"x"), Code.PROTOCOL_ERROR)
        self.spoilt(headers(0, literal([OK])), Code.PROTOCOL_ERROR)
        self.spoilt(frame(Kind.PING, 0, 1, bytes(8)), Code.PROTOCOL_ERROR)
        self.spoilt(frame(Kind.GOAWAY, 0, 1, bytes(8)), Code.PROTOCOL_ERROR)
        self.spoilt(frame(Kind.DATA, Flag.PADDED, 1, b"\5abcd"), Code.PROTOCOL_ERROR)

    def test_6_10_blocks(self) -> None:
        """
        Sections 4.3 and 6.10: header blocks are in one piece, can be decoded, and end.
        """
        begun = headers(1, literal([OK]), whole=False)
        self.spoilt(begun + ping(), Code.PROTOCOL_ERROR)
        self.spoilt(begun + data(1, b"x"), Code.PROTOCOL_ERROR)
        self.spoilt(begun + continuation(3), Code.PROTOCOL_ERROR)
        self.spoilt(continuation(1, literal([OK])), Code.PROTOCOL_ERROR)
        self.spoilt(headers(1, b"\x80"), Code.COMPRESSION_ERROR)
        self.spoilt(headers(1, literal([OK]) + b"\xff\xff\xff\xff\xff\x0f"), Code.COMPRESSION_ERROR)
        self.spoilt(begun + continuation(1, b"", whole=False) * 1000, Code.ENHANCE_YOUR_CALM)
        large = literal([(b"x-large", bytes(0x61 for _ in range(16000)))])
        self.spoilt(begun + continuation(1, large, whole=False) * 8, Code.ENHANCE_YOUR_CALM)

    def test_6_9_windows(self) -> None:
        """
        Section 6.9: windows of the connection are updated by something, and do not overflow.
        """
        self.spoilt(window_update(0, 0), Code.PROTOCOL_ERROR)
        self.spoilt(window_update(0, MOST), Code.FLOW_CONTROL_ERROR)

    def test_6_9_windows_of_streams(self) -> None:
        """
        Section 6.9: windows of streams neither, which costs the stream alone.
        """
        for increment, code in ((0, Code.PROTOCOL_ERROR), (MOST, Code.FLOW_CONTROL_ERROR)):
            stream, server, there = self.begun(end=False)
            server.send(window_update(there, increment))
            self.assertEqual(server.reset_of(there), code)
            self.failed(stream)
            self.works(server)
            self.far.drop()

    def test_10_5_floods(self) -> None:
        """
        Section 10.5: a backend that sends only what costs is not listened to without end.
        """
        for flood in (ping(), settings(), window_update(0, 1), data(1, b""), frame(0xEE, 0, 0, b"x")):
            stream, server, there = self.begun()
            server.respond(there, body=b"part", end=False)
            server.send(flood * 20_000, timeout=10)
            self.assertTrue(server.until_closed(), server)
            self.assertEqual(server.goaway, Code.ENHANCE_YOUR_CALM)
            self.broken_off(stream)
            self.far.drop()

    def test_large_sections(self) -> None:
        """
        Section 10.5.1: a response whose fields are larger than is allowed is not passed on; those that unpack to more
        are not either.
        """
        entry = literal([(b"x-bomb", bytes(0x61 for _ in range(3500)))], 0x40)
        for block in (literal([OK]) + entry + b"\xbe" * 2000, literal([OK] + [(b"x-many", b"1")] * 1000)):
            stream, server, _ = self.begun()
            server.send(headers(1, block))
            self.failed(stream)
            self.far.drop()

    def test_silence(self) -> None:
        """
        Section 10.5: a backend that accepts, and then says nothing, costs its request alone.
        """
        stream = self.client.open([(name, value.replace(b"/far", b"/hasty")) for name, value in _post()])
        server = self.kept(self.far.accept())
        self.failed(stream, status=504)
        self.assertRaises(PeerSilent, H2Server.take, server, 0.01)


def _post() -> Fields:
    pseudo = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"gw.test")]
    return [*pseudo, (b":path", b"/services/far/post")]
