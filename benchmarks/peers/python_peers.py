"""
The two peers that are Python libraries, each run by a small server of ours in this package.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from benchmarks.peers.base import Launch, Peer, Spec
from benchmarks.tools import python_path

__all__ = ["Aiohttp", "TwistedWebProxy"]


class _OurServer(Peer):
    """
    A module of this package that serves.
    """

    module: str

    def configure(self, spec: Spec) -> Launch:
        argv = [sys.executable, "-m", self.module, str(spec.port), str(spec.backend_port), str(spec.limit)]
        if spec.chain:
            argv.append(str(spec.access_log))
        return Launch(tuple(argv), {"PYTHONPATH": python_path()})


class Aiohttp(_OurServer):
    """
    aiohttp, server and client, on uvloop.
    """

    name = "aiohttp"
    module = "benchmarks.peers.aiohttp_server"
    limit = "token bucket by address, in the proxy's handler"

    def version(self) -> str:
        return f"{version('aiohttp')} on uvloop {version('uvloop')}"


class TwistedWebProxy(_OurServer):
    """
    C{twisted.web.proxy} on the epoll reactor.
    """

    name = "twisted.web.proxy"
    module = "benchmarks.peers.twisted_server"
    limit = "token bucket by address, in a subclass"

    def version(self) -> str:
        return version("twisted")
