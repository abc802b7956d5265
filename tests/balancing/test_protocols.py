"""
Tests for L{siger.balancing.protocols}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Instance
from siger.balancing.protocols import is_protocol, protocol_of

ALL = ("http1", "h2c", "h2", "https")


class ProtocolOfTests(SynchronousTestCase):
    """
    Tests for L{protocol_of}.
    """

    def spoken(self, *tags: str, **meta: str) -> list[str]:
        """
        What an instance with these tags and this meta speaks, for each setting of its service.
        """
        instance = Instance("10.0.0.1", 80, tags=frozenset(tags), meta=meta)
        return [protocol_of(setting, instance) for setting in ALL]

    def test_setting(self) -> None:
        """
        An instance that says nothing speaks what its service does.
        """
        self.assertEqual(self.spoken(), list(ALL))
        self.assertEqual(self.spoken("gpu", "GRPC", zone="a", protocol=""), list(ALL))

    def test_meta(self) -> None:
        """
        A word that settles it goes over the setting, in any case of letters, but never turns TLS off.
        """
        for word, plain, secure in [
            ("http", "http1", "https"),
            ("http1", "http1", "https"),
            ("HTTP/1.1", "http1", "https"),
            ("h2c", "h2c", "h2"),
            (" H2C ", "h2c", "h2"),
            ("https", "https", "https"),
            ("grpcs", "h2", "h2"),
        ]:
            self.assertTrue(is_protocol(word), word)
            self.assertEqual(self.spoken(protocol=word), [plain, plain, secure, secure], word)

    def test_tls(self) -> None:
        """
        A word for HTTP/2 leaves it to the service whether there is TLS.
        """
        for word in ("grpc", "h2", "http2", "gRPC"):
            self.assertTrue(is_protocol(word), word)
            self.assertEqual(self.spoken(protocol=word), ["h2c", "h2c", "h2", "h2"], word)

    def test_unknown(self) -> None:
        """
        Any other word says nothing.
        """
        for word in ("", "tcp", "h3", "http/2", "grpc,h2c", "https1", "\u0130"):
            self.assertFalse(is_protocol(word), word)
            self.assertEqual(self.spoken(protocol=word), list(ALL), word)

    def test_tags(self) -> None:
        """
        Tags speak where meta does not.
        """
        for tag in ("grpc", "h2", "h2c"):
            self.assertEqual(self.spoken("gpu", tag), ["h2c", "h2c", "h2", "h2"], tag)
            self.assertEqual(self.spoken(tag, protocol="tcp"), ["h2c", "h2c", "h2", "h2"], tag)
            self.assertEqual(self.spoken(tag, protocol="http"), ["http1", "http1", "https", "https"], tag)
        self.assertEqual(self.spoken("http1", "https", "http2"), list(ALL))

    def test_grpc_services(self) -> None:
        """
        Who has gRPC services speaks HTTP/2, unless it says something else.
        """
        self.assertEqual(self.spoken(**{"grpc-services": "a.B"}), ["h2c", "h2c", "h2", "h2"])
        self.assertEqual(self.spoken(**{"grpc-services": ""}), list(ALL))
        self.assertEqual(self.spoken(protocol="https", **{"grpc-services": "a.B"}), ["https"] * 4)
