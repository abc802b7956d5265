"""
Routes: which requests go to which service.
"""

from __future__ import annotations

from attrs import frozen

from siger.config.settings.admission import Auth, OwnCors, RateLimits
from siger.config.settings.services import Timeouts

__all__ = ["RouteSettings"]


@frozen
class RouteSettings:
    """
    One entry of C{routes:}: which requests it takes, and where and how they go.

    Where a field can be C{None}, that means: as the service says.

    @ivar service: the name of the service that gets the requests.
    @ivar host: a host name in lower case, C{*.} and a host name for everything below it, or C{""} for any.
    @ivar path: a prefix that ends at a segment boundary; a segment may be C{{name}}, which matches any one segment;
        C{""} beside C{grpc}.
    @ivar methods: in upper case; empty for any.
    @ivar grpc: the full name of a gRPC service, whose calls it takes, and nothing else; or C{""}.
    @ivar strip: a leading part of C{path} that is taken off before the request is sent on.
    @ivar rewrite: what is put in place of C{strip}, or of the whole C{path} when there is no C{strip}; C{""} for
        nothing.
    @ivar timeouts: complete: what the route does not say was taken from its service.
    @ivar encoded_slashes: C{reject} or C{keep} C{%2F} in the path.
    """

    service: str
    host: str = ""
    path: str = "/"
    methods: tuple[str, ...] = ()
    grpc: str = ""
    strip: str = ""
    rewrite: str = ""
    auth: Auth | None = None
    timeouts: Timeouts | None = None
    max_body: int | None = None
    encoded_slashes: str = "reject"
    rate_limit: RateLimits | None = None
    cors: OwnCors = None
    forward_authorization: bool | None = None
