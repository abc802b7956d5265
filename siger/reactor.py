"""
Choose and build the reactor: the one place that does.

Everybody else takes a reactor as an argument. L{install} is called by the service maker before anything imports
C{twisted.internet.reactor}, by the tests' package, and by C{--reactor=siger} through the reactor plugin.
"""

# mypy: allow-untyped-calls
# (Most of the reactor that this inherits from has no annotations yet.)

from __future__ import annotations

import asyncio
import math
import socket
import sys
from typing import Any

from twisted.internet._signals import SignalHandling, _MultiSignalHandling
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.base import ReactorBase
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.python.log import callWithLogger

from siger.transports.clients import TCPConnector, UNIXConnector
from siger.transports.connection import Connection
from siger.transports.direct import factory_reads_directly
from siger.transports.listening import TCPPort, UNIXPort
from siger.transports.serving import adopt
from siger.transports.signals import ChildSignals

__all__ = ["UvloopReactor", "WrongReactor", "install"]


class WrongReactor(Exception):  # noqa: N818 (it reads better without a suffix)
    """
    Another reactor was installed first, and a process has only one.
    """


class UvloopReactor(AsyncioSelectorReactor):
    """
    Twisted's asyncio reactor with uvloop's own transports for streams.

    Everything else (datagrams, processes, files, time) is inherited and goes through uvloop's C{add_reader}.

    @ivar loop: uvloop's loop.
    @ivar transports: the ports and connections that are open: what other reactors know as their readers.
    """

    _scheduledAt: float | None  # type: ignore[assignment]
    _timerHandle: asyncio.TimerHandle | None  # type: ignore[assignment]

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transports: set[Any] = set()
        loop.set_exception_handler(_loop_failed)
        super().__init__(loop)

    # Streams

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> TCPPort:
        """
        Listen on a TCP port.
        """
        listening = TCPPort(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def connectTCP(
        self, host: str, port: Any, factory: Any, timeout: float = 30.0, bindAddress: Any = None
    ) -> TCPConnector:
        """
        Connect to a TCP port.
        """
        connector = TCPConnector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0) -> Any:
        """
        Listen on a UNIX socket.
        """
        if not factory_reads_directly(factory):
            return super().listenUNIX(address, factory, backlog, mode, wantPID)
        listening = UNIXPort(address, factory, backlog, mode, self, wantPID)
        listening.startListening()
        return listening

    def connectUNIX(self, address: Any, factory: Any, timeout: float = 30, checkPID: Any = 0) -> Any:
        """
        Connect to a UNIX socket.
        """
        if not factory_reads_directly(factory):
            return super().connectUNIX(address, factory, timeout, checkPID)
        connector = UNIXConnector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: Any, factory: Any) -> Any:
        """
        Accept connections on a socket that listens already. The descriptor stays the caller's.
        """
        port: Any
        if addressFamily in (socket.AF_INET, socket.AF_INET6):
            port = TCPPort._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        elif addressFamily == socket.AF_UNIX and factory_reads_directly(factory):
            port = UNIXPort._fromListeningDescriptor(self, fileDescriptor, factory)
        else:
            return super().adoptStreamPort(fileDescriptor, addressFamily, factory)
        port.startListening()
        return port

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: Any, factory: Any) -> Any:
        """
        Serve a connection that was accepted elsewhere. The descriptor stays the caller's.

        @return: the transport, or C{None} when the factory built no protocol. The protocol is connected in the next
            turn of the loop.
        """
        unix = addressFamily == socket.AF_UNIX
        if addressFamily not in self._supportedAddressFamilies or (unix and not factory_reads_directly(factory)):
            return super().adoptStreamConnection(fileDescriptor, addressFamily, factory)
        return adopt(self, socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM), factory)

    # What is open

    def addReader(self, reader: Any) -> None:
        """
        Watch a descriptor; or resume one of our own transports.
        """
        if reader in self.transports:
            reader.startReading()
        else:
            super().addReader(reader)

    def removeReader(self, reader: Any) -> None:
        """
        Stop watching a descriptor; or pause one of our own transports.
        """
        if reader in self.transports:
            reader.stopReading()
        else:
            super().removeReader(reader)

    def getReaders(self) -> list[Any]:
        """
        List everything that is being read.
        """
        return [*super().getReaders(), *(transport for transport in self.transports if transport.reading)]

    def removeAll(self) -> list[Any]:
        """
        Stop reading from everything, and list what was read from or had something to send.
        """
        ours = [transport for transport in self.transports if transport.reading or transport.writing]
        for transport in ours:
            transport.stopReading()
        self.transports.difference_update(ours)
        return [*super().removeAll(), *ours]

    def disconnectAll(self) -> None:
        """
        End every connection, those included that are paused and of which L{removeAll} says nothing.
        """
        paused = [transport for transport in self.transports if not (transport.reading or transport.writing)]
        super().disconnectAll()
        for transport in paused:
            callWithLogger(transport, transport.connectionLost, Failure(ConnectionLost()))

    # Time and signals

    def iterate(self, timeout: float = 0) -> None:
        """
        Run for a short while. Trial does so after each test; the asyncio reactor would take 10 ms longer each time.
        """
        self.loop.call_later(timeout + 0.001, self.loop.stop)
        self.loop.run_forever()
        # What became due in the last turn is not left over: trial looks for what is, after two of these.
        if self.timeout() == 0:
            self._onTimer()

    def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> Any:
        """
        Call later. The asyncio reactor's way would compare times of uvloop's, which are whole milliseconds.
        """
        call: Any = ReactorBase.callLater(self, delay, callable, *args, **kw)
        if self._scheduledAt is None or call.time < self._scheduledAt:
            self._reschedule()
        return call

    def _reschedule(self) -> None:
        """
        Have uvloop wake up for the next delayed call.

        uvloop rounds to whole milliseconds; rounded down, it would turn idly until the call is due.
        """
        timeout = self.timeout()
        if timeout is None:
            return
        self._scheduledAt = self.seconds() + timeout
        if self._timerHandle is not None:
            self._timerHandle.cancel()
        self._timerHandle = self.loop.call_later(math.ceil(timeout * 1000) / 1000, self._onTimer)

    def _signalsFactory(self) -> SignalHandling:
        """
        Handle C{SIGCHLD} in a way that works with uvloop's own use of signals.
        """
        return _MultiSignalHandling((ReactorBase._signalsFactory(self), ChildSignals(self.loop)))


def _loop_failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """
    Log and close the connection whose protocol raised; leave everything else to asyncio.
    """
    connection, exception = context.get("protocol"), context.get("exception")
    if isinstance(connection, Connection) and exception is not None:
        connection.failed(exception)
    else:
        loop.default_exception_handler(context)


def _build() -> AsyncioSelectorReactor:
    """
    Build a reactor over an event loop of its own, which becomes the current one.
    """
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return AsyncioSelectorReactor(loop)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return UvloopReactor(loop)


def install() -> None:
    """
    Install Siger's reactor over an event loop of its own, unless an asyncio reactor is in place already.

    @raise WrongReactor: when a reactor of another family was installed first.
    """
    installed = sys.modules.get("twisted.internet.reactor")
    if isinstance(installed, AsyncioSelectorReactor):
        return
    if installed is not None:
        name = type(installed).__name__
        raise WrongReactor(f"siger runs on its own asyncio reactor, but {name} is already installed")

    from twisted.internet.main import installReactor

    installReactor(_build())
