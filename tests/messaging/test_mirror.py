"""
Tests of what a mirror makes of what it is told.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.messaging.mirror import LATE, SWEEP, Entry, Mirror


class Source:
    """
    Tells nothing by itself.
    """

    def __init__(self) -> None:
        self.watching: list[Mirror] = []

    def watch(self, mirror: Mirror) -> None:
        """
        Note who watches.
        """
        self.watching.append(mirror)

    def unwatch(self, mirror: Mirror) -> None:
        """
        Note who watches no more.
        """
        self.watching.remove(mirror)


def entry(key: str, value: bytes | None, revision: int) -> Entry:
    """
    An entry.
    """
    return Entry(key, value, revision)


class MirrorCase(SynchronousTestCase):
    """
    A mirror that was started.
    """

    ttl = 0.0

    def setUp(self) -> None:
        """
        Make it.
        """
        self.clock = Clock()
        self.source = Source()
        self.told: list[Entry] = []
        self.mirror = Mirror(self.source, self.told.append, self.clock, self.ttl)
        self.mirror.start()

    def tell(self, *entries: Entry) -> None:
        """
        Tell everything.
        """
        self.mirror.begin()
        for one in entries:
            self.mirror.received(one)
        self.mirror.complete()

    def read(self) -> dict[str, bytes | None]:
        """
        What can be read.
        """
        return {key: one.value for key, one in self.mirror.entries.items()}


class MirrorTests(MirrorCase):
    """
    L{Mirror}.
    """

    def test_new(self) -> None:
        """
        A mirror that was told nothing is neither current nor up to date.
        """
        self.assertEqual((self.mirror.current, self.mirror.stale, self.read()), (False, True, {}))
        self.assertEqual(repr(self.mirror), "<Mirror 0 incomplete>")

    def test_complete(self) -> None:
        """
        It is current when it has been told everything, and not before.
        """
        waiting = self.mirror.when_current()
        self.mirror.begin()
        self.mirror.received(entry("a", b"1", 1))
        self.assertNoResult(waiting)
        self.assertEqual((self.mirror.current, self.mirror.stale), (False, True))
        self.mirror.complete()
        self.successResultOf(waiting)
        self.successResultOf(self.mirror.when_current())
        self.assertEqual((self.mirror.current, self.mirror.stale), (True, False))
        self.assertEqual(repr(self.mirror), "<Mirror 1 current>")

    def test_lost(self) -> None:
        """
        When the source is lost it is stale, and everything stays readable.
        """
        self.tell(entry("a", b"1", 1))
        self.mirror.lost()
        self.assertEqual((self.mirror.current, self.mirror.stale, self.read()), (True, True, {"a": b"1"}))
        self.assertEqual(repr(self.mirror), "<Mirror 1 stale>")

    def test_view(self) -> None:
        """
        Nobody can write to it from outside.
        """
        with self.assertRaises(TypeError):
            self.mirror.entries["a"] = entry("a", b"1", 1)  # type: ignore[index]

    def test_listener_after(self) -> None:
        """
        A listener is called when the mirror shows what it is told about.
        """
        seen: list[tuple[Entry, Entry | None]] = []
        mirror = Mirror(self.source, lambda one: seen.append((one, mirror.entries.get(one.key))))
        mirror.start()
        mirror.begin()
        mirror.received(entry("a", b"1", 1))
        mirror.complete()
        mirror.received(entry("a", None, 2))
        self.assertEqual(seen, [(entry("a", b"1", 1), entry("a", b"1", 1)), (entry("a", None, 2), None)])

    def test_listener_fails(self) -> None:
        """
        A listener that fails is logged, and everything goes on.
        """
        mirror = Mirror(self.source, lambda one: 1 // 0)
        mirror.start()
        mirror.begin()
        mirror.received(entry("a", b"1", 1))
        mirror.received(entry("b", b"1", 2))
        mirror.complete()
        self.assertEqual(sorted(mirror.entries), ["a", "b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_told_again(self) -> None:
        """
        Told everything again, it reports what changed, and what vanished at the end.
        """
        self.tell(entry("same", b"1", 1), entry("changed", b"1", 2), entry("gone", b"1", 3), entry("deleted", b"1", 4))
        del self.told[:]
        self.mirror.lost()
        self.mirror.begin()
        news = [entry("deleted", None, 5), entry("changed", b"2", 6), entry("new", b"1", 7)]
        for one in [entry("same", b"1", 1), *news]:
            self.mirror.received(one)
        self.assertEqual(self.read(), {"same": b"1", "changed": b"2", "gone": b"1", "new": b"1"})
        self.mirror.complete()
        self.assertEqual(self.read(), {"same": b"1", "changed": b"2", "new": b"1"})
        self.assertEqual(self.told, [*news, entry("gone", None, 3)])
        self.assertEqual(self.mirror.resyncs, 2)

    def test_interrupted(self) -> None:
        """
        What was not told before an interruption has not vanished.
        """
        self.tell(entry("a", b"1", 1), entry("b", b"1", 2))
        self.mirror.begin()
        self.mirror.received(entry("b", b"1", 2))
        self.mirror.lost()
        self.tell(entry("a", b"1", 1), entry("b", b"1", 2))
        self.assertEqual((self.read(), len(self.told)), ({"a": b"1", "b": b"1"}, 2))

    def test_restored(self) -> None:
        """
        A server that was restored counts from an older number; what it tells is believed.
        """
        self.tell(entry("a", b"3", 30), entry("b", b"1", 31))
        self.tell(entry("a", b"1", 10))
        self.assertEqual((self.read(), self.mirror.entries["a"].revision), ({"a": b"1"}, 10))
        self.mirror.received(entry("a", b"2", 11))
        self.mirror.apply(entry("a", b"4", 12))
        self.assertEqual(self.read(), {"a": b"4"})

    def test_same_revision(self) -> None:
        """
        The same revision with another value is a change: it is another store.
        """
        self.tell(entry("a", b"1", 1))
        self.tell(entry("a", b"2", 1))
        self.assertEqual(self.told, [entry("a", b"1", 1), entry("a", b"2", 1)])

    def test_deletion_of_nothing(self) -> None:
        """
        The deletion of what was never there is not reported.
        """
        self.tell(entry("a", None, 1))
        self.mirror.received(entry("b", None, 2))
        self.assertEqual(self.told, [])


class ApplyTests(MirrorCase):
    """
    L{Mirror.apply}.
    """

    def test_at_once(self) -> None:
        """
        A write of our own is there at once, and reported once.
        """
        self.tell()
        self.mirror.apply(entry("a", b"1", 1))
        self.assertEqual(self.read(), {"a": b"1"})
        self.mirror.received(entry("a", b"1", 1))
        self.assertEqual(self.told, [entry("a", b"1", 1)])

    def test_older_news(self) -> None:
        """
        What the source tells of the key from before our write is passed over; what comes after it counts.
        """
        self.tell()
        self.mirror.apply(entry("a", b"3", 3))
        self.mirror.received(entry("a", b"1", 1))
        self.assertEqual(self.read(), {"a": b"3"})
        self.mirror.received(entry("a", b"3", 3))
        self.mirror.received(entry("a", b"4", 4))
        self.assertEqual([one.revision for one in self.told], [3, 4])

    def test_deletion(self) -> None:
        """
        A deletion of our own is not undone by older news.
        """
        self.tell(entry("a", b"1", 1))
        self.mirror.apply(entry("a", None, 3))
        self.mirror.received(entry("a", b"2", 2))
        self.assertEqual(self.read(), {})
        self.mirror.received(entry("a", None, 3))
        self.assertEqual(self.told, [entry("a", b"1", 1), entry("a", None, 3)])

    def test_known_already(self) -> None:
        """
        A write that the source told of before its writer could is not taken over again, also when others have changed
        or deleted the key since.
        """
        self.tell()
        self.mirror.received(entry("a", b"1", 1))
        self.mirror.received(entry("a", b"2", 2))
        self.mirror.apply(entry("a", b"1", 1))
        self.assertEqual(self.read(), {"a": b"2"})
        self.mirror.received(entry("b", b"1", 3))
        self.mirror.received(entry("b", None, 4))
        self.mirror.apply(entry("b", b"1", 3))
        self.assertEqual(self.read(), {"a": b"2"})

    def test_two_of_ours(self) -> None:
        """
        Of two writes of our own the later counts, whichever is heard of first.
        """
        self.tell()
        self.mirror.apply(entry("a", b"2", 2))
        self.mirror.apply(entry("a", b"1", 1))
        self.assertEqual(self.read(), {"a": b"2"})

    def test_during_telling(self) -> None:
        """
        What is written while everything is being told has not vanished at the end of it.
        """
        self.tell(entry("a", b"1", 1))
        self.mirror.begin()
        self.mirror.received(entry("a", b"1", 1))
        self.mirror.apply(entry("b", b"1", 2))
        self.mirror.complete()
        self.assertEqual(self.read(), {"a": b"1", "b": b"1"})

    def test_before_telling(self) -> None:
        """
        What was written before everything is told is part of that; if it is not, the store has lost it.
        """
        self.tell()
        self.mirror.apply(entry("a", b"1", 1))
        self.tell()
        self.assertEqual(self.read(), {})


class EndTests(MirrorCase):
    """
    Starting and stopping.
    """

    ttl = 60.0

    def test_once(self) -> None:
        """
        It watches once, however often it is started, and not after it was stopped.
        """
        self.mirror.start()
        self.assertEqual(self.source.watching, [self.mirror])
        self.mirror.stop()
        self.mirror.stop()
        self.assertEqual((self.source.watching, self.clock.getDelayedCalls()), ([], []))

    def test_stopped(self) -> None:
        """
        A stopped mirror is told nothing more, whoever waits for it waits for ever, and what it knew stays.
        """
        waiting = self.mirror.when_current()
        self.mirror.begin()
        self.mirror.received(entry("a", b"1", 1))
        self.mirror.stop()
        self.mirror.received(entry("b", b"1", 2))
        self.mirror.complete()
        self.assertEqual((self.read(), self.mirror.current), ({"a": b"1"}, False))
        self.assertNoResult(waiting)
        waiting.cancel()
        self.failureResultOf(waiting)


class ExpiryTests(MirrorCase):
    """
    Records with a time to live.
    """

    ttl = 60.0

    def pass_time(self, seconds: float) -> None:
        """
        Let time pass, at the pace of the looks.
        """
        self.clock.pump([SWEEP] * int(seconds / SWEEP))

    def test_expiry(self) -> None:
        """
        A record of which nobody says that it is gone is removed late rather than early.
        """
        self.tell()
        self.mirror.received(entry("a", b"1", 1))
        self.pass_time(self.ttl + LATE - SWEEP)
        self.assertEqual(self.read(), {"a": b"1"})
        self.pass_time(2 * SWEEP)
        self.assertEqual((self.read(), self.told[-1]), ({}, entry("a", None, 1)))

    def test_change(self) -> None:
        """
        A change begins a new life.
        """
        self.tell(entry("a", b"1", 1))
        self.pass_time(self.ttl)
        self.mirror.received(entry("a", b"2", 2))
        self.pass_time(self.ttl)
        self.assertEqual(self.read(), {"a": b"2"})
        self.pass_time(LATE + SWEEP)
        self.assertEqual(self.read(), {})

    def test_rest(self) -> None:
        """
        A record that has lived already is removed when the rest is over.
        """
        self.mirror.begin()
        self.mirror.received(entry("a", b"1", 1), 5.0)
        self.mirror.complete()
        self.pass_time(LATE + 3 * SWEEP)
        self.assertEqual(self.read(), {})

    def test_told_again(self) -> None:
        """
        Being told again does not make a record live longer.
        """
        self.tell(entry("a", b"1", 1))
        self.pass_time(self.ttl)
        self.tell(entry("a", b"1", 1))
        self.pass_time(LATE + SWEEP)
        self.assertEqual(self.read(), {})

    def test_own(self) -> None:
        """
        A write of our own lives as long as any.
        """
        self.tell()
        self.mirror.apply(entry("a", b"1", 1))
        self.pass_time(self.ttl + LATE + SWEEP)
        self.assertEqual(self.read(), {})

    def test_for_ever(self) -> None:
        """
        Without a time to live there is nothing to look for.
        """
        clock = Clock()
        Mirror(self.source, self.told.append, clock).start()
        self.assertEqual(clock.getDelayedCalls(), [])
