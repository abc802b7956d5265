"""
Tests of L{siger.tls.layer}.
"""

from __future__ import annotations

from ssl import SSLContext, SSLError, TLSVersion
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    INegotiated,
    IPushProducer,
    ISSLTransport,
    ISystemHandle,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from siger.tls.layer import TLSLayer
from tests.tls.peers import Peer, client_context, server_context


class Application(Protocol):
    """
    What is above, and keeps what it gets.
    """

    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None
        self.agreed: bytes | None = b"not asked yet"
        self.on_data: Any = lambda: None

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.agreed = transport.negotiatedProtocol

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.on_data()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Application):
    """
    One that cares for halves.
    """

    halves: tuple[str, ...] = ()

    def readConnectionLost(self) -> None:
        self.halves += ("read",)

    def writeConnectionLost(self) -> None:
        self.halves += ("write",)


class Layer(TLSLayer):
    """
    A server with an application.
    """

    def __init__(self, above: Application | None, context: SSLContext) -> None:
        super().__init__(Clock())
        self.clock: Clock = self._clock
        self.above = above
        self.context = context
        self.errors: list[Exception] = []

    def connectionMade(self) -> None:
        self.begin(self.context, True)

    def secured(self) -> Any:
        return self.above

    def refused(self, error: Exception) -> None:
        self.errors.append(error)


class Producer:
    """
    Somebody who feeds the connection.
    """

    events: tuple[str, ...] = ()

    def pauseProducing(self) -> None:
        self.events += ("pause",)

    def resumeProducing(self) -> None:
        self.events += ("resume",)


class LayerCase(SynchronousTestCase):
    """
    Tests with a connection.
    """

    def connect(self, application: Application | None = None, *protocols: str) -> Peer:
        """
        A client that has shaken hands with the layer.
        """
        self.application = application or Application()
        self.layer = Layer(self.application, server_context(*protocols))
        return Peer(self.layer, client_context(*protocols)).connect()


class HandshakeTests(LayerCase):
    """
    Before there is anything above, and how it begins.
    """

    def test_negotiated(self) -> None:
        """
        What was agreed on is known when the application is connected.
        """
        self.connect(None, "h2")
        self.assertEqual(b"h2", self.application.agreed)
        self.connect()
        self.assertIsNone(self.application.agreed)

    def test_data_at_once(self) -> None:
        """
        What comes together with the end of the handshake is delivered.
        """
        self.layer = Layer(application := Application(), server_context())
        peer = Peer(self.layer, client_context())
        self.layer.makeConnection(peer.transport)
        peer.records.shake()
        self.layer.dataReceived(peer.records.take())
        peer.records.feed(peer.transport.written)
        self.assertTrue(peer.records.shake())
        self.layer.dataReceived(peer.records.take() + peer.records.seal(b"at once"))
        self.assertEqual(b"at once", application.received)

    def test_failure(self) -> None:
        """
        A failed handshake is told once; the peer gets an alert, and the connection ends.
        """
        context = server_context()
        context.minimum_version = TLSVersion.TLSv1_3
        layer = Layer(Application(), context)
        peer = Peer(layer, client_context(newest=TLSVersion.TLSv1_2))
        self.assertRaises(SSLError, peer.connect)
        layer.dataReceived(b"more")
        self.assertEqual(1, len(layer.errors))
        self.assertEqual(b"\x15\x03", peer.transport.written[:2])
        self.assertTrue(peer.transport.closed)

    def test_early_end(self) -> None:
        """
        A peer that closes its half before that is let go of.
        """
        layer = Layer(Application(), server_context())
        peer = Peer(layer, client_context())
        layer.makeConnection(peer.transport)
        layer.readConnectionLost()
        self.assertTrue(peer.transport.aborted)
        peer.lose()
        assert layer.above is not None
        self.assertIsNone(layer.above.lost)

    def test_nobody_above(self) -> None:
        """
        There may be nobody above after all.
        """
        layer = Layer(None, server_context())
        peer = Peer(layer, client_context()).connect()
        peer.send(b"ignored")
        peer.lose()
        self.assertEqual([], layer.errors)

    def test_interfaces(self) -> None:
        """
        It is all that a transport with TLS is to Twisted.
        """
        self.connect()
        for interface in (ISSLTransport, INegotiated, ISystemHandle, IConsumer, IPushProducer, IHalfCloseableProtocol):
            verifyObject(interface, self.layer)


class DataTests(LayerCase):
    """
    What comes and goes.
    """

    def test_both_ways(self) -> None:
        """
        Data pass, whatever their size, and empty ones are nothing.
        """
        peer = self.connect()
        data = bytes(range(256)) * 4000
        peer.send(data)
        self.layer.write(b"")
        self.layer.write(data)
        self.layer.writeSequence([b"a", b"b"])
        peer.talk()
        self.assertEqual((data, data + b"ab"), (self.application.received, peer.received))

    def test_pause(self) -> None:
        """
        Nothing is delivered while the application wants nothing, and nothing is lost.
        """
        peer = self.connect()
        self.layer.pauseProducing()
        self.assertTrue(peer.transport.paused)
        peer.send(b"held")
        self.assertEqual(b"", self.application.received)
        self.layer.resumeProducing()
        self.assertFalse(peer.transport.paused)
        self.layer.clock.advance(0)
        self.assertEqual(b"held", self.application.received)

    def test_pause_again(self) -> None:
        """
        A pause that follows at once is heeded; so is one from the very beginning.
        """
        peer = self.connect()
        self.layer.pauseProducing()
        peer.send(b"held")
        self.layer.resumeProducing()
        self.layer.pauseProducing()
        self.layer.clock.advance(0)
        self.assertEqual(b"", self.application.received)

        application = Application()
        application.connectionMade = lambda: application.transport.pauseProducing()  # type: ignore
        self.connect(application)
        self.assertTrue(self.layer._paused)
        self.layer.resumeProducing()
        self.layer.clock.advance(0)
        self.assertEqual(b"", application.received)

    def test_end_during_pause(self) -> None:
        """
        The peer's end waits, too.
        """
        application = HalfCloseable()
        peer = self.connect(application)
        application.on_data = self.layer.pauseProducing
        sealed = peer.records.seal(b"last words")
        self.layer.dataReceived(sealed + peer.records.finish())
        self.assertEqual((b"last words", ()), (application.received, application.halves))
        self.layer.resumeProducing()
        self.layer.clock.advance(0)
        self.assertEqual(("read",), application.halves)

    def test_lost_during_pause(self) -> None:
        """
        A connection that is gone delivers nothing any more.
        """
        peer = self.connect()
        self.layer.pauseProducing()
        peer.send(b"held")
        self.layer.resumeProducing()
        peer.lose()
        self.layer.clock.advance(0)
        self.assertEqual(b"", self.application.received)

    def test_switch(self) -> None:
        """
        Another protocol may take over.
        """
        peer = self.connect()
        other = Application()
        self.layer.switch_protocol(other)
        peer.send(b"for another")
        self.assertEqual((b"", b"for another"), (self.application.received, other.received))

    def test_tampered(self) -> None:
        """
        A record that was changed on its way ends the connection, and what came in it does not count.
        """
        peer = self.connect()
        sealed = peer.records.seal(b"x")
        self.layer.dataReceived(sealed[:-1] + bytes([sealed[-1] ^ 1]))
        self.assertTrue(peer.transport.aborted)
        self.assertEqual(b"", self.application.received)

    def test_producer(self) -> None:
        """
        Who feeds the connection is paused by the transport below, with its marks.
        """
        peer = self.connect()
        producer = Producer()
        self.layer.registerProducer(producer, True)
        peer.transport.stalled = True
        self.layer.write(b"x" * 100_000)
        peer.transport.flow()
        self.assertEqual(("pause", "resume"), producer.events)

    def test_facts(self) -> None:
        """
        What the transport below knows can be asked of it.
        """
        peer = self.connect()
        peer.transport.handle = "the socket"
        self.assertEqual("the socket", self.layer.getHandle())
        self.assertIsNone(self.layer.getPeerCertificate())


class EndTests(LayerCase):
    """
    How it ends, from either side.
    """

    def test_lose_connection(self) -> None:
        """
        The peer is told that this is the end before the connection closes; nothing goes after that, nor comes.
        """
        peer = self.connect()
        self.layer.write(b"last words")
        self.layer.loseConnection()
        self.layer.write(b"ignored")
        self.layer.dataReceived(peer.records.seal(b"ignored"))
        peer.talk()
        self.assertEqual((b"last words", True), (peer.received, peer.records.ended))
        self.assertTrue(peer.transport.closed)
        self.assertEqual(b"", self.application.received)

    def test_lose_connection_with_producer(self) -> None:
        """
        A producer may finish first.
        """
        peer = self.connect()
        self.layer.registerProducer(Producer(), True)
        self.layer.loseConnection()
        self.layer.write(b"last words")
        peer.talk()
        self.assertEqual((b"last words", False), (peer.received, peer.records.ended))
        self.layer.unregisterProducer()
        peer.talk()
        self.assertTrue(peer.records.ended)
        self.assertTrue(peer.transport.closed)

    def test_half_close(self) -> None:
        """
        This half may end alone, once the producer is finished; then what comes is still delivered.
        """
        application = HalfCloseable()
        peer = self.connect(application)
        self.layer.registerProducer(Producer(), True)
        self.layer.loseWriteConnection()
        self.assertFalse(peer.transport.half_closing)
        self.layer.unregisterProducer()
        self.layer.writeConnectionLost()
        peer.talk()
        self.assertTrue(peer.records.ended and peer.transport.half_closed)
        self.assertFalse(peer.transport.closed)
        peer.send(b"still coming")
        self.assertEqual((b"still coming", ("write",)), (application.received, application.halves))
        self.layer.loseConnection()
        self.assertTrue(peer.transport.closed)

    def test_abort(self) -> None:
        """
        An abort is one below.
        """
        peer = self.connect()
        self.layer.abortConnection()
        self.assertTrue(peer.transport.aborted)

    def test_stop_producing(self) -> None:
        """
        Somebody who wants nothing more of it closes it.
        """
        peer = self.connect()
        self.layer.stopProducing()
        self.assertTrue(peer.transport.closed)

    def test_peer_ends(self) -> None:
        """
        The peer's end is the end of all for most applications.
        """
        for producer in (None, Producer()):
            peer = self.connect()
            if producer is not None:
                self.layer.registerProducer(producer, True)
            peer.finish()
            self.assertTrue(peer.transport.closed and peer.records.ended)
            peer.lose()
            self.assertTrue(self.application.lost is not None and self.application.lost.check(ConnectionDone))

    def test_peer_half_closes(self) -> None:
        """
        One that cares for halves hears of the peer's once, and may go on sending.
        """
        application = HalfCloseable()
        peer = self.connect(application)
        peer.finish()
        self.layer.readConnectionLost()
        self.layer.write(b"last words")
        peer.talk()
        self.assertEqual((b"last words", ("read",)), (peer.received, application.halves))
        self.assertFalse(peer.transport.closed)

    def test_truncated(self) -> None:
        """
        A connection that ends without a word may have been cut by somebody on the way: it was lost, not closed.
        """
        peer = self.connect()
        self.layer.registerProducer(Producer(), True)
        self.layer.readConnectionLost()
        self.assertTrue(peer.transport.closed)
        peer.lose()
        self.assertTrue(self.application.lost is not None and self.application.lost.check(ConnectionLost))

    def test_truncated_half(self) -> None:
        """
        One that cares for halves hears of such an end as of any other.
        """
        application = HalfCloseable()
        self.connect(application)
        self.layer.readConnectionLost()
        self.assertEqual(("read",), application.halves)

    def test_own_end(self) -> None:
        """
        Who closes first has not lost anything, whatever the peer says then.
        """
        peer = self.connect()
        self.layer.loseConnection()
        peer.lose()
        self.assertTrue(self.application.lost is not None and self.application.lost.check(ConnectionDone))

    def test_lost(self) -> None:
        """
        A connection that breaks is lost.
        """
        peer = self.connect()
        peer.lose(clean=False)
        self.assertTrue(self.application.lost is not None and self.application.lost.check(ConnectionLost))
