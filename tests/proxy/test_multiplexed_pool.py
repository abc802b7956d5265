"""
Tests for L{siger.proxy.multiplexed_pool}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError, TimeoutError, UserError

from siger.balancing.instances import Endpoint, Instance
from siger.config.settings.services import ServiceSettings
from siger.errors import Reason
from siger.http.h2.constants import GOAWAY, HEADERS, LARGEST_STREAM, MAX_CONCURRENT_STREAMS, PREFACE
from siger.http.h2.responses import ResponseReader
from siger.http.h2.writing import Batch
from siger.proxy.multiplexed_pool import MultiplexedPool
from tests.http.generators import properties
from tests.http.h2.frames import Frame, goaway, headers, read_frames, reset, settings
from tests.proxy.http2_instance import GET, OK
from tests.proxy.instance import FakeWire
from tests.proxy.pool_case import PoolCase


class _PoolMixin(PoolCase):
    """
    A pool of connections for many exchanges each.
    """

    REQUEST = GET

    def setUp(self) -> None:
        """
        Make a pool of at most two connections with four streams each, for which three may wait.
        """
        self.make(max_streams=4, h2_connections=2, max_waiting=3)

    def make_pool(self, settings: ServiceSettings, secure: Any) -> MultiplexedPool:
        """
        See L{PoolCase.make_pool}.
        """
        endpoint = Endpoint(Instance("192.0.2.9", 80), "h2c")
        return MultiplexedPool(self.reactor, endpoint, settings, self.deadlines, ResponseReader(), Batch(), secure)

    def accept(self, *values: tuple[int, int]) -> FakeWire:
        """
        Let an attempt succeed; the instance sends settings.
        """
        wire = self.instance.accept()
        wire.say(settings(*values))
        return wire

    def asked(self, wire: FakeWire) -> list[int]:
        """
        The streams of the requests that arrived on a connection.
        """
        return [it.stream for it in self.frames(wire) if it.kind == HEADERS]

    def frames(self, wire: FakeWire) -> list[Frame]:
        """
        All frames that arrived on it.
        """
        self.assertTrue(wire.received.startswith(PREFACE))
        return read_frames(wire.received.removeprefix(PREFACE))


class SharingTests(_PoolMixin):
    """
    Tests for how exchanges share connections.
    """

    def test_first(self) -> None:
        """
        The first exchange has a connection made, and others wait for the same one.
        """
        waiters = [self.ask() for _ in range(3)]
        self.assertEqual((self.instance.attempts, self.state()), (1, "0 active, 0 idle, 1 connecting, 3 waiting"))
        wire = self.accept()
        self.assertEqual(self.asked(wire), [1, 3, 5])
        self.assertEqual([waiter.connection is not None for waiter in waiters], [True] * 3)
        self.assertEqual(repr(self.pool), "<MultiplexedPool 192.0.2.9:80 [1 active, 0 idle, 0 connecting, 0 waiting]>")

    def test_reused(self) -> None:
        """
        One exchange after the other takes the same connection.
        """
        self.ask()
        wire = self.accept()
        for number in (1, 3, 5):
            wire.say(headers(number, OK))
            self.assertEqual(self.state(), "0 active, 1 idle, 0 connecting, 0 waiting")
            self.ask()
        self.assertEqual((self.asked(wire), self.instance.attempts), ([1, 3, 5, 7], 0))

    def test_half_full(self) -> None:
        """
        Another connection is made when the one that there is is half full, while exchanges still go on that.
        """
        self.ask()
        wire = self.accept()
        self.ask()
        self.assertEqual(self.instance.attempts, 0)
        self.ask()
        self.assertEqual((self.instance.attempts, self.asked(wire)), (1, [1, 3, 5]))
        other = self.accept()
        for _ in range(4):
            self.ask()
        self.assertEqual((len(self.asked(wire)), len(self.asked(other))), (4, 3))

    def test_roomiest(self) -> None:
        """
        Each exchange takes the connection with the most room.
        """
        for _ in range(3):
            self.ask()
        first = self.accept()
        self.ask()
        second = self.accept()
        first.say(headers(1, OK) + headers(3, OK) + headers(5, OK) + headers(7, OK))
        for _ in range(2):
            self.ask()
        self.assertEqual((len(self.asked(first)), len(self.asked(second))), (5, 1))

    def test_no_more_connections(self) -> None:
        """
        There are only so many connections, and streams on each: then exchanges wait, in their order, and only so many.
        """
        for _ in range(8):
            self.ask()
            if self.instance.attempts:
                self.accept()
        self.assertEqual((self.state(), self.instance.attempts), ("2 active, 0 idle, 0 connecting, 0 waiting", 0))
        waiting = [self.ask() for _ in range(4)]
        self.assertEqual([waiter.failed for waiter in waiting], [None, None, None, Reason.POOL_FULL])
        self.assertEqual((self.pool.waiting, self.instance.attempts), (3, 0))
        self.instance.wires[0].say(headers(1, OK))
        self.assertEqual([waiter.connection is not None for waiter in waiting[:3]], [True, False, False])
        self.instance.wires[1].say(reset(1))
        self.assertEqual([waiter.connection is not None for waiter in waiting[:3]], [True, True, False])

    def test_limit_of_the_instance(self) -> None:
        """
        An instance may allow fewer streams, or none for now.
        """
        self.ask()
        self.accept((MAX_CONCURRENT_STREAMS, 1))
        waiter = self.ask()
        self.assertEqual((self.instance.attempts, self.pool.waiting), (1, 1))
        wire = self.accept((MAX_CONCURRENT_STREAMS, 0))
        self.assertEqual(self.pool.waiting, 0)
        self.assertIsNotNone(waiter.connection)
        late = self.ask()
        self.assertIsNone(late.connection)
        wire.say(settings((MAX_CONCURRENT_STREAMS, 2)))
        self.assertIsNotNone(late.connection)

    def test_given_up(self) -> None:
        """
        Who gives up makes room.
        """
        self.make(max_streams=1, h2_connections=1, max_waiting=3)
        first = self.ask()
        self.accept()
        second = self.ask()
        assert first.connection is not None
        first.connection.abort()
        self.assertIsNotNone(second.connection)

    def test_secure(self) -> None:
        """
        A connection may have to be TLS.
        """
        wrapped: list[tuple[Any, str, float]] = []

        def secure(factory: Any, address: str, timeout: float) -> Any:
            wrapped.append((factory, address, timeout))
            return factory

        self.make(secure=secure)
        self.ask()
        ((_, address, timeout),) = wrapped
        self.assertEqual((address, timeout), ("192.0.2.9", 4.0))


class WaitingTests(_PoolMixin):
    """
    Tests for exchanges that wait.
    """

    def test_impatient(self) -> None:
        """
        An exchange waits for a connection for as long as it may.
        """
        waiter = self.ask()
        self.later(2.75)
        self.assertIsNone(waiter.failed)
        self.later(0.5)
        self.assertIs(waiter.failed, Reason.CONNECT_TIMEOUT)
        self.assertEqual(self.state(), "0 active, 0 idle, 1 connecting, 0 waiting")

    def test_impatient_for_room(self) -> None:
        """
        So it does for room on those that there are.
        """
        self.make(max_streams=1, h2_connections=1, max_waiting=3)
        self.ask()
        self.accept()
        waiter = self.ask()
        self.later(3.25)
        self.assertIs(waiter.failed, Reason.POOL_FULL)

    def test_patience(self) -> None:
        """
        Without a word it waits as long as its service says.
        """
        waiter = self.waiter()
        self.pool.wait(waiter)
        self.later(3.25)
        self.assertIs(waiter.failed, Reason.CONNECT_TIMEOUT)

    def test_cancelled(self) -> None:
        """
        Who does not wait any more gets nothing.
        """
        first, second = self.ask(), self.ask()
        self.pool.cancel(first)
        wire = self.accept()
        self.assertEqual((first.connection, first.failed, second.connection is not None), (None, None, True))
        self.assertEqual(self.asked(wire), [1])

    def test_nobody_left(self) -> None:
        """
        A connection that nobody waits for any more is kept.
        """
        self.pool.cancel(self.ask())
        self.accept()
        self.assertEqual(self.state(), "0 active, 1 idle, 0 connecting, 0 waiting")

    def test_room_meanwhile(self) -> None:
        """
        Who asks to wait gets a stream at once if there is one by now.
        """
        self.ask()
        wire = self.accept()
        waiter = self.waiter()
        self.pool.wait(waiter)
        self.assertIsNotNone(waiter.connection)
        self.assertEqual(self.asked(wire), [1, 3])


class DialTests(_PoolMixin):
    """
    Tests for connections that cannot be made.
    """

    def test_refused(self) -> None:
        """
        All who wait are told when there is no connection at all.
        """
        waiters = [self.ask(), self.ask()]
        self.instance.refuse(ConnectionRefusedError())
        self.assertEqual([waiter.failed for waiter in waiters], [Reason.UPSTREAM_REFUSED] * 2)
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")

    def test_reasons(self) -> None:
        """
        And why.
        """
        for error, reason in (
            (TimeoutError(), Reason.CONNECT_TIMEOUT),
            (UserError(), Reason.UPSTREAM_UNREACHABLE),
        ):
            waiter = self.ask()
            self.instance.refuse(error)
            self.assertIs(waiter.failed, reason)

    def test_comes_back(self) -> None:
        """
        Who comes back when told has a connection made anew, and is not told of the same attempt again.
        """
        self.ask()
        again = self.waiter()
        insistent = self.ask()
        insistent.connect_failed = lambda reason: self.pool.wait(again)  # type: ignore[method-assign]
        self.instance.refuse(ConnectionRefusedError())
        self.assertEqual((again.failed, self.instance.attempts), (None, 1))
        self.accept()
        self.assertIsNotNone(again.connection)

    def test_refused_with_others(self) -> None:
        """
        Where there are connections, who waits goes on waiting for room on those.
        """
        self.make(max_streams=1, h2_connections=2, max_waiting=3)
        self.ask()
        wire = self.accept()
        waiter = self.ask()
        self.instance.refuse(ConnectionRefusedError())
        self.assertEqual((waiter.failed, self.pool.waiting), (None, 1))
        wire.say(headers(1, OK))
        self.assertIsNotNone(waiter.connection)

    def test_one_at_a_time(self) -> None:
        """
        One connection is made at a time, and the next when those who wait do not all fit on it.
        """
        self.make(max_streams=2, h2_connections=3, max_waiting=10)
        for _ in range(5):
            self.ask()
        self.assertEqual(self.instance.attempts, 1)
        self.accept()
        self.assertEqual((self.instance.attempts, self.pool.waiting), (1, 3))
        self.accept()
        self.accept()
        self.assertEqual((self.instance.attempts, self.pool.waiting), (0, 0))


class EndTests(_PoolMixin):
    """
    Tests for connections that end.
    """

    def test_goaway(self) -> None:
        """
        A connection that its instance gives up takes no more exchanges; those on it end there, and the next have
        another.
        """
        first = self.ask()
        wire = self.accept()
        wire.say(goaway(LARGEST_STREAM))
        second = self.ask()
        self.assertEqual(self.state(), "1 active, 0 idle, 1 connecting, 1 waiting")
        other = self.accept()
        self.assertEqual((self.asked(wire), self.asked(other)), ([1], [1]))
        self.assertEqual(self.state(), "2 active, 0 idle, 0 connecting, 0 waiting")
        wire.say(headers(1, OK))
        self.assertEqual((first.complete, second.complete), (True, False))
        self.assertTrue(wire.transport.half_closed)
        wire.lose()
        self.assertEqual(self.state(), "1 active, 0 idle, 0 connecting, 0 waiting")

    def test_goaway_with_line(self) -> None:
        """
        Who waits for room on it has a connection made.
        """
        self.make(max_streams=1, h2_connections=1, max_waiting=3)
        self.ask()
        wire = self.accept()
        waiter = self.ask()
        self.assertEqual(self.instance.attempts, 0)
        wire.say(goaway(LARGEST_STREAM))
        self.assertEqual(self.instance.attempts, 1)
        self.accept()
        self.assertIsNotNone(waiter.connection)

    def test_lost(self) -> None:
        """
        So does who waits when a connection is lost.
        """
        self.make(max_streams=1, h2_connections=1, max_waiting=3)
        first = self.ask()
        wire = self.accept()
        waiter = self.ask()
        wire.lose(clean=False)
        self.assertEqual(first.events, ["failed upstream_reset"])
        self.assertEqual(self.state(), "0 active, 0 idle, 1 connecting, 1 waiting")
        self.accept()
        self.assertIsNotNone(waiter.connection)

    def test_lost_idle(self) -> None:
        """
        An idle connection that is lost is nobody's loss.
        """
        self.ask()
        wire = self.accept()
        wire.say(headers(1, OK))
        wire.lose()
        self.assertEqual((self.state(), self.instance.attempts), ("0 active, 0 idle, 0 connecting, 0 waiting", 0))
        self.assertEqual(len(self.deadlines._members), 0)


class CloseTests(_PoolMixin):
    """
    Tests for instances that are gone from discovery.
    """

    def test_close(self) -> None:
        """
        Idle connections close, running exchanges finish, and nobody gets a stream any more.
        """
        self.make(max_streams=2, h2_connections=2, max_waiting=3)
        for _ in range(4):
            self.ask()
            if self.instance.attempts:
                self.accept()
        busy, idle = self.instance.wires
        idle.say(b"".join(headers(number, OK) for number in self.asked(idle)))
        self.pool.close()
        self.assertTrue(idle.transport.half_closed)
        self.assertEqual(self.frames(idle)[-1].kind, GOAWAY)
        self.assertFalse(busy.transport.half_closed)
        waiter = self.waiter()
        self.assertIsNone(self.pool.checkout())
        self.pool.wait(waiter)
        self.assertIs(waiter.failed, Reason.NO_INSTANCE)
        busy.say(b"".join(headers(number, OK) for number in self.asked(busy)))
        self.assertTrue(busy.transport.half_closed)
        busy.lose()
        idle.lose()
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")
        self.assertEqual(len(self.deadlines._members), 0)

    def test_waiting(self) -> None:
        """
        Who waits is told, and connections that are being made are given up.
        """
        waiters = [self.ask(), self.ask()]
        self.pool.close()
        self.assertEqual([waiter.failed for waiter in waiters], [Reason.NO_INSTANCE] * 2)
        self.assertTrue(self.reactor.connectors[0]._disconnected)
        self.instance.refuse(UserError())
        self.assertEqual((self.state(), self.instance.attempts), ("0 active, 0 idle, 0 connecting, 0 waiting", 0))

    def test_made_too_late(self) -> None:
        """
        One that is made all the same is closed at once, and its transport waits for nobody.
        """
        self.ask()
        self.pool.close()
        wire = self.instance.accept()
        self.assertTrue(wire.transport.half_closed)
        wire.lose()
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")


class AnyTests(_PoolMixin):
    """
    Property tests.
    """

    @properties
    @given(st.data())
    def test_any(self, source: st.DataObject) -> None:
        """
        Whatever happens in whatever order, every exchange is served or told why not, no connection has more streams
        than it may, and at the end nothing is left.
        """
        draw = source.draw
        self.make(max_streams=3, h2_connections=2, max_waiting=4)
        for _ in range(draw(st.integers(0, 30))):
            what = draw(st.integers(0, 9))
            wires = [wire for wire in self.instance.wires if not wire.transport.half_closed and not wire.lost]
            if what <= 2:
                self.ask()
            elif what == 3 and self.instance.attempts:
                self.accept((MAX_CONCURRENT_STREAMS, draw(st.sampled_from((0, 1, 2, 100)))))
            elif what == 4 and self.instance.attempts:
                self.instance.refuse(ConnectionRefusedError())
            elif what == 5 and self.waiters:
                waiter = draw(st.sampled_from(self.waiters))
                if waiter.connection is None:
                    self.pool.cancel(waiter)
                    self.waiters.remove(waiter)
                else:
                    waiter.connection.abort()
            elif what == 9:
                self.later(draw(st.sampled_from((0.25, 3, 25))))
            elif wires:
                self.say(draw, draw(st.sampled_from(wires)), what)
            self.check()
        self.pool.close()
        for _ in range(self.instance.attempts):
            self.instance.refuse(UserError())
        for wire in self.instance.wires:
            wire.lose()
        self.assertEqual(self.state(), "0 active, 0 idle, 0 connecting, 0 waiting")
        self.assertEqual(len(self.deadlines._members), 0)
        for waiter in self.waiters:
            self.assertNotEqual(waiter.connection is None, waiter.failed is None)

    def say(self, draw: Any, wire: FakeWire, what: int) -> None:
        """
        An instance does something.
        """
        numbers = self.asked(wire)
        number = draw(st.sampled_from(numbers)) if numbers else 1
        if what == 6 and numbers and number in self.open(wire):
            wire.say(draw(st.sampled_from((headers(number, OK), reset(number), reset(number, 7)))))
        elif what == 7:
            wire.say(draw(st.sampled_from((goaway(number), goaway(LARGEST_STREAM)))))
        elif what == 8:
            wire.say(settings((MAX_CONCURRENT_STREAMS, draw(st.sampled_from((0, 1, 5))))))
        elif draw(st.integers(0, 3)) == 0:
            wire.lose(clean=draw(st.booleans()))

    def open(self, wire: FakeWire) -> list[int]:
        """
        The streams that are open on a connection.
        """
        return list(wire._protocol._connection.streams)

    def check(self) -> None:
        """
        Hold the pool to its bounds.
        """
        self.assertLessEqual(len(self.pool._connections), 2)
        self.assertLessEqual(self.pool.connecting, 1)
        self.assertLessEqual(self.pool.waiting, 4)
        for connection in self.pool._all():
            self.assertEqual(connection.load, len(connection.streams))
            self.assertLessEqual(connection.load, 3)
