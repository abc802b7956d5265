"""
An issuer that publishes its keys on loopback, and what can be wrong with that.
"""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

__all__ = ["KeySite"]


class KeySite(Resource):
    """
    Publishes keys.

    @ivar content: the body of responses.
    @ivar code: their status.
    @ivar fields: their fields.
    @ivar mode: C{answer}, C{hang} before the response or C{stall} in the middle of it, C{flood} without end, or C{cut}
        the connection in the middle.
    @ivar paths: what was asked for.
    @ivar left: how many requests were given up by those who asked.
    @ivar port: where it listens.
    @ivar certificate: of a server with TLS, as PEM.
    """

    isLeaf = True

    def __init__(self, reactor: Any, tls: bool = False) -> None:
        super().__init__()
        self.content = b""
        self.code = 200
        self.fields: dict[bytes, bytes] = {b"content-type": b"application/json"}
        self.mode = "answer"
        self.paths: list[bytes] = []
        self.left = 0
        self.port = 0
        self.certificate = b""
        self._reactor = reactor
        self._context = self._make_context() if tls else None
        self._site = Site(self, timeout=None)
        self._listening: Any = None

    def publish(self, *keys: dict[str, Any]) -> None:
        """
        Publish these keys instead of others.
        """
        self.content = json.dumps({"keys": list(keys)}).encode()

    @property
    def url(self) -> str:
        """
        Where the keys are.
        """
        return f"{'http' if self._context is None else 'https'}://localhost:{self.port}/keys"

    def start(self) -> None:
        """
        Listen, on the same port as before.
        """
        if self._context is None:
            self._listening = self._reactor.listenTCP(self.port, self._site, interface="127.0.0.1")
        else:
            self._listening = self._reactor.listenSSL(self.port, self._site, self._context, interface="127.0.0.1")
        self.port = self._listening.getHost().port

    def stop(self) -> Deferred[None]:
        """
        Listen no more.
        """
        listening, self._listening = self._listening, None
        stopped: Deferred[None] = maybeDeferred(lambda: listening and listening.stopListening())
        return stopped

    def render(self, request: Request) -> int:
        self.paths.append(request.path)
        request.notifyFinish().addErrback(self._leave)
        if self.mode == "hang":
            return NOT_DONE_YET
        request.setResponseCode(self.code)
        for name, value in self.fields.items():
            request.setHeader(name, value)
        if self.mode == "answer":
            request.write(self.content)
            request.finish()
        elif self.mode == "flood":
            self._flood(request)
        else:
            request.setHeader(b"content-length", b"%d" % (len(self.content) + 1))
            request.write(self.content)
            if self.mode == "cut":
                request.loseConnection()
        return NOT_DONE_YET

    def _leave(self, failure: Any) -> None:
        self.left += 1

    def _flood(self, request: Any) -> None:
        def more(left: int) -> None:
            if self.left == left:
                request.write(b" " * 65536)
                self._reactor.callLater(0.002, more, left)

        more(self.left)

    def _make_context(self) -> DefaultOpenSSLContextFactory:
        directory = Path(tempfile.mkdtemp())
        key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = _self_signed(key).public_bytes(Encoding.PEM)
        file, key_file = directory / "certificate.pem", directory / "key.pem"
        file.write_bytes(self.certificate)
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        try:
            return DefaultOpenSSLContextFactory(str(key_file), str(file))
        finally:
            file.unlink()
            key_file.unlink()
            directory.rmdir()


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256())
