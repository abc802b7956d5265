"""
Describes the machine and the software of a run: without that, figures say nothing.
"""

from __future__ import annotations

import datetime
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.base import Peer
from benchmarks.processes import cores
from benchmarks.tools import REPOSITORY, find, first_line

__all__ = ["describe"]


def describe(peers: Sequence[Peer]) -> dict[str, object]:
    """
    Everything that a reader needs to judge or repeat the run.
    """
    proxies, load = cores()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": len(_lines("/proc/cpuinfo", "processor")),
        "proxy_core": proxies,
        "load_core": load,
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GiB",
        "kernel": platform.release(),
        "congestion": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "virtual": "hypervisor" in _field("/proc/cpuinfo", "flags"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": version("uvloop"),
        "wrk": first_line(find("wrk"), "-v").split()[1],
        "backend": "nginx " + first_line(find("nginx"), "-v").rpartition("/")[2],
        "peers": {peer.name: peer.version() for peer in peers},
        "limits": {peer.name: peer.limit for peer in peers},
    }


def _lines(path: str, key: str) -> list[str]:
    """
    The values of a key in one of the kernel's C{key : value} files.
    """
    lines = Path(path).read_text().splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]


def _field(path: str, key: str) -> str:
    """
    The first such value.
    """
    return next(iter(_lines(path, key)), "unknown")


def _commit() -> str:
    """
    What was measured, as git names it; marked when files that are under version control were changed since.
    """
    argv = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
