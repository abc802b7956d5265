"""
The store of accounts for as long as a command takes.

Where NATS is the gateway's own (C{nats_address: embedded}), a running gateway's is used; when none runs, its server is
started over the same data and stopped again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, TimeoutError

from siger.auth.commands import CommandError
from siger.auth.passwords import Hasher
from siger.auth.revocation import BUCKET, Revocations, longest_lifetime
from siger.auth.users import Users
from siger.config.settings.gateway import Settings
from siger.messaging.connection import NatsConnection
from siger.messaging.embedded import EmbeddedServer, EmbeddedServerError, client_url
from siger.messaging.errors import UnavailableError
from siger.policy.identity import IdentityCache

__all__ = ["PATIENCE", "Work", "with_accounts"]

T = TypeVar("T")
Work = Callable[[Users, Revocations], Awaitable[T]]

PATIENCE: Final = 5.0
"""Seconds after which a store that does not answer counts as one that is away."""


def with_accounts(reactor: Any, settings: Settings, work: Work[T]) -> Deferred[T]:
    """
    Do something with the accounts.

    @return: what C{work} returned; or L{CommandError} when the store cannot be reached.
    """
    return Deferred.fromCoroutine(_with_server(reactor, settings, work))


async def _with_server(reactor: Any, settings: Settings, work: Work[T]) -> T:
    if not settings.nats_address:
        raise CommandError("there are no accounts without NATS: nats_address is empty")
    if settings.nats_address != "embedded":
        return await _connected(reactor, settings, settings.nats_address.split(","), work)
    directory = settings.data_dir / "nats"
    url = client_url(directory)
    if url is not None:
        return await _connected(reactor, settings, [url], work)
    server = EmbeddedServer(reactor, directory)
    try:
        return await _connected(reactor, settings, [await server.start()], work)
    except EmbeddedServerError as error:
        raise CommandError(str(error)) from error
    finally:
        await server.stop()


async def _connected(reactor: Any, settings: Settings, servers: list[str], work: Work[T]) -> T:
    urls = [server if "://" in server else f"nats://{server}" for server in servers]
    nats = NatsConnection(reactor, urls, settings.nats, "siger command")
    hasher = Hasher(reactor, threads=1)
    users = Users(nats.bucket("users"), hasher, roles=settings.roles)
    revocations = Revocations(nats.bucket(BUCKET, ttl=longest_lifetime(settings)), IdentityCache())
    nats.start()
    users.start()
    try:
        await users.when_current().addTimeout(PATIENCE, reactor)
        return await work(users, revocations)
    except TimeoutError as error:
        raise CommandError(f"the store of accounts does not answer: NATS is {nats.describe()}") from error
    except UnavailableError as error:
        raise CommandError(f"the store of accounts cannot be reached: {error}") from error
    finally:
        users.stop()
        await hasher.stop()
        await nats.stop()
