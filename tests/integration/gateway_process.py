"""
A real gateway in a process of its own, started as C{twistd siger} starts it.

Nothing here needs a reactor or a running loop, so any test can use it: start, ask, look at C{/proc}, signal, wait.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.integration.free_port import free_port

__all__ = ["GatewayFailed", "GatewayProcess", "echo_config"]

_REPOSITORY = Path(__file__).parent.parent.parent

_LAUNCH = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the tests
import twisted.plugins
twisted.plugins.__path__.append(sys.argv.pop(1))
from twisted.scripts.twistd import run
run()
"""


class GatewayFailed(Exception):  # noqa: N818  (as a sentence reads)
    """
    The gateway did not start, or did not do in time what it must.
    """


def echo_config(*ports: int, **overrides: Any) -> dict[str, Any]:
    """
    A configuration with one service C{echo} on these loopback ports, and nothing that would get in a test's way.

    @param overrides: top-level keys that replace or join the others; C{echo} has further settings of the service, and
        C{services} further services.
    """
    service = {"instances": [f"127.0.0.1:{port}" for port in ports], **overrides.pop("echo", {})}
    return {
        "consul_address": "",
        "nats_address": "",
        "rate_limit": "off",
        "log_level": "info",
        "jwt_secret": "an-integration-test-signs-with-this-and-nothing-else-does",
        "services": {"echo": service, **overrides.pop("services", {})},
        **overrides,
    }


class GatewayProcess:
    """
    One gateway process, with a directory for its files that goes when it stops.

    @ivar port: where it listens, on 127.0.0.1.
    @ivar directory: holds C{config.yaml}, C{access.log}, C{output.log} and the data directory.
    @ivar options: further options of C{twistd}, to be added before the start.
    """

    def __init__(self, config: Mapping[str, Any], environment: Mapping[str, str] | None = None, port: int = 0) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="siger-test-"))
        self.port = port or free_port()
        self.options: list[str] = []
        self._environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY), **(environment or {})}
        self._config = {
            "port": f"127.0.0.1:{self.port}",
            "data_dir": str(self.directory / "data"),
            "access_log": str(self.directory / "access.log"),
            **config,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> GatewayProcess:
        """
        Start the process without waiting for it.
        """
        file = self.directory / "config.yaml"
        file.write_text(yaml.safe_dump(self._config), "utf-8")
        command = [sys.executable, "-c", _LAUNCH, str(_REPOSITORY / "twisted_plugins"), "-n", "--pidfile="]
        with (self.directory / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *self.options, "siger", "--config", str(file)],
                cwd=_REPOSITORY,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def start(self, timeout: float = 30) -> GatewayProcess:
        """
        Start the process and wait until C{/readyz} says so.

        @raise GatewayFailed: with what it printed.
        """
        self.launch()
        try:
            self.wait_until(self._ready, "ready", timeout)
        except GatewayFailed:
            self.kill()
            raise
        return self

    def _ready(self) -> bool:
        if self._running.poll() is not None:
            raise GatewayFailed(f"exit status {self._running.returncode} at start:\n{self.output()}")
        try:
            return self.status_of("/readyz") == 200
        except OSError:
            return False

    def wait_until(self, true: Callable[[], bool], what: str, timeout: float = 10) -> None:
        """
        Look every few milliseconds until C{true()} is.

        @raise GatewayFailed: when it is not in time.
        """
        deadline = time.monotonic() + timeout
        while not true():
            if time.monotonic() > deadline:
                raise GatewayFailed(f"not {what} within {timeout} s:\n{self.output()}")
            time.sleep(0.02)

    def status_of(self, path: str) -> int:
        """
        The status of a GET.
        """
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def get(self, path: str) -> bytes:
        """
        The body of a successful GET.
        """
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
            return bytes(response.read())

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise GatewayFailed("never started")
        return self._process

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._running.poll() is None

    def rss(self) -> int:
        """
        Resident memory, in bytes.
        """
        return self._status("VmRSS") * 1024

    def peak_rss(self) -> int:
        """
        The most memory that was ever resident, in bytes, since the start or the last L{forget_peak}.
        """
        return self._status("VmHWM") * 1024

    def forget_peak(self) -> None:
        """
        Measure the peak from here on.
        """
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1])

    def cpu_seconds(self) -> float:
        """
        User and system time so far.
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_sockets(self) -> int:
        """
        How many sockets it has open.
        """
        count = 0
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                count += os.readlink(entry).startswith("socket:")
        return count

    def access_lines(self) -> list[dict[str, Any]]:
        """
        What the access log says by now; lines are written in batches.
        """
        file = self.directory / "access.log"
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_bytes().split(b"\n") if line]

    def wait_for_access_line(self, matches: Callable[[dict[str, Any]], bool], timeout: float = 10) -> dict[str, Any]:
        """
        The first line of the access log that matches, once it is written.
        """
        self.wait_until(lambda: any(map(matches, self.access_lines())), "in the access log", timeout)
        return next(line for line in self.access_lines() if matches(line))

    def output(self) -> str:
        """
        What it printed: the application log.
        """
        file = self.directory / "output.log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """
        Send it a signal.
        """
        self._running.send_signal(number)

    def wait(self, timeout: float = 40) -> int:
        """
        Wait for its end.

        @return: the exit status.
        """
        try:
            return self._running.wait(timeout)
        except subprocess.TimeoutExpired as expired:
            raise GatewayFailed(f"still running after {timeout} s:\n{self.output()}") from expired

    def stop(self, timeout: float = 40) -> int:
        """
        End it as an operator would, and clean up.

        @return: the exit status.
        """
        if self.alive:
            self.signal()
        try:
            return self.wait(timeout)
        finally:
            self.kill()

    def kill(self) -> None:
        """
        End it in any case, and clean up.
        """
        if self._process is not None and self.alive:
            self._process.kill()
            self._process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)
