"""
Tokens: one that was given, or one that C{siger job login} left in a file for the gateway that it is for.

The file can be read by its owner alone, and a token in it is sent nowhere but to the URL that it came from. It is
replaced before it expires, so that a job can be watched for longer than a token is good.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict, frozen

from siger.jobs.client.errors import TroubleError

if TYPE_CHECKING:
    from siger.jobs.client.gateway import Gateway

__all__ = ["CredentialFile", "Credentials", "GivenToken", "KeptToken", "default_path"]

REFRESH: Final = "/auth/refresh"

_NO_TOKEN: Final = "there is no token for {url}: log in with siger job login, or set SIGER_TOKEN"
_EXPIRED: Final = "the token for {url} has expired: log in again with siger job login"
_PAUSE: Final = 30.0
"""Seconds between two attempts to renew a token."""


def default_path(environ: Mapping[str, str]) -> Path:
    """
    Where tokens are kept, by the XDG Base Directory Specification.
    """
    base = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    return Path(base, "siger", "tokens.json")


@frozen
class Credentials:
    """
    What a gateway gave for a password.

    @ivar obtained: when, in seconds of the wall clock.
    @ivar expires: until when the token is good.
    """

    username: str
    token: str
    obtained: float
    expires: float

    @classmethod
    def from_answer(cls, document: Mapping[str, Any], now: float) -> Credentials:
        """
        Read the answer to a login.

        @raise TroubleError: it is none.
        """
        try:
            expires = datetime.fromisoformat(document["expires_at"]).timestamp()
            return cls(str(document["username"]), str(document["token"]), now, expires)
        except (KeyError, TypeError, ValueError) as error:
            raise TroubleError("the answer has no token in it") from error

    def due(self, now: float) -> bool:
        """
        Whether most of its time is over.
        """
        return now > self.obtained + (self.expires - self.obtained) * 2 / 3


class CredentialFile:
    """
    The file with the credentials for each gateway.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, url: str) -> Credentials | None:
        """
        Those for a gateway; C{None} when there are none.

        @raise TroubleError: the file cannot be read.
        """
        kept = self._read().get(url)
        try:
            return None if kept is None else Credentials(**kept)
        except TypeError as error:
            raise self._broken() from error

    def write(self, url: str, credentials: Credentials | None) -> None:
        """
        Keep those for a gateway, or with C{None} keep none.

        @raise TroubleError: that is not possible.
        """
        everything = self._read()
        everything.pop(url, None)
        if credentials is not None:
            everything[url] = asdict(credentials)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._replace(json.dumps(everything, indent=2) + "\n")
        except OSError as error:
            raise TroubleError(f"{self.path} cannot be written: {error.strerror}") from error

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise TroubleError(f"{self.path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise self._broken() from error
        if not isinstance(found, dict):
            raise self._broken()
        return found

    def _broken(self) -> TroubleError:
        return TroubleError(f"{self.path} is not what siger job login wrote; delete it, and log in again")

    def _replace(self, text: str) -> None:
        """
        Write all or nothing, for nobody else's eyes at any moment.
        """
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with suppress(FileNotFoundError):
            new.unlink()
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
            os.replace(new, self.path)
        except OSError:
            with suppress(OSError):
                new.unlink()
            raise


@frozen
class GivenToken:
    """
    A token that somebody else looks after.
    """

    token: str

    def current(self) -> str:
        """
        It.
        """
        return self.token

    def renew(self) -> None:
        """
        That is somebody else's business.
        """


class KeptToken:
    """
    The token from the file.
    """

    def __init__(self, file: CredentialFile, url: str, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._url = url
        self._now = now
        self._kept: Credentials | None = None
        self._gateway: Gateway | None = None
        self._tried = float("-inf")

    def renewed_by(self, gateway: Gateway) -> None:
        """
        Say who gives new tokens.
        """
        self._gateway = gateway

    def current(self) -> str:
        """
        The token.

        @raise TroubleError: there is none that is good.
        """
        if self._kept is None:
            self._kept = self._file.read(self._url)
        if self._kept is None:
            raise TroubleError(_NO_TOKEN.format(url=self._url))
        if self._now() >= self._kept.expires:
            raise TroubleError(_EXPIRED.format(url=self._url))
        self.renew()
        return self._kept.token

    def renew(self) -> None:
        """
        Get another one when it is time.
        """
        kept, now = self._kept, self._now()
        if kept is None or self._gateway is None or not kept.due(now) or now < self._tried + _PAUSE:
            return
        self._tried = now
        with suppress(TroubleError):
            answer = self._gateway.ask_once("POST", REFRESH, token=kept.token)
            self._kept = Credentials.from_answer(answer.document, now)
            self._file.write(self._url, self._kept)
