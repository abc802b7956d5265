"""
The workloads: what is asked, over how many connections, and what a right answer is.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.backend import LARGE, MEDIUM, PREFIX, SMALL
from benchmarks.http2.calls import MESSAGES, STREAM, UNARY
from benchmarks.http2.encoding import Field, Requests
from benchmarks.peers.base import BARE, CHAIN, HTTP2, HTTP2_TOKEN, TOKEN

__all__ = ["CALLS", "H2LOAD", "IDLE", "WORKLOADS", "WRK", "Workload"]

WRK = "wrk"
H2LOAD = "h2load"
CALLS = "calls"

IDLE = "idle"
"""
The name of the one that is no load: memory for idle connections (see L{benchmarks.idle}).
"""


@dataclass(frozen=True)
class Workload:
    """
    One kind of load.

    @ivar path: what is asked for, behind the prefix; of gRPC, the method.
    @ivar script: what the load generator's script does besides counting.
    @ivar series: what proxies it is put on; with large bodies the chain is too small a part to be seen.
    @ivar upload: bytes sent with each request.
    @ivar answer: bytes of each answer's body.
    @ivar generator: L{WRK}, L{H2LOAD} or L{CALLS}.
    @ivar streams: requests in progress on each connection.
    @ivar metadata: that the caller of gRPC sends; L{Requests.MARK} in it stands for what differs in each call.
    @ivar messages: in each answer of gRPC.
    """

    name: str
    title: str
    path: str
    connections: int
    script: str = ""
    headers: tuple[str, ...] = ()
    series: tuple[str, ...] = (CHAIN,)
    upload: int = 0
    answer: int = len(SMALL)
    generator: str = WRK
    streams: int = 1
    metadata: tuple[Field, ...] = ()
    messages: int = 1


# The requests are made by joining strings around a counter, so that no two heads of a run are the same and the load
# generator does little. "offset" keeps those of different runs apart too.
_VARIED = f"""
local before = "GET {PREFIX}/small/models/llama-3/versions/"
local middle = table.concat({{
  " HTTP/1.1",
  "Host: gateway.example.com",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
  "Accept: application/json, text/plain, */*",
  "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
  "Accept-Encoding: gzip, deflate, br",
  "Referer: https://console.example.com/training/jobs",
  "Origin: https://console.example.com",
  "Cookie: theme=dark; session=Zm9vYmFyYmF6cXV4cXV1eGNvcmdlZ3JhdWx0Z2FycGx5",
  "Cache-Control: no-cache",
  "DNT: 1",
  "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067",
}}, "\\r\\n")
local count = 0
function init(args) count = tonumber(args[1]) end
function request()
  count = count + 1
  return before .. count .. middle .. count .. "-01\\r\\n\\r\\n"
end
"""

_UPLOAD = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("0123456789abcdef", {LARGE // 16})
"""

# What a caller with tracing sends. Gateways make X-Request-ID themselves.
_SAME = (
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("x-correlation-id", "6f1c2a349d1b4c3e8a4f5b6c7d8e9f01"),
)
_UNIQUE = (
    ("traceparent", f"00-4bf92f3577b34da6{Requests.MARK}-00f067aa0ba902b7-01"),
    ("x-correlation-id", f"6f1c2a349d1b4c3e{Requests.MARK}"),
)


def _calls(
    name: str,
    title: str,
    connections: int,
    streams: int,
    metadata: tuple[Field, ...] = _UNIQUE,
    method: str = UNARY,
    messages: int = 1,
    series: str = HTTP2,
) -> Workload:
    """
    A workload of gRPC.
    """
    return Workload(
        name,
        title,
        method,
        connections,
        series=(series,),
        generator=CALLS,
        streams=streams,
        metadata=metadata,
        messages=messages,
    )


WORKLOADS = (
    Workload("small", "small GET, 32 keep-alive connections", "/small", 32, series=(CHAIN, BARE)),
    Workload(
        "varied",
        "small GET, ten ordinary headers, a path and one more header that differ every time, 32 keep-alive connections",
        "/small",
        32,
        script=_VARIED,
        series=(CHAIN, BARE),
    ),
    Workload(
        "small-token",
        "small GET with a token that is checked, 32 keep-alive connections",
        "/small",
        32,
        series=(TOKEN,),
    ),
    Workload("down16k", "16 KiB down, 32 keep-alive connections", "/files/16k", 32, answer=MEDIUM),
    Workload("down1m", "1 MiB down, 8 keep-alive connections", "/files/1m", 8, answer=LARGE),
    Workload("up1m", "1 MiB up, 8 keep-alive connections", "/upload", 8, script=_UPLOAD, upload=LARGE, answer=0),
    Workload(
        "fresh",
        "small GET, a new connection for each request, 32 at a time",
        "/small",
        32,
        headers=("Connection: close",),
        series=(CHAIN, BARE),
    ),
    Workload(
        "h2-get",
        "small GET over HTTP/2 to an HTTP/1.1 backend, 8 connections with 16 streams each",
        "/small",
        8,
        series=(HTTP2,),
        generator=H2LOAD,
        streams=16,
    ),
    _calls("grpc-same", "unary gRPC, the same metadata in each call, 8 connections with 16 streams each", 8, 16, _SAME),
    _calls("grpc-unique", "unary gRPC, metadata that differ in each call, 8 connections with 16 streams each", 8, 16),
    _calls("grpc-alone", "unary gRPC, metadata that differ in each call, 64 connections with one stream each", 64, 1),
    _calls(
        "grpc-stream",
        f"gRPC, {MESSAGES:,} messages for one, 4 connections with 8 streams each",
        4,
        8,
        method=STREAM,
        messages=MESSAGES,
    ),
    _calls(
        "grpc-token",
        "unary gRPC, a token that is checked, metadata that differ in each call, 8 connections with 16 streams each",
        8,
        16,
        series=HTTP2_TOKEN,
    ),
)
