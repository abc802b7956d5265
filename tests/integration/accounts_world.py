"""
Two gateways that share one real NATS, with a client and the command line for their accounts.

Starting them takes a second or two, so the tests of a run share them; each makes accounts of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
from attrs import frozen

from tests.integration.flow_case import play
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import run_in_loop
from tests.integration.nats_server import NatsServer
from tests.integration.recording_backend import RecordingBackend

__all__ = ["ADMIN", "PASSWORD", "Api", "Reply", "World", "new_name", "shared_world", "siger"]

PASSWORD = "correct horse battery"
ADMIN = {"username": "root", "password": "an administrator of these tests", "role": "admin", "id": "1"}

_REPOSITORY = Path(__file__).parent.parent.parent
_numbers = itertools.count()


def new_name() -> str:
    """
    A name that no other test has.
    """
    return f"user{os.getpid()}.{next(_numbers)}"


def siger(*arguments: str, typed: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """
    Run the C{siger} command.

    @param typed: its standard input.
    """
    return subprocess.run(
        [sys.executable, "-m", "siger.cli", *arguments],
        cwd=_REPOSITORY,
        input=typed,
        capture_output=True,
        text=True,
        timeout=timeout,
        start_new_session=True,  # no terminal to ask anybody at
    )


@frozen
class Reply:
    """
    What a gateway answered.

    @ivar fields: by name, in any case.
    """

    status: int
    fields: Mapping[str, str]
    document: dict[str, Any]

    @property
    def reason(self) -> str:
        """
        That of a problem document.
        """
        return str(self.document.get("reason", ""))


class Api:
    """
    A client of one gateway, for use in the tests' loop.
    """

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{port}"

    async def call(self, method: str, path: str, body: Any = None, token: str = "") -> Reply:
        """
        Ask.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.request(method, self._url + path, json=body, headers=headers) as response:
            document = await response.json(content_type=None) if response.content_type.endswith("json") else {}
            return Reply(response.status, response.headers, document)

    async def register(self, name: str, token: str = "", **more: str) -> Reply:
        """
        Ask for an account.
        """
        return await self.call("POST", "/auth/register", {"username": name, "password": PASSWORD, **more}, token)

    async def login(self, name: str, password: str = PASSWORD) -> Reply:
        """
        Log in.
        """
        return await self.call("POST", "/auth/login", {"username": name, "password": password})

    async def token(self, name: str, password: str = PASSWORD) -> str:
        """
        A token of somebody who can log in.
        """
        reply = await self.login(name, password)
        assert reply.status == 200, reply
        return str(reply.document["token"])

    async def profile(self, token: str) -> Reply:
        """
        Ask who one is.
        """
        return await self.call("GET", "/auth/profile", token=token)

    async def refused_after(self, token: str, patience: float = 5) -> float:
        """
        Seconds until a token is refused.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        while (reply := await self.profile(token)).status == 200:
            assert loop.time() - start < patience, "the token is still good"
            await asyncio.sleep(0.01)
        assert (reply.status, reply.reason) == (401, "invalid_token"), reply
        return loop.time() - start


class World:
    """
    One NATS, a backend, and two gateways.
    """

    def __init__(self) -> None:
        self.nats = NatsServer().start()
        self.backend = run_in_loop(RecordingBackend().start())
        self.backend.scripts[b"/"] = play()
        self.gateways: list[GatewayProcess] = []
        try:
            for _ in range(2):
                self.gateways.append(GatewayProcess(self._config()).start())
        except Exception:
            self.stop()
            raise

    def _config(self) -> dict[str, Any]:
        return echo_config(
            self.backend.port,
            nats_address=f"127.0.0.1:{self.nats.port}",
            seed_users=[ADMIN],
            services={"guarded": {"instances": [f"127.0.0.1:{self.backend.port}"], "auth": "user"}},
        )

    @property
    def config(self) -> str:
        """
        The path of a configuration, for commands.
        """
        return str(self.gateways[0].directory / "config.yaml")

    def apis(self, session: aiohttp.ClientSession) -> list[Api]:
        """
        A client of each gateway.
        """
        return [Api(session, gateway.port) for gateway in self.gateways]

    def recover(self) -> None:
        """
        Have NATS run, and the gateways be connected to it and know the administrator.
        """
        if not self.nats.alive:
            self.nats.start()
        for gateway in self.gateways:
            gateway.wait_until(lambda: self.connected(gateway), "connected to NATS")  # noqa: B023  (used at once)

    def connected(self, gateway: GatewayProcess) -> bool:
        """
        Whether a gateway is connected to NATS, and has an account to log in with.
        """
        metrics = gateway.get("/metrics").decode()
        return "siger_nats_connected 1.0" in metrics and "siger_users 0.0" not in metrics

    def stop(self) -> None:
        """
        Stop all.
        """
        for gateway in self.gateways:
            gateway.kill()
        run_in_loop(self.backend.stop())
        self.nats.stop()


_world: World | None = None


def shared_world() -> World:
    """
    The world, with everything in it running.
    """
    global _world
    if _world is not None and not all(gateway.alive for gateway in _world.gateways):
        _world.stop()
        _world = None
    if _world is None:
        _world = World()
    _world.recover()
    return _world


@atexit.register
def _stop() -> None:
    if _world is not None:
        _world.stop()
