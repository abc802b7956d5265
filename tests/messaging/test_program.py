"""
Tests of L{siger.messaging.program}.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.messaging.program import ProgramMissingError, environment, find_program, guarded


class FindProgramTests(SynchronousTestCase):
    """
    Where nats-server is.
    """

    def test_wheel(self) -> None:
        """
        The wheel brings the program.
        """
        found = find_program()
        self.assertTrue(os.path.isabs(found))
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True, timeout=20)
        self.assertIn("nats-server: v", said.stdout + said.stderr)

    def test_given(self) -> None:
        """
        A path that is given is taken, made absolute.
        """
        program = Path(self.mktemp())
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        self.assertEqual(find_program(str(program)), str(program.absolute()))

    def test_missing(self) -> None:
        """
        A path with no program at it is an error that names it.
        """
        error = self.assertRaises(ProgramMissingError, find_program, "/nonexistent/nats-server")
        self.assertEqual(str(error), "/nonexistent/nats-server is not a program")

    def test_not_executable(self) -> None:
        """
        A file that may not be run is no program.
        """
        file = Path(self.mktemp())
        file.write_text("")
        self.assertRaises(ProgramMissingError, find_program, str(file))


class GuardedTests(SynchronousTestCase):
    """
    The command around the program.
    """

    def run_guarded(self, gateway: int, *command: str) -> subprocess.CompletedProcess[str]:
        """
        Run it with pipes.
        """
        return subprocess.run(guarded(list(command), gateway), capture_output=True, text=True, timeout=20)

    def test_becomes_the_program(self) -> None:
        """
        It changes into the program, arguments and all.
        """
        self.assertEqual(self.run_guarded(os.getpid(), "/bin/echo", "-n", "a b", "*").stdout, "a b *")

    def test_own_session(self) -> None:
        """
        The program is in a session of its own, where no terminal's Ctrl-C reaches it.
        """
        script = "import os; print(os.getsid(0) == os.getpid())"
        self.assertEqual(self.run_guarded(os.getpid(), sys.executable, "-c", script).stdout, "True\n")

    def test_dies_with_the_gateway(self) -> None:
        """
        Linux will send the program SIGKILL when its parent dies.
        """
        script = "import ctypes; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"
        self.assertEqual(self.run_guarded(os.getpid(), sys.executable, "-c", script).stdout, "9\n")

    def test_gateway_gone(self) -> None:
        """
        The program is not run when the gateway has died in the meantime.
        """
        ended = self.run_guarded(1 << 30, "/bin/echo", "here")
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))

    def test_no_interpreter(self) -> None:
        """
        Where it is not known what interprets Python, the program is run as it is.
        """
        self.assertEqual(guarded(["/bin/echo"], 1, python=""), ["/bin/echo"])


class EnvironmentTests(SynchronousTestCase):
    """
    What nats-server sees of the gateway's environment.
    """

    def test_secrets(self) -> None:
        """
        No secrets; what settles where and how a Go program runs is passed on.
        """
        given = {"PATH": "/bin", "TZ": "UTC", "GOMEMLIMIT": "1GiB", "SIGER_JWT_SECRET": "s", "JWT_SECRET": "t"}
        self.assertEqual(environment(given), {"PATH": "/bin", "TZ": "UTC", "GOMEMLIMIT": "1GiB"})
