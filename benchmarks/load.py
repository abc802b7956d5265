"""
Puts a load on a port with wrk, on the load generator's core, and says what was answered.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backend import PREFIX
from benchmarks.processes import pinned
from benchmarks.running import Running
from benchmarks.tools import REPOSITORY, find
from benchmarks.workloads import Workload

__all__ = ["Answered", "LoadError", "Wrk", "output"]

_REPORT = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "status": %d, "socket": %d, "p50": %d, "p99": %d}\\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""

_RUN_STRIDE = 10_000_000


class LoadError(Exception):
    """
    The load generator ended without a result.
    """


@dataclass(frozen=True)
class Answered:
    """
    What came back.

    @ivar requests: right answers.
    @ivar errors: answers of 400 and above, and failures of connections.
    @ivar p50: median latency in microseconds.
    @ivar complaint: what the first error was, where the load generator tells.
    """

    requests: int
    seconds: float
    errors: int
    p50: int
    p99: int
    complaint: str = ""


class Wrk:
    """
    The load generator; one thread, since it has one core.
    """

    def __init__(self, core: int, room: Path) -> None:
        self._core = core
        self._room = room
        self._program = find("wrk")
        self._runs = 100

    def run(self, workload: Workload, running: Running, seconds: int) -> Answered:
        """
        Load a proxy for some seconds.
        """
        token = (f"Authorization: {running.tokens.good()}",) if running.spec.token else ()
        url = f"http://127.0.0.1:{running.spec.port}{PREFIX}{workload.path}"
        headers = (*workload.headers, *token)
        return self.load(workload.name, workload.script, url, workload.connections, seconds, headers)

    def load(
        self, name: str, code: str, url: str, connections: int, seconds: int, headers: Sequence[str] = ()
    ) -> Answered:
        """
        Load anything for some seconds.

        @param name: of the script; the same script has always the same.
        @param code: what the script does besides counting.
        """
        script = self._room / f"{name}.lua"
        if not script.exists():
            script.write_text(code + _REPORT)
        self._runs += 1
        options = [part for header in headers for part in ("-H", header)]
        argv = [self._program, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), *options, url]
        return _read(output([*argv, "--", str(self._runs * _RUN_STRIDE)], self._core, seconds + 30))


def output(argv: Sequence[str], core: int, patience: float) -> str:
    """
    Run a load generator on its core to its end, which is bounded.

    @return: all that it printed.
    """
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
            preexec_fn=pinned(core),
            cwd=REPOSITORY,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise LoadError(f"{argv[0]} did not end within {patience:.0f} s") from late
    return done.stdout + done.stderr


def _read(output: str) -> Answered:
    """
    Find the line that our script wrote.
    """
    for line in output.splitlines():
        if line.startswith("RESULT "):
            told = json.loads(line.removeprefix("RESULT "))
            right = told["requests"] - told["status"]
            errors = told["status"] + told["socket"]
            return Answered(right, told["microseconds"] / 1e6, errors, told["p50"], told["p99"])
    raise LoadError(f"wrk gave no result: {output[-2000:]}")
