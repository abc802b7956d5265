"""
C{python -m benchmarks.jobs}: all that is measured of jobs, in less than three minutes.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from benchmarks.jobs import report
from benchmarks.jobs.accepting import Accepting, measure_accepting
from benchmarks.jobs.remembering import measure_remembering
from benchmarks.jobs.report import Found
from benchmarks.jobs.stage import ALWAYS, DEFAULT, Stage
from benchmarks.jobs.streaming import measure_streaming
from benchmarks.load import LoadError, Wrk
from benchmarks.machine import describe
from benchmarks.peers.siger import Siger
from benchmarks.processes import Processes, StartError, cores
from benchmarks.tools import MissingToolError, find, first_line

__all__ = ["main"]

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """
    Measure.

    @return: the exit status.
    """
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _run(options)
    except (LoadError, MissingToolError, StartError) as problem:
        print(f"benchmarks: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted, everything is stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description="Measure what jobs cost Siger.")
    add = parser.add_argument
    add("--rounds", type=int, default=3, choices=range(1, 21), metavar="N", help="rounds of submissions (3)")
    add("--seconds", type=int, default=4, choices=range(1, 31), metavar="S", help="seconds of each round (4)")
    add("--connections", type=int, default=64, metavar="N", help="that submit at once (64)")
    add("--records", type=int, default=100_000, metavar="N", help="jobs that the gateway is to know (100,000)")
    add("--events", type=int, default=2000, metavar="N", help="of each of 40 jobs that are watched (2,000)")
    add("--room", type=Path, metavar="DIRECTORY", help="where to write: on a disk, or writes cost nothing")
    add("--json", type=Path, metavar="FILE", help="write the figures there, too")
    add("--markdown", type=Path, metavar="FILE", help="write a page with them")
    return parser


def _run(options: argparse.Namespace) -> None:
    found = Found()
    for sync in (ALWAYS, DEFAULT):

        def accept(stage: Stage, wrk: Wrk, sync: str = sync) -> Accepting:
            return measure_accepting(stage, wrk, sync, options.connections, options.rounds, options.seconds)

        found.accepting.append(_staged(options, sync, accept))
        print(report.say_accepting(found.accepting[-1]), flush=True)
    found.streaming = _staged(
        options, DEFAULT, lambda stage, _: measure_streaming(stage, cores()[1], events=options.events)
    )
    print(report.say_streaming(found.streaming), flush=True)
    found.remembering = _staged(options, DEFAULT, lambda stage, _: measure_remembering(stage, options.records))
    print(report.say_remembering(found.remembering), flush=True)
    machine = describe([Siger()]) | {"nats": first_line(find("nats-server"), "--version")}
    if options.json:
        options.json.write_text(report.as_json(machine, found))
    if options.markdown:
        options.markdown.write_text(report.as_markdown(machine, found))


def _staged(options: argparse.Namespace, sync: str, measure: Callable[[Stage, Wrk], T]) -> T:
    """
    Measure on a stage of its own, which goes afterwards.
    """
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="siger-bench-", dir=options.room)))
        processes = stack.enter_context(Processes())
        stage = Stage(processes, cores(), room / "stage", sync)
        return measure(stage, Wrk(cores()[1], room))


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
