"""
Tests for L{siger.auth.minting}.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.commands import CommandError, arrange_token
from siger.auth.keys import KeyRing
from siger.auth.minting import mint
from siger.auth.tokens import Verifier
from siger.config.settings.accounts import IssuerSettings, JwtKey
from siger.config.settings.gateway import Settings
from siger.policy.identity import Identity
from tests.auth.signing import SECRET


class MintTests(SynchronousTestCase):
    """
    Tests for L{mint}, without a store.
    """

    def setUp(self) -> None:
        """
        Have a configuration.
        """
        self.settings = Settings(jwt_secret=SECRET, roles=frozenset(("user", "admin", "operator")))

    def mint(self, *arguments: str) -> str:
        """
        Mint a token, without a store.
        """
        parser = ArgumentParser()
        arrange_token(parser)
        return mint(parser.parse_args(["mint", *arguments]), self.settings, self.no_reactor)

    def no_reactor(self, work: Callable[[Any], Deferred[str]]) -> str:
        """
        What runs a reactor: here, nothing should need one for long.
        """
        return self.successResultOf(work(None))

    def identity(self, token: str) -> Identity:
        """
        Whom a gateway takes the bearer for.
        """
        found = Verifier(KeyRing.from_settings(self.settings), (), self.settings.roles).verify(token.encode())
        assert isinstance(found, Identity)
        return found

    def refusal(self, *arguments: str) -> str:
        """
        Why there is no token.
        """
        return str(self.assertRaises(CommandError, self.mint, *arguments))

    def test_for_nobody_with_an_account(self) -> None:
        """
        A token can be for any id and role that there may be; by default it is a user's, and as good as one from a
        login.
        """
        identity = self.identity(self.mint("robot", "--user-id", "r-7"))
        self.assertEqual((identity.user_id, identity.name, identity.roles), ("r-7", "robot", ("user",)))
        self.assertApproximates(identity.expires, time.time() + 3600, 5)
        self.assertEqual(self.identity(self.mint("robot", "--user-id", "r-7", "--role", "operator")).role, "operator")

    def test_minutes(self) -> None:
        """
        Row H8: it is good for as long as is asked, but never longer than revocations are remembered.
        """
        for minutes in (1, 43200):
            identity = self.identity(self.mint("robot", "--user-id", "7", "--minutes", str(minutes)))
            self.assertEqual(identity.expires - identity.issued, minutes * 60)
        for minutes in (-5, 0, 43201):
            self.assertIn("--minutes is 1 to 43200", self.refusal("robot", "--user-id", "7", f"--minutes={minutes}"))
        self.settings = evolve(self.settings, issuers=(IssuerSettings("x", max_lifetime=6_000_000),))
        self.mint("robot", "--user-id", "7", "--minutes", "100000")

    def test_with_the_key_that_signs(self) -> None:
        """
        Where keys rotate, the first signs.
        """
        keys = (JwtKey("new", SECRET + "!"), JwtKey("old", SECRET + "?"))
        self.settings = evolve(self.settings, jwt_keys=keys)
        self.assertEqual(self.identity(self.mint("robot", "--user-id", "7")).user_id, "7")

    def test_refused(self) -> None:
        """
        What no gateway would accept is not made.
        """
        self.assertEqual(
            self.refusal("robot", "--user-id", "7", "--role", "king"), "--role is one of admin, operator, user"
        )
        for user_id in ("", " 7", "a b", "x" * 300, "7\n"):
            self.assertEqual(self.refusal("robot", f"--user-id={user_id}"), "--user-id is an id without spaces")
        self.assertEqual(self.refusal("\x1b[1m", "--user-id", "7"), "the name cannot be shown")
        self.assertIn("an account has its role", self.refusal("ada", "--role", "admin"))

    def test_without_nats(self) -> None:
        """
        For an account there has to be a store.
        """
        settings, self.settings = self.settings, evolve(self.settings, nats_address="")

        def failing(work: Callable[[Any], Deferred[str]]) -> str:
            failure = self.failureResultOf(work(None), CommandError)
            raise failure.value

        parser = ArgumentParser()
        arrange_token(parser)
        error = self.assertRaises(CommandError, mint, parser.parse_args(["mint", "ada"]), settings, failing)
        self.assertIn("nats_address is empty", str(error))

    def test_kept_secret(self) -> None:
        """
        Without a configured secret, that of the data directory signs; it is made if the gateway never ran.
        """
        directory = Path(self.mktemp())
        self.settings = Settings(data_dir=directory)
        token = self.mint("robot", "--user-id", "7")
        kept = directory / "jwt_secret"
        self.assertEqual(kept.stat().st_mode & 0o777, 0o600)
        self.settings = Settings(jwt_secret=kept.read_text().strip())
        self.assertEqual(self.identity(token).user_id, "7")

    def test_no_secret_to_be_had(self) -> None:
        """
        Where none can be kept, that is said.
        """
        self.settings = Settings(data_dir=Path("/proc/nothing/here"))
        self.assertIn("no secret can be kept here", self.refusal("robot", "--user-id", "7"))
