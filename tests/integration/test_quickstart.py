"""
Tests of C{python -m siger.demo.quickstart}, which is what C{make run} runs: real processes, on free ports.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.demo.quickstart import WORKER_LEAST
from tests.integration.free_port import free_port

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def listening(port: int) -> bool:
    """
    Whether somebody accepts connections there.
    """
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(true: Callable[[], bool], seconds: float = 30) -> bool:
    """
    Wait until C{true()}, but not for ever.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def running_in(room: Path) -> list[str]:
    """
    The processes whose working directory this is, or one in it.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(room):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def children(pid: int) -> dict[int, str]:
    """
    The processes that a process has started, with their command lines.
    """
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found[int(directory.name)] = (directory / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            continue  # it has ended meanwhile
    return found


def descendants(pid: int) -> dict[int, str]:
    """
    Those, and what they have started.
    """
    found = children(pid)
    for child in list(found):
        found |= descendants(child)
    return found


def alive(pid: int) -> bool:
    """
    Whether there is such a process, and it has not only to be collected.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class LauncherTestCase(SynchronousTestCase):
    """
    What tests of the launcher need.
    """

    extra = ""
    """What a test adds to the configuration."""

    def setUp(self) -> None:
        """
        Have a configuration like the one that is shipped, on ports that nobody uses.
        """
        self.room = Path(tempfile.mkdtemp(prefix="siger-quickstart-"))
        self.addCleanup(shutil.rmtree, self.room)
        self.ports = [free_port() for _ in range(5)]
        shipped = (CHECKOUT / "configs" / "quickstart.yaml").read_text()
        for was, port in zip(("8080", "9001", "9002", "9003", "9004"), self.ports, strict=True):
            self.assertIn(f"127.0.0.1:{was}", shipped)
            shipped = shipped.replace(f"127.0.0.1:{was}", f"127.0.0.1:{port}")
        (self.room / "quickstart.yaml").write_text(shipped + self.extra)
        # twistd looks for plugins in twisted/plugins on the path, where the checkout has none.
        (self.room / "path" / "twisted").mkdir(parents=True)
        (self.room / "path" / "twisted" / "plugins").symlink_to(CHECKOUT / "twisted_plugins")

    def launch(self) -> subprocess.Popen[str]:
        """
        Start the launcher.
        """
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SIGER_")}
        with (self.room / "output").open("w") as output:
            launcher = subprocess.Popen(
                [sys.executable, "-P", "-m", "siger.demo.quickstart", "--config", "quickstart.yaml"],
                cwd=self.room,
                env={**environ, "PYTHONPATH": f"{CHECKOUT}:{self.room / 'path'}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.addCleanup(self.end, launcher)
        return launcher

    def end(self, launcher: subprocess.Popen[str]) -> None:
        """
        End it and all that it has started, so that nobody writes to the room any more.
        """
        family = descendants(launcher.pid)
        launcher.terminate()
        try:
            launcher.wait(20)
        except subprocess.TimeoutExpired:
            launcher.kill()
            launcher.wait(10)
        eventually(lambda: not any(map(alive, family)), 10)

    def printed(self) -> str:
        """
        All that was printed so far.
        """
        return (self.room / "output").read_text()

    def launch_and_wait(self) -> subprocess.Popen[str]:
        """
        Start the launcher, and wait for what it says when all is well.
        """
        launcher = self.launch()
        ready = eventually(lambda: "Ctrl-C" in self.printed() or launcher.poll() is not None)
        self.assertTrue(ready and launcher.poll() is None, self.printed())
        return launcher

    def assert_nothing_left(self) -> None:
        """
        Fail if anything still listens, or runs.
        """
        gone = eventually(lambda: not any(map(listening, self.ports)), 10)
        self.assertTrue(gone, [port for port in self.ports if listening(port)])
        self.assertTrue(eventually(lambda: not running_in(self.room), 15), running_in(self.room))

    def worker(self, launcher: subprocess.Popen[str]) -> int:
        """
        The process that runs jobs; 0 when there is none.
        """
        return next((pid for pid, command in children(launcher.pid).items() if "siger.cli worker" in command), 0)


class QuickstartTests(LauncherTestCase):
    """
    Tests of the launcher.
    """

    def test_printedCommandWorks(self) -> None:
        """
        The URL that it tells to try answers at once, from one instance and then from the other; a Ctrl-C ends
        everything with status 0 and no traceback.
        """
        launcher = self.launch_and_wait()
        found = re.search(r"curl (http://localhost:\d+/services/echo/hello)", self.printed())
        assert found is not None
        answers = b"".join(urllib.request.urlopen(found[1], timeout=10).read() for _ in range(2))
        self.assertIn(b'"path": "/hello"', answers)
        self.assertTrue(b"echo-1" in answers and b"echo-2" in answers, answers)
        launcher.send_signal(signal.SIGINT)
        self.assertEqual(launcher.wait(30), 0, self.printed())
        self.assertNotIn("Traceback", self.printed())
        self.assert_nothing_left()

    def test_printedCallWorks(self) -> None:
        """
        The gRPC call that it tells to try works, too: three of them over one connection, answered by turns.
        """
        self.launch_and_wait()
        found = re.search(
            r"^  (\S+) (-m siger\.demo\.grpc_greet localhost:\d+ you and me)$", self.printed(), re.MULTILINE
        )
        assert found is not None
        self.assertTrue(Path(found[1]).samefile(sys.executable))
        environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        done = subprocess.run([found[1], *found[2].split()], env=environ, capture_output=True, text=True, timeout=30)
        names = [line.removeprefix("Hello, ").partition("!")[0] for line in done.stdout.splitlines()]
        servers = [line.split()[-1] for line in done.stdout.splitlines()]
        self.assertEqual((names, done.stderr), (["you", "and", "me"], ""))
        self.assertEqual((set(servers), servers[0]), ({"greeter-1.", "greeter-2."}, servers[2]))

    def test_saysWhatListens(self) -> None:
        """
        It names every address with what is there, and says how to submit a job.  SIGTERM ends it as Ctrl-C does.
        """
        launcher = self.launch_and_wait()
        backends = (f"demo backend {name}" for name in ("echo-1", "echo-2", "greeter-1", "greeter-2"))
        for port, what in zip(self.ports, ("the gateway", *backends), strict=True):
            self.assertRegex(self.printed(), rf"127\.0\.0\.1:{port} +{what}\n")
        command = rf"siger job --url http://localhost:{self.ports[0]}"
        self.assertRegex(self.printed(), rf"{command} login user +\(the password is user123\)\n")
        self.assertRegex(self.printed(), rf"{command} submit --type ai_training --name demo --watch\n")
        launcher.terminate()
        self.assertEqual(launcher.wait(30), 0, self.printed())
        self.assert_nothing_left()

    def test_workerReplaced(self) -> None:
        """
        A worker that is killed is replaced by another; the end of everything ends that one too, before the gateway.
        """
        launcher = self.launch_and_wait()
        first = self.worker(launcher)
        self.assertIn("the demo worker, for jobs\n", self.printed())
        time.sleep(WORKER_LEAST)
        os.kill(first, signal.SIGKILL)
        self.assertTrue(eventually(lambda: self.worker(launcher) not in (0, first)), self.printed())
        self.assertIn("the demo worker ended by itself, with status -9; starting another\n", self.printed())
        second = self.worker(launcher)
        launcher.send_signal(signal.SIGINT)
        self.assertEqual(launcher.wait(30), 0, self.printed())
        self.assertNotIn("Traceback", self.printed())
        self.assertFalse(alive(second))
        self.assert_nothing_left()

    def test_noJobs(self) -> None:
        """
        Without NATS there are no jobs, and no worker.
        """
        file = self.room / "quickstart.yaml"
        file.write_text(re.sub("nats_address: .*", 'nats_address: ""', file.read_text()).partition("seed_users")[0])
        launcher = self.launch_and_wait()
        self.assertEqual(self.worker(launcher), 0)
        self.assertNotIn("job", self.printed().partition("Siger is running")[2])

    def test_portsInUse(self) -> None:
        """
        Ports in use are all named, with what they are for, and nothing is started.
        """
        with socket.create_server(("127.0.0.1", self.ports[0])), socket.create_server(("127.0.0.1", self.ports[2])):
            launcher = self.launch()
            self.assertEqual(launcher.wait(30), 1)
        wanted = f"127.0.0.1:{self.ports[0]} (for the gateway), 127.0.0.1:{self.ports[2]} (for echo-2)"
        self.assertEqual(self.printed(), f"siger quickstart: already in use: {wanted}\n")

    def test_launcherKilled(self) -> None:
        """
        Even a launcher that had no time to clean up leaves nothing behind, nor do those that it started.
        """
        launcher = self.launch_and_wait()
        family = descendants(launcher.pid)
        self.assertTrue(any("nats-server" in command for command in family.values()), family)
        launcher.kill()
        launcher.wait(10)
        self.assert_nothing_left()
        gone = eventually(lambda: not any(map(alive, family)))
        self.assertTrue(gone, [command for pid, command in family.items() if alive(pid)])

    def test_badConfiguration(self) -> None:
        """
        A configuration with faults is refused with the place of each.
        """
        (self.room / "quickstart.yaml").write_text("port: x\nprot: 1\n")
        self.assertEqual(self.launch().wait(30), 1)
        self.assertIn("quickstart.yaml:1: port:", self.printed())
        self.assertIn("quickstart.yaml:2: prot:", self.printed())
        self.assertNotIn("Traceback", self.printed())
