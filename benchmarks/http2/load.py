"""
Puts a load of HTTP/2 on a proxy: of gRPC calls with our own generator, of GETs with h2load.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.backend import PREFIX
from benchmarks.http2.run import Order
from benchmarks.load import Answered, LoadError, output
from benchmarks.running import Running
from benchmarks.tools import find
from benchmarks.workloads import Workload

__all__ = ["Calls", "H2load"]

_PATIENCE = 40


class Calls:
    """
    The generator of gRPC calls.
    """

    def __init__(self, core: int) -> None:
        self._core = core

    def run(self, workload: Workload, running: Running, seconds: int) -> Answered:
        """
        Load a proxy for some seconds.
        """
        metadata = list(workload.metadata)
        if running.spec.token:
            metadata.append(("authorization", running.tokens.good()))
        order = Order(
            port=running.spec.port,
            method=workload.path,
            connections=workload.connections,
            streams=workload.streams,
            seconds=seconds,
            messages=workload.messages,
            metadata=metadata,
            start=secrets.randbits(62),
        )
        argv = [sys.executable, "-m", "benchmarks.http2.client", json.dumps(asdict(order))]
        said = output(argv, self._core, seconds + _PATIENCE)
        for line in said.splitlines():
            if line.startswith("RESULT "):
                told = json.loads(line.removeprefix("RESULT "))
                return Answered(
                    told["requests"],
                    told["microseconds"] / 1e6,
                    told["errors"],
                    told["p50"],
                    told["p99"],
                    told["complaint"],
                )
        raise LoadError(f"the generator of calls gave no result: {said[-2000:]}")


class H2load:
    """
    h2load, of nghttp2; one thread, since it has one core.
    """

    def __init__(self, core: int, room: Path) -> None:
        self._core = core
        self._log = room / "h2load.log"
        self._program = find("h2load")

    def run(self, workload: Workload, running: Running, seconds: int) -> Answered:
        """
        Load a proxy for some seconds.
        """
        self._log.unlink(missing_ok=True)
        sizes = f"-c{workload.connections}", f"-m{workload.streams}", f"-D{seconds}"
        url = f"http://127.0.0.1:{running.spec.port}{PREFIX}{workload.path}"
        argv = [self._program, "-t1", *sizes, f"--log-file={self._log}", url]
        said = output(argv, self._core, seconds + _PATIENCE)
        requests, failed = _number(r"(\d+) done", said), _number(r"(\d+) failed", said)
        right = _number(r"status codes: (\d+) 2xx", said)
        took = sorted(int(line.rpartition("\t")[2]) for line in self._log.read_text().splitlines())
        if not took:
            raise LoadError(f"h2load got no answer: {said[-2000:]}")
        p50, p99 = (took[int(len(took) * part)] for part in (0.5, 0.99))
        return Answered(right, seconds, failed + max(requests - right, 0), p50, p99)


def _number(pattern: str, text: str) -> int:
    """
    A number that h2load tells.
    """
    found = re.search(pattern, text)
    if found is None:
        raise LoadError(f"h2load gave no result: {text[-2000:]}")
    return int(found[1])
