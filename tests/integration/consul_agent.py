"""
A real Consul agent for tests.

    agent = ConsulAgent(reactor)
    self.addCleanup(agent.stop)
    await agent.start()
    ... agent.host, agent.port ...
    await agent.kill()      # as if it crashed
    await agent.start()     # on the same ports, with nothing in it

It listens on loopback only, on free ports, and keeps everything in memory.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import treq
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.integration.free_port import free_port

__all__ = ["ConsulAgent", "consul_program"]

#: Where C{make tools} puts the program.
TOOLS = Path(__file__).resolve().parents[2] / ".tools" / "bin" / "consul"
#: Seconds until an agent must have elected itself.
START_TIMEOUT = 30.0


def consul_program() -> str:
    """
    The path of the program: C{SIGER_TEST_CONSUL}, else the one on C{PATH}, else the one that C{make tools} got.
    """
    found = os.environ.get("SIGER_TEST_CONSUL") or shutil.which("consul") or (str(TOOLS) if TOOLS.exists() else "")
    if not found:
        raise AssertionError("There is no consul to test with. Run `make tools`, or set SIGER_TEST_CONSUL to its path.")
    return found


class _AgentProcess(ProcessProtocol):
    """
    Keeps what the agent says, and notices its end.
    """

    def __init__(self) -> None:
        self.output: list[bytes] = []
        self.ended: Deferred[None] = Deferred()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.output.append(data)

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


class ConsulAgent:
    """
    An agent in development mode: a server of its own datacenter C{dc1}.

    @ivar host: C{127.0.0.1}.
    @ivar port: of its HTTP API.
    @ivar token: what may do everything, when access control is on.
    """

    def __init__(self, reactor: Any, acl: bool = False) -> None:
        """
        @param acl: deny everything to those without a token.
        """
        self.host = "127.0.0.1"
        self.port, self._dns, self._grpc, self._serf, self._server = (free_port() for _ in range(5))
        self.token = ""
        self._reactor = reactor
        self._acl = acl
        self._process: _AgentProcess | None = None
        self._transport: IProcessTransport | None = None

    @property
    def address(self) -> str:
        """
        As one writes it for C{consul_address}.
        """
        return f"{self.host}:{self.port}"

    async def start(self) -> None:
        """
        Run it, and come back when it has a leader and knows its own node.
        """
        program = consul_program()
        self._process = _AgentProcess()
        command = [program, "agent", *self._arguments(program)]
        self._transport = self._reactor.spawnProcess(self._process, program, command, env=None)
        deadline = self._reactor.seconds() + START_TIMEOUT
        while not await self._ready():
            if self._process.ended.called or self._reactor.seconds() > deadline:
                raise AssertionError("The Consul agent did not start:\n" + b"".join(self._process.output).decode())
            await deferLater(self._reactor, 0.05)

    def _arguments(self, program: str) -> list[str]:
        ports = ("http", self.port), ("dns", self._dns), ("grpc", self._grpc), ("serf-lan", self._serf)
        arguments = ["-dev", "-node=test", f"-bind={self.host}", f"-client={self.host}", "-log-level=warn"]
        arguments += ["-disable-host-node-id", "-serf-wan-port=-1", f"-server-port={self._server}"]
        arguments += [f"-{name}-port={port}" for name, port in ports]
        if _version(program) >= (1, 14):
            arguments.append("-grpc-tls-port=-1")
        if self._acl:
            arguments += ["-hcl", 'acl { enabled = true, default_policy = "deny" }']
        return arguments

    async def _ready(self) -> bool:
        try:
            if self._acl:
                return await self._bootstrapped()
            return bool(await self.call("GET", "/v1/catalog/nodes"))
        except Exception:
            return False

    async def _bootstrapped(self) -> bool:
        answer = await self.call("PUT", "/v1/acl/bootstrap")
        self.token = answer["SecretID"]
        return True

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """
        A request to its API, with the token that may do everything.

        @return: what the JSON of the answer says, or C{None} when there is none.
        """
        response = await treq.request(
            method,
            f"http://{self.address}{path}",
            headers={"X-Consul-Token": self.token} if self.token else {},
            data=None if body is None else json.dumps(body).encode(),
            persistent=False,
            timeout=10,
            reactor=self._reactor,
        )
        content = await treq.content(response)
        if response.code != 200:
            raise AssertionError(f"{method} {path}: {response.code} {content!r}")
        return json.loads(content) if content.strip() else None

    async def kill(self) -> None:
        """
        End it at once, as a crash would.
        """
        if self._process is None or self._transport is None:
            return
        with suppress(ProcessExitedAlready):
            self._transport.signalProcess("KILL")
        process, self._process = self._process, None
        if not process.ended.called:
            await process.ended

    def stop(self) -> Deferred[None]:
        """
        L{kill}, for C{addCleanup}.
        """
        return Deferred.fromCoroutine(self.kill())


def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=True, timeout=30).stdout
    found = re.search(r"v(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else (0,)
