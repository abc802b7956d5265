"""
Tests of L{siger.cli}.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import yaml
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from siger import __version__
from siger.cli import COMMANDS, DEFAULT_CONFIG, Command, Terminal, carry_out, main, parser, run_until, twistd_arguments

GOOD = """\
port: "127.0.0.1:8080"
consul_address: c:8500
services:
  a: {instances: ["h:1", "h:2"]}
  b: {instances: ["h:3"]}
routes:
  - {path: /x, service: a}
"""
BAD = "port: x\n\nprot: 1\nworkers: 2\n"


class CommandLineTests(SynchronousTestCase):
    """
    The C{siger} command.
    """

    def setUp(self) -> None:
        """
        Make a place for a file.
        """
        self.path = Path(self.mktemp())
        self.out = self.err = ""

    def siger(self, *arguments: str, piped: str = "", **environ: str) -> int | str | None:
        """
        Run the command, and keep what it printed.

        @param piped: its standard input.
        @return: its exit status.
        """
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                status: int | str | None = main(arguments, Terminal(environ, out, err, io.StringIO(piped)))
            except SystemExit as exit:
                status = exit.code
        self.out, self.err = out.getvalue(), err.getvalue()
        return status

    def write(self, text: str) -> str:
        """
        Write the file.
        """
        self.path.write_text(text)
        return str(self.path)

    def test_version(self) -> None:
        """
        C{--version} prints the version.
        """
        self.assertEqual((0, f"siger {__version__}\n"), (self.siger("--version"), self.out))

    def test_help(self) -> None:
        """
        C{--help} names every command, and each command has help of its own. All but one, which asks a gateway, take a
        configuration.
        """
        self.assertEqual(0, self.siger("--help"))
        for command in COMMANDS:
            self.assertIn(f"{command.name} ", self.out)
        for command in COMMANDS:
            self.assertEqual(0, self.siger(command.name, "--help"))
            self.assertIn(command.help.lower(), " ".join(self.out.lower().split()))
            self.assertEqual("--config FILE" in self.out, command.name != "job")

    def test_nonsense(self) -> None:
        """
        What is not understood is refused with the usual status.
        """
        for arguments in (
            [],
            ["fly"],
            ["check", "--fly"],
            ["check", "a", "b"],
            ["config", "a"],
            ["check", "--conf", "a"],
        ):
            self.assertEqual(2, self.siger(*arguments), arguments)
            self.assertIn("usage: siger", self.err)

    def test_check(self) -> None:
        """
        C{siger check} calls a good file valid, and says what it comes to.
        """
        path = self.write(GOOD)
        self.assertEqual(0, self.siger("check", path))
        summary = "listens on 127.0.0.1:8080, Consul at c:8500, 2 services with 3 instances, 1 route"
        self.assertEqual((f"{path} is valid: {summary}\n", ""), (self.out, self.err))

    def test_check_option(self) -> None:
        """
        The file can be given as an option too.
        """
        for option in ("-c", "--config"):
            self.assertEqual(0, self.siger("check", option, self.write("")))
        self.assertIn("listens on :8080, no Consul, 0 services with 0 instances, 0 routes\n", self.out)

    def test_check_default(self) -> None:
        """
        Without one, it is the one in configs.
        """
        self.assertEqual("configs/config.yaml", DEFAULT_CONFIG)
        self.assertEqual(DEFAULT_CONFIG, parser().parse_args(["check"]).config)

    def test_check_errors(self) -> None:
        """
        Of a bad file it prints every error.
        """
        path = self.write(BAD)
        self.assertEqual(1, self.siger("check", path))
        self.assertEqual("", self.out)
        self.assertEqual(
            [f"{path}:1: port", f"{path}:3: prot", f"{path}:4: workers"],
            [line.rpartition(": ")[0].partition(": expected")[0] for line in self.err.splitlines()],
        )

    def test_check_missing(self) -> None:
        """
        A file that is not there is an error, and is not written.
        """
        self.assertEqual(1, self.siger("check", str(self.path)))
        self.assertEqual(f"{self.path}: cannot be read: No such file or directory\n", self.err)
        self.assertFalse(self.path.exists())

    def test_check_writes_nothing(self) -> None:
        """
        Checking leaves no trace, even where the gateway would make a secret and a data directory.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        file = directory / "config.yaml"
        file.write_text(f"data_dir: {directory}/data\naccess_log: {directory}/x/log\njwt_secret: your-secret-key\n")
        self.assertEqual(0, self.siger("check", str(file)))
        self.assertEqual(["config.yaml"], os.listdir(directory))

    def test_check_warnings(self) -> None:
        """
        Warnings are printed apart, and do not make a file invalid.
        """
        path = self.write("jwt_secret: your-secret-key")
        self.assertEqual(0, self.siger("check", path))
        self.assertTrue(self.err.startswith(f"warning: {path}:1: jwt_secret: this is a published"), self.err)
        self.assertIn("is valid", self.out)

    def test_check_environment(self) -> None:
        """
        The environment counts.
        """
        self.assertEqual(0, self.siger("check", self.write("port: x"), SIGER_PORT=":1"))
        self.assertEqual(1, self.siger("check", self.write(""), SIGER_PORT="x"))
        self.assertTrue(self.err.startswith("SIGER_PORT: port: "), self.err)

    def test_unread(self) -> None:
        """
        When nobody reads what is printed, the command ends as one that was killed by that, and complains of nothing.
        """
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "w") as out:
            err = io.StringIO()
            self.assertEqual(141, main(["check", self.write("")], Terminal({}, out, err)))
        self.assertEqual("", err.getvalue())

    def test_unprintable(self) -> None:
        """
        A name that the terminal cannot show is shown in escapes.
        """
        raw = io.BytesIO()
        ascii_only = io.TextIOWrapper(raw, "ascii", write_through=True)
        Terminal({}, ascii_only, ascii_only).complain("é\udcff")
        self.assertEqual(b"\\xe9\\udcff\n", raw.getvalue())

    def test_config(self) -> None:
        """
        C{siger config} prints all settings, with what the environment says and without secrets.
        """
        path = self.write(GOOD)
        for extra in ([], ["print"], ["print", "--effective"]):
            self.assertEqual(
                0, self.siger("config", "-c", path, *extra, SIGER_CONSUL__TOKEN="hush", SIGER_LOG_LEVEL="warn")
            )
            tree = yaml.safe_load(self.out)
            self.assertEqual(("127.0.0.1:8080", "warn"), (tree["port"], tree["log_level"]))
            self.assertNotIn("hush", self.out)

    def test_config_errors(self) -> None:
        """
        Of a bad file it prints the errors.
        """
        self.assertEqual(1, self.siger("config", "-c", self.write(BAD)))
        self.assertEqual(("", 3), (self.out, len(self.err.splitlines())))

    def test_run_arguments(self) -> None:
        """
        C{siger run} is C{twistd -n} with no process file; what it does not know is twistd's.
        """
        for given, expected in [
            ([], ["twistd", "-n", "--pidfile=", "siger", "-c", DEFAULT_CONFIG]),
            (["-c", "f"], ["twistd", "-n", "--pidfile=", "siger", "-c", "f"]),
            (
                ["-l", "log", "--config", "f", "--umask=077"],
                ["twistd", "-n", "--pidfile=", "-l", "log", "--umask=077", "siger", "-c", "f"],
            ),
        ]:
            arguments, extra = parser().parse_known_args(["run", *given])
            arguments.extra = extra
            self.assertEqual(expected, twistd_arguments(arguments))

    def test_accounts_need_a_configuration(self) -> None:
        """
        C{siger user} and C{siger token} print every error of a bad file, and do nothing.
        """
        path = self.write(BAD)
        for arguments in (["user", "list"], ["token", "inspect", "a.b.c"], ["token", "mint", "ada", "--user-id=1"]):
            self.assertEqual(1, self.siger(*arguments, "-c", path))
            self.assertEqual(("", 3), (self.out, len(self.err.splitlines())))

    def test_account_nonsense(self) -> None:
        """
        What they do not understand is refused with the usual status; a password is never an argument.
        """
        for arguments in (["user"], ["token"], ["user", "fly"], ["user", "add", "ada", "--password", "secret words"]):
            self.assertEqual(2, self.siger(*arguments), arguments)
            self.assertIn("usage: siger", self.err)

    def test_token(self) -> None:
        """
        A token that C{siger token mint} prints is good for C{siger token inspect} with the same secret, wherever the
        configuration is named, and not with another.
        """
        path = self.write("jwt_secret: only-these-tests-sign-with-this-secret")
        self.assertEqual(0, self.siger("token", "-c", path, "mint", "ada", "--user-id", "7"), self.err)
        token = self.out
        self.assertEqual(0, self.siger("token", "inspect", "-c", path, piped=token))
        self.assertEqual(0, self.siger("token", "inspect", token.strip(), "-c", path))
        self.assertIn('it is of "ada", with id "7", as user', self.out)
        other = {"SIGER_JWT_SECRET": "another-secret-that-only-these-tests-know"}
        self.assertEqual(1, self.siger("token", "inspect", "-c", path, piped=token, **other))
        self.assertIn("its signature is wrong", self.out)

    def test_interrupted(self) -> None:
        """
        Ctrl-C ends a command with the status that shells expect, and no traceback.
        """

        def interrupt(arguments: object, terminal: object) -> int:
            raise KeyboardInterrupt

        path = self.write(GOOD)
        arguments = parser([Command("x", "x", lambda parser: None, interrupt)]).parse_args(["x"])
        self.assertEqual(130, carry_out(arguments.command, arguments, Terminal({}, io.StringIO(), io.StringIO())))
        self.assertEqual(0, self.siger("check", path))


class TerminalTests(SynchronousTestCase):
    """
    Tests for L{Terminal}.
    """

    def test_read_line(self) -> None:
        """
        Input is read by the line, but not without end.
        """
        terminal = Terminal({}, io.StringIO(), io.StringIO(), io.StringIO("one\ntwo" + "x" * 100))
        self.assertEqual(["one\n", "twoxx"], [terminal.read_line(5), terminal.read_line(5)])
        self.assertEqual("", Terminal({}, io.StringIO(), io.StringIO(), io.StringIO()).read_line(5))


class FakeReactor:
    """
    As much of a reactor as is run for a command.

    @ivar clock: what delayed calls are made on, until it stops.
    """

    def __init__(self, patience: float = 10) -> None:
        self.clock = Clock()
        self.running = False
        self.begin: list[Callable[[], None]] = []
        self.patience = patience

    def callWhenRunning(self, function: Callable[[], None]) -> None:
        self.begin.append(function)

    def run(self) -> None:
        self.running = True
        for function in self.begin:
            function()
        while self.running and self.clock.seconds() < self.patience:
            self.clock.advance(1)
        self.running = False

    def stop(self) -> None:
        if not self.running:
            raise ReactorNotRunning
        self.running = False


class RunUntilTests(SynchronousTestCase):
    """
    Tests for L{run_until}.
    """

    def test_result(self) -> None:
        """
        The reactor runs until there is a result, be it there at once.
        """
        self.assertEqual(7, run_until(FakeReactor(), lambda reactor: succeed(7)))
        reactor = FakeReactor()
        self.assertEqual(8, run_until(reactor, lambda reactor: deferLater(reactor.clock, 3, lambda: 8)))
        self.assertFalse(reactor.running)

    def test_failure(self) -> None:
        """
        What fails is raised, be it before there is anything to wait for.
        """

        def fail_at_once(reactor: object) -> Deferred[int]:
            raise LookupError("at once")

        def fail_later(reactor: FakeReactor) -> Deferred[int]:
            return deferLater(reactor.clock, 3, lambda: fail_at_once(reactor))  # type: ignore[return-value]

        for work in (fail_at_once, fail_later):
            self.assertRaises(LookupError, run_until, FakeReactor(), work)

    def test_stopped_before(self) -> None:
        """
        A reactor that somebody else stopped, as Ctrl-C does, is an interruption.
        """
        self.assertRaises(KeyboardInterrupt, run_until, FakeReactor(), lambda reactor: Deferred())
