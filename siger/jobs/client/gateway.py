"""
A gateway as a client sees it: requests that are answered, or refused with a reason, or tried again.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse
from random import random
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from attrs import frozen

from siger import __version__
from siger.jobs.client.address import Address
from siger.jobs.client.errors import LostError, TroubleError, UnreachableError, refusal
from siger.jobs.client.text import plain
from siger.jobs.identifiers import is_job_id

__all__ = ["JOBS", "Answer", "Clock", "Gateway", "Tokens", "job_path"]

JOBS: Final = "/api/v1/jobs"
TIMEOUT: Final = 30.0
"""Seconds that a connection, and each part of an answer, may take."""
PATIENCE: Final = 15.0
"""Seconds for which a request is tried again."""
PATIENCE_UNREACHABLE: Final = 2.0
"""The same where nobody listens: more likely the address is wrong than the gateway just starting."""

_FIRST_PAUSE: Final = 0.25
_LARGEST: Final = 64 * 1024 * 1024


def job_path(job_id: str, below: str = "") -> str:
    """
    The path of a job.

    @raise TroubleError: that is the name of none.
    """
    if not is_job_id(job_id):
        raise TroubleError(f"{plain(job_id)!r} is no id of a job")
    return f"{JOBS}/{job_id}{below}"


class Tokens(Protocol):
    """
    Where tokens come from.
    """

    def current(self) -> str:
        """
        One that is good now, as far as is known here.

        @raise TroubleError: there is none.
        """

    def renew(self) -> None:
        """
        Do what can be done now so that there will be one later. What goes wrong is tried again later.
        """


class Clock(Protocol):
    """
    What is needed of the C{time} module.
    """

    def monotonic(self) -> float:
        """
        Seconds since some moment.
        """

    def sleep(self, seconds: float, /) -> None:
        """
        Wait.
        """


@frozen
class Answer:
    """
    A good answer.
    """

    status: int
    fields: HTTPMessage
    content: bytes

    @property
    def document(self) -> dict[str, Any]:
        """
        The object that it has.

        @raise TroubleError: it has none.
        """
        try:
            found = json.loads(self.content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise TroubleError(f"the answer, of status {self.status}, is not what a gateway of jobs says")
        return found


class Gateway:
    """
    One gateway. Every request has a connection of its own: there are few, and long between them.
    """

    def __init__(
        self,
        address: Address,
        tokens: Tokens,
        notice: Callable[[str], object] = lambda text: None,
        connection: Callable[[float], HTTPConnection] | None = None,
        clock: Clock = time,
    ) -> None:
        """
        @param notice: told when something goes wrong that is tried again; it may be changed.
        @param connection: makes a connection, given a timeout.
        """
        self.address = address
        self.tokens = tokens
        self.clock = clock
        self.notice = notice
        self._connection = connection or address.connection

    def ask(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Any] | None = None,
        document: object = None,
        fields: Mapping[str, str] | None = None,
    ) -> Answer:
        """
        Ask, and when there is no answer or no good one, ask again for some time: so only what may be asked twice.

        @param parameters: of the query; lists for those that come several times.
        @param document: the body, if it is not C{None}.
        @raise TroubleError: no good answer came.
        """
        started, pause, reached = self.clock.monotonic(), _FIRST_PAUSE, False
        while True:
            try:
                return self.ask_once(method, path, parameters, document, fields)
            except TroubleError as error:
                wait = max(error.retry_after, pause * (0.5 + random()))
                reached = reached or not isinstance(error, UnreachableError)
                patience = PATIENCE if reached else PATIENCE_UNREACHABLE
                if not error.passing or self.clock.monotonic() + wait > started + patience:
                    raise
                if pause == _FIRST_PAUSE:
                    self.notice(f"{error}; trying again")
            self.clock.sleep(wait)
            pause *= 2

    def ask_once(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Any] | None = None,
        document: object = None,
        fields: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Answer:
        """
        Ask.

        @param token: which to send, C{""} for none, if not the current one.
        """
        headers = {"Accept": "application/json", **(fields or {})}
        body = None
        if document is not None:
            body = json.dumps(document, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        response = self.open(method, path, parameters, body, headers, token)
        with response:
            content = self._content(response)
        if response.status >= 300:
            raise refusal(str(self.address), response.status, response.headers, content)
        return Answer(response.status, response.headers, content)

    def open(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        timeout: float = TIMEOUT,
    ) -> HTTPResponse:
        """
        Ask, and return as soon as an answer begins, whatever it is. The connection ends with it.
        """
        query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
        sent = {"User-Agent": f"siger/{__version__}", "Connection": "close", **(headers or {})}
        sent |= _authorization(self.tokens.current() if token is None else token)
        connection = self._connected(timeout)
        try:
            connection.request(method, self.address.path + path + query, body, sent)
            return connection.getresponse()
        except (OSError, HTTPException) as error:
            connection.close()
            raise LostError(f"the connection to {self.address} was lost: {_told(error)}") from error

    def _connected(self, timeout: float) -> HTTPConnection:
        connection = self._connection(timeout)
        try:
            connection.connect()
        except ssl.SSLError as error:
            raise TroubleError(f"{self.address} cannot be trusted, or does not speak TLS: {_told(error)}") from error
        except OSError as error:
            raise UnreachableError(f"{self.address} cannot be reached: {_told(error)}") from error
        return connection

    def _content(self, response: HTTPResponse) -> bytes:
        try:
            content = response.read(_LARGEST + 1)
        except (OSError, HTTPException) as error:
            raise LostError(f"the connection to {self.address} was lost: {_told(error)}") from error
        if len(content) <= _LARGEST and response.length:  # reading up to a number of bytes does not notice
            raise LostError(f"the connection to {self.address} was lost: its answer was cut off")
        if len(content) > _LARGEST:
            raise TroubleError(f"{self.address} answers with more than {_LARGEST} bytes")
        return content


def _authorization(token: str) -> dict[str, str]:
    if not token:
        return {}
    if not token.isascii() or not token.isprintable() or " " in token:
        raise TroubleError("the token has characters that no token has")
    return {"Authorization": f"Bearer {token}"}


def _told(error: Exception) -> str:
    """
    What an error of a library says, in a few words.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, TimeoutError):
        return "nothing came in time"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
