"""
Siger itself, started as its users start it: C{twistd -n siger}. Its chain is always on.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers.base import Launch, Peer, Spec, fill
from benchmarks.tools import REPOSITORY, python_path

__all__ = ["TWISTD", "Siger", "is_compiled"]

# All clients here are one address, and connections live as long as they do at the peers.
_CONFIG = """
port: "127.0.0.1:@PORT@"
consul_address: ""
nats_address: ""
data_dir: @ROOM@/data
access_log: @LOG@
log_level: warn
limits: {connections_per_client: 10000, max_requests: 1000000000}
services:
  bench:
    instances: ["@BACKEND@"]
"""

TWISTD = (
    "import twisted.plugins; twisted.plugins.__path__.append({plugins!r}); "
    "from twisted.scripts.twistd import run; run()"
)
"""
twistd that sees the checkout's plugin whether or not Siger is installed.
"""


class Siger(Peer):
    """
    The gateway of this checkout.
    """

    name = "siger"
    has_bare = False
    has_limit = False
    limit = "comes in a later version"

    def version(self) -> str:
        kind = "compiled" if is_compiled() else "pure Python"
        return f"{_own_version()} ({kind}) on Twisted {version('twisted')}, uvloop {version('uvloop')}"

    def configure(self, spec: Spec) -> Launch:
        config = spec.room / "config.yaml"
        config.write_text(fill(_CONFIG, spec))
        twistd = TWISTD.format(plugins=str(REPOSITORY / "twisted_plugins"))
        argv = (sys.executable, "-c", twistd, "-n", "--pidfile=", "siger", "-c", str(config))
        return Launch(argv, {"PYTHONPATH": python_path()})


def is_compiled() -> bool:
    """
    Whether the hot modules are compiled: any module of the HTTP package is an extension.
    """
    found = find_spec("siger.http")
    places = list(found.submodule_search_locations or ()) if found else []
    return any(True for place in places for _ in Path(place).glob("*.so"))


def _own_version() -> str:
    """
    What the package says of itself.
    """
    import siger

    return str(getattr(siger, "__version__", "unreleased"))
