"""
A gRPC server with a process of its own, made with grpcio and no generated code.

    python -m tests.integration.grpc_server NAME PORT [CERTIFICATE [AGE]]

It prints the port that it has, serves until its standard input ends, and is asked by tests, past the gateway, what it
saw. As a plain grpcio service it knows nothing of gateways.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc

from tests.integration.grpc_health import HealthHandler
from tests.integration.grpc_plan import Plan, content

__all__ = ["CONTROL", "PACKAGE", "main"]

PACKAGE = "/siger.interop.v1."
CONTROL = f"{PACKAGE}Control/"

_THREADS = 100
#: Seconds that a call waits to be let go on, in a test that fails.
_PATIENCE = 30.0


class Call:
    """
    What is known of one call.
    """

    def __init__(self, method: str, context: Any) -> None:
        self.method = method
        self.metadata = [(key, _text(value)) for key, value in context.invocation_metadata()]
        self.peer = context.peer()
        self.remaining = context.time_remaining()
        self.received: list[int] = []
        self.finished = False
        self.ended = ""
        self.let_go = threading.Semaphore(0)
        self.over = threading.Event()
        if not context.add_callback(self._end):  # it is over already
            self._end()

    def _end(self) -> None:
        self.ended = "finished" if self.finished else "cancelled"
        self.over.set()
        self.let_go.release()

    def described(self) -> dict[str, Any]:
        """
        As a document.
        """
        names = ("method", "metadata", "peer", "remaining", "received", "ended")
        return {name: getattr(self, name) for name in names}


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no annotations
    """
    The methods, under whatever service's name of the package they are called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: defaultdict[str, list[Call]] = defaultdict(list)
        self._known: dict[str, Any] = {
            "Empty": grpc.unary_unary_rpc_method_handler(self._empty),
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "ServerStream": grpc.unary_stream_rpc_method_handler(self._server_stream),
            "ClientStream": grpc.stream_unary_rpc_method_handler(self._client_stream),
            "BidiStream": grpc.stream_stream_rpc_method_handler(self._bidi_stream),
        }
        self._control = {
            "Calls": grpc.unary_unary_rpc_method_handler(self._tell),
            "LetGo": grpc.unary_unary_rpc_method_handler(self._let_go),
        }

    def service(self, handler_call_details: Any) -> Any:
        """
        Find what answers a call.
        """
        method: str = handler_call_details.method
        service, _, name = method.rpartition("/")
        if not service.startswith(PACKAGE):
            return None
        return (self._control if f"{service}/" == CONTROL else self._known).get(name)

    def _begin(self, method: str, context: Any) -> Call:
        """
        Keep a call under the name that the client gave it, and say who answers. A page can give it in few fields.
        """
        call = Call(method, context)
        metadata = dict(call.metadata)
        self._calls[metadata.get("x-call") or metadata.get("idempotency-key", "")].append(call)
        context.set_trailing_metadata((("x-server", self._name),))
        return call

    def _empty(self, request: bytes, context: Any) -> bytes:
        call = self._begin("Empty", context)
        call.finished = not request
        return b""

    def _unary(self, request: bytes, context: Any) -> bytes:
        call = self._begin("Unary", context)
        call.received.append(len(request))
        call.finished = True
        return request

    def _server_stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        call = self._begin("ServerStream", context)
        call.received.append(len(request))
        yield from self._answers(Plan.decode(request), call, context)
        call.finished = True

    def _client_stream(self, requests: Iterator[bytes], context: Any) -> bytes:
        call = self._begin("ClientStream", context)
        with suppress(grpc.RpcError):
            for request in requests:
                call.received.append(len(request))
            # What is cancelled may also look like a stream that ended: no test ends one that is empty.
            call.finished = bool(call.received)
        return json.dumps(call.received).encode()

    def _bidi_stream(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        call = self._begin("BidiStream", context)
        with suppress(grpc.RpcError):
            for request in requests:
                call.received.append(len(request))
                plan = Plan.decode(request)
                yield from self._answers(plan, call, context)
                if plan.last:
                    break
            call.finished = True

    def _answers(self, plan: Plan, call: Call, context: Any) -> Iterator[bytes]:
        """
        Do what a plan says.
        """
        if plan.compress:
            context.set_compression(grpc.Compression.Gzip)
        if plan.initial:
            context.send_initial_metadata(tuple(map(_pair, plan.initial)))
        if plan.trailing:
            context.set_trailing_metadata((("x-server", self._name), *map(_pair, plan.trailing)))
        call.over.wait(plan.sleep)
        for number, size in enumerate(plan.sizes):
            if plan.gated and number:
                call.let_go.acquire(timeout=_PATIENCE)
            yield content(size)
        if plan.cancel:
            context.cancel()
            call.over.wait(_PATIENCE)
        if plan.code:
            call.finished = True
            context.abort(_CODES[plan.code], plan.message)

    def _tell(self, request: bytes, context: Any) -> bytes:
        """
        What is known of all calls of one name, or of all.
        """
        names = [request.decode()] if request else list(self._calls)
        return json.dumps([call.described() for name in names for call in self._calls.get(name, ())]).encode()

    def _let_go(self, request: bytes, context: Any) -> bytes:
        """
        Let calls of one name send their next message.
        """
        for call in self._calls[request.decode()]:
            call.let_go.release()
        return b""


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _pair(pair: tuple[str, str]) -> tuple[str, str | bytes]:
    key, value = pair
    return key, value.encode("latin-1") if key.endswith("-bin") else value


def _credentials(certificate: Path) -> Any:
    """
    From a file with a certificate and its key.
    """
    pem = certificate.read_bytes()
    return grpc.ssl_server_credentials([(pem, pem)])


def main(name: str, port: str, certificate: str = "", age: str = "") -> None:
    """
    Serve until standard input ends.

    @param age: milliseconds after which it ends a connection, when its calls have ended.
    """
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    options += [("grpc.max_metadata_size", 1 << 16)]
    options += [("grpc.max_connection_age_ms", int(age))] if age else []
    handlers = [Service(name), HealthHandler()]
    server = grpc.server(ThreadPoolExecutor(_THREADS), handlers=handlers, options=options)
    add: Callable[[str], int] = server.add_insecure_port
    if certificate:
        add = lambda address: server.add_secure_port(address, _credentials(Path(certificate)))  # noqa: E731
    print(add(f"127.0.0.1:{port}"), flush=True)
    server.start()
    sys.stdin.buffer.read()
    server.stop(10).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
