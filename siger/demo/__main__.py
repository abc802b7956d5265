"""
C{python -m siger.demo}: one demo backend.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from threading import Thread

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """
    Serve until interrupted, or, with C{--tethered}, until standard input ends.

    @return: the exit status.
    """
    options = _parser().parse_args(arguments)

    from siger.reactor import install

    install()
    from twisted.internet import reactor
    from twisted.internet.error import CannotListenError

    from siger.demo.echo import demo_site

    site = demo_site(options.name, reactor)
    try:
        reactor.listenTCP(options.port, site, interface=options.host)  # type: ignore[arg-type]  # a factory of channels
    except CannotListenError as busy:
        print(f"{options.name}: cannot listen on {options.host}:{options.port}: {busy.socketError}", file=sys.stderr)
        return 1
    print(f"{options.name}: listening on {options.host}:{options.port}", flush=True)
    if options.tethered:
        _at_end_of_input(lambda: reactor.callFromThread(reactor.stop))  # type: ignore[attr-defined]  # IReactorFromThreads
    reactor.run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m siger.demo", description="A backend that echoes what it is asked.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--name", default="echo", help="what it calls itself in its answers")
    parser.add_argument("--tethered", action="store_true", help="end when standard input does")
    return parser


def _at_end_of_input(call: Callable[[], None]) -> None:
    """
    Call once nobody holds the other end of standard input any more, however they went.
    """

    def wait() -> None:
        sys.stdin.buffer.read()
        call()

    Thread(target=wait, name="tether", daemon=True).start()


if __name__ == "__main__":
    raise SystemExit(main())
