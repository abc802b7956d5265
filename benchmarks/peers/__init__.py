"""
The proxies that take part, in the order of the tables.
"""

from __future__ import annotations

from benchmarks.peers.base import Peer
from benchmarks.peers.caddy import Caddy
from benchmarks.peers.envoy import Envoy
from benchmarks.peers.haproxy import HAProxy
from benchmarks.peers.nghttpx import Nghttpx
from benchmarks.peers.nginx import Nginx
from benchmarks.peers.python_peers import Aiohttp, TwistedWebProxy
from benchmarks.peers.siger import Siger

__all__ = ["REFERENCE", "all_peers"]

REFERENCE = "haproxy"
"""
The peer that ratios are given to.
"""


def all_peers() -> list[Peer]:
    """
    One of each.
    """
    return [Nginx(), HAProxy(), Siger(), Envoy(), Nghttpx(), Caddy(), Aiohttp(), TwistedWebProxy()]
