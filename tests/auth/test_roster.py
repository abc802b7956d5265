"""
Tests for L{siger.auth.roster}.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.errors import NameTakenError, UnknownUserError
from siger.auth.records import User, encode
from siger.auth.roster import Roster
from siger.messaging.errors import UnavailableError
from tests.auth.test_records import BOB
from tests.messaging.memory_bucket import MemoryBucket

EVE = evolve(BOB, id="18", username="eve")


class RosterTestCase(SynchronousTestCase):
    """
    Two gateways that share a bucket with Bob in it.
    """

    def setUp(self) -> None:
        self.bucket = MemoryBucket("users")
        self.bucket.put("bob", encode(BOB))
        self.here, self.there = Roster(self.bucket), Roster(self.bucket)
        self.here.start()
        self.there.start()

    def create(self, user: User, roster: Roster | None = None) -> Deferred[User]:
        """
        Write a new user.
        """
        return Deferred.fromCoroutine((self.here if roster is None else roster)._create(user))


class ReadingTests(RosterTestCase):
    """
    What is known of the accounts.

    @ivar events: what is logged.
    """

    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def test_start(self) -> None:
        """
        Nobody is known until the bucket has been read.
        """
        roster = Roster(self.bucket)
        current = roster.when_current()
        self.assertNoResult(current)
        self.assertEqual((roster.current, roster.stale, len(roster)), (False, True, 0))
        roster.start()
        self.successResultOf(current)
        self.assertEqual((roster.current, roster.stale, len(roster)), (True, False, 1))

    def test_find(self) -> None:
        """
        Row H14: a user is found under every spelling of the name, and by the id.
        """
        for name in ("bob", "BOB", "\uff42\uff4f\uff42"):
            self.assertEqual(self.here.find(name), BOB)
        self.assertEqual(self.here.by_id("17"), BOB)
        self.assertEqual([self.here.find(name) for name in ("eve", "", "b", "bob ")], [None] * 4)
        self.assertIsNone(self.here.by_id("18"))

    def test_in_order(self) -> None:
        """
        All of them come in the order of their names.
        """
        for name, user_id in (("zoe", "1"), ("amy", "2")):
            self.bucket.put(name, encode(evolve(BOB, username=name, id=user_id)))
        self.assertEqual([user.username for user in self.here], ["amy", "bob", "zoe"])
        self.assertEqual(len(self.here), 3)

    def test_follows(self) -> None:
        """
        What another gateway changes or deletes is known here, under the name and the id.
        """
        changed = evolve(BOB, role="admin")
        self.bucket.put("bob", encode(changed))
        self.assertEqual((self.here.find("bob"), self.here.by_id("17")), (changed, changed))
        self.bucket.delete("bob")
        self.assertEqual((self.here.find("bob"), self.here.by_id("17"), len(self.here)), (None, None, 0))

    def test_outage(self) -> None:
        """
        While the store is away, and after the roster was stopped, what is known can be read.
        """
        self.bucket.available = False
        self.assertEqual((self.here.find("bob"), self.here.current, self.here.stale), (BOB, True, True))
        self.there.stop()
        self.assertEqual(self.there.find("bob"), BOB)

    def test_broken_record(self) -> None:
        """
        A record that cannot be read is logged, without what is in it, and is nobody; it does not disturb the others.
        """
        for value in (b"{secret", b"[]", encode(EVE)):
            self.bucket.put("mallory", value)
            self.assertIsNone(self.here.find("mallory"))
        self.assertEqual(self.here.find("bob"), BOB)
        logged = [formatEvent(event) for event in self.events]
        self.assertIn("the record of user mallory is ignored: no JSON", logged)
        self.assertNotIn("secret", "".join(logged))

    def test_broken_later(self) -> None:
        """
        A user whose record was broken is nobody from then on.
        """
        self.bucket.put("bob", b"{")
        self.assertEqual((self.here.find("bob"), self.here.by_id("17"), len(self.here)), (None, None, 0))

    def test_same_id(self) -> None:
        """
        Two records with one id are logged; the id stays the first one's, and goes with it alone.
        """
        self.bucket.put("eve", encode(evolve(EVE, id="17")))
        self.assertIn("have one id", self.events[0]["log_format"])
        self.assertEqual(self.here.by_id("17"), BOB)
        self.bucket.delete("eve")
        self.assertEqual(self.here.by_id("17"), BOB)


class WritingTests(RosterTestCase):
    """
    How accounts are written.
    """

    def test_create(self) -> None:
        """
        A new user is known here at once, though the store has not told anybody yet, and there soon.
        """
        self.bucket.held = True
        self.assertEqual(self.successResultOf(self.create(EVE)), EVE)
        self.assertEqual((self.here.find("eve"), self.there.find("eve")), (EVE, None))
        self.bucket.held = False
        self.assertEqual(self.there.find("eve"), EVE)

    def test_taken(self) -> None:
        """
        Row H14: a name in use is refused by the store, also when this gateway has not heard of it yet, and also when
        the record cannot be read.
        """
        self.bucket.held = True
        self.successResultOf(self.create(EVE, self.there))
        self.bucket.put("mallory", b"{")
        for name in ("bob", "eve", "mallory"):
            self.failureResultOf(self.create(evolve(EVE, username=name)), NameTakenError)

    def test_change(self) -> None:
        """
        A change is made to what the store has, and is known here at once.
        """
        self.successResultOf(self.there._change("bob", lambda user: evolve(user, disabled=True)))
        self.bucket.held = True
        changed = self.successResultOf(self.here._change("Bob", lambda user: evolve(user, role="admin")))
        self.assertEqual(changed, evolve(BOB, disabled=True, role="admin"))
        self.assertEqual(self.here.find("bob"), changed)

    def interrupted(self, times: int) -> Callable[[User], User]:
        """
        A change during which somebody else changes the same user, some times.
        """
        seen: list[User] = []

        def change(user: User) -> User:
            seen.append(user)
            if len(seen) <= times:
                self.bucket.put("bob", encode(evolve(user, tokens_valid_from=len(seen))))
            return evolve(user, role="admin")

        return change

    def test_interrupted(self) -> None:
        """
        When somebody else changes the same user meanwhile, it is read and tried again, and neither change is lost.
        """
        changed = self.successResultOf(self.here._change("bob", self.interrupted(4)))
        self.assertEqual((changed.role, changed.tokens_valid_from), ("admin", 4))
        self.assertEqual(self.there.find("bob"), changed)

    def test_always_interrupted(self) -> None:
        """
        After five attempts it is given up.
        """
        self.failureResultOf(self.here._change("bob", self.interrupted(5)), UnavailableError)
        self.assertEqual(self.here.find("bob").role, "user")  # type: ignore[union-attr]

    def test_nothing_to_change(self) -> None:
        """
        What would change nothing is not written.
        """
        writes = self.bucket.writes
        self.assertEqual(self.successResultOf(self.here._change("bob", lambda user: user)), BOB)
        self.assertEqual(self.bucket.writes, writes)

    def test_unknown(self) -> None:
        """
        Nobody is not changed, nor deleted, nor somebody whose record cannot be read.
        """
        self.bucket.put("mallory", b"{")
        for name in ("eve", "", "..", "mallory"):
            self.failureResultOf(self.here._change(name, lambda user: user), UnknownUserError)
            self.failureResultOf(self.here._remove(name), UnknownUserError)

    def test_remove(self) -> None:
        """
        A user who is deleted is unknown here at once, and there soon; the name is free again.
        """
        self.bucket.held = True
        self.assertEqual(self.successResultOf(self.here._remove("BOB")), BOB)
        self.assertEqual((self.here.find("bob"), self.there.find("bob")), (None, BOB))
        self.bucket.held = False
        self.assertIsNone(self.there.find("bob"))
        self.successResultOf(self.create(evolve(BOB, id="19")))
        self.assertEqual(self.there.by_id("19"), evolve(BOB, id="19"))

    def test_unavailable(self) -> None:
        """
        While the store is away nothing can be written, and nothing is known here that was not written.
        """
        self.bucket.available = False
        self.failureResultOf(self.create(EVE), UnavailableError)
        self.failureResultOf(self.here._change("bob", lambda user: user), UnavailableError)
        self.failureResultOf(self.here._remove("bob"), UnavailableError)
        self.assertEqual((self.here.find("eve"), self.here.find("bob")), (None, BOB))
