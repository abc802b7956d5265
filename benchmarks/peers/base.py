"""
What the comparison asks of a peer: how to configure it, how to start it, what version it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.backend import PREFIX
from benchmarks.http2.calls import SERVICE

__all__ = ["BARE", "CHAIN", "HTTP2", "HTTP2_TOKEN", "SERIES", "TOKEN", "UNLIMITED", "Launch", "Peer", "Spec", "fill"]

CHAIN = "chain"
"""
Proxies with access log, request id, forwarding headers, prefix stripped and rate limit.
"""

TOKEN = "token"
"""
The same, and a token is asked for.
"""

BARE = "bare"
"""
Proxies that relay and do nothing else.
"""

HTTP2 = "http2"
"""
Proxies with the chain whose clients speak HTTP/2, in front of a gRPC backend and of the HTTP/1.1 backend.
"""

HTTP2_TOKEN = "http2-token"
"""
The same, and a token is asked for.
"""

SERIES = (CHAIN, TOKEN, BARE, HTTP2, HTTP2_TOKEN)

UNLIMITED = 1_000_000
"""
Requests a second for one client address that no run reaches: the limiter works for every request and never refuses.
"""


@dataclass(frozen=True)
class Spec:
    """
    One proxy to be run.

    @ivar room: a directory of its own.
    @ivar series: one of L{SERIES}.
    @ivar grpc_port: where the gRPC backend listens.
    @ivar secret: what tokens are signed with.
    @ivar limit: requests a second for one client address.
    """

    room: Path
    port: int
    backend_port: int
    grpc_port: int
    series: str
    secret: str
    limit: int = UNLIMITED

    @property
    def chain(self) -> bool:
        """
        Whether it does more than relay.
        """
        return self.series != BARE

    @property
    def token(self) -> bool:
        """
        Whether it asks for a token.
        """
        return self.series in (TOKEN, HTTP2_TOKEN)

    @property
    def http2(self) -> bool:
        """
        Whether its clients speak HTTP/2.
        """
        return self.series in (HTTP2, HTTP2_TOKEN)

    @property
    def access_log(self) -> Path:
        """
        Where the JSON access log goes.
        """
        return self.room / "access.log"


@dataclass(frozen=True)
class Launch:
    """
    How to start a configured proxy.

    @ivar output: the file for its standard output, for a proxy that logs there.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    output: Path | None = None


class Peer:
    """
    A proxy that takes part.

    @cvar name: how it is called on the command line and in the JSON results.
    @cvar series: the series it can run in.
    @cvar has_limit: whether it can limit the rate by client address.
    @cvar has_request_id: whether it makes request ids, and tells the name that a client used.
    @cvar tells_loopback: whether it forwards a loopback client's address as it is.
    @cvar limit: how it limits, for the results.
    @cvar needs: programs that must be found before it can run.
    """

    name: str
    series: tuple[str, ...] = (CHAIN, BARE)
    has_limit = True
    has_request_id = True
    tells_loopback = True
    limit: str
    needs: tuple[str, ...] = ()

    def version(self) -> str:
        """
        Its version, for the results.
        """
        raise NotImplementedError

    def configure(self, spec: Spec) -> Launch:
        """
        Write its configuration into the room.
        """
        raise NotImplementedError


def fill(template: str, spec: Spec, **more: str) -> str:
    """
    Replace C{@NAME@} marks: those of the spec, and others. Every mark must have a value.
    """
    values = {
        "PORT": str(spec.port),
        "BACKEND": f"127.0.0.1:{spec.backend_port}",
        "BACKEND_PORT": str(spec.backend_port),
        "GRPC_PORT": str(spec.grpc_port),
        "GRPC_SERVICE": SERVICE,
        "ROOM": str(spec.room),
        "LOG": str(spec.access_log),
        "LIMIT": str(spec.limit),
        "SECRET": spec.secret,
        "PREFIX": PREFIX,
        **more,
    }
    return re.sub(r"@([A-Z_]+)@", lambda mark: values[mark[1]], template)
