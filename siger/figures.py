"""
What an administrator is shown of the gateway: figures that are true at the moment they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siger.accounts import Accounts
    from siger.balancing.instances import Endpoint
    from siger.balancing.service import Service
    from siger.discovery.catalogue import Catalogue
    from siger.http.server import ServerFactory
    from siger.observe.observer import Observer
    from siger.observe.stats import ServiceStats
    from siger.policy.rules import RuleBook
    from siger.vitals import Vitals

__all__ = ["Figures"]


class Figures:
    """
    The figures of one gateway, as C{GET /api/v1/admin-stats} answers them.
    """

    def __init__(
        self,
        vitals: Vitals,
        observer: Observer,
        catalogue: Catalogue,
        factory: ServerFactory,
        accounts: Accounts,
        book: RuleBook,
    ) -> None:
        self._vitals = vitals
        self._observer = observer
        self._catalogue = catalogue
        self._factory = factory
        self._accounts = accounts
        self._book = book

    def __call__(self) -> dict[str, Any]:
        """
        All of them.
        """
        vitals = self._vitals
        return {
            "status": vitals.state,
            "version": vitals.version,
            "uptime_seconds": round(vitals.uptime, 3),
            "checks": dict(vitals.checks),
            "requests": self._requests(),
            "connections": self._connections(),
            "users": self._users(),
            "rate_limits": [
                {"name": each.name, "allowed": each.allowed, "limited": each.limited, "shadowed": each.shadowed}
                for each in self._book.limiters
            ],
            "services": [self._service(service) for _, service in sorted(self._catalogue.services.items())],
        }

    def _requests(self) -> dict[str, Any]:
        observer = self._observer
        by_status: dict[str, int] = {}
        for route in observer.routes.values():
            for method in route.methods.values():
                for status, count in method.statuses.items():
                    by_status[f"{status // 100}xx"] = by_status.get(f"{status // 100}xx", 0) + count
        return {
            "total": sum(by_status.values()),
            "in_flight": observer.in_flight,
            "by_status": dict(sorted(by_status.items())),
            "by_reason": {reason.code: count for reason, count in observer.reasons.items()},
        }

    def _connections(self) -> dict[str, int]:
        factory = self._factory
        return {"open": len(factory.context.channels), "accepted": factory.accepted, "refused": factory.refused}

    def _users(self) -> dict[str, Any]:
        users = self._accounts.users
        by_role: dict[str, int] = {}
        for user in users:
            by_role[user.role] = by_role.get(user.role, 0) + 1
        return {"total": len(users), "by_role": by_role, "disabled": sum(user.disabled for user in users)}

    def _service(self, service: Service) -> dict[str, Any]:
        stats: ServiceStats = service.route
        return {
            "name": service.name,
            "balancer": service.settings.balancer,
            "requests": sum(stats.statuses.values()),
            "in_flight": service.inflight,
            "instances": [_instance(endpoint) for endpoint in service.endpoints],
        }


def _instance(endpoint: Endpoint) -> dict[str, Any]:
    pool = endpoint.pool
    return {
        "address": endpoint.label.decode("ascii"),
        "state": "available" if endpoint.weight else "draining",
        "protocol": endpoint.protocol,
        "health": endpoint.health,
        "weight": endpoint.weight,
        "in_flight": endpoint.inflight,
        "connections": 0 if pool is None else getattr(pool, "active", 0) + getattr(pool, "idle", 0),
    }
