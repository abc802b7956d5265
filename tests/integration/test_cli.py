"""
The C{siger} command in a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.integration.free_port import free_port

_REPOSITORY = Path(__file__).parent.parent.parent
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_REPOSITORY)}

_NO_REACTOR = """
import sys
from siger.cli import main
status = main(["check", sys.argv[1]])
assert "twisted.internet.reactor" not in sys.modules, "a reactor was installed"
assert not [name for name in sys.modules if name.startswith("twisted.internet.")], "Twisted was loaded"
sys.exit(status)
"""

# An installed plugin is found by itself; in a checkout it lies beside the package. The command ends with its test.
_RUN = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
import twisted.plugins
twisted.plugins.__path__.append(sys.argv.pop(1))
from siger.cli import main
sys.exit(main())
"""


class CheckTests(TestCase):
    """
    C{siger check}.
    """

    def test_no_reactor(self) -> None:
        """
        Checking a file installs no reactor, and loads none of Twisted's.
        """
        command = [sys.executable, "-c", _NO_REACTOR, str(_REPOSITORY / "configs" / "quickstart.yaml")]
        done = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, timeout=60)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertIn("is valid", done.stdout)

    def test_exit_status(self) -> None:
        """
        The status of a bad file is 1, and its errors are on standard error.
        """
        command = [sys.executable, "-m", "siger.cli", "check", "-c", "/nonexistent/config.yaml"]
        done = subprocess.run(command, cwd=_REPOSITORY, env=_ENVIRONMENT, capture_output=True, text=True, timeout=60)
        error = "/nonexistent/config.yaml: cannot be read: No such file or directory\n"
        self.assertEqual((1, "", error), (done.returncode, done.stdout, done.stderr))


class RunTests(TestCase):
    """
    C{siger run}.
    """

    def test_run(self) -> None:
        """
        It starts the gateway in the foreground, without a process file, and ends with it.
        """
        port = free_port()
        with tempfile.TemporaryDirectory() as directory:
            config = Path(directory, "config.yaml")
            config.write_text(
                f"port: 127.0.0.1:{port}\ndata_dir: {directory}/data\naccess_log: off\ndrain_timeout: 2\n"
            )
            with Path(directory, "output").open("wb") as output:
                process = self.start(config, directory, output.fileno())
            try:
                self.wait_for(port, process, Path(directory, "output"))
                self.assertFalse(Path(directory, "twistd.pid").exists())
                process.send_signal(signal.SIGTERM)
                self.assertEqual(0, process.wait(20))
            finally:
                process.kill()
                process.wait()

    def start(self, config: Path, directory: str, output: int) -> subprocess.Popen[bytes]:
        """
        Start the command.
        """
        plugins = str(_REPOSITORY / "twisted_plugins")
        command = [sys.executable, "-c", _RUN, plugins, "run", "-c", str(config), "--umask=077"]
        return subprocess.Popen(command, cwd=directory, env=_ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT)

    def wait_for(self, port: int, process: subprocess.Popen[bytes], output: Path) -> None:
        """
        Wait until the gateway is healthy.
        """
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
                    self.assertEqual(b"OK", response.read().strip())
                    return
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    self.fail(f"the gateway does not answer:\n{output.read_text()}")
                time.sleep(0.05)
