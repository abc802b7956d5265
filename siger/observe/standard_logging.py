"""
What libraries log with the standard library's C{logging}, asyncio's complaints among it, passed on to the application
log.
"""

from __future__ import annotations

import logging
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

__all__ = ["StandardLoggingBridge", "bridge_standard_logging"]

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


class StandardLoggingBridge(logging.Handler):
    """
    Emits each record as an event of L{twisted.logger}.
    """

    def __init__(self, logger: type[Logger] = Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """
        Pass a record on. The message is an argument of the event, not its format: braces in it mean nothing.
        """
        try:
            event: dict[str, Any] = {"text": record.getMessage()}
            if record.exc_info and record.exc_info[1] is not None:
                event["log_failure"] = Failure(record.exc_info[1])
            self._logger(namespace=record.name).emit(_twisted_level(record.levelno), "{text}", **event)
        except Exception:
            self.handleError(record)


def _twisted_level(number: int) -> Any:
    """
    The highest level that is not above the record's.
    """
    name = "debug"
    for candidate, threshold in _LEVELS.items():
        if number >= threshold:
            name = candidate
    return LogLevel.lookupByName(name)


def bridge_standard_logging(level: str) -> None:
    """
    Make the root logger pass on everything from this level on, once however often this is called.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, StandardLoggingBridge) for handler in root.handlers):
        root.addHandler(StandardLoggingBridge())
    root.setLevel(_LEVELS[level])
