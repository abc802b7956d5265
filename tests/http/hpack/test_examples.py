"""
The examples of RFC 7541 appendix C, each with the dynamic table that it leaves.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.http.hpack.decoder import Decoder, HpackError
from siger.http.hpack.encoder import pack_field, pack_integer, pack_secret
from tests.http.hpack.blocks import decoder, pairs, resized, table

Fields = list[tuple[bytes, bytes]]
Step = tuple[str, Fields, Fields, int]

GET = (b":method", b"GET")
HTTP = (b":scheme", b"http")
ROOT = (b":path", b"/")
HOST = (b":authority", b"www.example.com")
NO_CACHE = (b"cache-control", b"no-cache")
CUSTOM = (b"custom-key", b"custom-value")

FOUND = (b":status", b"302")
REDIRECTED = (b":status", b"307")
PRIVATE = (b"cache-control", b"private")
DATE = (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT")
LATER = (b"date", b"Mon, 21 Oct 2013 20:13:22 GMT")
LOCATION = (b"location", b"https://www.example.com")
GZIP = (b"content-encoding", b"gzip")
COOKIE = (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")


def requests(*blocks: str) -> list[Step]:
    """
    The requests of C.3 and C.4: block, fields, table and its size.
    """
    return [
        (blocks[0], [GET, HTTP, ROOT, HOST], [HOST], 57),
        (blocks[1], [GET, HTTP, ROOT, HOST, NO_CACHE], [NO_CACHE, HOST], 110),
        (
            blocks[2],
            [GET, (b":scheme", b"https"), (b":path", b"/index.html"), HOST, CUSTOM],
            [CUSTOM, NO_CACHE, HOST],
            164,
        ),
    ]


def responses(*blocks: str) -> list[Step]:
    """
    The responses of C.5 and C.6, whose table of 256 bytes has to evict.
    """
    return [
        (blocks[0], [FOUND, PRIVATE, DATE, LOCATION], [LOCATION, DATE, PRIVATE, FOUND], 222),
        (blocks[1], [REDIRECTED, PRIVATE, DATE, LOCATION], [REDIRECTED, LOCATION, DATE, PRIVATE], 222),
        (
            blocks[2],
            [(b":status", b"200"), PRIVATE, LATER, LOCATION, GZIP, COOKIE],
            [COOKIE, GZIP, LATER],
            215,
        ),
    ]


class IntegerTests(SynchronousTestCase):
    """
    C.1: integers.
    """

    def test_packed(self) -> None:
        """
        They are packed as they are there.
        """
        self.assertEqual(pack_integer(10, 5, 0), b"\x0a")
        self.assertEqual(pack_integer(1337, 5, 0), b"\x1f\x9a\x0a")
        self.assertEqual(pack_integer(42, 8, 0), b"\x2a")

    def test_decoded(self) -> None:
        """
        1337 with a prefix of five bits is a table size as good as another: one byte more would not be allowed.
        """
        self.assertEqual(decoder(1337).decode(b"\x3f\x9a\x0a"), [])
        self.assertRaises(HpackError, decoder(1336).decode, b"\x3f\x9a\x0a")


class RepresentationTests(SynchronousTestCase):
    """
    C.2: each representation of a field.
    """

    def check(self, block: str, field: tuple[bytes, bytes], kept: bool, never_indexed: bool = False) -> None:
        """
        Decode one, and see whether it is in the table afterwards.
        """
        met = decoder()
        [entry] = met.decode(bytes.fromhex(block))
        self.assertEqual((entry.name, entry.value), field)
        self.assertEqual(entry.never_indexed, never_indexed)
        self.assertEqual(pairs(table(met)), [field] if kept else [])

    def test_indexing(self) -> None:
        """
        C.2.1: a literal that is added.
        """
        self.check("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header"), kept=True)

    def test_without_indexing(self) -> None:
        """
        C.2.2: a literal that is not; we would write it so, too.
        """
        block = "040c2f73616d706c652f70617468"
        self.check(block, (b":path", b"/sample/path"), kept=False)
        self.assertEqual(pack_field(b":path", b"/sample/path").hex(), block)

    def test_never_indexed(self) -> None:
        """
        C.2.3: a literal that never must be; we would write it so, too.
        """
        block = "100870617373776f726406736563726574"
        self.check(block, (b"password", b"secret"), kept=False, never_indexed=True)
        self.assertEqual(pack_secret(b"password", b"secret").hex(), block)

    def test_indexed(self) -> None:
        """
        C.2.4: a field of the static table; we would write it so, too.
        """
        self.check("82", (b":method", b"GET"), kept=False)
        self.assertEqual(pack_field(b":method", b"GET").hex(), "82")


class SequenceTests(SynchronousTestCase):
    """
    C.3 to C.6: messages on one connection.
    """

    def check(self, met: Decoder, steps: list[Step]) -> None:
        """
        Decode block after block, and look at the table each time.
        """
        for block, expected, remembered, size in steps:
            entries = met.decode(bytes.fromhex(block))
            self.assertEqual(pairs(entries), expected)
            self.assertFalse(met.oversized)
            kept = table(met)
            self.assertEqual(pairs(kept), remembered)
            self.assertEqual(sum(entry.size for entry in kept), size)

    def test_requests(self) -> None:
        """
        C.3: requests, raw.
        """
        steps = requests(
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        )
        self.check(decoder(), steps)

    def test_requests_huffman(self) -> None:
        """
        C.4: requests, Huffman-coded.
        """
        steps = requests(
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        )
        self.check(decoder(), steps)

    def test_responses(self) -> None:
        """
        C.5: responses, raw.
        """
        steps = responses(
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470"
            "733a2f2f7777772e6578616d706c652e636f6d",
            "4803333037c1c0bf",
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b"
            "48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        )
        self.check(decoder(256), steps)

    def test_responses_huffman(self) -> None:
        """
        C.6: responses, Huffman-coded, after the table was made so small by a change of its size.
        """
        steps = responses(
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82"
            "ae43d3",
            "4883640effc1c0bf",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5"
            "af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        )
        met = decoder()
        met.decode(resized(256))
        self.check(met, steps)
