"""
What the gateway makes of request fields, by their names in lower case: the same for every version of HTTP.
"""

from __future__ import annotations

from typing import Final

from siger.http.fields import HOP_BY_HOP

__all__ = ["NOT_NAMEABLE", "OWNED", "OWNED_PREFIXES", "PRIVATE", "SINGLETONS", "TRAVELS_ON"]

SINGLETONS: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"content-type",
        b"origin",
        b"idempotency-key",
        b"expect",
        b"upgrade",
        b"max-forwards",
        b"grpc-timeout",
        b"sec-websocket-key",
        b"sec-websocket-version",
    )
)
"""Fields of which a second line would leave two readers with two answers (RFC 9110 section 5.5)."""

_DROPPED: Final = frozenset(
    (
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"x-envoy-external-address",
        b"x-forwarded",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-gateway",
        b"proxy",
    )
)
"""Claims about the client or the request that only a gateway may make, and the httpoxy field."""

_READ: Final = frozenset(
    (b"forwarded", b"via", b"x-request-id", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
)

_PREFLIGHT: Final = frozenset((b"access-control-request-method", b"access-control-request-headers"))

TRAVELS_ON: Final = _PREFLIGHT | {
    b"grpc-timeout",
    b"authorization",
    b"content-type",
    b"origin",
    b"idempotency-key",
    b"max-forwards",
}
"""Of the fields that the gateway reads, those that an instance gets as well."""

OWNED: Final = HOP_BY_HOP | SINGLETONS | _DROPPED | _READ | _PREFLIGHT
"""All fields that the gateway itself reads, or takes off."""

OWNED_PREFIXES: Final = (b"x-user-", b"x-internal-", b"x-forwarded-")
"""How names begin that are the gateway's too, whatever follows."""

PRIVATE: Final = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
"""Fields that hold secrets."""

NOT_NAMEABLE: Final = SINGLETONS | _DROPPED | _READ | HOP_BY_HOP | {b"cookie", b"close"}
"""
What an option of C{Connection} cannot remove: end-to-end fields that decisions rest on (RFC 9110 section 7.6.1), and
what is removed anyway.
"""
