"""
The C{siger} command.

Each subcommand is a row of L{COMMANDS}. Nothing here imports a reactor, nor anything of the gateway that would, until a
command turns out to need one: C{siger run} hands over to C{twistd}, which chooses it, and those that talk to the store
run it for a moment.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from attrs import field, frozen

from siger import __version__
from siger.auth.commands import arrange_token, arrange_user, run_token, run_user
from siger.config.effective import effective
from siger.config.load import ConfigErrors, load
from siger.config.settings.gateway import Settings
from siger.jobs.commands import arrange_job, run_job
from siger.worker import arguments as worker_arguments

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["COMMANDS", "DEFAULT_CONFIG", "Command", "Terminal", "carry_out", "main", "run_until", "twistd_arguments"]

T = TypeVar("T")

DEFAULT_CONFIG = "configs/config.yaml"

_INTERRUPTED = 128 + signal.SIGINT


@frozen
class Terminal:
    """
    What a command reads and writes besides its arguments.
    """

    environ: Mapping[str, str]
    out: TextIO
    err: TextIO
    source: TextIO = field(factory=lambda: sys.stdin)

    def say(self, text: str) -> None:
        """
        Print a result.
        """
        _print(text, self.out)

    def complain(self, text: str) -> None:
        """
        Print what is wrong.
        """
        _print(text, self.err)

    def read_line(self, limit: int) -> str:
        """
        Read a line of input, or what there is of one.
        """
        return self.source.readline(limit)

    def ask_secret(self, prompt: str) -> str:
        """
        Ask for what must not be seen.

        @raise EOFError: there is nobody to ask, or it could be seen.
        """
        from getpass import GetPassWarning, getpass

        with warnings.catch_warnings():
            warnings.simplefilter("error", GetPassWarning)
            try:
                return getpass(prompt, self.err)
            except GetPassWarning as warning:
                raise EOFError from warning

    def wait_for(self, work: Callable[[Any], Deferred[T]]) -> T:
        """
        Run the reactor, which C{work} is given, until what it returns has fired.

        @raise KeyboardInterrupt: somebody stopped it before.
        """
        from siger.reactor import install

        install()
        from twisted.internet import reactor

        return run_until(reactor, work)


def run_until(reactor: Any, work: Callable[[Any], Deferred[T]]) -> T:
    """
    Run a reactor until some work is done.

    @raise KeyboardInterrupt: it was stopped before.
    """
    from twisted.internet.defer import maybeDeferred
    from twisted.python.failure import Failure

    results: list[T | Failure] = []

    def begin() -> None:
        maybeDeferred(work, reactor).addBoth(end)

    def end(result: T | Failure) -> None:
        results.append(result)
        reactor.stop()

    reactor.callWhenRunning(begin)
    reactor.run()
    if not results:
        raise KeyboardInterrupt
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def _print(text: str, stream: TextIO) -> None:
    """
    Print with what the stream cannot encode escaped: a file's name can be any bytes.
    """
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


@frozen
class Command:
    """
    A subcommand.

    @ivar arrange: adds its arguments to its parser.
    @ivar run: does it; the result is the exit status.
    @ivar extra: whether arguments it does not know are passed to C{run}, as C{arguments.extra}.
    """

    name: str
    help: str
    arrange: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Terminal], int]
    extra: bool = False


def _takes_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", metavar="FILE", default=DEFAULT_CONFIG, help="the configuration file (default: %(default)s)"
    )


def _takes_file(parser: argparse.ArgumentParser) -> None:
    _takes_config(parser)
    parser.add_argument("file", metavar="FILE", nargs="?", help="the same, without -c")


def _takes_print(parser: argparse.ArgumentParser) -> None:
    _takes_config(parser)
    parser.add_argument("action", nargs="?", choices=["print"], help="what to do with it; there is only this")
    parser.add_argument("--effective", action="store_true", help="with defaults and overrides, as is always done")


def _loaded(path: str, terminal: Terminal) -> Settings | None:
    """
    The settings, or C{None} when every error has been printed.
    """
    try:
        return load(Path(path), terminal.environ)
    except ConfigErrors as errors:
        terminal.complain(str(errors))
        return None


def _with_settings(
    run: Callable[[argparse.Namespace, Terminal, Settings], int],
) -> Callable[[argparse.Namespace, Terminal], int]:
    """
    A command that needs a valid configuration.
    """

    def loaded(arguments: argparse.Namespace, terminal: Terminal) -> int:
        settings = _loaded(arguments.config, terminal)
        return 1 if settings is None else run(arguments, terminal, settings)

    return loaded


def _takes_user(parser: argparse.ArgumentParser) -> None:
    _takes_config(parser)
    arrange_user(parser)


def _takes_token(parser: argparse.ArgumentParser) -> None:
    _takes_config(parser)
    arrange_token(parser)


def check(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """
    Say whether a file is valid, and what it comes to. Nothing is written.
    """
    path = arguments.file or arguments.config
    settings = _loaded(path, terminal)
    if settings is None:
        return 1
    for warning in settings.warnings:
        terminal.complain(f"warning: {warning}")
    terminal.say(f"{path} is valid: {_summary(settings)}")
    return 0


def _summary(settings: Settings) -> str:
    instances = sum(len(service.instances) for service in settings.services.values())
    parts = [
        f"listens on {settings.listen}",
        f"Consul at {settings.consul_address}" if settings.consul_address else "no Consul",
        f"{_count(len(settings.services), 'service')} with {_count(instances, 'instance')}",
        _count(len(settings.routes), "route"),
    ]
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def config(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """
    Print all settings, secrets left out.
    """
    settings = _loaded(arguments.config, terminal)
    if settings is None:
        return 1
    terminal.say(effective(settings).rstrip("\n"))
    return 0


def twistd_arguments(arguments: argparse.Namespace) -> list[str]:
    """
    The command line of C{twistd} that C{siger run} is short for.
    """
    return ["twistd", "-n", "--pidfile=", *arguments.extra, "siger", "-c", arguments.config]


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """
    Become C{twistd}, in this process.
    """
    from twisted.scripts import twistd

    sys.argv = twistd_arguments(arguments)
    twistd.run()
    return 0


def worker(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """
    Run jobs, in this process.
    """
    from siger.worker.command import run

    return run(arguments, terminal.environ, terminal.err)


COMMANDS = (
    Command("run", "start the gateway in the foreground; other options are twistd's", _takes_config, run, extra=True),
    Command("check", "check a configuration file", _takes_file, check),
    Command("config", "print the settings that a file and the environment come to", _takes_print, config),
    Command("worker", worker_arguments.HELP, worker_arguments.arrange, worker),
    Command("user", "look after accounts", _takes_user, _with_settings(run_user)),
    Command("token", "make a token, or look at one", _takes_token, _with_settings(run_token)),
    Command("job", "submit jobs to a gateway, watch them, cancel them", arrange_job, run_job),
)


def parser(commands: Sequence[Command] = COMMANDS) -> argparse.ArgumentParser:
    """
    The parser of the whole command line.
    """
    root = argparse.ArgumentParser("siger", description="An API gateway.", allow_abbrev=False)
    root.add_argument("--version", action="version", version=f"siger {__version__}")
    subparsers = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        sub = subparsers.add_parser(command.name, help=command.help, description=command.help, allow_abbrev=False)
        command.arrange(sub)
        sub.set_defaults(command=command)
    return root


def main(argv: Sequence[str] | None = None, terminal: Terminal | None = None) -> int:
    """
    The command's entry point.

    @return: the exit status.
    """
    root = parser()
    arguments, extra = root.parse_known_args(argv)
    command: Command = arguments.command
    if extra and not command.extra:
        root.error(f"unrecognized arguments: {' '.join(extra)}")
    arguments.extra = extra
    return carry_out(command, arguments, terminal or Terminal(os.environ, sys.stdout, sys.stderr))


def carry_out(command: Command, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """
    Run a command.

    @return: the exit status, also when it was interrupted.
    """
    try:
        status = command.run(arguments, terminal)
        terminal.out.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _unread(terminal.out)
    return status


def _unread(out: TextIO) -> int:
    """
    End as whoever is killed by writing what nobody reads any more, which is no mistake: C{siger job list | head}.
    """
    with suppress(OSError):  # else Python complains when it ends, having something left to write
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())
        os.close(nowhere)
    return 128 + signal.SIGPIPE


if __name__ == "__main__":
    sys.exit(main())
