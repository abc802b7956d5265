"""
A stream around a stream: what is the same for all of them, which is nearly everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siger.errors import Reason
    from siger.http.stream import Stream

__all__ = ["StreamWrapper"]


class StreamWrapper:
    """
    Passes everything on to a stream, and is one to whoever answers; L{siger.http.stream.Stream}.

    What others set on it, they set on the stream. A subclass changes what it is there for.

    @ivar peer: the stream's.
    @ivar secure: the stream's.
    @ivar version: the stream's.
    """

    __slots__ = ("_stream", "peer", "secure", "version")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.peer = stream.peer
        self.secure = stream.secure
        self.version = stream.version

    @property
    def reason(self) -> Reason | None:
        """
        The stream's.
        """
        return self._stream.reason

    @reason.setter
    def reason(self, reason: Reason | None) -> None:
        self._stream.reason = reason

    @property
    def request_id(self) -> bytes:
        """
        The stream's.
        """
        return self._stream.request_id

    @request_id.setter
    def request_id(self, request_id: bytes) -> None:
        self._stream.request_id = request_id

    @property
    def added(self) -> bytes:
        """
        The stream's.
        """
        return self._stream.added

    @added.setter
    def added(self, lines: bytes) -> None:
        self._stream.added = lines

    @property
    def grpc(self) -> bool:
        """
        The stream's.
        """
        return self._stream.grpc

    @grpc.setter
    def grpc(self, grpc: bool) -> None:
        self._stream.grpc = grpc

    def send_interim(self, status: int, lines: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_interim}.
        """
        self._stream.send_interim(status, lines)

    def send_response(
        self, status: int, phrase: bytes, lines: bytes, length: int | None, body: bytes, end: bool
    ) -> None:
        """
        See L{siger.http.stream.Stream.send_response}.
        """
        self._stream.send_response(status, phrase, lines, length, body, end)

    def send_body(self, data: bytes) -> None:
        """
        See L{siger.http.stream.Stream.send_body}.
        """
        self._stream.send_body(data)

    def end_response(self, trailers: bytes) -> None:
        """
        See L{siger.http.stream.Stream.end_response}.
        """
        self._stream.end_response(trailers)

    def abort_response(self) -> None:
        """
        See L{siger.http.stream.Stream.abort_response}.
        """
        self._stream.abort_response()

    def pause_body(self) -> None:
        """
        See L{siger.http.stream.Stream.pause_body}.
        """
        self._stream.pause_body()

    def resume_body(self) -> None:
        """
        See L{siger.http.stream.Stream.resume_body}.
        """
        self._stream.resume_body()

    def let_body_rest(self) -> None:
        """
        See L{siger.http.stream.Stream.let_body_rest}.
        """
        self._stream.let_body_rest()
