"""
Tests of L{siger.tls.store}.
"""

from __future__ import annotations

from pathlib import Path
from ssl import PEM_cert_to_DER_cert, SSLError, TLSVersion

from twisted.trial.unittest import SynchronousTestCase

from siger.config.certificates import CertificateError
from siger.config.settings.tls import CertificateFiles, TLSSettings
from siger.tls.records import Records
from siger.tls.store import Certificate, CertificateStore, fingerprint, host_of
from tests.tls.certificates import Issued
from tests.tls.peers import AUTHORITY, client_context

NAMES = (("a.example", "www.a.example"), ("b.example", "*.b.example"), ("c.example", "x.b.example"))


class StoreCase(SynchronousTestCase):
    """
    Tests with certificates in files.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())

    def write(self, name: str, *names: str, issued: Issued | None = None) -> CertificateFiles:
        """
        Write a certificate.
        """
        return (issued or AUTHORITY.issue(*names)).write(self.directory, name)

    def make(self, *files: CertificateFiles, min_version: str = "1.2") -> CertificateStore:
        """
        A store with these, or with those of L{NAMES}.
        """
        if not files:
            files = tuple(self.write(names[0], *names) for names in NAMES)
        return CertificateStore(TLSSettings(certificates=files, min_version=min_version), ("h2", "http/1.1"))

    def shown(self, store: CertificateStore, client: Records) -> Certificate:
        """
        Shake hands with a client.

        @return: the certificate that it was shown.
        """
        server = Records(store.context, True)
        secured = [False, False]
        while not all(secured):
            secured[0] = secured[0] or client.shake()
            server.feed(client.take())
            try:
                secured[1] = secured[1] or server.shake()
            finally:
                client.feed(server.take())
        return server.context.certificate  # type: ignore[attr-defined, no-any-return]


class FindTests(StoreCase):
    """
    Which certificate is whose.
    """

    def test_find(self) -> None:
        """
        An exact name goes before a wildcard, which stands for one label; whoever is unknown gets the first.
        """
        store = self.make()
        for name, expected in [
            (b"a.example", 0),
            (b"WWW.a.Example.", 0),
            (b"b.example", 1),
            (b"y.b.example", 1),
            (b"x.b.example", 2),
            (b"y.x.b.example", 0),
            (b"c.example", 2),
            (b"*.b.example", 1),
            (b"example", 0),
            (b"", 0),
            (b"\xff", 0),
        ]:
            self.assertIs(store.certificates[expected], store.find(name), name)

    def test_first_wins(self) -> None:
        """
        Of two for the same name, the first is shown.
        """
        store = self.make(self.write("one", "a.example"), self.write("two", "a.example", "b.example"))
        self.assertIs(store.certificates[0], store.find(b"a.example"))
        self.assertIs(store.certificates[1], store.find(b"b.example"))

    def test_covers(self) -> None:
        """
        A certificate is for its names, and for one label in place of a star.
        """
        store = self.make()
        for host, expected in [
            ("a.example", [True, False, False]),
            ("b.example", [False, True, False]),
            ("x.b.example", [False, True, True]),
            ("x.y.b.example", [False, False, False]),
            ("example", [False, False, False]),
        ]:
            self.assertEqual(expected, [certificate.covers(host) for certificate in store.certificates], host)

    def test_misdirected(self) -> None:
        """
        A request is, if another certificate is for its host, and the connection's is not.
        """
        store = self.make()
        for authority, expected in [
            (b"a.example", [False, True, True]),
            (b"A.EXAMPLE.:8443", [False, True, True]),
            (b"x.b.example:443", [True, False, False]),
            (b"y.b.example", [True, False, True]),
            (b"nobody.example", [False, False, False]),
            (b"[::1]:8443", [False, False, False]),
            (b"", [False, False, False]),
        ]:
            found = [store.is_misdirected(certificate, authority) for certificate in store.certificates]
            self.assertEqual(expected, found, authority)

    def test_misdirected_after_renewal(self) -> None:
        """
        A certificate that was replaced since is still for its names.
        """
        store = self.make()
        old = store.certificates[0]
        store.replace(old, store.load(old.files))
        self.assertFalse(store.is_misdirected(old, b"a.example"))

    def test_host_of(self) -> None:
        """
        A host is what certificates call it.
        """
        for authority, host in [
            (b"A.example:80", "a.example"),
            (b"a.example.", "a.example"),
            (b"[::1]", "::1"),
            (b"[::1]:80", "::1"),
            (b"127.0.0.1:80", "127.0.0.1"),
        ]:
            self.assertEqual(host, host_of(authority))

    def test_labels(self) -> None:
        """
        Each has a label of its own.
        """
        store = self.make(self.write("one", "a.example"), self.write("two", "a.example"))
        self.assertEqual(
            ["CN=a.example", str(self.directory / "two.pem")],
            list(store.labels),
        )
        self.assertEqual(list(store.certificates), list(store.labels.values()))

    def test_fingerprint(self) -> None:
        """
        It is another when a file is, or is gone.
        """
        files = self.write("one", "a.example")
        seen = fingerprint(files)
        self.assertEqual(seen, fingerprint(files))
        Path(files.key).write_bytes(b"another")
        changed = fingerprint(files)
        self.assertNotEqual(seen, changed)
        Path(files.key).unlink()
        self.assertNotIn(fingerprint(files), (seen, changed))


class HandshakeTests(StoreCase):
    """
    What clients are shown, and what they cannot have.
    """

    def client(self, name: str, *protocols: str, newest: TLSVersion = TLSVersion.TLSv1_3, ciphers: str = "") -> Records:
        """
        A client that asks for a name, without looking whether it gets it.
        """
        context = client_context(*protocols, newest=newest)
        context.check_hostname = False
        if ciphers:
            context.set_ciphers(ciphers)
        return Records(context, False, name or None)

    def test_by_name(self) -> None:
        """
        A client is shown what it asks for; one that asks for nothing, or for somebody unknown, the first.
        """
        store = self.make()
        for newest in (TLSVersion.TLSv1_2, TLSVersion.TLSv1_3):
            for name, expected in (("b.example", 1), ("x.b.example", 2), ("", 0), ("nobody.example", 0)):
                client = self.client(name, newest=newest)
                certificate = self.shown(store, client)
                self.assertIs(store.certificates[expected], certificate)
                pem = Path(certificate.files.certificate).read_text()
                self.assertEqual(PEM_cert_to_DER_cert(pem), client.peer_certificate)

    def test_protocols(self) -> None:
        """
        Of what both speak, what the server prefers is agreed on, whatever the certificate.
        """
        store = self.make()
        for name in ("a.example", "b.example"):
            for offered, agreed in [
                (("http/1.1", "h2"), b"h2"),
                (("http/1.1",), b"http/1.1"),
                ((), None),
            ]:
                client = self.client(name, *offered)
                self.shown(store, client)
                self.assertEqual(agreed, client.protocol)

    def test_versions(self) -> None:
        """
        Nothing below TLS 1.2 is spoken, or below 1.3 if so configured.
        """
        store = self.make()
        old = self.client("a.example", newest=TLSVersion.TLSv1_2)
        self.shown(store, old)
        strict = self.make(min_version="1.3")
        self.assertRaises(SSLError, self.shown, strict, self.client("a.example", newest=TLSVersion.TLSv1_2))
        self.shown(strict, self.client("a.example"))
        self.assertEqual(
            [TLSVersion.TLSv1_2, TLSVersion.TLSv1_3],
            [each.context.minimum_version for each in (store, strict)],
        )

    def test_ciphers(self) -> None:
        """
        With TLS 1.2, only those with forward secrecy and authenticated encryption are spoken.
        """
        store = self.make()
        for ciphers in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE+CHACHA20"):
            self.shown(store, self.client("a.example", newest=TLSVersion.TLSv1_2, ciphers=ciphers))
        for ciphers in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-CCM"):
            client = self.client("a.example", newest=TLSVersion.TLSv1_2, ciphers=ciphers)
            self.assertRaises(SSLError, self.shown, store, client)
        names = [cipher["name"] for cipher in store.context.get_ciphers()]
        self.assertTrue(all(name.startswith(("TLS_", "ECDHE-")) for name in names), names)

    def test_unusable(self) -> None:
        """
        A file that is not right is refused with the reason.
        """
        files = self.write("one", "a.example")
        Path(files.key).write_bytes(b"")
        self.assertRaises(CertificateError, self.make, files)
