"""
C{python -m siger.demo.quickstart}: a gateway with a demo backend behind each instance that its file names.

The launcher starts everything, says what to try once it answers, and waits.  A signal ends the gateway first, so that
it drains while its backends are still there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import FrameType

from siger.config.load import ConfigErrors, load
from siger.config.settings import InstanceSettings, Settings
from siger.demo.children import Child, port_in_use

__all__ = ["Quickstart", "main"]

READY_WITHIN = 30.0
"""
Seconds that everything may take to answer, on a slow machine.
"""

POLL = 0.1
"""
Seconds between two looks at signals and children.
"""


class QuickstartError(Exception):
    """
    The quickstart cannot go on; the message says why.
    """


class Quickstart:
    """
    One gateway and its backends.
    """

    def __init__(self, config: Path, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._signals = 0
        self._gateway: Child | None = None
        self._backends: list[Child] = []

    def run(self) -> None:
        """
        Start everything, say so, and stop it again when a signal comes.

        @raise QuickstartError: when something does not start, or ends by itself.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note_signal)
        try:
            self._check_ports()
            self._start()
            self._wait_until_ready()
            self._watch()
        finally:
            self._stop()

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _instances(self) -> Iterator[tuple[str, InstanceSettings]]:
        """
        Name every configured instance after its service: C{echo-1}, C{echo-2}.
        """
        for service in self._settings.services.values():
            for number, instance in enumerate(service.instances, 1):
                yield f"{service.name}-{number}", instance

    def _check_ports(self) -> None:
        """
        Find out before anything is started, so that one message names every port in the way.
        """
        listen = self._settings.listen
        wanted = [("the gateway", listen.host, listen.port)]
        wanted += [(name, instance.address, instance.port) for name, instance in self._instances()]
        busy = [f"{host or '*'}:{port} (for {name})" for name, host, port in wanted if port_in_use(host, port)]
        if busy:
            raise QuickstartError(f"already in use: {', '.join(busy)}")

    def _start(self) -> None:
        for name, instance in self._instances():
            self._backends.append(Child.backend(name, "--host", instance.address, "--port", str(instance.port)))
        self._gateway = Child.twistd("the gateway", "-n", "--pidfile=", "siger", "--config", str(self._config))

    def _wait_until_ready(self) -> None:
        """
        Wait until the gateway says that it is ready, and as many requests to each service as it has instances were
        answered: with instances that take turns, each has answered one.
        """
        services = self._settings.services.values()
        paths = ["/readyz", *(f"/services/{service.name}/" for service in services for _ in service.instances)]
        deadline = time.monotonic() + READY_WITHIN
        while not self._signals and paths:
            self._check_children()
            if self._answers(paths[0]):
                paths.pop(0)
            elif time.monotonic() > deadline:
                raise QuickstartError(f"no answer from {self._url}{paths[0]} within {READY_WITHIN:.0f} seconds")
            else:
                time.sleep(POLL)
        if not self._signals:
            print(self._greeting(), flush=True)

    def _check_children(self) -> None:
        for child in (self._gateway, *self._backends):
            if child is not None and (status := child.ended()) is not None:
                raise QuickstartError(f"{child.name} ended by itself, with status {status}")

    def _answers(self, path: str) -> bool:
        connection = HTTPConnection(self._settings.listen.host or "127.0.0.1", self._settings.listen.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    @property
    def _url(self) -> str:
        host = self._settings.listen.host
        return f"http://{'localhost' if host in ('', '127.0.0.1') else host}:{self._settings.listen.port}"

    def _greeting(self) -> str:
        service = next(iter(self._settings.services), "echo")
        lines = ["", "Siger is running:", f"  {self._settings.listen!s:<22} the gateway"]
        lines += [f"  {instance!s:<22} demo backend {name}" for name, instance in self._instances()]
        lines += ["", "Try:", f"  curl {self._url}/services/{service}/hello", f"  curl {self._url}/health"]
        lines += self._accounts()
        lines += ["", f"Access log: {self._settings.access_log}.  Ctrl-C stops everything.", ""]
        return "\n".join(lines)

    def _accounts(self) -> list[str]:
        """
        How to log in as the first account that is there to be tried.
        """
        for user in self._settings.seed_users[:1]:
            fields = json.dumps({"username": user.username, "password": user.password})
            kind = "-H 'Content-Type: application/json'"
            return [f"  curl -X POST {self._url}/auth/login {kind} -d '{fields}'"]
        return []

    def _watch(self) -> None:
        while not self._signals:
            self._check_children()
            time.sleep(POLL)

    def _stop(self) -> None:
        """
        End the gateway, giving running requests the time that it gives them, and then the backends.
        """
        if self._gateway is not None and self._gateway.ended() is None:
            print("Stopping (once more to stop at once)", flush=True)
            self._gateway.end(self._settings.drain_timeout + 5, impatient=lambda: self._signals > 1)
        for backend in self._backends:
            backend.end(5)


def main(arguments: list[str] | None = None) -> int:
    """
    Run the quickstart.

    @return: the exit status: 0 when it was asked to stop.
    """
    parser = argparse.ArgumentParser(prog="python -m siger.demo.quickstart", description="A gateway to try.")
    parser.add_argument("-c", "--config", type=Path, default=Path("configs/quickstart.yaml"))
    config = parser.parse_args(arguments).config
    try:
        Quickstart(config, load(config, os.environ)).run()
    except (ConfigErrors, QuickstartError) as problem:
        print(f"siger quickstart: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
