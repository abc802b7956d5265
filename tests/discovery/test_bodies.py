"""
Tests for L{siger.discovery.bodies}.
"""

from __future__ import annotations

from consul.exceptions import ConsulException
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.iweb import IBodyProducer
from zope.interface.verify import verifyObject

from siger.discovery.bodies import Collector, Content


class ContentTests(SynchronousTestCase):
    """
    Tests for L{Content}.
    """

    def test_interface(self) -> None:
        """
        It is a body producer, which writes all it has.
        """
        content = Content(b"{}")
        verifyObject(IBodyProducer, content)
        transport = StringTransport()
        self.successResultOf(content.startProducing(transport))
        self.assertEqual((transport.value(), content.length), (b"{}", 2))
        content.pauseProducing()
        content.resumeProducing()
        content.stopProducing()


class CollectorTests(SynchronousTestCase):
    """
    Tests for L{Collector}.
    """

    def setUp(self) -> None:
        """
        A collector of up to ten bytes.
        """
        self.transport = StringTransport()
        self.collector = Collector(10)
        self.collector.makeConnection(self.transport)

    def test_whole(self) -> None:
        """
        The pieces make the body.
        """
        self.collector.dataReceived(b"12345")
        self.collector.dataReceived(b"67890")
        self.assertNoResult(self.collector.finished)
        self.collector.connectionLost(Failure(ResponseDone()))
        self.assertEqual(self.successResultOf(self.collector.finished), b"1234567890")

    def test_too_long(self) -> None:
        """
        A body over the limit is given up, with its connection, whatever still arrives.
        """
        self.collector.dataReceived(b"12345678901")
        self.failureResultOf(self.collector.finished, ConsulException)
        self.assertTrue(self.transport.disconnecting or self.transport.disconnected)
        self.collector.dataReceived(b"1")
        self.collector.connectionLost(Failure(ConnectionLost()))

    def test_cut_short(self) -> None:
        """
        A body that ends early is an error.
        """
        self.collector.dataReceived(b"12")
        self.collector.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(self.collector.finished, ConnectionLost)
