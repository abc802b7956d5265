"""
Tests of L{siger.jobs.client.tables}.
"""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.tables import described, table
from tests.jobs.making import JOB_ID, job

RUNNING = evolve(
    job(name="漢字", gpu_type="A100", gpu_count=4, priority=8, tags=("a", "b"), params={"x": {"y": 1}}),
    status="processing",
    progress=7,
    attempts=2,
    worker="w",
    message="On it",
    started_at="1970-01-01T00:20:00.000Z",
)


class TableTests(SynchronousTestCase):
    """
    Many jobs.
    """

    def test_table(self) -> None:
        """
        There is a line for each, in columns.
        """
        lines = table([RUNNING.public(), job().public()]).splitlines()
        self.assertEqual(
            lines,
            [
                f"{'JOB ID':36}  STATUS      DONE  TYPE         GPUS      SUBMITTED             NAME",
                f"{JOB_ID}  processing  7 %   ai_training  4 x A100  1970-01-01 00:16:40Z  漢字",
                f"{JOB_ID}  queued      0 %   ai_training  1 GPU     1970-01-01 00:16:40Z  A job",
            ],
        )

    def test_owners(self) -> None:
        """
        Their users are told when there may be several.
        """
        lines = table([job().public()], owners=True).splitlines()
        self.assertTrue(lines[0].endswith("USER   NAME") and lines[1].endswith("alice  A job"))

    def test_terminal(self) -> None:
        """
        At a terminal no line is wider than that, and none has what would move the cursor.
        """
        lines = table([{**job().public(), "name": "x\x1b[2J" + "y" * 100}], 100).splitlines()
        self.assertEqual((len(lines[1]), lines[1][-1], "\x1b" in lines[1]), (100, "…", False))

    def test_odd(self) -> None:
        """
        Members that a gateway of another version leaves out do no harm.
        """
        self.assertIn("None", table([{}]))
        self.assertIn("None", described({}))


class DescribedTests(SynchronousTestCase):
    """
    One job.
    """

    def test_running(self) -> None:
        """
        All that is known is told, and nothing that is not.
        """
        self.assertEqual(
            described(RUNNING.public()),
            f"Job          {JOB_ID}\n"
            "Name         漢字\n"
            "State        processing, 7 %, attempt 2 by w\n"
            "Message      On it\n"
            "Type         ai_training, 4 x A100, priority 8\n"
            "Tags         a, b\n"
            "Limits       2 retries\n"
            "Submitted    1970-01-01 00:16:40.000Z by alice\n"
            "Started      1970-01-01 00:20:00.000Z\n"
            "Parameters   {\n"
            '               "x": {\n'
            '                 "y": 1\n'
            "               }\n"
            "             }",
        )

    def test_queued(self) -> None:
        """
        A job that waits has its place in the queue.
        """
        queue = {"type": "ai_training", "lane": "normal", "position": 1, "ahead": 0}
        for ahead, expected in [(0, "next"), (1, "after 1 other"), (5, "after 5 others")]:
            text = described({**job().public(), "queue": {**queue, "ahead": ahead}, "stale": True})
            self.assertIn(f"State        queued, {expected} in the normal lane of ai_training\n", text)
            self.assertTrue(text.endswith("may be old"))

    def test_ended(self) -> None:
        """
        One that has ended has what it came to.
        """
        ended = evolve(
            RUNNING, status="failed", error="boom\nat line 1\x1b[1A", result={"a": []}, timeout=60, max_retries=1
        )
        text = described(ended.public())
        self.assertIn("Error        boom\n             at line 1\n", text)
        self.assertIn("Limits       1 retry, 60 s for each attempt\n", text)
        self.assertTrue(text.endswith('Result       {\n               "a": []\n             }'))
