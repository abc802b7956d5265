"""
Many connections that do everything at once.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.transports.peers import DialingFactory, TransportTestCase

CONNECTIONS = 150


class Chaos(Protocol):
    """
    Does things to its transport, in an order that a random generator decides, until it has had enough.

    @cvar random: the generator.
    @cvar misdeeds: what must not happen, and did.
    @ivar ends: how often it was told of the loss.
    """

    random: Random
    misdeeds: list[str]
    reactor: Any

    reason: Failure | None = None
    ends = 0
    pulls = 0

    def connectionMade(self) -> None:
        """
        Begin.
        """
        self.left = self.random.randrange(5, 25)
        self.act()

    def act(self) -> None:
        """
        Do something, and again soon. What was left undone at the end is to be harmless after it.
        """
        transport: Any = self.transport
        self.left -= 1
        if self.left < -2:
            return
        if self.left == 0:
            transport.unregisterProducer()
            transport.resumeProducing()
            self.random.choice([transport.loseConnection, transport.abortConnection])()
        self.random.choice(
            [
                lambda: transport.write(bytes(self.random.randrange(3000))),
                lambda: transport.write(bytes(self.random.randrange(1_000_000))),
                lambda: transport.writeSequence([b"x" * 100] * self.random.randrange(9)),
                transport.pauseProducing,
                transport.resumeProducing,
                lambda: transport.switch_protocol(self) if not self.ends else None,
                lambda: transport.producer or transport.registerProducer(self, True),
                lambda: transport.producer or transport.registerProducer(self, False),
                transport.unregisterProducer,
                lambda: self.random.random() < 0.2 and transport.loseWriteConnection(),
            ]
        )()
        self.reactor.callLater(self.random.random() * 0.003, self.act)

    def resumeProducing(self) -> None:
        """
        Write a little, if pulled.
        """
        transport: Any = self.transport
        self.pulls += 1
        if not transport.streamingProducer and self.pulls < 20:
            transport.write(bytes(20000))

    def pauseProducing(self) -> None:
        """
        Go on regardless.
        """

    stopProducing = pauseProducing

    def dataReceived(self, data: bytes) -> None:
        """
        See that this was to be expected; and fail now and then.
        """
        transport: Any = self.transport
        if self.ends or not transport.reading:
            self.misdeeds.append("delivered in a pause, or after the end")
        if self.random.random() < 0.003:
            raise ZeroDivisionError

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        """
        Count.
        """
        self.reason = reason
        self.ends += 1


class DirectChaos(Chaos):
    """
    One that libuv calls directly.
    """

    reads_directly = True


@implementer(IHalfCloseableProtocol)
class HalfChaos(Chaos):
    """
    One that is told of halves.
    """

    def readConnectionLost(self) -> None:
        """
        Close now, or some time.
        """
        if self.random.random() < 0.5:
            self.transport.loseConnection()  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        """
        Go on.
        """


class ChaosTests(TransportTestCase):
    """
    Whatever is done to connections, they end.
    """

    async def test_everything_at_once(self) -> None:
        """
        Every connection that was made is lost, once; nothing is delivered in a pause or after the loss; nothing is
        logged but what the protocols raised.
        """
        Chaos.random = random = Random(20)
        Chaos.reactor = self.reactor
        Chaos.misdeeds = []
        kinds = [Chaos, DirectChaos, HalfChaos]
        # Tests of Twisted's own, which share the reactor, may leave some behind.
        others = set(self.reactor.transports)
        port = self.listen(lambda: random.choice(kinds)())
        factory = DialingFactory(lambda: random.choice(kinds)())
        for _ in range(CONNECTIONS):
            self.reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
            await self.pause(0.001)
        await self.until(lambda: len(factory.built) == CONNECTIONS and all(one.ends for one in factory.built))
        everybody = [*factory.built, *port.factory.built]
        await self.until(lambda: all(one.ends and one.left < -2 for one in everybody))
        self.assertEqual([one for one in everybody if one.ends != 1], [])
        self.assertEqual(len(factory.losses), CONNECTIONS)
        self.assertEqual(Chaos.misdeeds, [])
        raised = [one for one in everybody if one.reason.check(ZeroDivisionError)]
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), len(raised))
        self.assertEqual(set(self.reactor.transports) - others, {port})
