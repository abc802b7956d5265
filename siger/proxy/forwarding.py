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
from siger.proxy.arrival import Arrival

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


def request_head(arrival: Arrival, endpoint: Endpoint, forwarding: Forwarding) -> bytes:
    """
    Write the head for one attempt.

    @param arrival: whose place is a service.

    Everything but the request line, the request id and whose request it is follows from the header section, the
    connection it came on and the service, and sections repeat: so that part is kept with the section. Not for HTTP/1.0,
    which reads a section otherwise and ends the connection.
    """
    head, place, identity = arrival.head, arrival.place, arrival.identity
    settings = place.settings
    assert settings is not None
    fields = head.fields
    if fields.tail_key is not settings or head.version == 10:
        fields.tail = _gateway_lines(arrival, settings, forwarding)
        fields.tail_key = settings if head.version > 10 else None
    return b"".join(
        (
            head.method,
            b" ",
            arrival.target,
            b" HTTP/1.1\r\n",
            b"" if place.keeps_host and head.host else _host_line(own_host(settings, endpoint)),
            fields.tail,
            b"" if identity is None else identity.lines,
            b"X-Request-ID: ",
            arrival.request_id,
            b"\r\n\r\n",
        )
    )


def packed_head(arrival: Arrival, endpoint: Endpoint, forwarding: Forwarding) -> bytes:
    """
    The same for HTTP/2: a block of fields (RFC 9113 section 8.3.1), which is made of parts that no connection changes.
    """
    head, place, identity = arrival.head, arrival.place, arrival.identity
    settings = place.settings
    assert settings is not None
    fields = head.fields
    if fields.packed_key is not settings:
        fields.packed_tail = _packed_gateway_fields(arrival, settings, forwarding)
        fields.packed_key = settings
    target, request_id = arrival.target, arrival.request_id
    authority = head.host if place.keeps_host and head.host else own_host(settings, endpoint)
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
            b"" if identity is None else _packer.pack(identity.lines),
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


def _packed_gateway_fields(arrival: Arrival, settings: ServiceSettings, forwarding: Forwarding) -> bytes:
    head, stream = arrival.head, arrival.stream
    fields = head.fields
    pieces = [
        _packed_relay(fields, settings),
        _packer.pack(forwarding.lines(stream.peer, fields.owned, head.host, stream.secure)),
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


def _host_line(host: bytes) -> bytes:
    return b"Host: %b\r\n" % host


def _gateway_lines(arrival: Arrival, settings: ServiceSettings, forwarding: Forwarding) -> bytes:
    head, stream = arrival.head, arrival.stream
    fields = head.fields
    return b"".join(
        (
            _host_line(head.host) if arrival.place.keeps_host and head.host else b"",
            _relayed(fields, settings),
            _framing(head),
            forwarding.lines(stream.peer, fields.owned, head.host, stream.secure),
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
