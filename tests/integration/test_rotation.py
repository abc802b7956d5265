"""
Log rotation as logrotate does it: the files are renamed, a signal is sent, and there are new files under the old names.
"""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import run_in_loop
from tests.integration.steady_load import SteadyLoad, named_backend

Line = dict[str, Any]

SOON = 1.0
"""Seconds in which some of the clients have surely asked again, on a busy machine too."""
CLOCKS = 0.005
"""Seconds by which the times in the log and in the test may differ: the log cuts off microseconds."""


class RotationTests(SynchronousTestCase):
    """
    SIGHUP and SIGUSR1 under load.
    """

    def setUp(self) -> None:
        backend = named_backend(b"echo")
        self.addCleanup(lambda: run_in_loop(backend.stop()))
        self.gateway = GatewayProcess(echo_config(backend.port))
        self.addCleanup(self.gateway.kill)
        self.gateway.options.append(f"--logfile={self.gateway.directory / 'siger.log'}")
        self.gateway.start()

    def test_rotation(self) -> None:
        """
        Either signal begins both logs anew. Each request has one line, in the file that was there at its time; no line
        is torn; the application log goes on where it was; no request fails.
        """
        load = SteadyLoad(self.gateway.port, b"/services/echo/", clients=8, pause=0.005).start()
        self.addCleanup(load.stop)
        turns = [self.rotate(load, signal.SIGHUP, "1"), self.rotate(load, signal.SIGUSR1, "2")]
        self.more(load)
        load.stop()
        self.gateway.signal()
        self.assertEqual(self.gateway.wait(), 0)
        self.assertEqual(load.failures, [])

        files = [[line for line in self.lines(f"access.log{end}") if line["service"]] for end in (".1", ".2", "")]
        self.assertEqual(len({line["request_id"] for lines in files for line in lines}), len(load.answers))
        self.assertEqual(sum(map(len, files)), len(load.answers))
        self.assertTrue(all(len(lines) > 100 for lines in files), list(map(len, files)))
        for (before, after), old, new in zip(turns, files, files[1:], strict=False):
            # Until the signal lines go to the file that was moved, and from then on none does.
            self.assertTrue(before - SOON < max(map(_ended, old)) < after)
            self.assertTrue(before - CLOCKS < min(map(_ended, new)) < before + SOON)

        said = [[line["message"] for line in self.lines(f"siger.log{end}")] for end in (".1", ".2", "")]
        self.assertIn("reactor class", str(said[0]))
        for messages in said[1:]:
            self.assertEqual(messages[0], "log files were opened anew")
        self.assertEqual(len(said[1]), 1)
        self.assertIn("stopping on SIGTERM", said[2])
        self.assertEqual(self.gateway.output(), "")

    def more(self, load: SteadyLoad) -> None:
        """
        Wait for further requests that make more than a hundred lines.
        """
        enough = len(load.answers) + 150
        self.gateway.wait_until(lambda: len(load.answers) >= enough, "answering", 30)

    def rotate(self, load: SteadyLoad, number: signal.Signals, end: str) -> tuple[float, float]:
        """
        Let some requests be logged, move the files away, and send the signal.

        @return: the time before the signal, and when there was something in both new files.
        """
        self.more(load)
        names = ("access.log", "siger.log")
        for name in names:
            (self.gateway.directory / name).rename(self.gateway.directory / f"{name}.{end}")
        time.sleep(0.2)  # what comes now still belongs to the old ones
        before = time.time()
        self.gateway.signal(number)
        files = [self.gateway.directory / name for name in names]
        self.gateway.wait_until(lambda: all(one.exists() and one.stat().st_size for one in files), "reopened", 5)
        return before, time.time()

    def lines(self, name: str) -> list[Line]:
        """
        The lines of a file, each complete.
        """
        content = (self.gateway.directory / name).read_bytes()
        self.assertTrue(content.endswith(b"\n"), content[-100:])
        return [json.loads(line) for line in content.splitlines()]


def _ended(line: Line) -> float:
    """
    When a request had its answer, which is when it is logged.
    """
    return datetime.fromisoformat(line["time"]).timestamp()
