"""
Shows where Siger's time goes under load: C{python -m benchmarks.hotpath}.

Three views of the same load: Python functions by sampling, calls by cProfile, and native symbols by C{perf}, which
alone sees the kernel, uvloop and compiled modules. The first two run the checkout as plain Python; C{perf} looks at
Siger as it is installed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.backend import Backend, GrpcBackend
from benchmarks.generators import Generators
from benchmarks.measure import take
from benchmarks.peers.base import Launch, Spec
from benchmarks.peers.siger import Siger
from benchmarks.processes import Processes, cores
from benchmarks.profiled import BEGIN, END
from benchmarks.running import Running, Stage
from benchmarks.tools import find, python_path
from benchmarks.workloads import WORKLOADS, Workload

__all__ = ["main"]


class ProfiledSiger(Siger):
    """
    Siger with a profiler inside its process.
    """

    def __init__(self, kind: str, output: Path) -> None:
        self._kind = kind
        self._output = output

    def configure(self, spec: Spec) -> Launch:
        launch = super().configure(spec)
        interpreter, *rest = launch.argv
        arguments = rest[rest.index("-c") + 2 :]  # twistd's own, behind the code that runs it
        argv = (interpreter, "-m", "benchmarks.profiled", self._kind, str(self._output), *arguments)
        return Launch(argv, {**launch.environment, "PYTHONPATH": python_path()})


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one view.

    @return: the exit status.
    """
    options = _parser().parse_args(argv)
    workload = next(each for each in WORKLOADS if each.name == options.workload)
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="siger-hotpath-")))
        processes = stack.enter_context(Processes())
        proxy_core, load_core = cores()
        backend = Backend(processes, load_core, room / "backend")
        calls = GrpcBackend(processes, load_core, room / "grpc-backend")
        stage = Stage(processes, proxy_core, room, backend.port, calls.port)
        generators = Generators(load_core, room)
        output = room / "profile"
        siger = Siger() if options.by == "native" else ProfiledSiger(options.by, output)
        running = stage.start(siger, workload.series[0])
        sample = take(generators, running, workload, 1, 0)
        if math.isnan(sample.value):
            sys.exit(
                f"{workload.name}: nothing was answered rightly: {sample.complaint or running.process.complaint()}"
            )
        print(f"{workload.title}: {sample.value:.1f} us/request, {sample.rate:.0f}/s before profiling")
        if options.by == "native":
            _native(generators, running, workload, options.seconds, output)
        else:
            _inside(generators, running, workload, options.seconds, output)
    return 0


def _parser() -> argparse.ArgumentParser:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hotpath", description="Where Siger's time goes.")
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--by", choices=("sample", "calls", "native"), default="sample", help="the view (sample)")
    parser.add_argument("--seconds", type=int, default=5, choices=range(1, 61), metavar="S", help="of load (5)")
    parser.add_argument("--workload", choices=names, default="small", help="the load (small)")
    return parser


def _inside(generators: Generators, running: Running, workload: Workload, seconds: int, output: Path) -> None:
    """
    Profile from inside the process, and show what it wrote.
    """
    pid = running.process.tree()[0]
    os.kill(pid, BEGIN)
    answered = generators.run(workload, running, seconds)
    os.kill(pid, END)
    deadline = time.monotonic() + 10
    while not output.exists():
        if time.monotonic() > deadline:
            sys.exit("the profile was not written: " + running.process.complaint())
        time.sleep(0.1)
    print(f"{answered.requests} requests while profiled")
    text = output.read_text()
    _show(json.loads(text)) if text.startswith("{") else print(text)


def _show(counts: dict[str, Any]) -> None:
    """
    Print the sampler's three tables.
    """
    titles = {"own": "in the function itself", "within": "in the function and what it calls", "lines": "at the line"}
    for name, title in titles.items():
        print(f"\n{title} ({counts['samples']} samples)")
        for place, count in counts[name]:
            print(f"{count / max(counts['samples'], 1):7.1%}  {place}")


def _native(generators: Generators, running: Running, workload: Workload, seconds: int, output: Path) -> None:
    """
    Let perf record the process while it is loaded, and print its report.
    """
    perf = find("perf")
    pid = str(running.process.tree()[0])
    record = [perf, "record", "-q", "-e", "cpu-clock", "-F", "2000", "-p", pid, "-o", str(output)]
    recorder = subprocess.Popen(record, stdin=subprocess.DEVNULL)
    try:
        answered = generators.run(workload, running, seconds)
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait(20)
    print(f"{answered.requests} requests while recorded", flush=True)
    for keys, least in (("dso", "0.2"), ("dso,symbol", "0.6")):
        report = [perf, "report", "-i", str(output), "--stdio", "-q", "--sort", keys, "--percent-limit", least]
        subprocess.run(report, check=False, stdin=subprocess.DEVNULL, timeout=120)


if __name__ == "__main__":
    sys.exit(main())
