"""
Sum up what trial printed as one line, C{N passed, N failed}.

Our own tests never skip: a program that they need and do not find is a failure, or a missing install step would go
unnoticed.  Twisted's reactor suites, run against our reactor, skip by themselves what a platform lacks.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

#: Test modules whose skips are their authors' and not ours.
MAY_SKIP = ("tests.reactor_suites", "twisted.")

_CLOSING = re.compile(r"(?:PASSED|FAILED)(?: \(([^)]*)\))?")
_OUTCOME = re.compile(r"(\w+)=(\d+)")
_TEST_ID = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


def outcomes(lines: list[str]) -> dict[str, int]:
    """
    Add up the closing lines, one for each run of trial, as in C{FAILED (failures=1, successes=120)}.
    """
    total: dict[str, int] = {}
    for line in lines:
        if closing := _CLOSING.fullmatch(line):
            for name, count in _OUTCOME.findall(closing[1] or ""):
                total[name] = total.get(name, 0) + int(count)
    return total


def wrongly_skipped(lines: list[str]) -> list[str]:
    """
    Name the skipped tests that had no leave to skip: trial lists them below each reason, in blocks between rulers.
    """
    found = []
    inside = False
    for line in lines:
        if line == "[SKIPPED]":
            inside = True
        elif line.startswith(("====", "----")):
            inside = False
        elif inside and _TEST_ID.fullmatch(line) and not line.startswith(MAY_SKIP):
            found.append(line)
    return found


def main(path: str) -> int:
    """
    Print the summary of the log at C{path}.

    @return: the exit status: 0 when something passed and nothing failed.
    """
    lines = Path(path).read_text(errors="replace").splitlines()
    total = outcomes(lines)
    skipped = wrongly_skipped(lines)
    for test in skipped:
        print(f"skipped, and must not be: {test}")
    passed = total.get("successes", 0) + total.get("expectedFailures", 0)
    failed = sum(total.get(name, 0) for name in ("failures", "errors", "unexpectedSuccesses")) + len(skipped)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
