"""
Buckets on JetStream, laid out as every NATS client lays out its key-value buckets.

A bucket C{users} is a stream C{KV_users} that takes the subjects C{$KV.users.<key>} and keeps the last message of each;
a deletion is a message with a header that says so. Requests go to the server's own interface rather than through
nats-py's classes for it: these drop settings that they do not know when they change a stream, read by way of any
replica, however far behind, and write without a bound on time.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Protocol, TypeVar

from nats.aio.msg import Msg
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.messaging.bucket import Entry, Mirror, check_key
from siger.messaging.errors import (
    InvalidKeyError,
    KeyExistsError,
    NobodyAnswersError,
    RevisionError,
    TooLargeError,
    UnavailableError,
)
from siger.messaging.following import Follower
from siger.messaging.link import Link
from siger.messaging.messages import decode
from siger.messaging.pipeline import header
from siger.messaging.telling import is_deletion

__all__ = ["Connection", "JetStreamBucket", "stream_config", "stream_difference"]

T = TypeVar("T")
_log = Logger()

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECOND: Final = 1_000_000_000
#: How long a server remembers the identifiers of messages; no longer than it keeps messages.
_DUPLICATE_WINDOW: Final = 120 * _SECOND

_LAST_SEQUENCE: Final = "Nats-Expected-Last-Subject-Sequence"
_STREAM: Final = "Nats-Expected-Stream"
_OPERATION: Final = "KV-Operation"

#: The server's numbers for what may happen.
_NO_MESSAGE: Final = 10037
_TOO_LARGE: Final = 10054
_NAME_IN_USE: Final = 10058
_NO_STREAM: Final = 10059
_OTHER_STREAM: Final = 10060
_WRONG_SEQUENCE: Final = (10071, 10164)

#: What a stream may be changed to; anything else of it is left as it is found.
_CHANGEABLE: Final = ("max_age", "max_msgs_per_subject", "num_replicas", "duplicate_window")


class Connection(Protocol):
    """
    What a bucket needs of L{NatsConnection<siger.messaging.connection.NatsConnection>}.
    """

    clock: IReactorTime
    link: Link | None
    errors: int

    def run(self, work: Callable[[Link], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """
        Carry out an operation.
        """

    def on_state(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """
        Tell of each new state.
        """


class _ApiError(UnavailableError):
    """
    What the server says when it does not do what it was asked to do.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.number = error.get("err_code", 0)
        super().__init__(str(error.get("description", "an error without a description")))


class _MissingError(Exception):
    """
    The stream is not there, or it is another's.
    """


def stream_config(name: str, ttl: float, history: int, replicas: int) -> dict[str, Any]:
    """
    How the stream of a bucket is made.
    """
    max_age = int(ttl * _SECOND)
    return {
        "name": f"KV_{name}",
        "subjects": [f"$KV.{name}.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_msgs_per_subject": history,
        "max_age": max_age,
        "duplicate_window": min(max_age, _DUPLICATE_WINDOW) if max_age else _DUPLICATE_WINDOW,
        "num_replicas": replicas,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
    }


def stream_difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """
    What of a stream has to change.
    """
    return {key: wanted[key] for key in _CHANGEABLE if found.get(key, 0) != wanted[key]}


class JetStreamBucket:
    """
    A L{Bucket<siger.messaging.bucket.Bucket>} on JetStream.

    @ivar name: what the bucket is called.
    @ivar stream: what its stream is called.
    @ivar prefix: what the subjects of its keys begin with.
    @ivar config: what the stream is to be.
    """

    def __init__(self, connection: Connection, name: str, ttl: float, config: dict[str, Any]) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not the name of a bucket: {name!r}")
        self.name = name
        self.stream = f"KV_{name}"
        self.prefix = f"$KV.{name}."
        self._connection = connection
        self._ttl = ttl
        self.config = config
        self._prepared: Link | None = None
        self._preparing = asyncio.Lock()
        self._complained = ""

    def __repr__(self) -> str:
        return f"<JetStreamBucket {self.name}>"

    # What a bucket does

    def get(self, key: str) -> Deferred[Entry | None]:
        """
        Read what is kept under a key.
        """
        return self._do(key, lambda link: self._get(link, key))

    def create(self, key: str, value: bytes) -> Deferred[int]:
        """
        Write where nothing is.
        """
        return self._quickly(key, value, 0, lambda link: self._create(link, key, value))

    def update(self, key: str, value: bytes, revision: int) -> Deferred[int]:
        """
        Replace a known revision.
        """
        expected = {_LAST_SEQUENCE: str(revision)}
        return self._quickly(key, value, revision, lambda link: self._write(link, key, value, expected))

    def put(self, key: str, value: bytes) -> Deferred[int]:
        """
        Write, whatever was there.
        """
        return self._do(key, lambda link: self._write(link, key, value, {}))

    def delete(self, key: str, revision: int | None = None) -> Deferred[None]:
        """
        Delete, and only a known revision if one is given.
        """
        return self._do(key, lambda link: self._delete(link, key, revision))

    def mirror(self, listener: Callable[[Entry], object]) -> Mirror:
        """
        Make a copy in memory that follows the bucket once it is started.
        """
        follower = Follower(self._connection, self, self._ttl)
        return Mirror(follower, listener, self._connection.clock, self._ttl)

    def _do(self, key: str, work: Callable[[Link], Coroutine[Any, Any, T]]) -> Deferred[T]:
        try:
            check_key(key)
        except InvalidKeyError as error:
            return fail(error)
        return self._connection.run(lambda link: self.with_stream(link, lambda: work(link)))

    def _quickly(
        self, key: str, value: bytes, revision: int, work: Callable[[Link], Coroutine[Any, Any, int]]
    ) -> Deferred[int]:
        """
        Write in a way that costs little, if the bucket is known to be there and nothing is in the way.

        @param work: the way that takes care of the rest.
        """
        link = self._connection.link
        if link is None or link is not self._prepared:
            return self._do(key, work)
        try:
            check_key(key)
        except InvalidKeyError as error:
            return fail(error)
        head = header({_LAST_SEQUENCE: str(revision), _STREAM: self.stream})

        def refused(failure: Failure) -> Any:
            if failure.check(NobodyAnswersError, _MissingError):
                self._prepared = None
            elif not failure.check(RevisionError) or revision:
                self._connection.errors += failure.check(UnavailableError) is not None
                return failure
            return self._do(key, work)

        asked = link.pipeline.ask(self.prefix + key, value, head)
        return asked.addCallback(self._acknowledged, key).addErrback(refused)

    async def _get(self, link: Link, key: str) -> Entry | None:
        entry = await self._last(link, key)
        return None if entry is None or entry.value is None else entry

    async def _last(self, link: Link, key: str) -> Entry | None:
        # Not by a direct get: any replica answers that, and what was just written may not be there yet.
        try:
            answer = await self.ask(link, f"STREAM.MSG.GET.{self.stream}", {"last_by_subj": self.prefix + key})
        except _ApiError as error:
            if error.number == _NO_MESSAGE:
                return None
            raise
        return _read_entry(key, answer.get("message"))

    async def _create(self, link: Link, key: str, value: bytes) -> int:
        with_nothing_there = {_LAST_SEQUENCE: "0"}
        try:
            return await self._write(link, key, value, with_nothing_there)
        except RevisionError:
            last = await self._last(link, key)
        if last is not None:
            if last.value is not None:
                raise KeyExistsError(key)
            with_nothing_there = {_LAST_SEQUENCE: str(last.revision)}
        try:
            return await self._write(link, key, value, with_nothing_there)
        except RevisionError as error:  # somebody else was first just now
            raise KeyExistsError(key) from error

    async def _delete(self, link: Link, key: str, revision: int | None) -> None:
        expected = {} if revision is None else {_LAST_SEQUENCE: str(revision)}
        await self._write(link, key, b"", {_OPERATION: "DEL", **expected})

    async def _write(self, link: Link, key: str, value: bytes, headers: dict[str, str]) -> int:
        headers[_STREAM] = self.stream
        try:
            answer = await link.request(self.prefix + key, value, headers)
        except NobodyAnswersError as error:
            raise _MissingError from error
        return self._acknowledged(answer, key)

    def _acknowledged(self, message: Msg, key: str) -> int:
        answer = decode(message)
        try:
            _check(answer)
        except _ApiError as error:
            if error.number in _WRONG_SEQUENCE:
                raise RevisionError(key) from error
            if error.number == _TOO_LARGE:
                raise TooLargeError(str(error)) from error
            raise
        if answer.get("stream") != self.stream or not isinstance(answer.get("seq"), int):
            raise UnavailableError("not the acknowledgement of the bucket's stream")
        return int(answer["seq"])

    # The stream behind it

    async def ask(self, link: Link, verb: str, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """
        Ask JetStream itself.
        """
        answer = await link.ask(f"$JS.API.{verb}", question)
        _check(answer)
        return answer

    async def with_stream(self, link: Link, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Do something with the stream, making it where it is missing.
        """
        for _ in range(2):
            await self._prepare(link)
            try:
                return await work()
            except _MissingError:
                self._prepared = None
        raise UnavailableError("the bucket's stream does not answer")

    async def _prepare(self, link: Link) -> None:
        async with self._preparing:
            if self._prepared is not link:
                await self._make(link)
                self._prepared = link

    async def _make(self, link: Link) -> None:
        try:
            found = await self._find(link)
            if found is None:
                await self.ask(link, f"STREAM.CREATE.{self.stream}", self.config)
                _log.info("made the bucket {name} on NATS", name=self.name)
                return
        except _ApiError as error:
            if error.number != _NAME_IN_USE:  # else another gateway made it just now
                self._complain("made", error)
                raise
            return
        await self._change(link, found)

    async def _find(self, link: Link) -> dict[str, Any] | None:
        try:
            config = (await self.ask(link, f"STREAM.INFO.{self.stream}")).get("config")
        except _MissingError:
            return None
        return config if isinstance(config, dict) else {}

    async def _change(self, link: Link, found: dict[str, Any]) -> None:
        difference = stream_difference(found, self.config)
        if not difference:
            return
        try:
            await self.ask(link, f"STREAM.UPDATE.{self.stream}", {**found, **difference})
        except _ApiError as error:  # such as more replicas than there are servers: it serves as it is
            self._complain("changed", error)
        else:
            _log.info("changed {what} of the bucket {name}", what=", ".join(difference), name=self.name)

    def _complain(self, what: str, error: Exception) -> None:
        """
        Say what cannot be done with the bucket, until it is something else.
        """
        if str(error) != self._complained:
            self._complained = str(error)
            _log.warn("the bucket {name} cannot be {what}: {why}", name=self.name, what=what, why=str(error))


def _check(answer: Mapping[str, Any]) -> None:
    error = answer.get("error")
    if error is None:
        return
    failure = _ApiError(error if isinstance(error, dict) else {})
    if failure.number in (_NO_STREAM, _OTHER_STREAM):
        raise _MissingError from failure
    raise failure


def _read_entry(key: str, message: Any) -> Entry:
    try:
        headers = base64.b64decode(message.get("hdrs", "")).decode("utf-8", "replace")
        value = base64.b64decode(message.get("data", ""))
        revision = int(message["seq"])
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise UnavailableError("a message that cannot be read") from error
    fields = dict(line.partition(":")[::2] for line in headers.split("\r\n"))
    return Entry(key, None if is_deletion(fields) else value, revision)
