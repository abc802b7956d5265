"""
Tests for L{siger.http.proxy_protocol}.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.proxy_protocol import LONGEST_BLOCK, SIGNATURE, HeaderError, crc32c, parse_header
from tests.http.generators import noise, properties

ADDRESSES4 = IPv4Address("192.0.2.7").packed + IPv4Address("198.51.100.1").packed + b"\x9c\x40\x00\x50"
ADDRESSES6 = IPv6Address("2001:db8::7").packed + IPv6Address("2001:db8::1").packed + b"\x9c\x40\x00\x50"
REST = b"GET / HTTP/1.1\r\n\r\n"

FROM_HAPROXY = bytes.fromhex(
    "0d0a0d0a000d0a515549540a2121002e0000000000000000000000000000000100000000000000000000000000000001a2964b68"
    "030004ce87dfab050000"
)
"""What HAProxy 2.6 sends with C{send-proxy-v2 proxy-v2-options crc32c,unique-id}."""


def line(text: str) -> bytes:
    """
    A header of version 1.
    """
    return f"PROXY {text}\r\n".encode("latin-1")


def block(content: bytes, family: int = 0x11, command: int = 0x21, length: int | None = None) -> bytes:
    """
    A header of version 2.
    """
    length = len(content) if length is None else length
    return SIGNATURE + bytes((command, family)) + length.to_bytes(2, "big") + content


def extension(kind: int, value: bytes) -> bytes:
    """
    An extension of version 2.
    """
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def summed(content: bytes, family: int = 0x11) -> bytes:
    """
    A header of version 2 that ends with its checksum.
    """
    header = block(content + extension(3, bytes(4)), family)
    return header[:-4] + crc32c(header).to_bytes(4, "big")


ipv4 = st.ip_addresses(v=4)
ipv6 = st.ip_addresses(v=6)
ports = st.integers(0, 65535)


@st.composite
def lines(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """
    Headers of version 1, and what they announce.
    """
    version = draw(st.sampled_from((4, 6)))
    source, target = draw(st.ip_addresses(v=version)), draw(st.ip_addresses(v=version))
    written = source.exploded if draw(st.booleans()) else str(source).upper()
    header = line(f"TCP{version} {written} {target} {draw(ports)} {draw(ports)}")
    return header, text_of(source)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """
    Headers of version 2, and what they announce.
    """
    version = draw(st.sampled_from((4, 6)))
    source, target = draw(st.ip_addresses(v=version)), draw(st.ip_addresses(v=version))
    content = source.packed + target.packed + draw(ports).to_bytes(2, "big") + draw(ports).to_bytes(2, "big")
    kinds = st.integers(0, 255).filter(lambda kind: kind != 3)
    for kind, value in draw(st.lists(st.tuples(kinds, st.binary(max_size=20)), max_size=4)):
        content += extension(kind, value)
    make = draw(st.sampled_from((summed, block)))
    return make(content, 0x11 if version == 4 else 0x21), text_of(source)


headers = lines() | blocks()


def text_of(address: IPv4Address | IPv6Address) -> bytes:
    """
    An address as it is announced: one client has one text.
    """
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address).encode()


class HeaderMixin(SynchronousTestCase):
    """
    What the tests below have in common.
    """

    def announces(self, header: bytes, client: bytes) -> None:
        """
        The header is complete with its last byte and not before, whatever follows, and announces this client.
        """
        self.assertEqual(parse_header(header), (client, len(header)), header)
        self.assertEqual(parse_header(header + REST), (client, len(header)), header)
        for end in range(len(header)):
            self.assertIsNone(parse_header(header[:end]), header[:end])

    def refused(self, data: bytes, at: int | None = None) -> None:
        """
        This is an error.

        @param at: how many bytes of it are enough to tell; else, all.
        """
        at = len(data) if at is None else at
        self.assertRaises(HeaderError, parse_header, data)
        self.assertRaises(HeaderError, parse_header, data[:at])
        for end in range(at):
            self.assertIsNone(parse_header(data[:end]), data[:end])


class VersionOneTests(HeaderMixin):
    """
    Tests for headers of version 1.
    """

    def test_announced(self) -> None:
        """
        The source address is the client's, in its one normal form: row D3.
        """
        for text, client in (
            ("TCP4 192.0.2.7 198.51.100.1 40000 80", b"192.0.2.7"),
            ("TCP4 255.255.255.255 255.255.255.255 65535 65535", b"255.255.255.255"),
            ("TCP4 0.0.0.0 0.0.0.0 0 0", b"0.0.0.0"),
            ("TCP6 2001:db8::7 2001:db8::1 40000 80", b"2001:db8::7"),
            ("TCP6 2001:DB8:0:0:0:0:0:7 ::1 1 2", b"2001:db8::7"),
            ("TCP6 " + ("ffff:" * 7 + "ffff ") * 2 + "65535 65535", b"ffff:" * 7 + b"ffff"),
            ("TCP6 ::ffff:192.0.2.7 ::1 1 2", b"192.0.2.7"),
            ("TCP6 ::ffff:c000:207 ::1 1 2", b"192.0.2.7"),
        ):
            self.announces(line(text), client)

    def test_unknown(self) -> None:
        """
        Of what the sender does not know, nothing is announced, and what it says all the same is ignored.
        """
        for text in ("UNKNOWN", "UNKNOWN ", "UNKNOWN 1.2.3.4 \xff\0", "UNKNOWN " + "f" * 91):
            self.announces(line(text), b"")

    def test_too_long(self) -> None:
        """
        A line has at most 107 bytes.
        """
        self.assertEqual(len(line("UNKNOWN " + "f" * 91)), 107)
        self.refused(line("UNKNOWN " + "f" * 92), 107)
        self.refused(b"PROXY UNKNOWN " + b"f" * 5000, 107)

    def test_line_ends(self) -> None:
        """
        Only CRLF ends a line: anything that comes close is an error when it is seen.
        """
        for end, at in ((b"\n", 1), (b"\r\r\n", 2), (b"\r ", 2), (b"\0\r\n", 3)):
            header = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 80"
            self.refused(header + end, len(header) + at)
        self.refused(b"PROXY UNKNOWN\n", 14)
        self.refused(b"PROXY UNKNOWN \r\r\n", 16)

    def test_malformed(self) -> None:
        """
        Anything else than exactly the form that is specified is an error: one space, plain decimal numbers, addresses
        of the family that was named.
        """
        for text in (
            "TCP4 192.0.2.7 198.51.100.1 40000 65536",
            "TCP4 192.0.2.7 198.51.100.1 65536 80",
            "TCP4 192.0.2.7 198.51.100.1 99999 80",
            "TCP4 192.0.2.7 198.51.100.1 040000 80",
            "TCP4 192.0.2.7 198.51.100.1 00 80",
            "TCP4 192.0.2.7 198.51.100.1 +1 80",
            "TCP4 192.0.2.7 198.51.100.1 1_0 80",
            "TCP4 192.0.2.7 198.51.100.1 -1 80",
            "TCP4 192.0.2.7 198.51.100.1 \xb2 80",
            "TCP4 192.0.2.7 198.51.100.1 40000",
            "TCP4 192.0.2.7 198.51.100.1 40000 ",
            "TCP4 192.0.2.7 198.51.100.1 40000 80 ",
            "TCP4 192.0.2.7 198.51.100.1 40000 80 1",
            "TCP4  192.0.2.7 198.51.100.1 40000 80",
            "TCP4 192.0.2.7\t198.51.100.1 40000 80",
            "TCP4 192.0.2.256 198.51.100.1 40000 80",
            "TCP4 192.0.2.7 198.51.100.256 40000 80",
            "TCP4 192.0.02.7 198.51.100.1 40000 80",
            "TCP4 192.0.2 198.51.100.1 40000 80",
            "TCP4 192.0.2.7.1 198.51.100.1 40000 80",
            "TCP4 3221225991 198.51.100.1 40000 80",
            "TCP4 2001:db8::7 2001:db8::1 40000 80",
            "TCP4 192.0.2.7 2001:db8::1 40000 80",
            "TCP6 192.0.2.7 198.51.100.1 40000 80",
            "TCP6 2001:db8::7 198.51.100.1 40000 80",
            "TCP6 2001:db8::7%1 2001:db8::1 40000 80",
            "TCP6 [2001:db8::7] 2001:db8::1 40000 80",
            "TCP6 2001::db8::7 2001:db8::1 40000 80",
            "TCP6 2001:db8::g 2001:db8::1 40000 80",
            "TCP6 2001:db8:7 2001:db8::1 40000 80",
            "TCP6 ::00001 2001:db8::1 40000 80",
            "TCP4 ",
            "UNKNOWN\t1",
            "UNKNOWNS",
        ):
            self.refused(line(text))

    def test_other_beginnings(self) -> None:
        """
        What begins otherwise is an error at its first wrong byte: nobody waits for a line to end.
        """
        for data, at in (
            (b"GET / HTTP/1.1\r\n\r\n", 1),
            (b"\0", 1),
            (b"PRI * HTTP/2.0\r\n\r\n", 3),
            (b"PROXY tcp4 1.2.3.4", 7),
            (b"PROXY TCP5 1.2.3.4", 10),
            (b"PROXY  TCP4 1.2.3.4", 7),
            (b"PROXY UDP4 1.2.3.4", 8),
            (b"proxy TCP4 1.2.3.4", 1),
            (b"\x16\x03\x01\x02\x00", 1),
            (b" PROXY TCP4 1.2.3.4", 1),
        ):
            self.refused(data, at)


class VersionTwoTests(HeaderMixin):
    """
    Tests for headers of version 2.
    """

    def test_announced(self) -> None:
        """
        The source address is the client's, in its one normal form: row D3.
        """
        self.announces(block(ADDRESSES4), b"192.0.2.7")
        self.announces(block(ADDRESSES6, 0x21), b"2001:db8::7")
        mapped = IPv6Address("::ffff:192.0.2.7").packed
        self.announces(block(mapped + ADDRESSES6[16:], 0x21), b"192.0.2.7")

    def test_haproxy(self) -> None:
        """
        What HAProxy sends is understood, its checksum included.
        """
        self.announces(FROM_HAPROXY, b"::1")
        self.refused(FROM_HAPROXY[:-4] + b"\0" + FROM_HAPROXY[-3:])

    def test_local(self) -> None:
        """
        A connection of the balancer's own is just that, whatever else the header says of it.
        """
        for content in (b"", ADDRESSES4, b"\xff" * 50):
            for family in (0x00, 0x11, 0x21, 0xFF):
                self.announces(block(content, family, 0x20), b"")

    def test_other_families(self) -> None:
        """
        What cannot be the other end of a TCP connection, or is not known, announces nobody.
        """
        for family, content in (
            (0x00, b""),
            (0x00, ADDRESSES4),
            (0x01, b"any"),
            (0x02, b""),
            (0x10, b""),
            (0x12, ADDRESSES4),
            (0x20, b""),
            (0x22, ADDRESSES6),
            (0x30, b""),
            (0x31, b"/run/a".ljust(216, b"\0")),
            (0x32, b"/run/a".ljust(216, b"\0") + extension(4, b"a")),
        ):
            self.announces(block(content, family), b"")

    def test_extensions(self) -> None:
        """
        Extensions are skipped, up to the greatest length of a header.
        """
        self.announces(block(ADDRESSES4 + extension(4, b"") + extension(0x20, b"abc")), b"192.0.2.7")
        room = LONGEST_BLOCK - len(ADDRESSES4) - 3
        self.announces(block(ADDRESSES4 + extension(0xEA, b"a" * room)), b"192.0.2.7")

    def test_too_long(self) -> None:
        """
        A longer one is an error as soon as it says so.
        """
        self.refused(block(ADDRESSES4 + extension(0xEA, b"a" * 5000), length=LONGEST_BLOCK + 1), 16)
        self.refused(block(b"", length=65535, command=0x20), 16)

    def test_broken_extensions(self) -> None:
        """
        An extension that does not end where the header does is an error.
        """
        for broken in (b"\x04", b"\x04\0", b"\x04\0\x01", extension(4, b"ab")[:-1], extension(4, b"") + b"\0"):
            self.refused(block(ADDRESSES4 + broken))

    def test_checksum(self) -> None:
        """
        A header with a checksum has to have the right one.
        """
        header = summed(ADDRESSES4)
        self.announces(header, b"192.0.2.7")
        self.announces(summed(ADDRESSES6 + extension(1, b"h2"), 0x21), b"2001:db8::7")
        # At 28 it says that this is a checksum.
        for position in set(range(16, len(header))) - {28}:
            spoilt = bytearray(header)
            spoilt[position] ^= 1
            self.assertRaises(HeaderError, parse_header, bytes(spoilt))
        for length in (0, 3, 5):
            self.refused(block(ADDRESSES4 + extension(3, bytes(length))))
        start = block(ADDRESSES4, length=20) + b"\x03\0\x05"
        self.refused(start + b"\0" + crc32c(start + bytes(4)).to_bytes(4, "big"))

    def test_crc32c(self) -> None:
        """
        The checksum is that of RFC 9260, whose check value for these digits is well known.
        """
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)
        self.assertEqual(crc32c(b""), 0)

    def test_no_room(self) -> None:
        """
        A header too short for the addresses of its family is an error.
        """
        for family, length in ((0x11, 12), (0x12, 12), (0x21, 36), (0x22, 36), (0x31, 216), (0x32, 216)):
            for short in (0, 1, length - 1):
                self.refused(block(b"\1" * short, family))

    def test_unassigned(self) -> None:
        """
        Other versions, commands, families and transports are errors at their byte.
        """
        for command in (0x00, 0x10, 0x11, 0x22, 0x2F, 0x31, 0xFF):
            self.refused(block(ADDRESSES4, command=command), 13)
        for family in (0x03, 0x13, 0x1F, 0x41, 0xF1, 0xFF):
            self.refused(block(ADDRESSES4, family), 14)

    def test_signature(self) -> None:
        """
        What only begins like the signature is an error at its first wrong byte.
        """
        for position in range(1, 12):
            wrong = bytearray(block(ADDRESSES4))
            wrong[position] ^= 0x40
            self.refused(bytes(wrong), position + 1)


class PropertyTests(SynchronousTestCase):
    """
    What holds for any bytes.
    """

    @properties
    @given(headers, st.binary(max_size=40))
    def test_round_trip(self, written: tuple[bytes, bytes], rest: bytes) -> None:
        """
        A header announces the address that was written into it, whatever follows: row D3.
        """
        header, client = written
        self.assertEqual(parse_header(header + rest), (client, len(header)))

    @properties
    @given(headers)
    def test_every_split(self, written: tuple[bytes, bytes]) -> None:
        """
        It is complete with its last byte, and not before.
        """
        header, client = written
        for end in range(len(header)):
            self.assertIsNone(parse_header(header[:end]))
        self.assertEqual(parse_header(header), (client, len(header)))

    @properties
    @given(headers, st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=2), st.integers(0, 2)), max_size=3))
    def test_mutated(self, written: tuple[bytes, bytes], changes: list[tuple[int, bytes, int]]) -> None:
        """
        Spoilt headers are an error, or announce what an address can be read from, or nothing: nothing else happens.
        """
        data = written[0]
        for position, added, dropped in changes:
            data = data[:position] + added + data[position + dropped :]
        self.harmless(data + REST)

    @properties
    @given(lines(), st.integers(0, 106), st.integers(0, 255))
    def test_one_byte(self, written: tuple[bytes, bytes], position: int, byte: int) -> None:
        """
        A line with another byte is no header, or one that says what it says: its address is the text in it.
        """
        header = bytearray(written[0])
        header[position % len(header)] = byte
        try:
            found = parse_header(bytes(header))
        except HeaderError:
            return
        if found is not None and found[0]:
            words = bytes(header).split(b" ")
            self.assertEqual(found[0], text_of(ip_address(words[2].decode("ascii"))))

    @properties
    @given(st.binary(min_size=12, max_size=12), st.integers(16, 34).filter(lambda at: at != 28), st.integers(1, 255))
    def test_summed(self, addresses: bytes, position: int, flip: int) -> None:
        """
        With a checksum in it, no other byte behind the fixed part goes unnoticed.
        """
        header = summed(addresses)
        spoilt = header[:position] + bytes((header[position] ^ flip,)) + header[position + 1 :]
        self.assertRaises(HeaderError, parse_header, spoilt)

    @properties
    @given(noise(b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"1.2.3.4 ", b"::1 ", b"80", SIGNATURE, b"\x21\x11\0\x0c"))
    def test_any_bytes(self, data: bytes) -> None:
        """
        Whatever comes, it is a header, the beginning of one, or an error; and never a header once it was an error.
        """
        self.harmless(data)
        failed = False
        for end in range(len(data) + 1):
            try:
                parse_header(data[:end])
                self.assertFalse(failed)
            except HeaderError:
                failed = True

    def harmless(self, data: bytes) -> None:
        """
        These bytes announce an address in its normal form, or nobody, or are an error.
        """
        try:
            found = parse_header(data)
        except HeaderError:
            return
        if found is not None:
            client, length = found
            self.assertLessEqual(length, len(data))
            if client:
                self.assertEqual(client, text_of(ip_address(client.decode("ascii"))))
