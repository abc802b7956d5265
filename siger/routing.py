"""
Which service a request is for: C{/services/{name}/*} always, and the configured routes.

Routes are compared most specific first: an exact host before any host, a longer path before a shorter one, named
methods before all of them. A route for a gRPC service takes its calls, C{POST /package.v1.Service/Method}, and nothing
else. The table is built once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from siger.config.settings.routes import RouteSettings

__all__ = ["SERVICES_PREFIX", "SERVICES_TEMPLATE", "Route", "RouteTable"]

SERVICES_PREFIX: Final = b"/services/"
SERVICES_TEMPLATE: Final = "/services/{serviceName}/*"
_CALLS: Final = frozenset((b"POST",))


class Route:
    """
    A configured way to a service.

    @ivar settings: as written.
    @ivar template: what metrics and logs call it.
    @ivar service: the service's name.
    @ivar host: in lower case; begins with a dot for everything below a domain; C{b""} for any.
    @ivar methods: empty for all.
    @ivar grpc: whether it takes the calls of a gRPC service.
    """

    __slots__ = (
        "_cuts_match",
        "_prefix",
        "_rewrite",
        "_strip",
        "grpc",
        "host",
        "methods",
        "service",
        "settings",
        "template",
    )

    def __init__(self, settings: RouteSettings) -> None:
        covered = _covered(settings)
        self.settings = settings
        self.grpc = bool(settings.grpc)
        self.template: str = settings.host + (covered if self.grpc else covered.rstrip("/") + "/*")
        self.service: bytes = settings.service.encode("ascii")
        self.host: bytes = settings.host.removeprefix("*").encode("ascii")
        self.methods: frozenset[bytes] = (
            _CALLS if self.grpc else frozenset(method.encode("ascii") for method in settings.methods)
        )
        self._prefix = _call_pattern(settings.grpc) if self.grpc else _prefix_pattern(settings.path)
        self._strip: bytes = settings.strip.rstrip("/").encode("ascii")
        self._cuts_match = bool(settings.rewrite) and not self._strip
        self._rewrite: bytes = settings.rewrite.rstrip("/").encode("ascii")

    def takes_host(self, name: bytes) -> bool:
        """
        Whether the route is for this host, in lower case and without port.
        """
        host = self.host
        return not host or host == name or (host.startswith(b".") and name.endswith(host))

    def target(self, path: bytes) -> bytes | None:
        """
        The path as the instance gets it, or C{None} if the route does not cover this path.
        """
        match = self._prefix.match(path)
        if match is None:
            return None
        if self._strip:
            path = path[len(self._strip) :]
        elif self._cuts_match:
            path = path[match.end() :]
        path = self._rewrite + path
        return path if path.startswith(b"/") else b"/" + path

    @property
    def rank(self) -> tuple[bool, bool, int, int, int, bool]:
        """
        Its place among all routes: exact hosts, then domains, then any; more segments first, then fewer placeholders,
        then longer paths; named methods before all methods.
        """
        path = _covered(self.settings)
        segments = len([segment for segment in path.split("/") if segment])
        wild = self.host.startswith(b".")
        return (not self.host, wild, -segments, path.count("{"), -len(path) - len(self.host), not self.methods)


def _covered(settings: RouteSettings) -> str:
    return f"/{settings.grpc}/{{method}}" if settings.grpc else settings.path


def _prefix_pattern(path: str) -> re.Pattern[bytes]:
    # A prefix ends at a segment's border: "/v1" covers "/v1" and "/v1/x" but not "/v10".
    pieces = re.split(r"\{[^/{}]*\}", path.rstrip("/"))
    return re.compile("[^/]+".join(re.escape(piece) for piece in pieces).encode("ascii") + rb"(?=/|\Z)")


def _call_pattern(service: str) -> re.Pattern[bytes]:
    # A service and a method, exactly: there is nothing below a method.
    return re.compile(b"/%b/[^/]+\\Z" % re.escape(service).encode("ascii"))


class RouteTable:
    """
    All configured routes, most specific first.
    """

    __slots__ = ("_by_host", "routes")

    def __init__(self, settings: Iterable[RouteSettings]) -> None:
        self.routes: list[Route] = sorted([Route(each) for each in settings], key=lambda route: route.rank)
        self._by_host = any(route.host for route in self.routes)

    def find(self, host: bytes, path: bytes, method: bytes) -> tuple[Route, bytes] | bytes:
        """
        The route for a request.

        @param host: as the client sent it, maybe with a port.
        @return: the route and the path for its instance; or, when no route takes it, the methods that other routes
            have for this path, as for C{Allow}.
        """
        name = _without_port(host).lower() if self._by_host else b""
        others: list[Route] = []
        for route in self.routes:
            target = route.target(path) if route.takes_host(name) else None
            if target is not None:
                if not route.methods or method in route.methods:
                    return route, target
                others.append(route)
        return b", ".join(sorted({each for route in others for each in route.methods})) if others else b""


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and not port.endswith(b"]") else host
