"""
Tests of how a connection to NATS is found, lost and found again: without sockets, in time of our own.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.nats import NatsSettings
from siger.messaging.connection import FIRST, LONGEST, REFUSED, STEADY, NatsConnection, backoff
from siger.messaging.dialling import DialError, RefusedError
from siger.messaging.errors import UnavailableError
from tests.messaging.links import FakeDialler, FakeLink


class BackoffTests(SynchronousTestCase):
    """
    L{backoff}.
    """

    def test_grows(self) -> None:
        """
        Pauses double from the first to the longest, and are at least half of that.
        """
        random = Random(1)
        for failures in range(40):
            longest = min(LONGEST, FIRST * 2**failures)
            for _ in range(20):
                self.assertTrue(longest / 2 <= backoff(failures, False, random) <= longest)

    def test_chance(self) -> None:
        """
        Row K15: two gateways do not pause equally long.
        """
        self.assertNotEqual(backoff(5, False, Random(1)), backoff(5, False, Random(2)))

    def test_refused(self) -> None:
        """
        Credentials that were refused are not tried often, from the first time.
        """
        self.assertTrue(REFUSED / 2 <= backoff(0, True, Random(1)) <= REFUSED)


class ConnectionCase(SynchronousTestCase):
    """
    A connection that was started.
    """

    servers = ("nats://u:p@a:1",)

    def setUp(self) -> None:
        """
        Make it.
        """
        self.clock = Clock()
        self.dialler = FakeDialler()
        self.states: list[str] = []
        self.connection = self.make()
        self.connection.on_state(self.states.append)
        self.connection.start()

    def make(self) -> NatsConnection:
        """
        A connection.
        """
        return NatsConnection(self.clock, self.servers, NatsSettings(), dialler=self.dialler, random=Random(1))

    def connected(self) -> FakeLink:
        """
        Let the last attempt succeed.
        """
        return self.dialler.reaches(FakeLink())

    def stop(self) -> None:
        """
        Stop, and see that nothing is left.
        """
        self.successResultOf(self.connection.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.connection.state, self.connection.connected), ("closed", False))
        dialled = len(self.dialler.dialled)
        self.clock.advance(1000)
        self.assertEqual(len(self.dialler.dialled), dialled)


class ConnectionTests(ConnectionCase):
    """
    L{NatsConnection}.
    """

    def test_nothing_before_start(self) -> None:
        """
        Making one reaches for nothing.
        """
        dialler = FakeDialler()
        NatsConnection(self.clock, self.servers, NatsSettings(), dialler=dialler)
        self.assertEqual(dialler.dialled, [])

    def test_first(self) -> None:
        """
        It is connecting until the first server answers; whoever waits for that is told, and listeners.
        """
        waiting = self.connection.when_connected()
        self.assertEqual((self.connection.state, self.connection.connected), ("connecting", False))
        self.assertNoResult(waiting)
        link = self.connected()
        self.successResultOf(waiting)
        self.successResultOf(self.connection.when_connected())
        self.assertIs(self.connection.link, link)
        self.assertEqual((self.states, self.connection.describe()), (["connected"], "connected"))
        self.assertEqual(repr(self.connection), "<NatsConnection connected>")

    def test_for_ever(self) -> None:
        """
        Row K15: it goes on trying, at intervals that grow to the longest.
        """
        for round_ in range(200):
            self.assertEqual(len(self.dialler.dialled), round_ + 1)
            self.dialler.fails(DialError("cannot be reached"))
            self.clock.advance(LONGEST)
        self.assertEqual((self.connection.failures, self.connection.state), (200, "connecting"))
        self.connected()
        self.assertTrue(self.connection.connected)

    def test_lost(self) -> None:
        """
        When the connection is lost it looks for the next within a tenth of a second.
        """
        link = self.connected()
        self.clock.advance(STEADY)
        link.lost.callback("gone")
        self.assertEqual((self.connection.state, self.connection.link), ("disconnected", None))
        self.clock.advance(FIRST)
        self.assertEqual(len(self.dialler.dialled), 2)
        self.connected()
        self.assertEqual(self.states, ["connected", "disconnected", "connected"])
        self.assertEqual(self.connection.reconnects, 1)

    def test_short_lives(self) -> None:
        """
        A server that drops each connection soon is tried ever more slowly; one that did not, is not.
        """
        for _ in range(20):
            self.connected().lost.callback("gone")
            self.clock.advance(LONGEST)
        self.connected().lost.callback("gone")
        self.clock.advance(LONGEST / 2 - 0.01)
        self.assertEqual(len(self.dialler.dialled), 21)
        self.clock.advance(LONGEST / 2)
        link = self.connected()
        self.clock.advance(STEADY)
        link.lost.callback("gone")
        self.clock.advance(FIRST)
        self.assertEqual(len(self.dialler.dialled), 23)

    def test_refused(self) -> None:
        """
        While credentials are refused it says so, and tries slowly, for ever.
        """
        self.dialler.fails(RefusedError("Authorization Violation"))
        self.assertEqual(self.connection.describe(), "credentials refused")
        self.clock.advance(REFUSED / 2 - 0.01)
        self.assertEqual(len(self.dialler.dialled), 1)
        self.clock.advance(REFUSED)
        self.assertEqual(len(self.dialler.dialled), 2)
        self.dialler.fails(DialError("cannot be reached"))
        self.assertEqual(self.connection.describe(), "connecting")
        self.clock.advance(LONGEST)
        self.connected()
        self.assertEqual(self.connection.describe(), "connected")

    def test_other_servers(self) -> None:
        """
        Other servers are tried at once, not after the pause; and what was known of the old cluster is forgotten.
        """
        for _ in range(10):
            self.dialler.fails(DialError("cannot be reached"))
            self.clock.advance(LONGEST)
        self.dialler.fails(DialError("cannot be reached"))
        self.connection.set_servers(["b:2"])
        self.assertEqual(self.dialler.dialled[-1], "b:2")
        self.connection.set_servers(["c:3"])
        self.dialler.fails(DialError("cannot be reached"))
        self.assertEqual(self.dialler.dialled[-1], "c:3")

    def test_no_servers(self) -> None:
        """
        Without any server it waits for some.
        """
        self.connection.set_servers([])
        self.dialler.fails(DialError("cannot be reached"))
        self.clock.advance(LONGEST)
        self.assertEqual(len(self.dialler.dialled), 1)
        self.connection.set_servers(["b:2"])
        self.assertEqual(self.dialler.dialled[-1], "b:2")

    def test_cluster(self) -> None:
        """
        Servers that the cluster names are tried after those that were given, with their credentials.
        """
        link = FakeLink()
        link.discovered = ["a:1", "b:2"]
        self.dialler.reaches(link)
        link.lost.callback("gone")
        self.clock.advance(FIRST)
        self.dialler.fails(DialError("cannot be reached"))
        self.assertEqual(self.dialler.dialled[1:], ["nats://u:p@a:1", "nats://u:p@b:2"])

    def test_listeners(self) -> None:
        """
        A listener that fails stops nobody, and one that left is not called.
        """
        heard: list[str] = []
        self.connection.on_state(lambda state: 1 // 0)
        forget = self.connection.on_state(heard.append)
        link = self.connected()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        forget()
        forget()
        link.lost.callback("gone")
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual((heard, self.states), (["connected"], ["connected", "disconnected"]))

    def test_run(self) -> None:
        """
        Row K5: an operation is carried out on the connection that stands, and refused at once when none does.
        """

        async def work(link: Any) -> str:
            return str(link.address)

        self.failureResultOf(self.connection.run(work), UnavailableError)
        link = self.connected()
        self.assertEqual(self.successResultOf(self.connection.run(work)), "a:1")
        link.lost.callback("gone")
        self.failureResultOf(self.connection.run(work), UnavailableError)
        self.assertEqual(self.connection.errors, 2)

    def test_errors(self) -> None:
        """
        Operations that NATS could not do are counted, others not.
        """
        self.connected()

        async def unavailable(link: Any) -> None:
            raise UnavailableError("no leader")

        async def wrong(link: Any) -> None:
            raise ValueError

        self.failureResultOf(self.connection.run(unavailable), UnavailableError)
        self.failureResultOf(self.connection.run(wrong), ValueError)
        self.assertEqual(self.connection.errors, 1)

    def test_bucket(self) -> None:
        """
        A name is one bucket, and a name that would mean something else in a subject is none.
        """
        self.assertIs(self.connection.bucket("users"), self.connection.bucket("users"))
        with self.assertRaises(ValueError):
            self.connection.bucket("users", ttl=1)
        for name in ("", "a.b", "a b", "*", ">", "a/b", "x" * 65):
            with self.assertRaises(ValueError):
                self.connection.bucket(name)


class StopTests(ConnectionCase):
    """
    L{NatsConnection.stop}, whatever is under way.
    """

    def test_while_dialling(self) -> None:
        """
        An attempt is given up.
        """
        waiting = self.connection.when_connected()
        self.stop()
        self.assertNoResult(waiting)
        self.assertEqual(self.dialler.settled, 1)

    def test_while_pausing(self) -> None:
        """
        A pause is ended.
        """
        self.dialler.fails(DialError("cannot be reached"))
        self.stop()

    def test_while_connected(self) -> None:
        """
        The connection is closed; and it is not looked for again, however it ends.
        """
        link = self.connected()
        self.stop()
        self.assertEqual((link.closed, self.states), (1, ["connected", "closed"]))
        self.successResultOf(self.connection.stop())
        self.connection.start()
        self.assertEqual((link.closed, len(self.dialler.dialled)), (1, 1))

    def test_never_started(self) -> None:
        """
        One that was never started can be stopped.
        """
        self.successResultOf(self.make().stop())

    def test_by_those_told(self) -> None:
        """
        Whoever is told that it is connected, or not, may stop it then.
        """
        stopped: list[Deferred[None]] = []
        self.connection.when_connected().addCallback(lambda _: stopped.append(self.connection.stop()))
        link = self.connected()
        self.successResultOf(stopped[0])
        self.assertEqual((link.closed, self.connection.state), (1, "closed"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_by_listener(self) -> None:
        """
        So may a listener, when the connection is lost.
        """
        link = self.connected()
        stopped: list[Deferred[None]] = []
        self.connection.on_state(
            lambda state: stopped.append(self.connection.stop()) if state == "disconnected" else None
        )
        link.lost.callback("gone")
        self.successResultOf(stopped[0])
        self.assertEqual((self.connection.state, self.clock.getDelayedCalls()), ("closed", []))

    def test_reached_too_late(self) -> None:
        """
        A connection that comes at the moment of stopping is closed.
        """
        link = FakeLink()
        # Given up too late: it had come already, as can happen to an attempt that ends in the same turn of the loop.
        self.dialler.cancelled = lambda attempt: attempt.callback(link)
        self.stop()
        self.assertEqual((link.closed, self.connection.link), (1, None))
