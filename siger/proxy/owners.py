"""
What pools are to the connections that they own: told whenever one is free, takes no more, or is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from siger.http.deadlines import Deadlines
    from siger.http.response import ResponseParser
    from siger.proxy.connection import UpstreamConnection
    from siger.proxy.multiplexed import ClientConnection

__all__ = ["Http1Owner", "Http2Owner"]


class Http1Owner(Protocol):
    """
    What an L{UpstreamConnection} reports to.

    @ivar parser: reads the heads of responses, for all connections.
    """

    deadlines: Deadlines
    parser: ResponseParser

    def checkin(self, connection: UpstreamConnection) -> None:
        """
        The connection is free for another exchange.
        """

    def forget(self, connection: UpstreamConnection) -> None:
        """
        The connection is gone.
        """


class Http2Owner(Protocol):
    """
    What a L{ClientConnection} reports to.

    @ivar usual_streams: how many streams the instance let its last connection have.
    """

    deadlines: Deadlines
    usual_streams: int

    def released(self, connection: ClientConnection) -> None:
        """
        A stream of this connection is over, so that there is room for another.
        """

    def retired(self, connection: ClientConnection) -> None:
        """
        The connection takes no more streams.
        """

    def forget_connection(self, connection: ClientConnection) -> None:
        """
        The connection is gone.
        """
