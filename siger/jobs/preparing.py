"""
Making the streams and consumers of jobs, or repairing them: by whichever process comes first, over each new connection,
and again when somebody took them away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from siger.jobs.answers import NAME_IN_USE, NO_STREAM, ApiError, check
from siger.jobs.streams import differences

__all__ = ["AnyConnection", "Preparation", "ask"]

T = TypeVar("T")
_log = Logger()


class AnyConnection(Protocol):
    """
    What jobs need of L{NatsConnection<siger.messaging.connection.NatsConnection>}.

    @ivar link: the connection that stands now, if one does.
    @ivar errors: operations that failed since NATS was away, or did not answer.
    """

    link: Any
    errors: int

    def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """
        Carry out an operation.
        """

    def on_state(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """
        Tell of each new state.
        """


async def ask(link: Any, verb: str, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Ask JetStream itself.

    @raise ApiError: it says no.
    """
    answer: dict[str, Any] = await link.ask(f"$JS.API.{verb}", question)
    check(answer)
    return answer


class Preparation:
    """
    Sees that everything is there.
    """

    def __init__(
        self,
        connection: AnyConnection,
        streams: Sequence[Mapping[str, Any]],
        consumers: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> None:
        """
        @param streams: how the streams are to be.
        @param consumers: how the consumers of each are to be.
        """
        self._connection = connection
        self._streams = streams
        self._consumers = consumers
        self._prepared: Any = None
        self._one_by_one = asyncio.Lock()
        self._complaints: dict[str, str] = {}

    def is_done(self, link: Any) -> bool:
        """
        Whether everything was there when it was looked at over this connection.
        """
        return self._prepared is link

    def forget(self) -> None:
        """
        Something is not there any more.
        """
        self._prepared = None

    def prepare(self) -> Deferred[None]:
        """
        Make what is missing, unless that was done.
        """
        if self._prepared is not None and self._prepared is self._connection.link:
            return succeed(None)
        return self._connection.run(self.over)

    async def over(self, link: Any) -> None:
        """
        Make what is missing, unless that was done over this connection.
        """
        async with self._one_by_one:
            if self._prepared is link:
                return
            for config in self._streams:
                await self._stream(link, config)
            for stream, consumers in self._consumers.items():
                for config in consumers:
                    # Made again in the same way, a consumer stays; in another way, it changes.
                    verb = f"CONSUMER.DURABLE.CREATE.{stream}.{config['durable_name']}"
                    await ask(link, verb, {"stream_name": stream, "config": config})
            self._prepared = link

    async def _stream(self, link: Any, config: Mapping[str, Any]) -> None:
        name = config["name"]
        try:
            found = (await ask(link, f"STREAM.INFO.{name}")).get("config", {})
        except ApiError as error:
            if error.number != NO_STREAM:
                raise
            await self._make(link, config)
        else:
            await self._repair(link, found, config)

    async def _make(self, link: Any, config: Mapping[str, Any]) -> None:
        try:
            await ask(link, f"STREAM.CREATE.{config['name']}", config)
        except ApiError as error:
            if error.number != NAME_IN_USE:  # else another process made it just now
                self._complain(config["name"], "made", error)
                raise
        else:
            _log.info("made the stream {name} on NATS", name=config["name"])

    async def _repair(self, link: Any, found: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        name = config["name"]
        difference = differences(found, config)
        if not difference:
            return
        try:
            await ask(link, f"STREAM.UPDATE.{name}", {**found, **difference})
        except ApiError as error:  # such as more replicas than there are servers: it serves as it is
            self._complain(name, "changed", error)
        else:
            _log.info("changed {what} of the stream {name}", what=", ".join(difference), name=name)

    def _complain(self, name: str, what: str, error: Exception) -> None:
        """
        Say what cannot be done with a stream, until it is something else.
        """
        if self._complaints.get(name) != str(error):
            self._complaints[name] = str(error)
            _log.warn("the stream {name} cannot be {what}: {why}", name=name, what=what, why=str(error))
