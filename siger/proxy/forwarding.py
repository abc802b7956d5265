"""
The request head that an instance gets: our own, made of the client's lines and the gateway's (RFC 9110 section 7.6).
"""

from __future__ import annotations

from siger.balancing.instances import Endpoint
from siger.config.settings import ServiceSettings
from siger.http.fields import without
from siger.http.grammar import decimal
from siger.http.request import RequestFields, RequestHead
from siger.policy.forwarded import Forwarding, via_line

__all__ = ["request_head"]


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
    if fields.tail_key is not settings or not head.minor:
        fields.tail = _gateway_lines(head, settings, peer, secure, forwarding)
        fields.tail_key = settings if head.minor else None
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


def _host_line(settings: ServiceSettings, endpoint: Endpoint) -> bytes:
    named = settings.host not in ("preserve", "instance")
    return b"Host: %b\r\n" % (settings.host.encode("ascii") if named else endpoint.label)


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
            via_line(fields.owned, head.minor),
        )
    )


def _relayed(fields: RequestFields, settings: ServiceSettings) -> bytes:
    dropped = [] if settings.forward_authorization is not False else [b"authorization"]
    added = b""
    if b"max-forwards" in fields.owned:
        added = _hops_left(fields.owned[b"max-forwards"])
        dropped.append(b"max-forwards")
    if fields.owned.keys().isdisjoint(dropped):
        return fields.relay
    return without(fields.relay, dropped) + added


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
    return framing + b"Expect: 100-continue\r\n" if fields.expect_continue and head.minor else framing
