"""
The command C{siger job}: jobs from a terminal or a script, over HTTP.

This module says what the command takes and leads on to what does it, which is imported only then.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from typing import Any, Final, Protocol, TextIO

__all__ = ["Console", "arrange_job", "run_job"]

_PATIENCE: Final = 300.0


class Console(Protocol):
    """
    What this command needs of L{siger.cli.Terminal}.
    """

    @property
    def environ(self) -> Mapping[str, str]:
        """
        The environment.
        """

    @property
    def out(self) -> TextIO:
        """
        Where results go.
        """

    @property
    def source(self) -> TextIO:
        """
        Standard input.
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


def arrange_job(parser: ArgumentParser) -> None:
    """
    Add the arguments of C{siger job}.
    """
    _takes_gateway(parser, None)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    _arrange_login(_action(actions, "login", "get a token for your password, and keep it"))
    _action(actions, "logout", "end that token")
    _arrange_submit(_action(actions, "submit", "submit a job, and print its id"))
    _arrange_list(_action(actions, "list", "list your jobs, the newest first"))
    show = _action(actions, "show", "show all that is known of a job")
    show.add_argument("job_id", metavar="ID", help="its id")
    _takes_json(show)
    watch = _action(
        actions,
        "watch",
        "watch a job to its end; exits with 0 if it completed, 1 if it failed, 2 if it was cancelled, 3 in trouble",
    )
    watch.add_argument("job_id", metavar="ID", help="its id")
    _takes_patience(watch)
    _takes_json(watch)
    cancel = _action(actions, "cancel", "have jobs end early")
    cancel.add_argument("job_id", metavar="ID", nargs="+", help="their ids")
    _takes_json(cancel)


def _takes_gateway(parser: ArgumentParser, default: Any) -> None:
    url = "where the gateway is (default: $SIGER_URL, or http://localhost:8080)"
    parser.add_argument("--url", metavar="URL", default=default, help=url)
    token = "who you are (default: $SIGER_TOKEN, or what siger job login has kept)"
    parser.add_argument("--token", metavar="TOKEN", default=default, help=token)


def _action(actions: Any, name: str, help: str) -> ArgumentParser:
    parser: ArgumentParser = actions.add_parser(name, help=help, description=help, allow_abbrev=False)
    _takes_gateway(parser, SUPPRESS)  # as before the action: whichever is given counts
    return parser


def _takes_json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def _takes_patience(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--patience",
        metavar="S",
        type=float,
        default=_PATIENCE,
        help="seconds to go on without a gateway (%(default)g)",
    )


def _arrange_login(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="your name there (default: the last one, or that here)")
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def _arrange_submit(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="the job as JSON (- for standard input); options go before it"
    )
    for name in ("type", "name", "description", "gpu-type"):
        parser.add_argument(f"--{name}", metavar="TEXT", help=f"its {name.replace('-', ' ')}")
    numbers = {
        "--gpus": ("gpu_count", "how many GPUs it needs"),
        "--priority": ("priority", "0 to 10, the most urgent"),
        "--max-retries": ("max_retries", "how often it is tried again when it failed"),
        "--timeout": ("timeout", "seconds for each attempt"),
    }
    for option, (name, help) in numbers.items():
        parser.add_argument(option, dest=name, metavar="N", type=int, help=help)
    parser.add_argument(
        "--param", metavar="NAME=VALUE", type=_parameter, action="append", help="a parameter; the value is JSON or text"
    )
    parser.add_argument("--tag", metavar="TAG", action="append", help="a tag")
    parser.add_argument("--key", metavar="KEY", help="submit only once, however often this is done with the same key")
    parser.add_argument("--dry-run", action="store_true", help="say what would become of it")
    parser.add_argument("--watch", action="store_true", help="and watch it, as siger job watch does")
    _takes_patience(parser)
    _takes_json(parser)


def _parameter(text: str) -> tuple[str, Any]:
    from siger.jobs.client.submitting import parameter

    try:
        return parameter(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is {error}") from error


def _arrange_list(parser: ArgumentParser) -> None:
    for name in ("status", "type"):
        parser.add_argument(
            f"--{name}", metavar="WORD", action="append", help=f"only those of this {name}, or any of several"
        )
    parser.add_argument("--tag", metavar="TAG", action="append", help="only those with this tag, or all of several")
    parser.add_argument("--after", metavar="TIME", help="only those submitted later, as 2027-01-31T12:00:00Z")
    parser.add_argument("--before", metavar="TIME", help="only those submitted earlier")
    parser.add_argument("--owner", metavar="ID", help="those of another user, for admins")
    parser.add_argument("--all", action="store_true", help="those of all users, for admins")
    parser.add_argument(
        "--limit", metavar="N", type=_positive, default=50, help="how many at most (default: %(default)s)"
    )
    _takes_json(parser)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:10]) == 0:
        raise ArgumentTypeError(f"{text!r} is no number of jobs")
    return int(text[:10])


def run_job(arguments: Namespace, console: Console) -> int:
    """
    Do something about jobs.

    @return: the exit status.
    """
    from siger.jobs.client.actions import FAILURE, TROUBLE, Actions
    from siger.jobs.client.errors import RefusedError, TroubleError

    try:
        return Actions(arguments, console).run()
    except TroubleError as error:
        hint = "; siger job login gets another token" if isinstance(error, RefusedError) and error.anonymous else ""
        console.complain(f"{error}{hint}")
        watching = arguments.action == "watch" or getattr(arguments, "watch", False)
        return TROUBLE if watching else FAILURE
