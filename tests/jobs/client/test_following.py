"""
Tests of L{siger.jobs.client.following}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.credentials import GivenToken
from siger.jobs.client.errors import LostError, RefusedError, TroubleError, UnreachableError
from siger.jobs.client.following import Following
from tests.jobs.client.wire import FakeClock, Play, answer, event, gateway_of, problem, stream
from tests.jobs.making import JOB_ID

EVENTS = f"GET /api/v1/jobs/{JOB_ID}/events"
JOB = f"GET /api/v1/jobs/{JOB_ID}"
END = event(9, "status", status="completed")
RESET = ConnectionResetError(104, "Connection reset by peer")


class CountingToken(GivenToken):
    """
    A token that knows how often it was looked after.
    """

    renewals: list[int] = []

    def renew(self) -> None:
        """
        Note it.
        """
        self.renewals.append(1)


class FollowingTests(SynchronousTestCase):
    """
    Following a job.
    """

    def follow(self, play: Play, patience: float = 300) -> list[dict[str, Any]]:
        """
        All events of a job.
        """
        self.lost: list[str] = []
        self.gateway = gateway_of(play)
        clock = self.gateway.clock
        assert isinstance(clock, FakeClock)
        self.clock = clock
        following = Following(self.gateway, JOB_ID, patience, self.lost.append)
        return [one for several in following.events() for one in several]

    def test_whole(self) -> None:
        """
        Events come as they are sent, until one is the end, after which nobody listens.
        """
        play = Play(stream(event(0, "status", status="queued"), b": beat\n\n", event(4, message="a"), END, event(10)))
        found = self.follow(play)
        self.assertEqual(
            [(one["event"], one.get("status")) for one in found],
            [("status", "queued"), ("log", None), ("status", "completed")],
        )
        self.assertIn("Accept: text/event-stream", play.lines(0))
        self.assertEqual((play.first_lines(), self.lost, self.clock.slept), ([EVENTS], [], []))

    def test_resumed(self) -> None:
        """
        Whatever ends a stream in the middle, the next goes on after the last event that was complete.
        """
        for breaking in ([RESET], [TimeoutError("timed out")], []):
            play = Play(
                stream(event(4, message="a"), event(5, message="b")[:-1], *breaking, whole=False),
                stream(event(5, message="b"), END),
            )
            found = self.follow(play)
            self.assertEqual([one.get("message") for one in found], ["a", "b", None])
            self.assertIn("Last-Event-ID: 4", play.lines(1))
            self.assertNotIn("Last-Event-ID", "".join(play.lines(0)))
            self.assertEqual(len(self.lost), 1)
            self.assertIn("http://gateway.test was lost; trying again", self.lost[0])

    def test_ended_early(self) -> None:
        """
        A gateway that drains ends the stream, and another takes it up.
        """
        play = Play(
            stream(event(4)), problem(503, "draining"), [ConnectionRefusedError(111, "Connection refused")], stream(END)
        )
        self.assertEqual(len(self.follow(play)), 2)
        self.assertEqual((play.first_lines(), len(self.lost)), ([EVENTS, EVENTS, "", EVENTS], 3))
        for slept, about in zip(self.clock.slept, (0.2, 0.4, 0.8), strict=True):
            self.assertTrue(0.5 * about <= slept <= 1.5 * about, self.clock.slept)

    def test_over(self) -> None:
        """
        There is nothing more to come when the gateway says so with 204; or when a stream brings nothing at all and the
        job has ended.
        """
        play = Play(stream(event(4)), [b"HTTP/1.1 204 No Content\r\n\r\n"])
        self.assertEqual(len(self.follow(play)), 1)
        play = Play(stream(event(4)), stream(), answer({"status": "completed"}))
        self.assertEqual(len(self.follow(play)), 1)
        play = Play(stream(), answer({"status": "processing"}), stream(END))
        self.assertEqual(len(self.follow(play)), 1)
        self.assertEqual(play.first_lines(), [EVENTS, JOB, EVENTS])

    def test_refused(self) -> None:
        """
        What will not pass ends it at once.
        """
        for connection in (problem(404, "unknown_job"), problem(401, "invalid_token"), answer({}, 200)):
            with self.assertRaises(RefusedError):
                self.follow(Play(connection))
        with self.assertRaises(RefusedError):
            self.follow(Play(stream(event(4)), problem(401, "invalid_token")))

    def test_patience(self) -> None:
        """
        A gateway that stays away is given up in the end, with pauses that become longer; one that was never there
        soon.
        """
        away = [[ConnectionRefusedError(111, "Connection refused")]] * 200
        play = Play(stream(event(4)), *away)
        with self.assertRaises(UnreachableError):
            self.follow(play, patience=60)
        self.assertTrue(40 < self.clock.now <= 60 and 5 < len(play.requests) < 25, (self.clock.now, len(play.requests)))
        with self.assertRaises(UnreachableError):
            self.follow(Play(*away), patience=60)
        self.assertLessEqual(self.clock.now, 2)

    def test_futile(self) -> None:
        """
        Streams that bring nothing, one after the other, are not asked for without end or pause.
        """
        play = Play(*[stream(), answer({"status": "processing"})] * 200)
        with self.assertRaises(LostError):
            self.follow(play, patience=60)
        self.assertTrue(5 < len(play.requests) < 50, len(play.requests))

    def test_odd(self) -> None:
        """
        Events that cannot be read are passed over, but not asked for again.
        """
        play = Play(stream(b"id: 3\ndata: {\n\n", b"id: 4\nevent: status\ndata: [1]\n\n"), stream(END))
        self.assertEqual([one["event"] for one in self.follow(play)], ["status"])
        self.assertIn("Last-Event-ID: 4", play.lines(1))

    def test_token(self) -> None:
        """
        While it is followed, its token is looked after.
        """
        token = CountingToken("abc")
        token.renewals.clear()
        play = Play(stream(b": beat\n\n", b": beat\n\n", END))
        list(Following(gateway_of(play, token), JOB_ID).events())
        self.assertEqual(len(token.renewals), 3)

    def test_endless(self) -> None:
        """
        What never ends is trouble.
        """
        with self.assertRaises(TroubleError):
            self.follow(Play(stream(*[b"x" * 65000] * 100)))
