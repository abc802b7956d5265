"""
Every response case, sent by a raw backend in several ways, and what a client of a real gateway gets of it.

The tests are made from C{tests/cases/responses.json}: one method for each case and mode, named after both.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.case_files import Case, load_responses
from tests.integration.case_runner import CaseRunner
from tests.integration.loop_thread import run_in_loop
from tests.integration.raw_client import WRITE_MODES
from tests.integration.shared_gateway import shared_pair


class ResponseCaseTests(SynchronousTestCase):
    """
    The gateway takes each response as the case says, and the next requests get their own answers.
    """

    def _check(self, case: Case, mode: str) -> None:
        pair = shared_pair()
        runner = CaseRunner(pair.gateway.port, pair.backend)
        faults = run_in_loop(runner.response(case, mode))
        self.assertTrue(pair.gateway.alive, pair.gateway.output())
        if faults:
            self.fail("\n".join([f"{case.id} {WRITE_MODES[mode]}: {case.raw[:200]!r}", *faults]))


def _test(case: Case, mode: str) -> Callable[[ResponseCaseTests], None]:
    def test(self: ResponseCaseTests) -> None:
        self._check(case, mode)

    test.__doc__ = f"C{{{case.id}}}, {WRITE_MODES[mode]}: {case.why} ({case.expect})."
    return test


for _case in load_responses():
    for _mode in ("whole", "bytes", "lines"):
        setattr(ResponseCaseTests, f"test_{_case.method_name}_{_mode}", _test(_case, _mode))
