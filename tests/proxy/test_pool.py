"""
Tests for L{siger.proxy.pool}.
"""

from __future__ import annotations

import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError, TimeoutError, UserError

from siger.balancing.instances import Endpoint, Instance
from siger.config.settings.services import ServiceSettings
from siger.errors import Reason
from siger.http.response import ResponseParser
from siger.proxy.pool import Pool
from tests.http.generators import properties
from tests.proxy.fakes import TIMEOUTS
from tests.proxy.instance import FakeWire
from tests.proxy.pool_case import FakeWaiter, PoolCase

OK = b"HTTP/1.1 204 x\r\n\r\n"


class _PoolMixin(PoolCase):
    """
    A pool of connections for one exchange each.
    """

    def setUp(self) -> None:
        """
        Make a pool of at most three connections, for which two may wait.
        """
        self.make(max_connections=3, max_waiting=2)

    def make_pool(self, settings: ServiceSettings, secure: Any) -> Pool:
        """
        See L{PoolCase.make_pool}.
        """
        endpoint = Endpoint(Instance("192.0.2.9", 80))
        return Pool(self.reactor, endpoint, settings, self.deadlines, ResponseParser(), secure)

    def served(self) -> FakeWire:
        """
        A new connection that has served once and is idle.
        """
        self.wait()
        wire = self.instance.accept()
        wire.say(OK)
        return wire


class CheckoutTests(_PoolMixin):
    """
    Tests for connections that are there.
    """

    def test_none(self) -> None:
        """
        A new pool has none.
        """
        self.assertIsNone(self.pool.checkout())
        self.assertEqual(repr(self.pool), "<Pool 192.0.2.9:80 [0 active, 0 idle, 0 connecting, 0 waiting]>")

    def test_reuse(self) -> None:
        """
        A connection that has served serves again, without another being made.
        """
        wire = self.served()
        self.assertEqual(self.state(), "0 active, 1 idle, 0 connecting, 0 waiting")
        waiter = self.ask()
        self.assertEqual(self.state(), "1 active, 0 idle, 0 connecting, 0 waiting")
        wire.say(OK)
        self.assertTrue(waiter.complete)
        self.assertEqual(self.instance.attempts, 0)

    def test_newest_first(self) -> None:
        """
        The one used last is used next, so that those not needed grow old: C13.
        """
        first, second = self.served(), self.served()
        self.ask()
        self.assertEqual((first.received, second.received), (b"request", b"requestrequest"))

    def test_not_usable(self) -> None:
        """
        One on which something came unasked is passed over: C3.
        """
        first, second = self.served(), self.served()
        second.say(OK)
        self.ask()
        self.assertEqual(first.received, b"requestrequest")
        self.assertTrue(second.transport.aborted)

    def test_gone(self) -> None:
        """
        One that is gone is forgotten.
        """
        wire = self.served()
        wire.lose()
        self.assertIsNone(self.pool.checkout())
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")

    def test_closed_after_response(self) -> None:
        """
        One that was closed after its response is not kept.
        """
        self.wait()
        self.instance.accept().say(b"HTTP/1.1 204 x\r\nConnection: close\r\n\r\n")
        self.assertIsNone(self.pool.checkout())
        self.instance.settle()
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")


class QuietTests(_PoolMixin):
    """
    Tests for connections that were idle for a while: whether they are still quiet is asked of the kernel, so these
    need a pair of sockets.
    """

    def setUp(self) -> None:
        """
        Keep a connection that has been idle for a second.
        """
        super().setUp()
        self.near, self.far = socket.socketpair()
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)

    def idle_for(self, seconds: float) -> FakeWire:
        """
        An idle connection over the pair.
        """
        self.wait()
        wire = self.instance.accept(self.near)
        wire.say(OK)
        self.later(seconds)
        return wire

    def test_quiet(self) -> None:
        """
        A quiet one is used.
        """
        self.idle_for(1)
        self.assertIsNotNone(self.pool.checkout())

    def test_bytes(self) -> None:
        """
        One with an unasked response waiting in the kernel is not: C3.
        """
        wire = self.idle_for(1)
        self.far.send(OK)
        self.assertIsNone(self.pool.checkout())
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(self.near.recv(100), OK)

    def test_closed(self) -> None:
        """
        Nor is one whose instance has closed: C3, C8.
        """
        wire = self.idle_for(1)
        self.far.close()
        self.assertIsNone(self.pool.checkout())
        self.assertTrue(wire.transport.aborted)

    def test_just_used(self) -> None:
        """
        One that was used just now is not asked for.
        """
        self.idle_for(0.25)
        self.far.send(OK)
        self.assertIsNotNone(self.pool.checkout())

    def test_cannot_tell(self) -> None:
        """
        Where nobody can tell, it is used.
        """
        self.near.close()
        for handle in (self.near, None, object()):
            self.wait()
            self.instance.accept(handle).say(OK)
            self.later(1)
            self.assertIsNotNone(self.pool.checkout())


class DialTests(_PoolMixin):
    """
    Tests for connections that are to be made.
    """

    def test_dialled(self) -> None:
        """
        Who needs a connection has one made.
        """
        waiter = self.ask()
        self.assertEqual(self.state(), "0 active, 0 idle, 1 connecting, 1 waiting")
        host, port, _, timeout, _ = self.reactor.tcpClients[0]
        self.assertEqual((host, port), ("192.0.2.9", 80))
        self.assertGreater(timeout, TIMEOUTS.connect)
        wire = self.instance.accept()
        self.assertEqual(self.state(), "1 active, 0 idle, 0 connecting, 0 waiting")
        self.assertEqual(wire.received, b"request")
        wire.say(OK)
        self.assertTrue(waiter.complete)

    def test_first_come(self) -> None:
        """
        Who waits longest is served first, by whichever connection.
        """
        wire = self.served()
        self.ask()
        first, second = self.ask(), self.ask()
        wire.say(OK)
        self.assertIsNotNone(first.connection)
        self.assertIsNone(second.connection)
        self.instance.accept()
        self.assertIsNotNone(second.connection)

    def test_failure(self) -> None:
        """
        An attempt that fails says why: C9.
        """
        waiter = self.ask()
        self.instance.refuse(ConnectionRefusedError())
        self.assertIs(waiter.failed, Reason.UPSTREAM_REFUSED)
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")

    def test_each_failure_one(self) -> None:
        """
        Of several attempts, each that fails fails one that waits.
        """
        waiters = [self.ask() for _ in range(3)]
        self.assertEqual(self.instance.attempts, 3)
        for count in range(3):
            self.assertEqual(len([waiter for waiter in waiters if waiter.failed]), count)
            self.instance.refuse(ConnectionRefusedError())
        self.assertEqual([waiter.failed for waiter in waiters], [Reason.UPSTREAM_REFUSED] * 3)

    def test_failure_of_an_attempt_that_nobody_needs(self) -> None:
        """
        The failure of an attempt whose waiter has gone is nobody's: who came later waits for a later attempt.
        """
        first = self.ask()
        self.later(3.25)
        self.assertIs(first.failed, Reason.CONNECT_TIMEOUT)
        second = self.ask()
        self.instance.refuse(TimeoutError())
        self.assertIsNone(second.failed)
        self.instance.accept()
        self.assertIsNotNone(second.connection)

    def test_not_needed_any_more(self) -> None:
        """
        A connection that is made too late is there for the next, for a moment.
        """
        waiter = self.ask()
        self.pool.cancel(waiter)
        self.assertEqual(self.state(), "0 active, 0 idle, 1 connecting, 0 waiting")
        wire = self.instance.accept()
        self.assertEqual(self.state(), "0 active, 1 idle, 0 connecting, 0 waiting")
        self.later(0.5)
        self.assertTrue(wire.transport.closed)
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")

    def test_own_patience(self) -> None:
        """
        Each waits as long as it can, whoever came first.
        """
        first, second = self.waiter(), self.waiter()
        self.pool.wait(first, 10)
        self.pool.wait(second, 2)
        self.later(2.25)
        self.assertEqual((first.failed, second.failed), (None, Reason.CONNECT_TIMEOUT))
        self.assertEqual([client[3] for client in self.reactor.tcpClients], [11, 3])
        self.instance.accept()
        self.assertIsNotNone(first.connection)

    def test_too_long(self) -> None:
        """
        Who waits longer than the timeout fails: C9.
        """
        waiter = self.ask()
        self.later(2.75)
        self.assertIsNone(waiter.failed)
        self.later(0.5)
        self.assertIs(waiter.failed, Reason.CONNECT_TIMEOUT)


class LimitTests(_PoolMixin):
    """
    Tests for limits.
    """

    def full(self) -> list[FakeWire]:
        """
        Use all connections that there may be.
        """
        for _ in range(3):
            self.ask()
        return [self.instance.accept() for _ in range(3)]

    def test_connections(self) -> None:
        """
        No more connections are made than may be: C13.
        """
        self.full()
        waiter = self.ask()
        self.assertEqual((self.instance.attempts, waiter.failed), (0, None))
        self.assertEqual(self.state(), "3 active, 0 idle, 0 connecting, 1 waiting")

    def test_waiting(self) -> None:
        """
        No more exchanges wait than may: C13, F9.
        """
        self.full()
        waiters = [self.ask() for _ in range(3)]
        self.assertEqual([waiter.failed for waiter in waiters], [None, None, Reason.POOL_FULL])

    def test_waiting_for_attempts(self) -> None:
        """
        Those that wait for a connection of their own are no queue.
        """
        waiters = [self.ask() for _ in range(6)]
        self.assertEqual([waiter.failed for waiter in waiters], [None] * 5 + [Reason.POOL_FULL])

    def test_served_in_turn(self) -> None:
        """
        Who waits is served as connections come free, in order.
        """
        wires = self.full()
        first, second = self.ask(), self.ask()
        wires[1].say(OK)
        self.assertEqual((first.connection is None, second.connection is None), (False, True))
        wires[0].say(OK)
        self.assertIsNotNone(second.connection)
        self.assertEqual(wires[1].received, b"requestrequest")

    def test_replaced(self) -> None:
        """
        When one is gone, another is made for who waits.
        """
        wires = self.full()
        waiter = self.ask()
        wires[0].lose()
        self.assertEqual(self.state(), "2 active, 0 idle, 1 connecting, 1 waiting")
        self.instance.accept()
        self.assertIsNotNone(waiter.connection)

    def test_waited_too_long(self) -> None:
        """
        Who waits too long is told that there are too many, not that the instance is slow.
        """
        self.full()
        waiter = self.ask()
        self.later(3.25)
        self.assertIs(waiter.failed, Reason.POOL_FULL)

    def test_all_too_long(self) -> None:
        """
        Many that wait too long are all told at once: F9.
        """
        self.make(max_connections=1, max_waiting=500)
        self.ask()
        self.instance.accept()
        waiters = [self.ask() for _ in range(500)]
        self.later(3.25)
        self.assertEqual({waiter.failed for waiter in waiters}, {Reason.POOL_FULL})

    def test_each_its_own_time(self) -> None:
        """
        Each waits its own time.
        """
        self.full()
        first = self.ask()
        self.later(2)
        second = self.ask()
        self.later(1.25)
        self.assertEqual((first.failed, second.failed), (Reason.POOL_FULL, None))
        self.later(2)
        self.assertIs(second.failed, Reason.POOL_FULL)

    def test_its_own_time_after_a_cancellation(self) -> None:
        """
        Also when the one before it has left.
        """
        self.full()
        first = self.ask()
        self.later(2)
        second = self.ask()
        self.pool.cancel(first)
        self.later(1.25)
        self.assertIsNone(second.failed)
        self.later(2)
        self.assertEqual((first.failed, second.failed), (None, Reason.POOL_FULL))

    def test_nobody_left(self) -> None:
        """
        When all have left, nothing is watched any more.
        """
        self.full()
        waiter = self.ask()
        self.pool.cancel(waiter)
        self.pool.cancel(waiter)
        self.assertEqual(len(self.deadlines._members), 3)
        self.later(10)
        self.assertIsNone(waiter.failed)
        self.assertEqual(self.state(), "3 active, 0 idle, 0 connecting, 0 waiting")

    def test_idle_make_room(self) -> None:
        """
        Who needs a new connection is not kept waiting by idle ones: the oldest makes room.
        """
        wires = [self.served() for _ in range(3)]
        waiter = self.wait()
        self.instance.settle()
        self.assertEqual([wire.lost for wire in wires], [True, False, False])
        self.instance.accept()
        self.assertIsNotNone(waiter.connection)
        self.assertEqual(self.state(), "1 active, 2 idle, 0 connecting, 0 waiting")


class IdleTests(_PoolMixin):
    """
    Tests for how long connections stay idle.
    """

    def test_default(self) -> None:
        """
        Less than a minute, which most servers allow: C13.
        """
        wire = self.served()
        self.later(54.5)
        self.assertFalse(wire.transport.closed)
        self.later(1)
        self.assertTrue(wire.transport.closed)
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")

    def test_hint(self) -> None:
        """
        Less than the instance says: C13.
        """
        self.wait()
        wire = self.instance.accept()
        wire.say(b"HTTP/1.1 204 x\r\nKeep-Alive: timeout=5\r\n\r\n")
        self.later(3.5)
        self.assertFalse(wire.transport.closed)
        self.later(1)
        self.assertTrue(wire.transport.closed)

    def test_used_again(self) -> None:
        """
        Time in use does not count.
        """
        wire = self.served()
        self.later(40)
        self.ask()
        self.later(15)
        wire.say(OK)
        self.later(40)
        self.assertFalse(wire.transport.closed)


class CloseTests(_PoolMixin):
    """
    Tests for the end of a pool.
    """

    def test_idle(self) -> None:
        """
        Idle connections close.
        """
        wires = [self.served(), self.served()]
        self.pool.close()
        self.instance.settle()
        self.assertEqual([wire.lost for wire in wires], [True, True])
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")

    def test_running(self) -> None:
        """
        Running exchanges finish; their connections are not kept.
        """
        waiter = self.ask()
        wire = self.instance.accept()
        self.pool.close()
        self.assertFalse(wire.transport.closed)
        wire.say(OK)
        self.assertTrue(waiter.complete)
        self.assertTrue(wire.transport.closed)
        self.instance.settle()
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")

    def test_waiting(self) -> None:
        """
        Who waits is told; attempts are given up.
        """
        waiters = [self.ask(), self.ask()]
        self.pool.close()
        self.assertEqual([waiter.failed for waiter in waiters], [Reason.NO_INSTANCE] * 2)
        self.assertEqual([connector._disconnected for connector in self.reactor.connectors], [True, True])
        for _ in waiters:
            self.instance.refuse(UserError())
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")

    def test_too_late(self) -> None:
        """
        A connection that is made all the same is closed.
        """
        self.ask()
        self.pool.close()
        wire = self.instance.accept()
        self.assertTrue(wire.transport.closed)
        wire.settle()
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")

    def test_afterwards(self) -> None:
        """
        Who comes afterwards is told at once.
        """
        self.pool.close()
        self.assertIs(self.ask().failed, Reason.NO_INSTANCE)

    def test_lost_afterwards(self) -> None:
        """
        Nothing is dialled for a pool that is closed.
        """
        self.ask()
        wire = self.instance.accept()
        self.pool.close()
        wire.lose()
        self.assertEqual(self.instance.attempts, 0)

    def test_twice(self) -> None:
        """
        It may be closed twice.
        """
        self.served()
        self.pool.close()
        self.pool.close()


STEPS = ["ask", "fresh", "accept", "refuse", "answer", "answer and close", "lose", "reset", "unasked", "wait", "leave"]


class PropertyTests(_PoolMixin):
    """
    Any order of events.
    """

    @properties
    @given(st.lists(st.sampled_from(STEPS), max_size=40), st.booleans())
    def test_any_order(self, steps: list[str], close: bool) -> None:
        """
        Whatever happens in whatever order, limits hold, nobody who waits is forgotten, and when all is over the pool is
        as it was at first.
        """
        self.setUp()
        waiters: list[FakeWaiter] = []
        for step in steps:
            self.take(step, waiters)
            self.instance.settle()
            self.assertLessEqual(self.pool.active + self.pool.idle + self.pool.connecting, 3)
            self.assertGreaterEqual(self.pool.active, 0)
            self.assertEqual(self.pool.connecting, self.instance.attempts)
        if close:
            self.pool.close()
        self.later(60)
        while self.instance.attempts:
            self.instance.refuse(TimeoutError())
        for wire in self.instance.wires:
            wire.lose()
        self.later(1)
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")
        for waiter in waiters:
            self.assertTrue(waiter.connection is not None or waiter.failed is not None, steps)

    def take(self, step: str, waiters: list[FakeWaiter]) -> None:
        """
        Let one of these happen.
        """
        if step == "ask":
            waiters.append(self.ask())
        elif step == "fresh":
            waiters.append(self.wait())
        elif step == "accept" and self.instance.attempts:
            self.instance.accept()
        elif step == "refuse" and self.instance.attempts:
            self.instance.refuse(ConnectionRefusedError())
        elif step == "wait":
            self.later(1)
        elif step == "leave":
            left = [waiter for waiter in waiters if waiter.connection is None and waiter.failed is None]
            for waiter in left[:1]:
                self.pool.cancel(waiter)
                waiters.remove(waiter)
        else:
            self.take_wire(step)

    def take_wire(self, step: str) -> None:
        """
        Let one of these happen on the first open connection.
        """
        for wire in [wire for wire in self.instance.wires if not wire.lost][:1]:
            if step == "answer":
                wire.say(OK)
            elif step == "answer and close":
                wire.say(b"HTTP/1.1 204 x\r\nConnection: close\r\n\r\n")
            elif step == "unasked":
                wire.say(OK + OK)
            elif step in ("lose", "reset"):
                wire.lose(step == "lose")
