"""
The application log: what the gateway and the libraries in it say, one JSON object a line.

Everything is logged through L{twisted.logger}, or passed on to it (txaio, the standard library), and reaches one
L{ApplicationLog}, which filters by level, takes secrets out and writes. At a terminal a person reads along, so lines
are made for one there.

C{twistd} and C{twist} each begin logging in their own way once the service is built; L{log_for_command} hands the
application's log to whichever it is, and leaves what was asked for on the command line alone.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import txaio
from twisted.logger import (
    ILogObserver,
    LogEvent,
    LogLevel,
    formatEvent,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import implementer

from siger.observe.redaction import Redactor
from siger.observe.standard_logging import bridge_standard_logging

__all__ = ["ApplicationLog", "log_for_command"]

_LONGEST_MESSAGE = 16384
_LONGEST_TRACEBACK = 65536
_DEFAULT_LOG_FILE = "twistd.log"
_FILE_MODE = 0o640

_FOREIGN_LEVELS = {"warning": "warn", "fatal": "critical", "trace": "debug"}
_control = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@implementer(ILogObserver)
class ApplicationLog:
    """
    Writes log events to a stream.

    @ivar redactor: knows the secrets.
    """

    def __init__(self, stream: TextIO, level: str = "info", human: bool | None = None) -> None:
        """
        @param stream: written a whole line at a time.
        @param level: C{debug}, C{info}, C{warn}, C{error} or C{critical}.
        @param human: whether a person reads along; by default, whether the stream is a terminal.
        """
        self.redactor = Redactor()
        self._stream = stream
        self._render = self._human_line if (stream.isatty() if human is None else human) else self._json_line
        txaio.use_twisted()  # type: ignore[no-untyped-call]
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """
        Log from this level on.
        """
        name = _FOREIGN_LEVELS.get(level, level)
        self._level = LogLevel.lookupByName(name)
        txaio.set_global_log_level(name)  # type: ignore[attr-defined]
        bridge_standard_logging(name)

    def reopen(self) -> None:
        """
        Begin a new file under the same name, for log rotation; standard output stays what it is.
        """
        if isinstance(self._stream, LogFile):
            self._stream.reopen()  # type: ignore[no-untyped-call]

    def __call__(self, event: LogEvent) -> None:
        """
        Write an event's line. A stream that cannot be written to loses it: there is nobody left to tell.
        """
        level = event.get("log_level")
        if level is not None and level < self._level:
            return
        try:
            self._stream.write(self._render(event))
            self._stream.flush()
        except (OSError, ValueError):
            pass

    def _json_line(self, event: LogEvent) -> str:
        """
        An event for programs: all of it ASCII, so that no reader finds a line end or an escape sequence in it.
        """
        document: dict[str, Any] = {
            "time": _time(event),
            "level": _level(event),
            "logger": _source(event),
            "message": self._message(event),
        }
        traceback = self._traceback(event)
        if traceback:
            document["traceback"] = traceback
        return json.dumps(document) + "\n"

    def _human_line(self, event: LogEvent) -> str:
        """
        An event for a person: the continuation of a message is indented, so that no message can pass for another line.
        """
        text = f"{self._message(event)}\n{self._traceback(event)}".rstrip("\n")
        body = _control.sub(_escaped, text).replace("\n", "\n    ")
        return f"{_time(event)} {_level(event):8} {_source(event)}: {body}\n"

    def _message(self, event: LogEvent) -> str:
        """
        What an event says.
        """
        failure = _failure(event)
        # The text of an old-style event is its traceback, but for the "why".
        old = failure is not None and "log_text" in event
        text = event.get("why") if old else formatEvent(event)
        if not text and failure is not None:
            text = f"{type(failure.value).__name__}: {failure.getErrorMessage()}"
        return self._clean(text or "", _LONGEST_MESSAGE)

    def _traceback(self, event: LogEvent) -> str:
        """
        Where a failure comes from.
        """
        failure = _failure(event)
        if failure is None:
            return ""
        try:
            text = failure.getTraceback()
        except Exception as error:
            text = f"(no traceback: {type(error).__name__})"
        return self._clean(text.rstrip("\n"), _LONGEST_TRACEBACK)

    def _clean(self, text: str, limit: int) -> str:
        """
        A text without secrets and of bounded length.
        """
        text = self.redactor.clean(text[: limit * 2])
        return text if len(text) <= limit else text[:limit] + "..."


def _time(event: LogEvent) -> str:
    """
    When it happened, RFC 3339 in UTC.
    """
    moment = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _level(event: LogEvent) -> str:
    """
    The level's name.
    """
    level = event.get("log_level")
    return "info" if level is None else str(level.name)


def _source(event: LogEvent) -> str:
    """
    Who says it; of old-style events that is not known, but that they are Twisted's is a good guess.
    """
    source = event.get("log_namespace") or "-"
    return "twisted" if source == "log_legacy" else str(source)


def _failure(event: LogEvent) -> Failure | None:
    """
    The failure an event tells of, new-style or old-style.
    """
    failure = event.get("log_failure", event.get("failure"))
    return failure if isinstance(failure, Failure) else None


def _escaped(match: re.Match[str]) -> str:
    """
    A control character as a person may see it.
    """
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def log_for_command(
    parent: MutableMapping[str, Any] | None, level: str, secrets: Iterable[str] = ()
) -> ApplicationLog | None:
    """
    Make the application's log for the command that runs it, before that has begun to log.

    @param parent: the options of C{twistd} or C{twist}.
    @param secrets: values that must never be written.
    @return: what C{twistd} is to be given as the application's L{ILogObserver}; C{None} if the command line asks for
        something else, or has been given the log itself.
    """
    if parent is None:
        return None
    if "nodaemon" in parent:
        log = _log_for_twistd(parent, level)
        if log is not None:
            log.redactor.protect(*secrets)
        return log
    if "fileLogObserverFactory" in parent:
        _prepare_twist(parent, level, secrets)
    return None


def _log_for_twistd(parent: Mapping[str, Any], level: str) -> ApplicationLog | None:
    """
    The log for C{twistd}, which writes where C{twistd} would have written.
    """
    if parent.get("logger") or parent.get("syslog"):
        return None
    name = parent.get("logfile")
    stays = parent["nodaemon"] or parent.get("debug")
    if stays and name in (None, "", "-"):
        return ApplicationLog(sys.stdout, level)
    if name == "-":
        return None  # twistd says that a daemon cannot do this, and ends.
    file = LogFile.fromFullPath(name or _DEFAULT_LOG_FILE, rotateLength=None, defaultMode=_FILE_MODE)
    return ApplicationLog(cast(TextIO, file), level, human=False)


def _prepare_twist(parent: MutableMapping[str, Any], level: str, secrets: Iterable[str]) -> None:
    """
    Let C{twist} make our log for the file and the format of its choice, which is text at a terminal. Its own level is
    a filter in front of ours, so it must let through what ours does.
    """

    def make(stream: TextIO) -> ApplicationLog:
        log = ApplicationLog(stream, level, human=parent.get("logFormat") == "text")
        log.redactor.protect(*secrets)
        return log

    parent["fileLogObserverFactory"] = make
    parent["logLevel"] = LogLevel.lookupByName(_FOREIGN_LEVELS.get(level, level))
