"""
Tests for L{siger.health.probe}.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Endpoint, Instance
from siger.config.settings.services import HealthCheck, ServiceSettings, Timeouts
from siger.config.settings.tls import UpstreamTLSSettings
from siger.errors import Reason
from siger.grpc.health import Finding
from siger.health.probe import Probe
from tests.health.fakes import Pools


class ProbeTests(SynchronousTestCase):
    """
    Tests for L{Probe}.
    """

    def setUp(self) -> None:
        """
        An instance to be asked every ten seconds.
        """
        self.clock = Clock()
        self.pools = Pools()
        self.told: list[str] = []
        self.endpoint = Endpoint(Instance("10.0.0.1", 50051), "h2c")

    def start(self, check: HealthCheck | None = None, random: Random | None = None) -> Probe:
        """
        Begin to ask.
        """
        tls = UpstreamTLSSettings(server_name="inner.example.com")
        settings = ServiceSettings("a", timeouts=Timeouts(connect=9, response=8), tls=tls)
        probe = Probe(
            self.clock,
            random or Random(1),
            self.pools,
            self.endpoint,
            check or HealthCheck(),
            settings,
            self.note,
        )
        probe.start()
        return probe

    def note(self, endpoint: Endpoint, finding: Finding) -> None:
        """
        Keep what is told.
        """
        self.assertIs(endpoint, self.endpoint)
        self.told.append(finding.result)

    def asked(self) -> list[float]:
        """
        The seconds from the beginning at which questions were asked, as far as there have been any in 1000 seconds.
        """
        seconds: list[float] = []
        for tenth in range(10_000):
            streams = sum(len(pool.streams) for pool in self.pools.made)
            if streams > len(seconds):
                seconds.append(tenth / 10)
            self.clock.advance(0.1)
        return seconds

    def test_at_once(self) -> None:
        """
        The first question is asked at once.
        """
        self.pools.status = 1
        self.start()
        self.assertEqual(self.told, ["serving"])

    def test_intervals(self) -> None:
        """
        The others follow, in intervals that are up to a tenth longer or shorter, over the same connection.
        """
        self.pools.status = 1
        self.start()
        seconds = self.asked()
        intervals = [after - before for before, after in pairwise(seconds)]
        self.assertGreater(len(intervals), 90)
        self.assertTrue(all(8.9 <= interval <= 11.1 for interval in intervals))
        self.assertTrue(min(intervals) < 9.5 and max(intervals) > 10.5)
        self.assertEqual(len(self.pools.made), 1)

    def test_intervals_differ(self) -> None:
        """
        Two that begin at the same moment are soon asked at different times.
        """
        self.pools.status = 1
        found = []
        for seed in (1, 2):
            self.pools.made.clear()
            probe = self.start(random=Random(seed))
            found.append(self.asked())
            probe.stop()
        self.assertNotEqual(found[0][1:5], found[1][1:5])

    def test_counted_from_the_question(self) -> None:
        """
        However long an answer takes, the next question comes when it is due.
        """
        self.start(HealthCheck(interval=10, timeout=9))
        self.clock.advance(8)
        self.pools.made[0].connect().answer()
        self.assertEqual(len(self.pools.made[0].waiters), 0)
        self.clock.advance(3.1)
        self.assertEqual(len(self.pools.made[0].waiters), 1)

    def test_never_two(self) -> None:
        """
        An answer that takes as long as the interval puts off the next question, though the interval may have been a
        shorter one.
        """
        self.start(HealthCheck(interval=2, timeout=2))
        for _ in range(500):
            self.clock.advance(0.1)
            waiting = [len(pool.waiters) for pool in self.pools.made if not pool.closed]
            self.assertLessEqual(sum(waiting), 1)
        self.assertGreater(len(self.told), 20)
        self.assertEqual(set(self.told), {"timeout"})

    def test_own_connection(self) -> None:
        """
        Questions have one connection with one stream of their own, which is made within their time, as the service's
        are in everything else.
        """
        self.start()
        settings = self.pools.made[0].settings
        self.assertEqual((settings.h2_connections, settings.max_streams, settings.max_waiting), (1, 1, 1))
        self.assertEqual((settings.timeouts.connect, settings.tls.server_name), (2.0, "inner.example.com"))
        self.assertIsNone(self.endpoint.pool)

    def test_new_connection(self) -> None:
        """
        What was not answered is asked over a new connection; and an answer may be a bad one.
        """
        self.start()
        self.pools.made[0].connect().answer(2)
        self.clock.advance(11)
        self.clock.advance(2)
        self.assertEqual((self.told, len(self.pools.made)), (["not_serving", "timeout"], 1))
        self.clock.advance(9)
        self.assertEqual([pool.closed for pool in self.pools.made], [True, False])
        self.pools.made[1].waiters.pop().connect_failed(Reason.UPSTREAM_REFUSED)
        self.clock.advance(11)
        self.pools.made[2].connect().answer()
        self.assertEqual(self.told, ["not_serving", "timeout", "unreachable", "serving"])

    def test_stop(self) -> None:
        """
        Stopped while it asks or between two questions, nothing more happens and no connection is left.
        """
        for answered in (False, True):
            self.pools.made.clear()
            probe = self.start()
            pool = self.pools.made[0]
            stream = pool.connect()
            if answered:
                stream.answer()
            self.told.clear()
            probe.stop()
            self.assertEqual((stream.aborted, pool.closed, self.clock.getDelayedCalls()), (not answered, True, []))
            self.clock.advance(60)
            self.assertEqual((self.told, len(self.pools.made)), ([], 1))

    def test_stop_twice(self) -> None:
        """
        Who has stopped can be stopped.
        """
        probe = self.start()
        probe.stop()
        probe.stop()
        self.assertTrue(self.pools.made[0].closed)
