"""
What pools of either version of HTTP are: the connections to one instance, those that are being made, and the line of
exchanges that wait for one.

Nobody in line is forgotten: each is served, told why not, or leaves. A pool that is closed serves and makes nothing
more, and lets go of what is idle at once and of what is not when that is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from siger.errors import Reason
from siger.http.deadlines import Deadlines
from siger.proxy.dialling import DialFactory, Secure
from siger.proxy.waiting import Waiter, WaitingLine

if TYPE_CHECKING:
    from twisted.internet.protocol import Protocol as TwistedProtocol

    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import ServiceSettings

__all__ = ["InstancePool"]


class InstancePool:
    """
    One instance's connections.

    @ivar timeouts: of the service.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: Endpoint,
        settings: ServiceSettings,
        deadlines: Deadlines,
        secure: Secure | None,
    ) -> None:
        """
        @param secure: wraps the factory of a connection that is to be TLS.
        """
        self._reactor = reactor
        self._endpoint = endpoint
        self._secure = secure
        self._max_waiting = settings.max_waiting
        self._line = WaitingLine(deadlines, self._give_up)
        self._dialling: set[DialFactory] = set()
        self._closed = False
        self.timeouts = settings.timeouts
        self.deadlines = deadlines

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._endpoint.label.decode()} [{self.describe()}]>"

    def describe(self) -> str:
        """
        The state in words.
        """
        return f"{self.active} active, {self.idle} idle, {self.connecting} connecting, {self.waiting} waiting"

    @property
    def active(self) -> int:
        """
        Connections with an exchange on them.
        """
        raise NotImplementedError

    @property
    def idle(self) -> int:
        """
        Connections without any.
        """
        raise NotImplementedError

    @property
    def connecting(self) -> int:
        """
        Connections being made.
        """
        return len(self._dialling)

    @property
    def waiting(self) -> int:
        """
        Exchanges in line.
        """
        return len(self._line)

    # The line.

    def cancel(self, waiter: Waiter) -> None:
        """
        Wait no more.
        """
        self._line.remove(waiter)

    def _give_up(self, waiter: Waiter) -> None:
        waiter.connect_failed(Reason.CONNECT_TIMEOUT if self._dialling else Reason.POOL_FULL)

    # Making a connection.

    def _dial(self, patience: float) -> None:
        instance = self._endpoint.instance
        factory = DialFactory(self)
        self._dialling.add(factory)
        # Whoever waits has a deadline of their own; the reactor's is only there to end the attempt itself.
        timeout = patience + 1.0
        wrapped = factory if self._secure is None else self._secure(factory, instance.address, timeout)
        connector = self._reactor.connectTCP(instance.address, instance.port, wrapped, timeout=timeout)
        if not factory.settled:
            factory.connector = connector

    def make_protocol(self, factory: DialFactory) -> TwistedProtocol:
        """
        See L{siger.proxy.dialling.Dialler.make_protocol}.
        """
        raise NotImplementedError

    def dial_failed(self, factory: DialFactory, reason: Reason) -> None:
        """
        See L{siger.proxy.dialling.Dialler.dial_failed}.
        """
        raise NotImplementedError

    # The end.

    def close(self) -> None:
        """
        The instance is gone from discovery: idle connections close, running exchanges finish.
        """
        self._closed = True
        self._let_go()
        while (waiter := self._line.pop()) is not None:
            waiter.connect_failed(Reason.NO_INSTANCE)
        for factory in list(self._dialling):
            if factory.connector is not None:
                # Which may have got as far as the handshake of TLS.
                factory.connector.disconnect()

    def _let_go(self) -> None:
        # Closes what is idle, at once, and what is not, when it is.
        raise NotImplementedError
