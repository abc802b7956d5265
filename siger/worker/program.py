"""
A program as the handler of jobs.

It gets the job as JSON on its standard input and in its environment. What it prints becomes the job's log, but for the
lines that L{siger.worker.protocol} knows; how it exits is how the job ends. Nothing of it outlives the job, nor the
worker: see L{siger.worker.guard}.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from siger.jobs.submission import message_bytes
from siger.worker import guard
from siger.worker.context import JobContext
from siger.worker.errors import JobCancelled, JobFailed
from siger.worker.lines import Lines
from siger.worker.protocol import Progress, Result, read_line

__all__ = ["FINAL", "Program"]

FINAL: Final = (64, 65, 66, 78)
"""
Exit statuses that another attempt would not change, as in C{sysexits.h}: how it was called, its input, its
configuration.
"""
#: The longest job that fits into a variable of the environment: Linux allows 128 KiB.
_LARGEST_VARIABLE: Final = 120_000
_CHUNK: Final = 65536
#: Seconds for what was printed to arrive when nobody is left who could print.
_LAST_OUTPUT: Final = 5.0


class Program:
    """
    Runs a program for each job.
    """

    def __init__(
        self, command: Sequence[str], devices: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        """
        @param devices: what CUDA calls the GPUs by their numbers here, or C{None} to let programs see what they will.
        """
        self._command = list(command)
        self._devices = devices
        self._environ = environ

    async def __call__(self, job: JobContext) -> object:
        """
        Run it for a job.

        @return: the result that it told.
        """
        ours, tether = _tether()
        try:
            process = await self._start(job, tether)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(tether)
        try:
            return await _Execution(job, process).finish()
        finally:
            os.close(ours)  # whatever is left of it is killed now
            await asyncio.shield(process.wait())

    async def _start(self, job: JobContext, tether: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(guard.__file__).absolute()), str(tether), *self._command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(tether,),
            start_new_session=True,
            env=self.environment(job),
        )

    def environment(self, job: JobContext) -> dict[str, str]:
        """
        The worker's own, without what is meant for Siger, which may be secret, and with the job.
        """
        variables = {name: value for name, value in self._environ.items() if not name.startswith("SIGER_")}
        content = document(job)
        if len(content) <= _LARGEST_VARIABLE:
            variables["SIGER_JOB"] = content.decode()
        if self._devices is not None:
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(self._devices[number] for number in job.gpus)
        return variables | {
            "SIGER_JOB_ID": job.id,
            "SIGER_JOB_TYPE": job.type,
            "SIGER_ATTEMPT": str(job.attempt),
        }


def document(job: JobContext) -> bytes:
    """
    The job for a program to read.
    """
    return orjson.dumps(orjson.loads(message_bytes(job.job)) | {"attempt": job.attempt, "gpus": list(job.gpus)})


def _tether() -> tuple[int, int]:
    """
    A pipe by whose end the guard knows that it is to end.

    @return: our end and the guard's.
    """
    theirs, ours = os.pipe()
    return ours, theirs


class _Execution:
    """
    One run of the program.
    """

    def __init__(self, job: JobContext, process: asyncio.subprocess.Process) -> None:
        self._job = job
        self._process = process
        self._result: object = None
        self._complaint = ""

    async def finish(self) -> object:
        """
        See it through.
        """
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        reading = [
            asyncio.create_task(self._read(self._process.stdout, self._output)),
            asyncio.create_task(self._read(self._process.stderr, self._complain)),
        ]
        others = [asyncio.create_task(self._feed()), asyncio.create_task(self._interrupt())]
        try:
            status = await self._process.wait()
            await asyncio.wait(reading, timeout=_LAST_OUTPUT)
        finally:
            for task in (*reading, *others):
                task.cancel()
            await asyncio.wait((*reading, *others))
        return self._outcome(status)

    def _outcome(self, status: int) -> object:
        if status == 0:
            return self._result
        if self._job.cancelled.is_set():
            raise JobCancelled
        why = f"signal {-status} ({_signal_name(-status)})" if status < 0 else f"exit status {status}"
        raise JobFailed(f"{why}: {self._complaint}" if self._complaint else why, retry=status not in FINAL)

    async def _feed(self) -> None:
        """
        Give it the job to read, if it wants to.
        """
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):
            stdin.write(document(self._job) + b"\n")
            await stdin.drain()
        stdin.close()

    async def _interrupt(self) -> None:
        """
        Ask it to end when the job is to stop.
        """
        await self._job.cancelled.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGTERM)

    async def _read(self, stream: asyncio.StreamReader, take: Callable[[str], Awaitable[None]]) -> None:
        lines = Lines()
        while data := await stream.read(_CHUNK):
            for line in lines.feed(data):
                await take(line)
        for line in lines.end():
            await take(line)

    async def _output(self, line: str) -> None:
        said = read_line(line)
        if isinstance(said, Progress):
            await self._job.progress(said.percent, said.message)
        elif isinstance(said, Result):
            self._result = said.value
        else:
            await self._job.log(said)

    async def _complain(self, line: str) -> None:
        if line.strip():
            self._complaint = line[:1000]
        await self._job.log(line, "error")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "?"
