"""
Tests for L{siger.policy.vigil}.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.http.deadlines import INTERVAL, Deadlines
from siger.policy.identity import Identity
from siger.policy.vigil import EVERY, Vigils


def ann(left: float = 60) -> Identity:
    """
    A user whose token is good for some seconds more.
    """
    now = time.time()
    return Identity("7", "Ann", ("user",), "t-1", now - 10, now + left, {})


class VigilTests(SynchronousTestCase):
    """
    Tests for L{Vigils} and L{Vigil<siger.policy.vigil.Vigil>}; row B8.
    """

    def setUp(self) -> None:
        """
        A tunnel of somebody's.
        """
        self.clock = Clock()
        deadlines = Deadlines(self.clock)
        deadlines.start()
        self.judged: list[bytes] = []
        self.verdict: Any = Reason.INVALID_TOKEN
        self.vigils = Vigils(deadlines, self.judge)
        self.ended = 0

    def judge(self, credentials: bytes) -> Any:
        """
        Say what a test wants to hear.
        """
        self.judged.append(credentials)
        return self.verdict

    def begin(self, identity: Identity) -> Any:
        """
        Look after it.
        """

        def end() -> None:
            self.ended += 1

        return self.vigils.begin(identity, b"Bearer x", end)

    def later(self, seconds: float = EVERY + INTERVAL) -> None:
        """
        Let time pass.
        """
        for _ in range(round(seconds / INTERVAL)):
            self.clock.advance(INTERVAL)

    def test_good(self) -> None:
        """
        While the token is good it is only looked at.
        """
        self.begin(ann())
        self.later(10)
        self.assertEqual((self.judged, self.ended), ([], 0))

    def test_revoked(self) -> None:
        """
        Within about a second of its token's end the tunnel ends, once.
        """
        identity = ann()
        self.begin(identity)
        self.later()
        identity.expires = 0.0
        self.later()
        self.assertEqual((self.judged, self.ended), ([b"Bearer x"], 1))
        self.later(5)
        self.assertEqual(self.ended, 1)

    def test_expired(self) -> None:
        """
        So it does when the token's time is over.
        """
        self.begin(ann(-1))
        self.later()
        self.assertEqual(self.ended, 1)

    def test_forgotten(self) -> None:
        """
        That an identity was forgotten does not mean that its token has ended: it is judged again, and goes on.
        """
        identity, again = ann(), ann()
        self.begin(identity)
        identity.expires = 0.0
        self.verdict = again
        self.later(10)
        self.assertEqual((self.judged, self.ended), ([b"Bearer x"], 0))
        again.expires = 0.0
        self.verdict = Reason.INVALID_TOKEN
        self.later()
        self.assertEqual(self.ended, 1)

    def test_asked_elsewhere(self) -> None:
        """
        Should the keys of an issuer be fetched for that, the answer counts when it comes.
        """
        pending: Deferred[Any] = Deferred()
        self.verdict = pending
        self.begin(ann(-1))
        self.later()
        self.assertEqual(self.ended, 0)
        pending.callback(Reason.INVALID_TOKEN)
        self.assertEqual(self.ended, 1)

    def test_over(self) -> None:
        """
        Nothing happens to a tunnel that has ended by itself, not even when an answer comes late.
        """
        pending: Deferred[Any] = Deferred()
        self.verdict = pending
        vigil = self.begin(ann(-1))
        self.later()
        self.vigils.end(vigil)
        pending.callback(Reason.INVALID_TOKEN)
        self.later()
        self.assertEqual((len(self.judged), self.ended), (1, 0))
