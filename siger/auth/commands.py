"""
The commands C{siger user} and C{siger token}: accounts and tokens without HTTP.

This module says what the commands take and leads on to what does it, which is imported only then: it needs Twisted,
and neither C{siger check} nor C{siger --help} does. A password is asked for, or read from a pipe; it is never an
argument, where everybody on the machine could see it.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from siger.config.settings.gateway import Settings

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["CommandError", "Console", "arrange_token", "arrange_user", "run_token", "run_user"]

T = TypeVar("T")

_LONGEST_LINE: Final = 16384


class CommandError(Exception):
    """
    A command cannot be carried out. The message, in one line or a few, is all that its user is told.
    """


class Console(Protocol):
    """
    What commands need of L{siger.cli.Terminal}.
    """

    def say(self, text: str) -> None:
        """
        Print a result.
        """

    def complain(self, text: str) -> None:
        """
        Print what is wrong.
        """

    def read_line(self, limit: int) -> str:
        """
        Read a line of standard input.
        """

    def ask_secret(self, prompt: str) -> str:
        """
        Ask for what must not be seen; C{EOFError} when there is nobody to ask.
        """

    def wait_for(self, work: Callable[[Any], Deferred[T]]) -> T:
        """
        Run a reactor, which C{work} is given, until what it returns has fired.
        """


def arrange_user(parser: ArgumentParser) -> None:
    """
    Add the arguments of C{siger user}.
    """
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    add = _action(actions, "add", "create an account")
    add.add_argument("--role", metavar="ROLE", default="user", help="what it may be (default: %(default)s)")
    add.add_argument("--id", metavar="ID", default="", help="its id, where it has to be a known one")
    _takes_password(add)
    _action(actions, "list", "list the accounts", named=False).add_argument(
        "--json", action="store_true", help="as JSON, for programs"
    )
    _takes_password(_action(actions, "passwd", "give an account a new password, and end its tokens"))
    role = _action(actions, "role", "give an account another role, and end its tokens")
    role.add_argument("role", metavar="ROLE", help="the role")
    _action(actions, "disable", "let nobody use an account, and end its tokens")
    _action(actions, "enable", "let an account be used again")
    _action(actions, "delete", "delete an account, and end its tokens")


def arrange_token(parser: ArgumentParser) -> None:
    """
    Add the arguments of C{siger token}.
    """
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    mint = _action(actions, "mint", "print a token for an account")
    mint.add_argument("--minutes", metavar="N", type=int, help="how long it is good (default: jwt_expiration)")
    mint.add_argument("--user-id", metavar="ID", help="make it without looking for the account: for this id")
    mint.add_argument("--role", metavar="ROLE", help="and with this role (default: user)")
    inspect = _action(actions, "inspect", "show what a token says, and whether it is good here", named=False)
    inspect.add_argument("token", metavar="TOKEN", nargs="?", default="-", help="- (default) reads it from a pipe")


def _action(actions: Any, name: str, help: str, named: bool = True) -> ArgumentParser:
    parser: ArgumentParser = actions.add_parser(name, help=help, description=help, allow_abbrev=False)
    # As before the action: whichever is given counts.
    parser.add_argument("-c", "--config", metavar="FILE", default=SUPPRESS, help="the configuration file")
    if named:
        parser.add_argument("name", metavar="NAME", help="the account's name")
    return parser


def _takes_password(parser: ArgumentParser) -> None:
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def run_user(arguments: Namespace, console: Console, settings: Settings) -> int:
    """
    Look after accounts.

    @return: the exit status.
    """
    from siger.auth.administration import administer

    def work() -> None:
        password = _password(arguments, console) if "password_stdin" in arguments else ""
        console.say(console.wait_for(lambda reactor: administer(reactor, settings, arguments, password)))

    return _tried(console, work)


def run_token(arguments: Namespace, console: Console, settings: Settings) -> int:
    """
    Make a token, or look at one.

    @return: the exit status: 0 for a token that is good here.
    """
    if arguments.action == "mint":
        from siger.auth.minting import mint

        return _tried(console, lambda: console.say(mint(arguments, settings, console.wait_for)))
    from siger.auth.inspection import inspect

    token = console.read_line(_LONGEST_LINE) if arguments.token == "-" else arguments.token
    report = inspect(token.strip(), settings)
    console.say(report.text)
    return 0 if report.good else 1


def _tried(console: Console, work: Callable[[], None]) -> int:
    try:
        work()
    except CommandError as error:
        console.complain(str(error))
        return 1
    return 0


def _password(arguments: Namespace, console: Console) -> str:
    """
    The new password: from a pipe, or from somebody who can type it twice.
    """
    if arguments.password_stdin:
        return console.read_line(_LONGEST_LINE).rstrip("\r\n")
    try:
        password = console.ask_secret(f"Password of {arguments.name}: ")
        again = console.ask_secret("The same again: ")
    except EOFError:
        raise CommandError("there is no terminal to ask for the password; use --password-stdin") from None
    if password != again:
        raise CommandError("these are two passwords")
    return password
