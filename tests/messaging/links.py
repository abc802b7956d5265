"""
Connections without sockets, whose server is a function.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed

__all__ = ["FakeDialler", "FakeLink"]

Answer = Callable[[str, bytes, Mapping[str, str]], Any]


class FakeLink:
    """
    Stands until its L{lost} is called.

    @ivar asked: the subjects so far.
    @ivar closed: how often it was closed.
    """

    def __init__(self, address: str = "a:1", answer: Answer | None = None) -> None:
        """
        @param answer: given subject, payload and headers returns an object for JSON, or an exception to raise.
        """
        self.address = address
        self.lost: Deferred[str] = Deferred()
        self.discovered: list[str] = []
        self.asked: list[str] = []
        self.closed = 0
        self._answer = answer
        self.pipeline = SimpleNamespace(ask=self.quickly)

    def close(self) -> Deferred[None]:
        """
        Count it.
        """
        self.closed += 1
        return succeed(None)

    def run(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Deferred[Any]:
        """
        Carry it out at once.
        """
        return Deferred.fromCoroutine(work(self))

    async def request(self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None) -> Any:
        """
        Have the function answer.
        """
        assert self._answer is not None
        self.asked.append(subject)
        answer = self._answer(subject, payload, headers or {})
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(data=answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def quickly(self, subject: str, payload: bytes = b"", head: bytes = b"") -> Deferred[Any]:
        """
        Have the function answer.
        """
        fields = dict(line.split(": ") for line in head.decode().split("\r\n")[1:] if line)
        return Deferred.fromCoroutine(self.request(subject, payload, fields))

    async def ask(self, subject: str, question: Mapping[str, Any] | None = None) -> Any:
        """
        Have the function answer.
        """
        return json.loads((await self.request(subject, json.dumps(question).encode())).data)


class FakeDialler:
    """
    Reaches nobody until it is told how each attempt ends.

    @ivar dialled: the URLs so far.
    @ivar cancelled: called with an attempt that is given up.
    """

    def __init__(self) -> None:
        self.dialled: list[str] = []
        self.attempts: list[Deferred[Any]] = []
        self.settled = 0
        self.cancelled: Callable[[Deferred[Any]], object] = lambda attempt: None

    def dial(self, url: str) -> Deferred[Any]:
        """
        Begin an attempt.
        """
        self.dialled.append(url)
        attempt: Deferred[Any] = Deferred(lambda given_up: self.cancelled(given_up))
        self.attempts.append(attempt)
        return attempt

    def settle(self) -> Deferred[None]:
        """
        Count it.
        """
        self.settled += 1
        return succeed(None)

    def fails(self, error: Exception) -> None:
        """
        End the last attempt.
        """
        self.attempts[-1].errback(error)

    def reaches(self, link: FakeLink) -> FakeLink:
        """
        End the last attempt well.
        """
        self.attempts[-1].callback(link)
        return link
