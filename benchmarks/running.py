"""
Proxies that are up: configured, started on the proxies' core, and listening.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.base import UNLIMITED, Peer, Spec
from benchmarks.processes import Process, Processes, free_port
from benchmarks.tokens import Tokens

__all__ = ["Running", "Stage"]


@dataclass(frozen=True)
class Running:
    """
    A proxy that listens.
    """

    peer: Peer
    spec: Spec
    process: Process

    @property
    def series(self) -> str:
        """
        Which series it belongs to.
        """
        return self.spec.series

    @property
    def key(self) -> str:
        """
        Its name in the samples.
        """
        return f"{self.peer.name}/{self.series}"

    @property
    def tokens(self) -> Tokens:
        """
        The tokens that it is to believe, and others.
        """
        return Tokens(self.spec.secret)

    def forget_log(self) -> None:
        """
        Empty the access log, which otherwise fills memory in a long run.
        """
        if self.spec.access_log.exists():
            os.truncate(self.spec.access_log, 0)


class Stage:
    """
    Starts proxies in front of the two backends, each in a directory of its own.

    @ivar secret: what the tokens of this run are signed with.
    """

    def __init__(self, processes: Processes, core: int, room: Path, backend_port: int, grpc_port: int) -> None:
        self._processes = processes
        self._core = core
        self._room = room
        self._backend_port = backend_port
        self._grpc_port = grpc_port
        self.secret = secrets.token_hex(32)

    def start(self, peer: Peer, series: str, limit: int = UNLIMITED, purpose: str = "run") -> Running:
        """
        Configure and start a proxy.

        @param purpose: keeps apart the directories of proxies that are started for different reasons.
        """
        room = self._room / f"{peer.name}-{series}-{purpose}"
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(parents=True)
        spec = Spec(room, free_port(), self._backend_port, self._grpc_port, series, self.secret, limit)
        launch = peer.configure(spec)
        name = f"{peer.name} ({room.name})"
        process = self._processes.start(name, launch.argv, self._core, room, launch.environment, launch.output)
        process.wait_listening(spec.port)
        return Running(peer, spec, process)

    def stop(self, running: Running) -> None:
        """
        Stop a proxy.
        """
        self._processes.stop(running.process)
