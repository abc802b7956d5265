"""
C{siger worker}: a worker that runs a program for each job, or the demonstration.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from siger.config.load import ConfigErrors, load
from siger.config.settings.nats import NatsSettings
from siger.messaging.directory import client_url
from siger.worker.arguments import arrange
from siger.worker.connection import server_url
from siger.worker.context import Handler
from siger.worker.program import Program
from siger.worker.worker import Worker

__all__ = ["main", "run"]


class _UsageError(Exception):
    """
    It cannot be meant like that.
    """


def run(arguments: argparse.Namespace, environ: Mapping[str, str], err: TextIO) -> int:
    """
    Work until told to stop.

    @return: the exit status.
    """
    logging.basicConfig(stream=err, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        options = _options(arguments, environ)
        worker = Worker(**options, handlers=_handler(arguments, environ))
    except (_UsageError, ValueError, OSError, ConfigErrors) as error:
        print(f"siger worker: {error}", file=err)
        return 2
    asyncio.run(worker.run())
    return 0


def _options(arguments: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, Any]:
    found = _from_config(arguments, environ) if arguments.config else _from_arguments(arguments, environ)
    if arguments.types:
        found["types"] = [name.strip() for name in arguments.types.split(",") if name.strip()]
    if not found.get("types"):
        raise _UsageError("--types says which jobs to take")
    if arguments.gpu_type == "any":
        raise _UsageError("--gpu-type is about the GPUs that there are; leave it out to take jobs for any")
    for name in ("grace", "lease", "concurrency"):
        if getattr(arguments, name) is not None:
            found[name] = getattr(arguments, name)
    found |= {name: getattr(arguments, name) for name in ("gpus", "gpu_type", "drain", "name")}
    return found


def _from_arguments(arguments: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        "servers": [server_url(address) for address in arguments.nats],
        **_credentials(arguments, environ, NatsSettings()),
    }


def _credentials(arguments: argparse.Namespace, environ: Mapping[str, str], nats: NatsSettings) -> dict[str, str]:
    return {
        "user": arguments.nats_user or environ.get("SIGER_NATS__USER", nats.user),
        "password": arguments.nats_password or environ.get("SIGER_NATS__PASSWORD", nats.password),
        "token": arguments.nats_token or environ.get("SIGER_NATS__TOKEN", nats.token),
        "credentials": arguments.creds or environ.get("SIGER_NATS__CREDENTIALS", nats.credentials),
    }


def _from_config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Where the gateway's configuration says that NATS is, and what it says of jobs.
    """
    settings = load(Path(arguments.config), environ)
    found: dict[str, Any] = {
        "types": list(settings.jobs.types),
        "lease": settings.jobs.lease,
        "grace": settings.jobs.grace,
    }
    if settings.nats_address == "embedded":
        return found | {"servers": _embedded(settings.data_dir)}
    if not settings.nats_address:
        raise _UsageError(f"{arguments.config} has no nats_address, so there are no jobs")
    servers = [server_url(address.strip()) for address in settings.nats_address.split(",")]
    return found | {"servers": servers, **_credentials(arguments, environ, settings.nats)}


def _embedded(directory: Path) -> Callable[[], Sequence[str]]:
    """
    Where the server is that a gateway keeps: with each start it has another password.
    """

    def find() -> list[str]:
        url = client_url(directory / "nats")
        return [] if url is None else [url]

    return find


def _handler(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Handler:
    command: list[str] = arguments.program
    if not command:
        from siger.demo.training import demonstrate

        return demonstrate
    if shutil.which(command[0]) is None:
        raise _UsageError(f"{command[0]} is not a program")
    return Program(command, _devices(arguments.gpus, environ), environ)


def _devices(gpus: int, environ: Mapping[str, str]) -> list[str] | None:
    """
    What CUDA calls the GPUs: if the worker itself may use only some, jobs get some of those.
    """
    if not gpus:
        return None
    visible = [name.strip() for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    if not visible:
        return [str(number) for number in range(gpus)]
    if len(visible) < gpus:
        raise _UsageError(f"--gpus {gpus}, but CUDA_VISIBLE_DEVICES has only {len(visible)}")
    return visible[:gpus]


def main() -> int:
    """
    C{python -m siger.worker.command}, the same without the C{siger} command.
    """
    parser = argparse.ArgumentParser("siger worker", allow_abbrev=False)
    arrange(parser)
    return run(parser.parse_args(), os.environ, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
