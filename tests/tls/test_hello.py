"""
Tests of L{siger.tls.hello}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.tls.hello import offered
from siger.tls.records import Records
from tests.tls.peers import client_context, hello, server_context

NAMES = st.lists(st.text("abc/.012", min_size=1, max_size=9), max_size=9)


def fragments(record: bytes, size: int) -> bytes:
    """
    The same message in records of C{size} bytes.
    """
    message = record[5:]
    parts = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(record[:3] + len(part).to_bytes(2, "big") + part for part in parts)


def first_message(extensions: bytes) -> bytes:
    """
    A minimal first message with these extensions.
    """
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0" + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


class OfferedTests(SynchronousTestCase):
    """
    What a client offers.
    """

    @given(NAMES)
    def test_offered(self, names: list[str]) -> None:
        """
        What OpenSSL writes is read, whatever the names.
        """
        self.assertEqual(tuple(name.encode() for name in names), offered(hello(*names)))

    def test_incomplete(self) -> None:
        """
        Until the whole message is there, more is waited for; what comes behind it does not matter.
        """
        data = hello("h2", "http/1.1")
        self.assertEqual([None], list({offered(data[:end]) for end in range(len(data))}))
        self.assertEqual((b"h2", b"http/1.1"), offered(data + b"anything"))

    def test_fragments(self) -> None:
        """
        A message may be spread over several records, as OpenSSL allows it, too.
        """
        data = hello("h2")
        for size in (len(data) // 15, 100, 300):
            self.assertEqual((b"h2",), offered(fragments(data, size)), size)
        server = Records(server_context("h2"), True)
        server.feed(fragments(data, 100))
        self.assertFalse(server.shake())
        self.assertNotEqual(b"", server.take())

    def test_crumbs(self) -> None:
        """
        One that is spread over so many that each further byte would cost a long look is left to OpenSSL.
        """
        for size in (1, 3, 4, 5):
            self.assertEqual((), offered(fragments(hello("h2"), size)), size)
        self.assertIsNone(offered(fragments(hello("h2"), 1)[: 6 * 15]))

    def test_without(self) -> None:
        """
        Without the extension, or any at all, nothing is offered.
        """
        self.assertEqual((), offered(hello()))
        self.assertEqual((), offered(first_message(b"")))
        self.assertEqual((), offered(first_message(b"\0\0")))
        self.assertEqual((), offered(first_message(b"\0\x04\0\x17\0\0")))

    def test_others(self) -> None:
        """
        What is no such message, or a broken one, is left to OpenSSL.
        """
        for data in (
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01\0\0",  # a record with nothing in it
            b"\x16\x03\x01\0\x04\x02\0\0\0",  # another message
            b"\x16\x03\x01\0\x04\x01\x02\0\0",  # one that is far too large
            first_message(b"\0\x09\0\x10\0\x06\0\x03\x02h2"),  # extensions that end early
            first_message(b"\0\x06\0\x10\0\x02\0\x09"),  # names that do
            first_message(b"\0\x08\0\x10\0\x04\0\x02\x09h"),  # a name that does
        ):
            self.assertEqual((), offered(data), data)

    def test_endless(self) -> None:
        """
        Nobody is waited for without end.
        """
        record = b"\x16\x03\x01\x40\0\x01\0\xff\xff" + bytes(16380)
        endless = record + record[:5] * 20000
        self.assertIsNone(offered(endless[:16389]))
        self.assertEqual((), offered(endless))

    @given(st.binary(max_size=99))
    def test_anything(self, data: bytes) -> None:
        """
        Nothing makes it fail.
        """
        offered(data)

    @given(st.data())
    def test_mutations(self, data: st.DataObject) -> None:
        """
        Nor does a message with a few bytes changed.
        """
        changed = bytearray(hello("h2"))
        for _ in range(data.draw(st.integers(1, 5))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        offered(bytes(changed))


class AgreementTests(SynchronousTestCase):
    """
    OpenSSL's view of the same.
    """

    def test_no_overlap(self) -> None:
        """
        OpenSSL, as Python uses it, goes on when nothing that is offered is known: that is why there is this module.
        """
        server = Records(server_context("h2"), True)
        server.feed(hello("nothing/known"))
        self.assertFalse(server.shake())
        client = Records(client_context("nothing/known"), False, "a.example")
        self.assertFalse(client.shake())
        server = Records(server_context("h2"), True)
        server.feed(client.take())
        server.shake()
        client.feed(server.take())
        self.assertTrue(client.shake())
        self.assertIsNone(client.protocol)
