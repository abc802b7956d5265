"""
Runs C{twistd} with a profiler inside; L{benchmarks.hotpath} starts it and tells it by signals when to begin and to end.

C{python -m benchmarks.profiled sample|calls OUTPUT TWISTD-ARGUMENTS...}
"""

from __future__ import annotations

import cProfile
import io
import json
import pstats
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from benchmarks.tools import REPOSITORY

__all__ = ["BEGIN", "END"]

BEGIN = signal.SIGRTMIN + 2
END = signal.SIGRTMIN + 3
_INTERVAL = 0.001
_ROWS = 45


class Sampler:
    """
    Looks at the Python stack after each millisecond of CPU time.

    The interpreter runs the handler at the next call or jump back, so that time spent in C (the event loop, system
    calls) is booked on the Python code that runs next: mostly on the function that the event loop then calls.
    """

    def __init__(self) -> None:
        self._own: Counter[str] = Counter()
        self._lines: Counter[str] = Counter()
        self._within: Counter[str] = Counter()

    def begin(self) -> None:
        """
        Start looking.
        """
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)

    def end(self) -> str:
        """
        Stop looking.

        @return: the counts as JSON.
        """
        signal.setitimer(signal.ITIMER_PROF, 0)
        counts = {"own": self._own, "lines": self._lines, "within": self._within}
        return json.dumps(
            {name: counter.most_common(_ROWS) for name, counter in counts.items()} | {"samples": self._own.total()}
        )

    def _look(self, number: int, frame: FrameType | None) -> None:
        if frame is None:
            return
        self._lines[f"{_place(frame)}:{frame.f_lineno}"] += 1
        self._own[_place(frame)] += 1
        within = set()
        at: FrameType | None = frame
        while at is not None:
            within.add(_place(at))
            at = at.f_back
        self._within.update(within)


class Calls:
    """
    Counts calls with cProfile, which makes calls look dearer than they are: read the counts, not the times.
    """

    def __init__(self) -> None:
        self._profile = cProfile.Profile()

    def begin(self) -> None:
        """
        Start counting.
        """
        self._profile.enable()

    def end(self) -> str:
        """
        Stop counting.

        @return: cProfile's own table.
        """
        self._profile.disable()
        text = io.StringIO()
        pstats.Stats(self._profile, stream=text).sort_stats("tottime").print_stats(_ROWS)
        return text.getvalue()


def _place(frame: FrameType) -> str:
    """
    The function of a frame, with as much of the path as tells files apart.
    """
    code = frame.f_code
    return f"{'/'.join(code.co_filename.split('/')[-2:])} {code.co_qualname}"


def main() -> None:
    """
    Arm the signals and become twistd.
    """
    kind, output, *arguments = sys.argv[1:]
    profiler = Sampler() if kind == "sample" else Calls()

    def finish(number: int, frame: FrameType | None) -> None:
        partial = Path(output + ".part")
        partial.write_text(profiler.end())
        partial.rename(output)

    signal.signal(BEGIN, lambda number, frame: profiler.begin())
    signal.signal(END, finish)
    import twisted.plugins
    from twisted.scripts.twistd import run

    twisted.plugins.__path__.append(str(REPOSITORY / "twisted_plugins"))
    sys.argv = ["twistd", *arguments]
    run()


if __name__ == "__main__":
    main()
