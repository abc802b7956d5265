"""
Who may use a service or a route, how often, and from which pages.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from attrs import frozen

__all__ = ["Auth", "Cors", "OwnCors", "RateLimit", "RateLimits"]

Auth = Literal["public", "user"] | tuple[str, ...]
"""
Who may use a service or a route: anyone, any user, or the users with one of these roles.
"""


@frozen
class RateLimit:
    """
    A token bucket for each key.

    @ivar requests_per_second: how fast a bucket fills, exactly as it was written.
    @ivar burst: how many tokens it holds.
    @ivar key: what a bucket belongs to; of several, each combination has its own: C{client_ip}, C{user} (the client's
        address where there is none), C{route}, C{service}, C{claim:NAME} or C{header:NAME}, the header in lower case.
    @ivar shadow: count what would be refused, and refuse nothing.
    """

    requests_per_second: Fraction = Fraction(100)
    burst: int = 200
    key: tuple[str, ...] = ("client_ip",)
    shadow: bool = False


RateLimits = tuple[RateLimit, ...]
"""
The limits that hold together: a request has to pass all of them; none of none.
"""


@frozen
class Cors:
    """
    Which pages of other origins may call the gateway from a browser.

    @ivar origins: whole origins as browsers send them, or C{("*",)}.
    @ivar methods: what they may use; C{*} among them stands for all.
    @ivar headers: request fields that pages may set; C{*} among them stands for all but C{Authorization}.
    @ivar expose: response fields that pages may read besides the few that they always may.
    @ivar max_age: seconds for which a browser may remember the answer to a preflight request.
    """

    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
    headers: tuple[str, ...] = (
        *("Accept", "Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"),
        *("Grpc-Timeout", "X-Grpc-Web", "X-User-Agent"),  # what clients of gRPC-Web set
    )
    expose: tuple[str, ...] = (
        *("ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"),
        *("Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"),  # and read, when an answer has no body
    )
    credentials: bool = False
    max_age: int = 600


OwnCors = Cors | Literal["off"] | None
"""
What a service or a route says of other origins: its own rules, none at all, or (C{None}) nothing.
"""
