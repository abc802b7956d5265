"""
The gateway's own C{grpc.health.v1.Health}: orchestrators and clients of gRPC ask it as they ask any other server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from siger.grpc.serving import CHECK, WATCH
from siger.health.answers import CheckCall
from siger.health.watches import WatchCall, Watches
from siger.http.observed import ObservedStream

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from siger.http.request import RequestHead
    from siger.http.stream import Exchange, Stream
    from siger.observe.observer import Observer
    from siger.policy.identity import Identity
    from siger.policy.rules import OwnAuth

__all__ = ["ROUTES", "HealthService"]

ROUTES: Final[dict[str, OwnAuth]] = {CHECK: "public", WATCH: "public"}
"""
The methods, and who may call them.
"""

_WATCH: Final = WATCH.encode("ascii")


class HealthService:
    """
    Answers the two methods; L{siger.frontdoor.LocalApplication}.
    """

    def __init__(self, clock: IReactorTime, observer: Observer, serving: Callable[[str], int]) -> None:
        """
        @param serving: says how a service is; see L{siger.health.serving}.
        """
        self._observer = observer
        self._serving = serving
        self._watches = Watches(clock)

    def __call__(
        self, head: RequestHead, stream: Stream, request_id: bytes, client: bytes, identity: Identity | None = None
    ) -> Exchange | None:
        """
        See L{siger.frontdoor.LocalApplication}.

        @param head: whose path is one of L{ROUTES}.
        """
        route = self._observer.route(head.path.decode("ascii"))
        observed = ObservedStream(stream, self._observer, route, head, request_id, client, identity)
        if head.path == _WATCH:
            call: CheckCall = WatchCall(self._watches, self._serving, observed, head, request_id)
        else:
            call = CheckCall(self._serving, observed, head, request_id)
        call.begin()
        return None if call.over else call

    def stop(self) -> None:
        """
        Send away who waits for news, and whoever still comes.
        """
        self._watches.stop()
