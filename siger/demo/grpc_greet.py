"""
C{python -m siger.demo.grpc_greet}: a client of the greeter, made with grpcio. It is given an address and does not know
whether a server or a gateway is there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

import grpc

from siger.demo.grpc_messages import decode_text, encode_text

__all__ = ["greet", "main"]

TIMEOUT = 10.0
"""
Seconds that a call may take.
"""


def greet(channel: Any, names: Iterable[str], stream: bool = False, token: str = "") -> Iterable[str]:
    """
    Ask for greetings, one call after the other.

    @param stream: ask for a stream of them each time.
    @param token: says whose calls they are, where that matters.
    """
    method = "SayHelloStreamReply" if stream else "SayHello"
    # A stream of one message is no different on the wire from a single answer.
    call = channel.unary_stream(f"/helloworld.Greeter/{method}", encode_text, decode_text)
    metadata = [("authorization", f"Bearer {token}")] if token else []
    for name in names:
        yield from call(name, timeout=TIMEOUT, metadata=metadata)


def main(arguments: list[str] | None = None) -> int:
    """
    Ask, and print the greetings.

    @return: the exit status: 1 when a call failed.
    """
    options = _parser().parse_args(arguments)
    try:
        with grpc.insecure_channel(options.address) as channel:
            for greeting in greet(channel, options.name, options.stream, options.token):
                print(greeting, flush=True)
    except grpc.RpcError as error:
        print(f"{error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m siger.demo.grpc_greet", description="Ask a gRPC server for greetings."
    )
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("name", nargs="+", help="whom to greet; a call for each, all over one connection")
    parser.add_argument("--stream", action="store_true", help="ask for a stream of greetings")
    parser.add_argument("--token", default="", help="whose call it is")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
