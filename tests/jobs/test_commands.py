"""
Tests of L{siger.jobs.commands}.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.cli import Terminal, main
from tests.jobs.making import JOB_ID

_LOADED = """
import sys
from siger.cli import main
status = main(["job", "--url", "http://127.0.0.1:1", "--token", "x", "list"])
found = [name for name in sys.modules if name.partition(".")[0] in ("twisted", "klein", "nats", "uvloop")]
assert not found, found
sys.exit(status)
"""


class CommandTests(SynchronousTestCase):
    """
    The command, as far as it goes without a gateway.
    """

    def siger(self, *arguments: str, **environ: str) -> int | str | None:
        """
        Run it, and keep what it printed.
        """
        out, err = io.StringIO(), io.StringIO()
        environ = {"XDG_CONFIG_HOME": "/nonexistent", **environ}
        with redirect_stderr(err):
            try:
                status: int | str | None = main(["job", *arguments], Terminal(environ, out, err, io.StringIO()))
            except SystemExit as exit:
                status = exit.code
        self.out, self.err = out.getvalue(), err.getvalue()
        return status

    def nowhere(self) -> str:
        """
        A URL where nobody listens.
        """
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        self.addCleanup(probe.close)
        return f"http://127.0.0.1:{probe.getsockname()[1]}"

    def test_trouble(self) -> None:
        """
        What goes wrong is one line, and the status 1; for who watches 3, since 1 says that the job failed.
        """
        for arguments, status in [
            (("list",), 1),
            (("show", JOB_ID), 1),
            (("watch", JOB_ID), 3),
            (("submit", "--name", "x"), 1),
            (("submit", "--name", "x", "--watch"), 3),
        ]:
            self.assertEqual(self.siger(*arguments, SIGER_URL="http://a.example"), status)
            hint = "there is no token for http://a.example: log in with siger job login, or set SIGER_TOKEN\n"
            self.assertEqual((self.out, self.err), ("", hint))

    def test_unreachable(self) -> None:
        """
        Where nobody listens, that is said, first that it is tried again.
        """
        url = self.nowhere()
        self.assertEqual(self.siger("list", SIGER_URL=url, SIGER_TOKEN="x"), 1)
        lines = self.err.splitlines()
        self.assertEqual(lines[0], f"{url} cannot be reached: Connection refused; trying again")
        self.assertEqual(lines[1:], [f"{url} cannot be reached: Connection refused"])

    def test_nonsense(self) -> None:
        """
        What is not understood is refused with the usual status.
        """
        for arguments in (
            (),
            ("fly",),
            ("submit", "--gpus", "many"),
            ("submit", "--param", "x"),
            ("list", "--limit", "0"),
            ("list", "--limit", "-1"),
            ("watch",),
            ("submit", "--prio", "1"),
        ):
            self.assertEqual(self.siger(*arguments), 2, arguments)
            self.assertIn("usage: siger", self.err)

    def test_no_url(self) -> None:
        """
        So is what is no address.
        """
        self.assertEqual(self.siger("list", "--url", "ftp://x"), 1)
        self.assertEqual(self.err, "'ftp://x' is no URL of a gateway, as http://localhost:8080 is one\n")

    def test_light(self) -> None:
        """
        It needs nothing of what a gateway is made of, and so starts quickly.
        """
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent.parent)}
        done = subprocess.run([sys.executable, "-c", _LOADED], env=environ, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn("cannot be reached", done.stderr)
