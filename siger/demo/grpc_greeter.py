"""
C{python -m siger.demo.grpc_greeter}: the greeter of gRPC's own examples, C{helloworld.Greeter}, made with grpcio like
any service that knows nothing of gateways. Whatever client was generated from C{helloworld.proto} can call it.

It says in every greeting which server it is, so that one sees calls take turns.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import grpc

from siger.demo.grpc_messages import SERVING, decode_text, encode_text

__all__ = ["Greeter", "main", "make_server"]

LANGUAGES = ("Hello", "Bonjour", "Hallo", "Hola", "Ciao")
"""
How a stream greets.
"""

PAUSE = 0.2
"""
Seconds between the greetings of a stream.
"""

GRACE = 5.0
"""
Seconds that calls have to end when the server is to.
"""

_THREADS = 16


class Greeter:
    """
    What the service does.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def _greet(self, request: str, word: str = LANGUAGES[0]) -> str:
        return f"{word}, {request}! This is {self._name}."

    def say_hello(self, request: str, context: Any) -> str:
        """
        C{SayHello}: one greeting.
        """
        if not request:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Whom shall I greet?")
        return self._greet(request)

    def say_hello_stream_reply(self, request: str, context: Any) -> Iterator[str]:
        """
        C{SayHelloStreamReply}: greetings, one after the other.
        """
        for number, word in enumerate(LANGUAGES):
            if number:
                time.sleep(PAUSE)
            yield self._greet(request, word)

    def say_hello_bidi_stream(self, requests: Iterator[str], context: Any) -> Iterator[str]:
        """
        C{SayHelloBidiStream}: a greeting for each request, as they come.
        """
        return map(self._greet, requests)

    def check(self, request: bytes, context: Any) -> bytes:
        """
        C{Check} of C{grpc.health.v1.Health}, with which gateways find out whether a server is well.
        """
        return SERVING


def make_server(greeter: Greeter) -> Any:
    """
    A server of the service, which listens nowhere yet.
    """
    coders = {"request_deserializer": decode_text, "response_serializer": encode_text}
    methods = {
        "SayHello": grpc.unary_unary_rpc_method_handler(greeter.say_hello, **coders),
        "SayHelloStreamReply": grpc.unary_stream_rpc_method_handler(greeter.say_hello_stream_reply, **coders),
        "SayHelloBidiStream": grpc.stream_stream_rpc_method_handler(greeter.say_hello_bidi_stream, **coders),
    }
    health = {"Check": grpc.unary_unary_rpc_method_handler(greeter.check)}
    handlers = [
        grpc.method_handlers_generic_handler("helloworld.Greeter", methods),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
    ]
    # Two servers on one port would each get some of the connections.
    return grpc.server(ThreadPoolExecutor(_THREADS), handlers, options=[("grpc.so_reuseport", 0)])


def main(arguments: list[str] | None = None) -> int:
    """
    Serve until interrupted, or, with C{--tethered}, until standard input ends.

    @return: the exit status.
    """
    options = _parser().parse_args(arguments)
    server = make_server(Greeter(options.name))
    address = f"[{options.host}]:{options.port}" if ":" in options.host else f"{options.host}:{options.port}"
    try:
        listening = server.add_insecure_port(address)
    except RuntimeError:
        listening = 0
    if not listening:
        print(f"{options.name}: cannot listen on {address}", file=sys.stderr)
        return 1
    over = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    if options.tethered:
        Thread(target=_at_end_of_input, args=(over,), name="tether", daemon=True).start()
    server.start()
    print(f"{options.name}: listening on {options.host}:{listening}", flush=True)
    over.wait()
    server.stop(GRACE).wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m siger.demo.grpc_greeter", description="A gRPC server to try.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--name", default="greeter", help="what it calls itself in its greetings")
    parser.add_argument("--tethered", action="store_true", help="end when standard input does")
    return parser


def _at_end_of_input(over: Event) -> None:
    """
    Wait until nobody holds the other end of standard input any more.
    """
    sys.stdin.buffer.read()
    over.set()


if __name__ == "__main__":
    raise SystemExit(main())
