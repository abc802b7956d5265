"""
Tests of L{siger.worker.worker}, and of what the package needs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.worker import JobContext, Worker
from tests.worker.memory import run

_ALONE = """
import sys
import siger.worker, siger.worker.command, siger.worker.program, siger.demo.training
siger.worker.Worker("localhost", ["x"])
found = sorted(name for name in sys.modules if name.split(".")[0] in ("twisted", "klein", "zope", "treq", "uvloop"))
sys.exit(f"imports {found[:5]}" if found else 0)
"""


class WorkerTests(SynchronousTestCase):
    """
    How a worker is made.
    """

    def test_alone(self) -> None:
        """
        Neither Twisted nor Klein is needed where workers run.
        """
        command = [sys.executable, "-c", _ALONE]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_wrong(self) -> None:
        """
        Types have to be such that there can be a queue for them, and each needs a handler.
        """
        self.assertRaises(ValueError, Worker, "localhost", [])
        self.assertRaises(ValueError, Worker, "localhost", ["a.b"])
        worker = Worker("localhost", ["a", "b"])

        @worker.handler("a")
        async def handle(job: JobContext) -> object:
            return None

        self.assertRaises(ValueError, run, worker.run(signals=False))

    def test_names(self) -> None:
        """
        Workers name themselves, each differently.
        """
        names = {Worker("localhost", ["a"]).name for _ in range(3)}
        self.assertEqual(len(names), 3)
        self.assertEqual(repr(Worker("localhost", ["a"], name="w", gpus=4)), "<Worker w 0/4>")
