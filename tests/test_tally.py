"""
Tests of C{.ci/tally.py}, which sums up trial's output for continuous integration.
"""

from __future__ import annotations

import runpy
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

TALLY = Path(__file__).resolve().parent.parent / ".ci" / "tally.py"

RULER = "-" * 79


class TallyTests(SynchronousTestCase):
    """
    Tests of what the summary counts, on text as trial prints it.
    """

    def tally(self, *lines: str) -> tuple[int, str]:
        """
        Sum up a log.

        @return: the exit status and the last line printed.
        """
        log = Path(self.mktemp())
        log.write_text("\n".join(lines) + "\n")
        self.patch(sys, "argv", [str(TALLY), str(log)])
        printed = StringIO()
        with redirect_stdout(printed), self.assertRaises(SystemExit) as ended:
            runpy.run_path(str(TALLY), run_name="__main__")
        return int(str(ended.exception.code)), printed.getvalue().splitlines()[-1]

    def test_passed(self) -> None:
        """
        Successes and expected failures have passed.
        """
        self.assertEqual(self.tally("PASSED (expectedFailures=2, successes=40)"), (0, "42 passed, 0 failed"))

    def test_failed(self) -> None:
        """
        Failures, errors and unexpected successes have failed.
        """
        said = "FAILED (failures=1, errors=2, unexpectedSuccesses=3, successes=40)"
        self.assertEqual(self.tally(said), (1, "40 passed, 6 failed"))

    def test_severalRuns(self) -> None:
        """
        The closing lines of several runs are added up.
        """
        self.assertEqual(self.tally("PASSED (successes=4)", "FAILED (errors=1)"), (1, "4 passed, 1 failed"))

    def test_nothingRan(self) -> None:
        """
        A log in which nothing passed is a failure.
        """
        self.assertEqual(self.tally("make: *** [Makefile:24: test] Error 1"), (1, "0 passed, 0 failed"))
        self.assertEqual(self.tally("PASSED"), (1, "0 passed, 0 failed"))

    def test_ourOwnSkips(self) -> None:
        """
        A test of ours that was skipped has failed.
        """
        log = ["[SKIPPED]", "no consul here", "", "tests.integration.test_consul.AgentTests.test_watch", RULER]
        self.assertEqual(self.tally(*log, "PASSED (skips=1, successes=3)"), (1, "3 passed, 1 failed"))

    def test_reactorSuites(self) -> None:
        """
        Twisted's own suites may skip what a platform lacks.
        """
        log = ["[SKIPPED]", "no IPv6", "", "tests.reactor_suites.test_tcp.SomeTests.test_ipv6", RULER]
        self.assertEqual(self.tally(*log, "PASSED (skips=1, successes=3)"), (0, "3 passed, 0 failed"))
