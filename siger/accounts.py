"""
The gateway's accounts: who there is, whose tokens are believed, and the store that all gateways share them in.

Without NATS the gateway runs all the same: tokens are verified with what is configured, and only what needs the store
(accounts, and the end of a token before its time) says that it cannot be had. When the store goes away, everything that
was known of it is still known; when it comes, it is used from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.auth.app import AuthApp
from siger.auth.attempts import Attempts
from siger.auth.authenticator import Authenticator
from siger.auth.issuers import Issuer
from siger.auth.keys import KeyRing
from siger.auth.passwords import Hasher
from siger.auth.revocation import BUCKET, Revocations, longest_lifetime
from siger.auth.tokens import Minter, Verifier
from siger.auth.users import Users
from siger.messaging.absent import AbsentBucket
from siger.messaging.connection import NatsConnection
from siger.messaging.embedded import EmbeddedServer
from siger.policy.identity import IdentityCache

if TYPE_CHECKING:
    from siger.config.settings import Settings
    from siger.messaging.bucket import Bucket
    from siger.observe.metrics import Metrics, Reading

__all__ = ["EMBEDDED", "Accounts"]

EMBEDDED: Final = "embedded"
"""What C{nats_address} says for a server of the gateway's own."""

_MINUTE: Final = 60
_SEED_AGAIN: Final = 2.0


class Accounts:
    """
    The accounts of one gateway.

    @ivar authenticate: says whose credentials these are; see L{siger.frontdoor.Authenticate}.
    @ivar app: the endpoints below C{/auth}.
    @ivar users: who there is.
    """

    log = Logger(namespace="siger.auth")

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self._reactor = reactor
        self._settings = settings
        self._server: EmbeddedServer | None = None
        self._nats = self._make_connection()
        self._seeded: Deferred[None] = Deferred() if settings.seed_users else succeed(None)
        self._cache = IdentityCache()
        self._hasher = Hasher(reactor)
        self.users = Users(self._bucket("users"), self._hasher, roles=settings.roles)
        self._revocations = Revocations(self._bucket(BUCKET, ttl=longest_lifetime(settings)), self._cache)
        keys = KeyRing.from_settings(settings)
        self._issuers = [Issuer(each, settings.roles, reactor) for each in settings.issuers]
        self.authenticate = Authenticator(
            Verifier(keys, self._issuers, settings.roles, max_lifetime=longest_lifetime(settings)),
            self._revocations.is_revoked,
            self._cache,
        )
        self.app = AuthApp(
            self.users,
            Minter(keys, settings.jwt_expiration * _MINUTE),
            self._revocations,
            Attempts(reactor.seconds),
            settings.registration,
        )

    def _make_connection(self) -> NatsConnection | None:
        address = self._settings.nats_address
        if not address:
            return None
        if address != EMBEDDED:
            return NatsConnection(self._reactor, _urls(address), self._settings.nats)
        self._server = EmbeddedServer(self._reactor, self._settings.data_dir / "nats")
        connection = NatsConnection(self._reactor, (), self._settings.nats)
        self._server.on_url(lambda url: connection.set_servers((url,)))
        return connection

    def _bucket(self, name: str, ttl: float = 0) -> Bucket:
        return AbsentBucket(name) if self._nats is None else self._nats.bucket(name, ttl=ttl)

    def describe(self) -> str:
        """
        How the store is, in a word or two.
        """
        return "none" if self._nats is None else self._nats.describe()

    def expose(self, metrics: Metrics) -> None:
        """
        Show it among the metrics.
        """
        failures = self.authenticate.failures
        metrics.gauge("siger_users", "Accounts known", lambda: float(len(self.users)))
        metrics.gauge(
            "siger_verified_tokens", "Tokens whose verification is remembered", lambda: float(len(self._cache))
        )
        metrics.counter("siger_token_refusals_total", "Tokens refused, by cause", lambda: _by_cause(failures))
        self._expose_issuers(metrics)
        nats = self._nats
        if nats is not None:
            metrics.gauge("siger_nats_connected", "Whether NATS answers", lambda: float(nats.connected))
            reconnects = "Connections to NATS regained"
            metrics.counter("siger_nats_reconnects_total", reconnects, lambda: float(nats.reconnects))
            metrics.counter(
                "siger_nats_failures_total", "Attempts to connect that failed", lambda: float(nats.failures)
            )
            metrics.counter("siger_nats_errors_total", "Operations that NATS could not do", lambda: float(nats.errors))

    def _expose_issuers(self, metrics: Metrics) -> None:
        followed = [(issuer.name, issuer.published) for issuer in self._issuers if issuer.published is not None]
        if not followed:
            return
        age, about = "siger_jwks_age_seconds", "How old the keys of an issuer are"
        metrics.gauge(age, about, lambda: [({"issuer": name}, keys.age) for name, keys in followed])
        for what, help in (("fetches", "Keys of an issuer fetched"), ("failures", "Keys of an issuer not to be had")):
            metrics.counter(f"siger_jwks_{what}_total", help, _figures(followed, what))

    # Starting and stopping.

    def first_sync(self) -> Deferred[Any]:
        """
        Fire when everything in the store has been read, and the configured users are in it; or at once without one.
        """
        if self._nats is None:
            return succeed(None)
        return gatherResults([self.users.when_current(), self._revocations.when_current(), self._seeded])

    def start(self) -> None:
        """
        Look for the store, and follow what is in it. Nothing waits for it.
        """
        if self._server is not None:
            self._server.start().addErrback(self._no_server)
        if self._nats is not None:
            self._nats.start()
        self.users.start()
        self._revocations.start()
        self.authenticate.start()
        if self._settings.seed_users:
            self.users.when_current().addCallback(lambda _: self._seed())

    def _no_server(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return  # the gateway stops already
        self.log.error("no accounts: {problem}", problem=failure.getErrorMessage())

    def _seed(self) -> None:
        def again(failure: Failure) -> None:
            self.log.warn("the configured users cannot be made yet: {problem}", problem=failure.getErrorMessage())
            self._reactor.callLater(_SEED_AGAIN, self._seed)

        self.users.seed(self._settings.seed_users).addCallbacks(lambda _: self._seeded.callback(None), again)

    def stop(self) -> Deferred[Any]:
        """
        Let go of the store, and end the server that is the gateway's own.
        """
        self.authenticate.stop()
        self.users.stop()
        self._revocations.stop()
        stopped = self._hasher.stop()
        gone = succeed(None) if self._nats is None else self._nats.stop()
        return DeferredList([stopped, gone], consumeErrors=True).addCallback(lambda _: self._stop_server())

    def _stop_server(self) -> Deferred[None] | None:
        return None if self._server is None else self._server.stop()


def _urls(address: str) -> list[str]:
    return [part if "://" in part else f"nats://{part}" for part in address.split(",")]


def _figures(followed: Sequence[tuple[str, object]], what: str) -> Callable[[], Reading]:
    return lambda: [({"issuer": name}, float(getattr(keys, what))) for name, keys in followed]


def _by_cause(failures: dict[str, int]) -> Reading:
    return [({"cause": cause}, float(count)) for cause, count in failures.items()]
