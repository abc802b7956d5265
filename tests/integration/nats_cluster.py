"""
Three real nats-servers that form a JetStream cluster, for tests that take its leaders away.

    cluster = NatsCluster()
    self.addCleanup(cluster.stop)
    cluster.start()
    ... cluster.addresses ...
    led = cluster.leader("JOBS")
    led.kill()          # as if it crashed
    cluster.wait_for(lambda: cluster.leader("JOBS", wait=0) not in (None, led), "led by another")
    led.start()

Who leads is asked of the servers' monitoring ports, so nothing here needs a client. All of it listens on loopback.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.integration.free_port import free_port
from tests.integration.nats_server import NatsServer, NatsServerFailed

__all__ = ["Member", "NatsCluster"]

_SIZE = 3
#: Seconds within which a cluster elects whom it has to.
_ELECTION = 20.0


class Member(NatsServer):
    """
    One server of a cluster.

    @ivar name: by which the others know it.
    """

    def __init__(self, name: str, route: int, routes: list[int]) -> None:
        """
        @param route: the port on which it listens to the others.
        @param routes: those of all.
        """
        self.name = name
        self._monitor = free_port()
        others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        super().__init__(
            free_port(),
            f"server_name: {name}\n"
            f'http: "127.0.0.1:{self._monitor}"\n'
            f'cluster {{ name: tests, listen: "127.0.0.1:{route}", routes: [{others}] }}\n',
        )

    def __repr__(self) -> str:
        return f"<Member {self.name}>"

    def jetstream(self, query: str = "") -> dict[str, Any]:
        """
        What it says about JetStream; nothing when it does not answer.
        """
        with (
            contextlib.suppress(OSError, ValueError),
            urllib.request.urlopen(f"http://127.0.0.1:{self._monitor}/jsz?{query}", timeout=2) as response,
        ):
            document: dict[str, Any] = json.load(response)
            return document
        return {}

    def streams(self) -> dict[str, dict[str, Any]]:
        """
        What it knows of the cluster of each stream that it keeps a copy of.
        """
        accounts = self.jetstream("streams=1").get("account_details") or []
        details = [detail for account in accounts for detail in account.get("stream_detail") or []]
        return {detail["name"]: detail.get("cluster") or {} for detail in details}


class NatsCluster:
    """
    The cluster.

    @ivar members: its servers, which can be killed and started one by one.
    """

    def __init__(self, size: int = _SIZE) -> None:
        routes = [free_port() for _ in range(size)]
        self.members = [Member(f"n{number}", route, routes) for number, route in enumerate(routes)]

    @property
    def addresses(self) -> str:
        """
        All of them, as C{nats_address} wants it.
        """
        return self.addresses_of(self.members)

    @staticmethod
    def addresses_of(members: list[Member]) -> str:
        """
        Some of them.
        """
        return ",".join(f"127.0.0.1:{member.port}" for member in members)

    def start(self) -> NatsCluster:
        """
        Start all, and wait until they have elected who assigns streams.
        """
        for member in self.members:
            if not member.alive:
                member.start()
        self.wait_for(lambda: self.meta_leader() is not None, "led by anybody")
        return self

    def wait_for(self, true: Callable[[], bool], what: str, timeout: float = _ELECTION) -> None:
        """
        Look until something is true.

        @raise NatsServerFailed: when it is not in time.
        """
        deadline = time.monotonic() + timeout
        while not true():
            if time.monotonic() > deadline:
                said = "\n".join(member.output()[-2000:] for member in self.members)
                raise NatsServerFailed(f"the cluster is not {what} within {timeout} s:\n{said}")
            time.sleep(0.05)

    @property
    def running(self) -> list[Member]:
        """
        The members that are up.
        """
        return [member for member in self.members if member.alive]

    def meta_leader(self) -> Member | None:
        """
        Who assigns streams, if most say the same.
        """
        return self._elected([(m.jetstream().get("meta_cluster") or {}).get("leader") for m in self.running])

    def leader(self, stream: str, wait: float = _ELECTION) -> Member | None:
        """
        Who leads a stream.

        @param wait: seconds in which there must be one, or 0 for whoever it is now.
        """
        found: list[Member | None] = [None]

        def look() -> bool:
            found[0] = self._elected([m.streams().get(stream, {}).get("leader") for m in self.running])
            return found[0] is not None

        if wait:
            self.wait_for(look, f"led for {stream}", wait)
        else:
            look()
        return found[0]

    def _elected(self, names: list[str | None]) -> Member | None:
        for member in self.running:
            if 2 * names.count(member.name) > len(self.members):
                return member
        return None

    def replicas(self, stream: str) -> int:
        """
        How many copies of a stream are up to date, as its leader sees it; 0 without a leader.
        """
        leader = self.leader(stream, wait=0)
        if leader is None:
            return 0
        others = leader.streams().get(stream, {}).get("replicas") or []
        return 1 + sum(bool(other.get("current")) and not other.get("offline", False) for other in others)

    def stop(self) -> None:
        """
        End all and take their files away.
        """
        for member in self.members:
            member.kill()  # one that ends in order hands over first, to servers that are going to end as well
            member.stop()
