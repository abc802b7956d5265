"""
The C{siger} command.

Each subcommand is a row of L{COMMANDS}. Nothing here imports a reactor, nor anything of the gateway that would: only
C{siger run} needs one, and hands over to C{twistd}, which chooses it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from attrs import frozen

from siger import __version__
from siger.config.effective import effective
from siger.config.load import ConfigErrors, load
from siger.config.settings import Settings

__all__ = ["COMMANDS", "DEFAULT_CONFIG", "Command", "Terminal", "main", "twistd_arguments"]

DEFAULT_CONFIG = "configs/config.yaml"


@frozen
class Terminal:
    """
    What a command reads and writes besides its arguments.
    """

    environ: Mapping[str, str]
    out: TextIO
    err: TextIO

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


COMMANDS = (
    Command("run", "start the gateway in the foreground; other options are twistd's", _takes_config, run, extra=True),
    Command("check", "check a configuration file", _takes_file, check),
    Command("config", "print the settings that a file and the environment come to", _takes_print, config),
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
    return command.run(arguments, terminal or Terminal(os.environ, sys.stdout, sys.stderr))


if __name__ == "__main__":
    sys.exit(main())
