"""
Tests for L{siger.observe.logging} under the commands that run a service: real C{twistd} and C{twist} processes.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

ROOT = Path(__file__).resolve().parents[2]

PLUGIN = """
from twisted.application.service import IServiceMaker, Service
from twisted.internet import defer
from twisted.logger import ILogObserver, Logger
from twisted.plugin import IPlugin
from twisted.python import usage
from zope.interface import implementer
import logging, sys

from siger.observe.logging import log_for_command


class Options(usage.Options):
    optParameters = [["log-level", None, "info", "The level."]]

    def postOptions(self):
        self.log = log_for_command(self.parent, self["log-level"], ["correct horse"])


log = Logger(namespace="chatter")


class Chatter(Service):
    def __init__(self, observer):
        self.observer = observer

    def setServiceParent(self, parent):
        if self.observer is not None:
            parent.setComponent(ILogObserver, self.observer)
        Service.setServiceParent(self, parent)

    def startService(self):
        from twisted.internet import reactor

        log.debug("details")
        log.info("started with the correct horse")
        reactor.callWhenRunning(self.run)

    def run(self):
        from twisted.internet import reactor

        print("printed")
        logging.getLogger("library").warning("library")
        defer.fail(ValueError("nobody caught this"))
        reactor.callLater(0.05, reactor.stop)


@implementer(IServiceMaker, IPlugin)
class Maker:
    tapname = "chatter"
    description = "Says something and stops."
    options = Options

    def makeService(self, options):
        return Chatter(options.log)


maker = Maker()
"""


class CommandTests(TestCase):
    """
    Each runs a process that logs a little and stops.
    """

    def setUp(self) -> None:
        """
        A directory with a plugin.
        """
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        plugins = self.directory / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "chatter_plugin.py").write_text(PLUGIN)

    def run_command(self, *arguments: str, terminal: bool = False) -> str:
        """
        Run a command of Twisted's to its end.

        @return: what it printed.
        """
        module, *rest = arguments
        environ = {**os.environ, "PYTHONPATH": f"{self.directory}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
        reader, writer = pty.openpty() if terminal else os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-c", f"from {module} import run; run()" if module != "twist" else TWIST, *rest],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            cwd=self.directory,
            env=environ,
        )
        os.close(writer)
        output = _read(reader)
        self.assertEqual(process.wait(30), 0, output)
        return output

    def events(self, text: str) -> dict[str, dict[str, Any]]:
        """
        JSON lines by their source; every line must be one.
        """
        documents = [json.loads(line) for line in text.splitlines()]
        return {document["logger"]: document for document in documents}

    def assert_events(self, events: dict[str, dict[str, Any]]) -> None:
        """
        Everybody's events are there as they ought to be.
        """
        self.assertEqual(events["chatter"]["message"], "started with the [redacted]")
        self.assertEqual(events["chatter"]["level"], "info")
        self.assertEqual(events["stdout"]["message"], "printed")
        self.assertEqual((events["library"]["level"], events["library"]["message"]), ("warn", "library"))
        critical = [event for event in events.values() if event["level"] == "critical"]
        self.assertEqual([event["message"] for event in critical], ["ValueError: nobody caught this"])
        self.assertIn("nobody caught this", critical[0]["traceback"])

    def test_twistd(self) -> None:
        """
        C{twistd -n} logs JSON lines and nothing else.
        """
        output = self.run_command("twisted.scripts.twistd", "-n", "--pidfile=", "chatter")
        self.assert_events(self.events(output))

    def test_twistd_at_a_terminal(self) -> None:
        """
        At a terminal C{twistd -n} logs for people.
        """
        output = self.run_command("twisted.scripts.twistd", "-n", "--pidfile=", "chatter", terminal=True)
        self.assertIn("Z info     chatter: started with the [redacted]\n", output.replace("\r\n", "\n"))
        self.assertNotIn("{", output)

    def test_twistd_with_a_level(self) -> None:
        """
        The level decides what is logged.
        """
        options = ("twisted.scripts.twistd", "-n", "--pidfile=", "chatter", "--log-level")
        self.assertEqual(self.events(self.run_command(*options, "debug"))["chatter"]["level"], "info")
        self.assertIn("details", self.run_command(*options, "debug"))
        self.assertEqual(
            {event["level"] for event in self.events(self.run_command(*options, "error")).values()}, {"critical"}
        )

    def test_twistd_with_a_log_file(self) -> None:
        """
        The log file that C{twistd} is told of is written, in JSON.
        """
        path = self.directory / "siger.log"
        output = self.run_command("twisted.scripts.twistd", "-n", "--pidfile=", f"--logfile={path}", "chatter")
        self.assertEqual(output, "")
        self.assert_events(self.events(path.read_text()))

    def test_twist(self) -> None:
        """
        C{twist} logs the same.
        """
        self.assert_events(self.events(self.run_command("twist", "chatter")))

    def test_twist_with_a_level(self) -> None:
        """
        Our level rules under C{twist} too.
        """
        self.assertIn("details", self.run_command("twist", "chatter", "--log-level", "debug"))

    def test_twist_with_a_format(self) -> None:
        """
        A format that C{twist} is told is used.
        """
        output = self.run_command("twist", "--log-format=text", "chatter")
        self.assertIn("Z info     chatter: started with the [redacted]\n", output)


TWIST = "from twisted.application.twist._twist import Twist; Twist.main()"


def _read(descriptor: int) -> str:
    """
    Everything until the other end closes; a terminal says so by an error.
    """
    pieces: list[bytes] = []
    try:
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)
    except OSError:
        pass
    os.close(descriptor)
    return b"".join(pieces).decode("utf-8")
