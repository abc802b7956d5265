"""
Siger itself, started as its users start it: C{twistd -n siger}. Its chain is always on.

Where it is installed in this environment, with the hot modules compiled if there was a C compiler, that is what runs;
else the checkout, as plain Python.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.base import CHAIN, HTTP2, HTTP2_TOKEN, TOKEN, Launch, Peer, Spec, fill
from benchmarks.tools import REPOSITORY, python_path

__all__ = ["Siger", "installed"]

# All clients here are one address, and connections live as long as they do at the peers.
_CONFIG = """
port: "127.0.0.1:@PORT@"
consul_address: ""
nats_address: ""
data_dir: @ROOM@/data
access_log: @LOG@
log_level: warn
jwt_secret: @SECRET@
rate_limit: {requests_per_second: @LIMIT@}
limits: {connections_per_client: 10000, max_requests: 1000000000}
services:
  bench:
    instances: ["@BACKEND@"]
    auth: @AUTH@
@CALLS@
"""

_CALLS = """
  calls:
    instances: ["127.0.0.1:@GRPC_PORT@"]
    protocol: h2c
    auth: @AUTH@
routes:
- {grpc: @GRPC_SERVICE@, service: calls}
http2: true
"""

_TWISTD = (
    "import twisted.plugins; twisted.plugins.__path__.append({plugins!r}); "
    "from twisted.scripts.twistd import run; run()"
)
"""
twistd that sees the checkout's plugin.
"""


class Siger(Peer):
    """
    The gateway.
    """

    name = "siger"
    series = (CHAIN, TOKEN, HTTP2, HTTP2_TOKEN)
    limit = "token bucket by address"

    def version(self) -> str:
        package = installed() or REPOSITORY / "siger"
        kind = "compiled" if any(package.glob("http/*.so")) else "pure Python"
        return f"{_own_version()} ({kind}) on Twisted {version('twisted')}, uvloop {version('uvloop')}"

    def configure(self, spec: Spec) -> Launch:
        config = spec.room / "config.yaml"
        text = _CONFIG.replace("@CALLS@", _CALLS if spec.http2 else "")
        config.write_text(fill(text, spec, AUTH="user" if spec.token else "public"))
        arguments = ("-n", "--pidfile=", "siger", "-c", str(config))
        if installed() is not None:
            # -P: not the checkout that this was started from.
            return Launch((sys.executable, "-P", "-c", "from twisted.scripts.twistd import run; run()", *arguments))
        twistd = _TWISTD.format(plugins=str(REPOSITORY / "twisted_plugins"))
        return Launch((sys.executable, "-c", twistd, *arguments), {"PYTHONPATH": python_path()})


@cache
def installed() -> Path | None:
    """
    Where Siger is installed in this environment, if it is.
    """
    code = "import siger; print(siger.__path__[0])"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd="/", check=False, timeout=30
    )
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def _own_version() -> str:
    """
    What the package says of itself.
    """
    import siger

    return str(getattr(siger, "__version__", "unreleased"))
