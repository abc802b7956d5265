"""
Hashing in real threads, beside the real reactor.
"""

from __future__ import annotations

import random
import threading
import time
from math import erfc, sqrt

from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import SynchronousTestCase, TestCase

from siger.auth.errors import BadCredentialsError, BusyError
from siger.auth.passwords import Cost, Hasher
from siger.auth.users import Users
from tests.messaging.memory_bucket import MemoryBucket


def rank_test(ones: list[float], others: list[float]) -> float:
    """
    How likely two samples would differ in rank as much as these if they were of one kind: Mann and Whitney's test, with
    the normal approximation, which is good from some twenty values on.

    @return: the two-sided p.
    """
    ranked = sorted([(value, 0) for value in ones] + [(value, 1) for value in others])
    ranks = sum(rank for rank, (_, kind) in enumerate(ranked, 1) if kind == 0)
    size, other = len(ones), len(others)
    distance = ranks - size * (size + other + 1) / 2
    return erfc(abs(distance) / sqrt(size * other * (size + other + 1) / 12) / sqrt(2))


class RankTests(SynchronousTestCase):
    """
    Tests for L{rank_test}.
    """

    def test_known_value(self) -> None:
        """
        It gives what can be computed by hand: all ten of one kind before all ten of the other.
        """
        p = rank_test([float(each) for each in range(10)], [float(each) for each in range(10, 20)])
        self.assertAlmostEqual(p, erfc(50 / sqrt(175) / sqrt(2)))
        self.assertLess(p, 0.001)

    def test_same_kind(self) -> None:
        """
        Samples that take turns are of one kind.
        """
        self.assertGreater(
            rank_test([float(each) for each in range(0, 200, 2)], [float(each) for each in range(1, 200, 2)]), 0.5
        )

    def test_shift(self) -> None:
        """
        A shift by half of what the values vary is found in 250 of each.
        """
        source = random.Random(1)
        ones = [source.gauss(10, 1) for _ in range(250)]
        self.assertLess(rank_test(ones, [source.gauss(10.5, 1) for _ in range(250)]), 0.001)
        self.assertGreater(rank_test(ones, [source.gauss(10, 1) for _ in range(250)]), 0.01)


class HashingTests(TestCase):
    """
    A hasher with two threads.
    """

    timeout = 60

    def hasher(self, cost: Cost) -> Hasher:
        """
        One that is stopped at the end, with its threads.
        """
        hasher = Hasher(reactor, cost=cost)  # type: ignore[arg-type]
        before = threading.active_count()

        def ended(_: object) -> None:
            self.assertLessEqual(threading.active_count(), before)

        self.addCleanup(lambda: hasher.stop().addCallback(ended))
        return hasher

    async def test_reactor_goes_on(self) -> None:
        """
        Row H12: while a hash is computed the reactor turns: neither its thread nor the interpreter's lock is held.
        """
        hasher = self.hasher(Cost(65536, 6, 1))
        turns: list[float] = []
        ticking = LoopingCall(lambda: turns.append(time.monotonic()))
        ticking.start(0.001)
        try:
            await hasher.hash("correct horse")
        finally:
            ticking.stop()
        # It takes some hundred milliseconds; held up, there would be one turn before and one after.
        self.assertGreater(len(turns), 20)

    async def test_thousand_at_once(self) -> None:
        """
        Row H12: of a thousand logins at once, 66 are heard, at the full cost, and all others are turned away before the
        reactor turns again; it goes on meanwhile.
        """
        users = Users(MemoryBucket("users"), self.hasher(Cost()))
        users.start()
        results = [users.authenticate(f"user{number}", "wrong horse") for number in range(1000)]
        self.assertEqual(sum(result.called for result in results), 1000 - 66)
        turns: list[float] = []
        ticking = LoopingCall(lambda: turns.append(time.monotonic()))
        ticking.start(0.001)
        failures = [failure for _, failure in await DeferredList(results, consumeErrors=True)]
        ticking.stop()
        kinds = [failure.type for failure in failures]
        self.assertEqual((kinds.count(BadCredentialsError), kinds.count(BusyError)), (66, 1000 - 66))
        self.assertGreater(len(turns), 66)

    async def test_time_does_not_tell(self) -> None:
        """
        Row H11: known and unknown names cannot be told apart by how long an attempt takes (Mann-Whitney, p > 0.01). By
        chance they can, once in a hundred times, so it may be tried three times.
        """
        users = Users(MemoryBucket("users"), self.hasher(Cost(1024, 2, 1)))
        users.start()
        await users.register("bob", "correct horse")
        found = [await self.compare(users)]
        while found[-1] <= 0.01 and len(found) < 3:
            found.append(await self.compare(users))
        self.assertGreater(found[-1], 0.01, f"p: {found}")

    async def compare(self, users: Users) -> float:
        """
        Try known and unknown names 250 times each, in random order.
        """
        names = ["bob"] * 250 + [f"eve{number}" for number in range(250)]
        random.shuffle(names)
        took: dict[bool, list[float]] = {True: [], False: []}
        for name in names:
            began = time.perf_counter()
            try:
                await users.authenticate(name, "wrong horse")
            except BadCredentialsError:
                took[name == "bob"].append(time.perf_counter() - began)
        return rank_test(took[True], took[False])
