"""
Tests of L{siger.config.tls} and L{siger.config.certificates}.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from attrs import evolve
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from twisted.trial.unittest import SynchronousTestCase

from siger.config.certificates import CertificateError, read_authorities, read_pair
from siger.config.effective import effective
from siger.config.settings.addresses import Listen
from siger.config.settings.tls import CertificateFiles, TLSSettings, UpstreamTLSSettings
from tests.config.reading import errors_of, loaded
from tests.tls.certificates import Authority, Issued, private_pem

AUTHORITY = Authority()
PAIR = AUTHORITY.issue("example.com", "*.Example.com", "127.0.0.1", "::1")
"""
What tests that only need some certificate use.
"""


class FileCase(SynchronousTestCase):
    """
    Tests with files.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.pair = PAIR.write(self.directory)

    def write(self, name: str, content: bytes) -> str:
        """
        Write a file.

        @return: its path.
        """
        path = self.directory / name
        path.write_bytes(content)
        return str(path)


class ReadPairTests(FileCase):
    """
    A certificate and its key.
    """

    def reason(self, files: CertificateFiles) -> tuple[str, str]:
        """
        Why a pair is refused: which file, and what about it.
        """
        error = self.assertRaises(CertificateError, read_pair, files)
        return error.file, str(error)

    def test_facts(self) -> None:
        """
        Names come in lower case, addresses in their shortest form, times with their zone.
        """
        facts = read_pair(self.pair)
        self.assertEqual(("example.com", "*.example.com", "127.0.0.1", "::1"), facts.names)
        self.assertEqual("CN=example.com", facts.subject)
        self.assertEqual(31, (facts.not_after - facts.not_before).days)

    def test_unnamed(self) -> None:
        """
        A certificate without a subject goes by the name of its file, and one without alternative names has none.
        """
        files = AUTHORITY.issue("example.com", subject="").write(self.directory, "unnamed")
        self.assertEqual("unnamed.pem", read_pair(files).subject)
        files = AUTHORITY.issue(subject="example.com").write(self.directory, "common")
        self.assertEqual((), read_pair(files).names)

    def test_digest(self) -> None:
        """
        It tells contents apart, and nothing else.
        """
        facts = read_pair(self.pair)
        copy = shutil.copytree(self.directory, self.mktemp())
        self.assertEqual(facts.digest, read_pair(CertificateFiles(f"{copy}/pair.pem", f"{copy}/pair.key")).digest)
        renewed = AUTHORITY.issue("example.com").write(self.directory)
        self.assertNotEqual(facts.digest, read_pair(renewed).digest)

    def test_kinds_of_keys(self) -> None:
        """
        The kinds of keys that clients know are taken, others and weak ones are not.
        """
        for key in (
            rsa.generate_private_key(65537, 2048),
            ec.generate_private_key(ec.SECP384R1()),
            ec.generate_private_key(ec.SECP521R1()),
            ed25519.Ed25519PrivateKey.generate(),
        ):
            files = AUTHORITY.issue("example.com", key=key).write(self.directory)
            self.assertEqual(("example.com",), read_pair(files).names)
        for key in (rsa.generate_private_key(65537, 1024), ec.generate_private_key(ec.SECP256K1())):
            file, message = self.reason(AUTHORITY.issue("example.com", key=key).write(self.directory))
            self.assertEqual("key", file)
            self.assertIn("is no key that TLS is used with", message)

    def test_one_file(self) -> None:
        """
        Both may be in the same file.
        """
        both = self.write("both.pem", PAIR.key + PAIR.certificate)
        self.assertEqual(read_pair(self.pair).names, read_pair(CertificateFiles(both, both)).names)

    def test_chain(self) -> None:
        """
        The issuers' certificates stand behind, not before.
        """
        key = self.pair.key
        behind = self.write("behind.pem", PAIR.certificate + AUTHORITY.certificate)
        self.assertEqual("CN=example.com", read_pair(CertificateFiles(behind, key)).subject)
        before = self.write("before.pem", AUTHORITY.certificate + PAIR.certificate)
        file, message = self.reason(CertificateFiles(before, key))
        self.assertEqual("certificate", file)
        self.assertIn("must have the certificate that the key is for first", message)

    def test_broken(self) -> None:
        """
        The file at fault is named, with what is wrong with it, and nothing of a key is shown.
        """
        certificate, key = self.pair.certificate, self.pair.key
        private = serialization.load_pem_private_key(PAIR.key, None)
        other = Authority("Somebody else").issue("example.com").write(self.directory, "other")
        for files, file, message in [
            (CertificateFiles("nowhere.pem", key), "certificate", "cannot be read: No such file or directory"),
            (CertificateFiles(certificate, str(self.directory)), "key", "cannot be read: Is a directory"),
            (CertificateFiles("a\0b", key), "certificate", "cannot be read: embedded null byte"),
            (CertificateFiles(self.write("big", b" " * 1048577), key), "certificate", "is larger than 1048576 bytes"),
            (CertificateFiles(self.write("empty", b""), key), "certificate", "holds no certificate in PEM"),
            (CertificateFiles(key, key), "certificate", "holds no certificate in PEM"),
            (CertificateFiles(certificate, certificate), "key", "holds no private key in PEM"),
            (CertificateFiles(certificate, self.write("half", PAIR.key[:80])), "key", "holds no private key in PEM"),
            (CertificateFiles(certificate, self.write("enc", private_pem(private, b"pw"))), "key", "is encrypted"),
            (CertificateFiles(certificate, other.key), "key", "does not belong to the certificate"),
        ]:
            found, text = self.reason(files)
            self.assertEqual(file, found, text)
            self.assertTrue(text.startswith(message), text)

    def test_authorities(self) -> None:
        """
        Those that are trusted are one certificate or more.
        """
        read_authorities(self.write("ca.pem", AUTHORITY.certificate + Authority("Another").certificate))
        self.assertRaises(CertificateError, read_authorities, self.pair.key)


class FrontTests(FileCase):
    """
    C{tls} at the top.
    """

    def test_one_pair(self) -> None:
        """
        A single pair stands in the section itself; what is left out has its default.
        """
        certificate, key = self.pair.certificate, self.pair.key
        expected = TLSSettings(Listen("", 8443), (self.pair,), "1.2")
        self.assertEqual(expected, loaded(f"tls: {{certificate: {certificate}, key: {key}}}").tls)

    def test_several(self) -> None:
        """
        Several pairs stand in a list, and keep their order.
        """
        second = AUTHORITY.issue("example.org").write(self.directory, "second")
        text = f"""
        tls:
          port: 127.0.0.1:9443
          min_version: 1.3
          certificates:
            - {{certificate: {self.pair.certificate}, key: {self.pair.key}}}
            - {{certificate: {second.certificate}, key: {second.key}}}
        """
        self.assertEqual(TLSSettings(Listen("127.0.0.1", 9443), (self.pair, second), "1.3"), loaded(text).tls)

    def test_off(self) -> None:
        """
        Without the section, and where it says off, there is none.
        """
        self.assertIsNone(loaded("").tls)
        self.assertIsNone(loaded("tls: off").tls)

    def test_mistakes(self) -> None:
        """
        Each is told with its line and its key.
        """
        pair = f"certificate: {self.pair.certificate}, key: {self.pair.key}"
        for text, message in [
            ("", ": needs a certificate and its key, or a list of certificates"),
            (f"certificate: {self.pair.certificate}", ": certificate and key go together"),
            ("certificates: []", ".certificates: a list of certificates needs at least one"),
            (f"certificates: [{{{pair}}}], {pair}", ": certificate and key belong into the list certificates"),
            (f"certificates: [{{{pair}}}, 5]", ".certificates[1]: expected a mapping, got a number"),
            ("certificates: [{}]", ".certificates[0]: needs the key 'certificate'"),
            (f"certificates: [{{{pair}, name: x}}]", ".certificates[0].name: unknown key"),
            (f"{pair}, port: 8080", ".port: is the port for connections without TLS"),
            (f"{pair}, port: '127.0.0.1:8080'", ".port: is the port for connections without TLS"),
            (f"{pair}, min_version: 1.1", ".min_version: expected 1.2 or 1.3, got '1.1'"),
            (f"{pair}, cipher: x", ".cipher: unknown key"),
            ("certificate: '', key: k", ".certificate: expected a path, got an empty text"),
            (f"certificate: none.pem, key: {self.pair.key}", ".certificate: cannot be read: No such file"),
            (f"certificate: {self.pair.certificate}, key: none.key", ".key: cannot be read: No such file"),
        ]:
            errors = errors_of(f"tls: {{{text}}}")
            self.assertTrue(errors, text)
            self.assertTrue(errors[0].startswith(f"config.yaml:1: tls{message}"), errors)

    def test_other_interfaces(self) -> None:
        """
        The same port on two different interfaces is two places.
        """
        pair = f"certificate: {self.pair.certificate}, key: {self.pair.key}"
        text = f"port: 127.0.0.1:8443\ntls: {{{pair}, port: '127.0.0.2:8443'}}"
        self.assertEqual([], errors_of(text))

    def test_warnings(self) -> None:
        """
        A key that everybody can read, and a certificate out of its time, are used with a word about them.
        """
        for issued, mode, message in [
            (PAIR, 0o644, "tls.key: can be read by everybody on this machine"),
            (AUTHORITY.issue("example.com", begins=-9, ends=-1), 0o600, "tls.certificate: expired on "),
            (AUTHORITY.issue("example.com", begins=1), 0o600, "tls.certificate: is not valid before "),
        ]:
            files = issued.write(self.directory, "warned")
            Path(files.key).chmod(mode)
            (warning,) = loaded(f"tls:\n  certificate: {files.certificate}\n  key: {files.key}").warnings
            self.assertRegex(warning, rf"config\.yaml:[23]: {message}")

    def test_environment(self) -> None:
        """
        Variables say it, too.
        """
        environ = {"SIGER_TLS__CERTIFICATE": self.pair.certificate, "SIGER_TLS__KEY": self.pair.key}
        found = loaded("", {**environ, "SIGER_TLS__PORT": "9443"}).tls
        self.assertEqual(TLSSettings(Listen("", 9443), (self.pair,)), found)

    def test_effective(self) -> None:
        """
        What is printed is read as the same.
        """
        settings = loaded(f"tls: {{certificate: {self.pair.certificate}, key: {self.pair.key}, port: 127.0.0.1:9443}}")
        self.assertEqual(settings, loaded(effective(settings)))


class UpstreamTests(FileCase):
    """
    C{tls} of a service.
    """

    def tls_of(self, text: str) -> UpstreamTLSSettings:
        """
        What a service has.
        """
        return loaded(f"services: {{a: {{protocol: https, tls: {{{text}}}}}}}").services["a"].tls

    def test_keys(self) -> None:
        """
        Each key sets its field; without any, what the system trusts is asked for the instance's address.
        """
        certificate, key = self.pair.certificate, self.pair.key
        self.assertEqual(UpstreamTLSSettings("", "", True, "", ""), self.tls_of(""))
        self.assertEqual(UpstreamTLSSettings(ca=certificate), self.tls_of(f"ca: {certificate}"))
        self.assertEqual(UpstreamTLSSettings(server_name="a.internal"), self.tls_of("server_name: a.internal"))
        self.assertEqual(UpstreamTLSSettings(verify=False), self.tls_of("verify: false"))
        found = self.tls_of(f"certificate: {certificate}, key: {key}")
        self.assertEqual(UpstreamTLSSettings(certificate=certificate, key=key), found)

    def test_inherited(self) -> None:
        """
        A service has what the defaults say and it does not.
        """
        text = f"""
        service_defaults: {{tls: {{ca: {self.pair.certificate}, server_name: a.internal}}}}
        services: {{a: {{protocol: h2, tls: {{server_name: b.internal}}}}, b: {{protocol: https}}, c: {{}}}}
        """
        settings = loaded(text)
        defaults = UpstreamTLSSettings(ca=self.pair.certificate, server_name="a.internal")
        self.assertEqual(evolve(defaults, server_name="b.internal"), settings.services["a"].tls)
        self.assertEqual(defaults, settings.services["b"].tls)
        self.assertEqual(settings, loaded(effective(settings)))

    def test_mistakes(self) -> None:
        """
        Each is told with its line and its key.
        """
        for text, message in [
            ("ca: none.pem", ".ca: cannot be read: No such file or directory"),
            (f"ca: {self.pair.key}", ".ca: holds no certificate in PEM"),
            ("server_name: a b", ".server_name: expected an IP address or a host name, got 'a b'"),
            ("verify: 1", ".verify: expected true or false"),
            (f"key: {self.pair.key}", ": certificate and key go together"),
            (f"certificate: {self.pair.certificate}, key: none", ".key: cannot be read"),
            ("name: x", ".name: unknown key"),
        ]:
            errors = errors_of(f"services: {{a: {{protocol: h2, tls: {{{text}}}}}}}")
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(errors[0].startswith(f"config.yaml:1: services.a.tls{message}"), errors)

    def test_without_effect(self) -> None:
        """
        A service that is not connected to over TLS has no use for it, and somebody who is to hear of that.
        """
        for protocol in ("", "protocol: http1, ", "protocol: h2c, "):
            errors = errors_of(f"services: {{a: {{{protocol}tls: {{verify: true}}}}}}")
            self.assertEqual(1, len(errors), errors)
            self.assertIn("services.a.tls: is for services whose protocol is h2 or https", errors[0])

    def test_unverified(self) -> None:
        """
        Instances that are not verified are worth a warning.
        """
        text = "services: {a: {protocol: h2, tls: {verify: false}}, b: {protocol: h2}}"
        expected = "services.a.tls.verify: is false, so whoever is reached is taken for an instance"
        self.assertEqual([expected], [warning for warning in loaded(text).warnings if "verify" in warning])


class IssuedTests(SynchronousTestCase):
    """
    The certificates that tests make.
    """

    def test_private(self) -> None:
        """
        Their keys are for their owner alone, as the gateway wants it.
        """
        files = Issued(b"c", b"k").write(Path(self.mktemp()))
        self.assertEqual(0o600, Path(files.key).stat().st_mode & 0o777)
