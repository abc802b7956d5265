"""
A server with few file descriptors, run by the tests of ports in a process of its own.

It prints its port, and greets each connection that it accepts.
"""

from __future__ import annotations

import resource
import sys

from siger.reactor import install

install()

from twisted.internet import reactor  # noqa: E402
from twisted.internet.protocol import Factory, Protocol  # noqa: E402


class Greeter(Protocol):
    """
    Greets.
    """

    def connectionMade(self) -> None:
        """
        Greet.
        """
        self.transport.write(b"!")


def main() -> None:
    """
    Serve until terminated.
    """
    port = reactor.listenTCP(0, Factory.forProtocol(Greeter), interface="127.0.0.1", backlog=100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    sys.stdout.write(f"{port.getHost().port}\n")
    sys.stdout.flush()
    reactor.run()


main()
