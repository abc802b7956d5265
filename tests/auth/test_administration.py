"""
Tests for L{siger.auth.administration}.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.administration import UserCommand, administer
from siger.auth.commands import CommandError, arrange_user
from siger.auth.revocation import Revocations, valid_from
from siger.auth.users import Users
from siger.config.settings.gateway import Settings
from siger.policy.identity import Identity, IdentityCache
from tests.auth.accounts import cheap_hasher
from tests.messaging.memory_bucket import MemoryBucket

NOW = 1_800_000_000.25
PASSWORD = "correct horse battery"


class UserCommandTests(SynchronousTestCase):
    """
    Tests for L{UserCommand}: a command, and a gateway that hears of what it does.
    """

    def setUp(self) -> None:
        """
        Have a store with an account in it.
        """
        self.records, self.revoked = MemoryBucket("users"), MemoryBucket("revoked_tokens")
        hasher, _ = cheap_hasher()
        self.users = Users(self.records, hasher, lambda: NOW, roles=frozenset(("user", "admin")))
        self.users.start()
        self.addCleanup(self.users.stop)
        self.command = Revocations(self.revoked, IdentityCache())
        self.gateway = Revocations(self.revoked, IdentityCache())
        self.gateway.start()
        self.addCleanup(self.gateway.stop)
        self.ada = self.successResultOf(self.users.register("ada", PASSWORD, user_id="7"))

    def begin(self, *arguments: str, password: str = "") -> Deferred[str]:
        """
        Carry out a command.
        """
        parser = ArgumentParser()
        arrange_user(parser)
        command = UserCommand(parser.parse_args(arguments), password)
        return Deferred.fromCoroutine(command.run(self.users, self.command))

    def run_command(self, *arguments: str, password: str = "") -> str:
        """
        What a command prints.
        """
        return self.successResultOf(self.begin(*arguments, password=password))

    def refusal(self, *arguments: str, password: str = "") -> str:
        """
        Why a command is refused.
        """
        return str(self.failureResultOf(self.begin(*arguments, password=password), CommandError).value)

    def is_refused(self, issued: float) -> bool:
        """
        Whether a gateway refuses a token of ada's of this time.
        """
        return self.gateway.is_revoked(Identity("7", "ada", ("user",), "t", issued, NOW + 999, {}))

    def assert_tokens_ended(self) -> None:
        """
        Gateways refuse tokens of before, and believe those of who has heard of the change.
        """
        self.assertTrue(self.is_refused(NOW - 1))
        self.assertTrue(self.is_refused(NOW))
        user = self.users.find("ada")
        if user is not None:
            self.assertFalse(self.is_refused(valid_from(user)))

    def test_add(self) -> None:
        """
        An account is made, with an id of its own or a given one.
        """
        said = self.run_command("add", "Grace", password=PASSWORD)
        user = self.users.find("grace")
        assert user is not None
        self.assertEqual(said, f"user grace added as user, with id {user.id}")
        said = self.run_command("add", "root", "--role", "admin", "--id", "1", password=PASSWORD)
        self.assertEqual(said, "user root added as admin, with id 1")
        self.assertEqual(self.successResultOf(self.users.authenticate("root", PASSWORD)).role, "admin")

    def test_add_refused(self) -> None:
        """
        All that is wrong is said, a line each; rules for names, passwords and roles hold here too.
        """
        self.assertEqual(self.refusal("add", "ADA", password=PASSWORD), "there is a user ADA already")
        lines = self.refusal("add", "a b", "--role", "king", "--id", "7", password="x").splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["username", "password", "role", "id"])
        for bad in ("a b", "x" * 65, "é", "https://id.example 7"):
            self.assertIn("id may have", self.refusal("add", "grace", "--id", bad, password=PASSWORD))
        self.assertEqual(len(self.users), 1)

    def test_list(self) -> None:
        """
        Accounts are listed by name, in columns.
        """
        self.run_command("add", "a.longer-name", "--role=admin", "--id=1", password=PASSWORD)
        self.run_command("disable", "ada")
        self.assertEqual(
            self.run_command("list").splitlines(),
            [
                "NAME           ID  ROLE   STATE     CREATED",
                "a.longer-name  1   admin  active    2027-01-15T08:00:00Z",
                "ada            7   user   disabled  2027-01-15T08:00:00Z",
            ],
        )

    def test_list_for_programs(self) -> None:
        """
        Or as JSON. Neither shows hashes.
        """
        listed = self.run_command("list", "--json")
        self.assertNotIn("argon2", listed + self.run_command("list"))
        times = {"created_at": "2027-01-15T08:00:00Z", "updated_at": "2027-01-15T08:00:00Z"}
        self.assertEqual(
            json.loads(listed), [{"username": "ada", "id": "7", "role": "user", "disabled": False, **times}]
        )

    def test_passwd(self) -> None:
        """
        Row H8: a new password ends the tokens of before.
        """
        said = self.run_command("passwd", "ada", password=PASSWORD + "!")
        self.assertEqual(said, "user ada has a new password; earlier tokens are good no longer")
        self.successResultOf(self.users.authenticate("ada", PASSWORD + "!"))
        self.assert_tokens_ended()

    def test_passwd_refused(self) -> None:
        """
        A password that breaks the rules changes nothing.
        """
        self.assertIn("at least 8", self.refusal("passwd", "ada", password="short"))
        self.assertFalse(self.is_refused(NOW - 1))

    def test_role(self) -> None:
        """
        Row H8: another role ends the tokens of before, in which the old one is.
        """
        said = self.run_command("role", "ada", "admin")
        self.assertEqual(said, "user ada is admin now; earlier tokens are good no longer")
        self.assert_tokens_ended()
        self.assertEqual(self.refusal("role", "ada", "king"), "role must be one of the roles that there are")

    def test_disable(self) -> None:
        """
        Row H8: an account that is disabled ends with its tokens. Enabled, it is as before, but for those.
        """
        self.assertEqual(self.run_command("disable", "ada"), "user ada is disabled; earlier tokens are good no longer")
        self.assert_tokens_ended()
        self.assertEqual(self.run_command("enable", "ada"), "user ada is enabled")
        self.successResultOf(self.users.authenticate("ada", PASSWORD))
        self.assert_tokens_ended()

    def test_delete(self) -> None:
        """
        Row H8: a deleted account ends with its tokens.
        """
        self.assertEqual(self.run_command("delete", "ada"), "user ada is deleted; earlier tokens are good no longer")
        self.assertIsNone(self.users.find("ada"))
        self.assert_tokens_ended()

    def test_nobody(self) -> None:
        """
        What cannot be done to nobody is refused.
        """
        for arguments in (["passwd"], ["role", "admin"], ["disable"], ["enable"], ["delete"]):
            action, *more = arguments
            refusal = self.refusal(action, "grace", *more, password=PASSWORD)
            self.assertEqual(refusal, "there is no user grace")

    def test_gateways_not_told(self) -> None:
        """
        A change that gateways could not be told of says so, and done once more, they are told.
        """
        for arguments in (["disable", "ada"], ["role", "ada", "admin"], ["delete", "ada"]):
            self.revoked.available = False
            self.assertIn("do it once more", self.refusal(*arguments))
            self.revoked.available = True
            self.run_command(*arguments)
            self.assert_tokens_ended()


class AdministerTests(SynchronousTestCase):
    """
    Tests for L{administer}.
    """

    def test_without_nats(self) -> None:
        """
        Where no NATS is configured there are no accounts, and nothing is tried.
        """
        parser = ArgumentParser()
        arrange_user(parser)
        settings = Settings(data_dir=Path("/nonexistent"))
        failure = self.failureResultOf(administer(None, settings, parser.parse_args(["list"]), ""), CommandError)
        self.assertEqual(str(failure.value), "there are no accounts without NATS: nats_address is empty")
