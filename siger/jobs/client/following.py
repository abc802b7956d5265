"""
The events of a job, whatever happens to connections meanwhile: a stream that breaks is taken up where it broke.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from random import random
from typing import Any, Final

from siger.jobs.client.errors import LostError, TroubleError, UnreachableError, refusal
from siger.jobs.client.gateway import PATIENCE_UNREACHABLE, Gateway, job_path
from siger.jobs.client.stream import Message, Reader
from siger.jobs.model import TERMINAL

__all__ = ["PATIENCE", "Following"]

PATIENCE: Final = 300.0
"""Seconds without a gateway after which nobody is waited for any more."""
SILENCE: Final = 45.0
"""Seconds after which a silent stream is taken for a dead one; a gateway says something every fifteen."""

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 15.0
_MOST_AT_ONCE: Final = 65536


class Following:
    """
    Follows a job to its end.
    """

    def __init__(
        self,
        gateway: Gateway,
        job_id: str,
        patience: float = PATIENCE,
        lost: Callable[[str], object] = lambda text: None,
    ) -> None:
        """
        @param lost: told when a connection was lost, and will be made again.
        """
        self._gateway = gateway
        self._job_id = job_id
        self._patience = patience
        self._lost = lost
        self._clock = gateway.clock
        self._reader = Reader()
        self._heard = self._clock.monotonic()
        self._connected = False
        self._ended = False
        self._silent = True
        self._events = 0

    def events(self) -> Iterator[list[dict[str, Any]]]:
        """
        Everything that happens, from the beginning until the job has ended: what came at once in one list.

        @raise TroubleError: there is no use in waiting any more.
        """
        pause = _FIRST_PAUSE
        while True:
            self._silent = True
            try:
                yield from self._stream()
                if self._ended or self._has_ended():
                    return
                error: TroubleError = LostError(f"{self._gateway.address} ended the stream of events")
            except TroubleError as trouble:
                error = trouble
            pause = min(pause * 2, _LONGEST_PAUSE) if self._silent else _FIRST_PAUSE
            self._pause(error, max(error.retry_after, pause * (0.5 + random())))

    def _pause(self, error: TroubleError, wait: float) -> None:
        at_all = self._connected or not isinstance(error, UnreachableError)
        patience = self._patience if at_all else min(self._patience, PATIENCE_UNREACHABLE)
        if not error.passing or self._clock.monotonic() + wait > self._heard + patience:
            raise error
        self._lost(f"{error}; trying again")
        self._clock.sleep(wait)

    def _stream(self) -> Iterator[list[dict[str, Any]]]:
        """
        One stream, as far as it goes.
        """
        self._reader = Reader(self._reader.last_id)
        self._events = 0
        headers = {"Accept": "text/event-stream"}
        if self._reader.last_id:
            headers["Last-Event-ID"] = self._reader.last_id
        response = self._gateway.open("GET", job_path(self._job_id, "/events"), None, None, headers, timeout=SILENCE)
        with response:
            self._check(response)
            while not self._ended and (content := self._receive(response)):
                found = [event for message in self._reader.feed(content) for event in self._event(message)]
                if found:
                    yield found

    def _check(self, response: HTTPResponse) -> None:
        media_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        if response.status == 204:
            self._ended = True
        elif response.status != 200 or media_type != "text/event-stream":
            content = response.read(_MOST_AT_ONCE)
            raise refusal(str(self._gateway.address), response.status, response.headers, content)
        self._connected = True

    def _receive(self, response: HTTPResponse) -> bytes:
        try:
            content = response.read1(_MOST_AT_ONCE)
        except (OSError, HTTPException) as error:
            raise LostError(f"the connection to {self._gateway.address} was lost") from error
        if content:
            self._heard = self._clock.monotonic()
            self._silent = False
        # A token that is about to expire is replaced while the old one can still be shown.
        self._gateway.tokens.renew()
        return content

    def _event(self, message: Message) -> list[dict[str, Any]]:
        """
        An event, or none: that of a later version may be anything, and after the end nothing counts.
        """
        self._events += 1
        try:
            event = json.loads(message.data)
        except (ValueError, RecursionError):
            return []
        if self._ended or not isinstance(event, dict):
            return []
        self._ended = message.event == "status" and event.get("status") in TERMINAL
        return [{**event, "event": message.event}]

    def _has_ended(self) -> bool:
        """
        Ask, after a stream that ended by itself and brought nothing, whether that was because nothing more will come.
        """
        if self._events:
            return False
        return self._gateway.ask("GET", job_path(self._job_id)).document.get("status") in TERMINAL
