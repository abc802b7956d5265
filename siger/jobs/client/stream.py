"""
Server-sent events, read from bytes as they come (HTML standard, section 9.2.6).
"""

from __future__ import annotations

import codecs
from typing import Final

from attrs import frozen

from siger.jobs.client.errors import TroubleError

__all__ = ["Message", "Reader"]

_LARGEST: Final = 4 * 1024 * 1024


@frozen
class Message:
    """
    One event.

    @ivar id: the last that was said; C{""} when none was.
    """

    event: str
    data: str
    id: str = ""


class Reader:
    """
    Reads a stream.

    @ivar last_id: from where to go on in another stream.
    @ivar retry: seconds to wait before; C{None} while nothing was said about it.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry: float | None = None
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._first = True
        self._clear()

    def _clear(self) -> None:
        self._event = ""
        self._data: list[str] = []
        self._size = 0
        self._id = self.last_id

    def feed(self, content: bytes) -> list[Message]:
        """
        Take what has come.

        @return: the events that it completed.
        """
        text = self._decode(content)
        if self._first and text:
            self._first = False
            text = text.removeprefix("\ufeff")
        *lines, self._rest = self._split(self._rest + text)
        if len(self._rest) + self._size > _LARGEST:
            raise TroubleError("the gateway sends an event without an end")
        return [message for message in map(self._line, lines) if message is not None]

    def _split(self, text: str) -> list[str]:
        """
        Cut into lines; the last has not ended. A carriage return at the very end may be half of a line's end.
        """
        held = "\r" if text.endswith("\r") else ""
        lines = text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        lines[-1] += held
        return lines

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        self._field(name, value.removeprefix(" "))
        return None

    def _field(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
            self._size += len(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 10:
            self.retry = int(value) / 1000

    def _dispatch(self) -> Message | None:
        # Only now: what is cut off in the middle of an event has to come again.
        self.last_id = self._id
        message = Message(self._event or "message", "\n".join(self._data), self.last_id) if self._data else None
        self._clear()
        return message
