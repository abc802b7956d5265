"""
Tests of L{siger.jobs.client.view}.
"""

from __future__ import annotations

import io
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.screen import Screen
from siger.jobs.client.view import View, gpus
from tests.jobs.client.test_screen import Tty


def status(word: str, attempt: int = 1, **members: Any) -> dict[str, Any]:
    """
    A C{status} event.
    """
    return {"event": "status", "status": word, "attempt": attempt, **members}


def progress(percent: int, message: str = "", attempt: int = 1) -> dict[str, Any]:
    """
    A C{progress} event.
    """
    return {"event": "progress", "progress": percent, "message": message, "attempt": attempt}


def log(text: str) -> dict[str, Any]:
    """
    A C{log} event.
    """
    return {"event": "log", "message": text, "attempt": 1}


class PlainTests(SynchronousTestCase):
    """
    A job watched where lines stay: a file, a pipe.
    """

    def setUp(self) -> None:
        """
        Have such a place.
        """
        self.out = io.StringIO()
        self.view = View(Screen(self.out))

    def shown(self, *events: dict[str, Any]) -> list[str]:
        """
        The lines that events become.
        """
        self.view.show(events)
        lines = self.out.getvalue().splitlines()
        self.out.seek(0)
        self.out.truncate()
        return lines

    def test_life(self) -> None:
        """
        Every change of state is a line, every line of the log is one, and progress now and then.
        """
        self.view.begin({"name": "BERT", "type": "ai_training", "gpu_type": "A100", "gpu_count": 4})
        events = [
            status("queued", 0, message="Welcome"),
            status("queued", 0),
            status("processing", worker="w"),
            log("hi"),
        ]
        events += [progress(number, f"step {number}") for number in range(0, 101, 3)] + [progress(100, "done")]
        self.assertEqual(
            self.shown(*events),
            ["BERT (ai_training, 4 x A100)", "-- queued: Welcome", "-- processing by w", "hi"]
            + [f"-- {number:3d} %  step {number}" for number in range(0, 97, 12)]
            + ["-- 100 %  done"],
        )

    def test_again(self) -> None:
        """
        Another attempt is another state, and begins from nothing.
        """
        lines = self.shown(
            status("processing", worker="w"),
            progress(50, "half"),
            status("retrying", error="boom"),
            status("processing", 2, worker="v"),
            progress(10, "anew", 2),
        )
        self.assertEqual(
            lines[2:], ["-- Attempt 1 failed; trying again: boom", "-- processing, attempt 2 by v", "--  10 %  anew"]
        )

    def test_cancelling(self) -> None:
        """
        That a job is to be cancelled is told once.
        """
        lines = self.shown(status("processing"), *[status("cancelling", 0, message="Requested")] * 2)
        self.assertEqual(lines, ["-- processing", "-- cancelling: Requested"])

    def test_end(self) -> None:
        """
        The end is what the record says, with its result or error; a long result is cut.
        """
        self.view.end({"status": "completed", "message": "Job completed", "result": {"é": 1}})
        self.assertEqual(self.shown(), ["completed: Job completed", 'result: {"é": 1}'])
        self.view.end({"status": "failed", "message": "Job failed", "error": "a\nb", "result": None})
        self.assertEqual(self.shown(), ["failed: Job failed", "error: a", "b"])
        self.view.end({"status": "completed", "message": "", "result": "x" * 9999})
        first, result = self.shown()
        self.assertEqual(
            (first, result.endswith("… (siger job show has it)"), len(result) < 600), ("completed", True, True)
        )

    def test_unknown(self) -> None:
        """
        Events of later versions, and ones that lack something, do no harm.
        """
        self.assertEqual(self.shown({}, {"event": "metric"}, {"event": "progress", "progress": "x"}), ["--   0 %"])

    def test_trouble(self) -> None:
        """
        A lost connection that comes back is nobody's concern.
        """
        self.view.trouble("lost")
        self.assertEqual(self.shown(), [])


class LiveTests(SynchronousTestCase):
    """
    A job watched at a terminal.
    """

    def setUp(self) -> None:
        """
        Have one.
        """
        self.out = Tty()
        self.columns = 80
        self.view = View(Screen(self.out, lambda: self.columns))

    def last(self, *events: dict[str, Any]) -> str:
        """
        What the last line is after events.
        """
        self.view.show(events)
        return self.out.getvalue().rpartition("\r\x1b[K")[2]

    def test_bar(self) -> None:
        """
        The last line shows the state, a bar and the last message; a bar only where something can move.
        """
        self.assertEqual(self.last(status("queued", 0, message="Welcome")), "queued  Welcome")
        line = self.last(status("processing"), log("hi"), progress(50, "half"))
        self.assertEqual(line, f"processing  {'█' * 13}{'░' * 13}  50 %  half")
        self.assertIn("hi\n", self.out.getvalue())
        self.assertNotIn("--", self.out.getvalue())

    def test_narrow(self) -> None:
        """
        On a narrow terminal there is no bar.
        """
        self.columns = 30
        self.assertEqual(
            self.last(status("processing"), progress(50, "half of it is done")), "processing   50 %  half of i…"
        )

    def test_back(self) -> None:
        """
        Progress does not go back within an attempt.
        """
        self.assertIn("  50 %  later", self.last(status("processing"), progress(50, "x"), progress(40, "later")))
        self.assertIn("processing, attempt 2", self.last(status("retrying"), status("processing", 2)))
        self.assertIn("   5 %", self.last(progress(5, "", 2)))

    def test_trouble(self) -> None:
        """
        While the connection is lost the last line says so; then it is as before.
        """
        self.last(status("processing"), progress(50, "half"))
        self.view.trouble("lost; trying again")
        self.assertEqual(self.last(), "lost; trying again")
        self.assertIn("  51 %", self.last(progress(51)))

    def test_end(self) -> None:
        """
        At the end the line goes.
        """
        self.last(status("processing"), progress(50, "half"))
        self.view.end({"status": "cancelled", "message": "Job cancelled"})
        self.assertTrue(self.out.getvalue().endswith("half\r\x1b[Kcancelled: Job cancelled\n"))
        self.view.leave()
        self.assertTrue(self.out.getvalue().endswith("cancelled: Job cancelled\n"))


class GpusTests(SynchronousTestCase):
    """
    GPUs in words.
    """

    def test_gpus(self) -> None:
        """
        How many, and which if that matters.
        """
        for count, kind, expected in [
            (0, "A100", "no GPU"),
            (1, "any", "1 GPU"),
            (2, "any", "2 GPUs"),
            (4, "L4", "4 x L4"),
        ]:
            self.assertEqual(gpus({"gpu_count": count, "gpu_type": kind}), expected)
