"""
What can be asked of a connection with TLS, and set on its socket, as without.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol

__all__ = ["Facts"]


class Facts(Protocol):
    """
    A protocol that passes on what the transport below it knows.
    """

    transport: Any

    def getHandle(self) -> Any:
        """
        Return the connection's socket.
        """
        return self.transport.getHandle()

    def getHost(self) -> Any:
        """
        Return this end's address.
        """
        return self.transport.getHost()

    def getPeer(self) -> Any:
        """
        Return the other end's address.
        """
        return self.transport.getPeer()

    def getTcpNoDelay(self) -> Any:
        """
        Tell whether small segments are sent at once.
        """
        return self.transport.getTcpNoDelay()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        Send small segments at once, or let the kernel collect them.
        """
        self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> Any:
        """
        Tell whether the kernel probes an idle connection.
        """
        return self.transport.getTcpKeepAlive()

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        Have the kernel probe an idle connection, or not.
        """
        self.transport.setTcpKeepAlive(enabled)
