"""
What tests of gRPC share: grpcio servers in processes of their own, a gateway before two of them, and calls whose whole
outcome can be looked at.

The servers' names come back in C{x-server}, so that it is seen who answered; what a server saw of a call is kept under
the name that the call has in C{x-call}, and asked of the server past the gateway.
"""

from __future__ import annotations

import atexit
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from attrs import Factory, frozen

from siger.auth.keys import KeyRing
from siger.auth.tokens import Minter
from siger.config.settings.gateway import Settings
from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.grpc_plan import SERVICE, Plan
from tests.integration.grpc_server import CONTROL
from tests.integration.silent_peer import SilentPeer

__all__ = [
    "GrpcServer",
    "Outcome",
    "World",
    "ask",
    "bearer",
    "call_names",
    "connect",
    "eventually",
    "outcome",
    "streamed",
    "world",
]

_REPOSITORY = Path(__file__).parent.parent.parent

_LAUNCH = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the tests
from tests.integration.grpc_server import main
main(*sys.argv[1:])
"""

ORIGIN = "https://app.example.com"
"""
Where pages come from that may call.
"""

PATIENCE = 20.0
"""
Seconds for a call that should take none.
"""

_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own for each channel
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 1 << 16),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]

call_names: Iterator[str] = map("call-{}".format, itertools.count(1))
"""
Names for calls, each once.
"""

Metadata = Sequence[tuple[str, str | bytes]]


def connect(port: int, credentials: Any = None, *options: tuple[str, Any]) -> Any:
    """
    A channel, which is one connection, to somebody on this machine.
    """
    target, options = f"127.0.0.1:{port}", (*_OPTIONS, *options)
    if credentials is not None:
        return grpc.secure_channel(target, credentials, options)
    return grpc.insecure_channel(target, options)


def eventually(true: Callable[[], object], seconds: float = 10) -> bool:
    """
    Wait until C{true()} is, but not for ever.

    @return: whether it is.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@frozen
class Outcome:
    """
    All that a client got from a call.

    @ivar code: the status, as a number.
    @ivar initial: the metadata before the messages.
    @ivar trailing: the metadata after them.
    """

    code: int
    details: str
    messages: list[bytes] = Factory(list)
    initial: list[tuple[str, str | bytes]] = Factory(list)
    trailing: list[tuple[str, str | bytes]] = Factory(list)

    def values(self, name: str) -> list[str | bytes]:
        """
        The values of a name in the metadata after the messages, or in what an answer without messages has instead.
        """
        return [value for key, value in (*self.trailing, *self.initial) if key == name]


def outcome(call: Any, messages: Iterable[bytes] | None = None) -> Outcome:
    """
    Wait for a call's end.

    @param messages: those that were read already.
    """
    found = list(messages or ())
    with suppress(grpc.RpcError):  # the call says it itself, with more
        found.extend(call)
    trailing = [tuple(pair) for pair in call.trailing_metadata() or ()]
    initial = [tuple(pair) for pair in call.initial_metadata() or ()]
    return Outcome(call.code().value[0], call.details() or "", found, initial, trailing)


def ask(
    channel: Any,
    request: Plan | bytes = b"",
    method: str = "ServerStream",
    service: str = f"/{SERVICE}",
    timeout: float | None = PATIENCE,
    metadata: Metadata = (),
    **options: Any,
) -> Outcome:
    """
    Call with one request, and wait for the end.

    @param service: the path before the method.
    @param timeout: seconds that the client gives the call. One that has none of them is cancelled all the same before a
        test waits for ever.
    """
    message = request.encode() if isinstance(request, Plan) else request
    call = channel.unary_stream(f"{service}/{method}")(message, timeout=timeout, metadata=tuple(metadata), **options)
    guard = threading.Timer(PATIENCE, call.cancel)
    guard.daemon = True
    if timeout is None:
        guard.start()
    try:
        return outcome(call)
    finally:
        guard.cancel()


def streamed(
    channel: Any,
    requests: Iterable[bytes],
    method: str = "BidiStream",
    service: str = f"/{SERVICE}",
    timeout: float | None = PATIENCE,
    metadata: Metadata = (),
    **options: Any,
) -> Any:
    """
    Begin a call with a stream of requests.
    """
    stub = channel.stream_stream(f"{service}/{method}")
    return stub(iter(requests), timeout=timeout, metadata=tuple(metadata), **options)


class GrpcServer:
    """
    A server in a process of its own.

    @ivar name: what it answers in C{x-server}.
    @ivar port: where it listens, once it is started.
    @ivar channel: to it, past any gateway.
    """

    def __init__(self, name: str, port: int = 0, certificate: Path | None = None, age: int = 0) -> None:
        """
        @param age: milliseconds after which it ends a connection in good order; 0 for never.
        """
        self.name = name
        self.port = port
        self._secure = certificate is not None
        self._arguments = [str(certificate or ""), str(age or "")]
        self._process: subprocess.Popen[bytes] | None = None
        self.channel: Any = None

    def launch(self) -> GrpcServer:
        """
        Start it, without waiting.
        """
        command = [sys.executable, "-c", _LAUNCH, self.name, str(self.port), *self._arguments]
        self._process = subprocess.Popen(command, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def start(self) -> GrpcServer:
        """
        Start it, unless that was done, and wait until it listens.
        """
        process = self._process or self.launch()._running
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
        if not self._secure:
            self.channel = connect(self.port)
        return self

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _control(self, method: str, request: str) -> Any:
        return self.channel.unary_unary(f"{CONTROL}{method}")(request.encode(), timeout=PATIENCE, wait_for_ready=True)

    def calls(self, name: str = "") -> list[dict[str, Any]]:
        """
        What it saw of the calls of a name, or of all.
        """
        found: list[dict[str, Any]] = json.loads(self._control("Calls", name))
        return found

    def let_go(self, name: str) -> None:
        """
        Let the call of a name send its next message.
        """
        self._control("LetGo", name)

    def stop(self) -> None:
        """
        End it in good order: calls that run are ended by themselves.
        """
        process, self._process = self._process, None
        if process is not None:
            self._close()
            process.communicate(timeout=20)

    def kill(self) -> None:
        """
        End it at once, as a crash would.
        """
        process, self._process = self._process, None
        if process is not None:
            self._close()
            process.kill()
            process.communicate(timeout=20)

    def _close(self) -> None:
        if self.channel is not None:
            self.channel.close()


@frozen
class World:
    """
    A gateway with two servers, and one connection to it.

    @ivar silent: a server that never answers.
    @ivar mortal: a port that servers of the tests' own may use.
    """

    gateway: GatewayProcess
    servers: tuple[GrpcServer, GrpcServer]
    silent: SilentPeer
    mortal: int
    channel: Any

    def stop(self) -> None:
        """
        Stop all of them.
        """
        self.channel.close()
        self.gateway.kill()
        self.silent.stop()
        for server in self.servers:
            server.kill()

    def seen(self, name: str) -> dict[str, Any]:
        """
        What the server saw of the only call of a name.
        """
        calls = [call for server in self.servers for call in server.calls(name)]
        assert len(calls) == 1, calls
        return calls[0]


@cache
def world() -> World:
    """
    The one that tests share: a gateway takes a second to start, and a server half of one.
    """
    first, second = (GrpcServer(name).launch() for name in ("first", "second"))
    silent = SilentPeer().start()
    ports = first.start().port, second.start().port
    mortal = free_port()
    gateway = GatewayProcess(config(ports, silent.port, mortal))
    made = World(gateway, (first, second), silent, mortal, connect(gateway.port))
    atexit.register(made.stop)
    gateway.start()
    return made


def config(ports: Sequence[int], silent: int, mortal: int) -> dict[str, Any]:
    """
    Services for each way in which calls can end, and a route for each set of rules.
    """
    instances = [f"127.0.0.1:{port}" for port in ports]
    limit = {"requests_per_second": 0.001, "burst": 3, "key": "user"}
    return echo_config(
        ports[0],
        cors={"origins": [ORIGIN]},
        services={
            "interop": {"instances": instances, "protocol": "h2c"},
            "nobody": {"instances": [], "protocol": "h2c"},
            "refusing": {"instances": [f"127.0.0.1:{free_port()}"], "protocol": "h2c"},
            "silent": {"instances": [f"127.0.0.1:{silent}"], "protocol": "h2c"},
            "mortal": {"instances": [f"127.0.0.1:{mortal}"], "protocol": "h2c"},
            "narrow": {"instances": instances[:1], "protocol": "h2c", "h2_connections": 1, "max_streams": 1},
            "single": {"instances": instances[:1], "protocol": "h2c", "h2_connections": 1},
            "private": {"instances": instances, "protocol": "h2c", "auth": "user"},
        },
        routes=[
            {"grpc": SERVICE, "service": "interop"},
            {"grpc": "siger.interop.v1.Private", "service": "interop", "auth": "user"},
            {"grpc": "siger.interop.v1.Admins", "service": "interop", "auth": ["admin"]},
            {"grpc": "siger.interop.v1.Limited", "service": "interop", "auth": "user", "rate_limit": limit},
            {"grpc": "siger.interop.v1.Small", "service": "interop", "max_body": 1000},
            {"grpc": "siger.interop.v1.Nobody", "service": "nobody"},
            {"grpc": "siger.interop.v1.Refusing", "service": "refusing"},
            {"grpc": "siger.interop.v1.Mortal", "service": "mortal"},
            {"grpc": "siger.interop.v1.Narrow", "service": "narrow"},
            {"grpc": "siger.interop.v1.Single", "service": "single"},
            {"grpc": "siger.interop.v1.Silent", "service": "silent"},
            {"grpc": "siger.interop.v1.Quiet", "service": "interop", "timeouts": {"idle": 0.2}},
            {"grpc": "siger.interop.v1.Late", "service": "silent", "timeouts": {"response": 0.3}},
            {"grpc": "siger.interop.v1.Short", "service": "silent", "timeouts": {"deadline": 0.6}},
        ],
    )


def bearer(user: str = "7", role: str = "user", age: float = 0.0) -> tuple[str, str]:
    """
    Metadata with a token that the gateway believes.

    @param age: how many seconds ago it was made, of the 600 that it is good for.
    """
    secret: str = echo_config()["jwt_secret"]
    minter = Minter(KeyRing.from_settings(Settings(jwt_secret=secret)), 600, lambda: time.time() - age)
    return "authorization", f"Bearer {minter.mint(user, f'user-{user}', role).token}"
