"""
Tests of L{siger.worker.connection}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.worker.connection import Connection, _credentials, server_url


class AddressTests(SynchronousTestCase):
    """
    Where servers are.
    """

    def test_url(self) -> None:
        """
        An address is a URL, or becomes one; the port has a default.
        """
        for address, url in (
            ("localhost:4222", "nats://localhost:4222"),
            ("10.0.0.1", "nats://10.0.0.1:4222"),
            ("[::1]:4333", "nats://[::1]:4333"),
            ("tls://u:p@host:1", "tls://u:p@host:1"),
        ):
            self.assertEqual(server_url(address), url)

    def test_bad(self) -> None:
        """
        What is none is refused, without its password.
        """
        for address in ("", ":4222", "http://u:secret@x:1", "host:port", "host:99999", "nats://u:secret@h:1/path"):
            with self.assertRaises(ValueError) as caught:
                server_url(address)
            self.assertNotIn("secret", str(caught.exception))
        self.assertRaises(ValueError, Connection, [], {}, "x")

    def test_credentials(self) -> None:
        """
        Credentials of one URL hold for the servers that are found later, too.
        """
        self.assertEqual(_credentials(["nats://b:1", "nats://u%40:p%3A@a:1"]), {"user": "u@", "password": "p:"})
        self.assertEqual(_credentials(["nats://token@a:1"]), {"token": "token"})
        self.assertEqual(_credentials(["nats://a:1"]), {})
