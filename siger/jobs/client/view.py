"""
What somebody who watches a job is told of its events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from siger.jobs.client.screen import Screen, bar
from siger.jobs.model import TERMINAL

__all__ = ["View", "gpus"]

_STEP: Final = 10
"""Per cent after which progress is worth another line, where lines stay."""
_LONGEST_RESULT: Final = 300
_NARROW: Final = 50


class View:
    """
    Shows the events of one job.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._state = ""
        self._attempt = 0
        self._progress = 0
        self._told = -_STEP
        self._message = ""

    def begin(self, job: Mapping[str, Any]) -> None:
        """
        Say which job it is.
        """
        self._screen.line(f"{job.get('name', '')} ({job.get('type', '')}, {gpus(job)})")
        self._screen.settle()

    def show(self, events: Sequence[Mapping[str, Any]]) -> None:
        """
        Show what happened, the last of it last.
        """
        for event in events:
            self._show(event)
        self._screen.settle()

    def _show(self, event: Mapping[str, Any]) -> None:
        kind = event.get("event")
        if kind == "log":
            self._screen.line(str(event.get("message", "")))
        elif kind == "progress":
            self._note_progress(event)
        elif kind == "status":
            self._note_status(event)

    def trouble(self, text: str) -> None:
        """
        Show that the connection was lost, until something else is shown.
        """
        if self._screen.live:
            self._screen.draw(lambda columns: text)
            self._screen.settle()

    def _note_progress(self, event: Mapping[str, Any]) -> None:
        progress = event.get("progress")
        if isinstance(progress, int):
            self._progress = progress if event.get("attempt") != self._attempt else max(progress, self._progress)
        self._note_attempt(event)
        self._message = str(event.get("message") or self._message)
        self._draw()
        if not self._screen.live and (self._progress >= self._told + _STEP or self._progress == 100 > self._told):
            self._told = self._progress
            self._screen.line(f"-- {self._progress:3d} %  {self._message}".rstrip())

    def _note_attempt(self, event: Mapping[str, Any]) -> None:
        attempt = event.get("attempt")
        if isinstance(attempt, int) and attempt:
            self._attempt = attempt

    def _note_status(self, event: Mapping[str, Any]) -> None:
        status, message = str(event.get("status", "")), str(event.get("message") or "")
        before = (self._state, self._attempt)
        self._note_attempt(event)
        if status == "retrying":
            self._begin_anew("waiting", message or f"Attempt {self._attempt} failed; trying again")
            self._screen.line(f"-- {self._message}{_because(event)}")
        elif status not in TERMINAL and (status, self._attempt) != before:
            if status == "processing":
                self._begin_anew(status, message)
            self._state, self._message = status, message
            self._say_state(event)
        self._draw()

    def _begin_anew(self, state: str, message: str) -> None:
        self._state, self._message, self._progress, self._told = state, message, 0, -_STEP

    def _say_state(self, event: Mapping[str, Any]) -> None:
        """
        Write down, where there is no line that shows it, in which state it is now.
        """
        if not self._screen.live:
            by = f" by {event['worker']}" if event.get("worker") else ""
            self._screen.line(f"-- {self._described()}{by}{': ' if self._message else ''}{self._message}")

    def _described(self) -> str:
        return self._state if self._attempt < 2 else f"{self._state}, attempt {self._attempt}"

    def _draw(self) -> None:
        self._screen.draw(self._line)

    def _line(self, columns: int) -> str:
        parts = [self._described()]
        if self._state != "queued":
            drawn = bar(self._progress, min(30, columns // 3), self._screen.encoding)
            parts.append(f"{drawn} {self._progress:3d} %" if columns >= _NARROW else f"{self._progress:3d} %")
        return "  ".join([*parts, self._message])

    def end(self, job: Mapping[str, Any]) -> None:
        """
        Say what it came to.
        """
        self._screen.draw(None)
        self._screen.line(f"{job.get('status')}: {job.get('message') or ''}".removesuffix(": "))
        if job.get("error"):
            self._screen.line(f"error: {job['error']}")
        if job.get("result") is not None:
            result = json.dumps(job["result"], ensure_ascii=False)
            short = result if len(result) <= _LONGEST_RESULT else f"{result[:_LONGEST_RESULT]}… (siger job show has it)"
            self._screen.line(f"result: {short}")
        self._screen.settle()

    def leave(self) -> None:
        """
        Leave the screen to others.
        """
        self._screen.draw(None)
        self._screen.settle()


def gpus(job: Mapping[str, Any]) -> str:
    """
    The GPUs that a job asks for.
    """
    count, kind = job.get("gpu_count", 0), job.get("gpu_type", "any")
    if not count:
        return "no GPU"
    return f"{count} x {kind}" if kind != "any" else f"{count} GPU{'s' if count != 1 else ''}"


def _because(event: Mapping[str, Any]) -> str:
    return f": {event['error']}" if event.get("error") else ""
