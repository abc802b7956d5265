"""
One connection to one NATS server, from when it stands until it is lost.

nats-py's client can reconnect by itself. Here it may not: a client that waits for another server keeps what was
published meanwhile and sends it after its caller was told of a failure; it stops for good when a server refuses it; it
takes its first connection differently from all later ones; and it would go on with subscriptions to consumers that a
restarted server no longer has. So there is one client for each connection. What is lost stays lost, whoever waited for
an answer hears so at once, and L{siger.messaging.connection} makes the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.messaging.client import SingleClient, complaint
from siger.messaging.errors import NobodyAnswersError, TooLargeError, UnavailableError
from siger.messaging.messages import decode, header_size
from siger.messaging.pipeline import Pipeline
from siger.messaging.tasks import Tasks

__all__ = ["Link"]

T = TypeVar("T")
_log = Logger()

#: Seconds for an answer to one request, and for all that one operation needs.
REQUEST_TIMEOUT: Final = 3.0
OPERATION_TIMEOUT: Final = 5.0
#: Seconds that running operations get when the connection is closed, and that each step of closing may take.
DRAIN_TIMEOUT: Final = 2.0
CLOSE_TIMEOUT: Final = 1.0
#: Seconds between looks at the client: it says when it has closed, but only after its socket has, which may take long.
LOOK: Final = 0.5
#: Different complaints of a server that are logged for one connection.
_COMPLAINTS: Final = 5


class Link:
    """
    A connection that stands.

    @ivar address: of the server, without credentials.
    @ivar lost: fires with the reason once the connection is no more, unless it was closed here.
    @ivar discovered: further servers of the cluster, as C{host:port}.
    @ivar errors: what the client complained about so far.
    @ivar pipeline: for questions that have to cost little.
    """

    def __init__(self, tasks: Tasks) -> None:
        """
        @param tasks: what this connection leaves behind is waited for there.
        """
        self.address = ""
        self.lost: Deferred[str] = Deferred()
        self.errors = 0
        self._client = SingleClient()
        self.pipeline = Pipeline(self._client)
        self._tasks = tasks
        self._operations = Tasks(tasks.loop)
        self._background = Tasks(tasks.loop)
        self._closed = asyncio.Event()
        self._stands = False
        self._over = False
        self._complaints: set[str] = set()
        self._reason = ""

    def __repr__(self) -> str:
        return f"<Link {self.address or '-'} {'over' if self._over else 'up'}>"

    # Beginning and end

    async def open(self, url: str, address: str, options: Mapping[str, Any]) -> None:
        """
        Connect.

        @param options: of C{Client.connect}.
        @raise Exception: many kinds; the socket is closed then.
        """
        self.address = address
        try:
            await self._client.connect_once(url, options, self._complained, self._client_closed)
            await self.pipeline.open()
        except nats.errors.NoServersError as error:  # what happened was said to _complained
            await self._dispose()
            raise ConnectionError(self._reason or "cannot be reached") from error
        except BaseException:
            await self._dispose()
            raise
        self._stands = True
        self._tasks.start(self._attend())

    async def _attend(self) -> None:
        while self._client.is_connected and not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), LOOK)
        if self._over:
            return
        self._end()
        if not self.lost.called:
            self.lost.callback(self._reason or complaint(self._client.last_error) or "the server closed the connection")
        await self._dispose()

    def _end(self) -> None:
        # In this order: nothing more can be started, and whoever waits hears of it.
        self._over, self._stands = True, False
        self._operations.cancel()
        self._background.cancel()
        self.pipeline.close("the connection was lost")

    def close(self) -> Deferred[None]:
        """
        Close it in an orderly way: operations that run may end, what was written is sent.
        """
        return Deferred.fromFuture(self._tasks.start(self._close()))

    async def _close(self) -> None:
        if self._over:
            return
        self._over, self._stands = True, False
        self._background.cancel()
        await self._background.wait(DRAIN_TIMEOUT)
        await self._operations.wait(DRAIN_TIMEOUT)
        await self.pipeline.drain(DRAIN_TIMEOUT)
        self._operations.cancel()
        self.pipeline.close("the connection is closed")
        with contextlib.suppress(Exception):  # it may be lost at any moment
            await self._client.flush(timeout=CLOSE_TIMEOUT)  # type: ignore[arg-type]
        closing = self._tasks.start(self._client.close())
        await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT)
        await self._dispose()

    async def _dispose(self) -> None:
        """
        See that nothing is left: no socket, no task, and no bytes that would still be sent.
        """
        self._client.abort()
        if self._client.begun:
            closing = self._tasks.start(self._client.close())
            await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT)
            closing.cancel()
        self._client.end_subscriptions()
        self.pipeline.close("the connection is closed")
        self._closed.set()
        await asyncio.sleep(0)

    # What the client says. These are coroutines since nats-py awaits them.

    async def _client_closed(self) -> None:
        self._closed.set()

    async def _complained(self, error: Exception) -> None:
        self.errors += 1
        text = complaint(error)
        if isinstance(error, nats.errors.UnexpectedEOF | OSError):
            self._reason = text
        elif self._stands and text not in self._complaints and len(self._complaints) < _COMPLAINTS:
            self._complaints.add(text)
            _log.warn("NATS at {address}: {complaint}", address=self.address, complaint=text)

    @property
    def discovered(self) -> list[str]:
        return [uri.netloc for uri in self._client.discovered_servers]

    @property
    def max_payload(self) -> int:
        """
        The most bytes that a message may have.
        """
        return int(self._client.max_payload)

    # What is done with it

    def run(self, work: Callable[[Link], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """
        Carry out an operation.

        @return: its result; L{UnavailableError} when it takes too long, or when the connection is lost before its end.
        """
        if self._over:
            return fail(UnavailableError("the connection is closed"))
        task = self._operations.start(self._bounded(work))
        return Deferred.fromFuture(task).addErrback(self._cancelled)

    async def _bounded(self, work: Callable[[Link], Coroutine[Any, Any, T]]) -> T:
        try:
            async with asyncio.timeout(OPERATION_TIMEOUT):
                return await work(self)
        except TimeoutError as error:
            raise UnavailableError("no answer in time") from error

    def _cancelled(self, failure: Failure) -> Any:
        failure.trap(asyncio.CancelledError)
        raise UnavailableError("the connection was lost") if self._over else CancelledError()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """
        Start something that goes on until the connection ends, or until it is cancelled.
        """
        return self._background.start(work)

    async def request(self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None) -> Msg:
        """
        Ask, and wait for the answer.

        @raise UnavailableError: when there is none in time.
        @raise NobodyAnswersError: when nobody listens.
        @raise TooLargeError: when the server would not take it.
        """
        # The server counts the headers, too, and ends the connection over a byte too many.
        size = len(payload) + header_size(headers)
        if size > self.max_payload:
            raise TooLargeError(f"{size} bytes are too many for the server")
        try:
            return await self._client.request(subject, payload, timeout=REQUEST_TIMEOUT, headers=headers)
        except nats.errors.NoRespondersError as error:
            raise NobodyAnswersError("nobody listens there") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise UnavailableError(str(error) or type(error).__name__) from error

    async def ask(self, subject: str, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """
        Ask in JSON.
        """
        payload = b"" if question is None else json.dumps(question).encode("utf-8")
        return decode(await self.request(subject, payload))

    async def publish(self, subject: str, payload: bytes = b"") -> None:
        """
        Send, without an answer.
        """
        try:
            await self._client.publish(subject, payload)
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(str(error)) from error

    async def abandon(self, subject: str) -> None:
        """
        Ask for something to be taken away, and care no more; unless the connection is gone, which takes it away too.
        """
        if not self._client.is_closed:
            with contextlib.suppress(UnavailableError):
                await self.publish(subject)

    async def subscribe(self, subject: str, heard: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """
        Have a coroutine function called with every message.
        """
        try:
            return await self._client.subscribe(subject, cb=heard)
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(str(error)) from error

    async def unsubscribe(self, subscription: Subscription) -> None:
        """
        Have it called no more.
        """
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()

    def new_inbox(self) -> str:
        """
        A subject that nobody else uses.
        """
        return self._client.new_inbox()
