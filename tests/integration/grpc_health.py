"""
The health service of the gRPC servers in tests, made without generated code.

What is asked of C{grpc.health.v1.Health} is answered by the standard; what it is to answer is set by a method of a
service beside it, which also tells what was asked.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import grpc

__all__ = ["HEALTH_CONTROL", "NOT_SERVING", "SERVING", "HealthHandler"]

HEALTH_CONTROL = "/siger.interop.health.v1.Control/"

SERVING = 1
NOT_SERVING = 2

_CHECK = "/grpc.health.v1.Health/Check"
#: Seconds that an answer is held back, in a test that fails.
_PATIENCE = 30.0


class HealthHandler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no annotations
    """
    Answers for the server as a whole, C{""}, that it is well, until a test says otherwise.
    """

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {"": SERVING}
        self._slow = threading.Event()
        self._hidden = False
        self._asked: list[dict[str, Any]] = []
        self._methods = {
            f"{HEALTH_CONTROL}Set": grpc.unary_unary_rpc_method_handler(self._set),
            f"{HEALTH_CONTROL}Asked": grpc.unary_unary_rpc_method_handler(self._tell),
        }

    def service(self, handler_call_details: Any) -> Any:
        """
        Find what answers a call.
        """
        if handler_call_details.method == _CHECK and not self._hidden:
            return grpc.unary_unary_rpc_method_handler(self._check)
        return self._methods.get(handler_call_details.method)

    def _check(self, request: bytes, context: Any) -> bytes:
        name = request[2:].decode()
        assert request == (b"\x0a" + bytes((len(name),)) + name.encode() if name else b"")
        status = self._statuses.get(name)
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        self._asked.append({"service": name, "status": status, "peer": context.peer(), "metadata": metadata})
        if self._slow.is_set():
            over = threading.Event()
            if context.add_callback(over.set):
                over.wait(_PATIENCE)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return b"\x08" + bytes((status,)) if status else b""

    def _set(self, request: bytes, context: Any) -> bytes:
        told = json.loads(request)
        self._statuses.update(told["statuses"])
        self._hidden = told["hidden"]
        (self._slow.set if told["slow"] else self._slow.clear)()
        return b""

    def _tell(self, request: bytes, context: Any) -> bytes:
        return json.dumps(self._asked).encode()
