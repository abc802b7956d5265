"""
An exchange that cannot begin yet: something about its request has to be found out first.

Its request's body is not asked for meanwhile, and the little that was on its way is kept. When it is known how the
request goes on, L{Held.become} hands everything over, and from then on only passes calls through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from siger.errors import Reason

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from siger.http.stream import Exchange, Stream

__all__ = ["Held"]

_log = Logger()


def _fail(failure: Failure) -> Reason:
    _log.failure("a request could not be admitted or refused", failure=failure)
    return Reason.INTERNAL_ERROR


class Held:
    """
    Stands in for the exchange to come; L{siger.http.stream.Exchange}.

    @ivar gone: nobody waits for a response any more, so that nothing needs to begin.
    """

    __slots__ = ("_body", "_end", "_inner", "_on_gone", "_paused", "_refuse", "_settled", "_stream", "gone")

    def __init__(self, stream: Stream, on_gone: Callable[[], None], refuse: Callable[[Reason], object]) -> None:
        """
        @param on_gone: called when the client leaves before the exchange could begin.
        @param refuse: answers in the place of the exchange, when the body fails before it could begin.
        """
        self._stream = stream
        self._on_gone = on_gone
        self._refuse = refuse
        self._inner: Exchange | None = None
        self._settled = False
        self._body: list[bytes] = []
        self._end: bytes | None = None
        self._paused = False
        self.gone = False
        stream.pause_body()

    def wait(self, pending: Deferred[Any], begin: Callable[[Any], Exchange | None]) -> None:
        """
        Begin with what comes of this.

        @param begin: as for L{become}, given the result, or C{Reason.INTERNAL_ERROR} in the place of a failure.
        """
        pending.addErrback(_fail)
        pending.addCallback(lambda result: self.become(lambda: begin(result)))
        pending.addErrback(self._give_up)

    def _give_up(self, failure: Failure) -> None:
        # Nobody else would end this exchange: no deadline runs, and the client may wait for ever.
        _log.failure("a request could not go on", failure=failure)
        self.client_gone()
        self._stream.abort_response()

    def become(self, begin: Callable[[], Exchange | None]) -> None:
        """
        Begin, unless nobody waits any more.

        @param begin: makes the exchange, or answers at once.
        """
        if self.gone:
            return
        if self._end is None:
            # Before it begins: it may find that it wants no body for now.
            self._stream.resume_body()
        self._inner = inner = begin()
        self._settled = True
        body, self._body = self._body, []
        if inner is None:
            return
        if self._paused:
            inner.pause_response()
        for data in body:
            inner.body_received(data)
        if self._end is not None:
            inner.body_finished(self._end)

    def body_received(self, data: bytes, end: bool = False) -> None:
        """
        See L{siger.http.stream.Exchange.body_received}.
        """
        if self._inner is not None:
            self._inner.body_received(data, end)
        elif not self._settled:
            self._body.append(data)
            if end:
                self._end = b""

    def body_finished(self, trailers: bytes) -> None:
        """
        See L{siger.http.stream.Exchange.body_finished}.
        """
        if self._inner is not None:
            self._inner.body_finished(trailers)
        self._end = trailers

    def body_failed(self, reason: Reason) -> None:
        """
        See L{siger.http.stream.Exchange.body_failed}.
        """
        if self._inner is not None:
            self._inner.body_failed(reason)
        elif not self._settled and not self.gone:
            self.gone = True
            self._body = []
            self._refuse(reason)

    def client_gone(self) -> None:
        """
        See L{siger.http.stream.Exchange.client_gone}.
        """
        if self._inner is not None:
            self._inner.client_gone()
        elif not self._settled and not self.gone:
            self.gone = True
            self._body = []
            self._on_gone()

    def pause_response(self) -> None:
        """
        See L{siger.http.stream.Exchange.pause_response}.
        """
        self._paused = True
        if self._inner is not None:
            self._inner.pause_response()

    def resume_response(self) -> None:
        """
        See L{siger.http.stream.Exchange.resume_response}.
        """
        self._paused = False
        if self._inner is not None:
            self._inner.resume_response()
