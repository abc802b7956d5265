"""
Tests of L{siger.config.default}.
"""

from __future__ import annotations

import re
import stat
from fractions import Fraction
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from siger.config.default import default_text, write_default
from siger.config.load import ConfigErrors, load
from siger.config.settings.accounts import IssuerSettings, JwtKey, PublicKey, SeedUser
from siger.config.settings.addresses import Address
from siger.config.settings.admission import Cors, RateLimit
from siger.config.settings.consul import ConsulSettings
from siger.config.settings.gateway import Settings
from siger.config.settings.jobs import JobQuotas, JobsSettings
from siger.config.settings.limits import Limits
from siger.config.settings.nats import NatsSettings
from siger.config.settings.services import HealthCheck, ServiceSettings
from siger.config.settings.tls import CertificateFiles, TLSSettings, UpstreamTLSSettings
from tests.config.public_key_texts import EC_KEY
from tests.tls.certificates import Authority


def uncommented(text: str) -> str:
    """
    The default file on one machine alone, with all that is commented out put to use.
    """
    head, services, tail = text.partition("\nservices: {}\n")
    head = re.sub(r"^# ((?:jwt_keys|issuers|cors|seed_users|tls):|  )", r"\1", head, flags=re.MULTILINE)
    head = re.sub(r"^  # ((?:forward_authorization|rate_limit|cors|protocol|tls): )", r"  \1", head, flags=re.MULTILINE)
    tail = re.sub(r"^#(  )", r"\1", tail.replace("routes: []", "routes:"), flags=re.MULTILINE)
    return head.replace('port: ":8080"', "port: 127.0.0.1:8080") + services.replace(" {}", "") + tail


class DefaultTextTests(SynchronousTestCase):
    """
    The default file is a good one.
    """

    SECTIONS = (
        *(Settings, ConsulSettings, ServiceSettings, Limits, RateLimit, Cors, NatsSettings),
        *(JwtKey, IssuerSettings, PublicKey, SeedUser, JobsSettings, JobQuotas, HealthCheck),
        *(TLSSettings, CertificateFiles, UpstreamTLSSettings),
    )

    def load(self, text: str) -> Settings:
        """
        What a text comes to.
        """
        path = Path(self.mktemp())
        path.write_text(text)
        return load(path, {"NEW_SECRET": "n" * 32, "OLD_SECRET": "o" * 32})

    def test_settings(self) -> None:
        """
        It has the defaults, with Consul and NATS on this machine and a secret of its own.
        """
        found = self.load(default_text())
        self.assertRegex(found.jwt_secret, r"\A[0-9a-f]{64}\Z")
        expected = Settings(
            consul_address=Address("localhost", 8500),
            nats_address="localhost:4222",
            jwt_secret=found.jwt_secret,
            access_log="./data/access.log",
        )
        self.assertEqual(expected, found)

    def test_secrets(self) -> None:
        """
        No two of them have the same secret.
        """
        self.assertNotEqual(default_text(), default_text())

    def test_every_key(self) -> None:
        """
        It has every key, or has it commented out.
        """
        keys = set(re.findall(r"(?:^|[ {])([a-z0-9_]+):(?: |$)", default_text(), re.MULTILINE))
        fields = {field for of in self.SECTIONS for field in attrs.fields_dict(of)}
        self.assertEqual({"listen", "warnings", "name", "pem"}, fields - keys)
        self.assertLess({"port", "public_key"}, keys)

    def test_comments(self) -> None:
        """
        What is commented out can be used as it is.
        """
        key = Path(self.mktemp())
        key.write_text(EC_KEY)
        pair = Authority().issue("example.com").write(Path(self.mktemp()))
        text = uncommented(default_text()).replace("keys/build-server.pem", str(key))
        for name in ("example.com.pem", "ca.pem", "gateway.pem"):
            text = text.replace(f" {name}", f" {pair.certificate}")
        for name in ("example.com.key", "gateway.key"):
            text = text.replace(f" {name}", f" {pair.key}")
        found = self.load(text)
        self.assertEqual((2, 3), (len(found.services["echo"].instances), len(found.routes)))
        self.assertEqual(("h2c", HealthCheck()), (found.services["trainer"].protocol, found.services["trainer"].health))
        self.assertEqual((2, 2, 1), (len(found.jwt_keys), len(found.issuers), len(found.seed_users)))
        self.assertEqual({"user", "admin", "auditor"}, found.roles)
        self.assertEqual((RateLimit(Fraction(1000), 2000, ("user", "service")),), found.service_defaults.rate_limit)
        self.assertTrue(found.service_defaults.forward_authorization)
        assert found.cors is not None
        self.assertEqual((Cors().expose, Cors().headers), (found.cors.expose, found.cors.headers))
        self.assertTrue(found.cors.credentials)
        assert found.tls is not None
        self.assertEqual(TLSSettings(certificates=(pair,)), found.tls)
        expected = UpstreamTLSSettings(pair.certificate, "backend.internal", True, pair.certificate, pair.key)
        self.assertEqual(expected, found.service_defaults.tls)

    def test_seeds_stay_private(self) -> None:
        """
        Row H15: it has no account; and uncommenting its example is not enough, since it listens for everybody.
        """
        self.assertEqual((), self.load(default_text()).seed_users)
        text = re.sub(r"^# (seed_users:|  - \{username)", r"\1", default_text(), flags=re.MULTILINE)
        with self.assertRaises(ConfigErrors) as raised:
            self.load(text)
        self.assertIn(
            "accounts with known passwords need a gateway that only this machine reaches", str(raised.exception)
        )

    def test_no_warnings(self) -> None:
        """
        There is nothing to say about it.
        """
        self.assertEqual((), self.load(default_text()).warnings)
        self.assertNotIn("this version does not", default_text())


class WriteDefaultTests(SynchronousTestCase):
    """
    It is written where there is none.
    """

    def test_written(self) -> None:
        """
        With its directory, for its owner alone.
        """
        path = Path(self.mktemp()) / "configs" / "config.yaml"
        self.assertTrue(write_default(path))
        self.assertEqual(0o600, stat.S_IMODE(path.stat().st_mode))
        self.assertEqual(8080, load(path, {}).listen.port)

    def test_present(self) -> None:
        """
        A file that is there is left alone, even an empty one.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"")
        self.assertFalse(write_default(path))
        self.assertEqual(b"", path.read_bytes())

    def test_impossible(self) -> None:
        """
        Where it cannot be written, the error names the file.
        """
        blocked = Path(self.mktemp())
        blocked.write_bytes(b"")
        for path in (blocked / "config.yaml", blocked.with_name("x" * 300)):
            with self.assertRaises(ConfigErrors) as raised:
                write_default(path)
            self.assertTrue(str(raised.exception).startswith(f"{path}: cannot be written: "))
