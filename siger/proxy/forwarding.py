"""
The request head that an instance gets: our own, made of the client's lines and the gateway's (RFC 9110 section 7.6).
"""

from __future__ import annotations

from typing import Final

from siger.balancing.instances import Endpoint
from siger.config.settings.services import ServiceSettings
from siger.grpc.content import GRPC
from siger.grpc.timeouts import format_timeout
from siger.http.fields import without
from siger.http.grammar import decimal
from siger.http.hpack.encoder import LinePacker, pack_field, pack_length
from siger.http.request import METHODS, RequestFields, RequestHead
from siger.policy.forwarded import Forwarding, via_line

__all__ = ["own_host", "packed_head", "packed_timeout", "request_head"]

_METHODS: Final = {method: pack_field(b":method", method) for method in METHODS}
_SCHEMES: Final = {secure: pack_field(b":scheme", b"https" if secure else b"http") for secure in (False, True)}
_TRAILERS: Final = pack_field(b"te", b"trailers")
_EXPECT: Final = pack_field(b"expect", b"100-continue")
_PATH: Final = b"\x04"
_AUTHORITY: Final = b"\x01"
_REQUEST_ID: Final = b"\x00\x0cx-request-id"
_GRPC_TIMEOUT: Final = b"\x00\x0cgrpc-timeout"
"""How a literal of these names begins: the first two are in the static table."""

_packer: Final = LinePacker()


def request_head(
    head: RequestHead,
    target: bytes,
    request_id: bytes,
    settings: ServiceSettings,
    endpoint: Endpoint,
    peer: bytes,
    secure: bool,
    forwarding: Forwarding,
    identity: bytes = b"",
) -> bytes:
    """
    Write the head for one attempt.

    @param identity: the field lines that tell whose request it is.

    Everything but the request line and the request id follows from the header section, the connection it came on and
    the service, and sections repeat: so that part is kept with the section. Not for HTTP/1.0, which reads a section
    otherwise and ends the connection.
    """
    fields = head.fields
    if fields.tail_key is not settings or head.version == 10:
        fields.tail = _gateway_lines(head, settings, peer, secure, forwarding)
        fields.tail_key = settings if head.version > 10 else None
    host = b"" if settings.host == "preserve" and head.host else _host_line(settings, endpoint)
    return b"".join(
        (
            head.method,
            b" ",
            target,
            b" HTTP/1.1\r\n",
            host,
            fields.tail,
            identity,
            b"X-Request-ID: ",
            request_id,
            b"\r\n\r\n",
        )
    )


def packed_head(
    head: RequestHead,
    target: bytes,
    request_id: bytes,
    settings: ServiceSettings,
    endpoint: Endpoint,
    peer: bytes,
    secure: bool,
    forwarding: Forwarding,
    identity: bytes = b"",
) -> bytes:
    """
    The same for HTTP/2: a block of fields (RFC 9113 section 8.3.1), which is made of parts that no connection changes.
    """
    fields = head.fields
    if fields.packed_key is not settings:
        fields.packed_tail = _packed_gateway_fields(head, settings, peer, secure, forwarding)
        fields.packed_key = settings
    authority = head.host if settings.host == "preserve" and head.host else own_host(settings, endpoint)
    return b"".join(
        (
            _METHODS[head.method],
            _SCHEMES[endpoint.protocol == "h2"],
            _PATH,
            pack_length(target),
            target,
            _AUTHORITY,
            pack_length(authority),
            authority,
            fields.packed_tail,
            _packer.pack(identity) if identity else b"",
            _REQUEST_ID,
            pack_length(request_id),
            request_id,
        )
    )


def packed_timeout(seconds: float) -> bytes:
    """
    What is left of a gRPC call's time, as a field of a block.
    """
    value = format_timeout(seconds)
    return b"".join((_GRPC_TIMEOUT, pack_length(value), value))


def _packed_gateway_fields(
    head: RequestHead, settings: ServiceSettings, peer: bytes, secure: bool, forwarding: Forwarding
) -> bytes:
    fields = head.fields
    pieces = [
        _packed_relay(fields, settings),
        _packer.pack(forwarding.lines(peer, fields.owned, head.host, secure)),
        _packer.pack(via_line(fields.owned, head.version)),
    ]
    if fields.grpc == GRPC or fields.trailers:
        pieces.append(_TRAILERS)
    if fields.content_length is not None:
        pieces.append(pack_field(b"content-length", b"%d" % fields.content_length))
    if fields.expect_continue:
        pieces.append(_EXPECT)
    return b"".join(pieces)


def _packed_relay(fields: RequestFields, settings: ServiceSettings) -> bytes:
    dropped, added = _dropped(fields, settings)
    if fields.grpc == GRPC:
        dropped.append(b"grpc-timeout")  # the exchange says what is left of it
    if fields.parsed is None:
        lines = fields.relay if fields.owned.keys().isdisjoint(dropped) else without(fields.relay, dropped)
        return _packer.pack(lines) + _packer.pack(added)
    return b"".join([field.packed for field in fields.parsed if field.name not in dropped]) + _packer.pack(added)


def own_host(settings: ServiceSettings, endpoint: Endpoint) -> bytes:
    """
    What an instance is called in a request that names no host of its own.
    """
    named = settings.host not in ("preserve", "instance")
    return settings.host.encode("ascii") if named else endpoint.label


def _host_line(settings: ServiceSettings, endpoint: Endpoint) -> bytes:
    return b"Host: %b\r\n" % own_host(settings, endpoint)


def _gateway_lines(
    head: RequestHead, settings: ServiceSettings, peer: bytes, secure: bool, forwarding: Forwarding
) -> bytes:
    fields = head.fields
    host = b"Host: %b\r\n" % head.host if settings.host == "preserve" and head.host else b""
    return b"".join(
        (
            host,
            _relayed(fields, settings),
            _framing(head),
            forwarding.lines(peer, fields.owned, head.host, secure),
            via_line(fields.owned, head.version),
        )
    )


def _relayed(fields: RequestFields, settings: ServiceSettings) -> bytes:
    if settings.forward_authorization is not False and b"max-forwards" not in fields.owned:
        return fields.relay
    dropped, added = _dropped(fields, settings)
    if fields.owned.keys().isdisjoint(dropped):
        return fields.relay
    return without(fields.relay, dropped) + added


def _dropped(fields: RequestFields, settings: ServiceSettings) -> tuple[list[bytes], bytes]:
    # The fields that do not go on as they are, and lines in the place of some.
    dropped = [] if settings.forward_authorization is not False else [b"authorization"]
    added = b""
    if b"max-forwards" in fields.owned:
        added = _hops_left(fields.owned[b"max-forwards"])
        dropped.append(b"max-forwards")
    return dropped, added


def _hops_left(value: bytes) -> bytes:
    # One hop less after this one (RFC 9110 section 7.6.2). What is no number is nobody's instruction.
    try:
        return b"Max-Forwards: %d\r\n" % max(0, decimal(value) - 1)
    except ValueError:
        return b""


def _framing(head: RequestHead) -> bytes:
    fields = head.fields
    if fields.chunked:
        framing = b"Transfer-Encoding: chunked\r\n"
    elif fields.content_length is not None:
        framing = b"Content-Length: %d\r\n" % fields.content_length
    else:
        return b""
    # An expectation in HTTP/1.0 is to be ignored (RFC 9110 section 10.1.1).
    return framing + b"Expect: 100-continue\r\n" if fields.expect_continue and head.version > 10 else framing
