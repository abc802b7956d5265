"""
Tests for L{siger.accounts}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from siger.accounts import Accounts
from siger.auth.keys import KeyRing
from siger.auth.tokens import Minter
from siger.config.settings.accounts import IssuerSettings, JwtKey
from siger.config.settings.gateway import Settings
from siger.errors import ConfigError, Reason
from siger.messaging.errors import UnavailableError
from siger.observe.metrics import Metrics
from siger.observe.observer import Observer
from siger.policy.identity import Identity
from siger.store import Store

SECRET = "a-test-signs-with-this-and-nothing-else-does"


def make(settings: Settings) -> Accounts:
    """
    The accounts of a gateway that does not run.
    """
    reactor = MemoryReactorClock()
    return Accounts(reactor, settings, Store(reactor, settings))


class WithoutStoreTests(SynchronousTestCase):
    """
    A gateway that has no NATS.
    """

    def setUp(self) -> None:
        """
        Its accounts.
        """
        self.settings = Settings(jwt_secret=SECRET, data_dir=Path("unused"))
        self.accounts = make(self.settings)
        self.accounts.start()
        self.addCleanup(self.accounts.stop)

    def minted(self, lifetime: int = 60) -> bytes:
        """
        The credentials of a user.
        """
        token = Minter(KeyRing.from_settings(self.settings), lifetime).mint("7", "ann", "user").token
        return b"Bearer " + token.encode("ascii")

    def test_nothing_to_wait_for(self) -> None:
        """
        It is ready at once.
        """
        self.successResultOf(self.accounts.first_sync())

    def test_tokens(self) -> None:
        """
        Tokens are verified all the same, and refused for what is wrong with them.
        """
        found = self.accounts.authenticate(self.minted())
        assert isinstance(found, Identity)
        self.assertEqual((found.user_id, found.name, found.roles), ("7", "ann", ("user",)))
        self.assertIs(self.accounts.authenticate(self.minted(-3600)), Reason.INVALID_TOKEN)

    def test_no_logins(self) -> None:
        """
        Nobody can log in or register.
        """
        self.failureResultOf(self.accounts.users.authenticate("ann", "password123"), UnavailableError)

    def test_metrics(self) -> None:
        """
        What was refused is counted by its cause.
        """
        metrics = Metrics(Observer())
        self.accounts.expose(metrics)
        self.accounts.authenticate(self.minted(-3600))
        self.accounts.authenticate(self.minted())
        _, document = metrics.exposition("application/openmetrics-text")
        families: dict[str, Any] = {one.name: one for one in text_string_to_metric_families(document.decode())}
        self.assertEqual([sample.value for sample in families["siger_token_refusals"].samples], [1.0])
        self.assertEqual([sample.value for sample in families["siger_verified_tokens"].samples], [1.0])
        self.assertNotIn("siger_nats_connected", families)


class IssuerTests(SynchronousTestCase):
    """
    A gateway that follows the keys of another issuer.
    """

    def test_metrics(self) -> None:
        """
        How old those are is shown, and how often they were not to be had.
        """
        issuer = IssuerSettings("https://idp.example.com", jwks_url="https://idp.example.com/keys")
        accounts = make(Settings(jwt_secret=SECRET, issuers=(issuer,)))
        metrics = Metrics(Observer())
        accounts.expose(metrics)
        _, document = metrics.exposition("")
        for line in (b"siger_jwks_age_seconds", b"siger_jwks_fetches_total", b"siger_jwks_failures_total"):
            self.assertIn(line + b'{issuer="https://idp.example.com"} ', document)


class KeyTests(SynchronousTestCase):
    """
    Keys that cannot be used.
    """

    def test_weak(self) -> None:
        """
        Row H4: nothing starts with a secret that is too short.
        """
        for settings in (Settings(jwt_secret="short"), Settings(jwt_keys=(JwtKey("a", "short"),))):
            with self.assertRaises(ConfigError):
                make(settings)
