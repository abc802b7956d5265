"""
Tests for L{siger.auth.commands}.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.commands import CommandError, arrange_token, arrange_user, run_token, run_user
from siger.config.settings.gateway import Settings
from tests.auth.signing import SECRET

T = TypeVar("T")


class FakeConsole:
    """
    A terminal, with somebody at it who types what was prepared.

    @ivar typed: the answers to questions; without any there is nobody.
    @ivar piped: the lines of standard input.
    @ivar asked: the questions.
    @ivar failure: what goes wrong when the reactor runs.
    """

    def __init__(self) -> None:
        self.said: list[str] = []
        self.complaints: list[str] = []
        self.typed: list[str] = []
        self.piped: list[str] = []
        self.asked: list[str] = []
        self.failure: Exception | None = None

    def say(self, text: str) -> None:
        self.said.append(text)

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def read_line(self, limit: int) -> str:
        return (self.piped.pop(0) if self.piped else "")[:limit]

    def ask_secret(self, prompt: str) -> str:
        self.asked.append(prompt)
        if not self.typed:
            raise EOFError
        return self.typed.pop(0)

    def wait_for(self, work: Callable[[Any], Deferred[T]]) -> T:
        if self.failure is not None:
            raise self.failure
        found: list[T] = []
        work(None).addCallback(found.append)
        return found[0]


def parse(arrange: Callable[[ArgumentParser], None], *arguments: str) -> Namespace:
    """
    The arguments of a command, as C{siger} would parse them.
    """
    parser = ArgumentParser(allow_abbrev=False)
    parser.add_argument("-c", "--config", default="default")
    arrange(parser)
    return parser.parse_args(arguments)


class ArgumentTests(SynchronousTestCase):
    """
    Tests for L{arrange_user} and L{arrange_token}.
    """

    def test_user(self) -> None:
        """
        Every action has its arguments.
        """
        for arguments, expected in (
            (["add", "ada"], {"name": "ada", "role": "user", "id": "", "password_stdin": False}),
            (
                ["add", "ada", "--role", "admin", "--id", "7", "--password-stdin"],
                {"name": "ada", "role": "admin", "id": "7", "password_stdin": True},
            ),
            (["list"], {"json": False}),
            (["list", "--json"], {"json": True}),
            (["passwd", "ada"], {"name": "ada", "password_stdin": False}),
            (["role", "ada", "admin"], {"name": "ada", "role": "admin"}),
            *(([action, "ada"], {"name": "ada"}) for action in ("disable", "enable", "delete")),
        ):
            parsed = vars(parse(arrange_user, *arguments))
            self.assertEqual(parsed, {"action": arguments[0], "config": "default", **expected})

    def test_token(self) -> None:
        """
        So has every action with tokens.
        """
        for arguments, expected in (
            (["mint", "ada"], {"name": "ada", "minutes": None, "user_id": None, "role": None}),
            (
                ["mint", "ada", "--minutes=5", "--user-id=7", "--role=admin"],
                {"name": "ada", "minutes": 5, "user_id": "7", "role": "admin"},
            ),
            (["inspect"], {"token": "-"}),
            (["inspect", "a.b.c"], {"token": "a.b.c"}),
        ):
            parsed = vars(parse(arrange_token, *arguments))
            self.assertEqual(parsed, {"action": arguments[0], "config": "default", **expected})

    def test_config(self) -> None:
        """
        The configuration can be named before the action or after it.
        """
        for arguments in (["-c", "x", "list"], ["list", "-c", "x"], ["--config", "y", "list", "--config", "x"]):
            self.assertEqual(parse(arrange_user, *arguments).config, "x")

    def test_nonsense(self) -> None:
        """
        What is not understood is refused; a password is never an argument.
        """
        for arrange, arguments in (
            (arrange_user, []),
            (arrange_user, ["add"]),
            (arrange_user, ["add", "ada", "--password", "secret words"]),
            (arrange_user, ["add", "ada", "--pass"]),
            (arrange_user, ["role", "ada"]),
            (arrange_user, ["fly"]),
            (arrange_token, []),
            (arrange_token, ["mint"]),
            (arrange_token, ["mint", "ada", "--minutes", "x"]),
        ):
            with redirect_stderr(StringIO()):
                self.assertRaises(SystemExit, parse, arrange, *arguments)


class UserTests(SynchronousTestCase):
    """
    Tests for L{run_user}, as far as it gets without a store.
    """

    def setUp(self) -> None:
        """
        Have a terminal, and no NATS.
        """
        self.console = FakeConsole()
        self.console.failure = CommandError("no store")

    def run_user(self, *arguments: str) -> list[str]:
        """
        Run a command that fails.

        @return: what it says of that.
        """
        self.assertEqual(run_user(parse(arrange_user, *arguments), self.console, Settings()), 1)
        self.assertEqual(self.console.said, [])
        complaints, self.console.complaints = self.console.complaints, []
        return complaints

    def test_two_passwords(self) -> None:
        """
        A password has to be typed twice, before anything else is tried.
        """
        for action in ("add", "passwd"):
            self.console.typed = ["one", "two"]
            self.assertEqual(self.run_user(action, "ada"), ["these are two passwords"])
            self.console.typed = ["one", "one"]
            self.assertEqual(self.run_user(action, "ada"), ["no store"])
        self.assertEqual(self.console.asked, ["Password of ada: ", "The same again: "] * 4)

    def test_nobody_to_ask(self) -> None:
        """
        Where there is nobody to ask, the option for pipes is named.
        """
        (complaint,) = self.run_user("add", "ada")
        self.assertIn("--password-stdin", complaint)

    def test_from_a_pipe(self) -> None:
        """
        From a pipe it is one line, and nobody is asked.
        """
        self.console.piped = ["secret words\r\n", "and more\n"]
        self.assertEqual(self.run_user("passwd", "ada", "--password-stdin"), ["no store"])
        self.assertEqual((self.console.asked, self.console.piped), ([], ["and more\n"]))

    def test_no_password(self) -> None:
        """
        Actions that need none ask for none.
        """
        for arguments in (["list"], ["role", "ada", "admin"], ["disable", "ada"], ["enable", "ada"], ["delete", "ada"]):
            self.assertEqual(self.run_user(*arguments), ["no store"])
        self.assertEqual(self.console.asked, [])


class TokenTests(SynchronousTestCase):
    """
    Tests for L{run_token}.
    """

    def setUp(self) -> None:
        """
        Have a terminal, and a secret to sign with.
        """
        self.console = FakeConsole()
        self.settings = Settings(jwt_secret=SECRET)

    def run_token(self, *arguments: str) -> int:
        """
        Run a command.
        """
        return run_token(parse(arrange_token, *arguments), self.console, self.settings)

    def test_mint_and_inspect(self) -> None:
        """
        What was minted is good, given as an argument or through a pipe; the token stands alone where it is printed.
        """
        self.assertEqual(self.run_token("mint", "ada", "--user-id", "7"), 0)
        (token,) = self.console.said
        self.assertEqual(len(token.split(".")), 3)
        self.console.piped = [token + "\n"] * 2
        for arguments in (["inspect"], ["inspect", "-"], ["inspect", token]):
            self.console.said = []
            self.assertEqual(self.run_token(*arguments), 0)
            self.assertIn("good here   yes", self.console.said[0])

    def test_not_good(self) -> None:
        """
        The status tells whether a token is good.
        """
        self.assertEqual(self.run_token("inspect", "a.b.c"), 1)
        self.assertEqual(self.run_token("inspect"), 1)
        self.assertEqual(self.console.said, ["good here   no: it is no signed token"] * 2)

    def test_refused(self) -> None:
        """
        What cannot be minted is refused in a line.
        """
        self.assertEqual(self.run_token("mint", "ada", "--role", "admin"), 1)
        self.assertEqual((self.console.said, len(self.console.complaints)), ([], 1))
