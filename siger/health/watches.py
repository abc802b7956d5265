"""
Those who want to be told whenever the gateway's health is another: C{Watch} of C{grpc.health.v1}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from siger.errors import Reason
from siger.grpc.content import WEB
from siger.grpc.serving import answer
from siger.grpc.timeouts import parse_timeout
from siger.health.answers import CheckCall
from siger.http.deadlines import NEVER
from siger.http.problem import grpc_error

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from siger.http.observed import ObservedStream
    from siger.http.request import RequestHead

__all__ = ["EVERY", "WatchCall", "Watches"]

EVERY: Final = 1.0
"""Seconds between looks."""


class Watches:
    """
    All of them. They look once a second, and only while there are any.

    @ivar over: nobody is to stay any more.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._watchers: dict[WatchCall, None] = {}
        self._call: IDelayedCall | None = None
        self.over = False

    @property
    def now(self) -> float:
        """
        The seconds by which they look.
        """
        return self._clock.seconds()

    def add(self, watcher: WatchCall) -> None:
        """
        Let this one look, too.
        """
        self._watchers[watcher] = None
        if self._call is None:
            self._call = self._clock.callLater(EVERY, self._look)

    def discard(self, watcher: WatchCall) -> None:
        """
        Let it look no more.
        """
        self._watchers.pop(watcher, None)
        if not self._watchers and self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = self._clock.callLater(EVERY, self._look)
        for watcher in list(self._watchers):
            watcher.look()

    def stop(self) -> None:
        """
        Send all of them away, and whoever still comes.
        """
        self.over = True
        for watcher in list(self._watchers):
            watcher.end()


class WatchCall(CheckCall):
    """
    One of them: it is answered at once, and has another answer whenever there is one, as fast as it reads.
    """

    def __init__(
        self,
        watches: Watches,
        serving: Callable[[str], int],
        stream: ObservedStream,
        head: RequestHead,
        request_id: bytes,
    ) -> None:
        super().__init__(serving, stream, head, request_id)
        self._watches = watches
        self._name = ""
        self._told = 0
        self._paused = False
        self._begun = watches.now
        self._ends = NEVER

    def _reply(self, name: str) -> None:
        timeout = self._head.fields.owned.get(b"grpc-timeout")
        if timeout is not None:
            try:
                self._ends = self._begun + parse_timeout(timeout)
            except ValueError:
                self._refuse(Reason.MALFORMED_REQUEST)
                return
        self._name = name
        self._told = self._serving(name)
        self._respond(b"", answer(self._told), False)
        self._watches.add(self)
        if self._watches.over:
            self.end()

    def look(self) -> None:
        """
        See whether there is something new to be told, or no time is left.
        """
        if self._ends <= self._watches.now:
            self._leave(Reason.DEADLINE_EXCEEDED)
        elif not self._paused:
            self._tell()

    def _tell(self) -> None:
        status = self._serving(self._name)
        if status != self._told:
            self._told = status
            self._stream.send_body(answer(status))

    def end(self) -> None:
        """
        The gateway stops: say so, and end.
        """
        self._tell()
        self._leave(Reason.DRAINING)

    def _leave(self, reason: Reason) -> None:
        self._watches.discard(self)
        self.over = True
        self._stream.reason = reason
        if self._head.takes_trailers or self._head.fields.grpc == WEB:
            self._stream.end_response(grpc_error(reason))
        else:
            # It must not look complete without them.
            self._stream.abort_response()

    # Its reader.

    def client_gone(self) -> None:
        """
        See L{siger.http.stream.Exchange.client_gone}.
        """
        self._watches.discard(self)
        super().client_gone()

    def pause_response(self) -> None:
        """
        See L{siger.http.stream.Exchange.pause_response}.
        """
        self._paused = True

    def resume_response(self) -> None:
        """
        See L{siger.http.stream.Exchange.resume_response}.
        """
        self._paused = False
