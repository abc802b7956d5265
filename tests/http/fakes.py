"""
Stand-ins for the two sides of L{siger.http.stream}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siger.errors import Reason
    from siger.http.stream import Stream

__all__ = ["FakeStream"]


class FakeStream:
    """
    A stream that keeps what it was told, and fails a test that breaks the rules a channel relies on.

    @ivar events: the names of the calls, in order.
    """

    def __init__(self, peer: bytes = b"192.0.2.7", secure: bool = False) -> None:
        self.peer = peer
        self.secure = secure
        self.reason: Reason | None = None
        self.events: list[str] = []
        self.interim: list[tuple[int, bytes]] = []
        self.status: int | None = None
        self.phrase = b""
        self.lines = b""
        self.length: int | None = None
        self.body = b""
        self.trailers = b""
        self.ended = False
        self.aborted = False
        self.body_paused = False

    def send_interim(self, status: int, lines: bytes) -> None:
        """
        Keep a 1xx response.
        """
        assert self.status is None, "interim response after the final head"
        self.events.append("interim")
        self.interim.append((status, lines))

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        Keep the final head.
        """
        assert self.status is None, "second final head"
        assert lines == b"" or lines.endswith(b"\r\n"), "broken field lines"
        self.events.append("response")
        self.status, self.phrase, self.lines, self.length, self.body = status, phrase, lines, length, body
        self.ended = end

    def send_body(self, data: bytes) -> None:
        """
        Keep more of the body.
        """
        assert self.status is not None, "body before head"
        assert not self.ended, "body after end"
        self.events.append("body")
        self.body += data

    def end_response(self, trailers: bytes) -> None:
        """
        Note the end.
        """
        assert self.status is not None, "end before head"
        assert not self.ended, "second end"
        self.events.append("end")
        self.trailers = trailers
        self.ended = True

    def abort_response(self) -> None:
        """
        Note the unclean end.
        """
        self.events.append("abort")
        self.aborted = True

    def pause_body(self) -> None:
        """
        Note that no more body is wanted.
        """
        self.events.append("pause_body")
        self.body_paused = True

    def resume_body(self) -> None:
        """
        Note that body is wanted again.
        """
        self.events.append("resume_body")
        self.body_paused = False

    def fields(self) -> dict[str, list[str]]:
        """
        The response's fields by lower-case name.
        """
        found: dict[str, list[str]] = {}
        for line in self.lines.decode("latin-1").split("\r\n")[:-1]:
            name, _, value = line.partition(": ")
            found.setdefault(name.lower(), []).append(value)
        return found


if TYPE_CHECKING:
    _fits: Stream = FakeStream()
