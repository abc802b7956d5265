"""
The arguments of C{siger worker}, apart from what it does: that takes long to import, and every C{siger} command needs
these.
"""

from __future__ import annotations

import argparse
from typing import Final

__all__ = ["HELP", "arrange"]

HELP: Final = "take jobs from the queue and run a program for each"

_DESCRIPTION: Final = """\
Take jobs from the queue and run a program for each, or the demonstration if there is no program.

The program gets the job as JSON on standard input and in SIGER_JOB (left out above 120 kB), further SIGER_JOB_ID,
SIGER_JOB_TYPE and SIGER_ATTEMPT; of other variables SIGER_* it sees none. With --gpus, CUDA_VISIBLE_DEVICES names the
GPUs that the job was given. Lines that it prints are the job's log, those on standard error as errors, but for these:

  ::progress 42 a message     how far it is, in percent
  ::result {"any": "JSON"}    what the job comes to, at most 64 KiB

Exit status 0 completes the job. 64, 65, 66 and 78 (of sysexits.h: usage, data, input, configuration) fail it at once;
any other, such as 75 (try again), and any signal fails the attempt, and there is another one after 2, 4, 8 ... seconds
for as often as the job allows. A job that is cancelled or takes too long gets SIGTERM, and SIGKILL after the grace
time. Nothing that a program starts outlives its job, nor the worker.

SIGTERM stops the worker: it takes no more jobs, and what is not finished in the time to drain is handed back to the
queue. A second one makes it hand back at once."""

_EPILOGUE: Final = """\
Passwords and tokens are better in SIGER_NATS__PASSWORD and SIGER_NATS__TOKEN than on the command line."""


def arrange(parser: argparse.ArgumentParser) -> None:
    """
    Add the arguments.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = _DESCRIPTION, _EPILOGUE
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--nats", metavar="ADDRESS", action="append", help="NATS: host:port or a URL; can be repeated")
    where.add_argument("-c", "--config", metavar="FILE", help="the gateway's configuration, which says where NATS is")
    parser.add_argument("--nats-user", metavar="USER", default="")
    parser.add_argument("--nats-password", metavar="PASSWORD", default="")
    parser.add_argument("--nats-token", metavar="TOKEN", default="")
    parser.add_argument("--creds", metavar="FILE", default="", help="a credentials file for NATS")
    parser.add_argument("--types", metavar="TYPE,...", help="the types of jobs to take (with -c: all by default)")
    parser.add_argument(
        "--gpus", metavar="N", type=_whole, default=0, help="GPUs to give to jobs (default: not counted)"
    )
    parser.add_argument("--gpu-type", metavar="T", default="", help="take only jobs for this type of GPU, or for any")
    parser.add_argument(
        "--concurrency", metavar="N", type=_whole, help="jobs at once (default: one, or one for each GPU)"
    )
    parser.add_argument(
        "--grace", metavar="S", type=_seconds, help="seconds to end for what is cancelled (default: 30)"
    )
    parser.add_argument("--drain", metavar="S", type=_seconds, default=60.0, help="seconds to finish (default: 60)")
    parser.add_argument("--lease", metavar="S", type=_seconds, help=argparse.SUPPRESS)
    parser.add_argument("--name", default="", help="what the worker calls itself (default: host and process)")
    parser.add_argument("program", metavar="-- COMMAND ...", nargs="*", help="the program with its arguments")


def _whole(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 10_000:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 86400:
        raise ValueError
    return number
