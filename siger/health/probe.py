"""
Asking one instance again and again.

The questions have a connection of their own, which stays open between them. Over those of requests they would wait
behind requests when all streams are taken, so that an instance with much to do would look ill and leave its work to
others with as much to do; and a connection to somebody who does not answer can be given up here without breaking off
anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import evolve

from siger.grpc.health import NOT_SERVING, SERVING, Finding
from siger.health.check import Check, Question, Streams

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import HealthCheck, ServiceSettings

__all__ = ["MakePool", "Probe"]

_JITTER: Final = 0.1
"""The part of an interval by which it is longer or shorter, so that not all are asked at the same moment."""

MakePool = Callable[["Endpoint", "ServiceSettings"], Streams]


class Probe:
    """
    One instance that is asked.
    """

    def __init__(
        self,
        clock: IReactorTime,
        random: Random,
        make_pool: MakePool,
        endpoint: Endpoint,
        check: HealthCheck,
        settings: ServiceSettings,
        told: Callable[[Endpoint, Finding], None],
    ) -> None:
        """
        @param settings: of the service.
        @param told: is called with what came of each question.
        """
        self._clock = clock
        self._random = random
        self._make_pool = make_pool
        self._endpoint = endpoint
        self._interval = check.interval
        self._question = Question(check, endpoint, settings)
        self._settings = _own(settings, check)
        self._told = told
        self._pool: Streams | None = None
        self._answered = True
        self._begun = 0.0
        self._check: Check | None = None
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """
        Ask at once, and go on.
        """
        self._timer = None
        self._begun = self._clock.seconds()
        check = self._check = Check(self._clock, self._connections(), self._question, self._note)
        check.begin()

    def _connections(self) -> Streams:
        # After a question without an answer, the next is asked over a new connection: the old one may lead nowhere.
        pool = self._pool
        if pool is None or not self._answered:
            if pool is not None:
                pool.close()
            pool = self._pool = self._make_pool(self._endpoint, self._settings)
        return pool

    def _note(self, finding: Finding) -> None:
        self._check = None
        self._answered = finding.result in (SERVING, NOT_SERVING)
        # Counted from the beginning of this question, unless it took longer than that.
        due = self._begun + self._interval * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self.start)
        self._told(self._endpoint, finding)

    def stop(self) -> None:
        """
        Ask no more, and close the connection.
        """
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        check, self._check = self._check, None
        if check is not None:
            check.cancel()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def _own(settings: ServiceSettings, check: HealthCheck) -> ServiceSettings:
    """
    For a pool of one connection with one stream, which is made within the time of a check.
    """
    timeouts = evolve(settings.timeouts, connect=check.timeout)
    return evolve(settings, max_streams=1, h2_connections=1, max_waiting=1, timeouts=timeouts)
