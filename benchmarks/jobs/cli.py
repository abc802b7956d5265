"""
C{python -m benchmarks.jobs}: all that is measured of jobs, in less than three minutes.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from benchmarks.jobs.accepting import Accepting, measure_accepting
from benchmarks.jobs.remembering import Remembering, measure_remembering
from benchmarks.jobs.stage import ALWAYS, DEFAULT, Stage
from benchmarks.jobs.streaming import Streaming, measure_streaming
from benchmarks.load import LoadError, Wrk
from benchmarks.machine import describe
from benchmarks.peers.siger import Siger
from benchmarks.processes import Processes, StartError, cores
from benchmarks.tools import MissingToolError, find, first_line

__all__ = ["main"]

T = TypeVar("T")

_SYNC = {ALWAYS: "each write on the disk (as embedded)", DEFAULT: "nats-server's default (on the disk within 2 min)"}
_REACH = 3000


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
    return parser


def _run(options: argparse.Namespace) -> None:
    figures: dict[str, object] = {}
    accepted = []
    for sync in (ALWAYS, DEFAULT):

        def accept(stage: Stage, wrk: Wrk, sync: str = sync) -> Accepting:
            return measure_accepting(stage, wrk, sync, options.connections, options.rounds, options.seconds)

        accepted.append(_staged(options, sync, accept))
        print(_said_accepting(accepted[-1]), flush=True)
    streaming = _staged(options, DEFAULT, lambda stage, _: measure_streaming(stage, cores()[1], events=options.events))
    print(_said_streaming(streaming), flush=True)
    remembering = _staged(options, DEFAULT, lambda stage, _: measure_remembering(stage, options.records))
    print(_said_remembering(remembering), flush=True)
    if options.json:
        figures["machine"] = describe([Siger()]) | {"nats": first_line(find("nats-server"), "--version")}
        figures["accepting"] = [asdict(each) for each in accepted]
        figures["streaming"], figures["remembering"] = asdict(streaming), asdict(remembering)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _staged(options: argparse.Namespace, sync: str, measure: Callable[[Stage, Wrk], T]) -> T:
    """
    Measure on a stage of its own, which goes afterwards.
    """
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="siger-bench-", dir=options.room)))
        processes = stack.enter_context(Processes())
        stage = Stage(processes, cores(), room / "stage", sync)
        return measure(stage, Wrk(cores()[1], room))


def _said_accepting(found: Accepting) -> str:
    return (
        f"accepted, {_SYNC[found.sync]}: {found.rate:,.0f} jobs/s over {found.connections} connections "
        f"(reach: {_REACH:,}), p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms; "
        f"gateway {found.cpu:.0f} us CPU each, {found.busy:.0%} of its core; nats-server {found.nats_cpu:.0f} us"
    )


def _said_streaming(found: Streaming) -> str:
    return (
        f"events to {found.readers} readers, {found.events:,} each: {found.replay:,.0f}/s of old ones, "
        f"{found.live:,.0f}/s of new ones; gateway {found.cpu:.0f} us CPU each"
    )


def _said_remembering(found: Remembering) -> str:
    more = found.after - found.before
    return (
        f"{found.records:,} records of {found.record} bytes: gateway {found.after / 2**20:.0f} MiB resident, "
        f"{found.before / 2**20:.0f} MiB without ({more / found.records:,.0f} bytes each); "
        f"read in {found.ready:.1f} s; a page by tag {found.page:.1f} ms"
    )


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
