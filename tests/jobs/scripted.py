"""
A connection to a server that is a function: for tests of what the real one says only when something is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from siger.messaging.errors import UnavailableError

__all__ = ["ScriptedConnection", "ScriptedLink", "refusal", "stored"]

Answer = Callable[[str, bytes, str], Any]


def refusal(number: int, text: str = "no") -> dict[str, Any]:
    """
    An answer that says no.
    """
    return {"error": {"code": 400, "err_code": number, "description": text}}


def stored(sequence: int, content: bytes, last: int | None = None, pending: int | None = None) -> Any:
    """
    A stored message, as a server sends it.

    @param last: the sequence of the one before it, if the server is new enough to say so.
    @param pending: how many come after it.
    """
    headers = {"Nats-Sequence": str(sequence)}
    if last is not None:
        headers |= {"Nats-Last-Sequence": str(last), "Nats-Num-Pending": str(pending)}
    return SimpleNamespace(data=content, headers=headers)


class ScriptedLink:
    """
    The connection.

    @ivar asked: the subjects so far.
    @ivar sent: what was sent without waiting for an answer: the subject and the content.
    """

    max_payload = 1024 * 1024

    def __init__(self, answer: Answer) -> None:
        """
        @param answer: given subject, content and head, returns an object for JSON, or what comes as it is in a list, or
            an exception.
        """
        self.asked: list[str] = []
        self.sent: list[tuple[str, bytes]] = []
        self.over = False
        self.pipeline = self
        self._answer = answer

    async def ask(self, subject: str, question: Mapping[str, Any] | None = None) -> Any:
        """
        As a link does.
        """
        return json.loads((await self._ask(subject, json.dumps(question).encode(), b"")).data)

    def _ask(self, subject: str, content: bytes, head: bytes) -> Deferred[Any]:
        self.asked.append(subject)
        answer = self._answer(subject, content, head.decode())
        if isinstance(answer, Exception):
            return fail(answer)
        if isinstance(answer, list):
            return succeed(answer)
        return succeed(SimpleNamespace(data=json.dumps(answer).encode(), headers=None))

    def gather(self, subject: str, content: bytes = b"") -> Deferred[Any]:
        """
        As a pipeline does.
        """
        return self._ask(subject, content, b"")

    def send(self, subject: str, content: bytes = b"", reply: str = "") -> bool:
        """
        As a pipeline does.
        """
        self.sent.append((subject, content))
        return not self.over


class ScriptedPipe(ScriptedLink):
    """
    The pipeline of a connection, whose questions have heads.
    """

    def ask(self, subject: str, content: bytes = b"", head: bytes = b"") -> Any:
        """
        As a pipeline does.
        """
        return self._ask(subject, content, head)


class ScriptedConnection:
    """
    One that stands.
    """

    def __init__(self, answer: Answer) -> None:
        self.errors = 0
        self.link: Any = ScriptedLink(answer)
        self.link.pipeline = ScriptedPipe(answer)
        self.link.pipeline.asked = self.link.asked

    def run(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Deferred[Any]:
        """
        Carry it out.
        """
        if self.link is None:
            self.errors += 1
            return fail(UnavailableError("away"))
        return Deferred.fromCoroutine(work(self.link))

    def on_state(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """
        Nothing happens.
        """
        return lambda: None
