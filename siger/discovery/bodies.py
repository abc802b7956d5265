"""
Bodies of small requests and responses, for treq: whole ones, held in memory, within a limit.
"""

from __future__ import annotations

from typing import Any, cast

from consul.exceptions import ConsulException
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

__all__ = ["Collector", "Content"]


@implementer(IBodyProducer)
class Content:
    """
    A request body that is at hand: it is written at once, without a schedule of its own.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


class Collector(Protocol):
    """
    Collects a body up to a limit.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.finished: Deferred[bytes] = Deferred(lambda _: self._abort())

    def dataReceived(self, data: bytes) -> None:
        self._limit -= len(data)
        self._pieces.append(data)
        if self._limit < 0 and not self.finished.called:
            self._abort()
            self.finished.errback(ConsulException("Consul's answer is too long"))

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        if self.finished.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.finished.callback(b"".join(self._pieces))
        else:
            self.finished.errback(reason)

    def _abort(self) -> None:
        self._pieces.clear()
        transport = cast(Any, self.transport)
        getattr(transport, "abortConnection", transport.loseConnection)()
