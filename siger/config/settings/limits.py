"""
What clients may cost.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["Limits"]

MiB = 1024 * 1024


@frozen
class Limits:
    """
    What clients may cost: everything is bounded, in bytes, counts and seconds.

    @ivar request_line: the longest request line.
    @ivar header_bytes: all header lines of a request together; those of a response too.
    @ivar header_count: how many of them.
    @ivar header_timeout: for the whole head, from its first byte.
    @ivar keepalive_timeout: for an idle connection between requests.
    @ivar max_requests: on one connection.
    @ivar body_timeout: between two pieces of a request body.
    @ivar min_body_rate: bytes a second that a request body must average after a few seconds of grace; 0 for none.
    @ivar write_timeout: for a client that takes none of its response.
    @ivar streams: requests at once on one connection of HTTP/2.
    @ivar connections: from all clients.
    @ivar connections_per_client: from one IPv4 address, or one IPv6 network of 64 bits.
    @ivar local_body: the largest request body that the gateway's own endpoints take.
    """

    request_line: int = 16384
    header_bytes: int = 65536
    header_count: int = 100
    header_timeout: float = 10.0
    keepalive_timeout: float = 75.0
    max_requests: int = 10000
    body_timeout: float = 60.0
    min_body_rate: int = 500
    write_timeout: float = 60.0
    streams: int = 100
    connections: int = 10000
    connections_per_client: int = 1000
    local_body: int = MiB
