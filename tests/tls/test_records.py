"""
Tests of L{siger.tls.records}.
"""

from __future__ import annotations

from ssl import SSLError, TLSVersion

from twisted.trial.unittest import SynchronousTestCase

from siger.tls.records import Records
from tests.tls.peers import client_context, server_context

VERSIONS = (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3)


def connected(newest: TLSVersion = TLSVersion.TLSv1_3, protocols: tuple[str, ...] = ()) -> tuple[Records, Records]:
    """
    A client and a server that have shaken hands.
    """
    client = Records(client_context(*protocols, newest=newest), False, "a.example")
    server = Records(server_context(*protocols), True)
    secured = [False, False]
    while not all(secured):
        secured[0] = secured[0] or client.shake()
        server.feed(client.take())
        secured[1] = secured[1] or server.shake()
        client.feed(server.take())
    assert client.open() == b""  # tickets
    return client, server


class RecordsTests(SynchronousTestCase):
    """
    What one end seals, the other opens.
    """

    def test_both_ways(self) -> None:
        """
        Data of any length come as they were sent, in both versions and both directions.
        """
        for version in VERSIONS:
            client, server = connected(version)
            for sender, receiver in ((client, server), (server, client)):
                for size in (1, 16384, 16385, 1_000_000):
                    data = bytes(range(256)) * (size // 256 + 1)
                    receiver.feed(sender.seal(data[:size]))
                    self.assertEqual(data[:size], receiver.open())
                    self.assertFalse(receiver.pending)

    def test_protocol(self) -> None:
        """
        Both know what was agreed on, or that nothing was.
        """
        for protocols, agreed in (((), None), (("h2", "http/1.1"), b"h2")):
            client, server = connected(protocols=protocols)
            self.assertEqual((agreed, agreed), (client.protocol, server.protocol))

    def test_peer_certificate(self) -> None:
        """
        A client has seen one, a server has not.
        """
        client, server = connected()
        self.assertTrue((client.peer_certificate or b"").startswith(b"\x30"))
        self.assertIsNone(server.peer_certificate)

    def test_parts(self) -> None:
        """
        A record that has not come as a whole waits, and is pending meanwhile.
        """
        client, server = connected()
        sealed = client.seal(b"one") + client.seal(b"two")
        server.feed(sealed[:-1])
        self.assertEqual(b"one", server.open())
        server.feed(sealed[-1:])
        self.assertTrue(server.pending)
        self.assertEqual(b"two", server.open())

    def test_finish(self) -> None:
        """
        An end that will send no more says so, and still reads what the other sends; until that one says it, too.
        """
        for version in VERSIONS:
            client, server = connected(version)
            client.feed(server.seal(b"last words") + server.finish())
            self.assertEqual((b"last words", True), (client.open(), client.ended))
            server.feed(client.seal(b"more"))
            self.assertEqual((b"more", False), (server.open(), server.ended))
            server.feed(client.finish())
            self.assertEqual((b"", True), (server.open(), server.ended))

    def test_finish_with_unread(self) -> None:
        """
        What was not opened before is not lost by that.
        """
        for version in VERSIONS:
            client, server = connected(version)
            server.feed(client.seal(b"unread"))
            client.feed(server.finish())
            self.assertTrue(client.open() == b"" and client.ended)
            self.assertTrue(server.pending)
            server.feed(client.seal(b", and more") + client.seal(b", and more"))
            self.assertEqual(b"unread, and more, and more", server.open())

    def test_finish_before_handshake(self) -> None:
        """
        Before there is anything to end, there is nothing to say.
        """
        self.assertEqual(b"", Records(server_context(), True).finish())

    def test_tampered(self) -> None:
        """
        A record that was changed on its way is an error, and the other end is told.
        """
        client, server = connected()
        sealed = bytearray(client.seal(b"x" * 100))
        sealed[-1] ^= 1
        server.feed(bytes(sealed))
        self.assertRaises(SSLError, server.open)
        client.feed(server.take())
        self.assertRaises(SSLError, client.open)

    def test_no_handshake(self) -> None:
        """
        What is no TLS at all is an error.
        """
        server = Records(server_context(), True)
        server.feed(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        self.assertRaises(SSLError, server.shake)
