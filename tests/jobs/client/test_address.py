"""
Tests of L{siger.jobs.client.address}.
"""

from __future__ import annotations

from http.client import HTTPSConnection
from ssl import CERT_REQUIRED

from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.address import DEFAULT_URL, Address
from siger.jobs.client.errors import TroubleError


class AddressTests(SynchronousTestCase):
    """
    Where a gateway is.
    """

    def test_parse(self) -> None:
        """
        A URL is read, with a default for everything but the host, and always written in the same way.
        """
        for text, expected, written in [
            (DEFAULT_URL, Address("http", "localhost", 8080), "http://localhost:8080"),
            ("localhost:80", Address("http", "localhost", 80), "http://localhost"),
            ("HTTPS://Example.com/", Address("https", "example.com", 443), "https://example.com"),
            (
                "https://example.com:8443/a/b/",
                Address("https", "example.com", 8443, "/a/b"),
                "https://example.com:8443/a/b",
            ),
            ("http://[::1]:1", Address("http", "::1", 1), "http://[::1]:1"),
        ]:
            found = Address.parse(text)
            self.assertEqual((found, str(found)), (expected, written))
            self.assertEqual(Address.parse(written), expected)

    def test_none(self) -> None:
        """
        What is no URL of a gateway is refused.
        """
        for text in (
            *("", "http://", "ftp://a", "http://a:b", "http://a:99999", "http://u:p@a", "http://a?x", "http://a#x"),
            *("http://a/b c", "http://é", "http://[::1", "http://a\r\nX: y"),
        ):
            with self.assertRaises(TroubleError, msg=text):
                Address.parse(text)

    def test_private(self) -> None:
        """
        A password can be read on the way to other hosts without TLS.
        """
        for text, private in [
            ("localhost", True),
            ("[::1]:8", True),
            ("a.example", False),
            ("https://a.example", True),
        ]:
            self.assertEqual(Address.parse(text).private, private)

    def test_connection(self) -> None:
        """
        Certificates are checked.
        """
        connection = Address.parse("https://a.example").connection(3)
        assert isinstance(connection, HTTPSConnection)
        context = connection._context  # type: ignore[attr-defined]
        self.assertEqual((context.verify_mode, context.check_hostname), (CERT_REQUIRED, True))
        self.assertEqual((connection.host, connection.port, connection.timeout), ("a.example", 443, 3))
