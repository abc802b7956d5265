"""
Tests of what is made of a consumer's messages.
"""

from __future__ import annotations

from typing import Any

from nats.aio.msg import Msg
from twisted.trial.unittest import SynchronousTestCase

from siger.messaging.errors import UnavailableError
from siger.messaging.mirror import Entry, Mirror
from siger.messaging.telling import Change, FlowControl, GapError, Heartbeat, Telling, interpret, is_deletion
from tests.messaging.test_mirror import Source

PREFIX = "$KV.users."


def change(place: int, waiting: int, key: str = "", stored: float = 0.0) -> Change:
    """
    A message.
    """
    return Change(Entry(key or f"key-{place}", b"1", 100 + place), place, waiting, stored)


def message(
    subject: str = "$KV.users.a.b",
    reply: str = "$JS.ACK.KV_users.abc.1.17.3.1700000000500000000.5",
    data: bytes = b"1",
    headers: dict[str, str] | None = None,
) -> Msg:
    """
    A message as nats-py hands it out: the 17th of its stream, the third of the consumer, five are waiting.
    """
    client: Any = None
    return Msg(_client=client, subject=subject, reply=reply, data=data, headers=headers)


class InterpretTests(SynchronousTestCase):
    """
    L{interpret}.
    """

    def test_change(self) -> None:
        """
        A message of the bucket's is a change with its key, revision and place.
        """
        told = interpret(message(), PREFIX)
        self.assertEqual(told, Change(Entry("a.b", b"1", 17), 3, 5, 1700000000.5))

    def test_domain(self) -> None:
        """
        So it is where the server names a domain and an account.
        """
        reply = "$JS.ACK.hub.ACCOUNT.KV_users.abc.1.17.3.1700000000500000000.5.rnd"
        self.assertEqual(interpret(message(reply=reply), PREFIX), Change(Entry("a.b", b"1", 17), 3, 5, 1700000000.5))

    def test_empty(self) -> None:
        """
        An empty value is a value.
        """
        told = interpret(message(data=b""), PREFIX)
        assert isinstance(told, Change)
        self.assertEqual(told.entry.value, b"")

    def test_deletions(self) -> None:
        """
        A deletion, a purge, and the server's own mark of either leave no value.
        """
        for headers in (
            *({"KV-Operation": "DEL"}, {"KV-Operation": "PURGE", "Nats-Rollup": "sub"}),
            *({"Nats-Marker-Reason": "MaxAge"}, {"Nats-Marker-Reason": "Remove"}),
        ):
            self.assertTrue(is_deletion(headers))
            told = interpret(message(data=b"", headers=headers), PREFIX)
            assert isinstance(told, Change)
            self.assertIsNone(told.entry.value)
        self.assertFalse(is_deletion({"KV-Operation": "PUT", "Other": "DEL"}))

    def test_heartbeat(self) -> None:
        """
        A heartbeat says which message was the last, and where an answer is waited for.
        """
        headers = {
            "Status": "100",
            "Description": "Idle Heartbeat",
            "Nats-Last-Consumer": "3",
            "Nats-Last-Stream": "17",
        }
        self.assertEqual(interpret(message(reply="", data=b"", headers=headers), PREFIX), Heartbeat(3, ""))
        headers["Nats-Consumer-Stalled"] = "$JS.FC.x"
        self.assertEqual(interpret(message(reply="", data=b"", headers=headers), PREFIX), Heartbeat(3, "$JS.FC.x"))

    def test_flow_control(self) -> None:
        """
        A question whether everything has arrived is known by where its answer goes.
        """
        headers = {"Status": "100", "Description": "FlowControl Request"}
        self.assertEqual(
            interpret(message(reply="$JS.FC.x", data=b"", headers=headers), PREFIX), FlowControl("$JS.FC.x")
        )

    def test_unknown(self) -> None:
        """
        Any other word of the server's means nothing.
        """
        self.assertIsNone(interpret(message(reply="", data=b"", headers={"Status": "100"}), PREFIX))

    def test_nonsense(self) -> None:
        """
        A message that does not say which it is makes no sense, and neither does a heartbeat of no number.
        """
        beat = {"Status": "100", "Nats-Last-Consumer": "x"}
        for one in (
            *(message(reply=""), message(reply="somewhere"), message(reply="$JS.ACK.KV_users.abc.1.x.3.17.5")),
            *(message(reply="", data=b"", headers=beat), message(reply="", headers={"Status": "503"})),
        ):
            with self.assertRaises(UnavailableError):
                interpret(one, PREFIX)


class TellingTests(SynchronousTestCase):
    """
    L{Telling}.
    """

    def setUp(self) -> None:
        """
        Make one, for a mirror.
        """
        self.mirror = Mirror(Source(), lambda one: None)
        self.mirror.start()
        self.telling = Telling(self.mirror)

    def test_last_waiting(self) -> None:
        """
        Everything has been told with the message behind which none is waiting.
        """
        self.telling.change(change(1, 1))
        self.assertFalse(self.mirror.current)
        self.telling.change(change(2, 0))
        self.assertTrue(self.mirror.current)
        self.assertEqual(list(self.mirror.entries), ["key-1", "key-2"])

    def test_nothing_waiting(self) -> None:
        """
        With nothing to tell everything has been told.
        """
        self.telling.expect(0)
        self.assertTrue(self.mirror.current)

    def test_busy(self) -> None:
        """
        In a bucket that changes all the time none is ever the last: as many as were waiting are everything.
        """
        self.telling.expect(2)
        self.telling.change(change(1, 5))
        self.assertFalse(self.mirror.current)
        self.telling.change(change(2, 5))
        self.assertTrue(self.mirror.current)
        self.telling.change(change(3, 0))
        self.assertEqual(self.mirror.resyncs, 1)

    def test_messages_first(self) -> None:
        """
        Messages may come before it is known how many were waiting.
        """
        self.telling.change(change(1, 5))
        self.telling.change(change(2, 4))
        self.telling.expect(3)
        self.assertFalse(self.mirror.current)
        self.telling.change(change(3, 4))
        self.assertTrue(self.mirror.current)

    def test_heartbeat(self) -> None:
        """
        A server with time for a heartbeat has told everything: what was still waiting is gone.
        """
        self.telling.expect(3)
        self.telling.change(change(1, 2))
        self.telling.heartbeat(Heartbeat(1, "$JS.FC.x"))
        self.assertFalse(self.mirror.current)
        self.telling.heartbeat(Heartbeat(1, ""))
        self.assertTrue(self.mirror.current)

    def test_gaps(self) -> None:
        """
        A message that is missing, or came twice, is noticed with the next; or with a heartbeat.
        """
        self.telling.change(change(1, 9))
        for place in (1, 3, 0):
            with self.assertRaises(GapError):
                self.telling.change(change(place, 0))
        for last in (0, 2):
            with self.assertRaises(GapError):
                self.telling.heartbeat(Heartbeat(last, ""))
        self.assertFalse(self.mirror.current)
        self.assertEqual(list(self.mirror.entries), ["key-1"])

    def test_rest_of_life(self) -> None:
        """
        With a time to live, the mirror hears how much of it is left: never more than all, never less than nothing.
        """
        lives: list[float | None] = []

        class Noting(Mirror):
            """
            Notes the rest of each life.
            """

            def received(self, entry: Entry, expires_in: float | None = None) -> None:
                """
                Note it.
                """
                lives.append(expires_in)

        telling = Telling(Noting(Source(), lambda one: None), 60.0, lambda: 1000.0)
        for place, stored in enumerate((990.0, 1005.0, 100.0), 1):
            telling.change(change(place, 0, stored=stored))
        self.assertEqual(lives, [50.0, 60.0, 0.0])
        Telling(Noting(Source(), lambda one: None)).change(change(1, 0))
        self.assertIsNone(lives[-1])
