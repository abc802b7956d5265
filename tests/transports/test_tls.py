"""
Tests for L{siger.transports.tls}.
"""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.ssl import Certificate, CertificateOptions, PrivateCertificate, optionsForClientTLS
from zope.interface.verify import verifyObject

from tests.transports.peers import (
    DialingFactory,
    DirectRecorder,
    Recorder,
    ServingFactory,
    TransportTestCase,
)
from tests.transports.test_producing import CHUNK, Puller, Pusher

NAME = "server.test"
MANY = bytes(range(256)) * 4096


def make_certificate() -> PrivateCertificate:
    """
    Make a self-signed certificate for L{NAME}.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    return made


class TLSTestCase(TransportTestCase):
    """
    Has a certificate.
    """

    certificate: PrivateCertificate | None = None

    def setUp(self) -> None:
        """
        Make the certificate, once.
        """
        super().setUp()
        if TLSTestCase.certificate is None:
            TLSTestCase.certificate = make_certificate()
        self.server_options: CertificateOptions = TLSTestCase.certificate.options()

    def client_options(self) -> Any:
        """
        Make the options of a client that verifies the server.
        """
        assert self.certificate is not None
        return optionsForClientTLS(NAME, trustRoot=Certificate(self.certificate.original))


class SSLTests(TLSTestCase):
    """
    Tests for C{listenSSL} and C{connectSSL}.
    """

    async def ssl_pair(self, server: Any = Recorder, client: Any = Recorder) -> tuple[Any, Any]:
        """
        Connect two protocols over TLS.
        """
        port = self.reactor.listenSSL(0, ServingFactory(server), self.server_options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        dialing = DialingFactory(client)
        self.reactor.connectSSL("127.0.0.1", port.getHost().port, dialing, self.client_options())
        built = port.factory.wrappedFactory.built
        await self.until(lambda: built and dialing.built and built[0].transport and dialing.built[0].transport)
        for protocol in (built[0], dialing.built[0]):
            self.addCleanup(self.close, protocol)
        return built[0], dialing.built[0]

    async def test_bytes_both_ways(self) -> None:
        """
        Bytes pass both ways, many of them, and the close comes after the last; for marked protocols too.
        """
        for cls in (Recorder, DirectRecorder):
            server, client = await self.ssl_pair(cls, cls)
            client.transport.write(b"request")
            await self.until(lambda server=server: server.data == b"request")
            self.assertTrue(ISSLTransport.providedBy(server.transport))
            self.assertEqual(client.transport.getPeerCertificate().get_subject().CN, NAME)
            server.transport.write(MANY)
            server.transport.loseConnection()
            await self.until(lambda server=server, client=client: server.reason and client.reason)
            self.assertEqual(client.data, MANY)
            client.reason.trap(ConnectionDone)

    async def test_producers(self) -> None:
        """
        Producers of both kinds are paused and resumed through TLS.
        """
        for make, streaming in ((Pusher, True), (Puller, False)):
            server, client = await self.ssl_pair()
            client.transport.write(b"x")
            await self.until(lambda server=server: server.data)
            producer = make(server.transport, 500)
            client.transport.pauseProducing()
            server.transport.registerProducer(producer, streaming)
            if isinstance(producer, Pusher):
                producer.push()
            await self.pause()
            self.assertGreater(producer.left, 0)
            client.transport.resumeProducing()
            await self.until(lambda client=client: len(client.data) == 500 * len(CHUNK))
            client.transport.loseConnection()
            await self.until(lambda server=server, client=client: server.reason and client.reason)


class StartTLSTests(TLSTestCase):
    """
    Tests for C{startTLS}.
    """

    async def secured(self) -> tuple[Any, Any]:
        """
        Connect two protocols and have them turn to TLS.
        """
        server, client = await self.pair(DirectRecorder, Recorder)
        client.transport.write(b"plain")
        await self.until(lambda: server.data == b"plain")
        server.transport.startTLS(self.server_options)
        client.transport.startTLS(self.client_options())
        return server, client

    async def test_bytes_both_ways(self) -> None:
        """
        After C{startTLS} everything is encrypted, and the transport says so.
        """
        server, client = await self.secured()
        for transport in (server.transport, client.transport):
            self.assertTrue(transport.TLS)
            verifyObject(ISSLTransport, transport)
        client.transport.write(b" and ")
        client.transport.writeSequence([b"sec", b"ret"])
        server.transport.write(MANY)
        await self.until(lambda: server.data == b"plain and secret" and client.data == MANY)
        self.assertEqual(client.transport.getPeerCertificate().get_subject().CN, NAME)
        client.transport.loseConnection()
        await self.until(lambda: server.reason and client.reason)
        for end in (server, client):
            end.reason.trap(ConnectionDone)
            end.transport.write(b"late")
            end.transport.writeSequence([b"late"])
            end.transport.writelines([b"late"])
            end.transport.loseConnection()

    async def test_other_role(self) -> None:
        """
        The server of the connection can be TLS's client.
        """
        server, client = await self.pair()
        server.transport.startTLS(self.client_options(), False)
        client.transport.startTLS(self.server_options, False)
        client.transport.write(b"secret")
        await self.until(lambda: server.data == b"secret")
        self.assertEqual(server.transport.getPeerCertificate().get_subject().CN, NAME)

    async def test_producer_from_before(self) -> None:
        """
        A producer that was registered before goes on through TLS, and holds back the close until it is finished.
        """
        server, client = await self.pair()
        pusher = Pusher(server.transport, 500)
        server.transport.registerProducer(pusher, True)
        server.transport.startTLS(self.server_options)
        client.transport.startTLS(self.client_options())
        client.transport.pauseProducing()
        pusher.push()
        self.assertEqual(pusher.calls, ["pause"])
        server.transport.loseConnection()
        client.transport.resumeProducing()
        await self.until(lambda: server.reason and client.reason)
        self.assertEqual(len(client.data), 500 * len(CHUNK))

    async def test_abort(self) -> None:
        """
        An abort goes past TLS.
        """
        server, client = await self.secured()
        client.transport.write(b"secret")
        await self.until(lambda: server.data == b"plainsecret")
        client.transport.abortConnection()
        await self.until(lambda: server.reason and client.reason)
