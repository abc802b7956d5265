"""
C{python -m siger.demo.quickstart}: a gateway with a demo backend behind each instance that its file names, and a worker
that takes its jobs.

The launcher starts everything, says what to try once it answers, and waits.  A signal ends the worker first, which
hands back what it has not finished to the gateway's store; then the gateway, so that it drains while its backends are
still there.  A worker that ends by itself is replaced, since what becomes of its job is worth seeing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from siger.config.load import ConfigErrors, load
from siger.config.settings.gateway import Settings
from siger.config.settings.services import InstanceSettings, ServiceSettings
from siger.demo.children import Child, port_in_use
from siger.jobs.client.address import DEFAULT_URL

__all__ = ["Quickstart", "main"]

READY_WITHIN = 30.0
"""
Seconds that everything may take to answer, on a slow machine.
"""

POLL = 0.1
"""
Seconds between two looks at signals and children.
"""

WORKER_DRAIN = 1
"""
Seconds that the worker may take to finish its jobs before it hands them back.
"""

WORKER_LEAST = 1.0
"""
Seconds that a worker has to have lived for another one to be worth starting.
"""

WORKER_JOBS = 2
"""
How many jobs the worker runs at once.
"""


class QuickstartError(Exception):
    """
    The quickstart cannot go on; the message says why.
    """


class Quickstart:
    """
    One gateway, its backends and its worker.
    """

    def __init__(self, config: Path, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._signals = 0
        self._deadline = 0.0
        self._gateway: Child | None = None
        self._worker: Child | None = None
        self._worker_since = 0.0
        self._backends: list[Child] = []

    def run(self) -> None:
        """
        Start everything, say so, and stop it again when a signal comes.

        @raise QuickstartError: when something does not start, or ends by itself.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note_signal)
        try:
            self._check_grpc()
            self._check_ports()
            self._start()
            self._wait_until_ready()
            self._start_worker()
            self._greet()
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
            yield from _named(service)

    def _services(self, grpc: bool) -> list[ServiceSettings]:
        """
        The services whose backends speak gRPC, or those that do not.
        """
        return [service for service in self._settings.services.values() if (service.protocol == "h2c") is grpc]

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

    def _check_grpc(self) -> None:
        """
        The gateway needs no grpcio, but backends that speak gRPC do.
        """
        services = self._services(grpc=True)
        if services and find_spec("grpc") is None:
            raise QuickstartError(
                f"{services[0].name} needs grpcio: install siger[grpc], or take it out of {self._config}"
            )

    def _start(self) -> None:
        self._deadline = time.monotonic() + READY_WITHIN
        for module, grpc in (("siger.demo", False), ("siger.demo.grpc_greeter", True)):
            for service in self._services(grpc):
                for name, instance in _named(service):
                    where = ("--host", instance.address, "--port", str(instance.port))
                    self._backends.append(Child.backend(name, *where, module=module))
        self._gateway = Child.twistd("the gateway", "-n", "--pidfile=", "siger", "--config", str(self._config))

    def _wait_until_ready(self) -> None:
        """
        Wait until the gateway says that it is ready, and as many requests to each service as it has instances were
        answered: with instances that take turns, each has answered one.  Those that speak gRPC have to listen.  Then
        until the accounts are there, which a gateway does not wait for.
        """
        for service in self._services(grpc=True):
            for name, instance in _named(service):
                self._wait_for(partial(_listens, instance), f"sign of {name}")
        services = self._services(grpc=False)
        for path in ("/readyz", *(f"/services/{service.name}/" for service in services for _ in service.instances)):
            self._wait_for(partial(self._answers, path), f"answer from {self._url}{path}")
        if self._settings.nats_address and self._settings.seed_users:
            self._wait_for(self._has_accounts, "accounts")

    def _wait_for(self, true: Callable[[], bool], what: str) -> None:
        while not self._signals and not true():
            self._check_children()
            if time.monotonic() > self._deadline:
                raise QuickstartError(f"no {what} within {READY_WITHIN:.0f} seconds")
            time.sleep(POLL)

    def _has_accounts(self) -> bool:
        """
        Whether there are as many accounts as the file names, at least.
        """
        found = re.search(rb"^siger_users ([0-9.]+)$", self._answer("/metrics") or b"", re.MULTILINE)
        return found is not None and float(found[1]) >= len(self._settings.seed_users)

    def _start_worker(self) -> None:
        """
        Start what runs jobs, where there are any.
        """
        if self._signals or not self._settings.nats_address:
            return
        options = ["--name", "demo-worker", "--concurrency", str(WORKER_JOBS), "--drain", str(WORKER_DRAIN)]
        self._worker = Child.siger("the demo worker", "worker", "--config", str(self._config), *options)
        self._worker_since = time.monotonic()

    def _greet(self) -> None:
        if not self._signals:
            print(self._greeting(), flush=True)

    def _check_children(self) -> None:
        for child in (self._gateway, *self._backends):
            if child is not None and (status := child.ended()) is not None:
                raise QuickstartError(f"{child.name} ended by itself, with status {status}")

    def _check_worker(self) -> None:
        if self._worker is None or (status := self._worker.ended()) is None:
            return
        ended = f"{self._worker.name} ended by itself, with status {status}"
        # One that was killed had no trouble of its own.
        if status >= 0 and time.monotonic() < self._worker_since + WORKER_LEAST:
            raise QuickstartError(ended)
        print(f"{ended}; starting another", flush=True)
        self._start_worker()

    def _answers(self, path: str) -> bool:
        return self._answer(path) is not None

    def _answer(self, path: str) -> bytes | None:
        """
        What is answered to a request, if it is a good answer.
        """
        connection = HTTPConnection(self._settings.listen.host or "127.0.0.1", self._settings.listen.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.read() if response.status == 200 else None
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    @property
    def _url(self) -> str:
        host = self._settings.listen.host
        return f"http://{'localhost' if host in ('', '127.0.0.1') else host}:{self._settings.listen.port}"

    def _greeting(self) -> str:
        service = next((service.name for service in self._services(grpc=False)), "echo")
        lines = ["", "Siger is running:", f"  {self._settings.listen!s:<22} the gateway"]
        lines += [f"  {instance!s:<22} demo backend {name}" for name, instance in self._instances()]
        lines += [f"  {'':<22} {self._worker.name}, for jobs"] if self._worker else []
        lines += ["", "Try:", f"  curl {self._url}/services/{service}/hello", f"  curl {self._url}/health"]
        lines += self._call_to_try()
        lines += self._accounts()
        lines += self._job_to_try() if self._worker else []
        lines += ["", f"Access log: {self._settings.access_log}.  Ctrl-C stops everything.", ""]
        return "\n".join(lines)

    def _call_to_try(self) -> list[str]:
        """
        How to call the service that speaks gRPC, if there is one.
        """
        python = f"{_shown(Path(sys.executable))} -m siger.demo.grpc_greet"
        return [f"  {python} {self._url.removeprefix('http://')} you and me" for _ in self._services(grpc=True)[:1]]

    def _accounts(self) -> list[str]:
        """
        How to log in as the first account that is there to be tried.
        """
        for user in self._settings.seed_users[:1]:
            fields = json.dumps({"username": user.username, "password": user.password})
            kind = "-H 'Content-Type: application/json'"
            return [f"  curl -X POST {self._url}/auth/login {kind} -d '{fields}'"]
        return []

    def _job_to_try(self) -> list[str]:
        """
        How to submit a job as one of the accounts that the file names, whose passwords are no secret.
        """
        user = next((user for user in self._settings.seed_users if user.role == "user"), None)
        job = f"  {_command()} job" + ("" if self._url == DEFAULT_URL else f" --url {self._url}")
        login = [f"{job} login {user.username}    (the password is {user.password})"] if user else []
        return [*login, f"{job} submit --type {self._settings.jobs.types[0]} --name demo --watch"]

    def _watch(self) -> None:
        while not self._signals:
            self._check_children()
            self._check_worker()
            time.sleep(POLL)

    def _stop(self) -> None:
        """
        End the worker, then the gateway, giving what runs the time that each gives it, and then the backends.
        """
        running = [child for child in (self._worker, self._gateway) if child is not None and child.ended() is None]
        if running:
            print("Stopping (once more to stop at once)", flush=True)
        for child in running:
            patience = WORKER_DRAIN if child is self._worker else self._settings.drain_timeout
            child.end(patience + 5, impatient=lambda: self._signals > 1)
        for backend in self._backends:
            backend.end(5)


def _command() -> str:
    """
    What to type for C{siger}, where this Python's commands may not be on the path.
    """
    program = Path(sysconfig.get_path("scripts"), "siger")
    return _shown(program) if program.exists() else "siger"


def _shown(program: Path) -> str:
    """
    A path as short as it can be typed.
    """
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else str(program)


def _listens(instance: InstanceSettings) -> bool:
    """
    Whether somebody accepts connections there.
    """
    with socket.socket(socket.AF_INET6 if ":" in instance.address else socket.AF_INET) as probe:
        return probe.connect_ex((instance.address, instance.port)) == 0


def _named(service: ServiceSettings) -> Iterator[tuple[str, InstanceSettings]]:
    """
    The instances of a service, with a name for each.
    """
    for number, instance in enumerate(service.instances, 1):
        yield f"{service.name}-{number}", instance


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
