"""
The connection to NATS: there once a server answers, and again when one answers after that.

Theory of operation. The connection is always in one of four states:

    connecting      until the first server answered
    connected       there is a L{link<siger.messaging.link.Link>}
    disconnected    there was one; the next is looked for
    closed          L{NatsConnection.stop} was called

It looks for ever: all servers in turn, then a pause that doubles from a tenth of a second to five, with some chance in
it so that many gateways do not come at once; longer when the servers refuse the credentials, as that takes a human.
A link that ends soon after it began counts as a failure. Nothing waits for a connection: what is asked while there is
none is refused at once, and what was asked when one is lost fails then.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.config.settings.nats import NatsSettings
from siger.messaging.dialling import DialError, Dialler, RefusedError, address_of, loop_of, with_credentials_of
from siger.messaging.errors import UnavailableError
from siger.messaging.jetstream import JetStreamBucket, stream_config
from siger.messaging.link import Link
from siger.messaging.waiting import Waiters

__all__ = ["AnyDialler", "NatsConnection", "backoff"]

T = TypeVar("T")
_log = Logger()

#: Seconds of the first and of the longest pause between attempts, and when credentials are refused.
FIRST: Final = 0.1
LONGEST: Final = 5.0
REFUSED: Final = 15.0
#: Seconds that a link lasts before its end is no failure.
STEADY: Final = 5.0


class AnyDialler(Protocol):
    """
    What L{Dialler} does.
    """

    def dial(self, url: str) -> Deferred[Any]:
        """
        Connect to a server.
        """

    def settle(self) -> Deferred[None]:
        """
        Wait for what has ended.
        """


def backoff(failures: int, refused: bool, random: Random) -> float:
    """
    Seconds to wait before another attempt.

    @param failures: rounds in a row that came to nothing.
    """
    longest = REFUSED if refused else min(LONGEST, FIRST * 2.0 ** min(failures, 16))
    return longest * random.uniform(0.5, 1.0)


class NatsConnection:
    """
    Keeps a connection to one of several servers.

    @ivar state: C{connecting}, C{connected}, C{disconnected} or C{closed}.
    @ivar link: the connection that stands now, if one does.
    @ivar reconnects: connections made after the first.
    @ivar failures: attempts to connect that failed.
    @ivar errors: operations that failed since NATS was away, or did not answer, or could not.
    """

    def __init__(
        self,
        reactor: Any,
        servers: Sequence[str],
        settings: NatsSettings,
        name: str = "siger",
        *,
        dialler: AnyDialler | None = None,
        random: Random | None = None,
    ) -> None:
        """
        @param reactor: over asyncio.
        @param servers: their URLs.
        @param name: what the servers call this client.
        """
        self.state = "connecting"
        self.link: Link | None = None
        self.reconnects = self.failures = self.errors = 0
        self.clock: IReactorTime = reactor
        self._dialler = Dialler(loop_of(reactor), settings, name) if dialler is None else dialler
        self._random = random or Random()
        self._replicas = settings.replicas
        self._servers = list(servers)
        self._discovered: list[str] = []
        self._buckets: dict[str, JetStreamBucket] = {}
        self._listeners: list[Callable[[str], object]] = []
        self._waiters = Waiters()
        self._loop: Deferred[None] | None = None
        self._pausing: Deferred[None] | None = None
        self._awaited: Deferred[Any] | None = None
        self._said = ""
        self._refused = False
        self._connections = 0
        self._poor_rounds = 0

    def __repr__(self) -> str:
        return f"<NatsConnection {self.describe()}>"

    @property
    def connected(self) -> bool:
        """
        Whether there is a connection now.
        """
        return self.link is not None

    def describe(self) -> str:
        """
        How it is, in a word or two.
        """
        return "credentials refused" if self._refused and self.link is None and self.state != "closed" else self.state

    # Beginning and end

    def start(self) -> None:
        """
        Begin to look for a server.
        """
        if self._loop is None and self.state != "closed":
            self._loop = Deferred.fromCoroutine(self._run())
            self._loop.addErrback(self._ended)

    def stop(self) -> Deferred[None]:
        """
        Let operations that run end, and close the connection. It cannot be started again.
        """
        if self.state == "closed":
            return succeed(None)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        link, self.link = self.link, None
        self._waiters.forget()
        self._become("closed")
        if self._awaited is not None:
            self._awaited.cancel()
        if self._loop is not None:  # which may be what calls us: it looks at the state when we wait
            await self._loop
        if link is not None:
            await link.close()
        await self._dialler.settle()

    def _ended(self, failure: Failure) -> None:
        if self.state != "closed":
            _log.failure("the connection to NATS is given up", failure)

    # Who wants to know

    def when_connected(self) -> Deferred[None]:
        """
        Fire once there is a connection, or at once if there is.
        """
        if self.connected:
            return succeed(None)
        return self._waiters.wait()

    def on_state(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """
        Have a function called with each new state.

        @return: ends that.
        """
        self._listeners.append(listener)

        def forget() -> None:
            with suppress(ValueError):
                self._listeners.remove(listener)

        return forget

    def _become(self, state: str) -> None:
        self.state = state
        for listener in list(self._listeners):
            try:
                listener(state)
            except Exception:
                _log.failure("a listener of the connection to NATS failed")

    # Looking for a server

    def set_servers(self, servers: Sequence[str]) -> None:
        """
        Look for these servers from now on. A connection that stands is kept.
        """
        self._servers = list(servers)
        self._discovered.clear()
        if self._pausing is not None:
            self._pausing.callback(None)

    async def _wait(self, deferred: Deferred[T]) -> T:
        """
        Wait for something that L{stop} ends.
        """
        if self.state == "closed":
            deferred.cancel()
        self._awaited = deferred
        try:
            return await deferred
        finally:
            self._awaited = None

    async def _run(self) -> None:
        while True:
            link = await self._reach()
            if link is None:
                return
            began = self.clock.seconds()
            self._arrived(link)
            reason = await self._wait(link.lost)
            if self.clock.seconds() - began >= STEADY:
                self._poor_rounds = 0
            self._departed(link, reason)
            await self._pause(backoff(self._poor_rounds, False, self._random))
            self._poor_rounds += 1

    async def _reach(self) -> Link | None:
        """
        @return: a connection, or C{None} when none is wanted any more.
        """
        while self.state != "closed":
            servers = self._servers
            for url in [*servers, *self._discovered]:
                try:
                    link: Link = await self._wait(self._dialler.dial(url))
                except DialError as error:
                    self._failed(url, error)
                else:
                    if self.state != "closed":
                        return link
                    await link.close()  # it came at the same moment
                if servers is not self._servers:
                    break
            if servers is self._servers and self.state != "closed":
                await self._pause(backoff(self._poor_rounds, self._refused, self._random))
                self._poor_rounds += 1
        return None

    async def _pause(self, seconds: float) -> None:
        """
        Wait, but not when other servers are named meanwhile.
        """
        self._pausing = Deferred()
        call = self.clock.callLater(seconds, self._pausing.callback, None)
        try:
            await self._wait(self._pausing)
        finally:
            self._pausing = None
            if call.active():
                call.cancel()

    def _arrived(self, link: Link) -> None:
        self.link = link
        self.reconnects += self._connections > 0
        self._connections += 1
        self._refused, self._said = False, ""
        known = {address_of(url) for url in self._servers}
        others = [one for one in link.discovered if one not in known]
        self._discovered = [with_credentials_of(one, url) for url in self._servers[:1] for one in others]
        _log.info("connected to NATS at {address}", address=link.address)
        self._become("connected")
        self._waiters.fire()

    def _departed(self, link: Link, reason: str) -> None:
        self.link = None
        _log.warn("the connection to NATS at {address} is lost: {reason}", address=link.address, reason=reason)
        self._become("disconnected")

    def _failed(self, url: str, error: DialError) -> None:
        self.failures += 1
        self._refused = isinstance(error, RefusedError)
        said = "does not accept our credentials" if self._refused else "is out of reach"
        if said != self._said:  # once for an outage, not once for an attempt
            self._said = said
            _log.warn("NATS at {address} {said}: {why}; trying on", address=address_of(url), said=said, why=str(error))

    # What is done with it

    def run(self, work: Callable[[Link], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """
        Carry out an operation on the connection that stands.

        @return: its result; L{UnavailableError} at once when there is no connection, and when it is lost meanwhile.
        """
        if self.link is None:
            self.errors += 1
            return fail(UnavailableError("not connected to NATS"))
        return self.link.run(work).addErrback(self._count)

    def _count(self, failure: Failure) -> Failure:
        if failure.check(UnavailableError):
            self.errors += 1
        return failure

    def bucket(self, name: str, ttl: float = 0.0, history: int = 1) -> JetStreamBucket:
        """
        A bucket of records. It is made on the server, in files, whenever it is not there.

        @param name: letters, digits, C{-} and C{_}.
        @param ttl: seconds that a record lives after its last change; 0: for ever.
        @param history: how many values of a key the server keeps.
        @raise ValueError: when it was asked for already, in another way.
        """
        bucket = self._buckets.get(name)
        config = stream_config(name, ttl, history, self._replicas)
        if bucket is None:
            bucket = self._buckets[name] = JetStreamBucket(self, name, ttl, config)
        elif bucket.config != config:
            raise ValueError(f"the bucket {name} cannot be two things at once")
        return bucket
