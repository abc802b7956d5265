"""
A journal of runs, kept by the very programs that jobs run: what it says cannot be made up by those who report on them.

Each run appends a line when it begins and one when it ends to a file that is open for appending, so that the lines of
all runs stand in the order in which they were written. Besides, each run holds a lock of the kernel on a file of its
job: it is let go when the run ends, however it ends, and whoever finds it held writes down that two run at once.

What a job is to do stands in its name: C{@wait} runs until it is told to go on, C{@fail} fails, C{@flaky} fails at its
first attempt.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from attrs import field, frozen

__all__ = ["PROGRAM", "Run", "RunJournal"]

#: The program of L{journal <RunJournal>}, for sh. Its first argument is the directory.
PROGRAM = """
IFS= read -r job || true
lock=$1/locks/$SIGER_JOB_ID
say() { read -r now rest < /proc/uptime; echo "$1 $SIGER_JOB_ID $SIGER_ATTEMPT $$ $now" >> "$dir/journal"; }
dir=$1
exec 9>>"$lock"
flock -n 9 || say overlap
say start
echo "attempt $SIGER_ATTEMPT"
case $job in
  *@wait*)
    tries=0
    while [ ! -e "$dir/go/$SIGER_JOB_ID" ] && [ $tries -lt 3000 ]; do sleep 0.02 9>&-; tries=$((tries + 1)); done ;;
esac
case $SIGER_ATTEMPT$job in
  *@fail* | 1*@flaky*) say failed; exit 3 ;;
esac
echo "::result {\\"attempt\\": $SIGER_ATTEMPT}"
say end
"""


@frozen
class Run:
    """
    One run of a job's program.

    @ivar began: the number of the line that says so.
    @ivar ended: that of its last line; C{None} if it was killed or still runs.
    @ivar outcome: C{end}, C{failed} or nothing.
    """

    job_id: str
    attempt: int
    pid: int
    began: int
    ended: int | None = None
    outcome: str = ""


@frozen
class RunJournal:
    """
    The journal in a directory.
    """

    directory: Path
    _file: Path = field(init=False)

    @_file.default
    def _default_file(self) -> Path:
        return self.directory / "journal"

    def make(self) -> RunJournal:
        """
        Make what programs need.
        """
        for name in ("locks", "go"):
            (self.directory / name).mkdir()
        (self.directory / "program.sh").write_text(PROGRAM)
        self._file.touch()
        return self

    @property
    def command(self) -> list[str]:
        """
        What C{siger worker} is to run.
        """
        return ["sh", str(self.directory / "program.sh"), str(self.directory)]

    def go_on(self, job_id: str) -> None:
        """
        Let a run go on that waits.
        """
        (self.directory / "go" / job_id).touch()

    # What stands in it

    def lines(self) -> list[list[str]]:
        """
        All lines, in words.
        """
        return [line.split() for line in self._file.read_text().splitlines()]

    def runs(self) -> dict[str, list[Run]]:
        """
        The runs of each job, as they began.
        """
        found: dict[str, list[Run]] = {}
        for number, (kind, job_id, attempt, pid, _) in enumerate(self.lines()):
            runs = found.setdefault(job_id, [])
            if kind == "start":
                runs.append(Run(job_id, int(attempt), int(pid), number))
            elif kind in ("end", "failed"):
                at = next(at for at in reversed(range(len(runs))) if _is(runs[at], int(attempt), int(pid)))
                runs[at] = Run(job_id, int(attempt), int(pid), runs[at].began, number, kind)
        return found

    def of(self, job_id: str) -> list[Run]:
        """
        The runs of one job.
        """
        return self.runs().get(job_id, [])

    def faults(self) -> list[str]:
        """
        What must never be, in words: two runs of a job at once, two of one attempt.
        """
        return [fault for runs in self.runs().values() for fault in _faults(runs)] + self.overlaps()

    def overlaps(self) -> list[str]:
        """
        The runs that found another of the same job.
        """
        return [f"two at once, by the lock: {' '.join(line)}" for line in self.lines() if line[0] == "overlap"]

    def perform(self, job_id: str, attempt: int, name: str) -> Performance:
        """
        Run the same within a Python process.
        """
        return Performance(self.directory, job_id, attempt, name)


def _is(run: Run, attempt: int, pid: int) -> bool:
    return run.attempt == attempt and run.pid == pid and run.ended is None


def _faults(runs: Iterable[Run]) -> list[str]:
    found = []
    before: list[Run] = []
    for run in runs:
        for other in before:
            if other.ended is not None and other.ended > run.began:
                found.append(f"two at once, by the order of lines: {other} and {run}")
            if other.attempt >= run.attempt:
                found.append(f"attempts that do not rise: {other} and {run}")
        before.append(run)
    return found


class Performance:
    """
    What the program does, in Python.
    """

    def __init__(self, directory: Path, job_id: str, attempt: int, name: str) -> None:
        self._directory = directory
        self._job_id = job_id
        self._attempt = attempt
        self._name = name

    async def __call__(self, check: Callable[[], object] = lambda: None) -> dict[str, int]:
        """
        Do it.

        @param check: raises to end it early.
        @raise RuntimeError: if it is to fail.
        """
        with (self._directory / "locks" / self._job_id).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("overlap")
            self._say("start")
            while "@wait" in self._name and not (self._directory / "go" / self._job_id).exists():
                check()
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.002)
            if "@fail" in self._name or ("@flaky" in self._name and self._attempt == 1):
                self._say("failed")
                raise RuntimeError("as it was told to")
            self._say("end")
            return {"attempt": self._attempt}

    def _say(self, kind: str) -> None:
        line = f"{kind} {self._job_id} {self._attempt} {os.getpid()} {time.monotonic():.6f}\n"
        file = os.open(self._directory / "journal", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
