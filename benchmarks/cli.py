"""
C{python -m benchmarks}: the options, and the run from the first check to the last table.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import report
from benchmarks.backend import Backend, GrpcBackend
from benchmarks.checks import CheckError, check_answers, check_chain, check_limit, check_token
from benchmarks.generators import Generators
from benchmarks.http2.checks import check_http2
from benchmarks.idle import allow_connections
from benchmarks.load import LoadError
from benchmarks.machine import describe
from benchmarks.measure import Sample, measure_idle, measure_rounds, take
from benchmarks.peers import all_peers
from benchmarks.peers.base import BARE, CHAIN, SERIES, Peer
from benchmarks.processes import Processes, StartError, cores
from benchmarks.running import Running, Stage
from benchmarks.tools import REPOSITORY, MissingToolError, find, first_line
from benchmarks.workloads import H2LOAD, IDLE, WORKLOADS

__all__ = ["main"]

_MOST_IDLE_ROUNDS = 3
_JSON = REPOSITORY / "benchmarks" / "results.json"


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the comparison.

    @return: the exit status.
    """
    options = _parser().parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 1, 1
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have told its background jobs to ignore it
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _run(options)
    except (CheckError, LoadError, MissingToolError, StartError) as problem:
        print(f"benchmarks: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted, everything is stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    """
    The command line.
    """
    names = [peer.name for peer in all_peers()]
    workloads = [workload.name for workload in WORKLOADS] + [IDLE]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare Siger with other proxies on this machine."
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5, choices=range(1, 51), metavar="N", help="rounds of each workload (5)")
    add("--seconds", type=int, default=3, choices=range(1, 61), metavar="S", help="seconds of each sample (3)")
    add("--quick", action="store_true", help="one round of one second: shows that it works, the figures mean little")
    add("--only", nargs="+", choices=names, default=names, metavar="PEER", help="of: " + ", ".join(names))
    add(
        "--workloads",
        nargs="+",
        choices=workloads,
        default=workloads,
        metavar="NAME",
        help="of: " + ", ".join(workloads),
    )
    add(
        "--series",
        nargs="+",
        choices=SERIES,
        default=SERIES,
        metavar="NAME",
        help="of: chain, token (the chain, and a token is asked for), bare, http2 (the chain), http2-token",
    )
    add("--check", action="store_true", help="check every proxy's answers and chain, and time nothing")
    add("--allow-missing", action="store_true", help="leave out proxies that are not installed")
    add(
        "--json",
        type=Path,
        default=_JSON,
        metavar="FILE",
        help=f"for all samples and figures (benchmarks/{_JSON.name})",
    )
    add("--markdown", type=Path, metavar="FILE", help="write the tables as a Markdown page")
    return parser


def _run(options: argparse.Namespace) -> None:
    """
    Start, check, measure, report; whatever happens, stop what was started.
    """
    peers = _present([peer for peer in all_peers() if peer.name in options.only], options.allow_missing)
    allow_connections()
    proxy_core, load_core = cores()
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="siger-bench-", dir=_memory())))
        processes = stack.enter_context(Processes())
        backend = Backend(processes, load_core, room / "backend")
        calls = GrpcBackend(processes, load_core, room / "grpc-backend")
        stage = Stage(processes, proxy_core, room, backend.port, calls.port)
        proxies = _start(stage, peers, _series(options))
        _check(stage, proxies)
        if not options.check:
            samples = _measure(options, stage, proxies, Generators(load_core, room), peers)
            _report(options, peers, samples)


def _present(peers: Sequence[Peer], allow_missing: bool) -> list[Peer]:
    """
    The proxies that are installed.

    @raise MissingToolError: one is not, and that is not allowed.
    """
    present = []
    for peer in peers:
        try:
            for name in peer.needs:
                find(name)
        except MissingToolError as missing:
            if not allow_missing:
                raise
            print(f"left out: {peer.name}: {missing}")
        else:
            present.append(peer)
    return present


def _memory() -> str | None:
    """
    A file system in memory, so that no disk takes part.
    """
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _series(options: argparse.Namespace) -> list[str]:
    """
    The series asked for that a workload asked for is put on.
    """
    needed = {name for workload in WORKLOADS if workload.name in options.workloads for name in workload.series}
    if IDLE in options.workloads:
        needed.add(CHAIN)
    return [name for name in options.series if name in needed]


def _start(stage: Stage, peers: Sequence[Peer], series: Sequence[str]) -> list[Running]:
    """
    Start every proxy in every series it has.
    """
    wanted = [(peer, name) for peer in peers for name in _runs_in(peer, series)]
    return [stage.start(peer, name) for peer, name in wanted]


def _runs_in(peer: Peer, series: Sequence[str]) -> list[str]:
    """
    Which of the series a proxy is run in; one that cannot run bare stands there as it is.
    """
    found = [name for name in peer.series if name in series]
    if BARE in series and BARE not in peer.series and CHAIN in peer.series and CHAIN not in found:
        found.append(CHAIN)
    return found


def _check(stage: Stage, proxies: Sequence[Running]) -> None:
    """
    Check what is going to be measured.
    """
    for running in proxies:
        if running.spec.http2:
            print(f"checked {running.key}: {check_http2(stage, running)}", flush=True)
            continue
        check_answers(running)
        told = "answers right"
        if running.spec.chain:
            check_chain(running)
            told += ", request id both ways, access log"
        if running.spec.chain and running.peer.has_limit:
            check_limit(stage, running)
            told += ", rate limit works"
        if running.spec.token:
            check_token(running)
            told += ", only good tokens pass"
        print(f"checked {running.key}: {told}", flush=True)


def _measure(
    options: argparse.Namespace,
    stage: Stage,
    proxies: Sequence[Running],
    generators: Generators,
    peers: Sequence[Peer],
) -> list[Sample]:
    """
    All the workloads asked for, after a second of warming up for each proxy.
    """
    for running in proxies:
        take(generators, running, next(each for each in WORKLOADS if running.series in each.series), 1, 0)
    samples = []
    for workload in WORKLOADS:
        if workload.name in options.workloads:
            samples += measure_rounds(generators, proxies, workload, options.rounds, options.seconds, _tell)
    if IDLE in options.workloads and CHAIN in options.series:
        chained = [peer for peer in peers if CHAIN in peer.series]
        samples += measure_idle(stage, chained, min(options.rounds, _MOST_IDLE_ROUNDS), _tell)
    return samples


def _report(options: argparse.Namespace, peers: Sequence[Peer], samples: Sequence[Sample]) -> None:
    """
    Print the ratios and write the files.
    """
    machine = describe(peers)
    if H2LOAD in {workload.generator for workload in WORKLOADS if workload.name in options.workloads}:
        machine["h2load"] = first_line(find("h2load"), "--version").rpartition("/")[2]
    said = {"rounds": options.rounds, "seconds": options.seconds}
    print("\n" + report.as_text(samples))
    options.json.write_text(report.as_json(machine, said, samples))
    print(f"\nAll figures and samples are in {options.json}")
    if options.markdown:
        options.markdown.write_text(report.as_markdown(machine, said, samples))


def _tell(line: str) -> None:
    """
    Show a sample as it comes.
    """
    print(line, flush=True)


def _interrupt(number: int, frame: object) -> None:
    """
    SIGTERM ends a run as Ctrl-C does.
    """
    raise KeyboardInterrupt
