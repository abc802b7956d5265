"""
What C{twistd siger} takes on its command line, and what it runs.

L{makeService} builds and never connects: C{twistd} may still fork, change its user or its root directory before it
starts the service.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.python.usage import CompleteFiles, Completions, UsageError
from twisted.python.usage import Options as UsageOptions

from siger import __version__
from siger.config.default import write_default
from siger.config.load import ConfigErrors, load
from siger.config.secret import kept_secret, secrets_of
from siger.config.settings.gateway import Settings
from siger.gateway import Gateway
from siger.observe.logging import log_for_command
from siger.process import GatewayProcess

__all__ = ["Options", "makeService"]


class Options(UsageOptions):
    """
    The command line.  The file says everything; a few of its keys can be overridden for one start.

    @ivar settings: what the file, the environment and the command line say together.
    """

    longdesc = (
        "Siger is an API gateway.  Everything is configured in one YAML file, written with defaults when missing."
    )

    optParameters = [
        ["config", "c", "configs/config.yaml", "The configuration file."],
        ["port", "p", None, "Listen here instead: 8080, :8080 or host:port."],
        ["log-level", None, None, "Log from this level on: debug, info, warn, error or critical."],
        ["data-dir", None, None, "Keep data in this directory instead."],
    ]

    compData = Completions(optActions={"config": CompleteFiles("*.yaml")})

    settings: Settings

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """
        @param environ: the environment that may override keys of the file.
        """
        UsageOptions.__init__(self)
        self._environ = environ

    def opt_version(self) -> None:
        """
        Print Siger's version.
        """
        print(f"siger {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """
        Read the configuration, or write the default one if there is none, before anything is listened on. Tokens are
        signed from the first moment: a secret that is missing is made and kept here.

        @raise UsageError: with everything that is wrong with it.
        """
        path = Path(self["config"])
        try:
            write_default(path)
            self.settings = kept_secret(load(path, {**self._environ, **self._overrides()}))
        except OSError as error:  # a directory that may not be looked into
            raise UsageError(f"{path}: {error.strerror}") from error
        except ConfigErrors as errors:
            faults = "".join(f"\n  {error}" for error in errors.errors)
            raise UsageError(f"the configuration cannot be used:{faults}") from errors

    def _overrides(self) -> dict[str, str]:
        """
        Say what the command line overrides the way the environment says it.
        """
        names = ("port", "log-level", "data-dir")
        return {f"SIGER_{name.upper().replace('-', '_')}": self[name] for name in names if self[name] is not None}


def makeService(options: Options, reactor: Any = None) -> IService:
    """
    Build the gateway that C{options} describe, and the log that the command which runs it is to begin with.

    @param reactor: what will run it; by default the installed one.
    """
    if reactor is None:
        from twisted.internet import reactor
    settings = options.settings
    log = log_for_command(options.parent, settings.log_level, secrets_of(settings))
    return GatewayProcess(Gateway(settings, reactor), reactor, log)
