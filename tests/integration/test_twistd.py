"""
Tests of C{twistd siger} and C{twist siger} as programs: what they print and how they exit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config

CHECKOUT = Path(__file__).resolve().parent.parent.parent
_PLUGINS = "import sys, twisted.plugins; twisted.plugins.__path__.append(sys.argv.pop(1))\n"
TWISTD = f"{_PLUGINS}sys.argv[0] = 'twistd'\nfrom twisted.scripts.twistd import run\nrun()"
TWIST = f"{_PLUGINS}sys.argv[0] = 'twist'\nfrom twisted.application.twist._twist import Twist\nsys.exit(Twist.main())"


class CommandTests(SynchronousTestCase):
    """
    Tests of starts that end by themselves.
    """

    def setUp(self) -> None:
        """
        Run in an empty directory.
        """
        self.room = Path(tempfile.mkdtemp(prefix="siger-twistd-"))
        self.addCleanup(shutil.rmtree, self.room)

    def write(self, text: str) -> str:
        """
        Write a configuration.
        """
        path = self.room / "siger.yaml"
        path.write_text(text)
        return str(path)

    def start(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        """
        Start a program.
        """
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SIGER_")}
        program = subprocess.Popen(
            [sys.executable, "-c", code, str(CHECKOUT / "twisted_plugins"), *arguments],
            cwd=self.room,
            env={**environ, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(program.wait, 10)
        self.addCleanup(program.kill)
        return program

    def run_to_end(self, code: str, *arguments: str) -> tuple[int, str]:
        """
        Run a program that has no reason to stay.

        @return: its exit status, and all that it printed.
        """
        program = self.start(code, *arguments)
        printed, _ = program.communicate(timeout=60)
        return program.returncode, printed

    def test_badConfiguration(self) -> None:
        """
        Every fault of a configuration is printed, nothing is started, and the status says that it failed.
        """
        config = self.write("port: 99999\nprot: 1\n")
        for code, arguments, status in ((TWISTD, ["-n"], 1), (TWIST, [], 64)):
            ended, printed = self.run_to_end(code, *arguments, "siger", "--config", config)
            self.assertEqual(ended, status, printed)
            self.assertIn("siger.yaml:1: port:", printed)
            self.assertIn("siger.yaml:2: prot:", printed)
            self.assertNotIn("Traceback", printed)

    def test_forcedReactor(self) -> None:
        """
        A reactor that Siger cannot run on, forced on the command line, is named and refused.
        """
        for code, arguments, status in ((TWISTD, ["-n"], 1), (TWIST, [], 64)):
            ended, printed = self.run_to_end(code, *arguments, "--reactor=epoll", "siger", "--config", self.write(""))
            self.assertEqual(ended, status, printed)
            self.assertIn("EPollReactor is already installed", printed)
            self.assertNotIn("Traceback", printed)

    def test_portInUse(self) -> None:
        """
        A port in use is said in one line, with a status that says that it failed, and no pid file stays.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            config = self.write(f"port: '127.0.0.1:{port}'\nconsul_address: ''\nnats_address: ''\ndata_dir: .\n")
            for code, arguments in ((TWISTD, ["-n"]), (TWIST, [])):
                ended, printed = self.run_to_end(code, *arguments, "siger", "--config", config)
                self.assertEqual(ended, 1, printed)
                self.assertIn(f"siger: cannot listen on 127.0.0.1:{port}: Address already in use", printed)
                self.assertNotIn("Traceback", printed)
        self.assertFalse((self.room / "twistd.pid").exists())

    def test_everyLineOfTheLog(self) -> None:
        """
        Under C{twistd} and C{twist} alike the gateway answers, ends with status 0 at SIGTERM, and has logged nothing
        but lines of JSON from the first to the last.
        """
        for code, arguments in ((TWISTD, ["-n", "--pidfile="]), (TWIST, [])):
            port = free_port()
            config = self.write(f"port: '127.0.0.1:{port}'\nconsul_address: ''\nnats_address: ''\ndata_dir: .\n")
            program = self.start(code, *arguments, "siger", "--config", config)
            assert program.stdout is not None
            loggers = set()
            for line in program.stdout:
                event = json.loads(line)
                loggers.add(event["logger"])
                if event["message"].startswith("listening on "):
                    self.ask_health(port)
                    program.terminate()
            self.assertEqual(program.wait(30), 0)
            self.assertIn("siger.gateway.Gateway", loggers)

    def ask_health(self, port: int) -> None:
        """
        Fail unless the gateway there is well.
        """
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            self.assertEqual(answer.read(), b"OK")


class RunningTests(SynchronousTestCase):
    """
    Tests of a gateway that runs until it gets a signal.
    """

    def test_signals(self) -> None:
        """
        SIGTERM and SIGINT end it with status 0, and nothing in its log is a traceback.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            gateway = GatewayProcess(echo_config(free_port())).start()
            try:
                self.assertEqual(gateway.status_of("/health"), 200)
                gateway.signal(number)
                self.assertEqual(gateway.wait(), 0, gateway.output())
                self.assertNotIn("Traceback", gateway.output())
            finally:
                gateway.kill()
