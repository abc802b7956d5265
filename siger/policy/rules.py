"""
What is asked of a request before it may pass: which limits it is counted against, who may send it, and which pages of
other origins may read its answer.

L{RuleBook} makes L{Rules} once for each service, route and endpoint. Limits that several of them share are shared here:
the gateway's own count a client's requests to all services together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from siger.policy.cors import CorsPolicy
from siger.policy.limit_keys import LimitKey, make_key, needs_identity
from siger.policy.ratelimit import Limiter

if TYPE_CHECKING:
    from siger.config.settings.admission import Auth, Cors, RateLimits
    from siger.config.settings.gateway import Settings
    from siger.config.settings.routes import RouteSettings
    from siger.config.settings.services import ServiceSettings
    from siger.http.request import RequestHead
    from siger.policy.identity import Identity

__all__ = ["ANYONE", "BEARER_IF_ANY", "TRY_BEARER", "USER", "KeyedLimit", "OwnAuth", "RuleBook", "Rules"]

ANYONE: Final = 0
"""Tokens are not looked at: C{Authorization} is none of the gateway's business."""
TRY_BEARER: Final = 1
"""Nobody is kept out, but a good token tells who it is."""
BEARER_IF_ANY: Final = 2
"""A token is not needed, but a bad one is refused."""
USER: Final = 3
"""Only with a good token."""

OwnAuth = Literal["public", "optional", "user"] | tuple[str, ...]
"""
Who may use an endpoint of the gateway's own; C{optional}: anyone, but a token that is shown has to be a good one.
"""


class KeyedLimit:
    """
    A limiter, and what its buckets belong to.
    """

    __slots__ = ("_key", "limiter")

    def __init__(self, limiter: Limiter, key: LimitKey) -> None:
        self.limiter = limiter
        self._key = key

    def wait(self, client: bytes, head: RequestHead, identity: Identity | None, route: bytes, service: bytes) -> int:
        """
        Count a request.

        @return: 0, or the seconds until it would have passed.
        """
        return self.limiter.admit(self._key.of(client, head, identity, route, service))


class Rules:
    """
    @ivar limit: the first limit by the client's address alone, which is most often the only one.
    @ivar early: the other limits that can be counted before anybody knows whose request it is.
    @ivar late: those that need to know.
    @ivar asks: whether a token is needed: L{ANYONE}, L{TRY_BEARER}, L{BEARER_IF_ANY} or L{USER}.
    @ivar roles: of these the user must have one; empty for any user.
    @ivar cors: what pages of other origins may do, if anything.
    """

    __slots__ = ("asks", "cors", "early", "late", "limit", "roles")

    def __init__(
        self,
        limit: Limiter | None,
        early: list[KeyedLimit],
        late: list[KeyedLimit],
        asks: int,
        cors: CorsPolicy | None,
    ) -> None:
        self.limit = limit
        self.early = early
        self.late = late
        self.asks = TRY_BEARER if late and asks == ANYONE else asks
        self.roles: frozenset[str] = frozenset()
        self.cors = cors


class RuleBook:
    """
    The rules of one gateway.

    @ivar limiters: every limiter there is, for metrics: those of services and routes are made with them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits: dict[tuple[str, int, object], KeyedLimit] = {}
        self._policies: dict[Cors, CorsPolicy] = {}
        self._cors = settings.cors

    @property
    def limiters(self) -> list[Limiter]:
        return [limit.limiter for limit in self._limits.values()]

    def of_service(self, service: ServiceSettings) -> Rules:
        """
        For what is below C{/services/}.
        """
        limits, name = self._chosen((service.rate_limit, service.name))
        return self._make(limits, name, service.auth, self._chosen_cors(service.cors))

    def of_absent(self) -> dict[str, Rules]:
        """
        For each service that is configured by name, as long as nobody publishes it.
        """
        return {name: self.of_service(settings) for name, settings in self._settings.services.items()}

    def of_route(self, route: RouteSettings, template: str, known: ServiceSettings | None = None) -> Rules:
        """
        For a configured route. What it does not say, its service says.

        @param known: the settings of its service; C{None} for what it would have if it were there.
        """
        service = self._settings.service(route.service) if known is None else known
        limits, name = self._chosen((route.rate_limit, template), (service.rate_limit, service.name))
        auth = service.auth if route.auth is None else route.auth
        return self._make(limits, name, auth, self._chosen_cors(route.cors, service.cors))

    def of_own(self, auth: OwnAuth, limited: bool = True) -> Rules:
        """
        For an endpoint of the gateway's own.
        """
        limits = self._settings.rate_limit if limited else ()
        if auth == "optional":
            return self._make(limits, "gateway", "public", self._cors, BEARER_IF_ANY)
        return self._make(limits, "gateway", auth, self._cors)

    def of_nothing(self) -> Rules:
        """
        For what leads nowhere.
        """
        return self._make(self._settings.rate_limit, "gateway", "public", self._cors)

    def _chosen(self, *own: tuple[RateLimits | None, str]) -> tuple[RateLimits, str]:
        for limits, name in own:
            if limits is not None:
                return limits, name
        return self._settings.rate_limit, "gateway"

    def _chosen_cors(self, *own: Cors | str | None) -> Cors | None:
        for cors in own:
            if cors is not None:
                return None if isinstance(cors, str) else cors
        return self._cors

    def _make(self, limits: RateLimits, name: str, auth: Auth, cors: Cors | None, unasked: int = ANYONE) -> Rules:
        by_address: Limiter | None = None
        early: list[KeyedLimit] = []
        late: list[KeyedLimit] = []
        for number, limit in enumerate(limits, 1):
            keyed = self._limit(name, number, limits)
            if by_address is None and limit.key == ("client_ip",):
                by_address = keyed.limiter
            else:
                (late if needs_identity(limit.key) else early).append(keyed)
        rules = Rules(by_address, early, late, unasked if auth == "public" else USER, self._policy(cors))
        if isinstance(auth, tuple):
            rules.roles = frozenset(auth)
        return rules

    def _limit(self, name: str, number: int, limits: RateLimits) -> KeyedLimit:
        settings = limits[number - 1]
        known = self._limits.get((name, number, settings))
        if known is None:
            limiter = Limiter(name if len(limits) == 1 else f"{name}-{number}", settings)
            known = self._limits[name, number, settings] = KeyedLimit(limiter, make_key(settings.key))
        return known

    def _policy(self, cors: Cors | None) -> CorsPolicy | None:
        if cors is None:
            return None
        if cors not in self._policies:
            self._policies[cors] = CorsPolicy(cors)
        return self._policies[cors]
