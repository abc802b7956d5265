"""
Counts of what happened to requests, as plain integers: by route, by service, and by method of a gRPC service.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from siger.grpc.status import NAMES, UNIMPLEMENTED

if TYPE_CHECKING:
    from siger.errors import Reason

__all__ = [
    "DURATION_BOUNDS",
    "MAX_GRPC_METHODS",
    "OTHER_METHOD",
    "SIZE_BOUNDS",
    "GrpcMethodStats",
    "GrpcStats",
    "MethodStats",
    "RouteStats",
    "ServiceStats",
]

DURATION_BOUNDS: Final[list[float]] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
"""Upper bounds of the duration buckets, in seconds. Fine at the bottom: a gateway's own share is under 1 ms."""

SIZE_BOUNDS: Final[list[int]] = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000]
"""Upper bounds of the response size buckets, in bytes."""

OTHER_METHOD = b"_OTHER"
"""The method label of every method outside L{_METHODS}, and of gRPC methods without a label of their own."""

MAX_GRPC_METHODS = 100
"""How many methods of one gRPC service have a label of their own."""

_UNREGISTERED: Final = len(NAMES)
"""Where gRPC statuses that nobody registered are counted."""

_is_grpc_method = re.compile(rb"[A-Za-z_][0-9A-Za-z_]{0,99}").fullmatch

_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))


class MethodStats:
    """
    Counts of one method on one route.

    @ivar statuses: how often each status was answered.
    @ivar durations: requests a duration bucket, not cumulative; one bucket more than there are bounds.
    @ivar sizes: the same for response sizes.
    """

    __slots__ = ("duration_sum", "durations", "size_sum", "sizes", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.durations: list[int] = [0] * (len(DURATION_BOUNDS) + 1)
        self.duration_sum: float = 0.0
        self.sizes: list[int] = [0] * (len(SIZE_BOUNDS) + 1)
        self.size_sum: int = 0

    def count(self, status: int, bucket: int, elapsed: float, size: int) -> None:
        """
        Count a request.

        @param bucket: that of C{elapsed}, the seconds that it took.
        @param size: of the response's body, in bytes.
        """
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.durations[bucket] += 1
        self.duration_sum += elapsed
        self.sizes[bisect_left(SIZE_BOUNDS, size)] += 1
        self.size_sum += size


class RouteStats:
    """
    Counts of one route.

    @ivar template: the route's label, as in C{/services/{name}/*}.
    @ivar methods: counts by method; unknown methods share L{OTHER_METHOD}.
    @ivar fragment: the template as the access log writes it.
    """

    __slots__ = ("fragment", "methods", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self.methods: dict[bytes, MethodStats] = {}
        self.fragment: bytes = json.dumps(template).encode("ascii")

    def method(self, name: bytes) -> MethodStats:
        """
        The counts for a method, made when it is first seen here.
        """
        key = name if name in _METHODS else OTHER_METHOD
        found = self.methods.get(key)
        if found is None:
            found = self.methods[key] = MethodStats()
        return found


class ServiceStats:
    """
    Counts of the requests that were meant for one service.

    @ivar name: the service's label.
    @ivar statuses: how often each status was answered.
    @ivar durations: requests a duration bucket, not cumulative.
    @ivar fragment: the name as the access log writes it.
    """

    __slots__ = ("duration_sum", "durations", "fragment", "name", "statuses")

    def __init__(self, name: str) -> None:
        self.name = name
        self.statuses: dict[int, int] = {}
        self.durations: list[int] = [0] * (len(DURATION_BOUNDS) + 1)
        self.duration_sum: float = 0.0
        self.fragment: bytes = json.dumps(name).encode("ascii")

    def count(self, status: int, bucket: int, elapsed: float) -> None:
        """
        Count a request.

        @param bucket: that of C{elapsed}, the seconds that it took.
        """
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.durations[bucket] += 1
        self.duration_sum += elapsed


class GrpcMethodStats:
    """
    Counts of one method of a gRPC service.

    @ivar statuses: calls by gRPC status, with one place at the end for all that are not registered.
    @ivar durations: calls a duration bucket, not cumulative.
    """

    __slots__ = ("duration_sum", "durations", "statuses")

    def __init__(self) -> None:
        self.statuses: list[int] = [0] * (len(NAMES) + 1)
        self.durations: list[int] = [0] * (len(DURATION_BOUNDS) + 1)
        self.duration_sum: float = 0.0

    def count(self, status: int, bucket: int, elapsed: float) -> None:
        """
        Count a call.

        @param status: the gRPC status.
        @param bucket: that of C{elapsed}, the seconds that it took.
        """
        self.statuses[status if status < _UNREGISTERED else _UNREGISTERED] += 1
        self.durations[bucket] += 1
        self.duration_sum += elapsed


class GrpcStats:
    """
    Counts of the calls of one gRPC service.

    @ivar label: the service's label.
    @ivar methods: counts by method; those without a label of their own share L{OTHER_METHOD}.
    """

    __slots__ = ("_other", "label", "methods")

    def __init__(self, label: str) -> None:
        self.label = label
        self._other = GrpcMethodStats()
        self.methods: dict[bytes, GrpcMethodStats] = {OTHER_METHOD: self._other}

    def method(self, name: bytes) -> GrpcMethodStats:
        """
        The counts for a method: its own, if it was met with before.
        """
        return self.methods.get(name, self._other)

    def meet(self, name: bytes, status: int, reason: Reason | None) -> GrpcMethodStats:
        """
        The counts for a method that has none of its own. It gets some if this call shows that there is such a method:
        an instance answered it, and not that it has no such method.

        @param status: the gRPC status of the call.
        @param reason: why the gateway ended the call, if it was not the instance that did.
        """
        known = reason is None and status != UNIMPLEMENTED
        if not known or len(self.methods) > MAX_GRPC_METHODS or _is_grpc_method(name) is None:
            return self._other
        found = self.methods[name] = GrpcMethodStats()
        return found

    def count(self, path: bytes, status: int, reason: Reason | None, bucket: int, elapsed: float) -> None:
        """
        Count a call.

        @param path: its last segment is the method.
        @param status: the gRPC status.
        @param reason: why the gateway ended the call, if it was not the instance that did.
        @param bucket: that of C{elapsed}, the seconds that it took.
        """
        name = path[path.rfind(b"/") + 1 :]
        found = self.methods.get(name)
        if found is None:
            found = self.meet(name, status, reason)
        found.count(status, bucket, elapsed)
