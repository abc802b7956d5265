"""
Accounts of two gateways that share a real nats-server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from siger.auth.errors import BadCredentialsError, NameTakenError
from siger.auth.passwords import Hasher
from siger.auth.users import User, Users
from siger.config.settings.accounts import SeedUser
from siger.config.settings.nats import NatsSettings
from siger.messaging.connection import NatsConnection
from siger.messaging.errors import UnavailableError
from tests.auth.accounts import CHEAP
from tests.integration.nats_server import NatsServer

PASSWORD = "correct horse"
CLOCK: Any = reactor


class UsersTests(TestCase):
    """
    Accounts here and there. Hashes are cheap, or every core would be busy with them.
    """

    timeout = 60

    async def setUp(self) -> None:
        self.server = NatsServer().start()
        self.addCleanup(self.server.stop)
        self.hasher = Hasher(CLOCK, cost=CHEAP)
        self.addCleanup(self.hasher.stop)
        self.here, self.there = self.gateway(), self.gateway()
        await self.here.when_current()
        await self.there.when_current()

    def gateway(self) -> Users:
        """
        The accounts of one more, with a connection of its own.
        """
        connection = NatsConnection(CLOCK, [self.server.url], NatsSettings())
        users = Users(connection.bucket("users"), self.hasher)
        connection.start()
        users.start()
        self.addCleanup(connection.stop)
        self.addCleanup(users.stop)
        return users

    async def until(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        """
        Wait for something.
        """
        end = CLOCK.seconds() + seconds
        while not condition():
            assert CLOCK.seconds() < end, f"not within {seconds} seconds"
            await deferLater(CLOCK, 0.005)

    async def error(self, result: Deferred[User]) -> type[Exception] | None:
        """
        What something ends with, if not well.
        """
        try:
            await result
        except Exception as error:
            return type(error)
        return None

    async def test_everywhere(self) -> None:
        """
        Who registers at one gateway can log in at both; a new password, a disabled account and a deleted one
        count at both.
        """
        for number in range(20):
            name = f"user{number}"
            user = await self.here.register(name, PASSWORD)
            self.assertEqual(await self.here.authenticate(name, PASSWORD), user)
            await self.until(lambda user=user: self.there.find(user.username) is not None)  # type: ignore[misc]
            self.assertEqual(await self.there.authenticate(name, PASSWORD), user)
        await self.here.set_password("user0", "another horse")
        await self.here.set_disabled("user1", True)
        await self.here.delete("user2")
        for name in ("user0", "user1", "user2"):
            self.assertEqual(await self.error(self.here.authenticate(name, PASSWORD)), BadCredentialsError)
        await self.until(lambda: self.there.find("user2") is None)
        for name in ("user0", "user1", "user2"):
            self.assertEqual(await self.error(self.there.authenticate(name, PASSWORD)), BadCredentialsError)
        await self.there.authenticate("user0", "another horse")

    async def test_one_name(self) -> None:
        """
        Row H14: of many who register one name in many spellings at both gateways at once, one gets it.
        """
        names = ["Admin", "ADMIN", "\uff41dmin", "admin"] * 3
        results = [
            users.register(name, f"correct horse {number}")
            for number, name in enumerate(names)
            for users in (self.here, self.there)
        ]
        outcomes: Any = await DeferredList(results, consumeErrors=True)
        self.assertEqual(sum(success for success, _ in outcomes), 1)
        self.assertEqual({failure.type for success, failure in outcomes if not success}, {NameTakenError})

    async def test_changes_at_once(self) -> None:
        """
        Changes to one account from both gateways at once are all made.
        """
        await self.here.register("bob", PASSWORD)
        await self.until(lambda: self.there.find("bob") is not None)
        await DeferredList(
            [
                self.here.set_role("bob", "admin"),
                self.there.set_disabled("bob", True),
                self.there.set_password("bob", "another horse"),
            ],
            fireOnOneErrback=True,
        )
        for users in (self.here, self.there):
            await self.until(
                lambda users=users: (users.find("bob").role, users.find("bob").disabled) == ("admin", True)
            )  # type: ignore[misc]
            self.assertEqual(await self.error(users.authenticate("bob", "another horse")), BadCredentialsError)
        await self.here.set_disabled("bob", False)
        self.assertEqual((await self.here.authenticate("bob", "another horse")).role, "admin")

    async def test_seeds_once(self) -> None:
        """
        Row H15: two gateways that start together make each configured account once.
        """
        seeds = [SeedUser(f"seed{number}", "short", id=str(number)) for number in range(1, 6)]
        made: Any = await DeferredList([self.here.seed(seeds), self.there.seed(seeds)], fireOnOneErrback=True)
        self.assertEqual(sum(count for _, count in made), 5)
        await self.until(lambda: len(self.here) == len(self.there) == 5)
        self.assertEqual({user.id for user in self.there}, {"1", "2", "3", "4", "5"})

    async def test_outage(self) -> None:
        """
        While the server is gone, known users log in and registrations are refused at once; when it is back, both work.
        """
        bob = await self.here.register("bob", PASSWORD)
        self.server.kill()
        await self.until(lambda: self.here.stale)
        self.assertEqual(await self.here.authenticate("bob", PASSWORD), bob)
        self.assertEqual(await self.error(self.here.authenticate("eve", PASSWORD)), BadCredentialsError)
        self.assertEqual(await self.error(self.here.register("eve", PASSWORD)), UnavailableError)
        self.server.start()
        await self.until(lambda: not self.here.stale)
        await self.here.register("eve", PASSWORD)
        self.assertEqual(await self.here.authenticate("bob", PASSWORD), bob)

    async def test_killed_during_registrations(self) -> None:
        """
        Row H15: the server is killed amid registrations and logins, and comes back: every account that was confirmed is
        there, on both gateways and on a new one, and no login of a known user failed.
        """
        bob = await self.here.register("bob", PASSWORD)
        confirmed: list[str] = []
        refused: list[type[Exception]] = []
        for number in range(300):
            if number in (100, 200):
                # Some are on their way when it is killed.
                under_way = [self.here.register(f"way{number}-{each}", PASSWORD) for each in range(20)]
                await deferLater(CLOCK, 0.003)
                self.server.kill()
                for each, result in enumerate(under_way):
                    error = await self.error(result)
                    confirmed += [f"way{number}-{each}"] if error is None else []
                    refused += [] if error is None else [error]
            if number in (120, 220):
                self.server.start()
                await self.until(lambda: not self.here.stale)
            error = await self.error(self.here.register(f"user{number}", PASSWORD))
            confirmed += [f"user{number}"] if error is None else []
            refused += [] if error is None else [error]
            self.assertEqual(await self.here.authenticate("bob", PASSWORD), bob)
        self.assertEqual(set(refused), {UnavailableError})
        self.assertGreaterEqual(len(confirmed), 260)
        await self.until(lambda: not self.there.stale)
        new = self.gateway()
        await new.when_current()
        for users in (self.here, self.there, new):
            self.assertEqual([name for name in confirmed if users.find(name) is None], [])
            await users.authenticate(confirmed[-1], PASSWORD)
