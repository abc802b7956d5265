"""
Tests of L{siger.config.secret}.
"""

from __future__ import annotations

import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.config.nodes import ConfigErrors
from siger.config.secret import kept_secret, secrets_of
from siger.config.settings.accounts import JwtKey, SeedUser
from siger.config.settings.consul import ConsulSettings
from siger.config.settings.gateway import Settings
from siger.config.settings.nats import NatsSettings


class KeptSecretTests(SynchronousTestCase):
    """
    There is a secret in any case.
    """

    def setUp(self) -> None:
        """
        Use a data directory that is not there yet.
        """
        self.settings = Settings(data_dir=Path(self.mktemp()))
        self.path = self.settings.data_dir / "jwt_secret"

    def test_configured(self) -> None:
        """
        A configured secret is used, and nothing is written.
        """
        settings = Settings(data_dir=self.settings.data_dir, jwt_secret="x" * 32)
        self.assertIs(settings, kept_secret(settings))
        self.assertFalse(self.settings.data_dir.exists())

    def test_keys(self) -> None:
        """
        Row H4: where keys are configured they sign, and nothing is made.
        """
        settings = Settings(data_dir=self.settings.data_dir, jwt_keys=(JwtKey("a", "x" * 32),))
        self.assertIs(settings, kept_secret(settings))
        self.assertFalse(self.settings.data_dir.exists())

    def test_made(self) -> None:
        """
        Row H4: without one, a random one is made, which only the owner may read.
        """
        secret = kept_secret(self.settings).jwt_secret
        self.assertRegex(secret, r"\A[0-9a-f]{64}\Z")
        self.assertEqual(secret, self.path.read_text().strip())
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))

    def test_different(self) -> None:
        """
        No two gateways make the same one.
        """
        other = Settings(data_dir=Path(self.mktemp()))
        self.assertNotEqual(kept_secret(self.settings).jwt_secret, kept_secret(other).jwt_secret)

    def test_kept(self) -> None:
        """
        It is the same the next time, and private again if it no longer was.
        """
        secret = kept_secret(self.settings).jwt_secret
        self.path.chmod(0o644)
        self.assertEqual(secret, kept_secret(self.settings).jwt_secret)
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))

    def test_damaged(self) -> None:
        """
        A kept secret that was cut short or is no text is an error that names its file.
        """
        self.settings.data_dir.mkdir()
        for content in (b"", b"short\n", b"\xff" * 64):
            self.path.write_bytes(content)
            with self.assertRaises(ConfigErrors) as raised:
                kept_secret(self.settings)
            self.assertTrue(str(raised.exception).startswith(f"{self.path}: jwt_secret: no secret can be kept here: "))

    def test_impossible(self) -> None:
        """
        So is a data directory that cannot be one.
        """
        self.settings.data_dir.write_bytes(b"")
        self.assertRaises(ConfigErrors, kept_secret, self.settings)


class SecretsOfTests(SynchronousTestCase):
    """
    What is secret.
    """

    def test_all(self) -> None:
        """
        Every secret of the settings, and nothing that is empty: that would be found in every text.
        """
        settings = Settings(
            jwt_secret="a" * 32,
            jwt_keys=(JwtKey("k", "b" * 32), JwtKey("l", "c" * 32)),
            consul=ConsulSettings(token="consul-token"),
            nats=NatsSettings(user="u", password="nats-password", token="nats-token"),
            seed_users=(SeedUser("admin", "admin123"),),
        )
        expected = {"a" * 32, "b" * 32, "c" * 32, "consul-token", "nats-password", "nats-token", "admin123"}
        self.assertEqual(expected, set(secrets_of(settings)))
        self.assertEqual((), secrets_of(Settings()))
