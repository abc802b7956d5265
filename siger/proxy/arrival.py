"""
A request that has arrived: what is settled of it on its way in, for whatever carries it on.

The front door makes an L{Arrival} of each request and learns of it, step by step, whose it is and where it is to go.
What it learns stays with the request until that is answered, so nothing is handed on piece by piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siger.balancing.service import Service
    from siger.config.settings.services import ServiceSettings
    from siger.errors import Reason
    from siger.http.request import RequestHead
    from siger.http.stream import Stream
    from siger.observe.stats import GrpcStats, RouteStats
    from siger.policy.identity import Identity
    from siger.policy.rules import Rules

__all__ = ["Arrival", "Destination"]


class Destination:
    """
    Where requests go, and what is asked of those that go there.

    @ivar rules: what is asked of its requests.
    @ivar stats: what counts them.
    @ivar label: what it is called, for limits by route.
    @ivar service: the service that gets them; C{None} for the gateway itself.
    @ivar settings: how they are carried there.
    @ivar calls: what counts those of them that are gRPC calls; C{None} where there can be none.
    @ivar keeps_host: instances see the host that a client asked for.
    """

    __slots__ = ("calls", "keeps_host", "label", "rules", "service", "settings", "stats")

    def __init__(
        self,
        rules: Rules,
        stats: RouteStats,
        label: str,
        service: Service | None,
        settings: ServiceSettings | None,
        calls: GrpcStats | None = None,
    ) -> None:
        self.calls = calls
        self.rules = rules
        self.stats = stats
        self.label = label.encode("utf-8")
        self.service = service
        self.settings = settings
        self.keeps_host: bool = settings is not None and settings.host == "preserve"


class Arrival:
    """
    One request.

    @ivar head: as the client sent it; of gRPC-Web that an instance of gRPC gets, the call that it means.
    @ivar stream: where its response goes.
    @ivar request_id: its own, or the client's if that can be one.
    @ivar client: the client's address.
    @ivar start: when its head was complete, by C{time.monotonic}.
    @ivar place: where it goes.
    @ivar target: what it asks for there; without the query as long as it may yet be refused.
    @ivar refusal: why it cannot be answered there, whoever asks; C{None} if it can.
    @ivar allow: the methods that could, if that is for its method.
    @ivar identity: whose it is, if that is known.
    """

    __slots__ = (
        "allow",
        "client",
        "head",
        "identity",
        "place",
        "refusal",
        "request_id",
        "start",
        "stream",
        "target",
    )

    def __init__(self, head: RequestHead, stream: Stream, request_id: bytes, client: bytes, start: float) -> None:
        self.head = head
        self.stream = stream
        self.request_id = request_id
        self.client = client
        self.start = start
        self.place: Destination
        self.target = b""
        self.refusal: Reason | None = None
        self.allow = b""
        self.identity: Identity | None = None
