"""
Producers that have to be asked for every piece, for those who only tell when to pause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IPullProducer, IReactorTime

__all__ = ["PullLoop"]

_log = Logger()


@implementer(IPushProducer)
class PullLoop:
    """
    Makes a push producer of a pull producer: asks it once a turn of the reactor while the client keeps up.
    """

    def __init__(self, producer: IPullProducer, on_failure: Callable[[], None], reactor: IReactorTime) -> None:
        """
        @param on_failure: called when the producer raised something, which is logged.
        """
        self._producer = producer
        self._on_failure = on_failure
        self._reactor = reactor
        self._next: IDelayedCall | None = None

    def resumeProducing(self) -> None:
        """
        Ask in the next turn.
        """
        if self._next is None:
            self._next = self._reactor.callLater(0, self._pull)

    def pauseProducing(self) -> None:
        """
        Ask no more for now.
        """
        pending, self._next = self._next, None
        if pending is not None:
            pending.cancel()

    def stopProducing(self) -> None:
        """
        Ask no more, and say so.
        """
        self.pauseProducing()
        self._producer.stopProducing()

    def _pull(self) -> None:
        """
        Ask once; first arrange for the next time, which the producer may call off.
        """
        self._next = self._reactor.callLater(0, self._pull)
        try:
            self._producer.resumeProducing()
        except Exception:
            _log.failure("a producer failed")
            self._on_failure()
