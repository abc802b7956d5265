"""
HTTP/2: how a connection begins, and the form of frames (RFC 9113 sections 3, 4 and 6.10).
"""

from __future__ import annotations

import http.client
import time

from tests.integration.h2_case import H2TestCase
from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import (
    MAGIC,
    MOST,
    Code,
    Flag,
    Key,
    Kind,
    continuation,
    data,
    frame,
    headers,
    literal,
    ping,
    priority,
    settings,
    window_update,
)

RESERVED = 1 << 31
UNKNOWN = 0xEE


class PrefaceTests(H2TestCase):
    """
    The beginning of a connection.
    """

    def unopened(self) -> H2Client:
        """
        A client that has not said anything.
        """
        return self.kept(H2Client(self.gateway.port))

    def test_3_4_settings_come_first(self) -> None:
        """
        Section 3.4: the first frame that a server sends is SETTINGS, and no acknowledgement.
        """
        client = self.unopened()
        client.send(MAGIC + settings() + ping())
        self.assertTrue(client.until(lambda: client.of(Kind.PING)))
        first = client.frames[0]
        self.assertEqual((first.kind, first.flags, first.stream), (Kind.SETTINGS, 0, 0))

    def test_6_5_2_values(self) -> None:
        """
        Section 6.5.2: what the gateway offers is in range, does not offer pushes, and bounds streams and header lists.
        """
        client = self.connect()
        self.assertEqual(client.settings[Key.MAX_CONCURRENT_STREAMS], 100)
        self.assertEqual(client.settings.get(Key.ENABLE_PUSH, 0), 0)
        self.assertLessEqual(client.settings.get(Key.HEADER_TABLE_SIZE, 4096), 4096)
        self.assertTrue(1024 <= client.settings[Key.MAX_HEADER_LIST_SIZE] <= 1 << 17)

    def test_3_4_in_pieces(self) -> None:
        """
        Section 3.4: the preface is the same in whatever pieces it comes.
        """
        client = self.unopened()
        for byte in MAGIC + settings((Key.ENABLE_PUSH, 0)):
            client.send(bytes((byte,)))
            time.sleep(0.001)
        self.assertTrue(client.until(lambda: len(client.of(Kind.SETTINGS)) == 2), client)
        self.unharmed(client)

    def test_3_4_no_need_to_wait(self) -> None:
        """
        Section 3.4: a client may send requests right behind its preface, before it has heard anything.
        """
        client = self.unopened()
        client.send(MAGIC + settings() + headers(1, client.encode(*request(b"/early"))))
        self.assertEqual(client.whole(1).status, 200)

    def test_3_4_wrong_magic(self) -> None:
        """
        Section 3.4: what only resembles the preface is none; the connection ends, and nothing becomes a request.
        """
        for magic in (MAGIC.replace(b"SM", b"XX"), MAGIC.replace(b"/2.0", b"/2.1"), MAGIC.replace(b"*", b"/")):
            client = self.unopened()
            client.send(magic + settings() + headers(1, client.encode(*request())))
            self.assertTrue(client.until_closed(), magic)
        self.assertEqual(self.backend.requests, [])

    def test_3_4_other_first_frame(self) -> None:
        """
        Section 3.4: the first frame of a client is SETTINGS, or the connection ends.
        """
        for first in (ping(), window_update(0, 1), headers(1, literal(request()))):
            client = self.unopened()
            client.send(MAGIC + first)
            self.connection_error(client, Code.PROTOCOL_ERROR)
        self.assertEqual(self.backend.requests, [])

    def test_3_1_no_upgrade(self) -> None:
        """
        Section 3.1: the old upgrade to h2c is not made; the request is answered as it is, and the backend is not asked
        for an upgrade either.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=5)
        fields = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
        connection.request("GET", "/services/echo/upgrade", headers=fields)
        response = connection.getresponse()
        self.assertEqual((response.status, response.version), (200, 11))
        connection.close()
        self.assertTrue({b"upgrade", b"http2-settings"}.isdisjoint(self.arrival(b"/upgrade").names()))


class SwitchedOffTests(H2TestCase):
    """
    A gateway that is not to speak HTTP/2.
    """

    def setUp(self) -> None:
        self.config = {"http2": False}
        super().setUp()

    def test_3_4_refused(self) -> None:
        """
        Sections 3.3 and 3.4: the preface is no request of HTTP/1.1, and nothing behind it becomes one.
        """
        client = self.kept(H2Client(self.gateway.port))
        client.send(MAGIC + settings() + headers(1, literal(request(b"/off"))))
        self.assertTrue(client.until_closed(), client)
        self.assertIn(bytes(client.buffer[:12]), (b"HTTP/1.1 400", b"HTTP/1.1 505"))
        self.assertEqual(self.backend.requests, [])


class FormTests(H2TestCase):
    """
    Frames that are odd but right.
    """

    def test_4_1_unknown_types(self) -> None:
        """
        Sections 4.1 and 5.5: frames of unknown types are ignored, wherever they are.
        """
        client = self.connect()
        stream, gate = self.hold(client)
        client.send(b"".join(frame(UNKNOWN, 0xFF, number, b"what?") for number in (0, stream, 101)))
        gate.open()
        self.assertEqual(client.whole(stream).status, 200)
        self.unharmed(client)

    def test_4_1_unknown_flags(self) -> None:
        """
        Section 4.1: flags that a type of frame does not have are ignored; answers do not repeat them.
        """
        client = self.connect()
        client.send(frame(Kind.SETTINGS, 0xFE, 0) + frame(Kind.PING, 0xFE, 0, b"12345678"))
        client.send(frame(Kind.WINDOW_UPDATE, 0xFF, 0, (1).to_bytes(4, "big")))
        client.send(frame(Kind.HEADERS, 0xD2 | Flag.END_HEADERS, 1, client.encode(*request(b"/flags", method=b"POST"))))
        client.send(frame(Kind.DATA, 0xF6, 1, b"content") + data(1, b"", True))
        self.assertEqual(client.whole(1).status, 200)
        self.assertEqual(bytes(self.completed(b"/flags").body), b"content")
        self.assertEqual([one.flags for one in client.of(Kind.PING)], [Flag.ACK])
        self.assertEqual(sum(one.flags == Flag.ACK for one in client.of(Kind.SETTINGS)), 2)

    def test_4_1_reserved_bits(self) -> None:
        """
        Sections 4.1 and 6.9: reserved bits are ignored.
        """
        client = self.connect((Key.INITIAL_WINDOW_SIZE, 0))
        client.next = 3
        client.send(headers(RESERVED | 1, client.encode(*request(b"/reserved"))))
        client.send(window_update(1, RESERVED | 100_000) + window_update(RESERVED, RESERVED | 7))
        client.send(frame(Kind.GOAWAY, 0, RESERVED, RESERVED.to_bytes(4, "big") + bytes(4)))
        self.assertEqual(client.whole(1).status, 200)

    def test_4_2_largest_frame(self) -> None:
        """
        Section 4.2: every endpoint takes frames of 16384 bytes.
        """
        client = self.connect()
        stream = client.open(request(b"/largest", method=b"POST"), end=False)
        client.send(data(stream, bytes(16384), True))
        self.assertEqual(client.whole(stream).status, 200)
        self.assertEqual(self.completed(b"/largest").length, 16384)


class SizeTests(H2TestCase):
    """
    Frames of a wrong size.
    """

    def spoilt(self, raw: bytes, *codes: Code) -> None:
        """
        These bytes end a connection on which stream 1 is open.
        """
        client = self.connect()
        self.hold(client, end=False)
        client.send(raw)
        self.connection_error(client, *codes)

    def test_4_2_above_the_maximum(self) -> None:
        """
        Section 4.2: a frame above the size that the gateway offered is an error of the connection where it may change
        the state of all of it.
        """
        large = bytes(16386)
        for kind, stream in ((Kind.SETTINGS, 0), (Kind.HEADERS, 3), (Kind.PING, 0), (Kind.GOAWAY, 0)):
            self.spoilt(frame(kind, 0, stream, large), Code.FRAME_SIZE_ERROR)
        self.spoilt(headers(3, b"", whole=False) + frame(Kind.CONTINUATION, 0, 3, large), Code.FRAME_SIZE_ERROR)

    def test_4_2_data_above_the_maximum(self) -> None:
        """
        Section 4.2: so is DATA, of its stream at least, and its content is not taken.
        """
        client = self.connect()
        stream, _ = self.hold(client, b"/large", end=False)
        client.send(data(stream, bytes(16385), True))
        client.until(lambda: client.closed or client.stream(stream).done)
        self.assertEqual(client.goaway if client.closed else client.stream(stream).code, Code.FRAME_SIZE_ERROR)
        self.assertFalse(self.arrival(b"/large").complete)

    def test_6_lengths(self) -> None:
        """
        Sections 6.4, 6.5, 6.7, 6.8 and 6.9: RST_STREAM, SETTINGS, PING, GOAWAY and WINDOW_UPDATE of other lengths than
        theirs are errors of the connection.
        """
        for kind, stream, lengths in (
            (Kind.RST_STREAM, 1, (0, 3, 5)),
            (Kind.SETTINGS, 0, (1, 5, 7)),
            (Kind.PING, 0, (0, 7, 9)),
            (Kind.GOAWAY, 0, (0, 7)),
            (Kind.WINDOW_UPDATE, 0, (0, 3, 5)),
            (Kind.WINDOW_UPDATE, 1, (0, 3, 5)),
        ):
            for length in lengths:
                self.spoilt(frame(kind, 0, stream, bytes(length)), Code.FRAME_SIZE_ERROR)

    def test_6_5_acknowledgement_with_content(self) -> None:
        """
        Section 6.5: an acknowledgement of SETTINGS is empty.
        """
        self.spoilt(frame(Kind.SETTINGS, Flag.ACK, 0, bytes(6)), Code.FRAME_SIZE_ERROR)

    def test_6_3_priority_length(self) -> None:
        """
        Section 6.3: PRIORITY of another length than 5 is an error of its stream.
        """
        for length in (0, 4, 6):
            client = self.connect()
            stream, _ = self.hold(client)
            client.send(frame(Kind.PRIORITY, 0, stream, bytes(length)))
            self.stream_error(client, stream, Code.FRAME_SIZE_ERROR)

    def test_4_2_too_short_for_its_flags(self) -> None:
        """
        Sections 4.2, 6.1 and 6.2: frames that lack the fields which their flags promise are errors.
        """
        codes = (Code.FRAME_SIZE_ERROR, Code.PROTOCOL_ERROR)
        self.spoilt(frame(Kind.DATA, Flag.PADDED, 1), *codes)
        self.spoilt(frame(Kind.HEADERS, Flag.PADDED | Flag.END_HEADERS, 3), *codes)
        self.spoilt(frame(Kind.HEADERS, Flag.PRIORITY | Flag.END_HEADERS, 3, bytes(4)), *codes)
        self.spoilt(frame(Kind.HEADERS, Flag.PADDED | Flag.PRIORITY | Flag.END_HEADERS, 3, bytes(5)), *codes)

    def test_6_1_padding_too_long(self) -> None:
        """
        Sections 6.1 and 6.2: padding that is as long as what is left of its frame, or longer, is an error of the
        connection.
        """
        for size in (5, 6, 255):
            self.spoilt(frame(Kind.DATA, Flag.PADDED, 1, bytes((size,)) + bytes(4)), Code.PROTOCOL_ERROR)
            self.spoilt(
                frame(Kind.HEADERS, Flag.PADDED | Flag.END_HEADERS, 3, bytes((size,)) + bytes(4)), Code.PROTOCOL_ERROR
            )
        flags = Flag.PADDED | Flag.PRIORITY | Flag.END_HEADERS
        self.spoilt(frame(Kind.HEADERS, flags, 3, b"\5" + bytes(9)), Code.PROTOCOL_ERROR)


class StreamZeroTests(H2TestCase):
    """
    Frames that belong to a stream or to none.
    """

    def test_6_needs_a_stream(self) -> None:
        """
        Sections 6.1 to 6.4 and 6.10: DATA, HEADERS, PRIORITY, RST_STREAM and CONTINUATION on stream 0 are errors of the
        connection.
        """
        for kind, payload in (
            (Kind.DATA, b"x"),
            (Kind.HEADERS, b"\x82"),
            (Kind.PRIORITY, bytes(5)),
            (Kind.RST_STREAM, bytes(4)),
            (Kind.CONTINUATION, b""),
        ):
            client = self.connect()
            client.send(frame(kind, Flag.END_HEADERS, 0, payload))
            self.connection_error(client, Code.PROTOCOL_ERROR)

    def test_6_must_have_no_stream(self) -> None:
        """
        Sections 6.5, 6.7 and 6.8: SETTINGS, PING and GOAWAY on a stream are errors of the connection.
        """
        for kind, payload in ((Kind.SETTINGS, b""), (Kind.PING, bytes(8)), (Kind.GOAWAY, bytes(8))):
            for number in (1, 2, 3, MOST):
                client = self.connect()
                self.hold(client)
                client.send(frame(kind, 0, number, payload))
                self.connection_error(client, Code.PROTOCOL_ERROR)


class BlockTests(H2TestCase):
    """
    Header blocks in several frames.
    """

    def begun(self) -> tuple[H2Client, bytes]:
        """
        A client in the middle of a header block on stream 3, while stream 1 is open, and the rest of the block.
        """
        client = self.connect()
        self.hold(client, end=False)
        block = client.encode(*request(b"/block"))
        client.send(headers(3, block[:10], whole=False))
        client.next = 5
        return client, block[10:]

    def test_4_3_many_pieces(self) -> None:
        """
        Section 4.3: a block may be split anywhere, into frames that may be empty.
        """
        client = self.connect()
        block = client.encode(*request(b"/pieces", (b"x-long", b"\xe9" * 40)))
        cut = len(block) // 5 + 1
        client.send(headers(1, b"", whole=False) + continuation(1, b"", whole=False))
        for start in range(0, len(block), cut):
            client.send(continuation(1, block[start : start + cut], whole=False))
        client.send(continuation(1, b""))
        self.assertEqual(client.whole(1).status, 200)
        self.assertEqual(self.arrival(b"/pieces").value(b"x-long"), b"\xe9" * 40)

    def test_6_10_nothing_in_between(self) -> None:
        """
        Sections 4.3, 6.2 and 6.10: any other frame within a block, of an unknown type or another stream too, is an
        error of the connection.
        """
        for between in (
            data(1, b"x"),
            headers(1, b""),
            headers(5, b"", whole=False),
            priority(3),
            settings(),
            ping(),
            window_update(0, 1),
            window_update(1, 1),
            frame(UNKNOWN, 0, 0),
            frame(UNKNOWN, 0, 3),
            headers(3, b"", whole=False),
        ):
            client, rest = self.begun()
            client.send(between + continuation(3, rest))
            self.connection_error(client, Code.PROTOCOL_ERROR)
        self.assertEqual(self.backend.find(b"/block"), [])

    def test_6_10_another_stream(self) -> None:
        """
        Section 6.10: so is CONTINUATION on another stream than the block's.
        """
        client, rest = self.begun()
        client.send(continuation(1, rest))
        self.connection_error(client, Code.PROTOCOL_ERROR)

    def test_6_10_nothing_to_continue(self) -> None:
        """
        Section 6.10: so is CONTINUATION without a block that goes on.
        """
        for before in (b"", headers(3, literal(request(b"/whole")))):
            client = self.connect()
            self.hold(client)
            client.send(before + continuation(3))
            self.connection_error(client, Code.PROTOCOL_ERROR)
