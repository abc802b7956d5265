"""
A nats-server and a gateway that use it, each on its own core, in a directory on a disk.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.peers.siger import installed
from benchmarks.processes import Process, Processes, StartError, free_port
from benchmarks.tokens import Tokens
from benchmarks.tools import REPOSITORY, find, python_path

__all__ = ["ALWAYS", "DEFAULT", "Stage"]

ALWAYS = "always"
"""
Every write is on the disk before it is acknowledged, as the embedded server does it.
"""
DEFAULT = "2m"
"""
A write is handed to the operating system, and on the disk within two minutes: nats-server's default.
"""

_NATS = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: {store}, sync_interval: {sync} }}
"""

_CONFIG = """
port: "127.0.0.1:{port}"
consul_address: ""
nats_address: "127.0.0.1:{nats}"
data_dir: {room}/data
access_log: {room}/access.log
log_level: warn
jwt_secret: {secret}
rate_limit: {{requests_per_second: 1000000}}
limits: {{connections_per_client: 10000, max_requests: 1000000000}}
jobs: {{quotas: {{queued: 0, kept: 0}}}}
"""

_TWISTD = (
    "import twisted.plugins; twisted.plugins.__path__.append({plugins!r}); "
    "from twisted.scripts.twistd import run; run()"
)


class Stage:
    """
    Both.

    @ivar nats: the process of the nats-server.
    @ivar gateway: that of the gateway.
    @ivar port: where the gateway listens.
    @ivar nats_port: where the nats-server does.
    @ivar tokens: the tokens that the gateway believes.
    """

    def __init__(self, processes: Processes, cores: tuple[int, int], room: Path, sync: str) -> None:
        """
        @param cores: the gateway's, and that of everything else.
        @param room: a directory for all that they write; it is emptied.
        @param sync: when the nats-server has writes on the disk.
        """
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(parents=True)
        self._processes = processes
        self._core, self._other_core = cores
        self._room = room
        self._secret = secrets.token_hex(32)
        self.tokens = Tokens(self._secret)
        self.port, self.nats_port = free_port(), free_port()
        self.nats = self._start_nats(sync)
        self.gateway = self._start_gateway()

    def _start_nats(self, sync: str) -> Process:
        config = self._room / "nats.conf"
        store = json.dumps(str(self._room / "store"))
        config.write_text(_NATS.format(port=self.nats_port, store=store, sync=sync))
        argv = (find("nats-server"), "-c", str(config))
        process = self._processes.start("nats-server", argv, self._other_core, self._room / "nats")
        process.wait_listening(self.nats_port)
        return process

    def _start_gateway(self) -> Process:
        room = self._room / "gateway"
        room.mkdir(exist_ok=True)
        config = room / "config.yaml"
        values = {"port": self.port, "nats": self.nats_port, "room": room, "secret": self._secret}
        config.write_text(_CONFIG.format(**values))
        arguments = ("-n", "--pidfile=", "siger", "-c", str(config))
        # -P: what is installed, not the checkout that this was started from.
        launch = ["-P", "-c", "from twisted.scripts.twistd import run; run()"]
        environment = {}
        if installed() is None:
            launch = ["-c", _TWISTD.format(plugins=str(REPOSITORY / "twisted_plugins"))]
            environment = {"PYTHONPATH": python_path()}
        process = self._processes.start("siger", [sys.executable, *launch, *arguments], self._core, room, environment)
        process.wait_listening(self.port)
        self._wait_ready()
        return process

    def _wait_ready(self, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while self._status("/readyz") != 200 or self.metric("siger_nats_connected") != 1:
            if time.monotonic() > deadline:
                raise StartError(f"siger was not ready within {seconds:.0f} s")
            time.sleep(0.05)

    def _status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metric(self, name: str) -> float:
        """
        The sum of a metric over its labels.
        """
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as response:
            lines = response.read().decode().splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.partition(" ")[0].partition("{")[0] == name]
        return sum(map(float, found))

    def stop_gateway(self) -> None:
        """
        Stop the gateway.
        """
        self._processes.stop(self.gateway)

    def start_gateway(self) -> None:
        """
        Start it again.
        """
        self.gateway = self._start_gateway()
