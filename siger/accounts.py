"""
The gateway's accounts: who there is, and whose tokens are believed.

Without NATS the gateway runs all the same: tokens are verified with what is configured, and only what needs the store
(accounts, and the end of a token before its time) says that it cannot be had. When the store goes away, everything that
was known of it is still known; when it comes, it is used from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, gatherResults, succeed
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
from siger.policy.identity import IdentityCache

if TYPE_CHECKING:
    from siger.config.settings.gateway import Settings
    from siger.observe.metrics import Metrics, Reading
    from siger.store import Store

__all__ = ["Accounts"]

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

    def __init__(self, reactor: Any, settings: Settings, store: Store) -> None:
        """
        @param store: where all gateways keep the accounts.
        """
        self._reactor = reactor
        self._settings = settings
        self._store = store
        self._seeded: Deferred[None] = Deferred() if settings.seed_users else succeed(None)
        self._cache = IdentityCache()
        self._hasher = Hasher(reactor)
        self.users = Users(store.bucket("users"), self._hasher, roles=settings.roles)
        self._revocations = Revocations(store.bucket(BUCKET, ttl=longest_lifetime(settings)), self._cache)
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
        if self._store.connection is None:
            return succeed(None)
        return gatherResults([self.users.when_current(), self._revocations.when_current(), self._seeded])

    def start(self) -> None:
        """
        Follow what is in the store. Nothing waits for it.
        """
        self.users.start()
        self._revocations.start()
        self.authenticate.start()
        if self._settings.seed_users:
            self.users.when_current().addCallback(lambda _: self._seed())

    def _seed(self) -> None:
        def again(failure: Failure) -> None:
            self.log.warn("the configured users cannot be made yet: {problem}", problem=failure.getErrorMessage())
            self._reactor.callLater(_SEED_AGAIN, self._seed)

        self.users.seed(self._settings.seed_users).addCallbacks(lambda _: self._seeded.callback(None), again)

    def stop(self) -> Deferred[Any]:
        """
        Follow it no longer.
        """
        self.authenticate.stop()
        self.users.stop()
        self._revocations.stop()
        return self._hasher.stop()


def _figures(followed: Sequence[tuple[str, object]], what: str) -> Callable[[], Reading]:
    return lambda: [({"issuer": name}, float(getattr(keys, what))) for name, keys in followed]


def _by_cause(failures: dict[str, int]) -> Reading:
    return [({"cause": cause}, float(count)) for cause, count in failures.items()]
