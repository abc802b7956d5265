"""
What clients' connections have in common, whichever version of HTTP they speak.
"""

from __future__ import annotations

from typing import Protocol

from siger.config.settings.limits import Limits
from siger.http.deadlines import Deadlines
from siger.http.request_parser import RequestParser
from siger.http.stream import Application
from siger.http.transport import Transport

__all__ = ["ChannelContext", "ClientConnection"]


class ClientConnection(Protocol):
    """
    A client's connection of any version of HTTP, as far as those know it who look after all of them.

    @ivar transport: what it is on.
    """

    transport: Transport

    def drain(self, idle: bool) -> None:
        """
        Keep the connection for no further request.

        @param idle: close it now if no request is in progress on it.
        """


class ChannelContext:
    """
    What all channels of a gateway share.

    @ivar draining: no connection is kept any more.
    @ivar channels: the open ones.
    """

    __slots__ = ("application", "channels", "deadlines", "draining", "limits", "parser")

    def __init__(self, application: Application, limits: Limits, deadlines: Deadlines) -> None:
        self.application = application
        self.limits = limits
        self.deadlines = deadlines
        self.parser = RequestParser(limits.header_count)
        self.draining = False
        self.channels: set[ClientConnection] = set()
