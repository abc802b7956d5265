"""
Tests for L{siger.auth.published}: the clock stands still, and the issuer is in memory.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.compact import InvalidTokenError
from siger.auth.published import MAX_WAITING, PublishedKeys
from tests.auth.key_server import KeyServer
from tests.auth.signing import jwk, private_key

URL = "https://id.example.com/keys"
DAY = 86400


class LatestRandom(Random):
    """
    Chance that always takes the most.
    """

    def uniform(self, a: float, b: float) -> float:
        return b


class PublishedCase(SynchronousTestCase):
    """
    What is common to tests of published keys.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = KeyServer(self.clock)
        self.publish("a")
        self.keys = PublishedKeys(self.clock, URL, ("RS256", "EdDSA"), self.server.agent, LatestRandom())
        self.changes = 0

    def publish(self, *names: str) -> None:
        """
        Publish keys of these names.
        """
        self.server.publish(*(jwk("EdDSA", private_key("EdDSA", name), kid=name) for name in names))

    def start(self) -> None:
        """
        Begin to follow the keys.
        """
        self.keys.start(self.changed)
        self.addCleanup(self.keys.stop)

    def changed(self) -> None:
        """
        Count that keys are gone.
        """
        self.changes += 1

    def knows(self, *names: str) -> None:
        """
        Assert that these keys are known, and no others.
        """
        found = {name for name in "abcdef" if self.keys.find(name) is not None}
        self.assertEqual((found, self.keys.known), (set(names), len(names)))

    def wait(self) -> Deferred[None]:
        """
        Ask for unknown keys, and assert that there is something to wait for.
        """
        waiter = self.keys.refetch()
        assert waiter is not None
        return waiter


class RefreshTests(PublishedCase):
    """
    Keys are kept up to date.
    """

    def test_nothing_before_start(self) -> None:
        """
        Making it fetches nothing.
        """
        self.clock.advance(DAY)
        self.assertIsNone(self.keys.refetch())
        self.assertEqual((self.server.requests, self.keys.fetches, self.keys.age), (0, 0, float("inf")))
        self.assertEqual(repr(self.keys), "<PublishedKeys https://id.example.com/keys 0 stopped>")

    def test_first(self) -> None:
        """
        Starting fetches them.
        """
        self.start()
        self.knows("a")
        self.assertEqual((self.keys.fetches, self.keys.failures, self.keys.age), (1, 0, 0))
        self.assertEqual(repr(self.keys), "<PublishedKeys https://id.example.com/keys 1 idle>")

    def test_usual_refresh(self) -> None:
        """
        Where the issuer does not say for how long they are good, they are fetched every ten minutes.
        """
        self.start()
        self.clock.advance(599)
        self.assertEqual(self.server.requests, 1)
        self.clock.advance(1)
        self.assertEqual(self.server.requests, 2)

    def test_refresh(self) -> None:
        """
        M14, JWKS rotation: where it says, they are fetched then, within bounds.
        """
        for value, seconds in ((b"max-age=7200", 7200), (b"max-age=1", 60), (b"max-age=9999999", DAY)):
            self.server.fields[b"cache-control"] = value
            keys = PublishedKeys(self.clock, URL, ("EdDSA",), self.server.agent, LatestRandom())
            keys.start(self.changed)
            self.clock.advance(seconds - 1)
            self.assertEqual(keys.fetches, 1, value)
            self.clock.advance(1)
            self.assertEqual(keys.fetches, 2, value)
            keys.stop()

    def test_jitter(self) -> None:
        """
        Chance lets many gateways ask at different times, and never too late.
        """
        times = set()
        for seed in range(20):
            clock = Clock()
            PublishedKeys(clock, URL, ("EdDSA",), self.server.agent, Random(seed)).start(self.changed)
            times.add(round(clock.getDelayedCalls()[0].getTime(), 3))
        self.assertEqual(len(times), 20)
        self.assertTrue(min(times) >= 480)
        self.assertTrue(max(times) <= 600)

    def test_rotation(self) -> None:
        """
        M14, JWKS rotation: a new key is added, the old one goes, and only then somebody has to be told.
        """
        self.start()
        self.publish("a", "b")
        self.clock.advance(600)
        self.knows("a", "b")
        self.assertEqual(self.changes, 0)
        self.publish("b")
        self.clock.advance(600)
        self.knows("b")
        self.assertEqual(self.changes, 1)

    def test_replaced(self) -> None:
        """
        Row H9: another key under the same name is a change.
        """
        self.start()
        self.server.publish(jwk("EdDSA", private_key("EdDSA", "b"), kid="a"))
        self.clock.advance(600)
        self.assertEqual(self.changes, 1)

    def test_one_at_a_time(self) -> None:
        """
        While a fetch is under way, no other is begun.
        """
        self.server.hold = True
        self.start()
        for _ in range(10):
            self.wait()
        self.assertEqual(self.server.requests, 1)
        self.assertIn("fetching", repr(self.keys))

    def test_stop(self) -> None:
        """
        Stopping ends everything: the fetch under way, those who wait for it, and the fetches to come.
        """
        self.server.hold = True
        self.start()
        waiters = [self.wait() for _ in range(120)]
        self.keys.stop()
        self.clock.pump([0, 0, 0])
        for waiter in waiters:
            self.successResultOf(waiter)
        self.assertEqual((self.keys.failures, self.clock.getDelayedCalls()), (0, []))
        self.assertIsNone(self.keys.refetch())

    def test_stop_between(self) -> None:
        """
        Stopping between two fetches leaves nothing behind.
        """
        self.start()
        self.keys.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.knows("a")


class FailureTests(PublishedCase):
    """
    An issuer can be down, or talk nonsense.
    """

    def test_stale(self) -> None:
        """
        M14: known keys stay in use while the issuer is down, up to a day after the last success.
        """
        self.start()
        self.server.down = True
        self.clock.advance(600)
        self.clock.pump([60] * ((DAY - 700) // 60))
        self.knows("a")
        self.assertEqual(self.changes, 0)
        self.clock.pump([60] * 3)
        self.knows()
        self.assertEqual(self.changes, 1)

    def test_recovers(self) -> None:
        """
        An issuer that comes back is asked again within a minute, and everything is as before.
        """
        self.start()
        self.server.down = True
        self.clock.advance(600)
        self.clock.pump([60] * 100)
        self.server.down = False
        self.publish("b")
        self.clock.advance(60)
        self.knows("b")
        self.assertEqual(self.keys.age, 0)
        requests = self.server.requests
        self.clock.advance(599)
        self.assertEqual(self.server.requests, requests)

    def test_retries(self) -> None:
        """
        Retries come soon, and later each time.
        """
        self.server.down = True
        self.start()
        seen: list[int] = []
        for second in range(200):
            if self.keys.fetches > len(seen):
                seen.append(second)
            self.clock.advance(1)
        self.assertEqual(seen, [0, 2, 6, 14, 30, 62, 122, 182])
        self.assertEqual((self.keys.failures, self.keys.age), (8, float("inf")))

    def test_garbage(self) -> None:
        """
        What is no set of keys changes nothing.
        """
        self.start()
        for content in (b"", b"<html>", b'{"keys": []}', b"[" * 100000, b"\xff", b'{"keys": [{"kty": "oct"}]}'):
            self.server.content = content
            failures = self.keys.failures
            self.clock.advance(600)
            self.assertEqual(self.keys.failures, failures + 1, content[:20])
            self.knows("a")
            self.publish("a")
            self.clock.advance(60)
            self.assertEqual(self.keys.age, 0)

    def test_statuses(self) -> None:
        """
        Only a 200 is an answer. A redirect is not followed.
        """
        self.start()
        self.publish("b")
        self.server.fields[b"location"] = b"https://id.example.com/elsewhere"
        for code in (201, 204, 206, 301, 302, 307, 308, 400, 404, 500, 503):
            self.server.code = code
            requests = self.server.requests
            self.clock.advance(600)
            self.assertEqual(self.server.requests, requests + 1, code)
            self.knows("a")

    def test_timeout(self) -> None:
        """
        A fetch takes five seconds at most, and is given up then.
        """
        self.server.hold = True
        self.start()
        waiter = self.wait()
        self.clock.advance(4.9)
        self.assertNoResult(waiter)
        self.clock.advance(0.2)
        self.successResultOf(waiter)
        self.assertEqual((self.keys.failures, self.keys.waiting), (1, 0))

    def test_told_once(self) -> None:
        """
        The log says once that an issuer is down, and once that it is back.
        """
        events: list[Any] = []
        self.keys.log = Logger(observer=events.append)  # type: ignore[arg-type]
        self.server.down = True
        self.start()
        self.clock.pump([60] * 20)
        self.server.down = False
        self.clock.pump([60] * 20)
        self.assertEqual([event["log_level"].name for event in events], ["warn", "info"])


class UnknownKeyTests(PublishedCase):
    """
    A token with an unknown key has the keys fetched.
    """

    def test_fetched(self) -> None:
        """
        M14: half a minute after the last fetch, an unknown key causes another one.
        """
        self.start()
        self.publish("a", "b")
        self.clock.advance(30)
        self.successResultOf(self.wait())
        self.knows("a", "b")

    def test_not_too_often(self) -> None:
        """
        M14: however many unknown keys are asked for, there is one fetch in half a minute.
        """
        self.start()
        for _ in range(290):
            self.clock.advance(1)
            for _ in range(5):
                self.keys.refetch()
        self.assertEqual(self.server.requests, 1 + 9)

    def test_not_too_often_while_down(self) -> None:
        """
        The same holds while the issuer is down: those who ask do not add to the retries.
        """
        self.start()
        self.server.down = True
        self.clock.advance(600)
        for _ in range(300):
            self.clock.advance(1)
            self.keys.refetch()
        self.assertLessEqual(self.server.requests, 2 + 300 // 30 + 4)

    def test_wait_together(self) -> None:
        """
        Everybody who asks while a fetch is under way waits for that one.
        """
        self.start()
        self.clock.advance(30)
        self.server.hold = True
        waiters = [self.wait() for _ in range(10)]
        self.assertEqual((self.server.requests, self.keys.waiting), (2, 10))
        self.publish("b")
        self.server.release()
        for waiter in waiters:
            self.successResultOf(waiter)
        self.assertEqual(self.keys.waiting, 0)
        self.knows("b")

    def test_bounded(self) -> None:
        """
        Only so many may wait.
        """
        self.server.hold = True
        self.start()
        waiters = [self.wait() for _ in range(MAX_WAITING)]
        for _ in range(3):
            with self.assertRaises(InvalidTokenError) as caught:
                self.keys.refetch()
            self.assertEqual(caught.exception.cause, "busy")
        self.assertEqual((self.keys.refused, self.keys.waiting), (3, MAX_WAITING))
        waiters[0].addErrback(lambda _: None)
        waiters[0].cancel()
        self.wait()

    def test_in_turns(self) -> None:
        """
        When many wait, they go on a few at a time, so that others come in between.
        """
        self.server.hold = True
        self.start()
        waiters = [self.wait() for _ in range(120)]
        self.server.release()
        self.assertEqual([sum(waiter.called for waiter in waiters)], [50])
        waiters[60].addErrback(lambda _: None)
        waiters[60].cancel()
        self.clock.advance(0)
        self.assertEqual([sum(waiter.called for waiter in waiters)], [120])

    def test_client_leaves(self) -> None:
        """
        Whoever does not wait any longer takes no place.
        """
        self.server.hold = True
        self.start()
        waiter = self.wait()
        waiter.addErrback(lambda _: None)
        waiter.cancel()
        self.assertEqual(self.keys.waiting, 0)
        self.server.release()
        self.knows("a")
