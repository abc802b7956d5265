"""
Tests for L{siger.transports.direct}.
"""

from __future__ import annotations

from twisted.internet.endpoints import _WrappingFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from siger.transports.direct import factory_reads_directly, has_log_prefix, reads_directly


class Marked(Protocol):
    """
    A protocol that libuv may call directly.
    """

    reads_directly = True


class Slotted:
    """
    Neither a protocol of Twisted's nor one with a dictionary.
    """

    __slots__ = ()


class ReadsDirectlyTests(SynchronousTestCase):
    """
    Tests for L{reads_directly} and L{factory_reads_directly}.
    """

    def test_marked(self) -> None:
        """
        A marked class is called directly, no other is.
        """
        self.assertTrue(reads_directly(Marked()))
        self.assertFalse(reads_directly(Protocol()))
        self.assertFalse(reads_directly(Slotted()))
        self.assertFalse(reads_directly(None))

    def test_wrapped(self) -> None:
        """
        What wraps a marked protocol is called directly too: TLS, for one.
        """
        factory = WrappingFactory(Factory.forProtocol(Marked))
        self.assertTrue(reads_directly(ProtocolWrapper(factory, ProtocolWrapper(factory, Marked()))))
        self.assertFalse(reads_directly(ProtocolWrapper(factory, Protocol())))

    def test_factory(self) -> None:
        """
        A factory counts by its own mark or that of its protocols, within what Twisted wraps it in.
        """

        class MarkedFactory(Factory):
            reads_directly = True

        class OtherFactory(Factory):
            """
            Builds whatever it likes.
            """

        marked = Factory.forProtocol(Marked)
        self.assertTrue(factory_reads_directly(MarkedFactory()))
        self.assertTrue(factory_reads_directly(marked))
        self.assertTrue(factory_reads_directly(WrappingFactory(marked)))
        self.assertTrue(factory_reads_directly(_WrappingFactory(marked)))
        self.assertFalse(factory_reads_directly(OtherFactory()))
        self.assertFalse(factory_reads_directly(Factory.forProtocol(Protocol)))


class HasLogPrefixTests(SynchronousTestCase):
    """
    Tests for L{has_log_prefix}.
    """

    def test_overridden(self) -> None:
        """
        Only a protocol that overrides C{logPrefix} has one of its own.
        """

        class Named(Protocol):
            def logPrefix(self) -> str:
                return "named"

        self.assertTrue(has_log_prefix(Named()))
        self.assertFalse(has_log_prefix(Protocol()))
        self.assertFalse(has_log_prefix(Slotted()))
        self.assertTrue(has_log_prefix(TLSMemoryBIOFactory.protocol.__new__(TLSMemoryBIOFactory.protocol)))
