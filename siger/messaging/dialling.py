"""
Connecting to one server once: what nats-py needs for it, and what its failures mean.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urlsplit

import nats.errors
from twisted.internet.defer import Deferred

from siger.config.settings.nats import NatsSettings
from siger.messaging.link import Link
from siger.messaging.tasks import Tasks

__all__ = ["DialError", "Dialler", "RefusedError", "address_of", "loop_of", "with_credentials_of"]

#: Seconds for a socket, for each of the server's first answers, and for all of it.
CONNECT_TIMEOUT: Final = 2
DIAL_TIMEOUT: Final = 5.0
#: Seconds between pings, and how many may be unanswered: a silent peer is noticed within six seconds.
PING_INTERVAL: Final = 2.0
UNANSWERED_PINGS: Final = 2


class DialError(Exception):
    """
    The server was not reached. The text says why and holds no secrets.
    """


class RefusedError(DialError):
    """
    The server was reached and does not accept the credentials.
    """


class Dialler:
    """
    Makes L{Link}s.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, settings: NatsSettings, name: str, ping_interval: float = PING_INTERVAL
    ) -> None:
        """
        @param name: what the servers call this client.
        @param ping_interval: seconds between pings; a third that is unanswered ends a connection.
        """
        self._tasks = Tasks(loop)
        self._options = connect_options(settings, name) | {"ping_interval": ping_interval}

    def dial(self, url: str) -> Deferred[Link]:
        """
        Connect to a server.

        @return: the connection, or L{DialError}. Cancelled, it fails once nothing is left of the attempt.
        """
        return Deferred.fromFuture(self._tasks.start(self._dial(url)))

    async def _dial(self, url: str) -> Link:
        link = Link(self._tasks)
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                await link.open(url, address_of(url), self._options)
        except Exception as error:
            raise explain(error) from error
        return link

    def settle(self) -> Deferred[None]:
        """
        Fire once nothing is left of all connections that have ended.
        """
        return Deferred.fromFuture(self._tasks.loop.create_task(self._tasks.wait()))


def connect_options(settings: NatsSettings, name: str) -> dict[str, Any]:
    """
    The settings in nats-py's words. Credentials in a URL count where the settings have none.
    """
    options: dict[str, Any] = {
        "name": name,
        "connect_timeout": CONNECT_TIMEOUT,
        "max_outstanding_pings": UNANSWERED_PINGS,
    }
    if settings.user:
        options |= {"user": settings.user, "password": settings.password}
    if settings.token:
        options["token"] = settings.token
    if settings.credentials:
        options["user_credentials"] = settings.credentials
    return options


def explain(error: Exception) -> DialError:
    """
    Say in a few words why a server was not reached. Other libraries' words are used only where they hold no secrets.
    """
    if isinstance(error, TimeoutError):
        return DialError("no answer in time")
    if isinstance(error, ImportError):
        return DialError(f"credentials files need the package {error.name}")
    if not isinstance(error, nats.errors.Error | OSError):
        return DialError(type(error).__name__)
    text = str(error).removeprefix("nats: ").strip("'") or type(error).__name__
    lower = text.lower()
    return RefusedError(text) if "authorization" in lower or "authentication" in lower else DialError(text)


def address_of(url: str) -> str:
    """
    Where a URL leads, without its credentials.
    """
    return url.rpartition("://")[2].rpartition("@")[2].partition("/")[0]


def with_credentials_of(address: str, url: str) -> str:
    """
    The URL of another server of the same cluster.

    @param address: C{host:port} of that server.
    """
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    userinfo, at, _ = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{userinfo}{at}{address}"


def loop_of(reactor: Any) -> asyncio.AbstractEventLoop:
    """
    The event loop that a reactor runs on.

    @raise TypeError: when it runs on none.
    """
    loop = getattr(reactor, "_asyncioEventloop", None)  # Twisted has no public name for it
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(f"NATS needs a reactor over asyncio, not {type(reactor).__name__}")
    return loop
