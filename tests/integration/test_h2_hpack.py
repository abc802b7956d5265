"""
HTTP/2: header blocks and their compression (RFC 9113 section 4.3, RFC 7541).
"""

from __future__ import annotations

from tests.integration.flow_case import play
from tests.integration.h2_case import H2TestCase
from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import Code, Key, Kind, headers, literal, settings
from tests.integration.recording_backend import answer

GET = b"\x82"
HTTP = b"\x86"
START = literal(request(b"/block"))


class BrokenTests(H2TestCase):
    """
    Blocks that cannot be decoded: what the table holds is not known any more, so the connection ends.
    """

    def broken(self, *blocks: bytes) -> None:
        """
        Each of these, behind a whole request of literals, is an error of compression.
        """
        for block in blocks:
            client = self.connect()
            client.send(headers(1, START + block))
            self.connection_error(client, Code.COMPRESSION_ERROR)
        self.assertEqual(self.backend.requests, [])

    def test_7541_2_3_3_index(self) -> None:
        """
        RFC 7541 sections 2.3.3 and 6: index 0, and any beyond the table, are errors, for fields and for names alone.
        """
        self.broken(b"\x80", b"\xbe", b"\xff\x00", b"\xff\x80\x01")
        self.broken(b"\x7e\x01a", b"\x0f\x2f\x01a", b"\x1f\x2f\x01a")

    def test_7541_5_1_numbers(self) -> None:
        """
        RFC 7541 section 5.1: numbers that do not end in the block, or are larger than anything can be, are errors.
        """
        self.broken(b"\xff", b"\xff\x80", b"\xff\xff\xff\xff\xff\x0f", b"\xff" + b"\x80" * 200 + b"\x01")
        self.broken(b"\x00\x7f", b"\x00\x7f\xff\xff\xff\xff\xff\xff\xff\xff\x7f")

    def test_7541_5_2_strings(self) -> None:
        """
        RFC 7541 section 5.2: strings that are longer than what is left of the block are errors.
        """
        self.broken(
            b"\x00",
            b"\x00\x05nam",
            b"\x00\x04name",
            b"\x00\x04name\x05valu",
            b"\x00\x04name\x7f\x00abc",
            b"\x40\x84abc",
        )

    def test_7541_5_2_huffman(self) -> None:
        """
        RFC 7541 section 5.2: Huffman strings that hold the end symbol, are padded with more than seven bits, or with
        anything but ones, are errors.
        """
        for wrong in (b"\x18", b"\x1e", b"\x1f\xff", b"\xff", b"\xff\xff\xff\xff", b"\x1f\xff\xff\xff\xff"):
            self.broken(b"\x00\x01x" + bytes((0x80 | len(wrong),)) + wrong)

    def test_7541_6_3_table_size(self) -> None:
        """
        RFC 7541 sections 4.2 and 6.3: a table size above the one that was offered is an error, and so is a change that
        does not come first in its block.
        """
        for block in (b"\x3f\xe2\x1f" + START, b"\x3f\xff\xff\xff\xff\x0f" + START, START + b"\x20"):
            client = self.connect()
            client.send(headers(1, block))
            self.connection_error(client, Code.COMPRESSION_ERROR)
        self.assertEqual(self.backend.requests, [])

    def test_4_3_trailers(self) -> None:
        """
        Section 4.3: blocks of trailers, and those on streams that are over, are decoded like all others.
        """
        for end in (True, False):
            client = self.connect()
            self.hold(client, end=end)
            client.send(headers(1, b"\x80"))
            self.connection_error(client, Code.COMPRESSION_ERROR)


class SoundTests(H2TestCase):
    """
    Whatever else an encoder may do.
    """

    def answered(self, client: H2Client, block: bytes, path: bytes) -> None:
        """
        A request with this block reaches the backend.
        """
        stream, client.next = client.next, client.next + 2
        client.send(headers(stream, block))
        self.assertEqual(client.whole(stream).status, 200)
        self.arrival(path)

    def test_7541_6_representations(self) -> None:
        """
        RFC 7541 section 6: fields may be indexed, or literals that are indexed, not indexed or never indexed, with and
        without Huffman coding.
        """
        fields = [*request(b"/kinds"), (b"x-kind", b"some value")]
        for kind in (0x00, 0x10, 0x40):
            client = self.connect()
            self.answered(client, literal(fields, kind), b"/kinds")
        self.answered(client, bytes(range(0xC2, 0xBD, -1)), b"/kinds")
        for huffman in (True, False):
            client = self.connect()
            self.answered(client, client.encoder.encode(fields, huffman), b"/kinds")
            self.answered(client, client.encoder.encode(fields, huffman), b"/kinds")
        self.assertEqual({one.value(b"x-kind") for one in self.backend.find(b"/kinds")}, {b"some value"})

    def test_7541_4_2_smaller_table(self) -> None:
        """
        RFC 7541 sections 4.2 and 4.4: a client may make its table smaller, empty and as large as before, several times
        at the beginning of a block; entries that do not fit are gone.
        """
        client = self.connect()
        self.answered(client, literal([*request(b"/table"), (b"x-kept", b"1")], 0x40), b"/table")
        self.answered(client, b"\x20\x3f\xe1\x1f" + literal([*request(b"/table"), (b"x-kept", b"2")], 0x40), b"/table")
        self.answered(client, b"\x3f\xe1\x1f" + bytes(range(0xC2, 0xBD, -1)), b"/table")
        self.assertEqual([one.value(b"x-kept") for one in self.backend.find(b"/table")], [b"1", b"2", b"2"])
        client.send(headers(client.next, b"\x20" + literal(request(b"/table")) + b"\xbe"))
        self.connection_error(client, Code.COMPRESSION_ERROR)

    def test_7541_4_4_eviction(self) -> None:
        """
        RFC 7541 sections 4.1 and 4.4: entries make room for later ones, and an entry that is larger than the table
        empties it.
        """
        client = self.connect()
        for number in range(60):
            value = b"%d" % number * 50
            found = client.ask(b"/evict", (b"x-value", value))
            self.assertEqual(found.status, 200)
        self.assertEqual(client.ask(b"/evict", (b"x-value", b"v" * 5000)).status, 200)
        self.unharmed(client)
        expected = [b"%d" % number * 50 for number in range(60)] + [b"v" * 5000]
        self.assertEqual([one.value(b"x-value") for one in self.backend.find(b"/evict")], expected)

    def test_4_3_the_client_shrinks_the_gateways_table(self) -> None:
        """
        Section 4.3.1: the gateway's encoder keeps to the table size that the client sets, at any time. The decoder of
        this test refuses blocks that do not.
        """
        line = b"x-repeated: the same line each time, which an encoder may index\r\n"
        self.backend.scripts[b"/repeated"] = play(answer(lines=line))
        for sizes in ((0,), (100, 0, 4096), (0, 65536, 0), (64, 4096, 0)):
            client = self.connect((Key.HEADER_TABLE_SIZE, 4096))
            for size in (4096, *sizes):
                client.send(settings((Key.HEADER_TABLE_SIZE, size)))
                self.assertTrue(client.barrier())
                client.decoder.max_allowed_table_size = size
                for _ in range(2):
                    found = client.ask(b"/repeated")
                    self.assertEqual((found.status, bool(found.value(b"x-repeated"))), (200, True))

    def test_4_3_long_responses(self) -> None:
        """
        Sections 4.2 and 6.10: a response whose fields do not fit into one frame goes on in CONTINUATION.
        """
        lines = b"".join(b"x-long-%d: %b\r\n" % (number, b"%d" % number * 3000) for number in range(8))
        self.backend.scripts[b"/long"] = play(answer(b"ok", lines=lines))
        client = self.connect()
        found = client.ask(b"/long")
        self.assertEqual((found.status, bytes(found.body)), (200, b"ok"))
        self.assertEqual(
            [found.value(b"x-long-%d" % number) for number in range(8)], [b"%d" % n * 3000 for n in range(8)]
        )
        self.assertTrue(client.of(Kind.CONTINUATION))
