"""
Every request case, in every write mode, through a real socket against a real gateway and a raw backend.

The tests are made from C{tests/cases/requests.json}: one method for each case and mode, named after both.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.case_files import Case, load_requests
from tests.integration.case_runner import CaseRunner
from tests.integration.loop_thread import run_in_loop
from tests.integration.raw_client import WRITE_MODES
from tests.integration.shared_gateway import shared_pair


class RequestCaseTests(SynchronousTestCase):
    """
    The gateway takes each case as the case says, however its bytes are split.
    """

    def _check(self, case: Case, mode: str, accept_websocket: bool = True) -> None:
        pair = shared_pair()
        runner = CaseRunner(pair.gateway.port, pair.backend)
        faults = run_in_loop(runner.request(case, mode, accept_websocket))
        self.assertTrue(pair.gateway.alive, pair.gateway.output())
        if faults:
            self.fail("\n".join([f"{case.id} {WRITE_MODES[mode]}: {case.raw[:200]!r}", *faults]))


def _test(case: Case, mode: str) -> Callable[[RequestCaseTests], None]:
    def test(self: RequestCaseTests) -> None:
        self._check(case, mode)

    test.__doc__ = f"C{{{case.id}}}, {WRITE_MODES[mode]}: {case.why} ({case.expect})."
    return test


def _refused_upgrade_test(case: Case, mode: str) -> Callable[[RequestCaseTests], None]:
    def test(self: RequestCaseTests) -> None:
        self._check(case, mode, accept_websocket=False)

    test.__doc__ = f"C{{{case.id}}}, {WRITE_MODES[mode]}, when the backend refuses the upgrade: {case.why}."
    return test


for _case in load_requests():
    for _mode in WRITE_MODES:
        setattr(RequestCaseTests, f"test_{_case.method_name}_{_mode}", _test(_case, _mode))
        if _case.id == "up-ws-early":
            setattr(RequestCaseTests, f"test_{_case.method_name}_refused_{_mode}", _refused_upgrade_test(_case, _mode))
