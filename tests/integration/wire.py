"""
Our own reading of HTTP/1.1 messages, kept apart from Siger's parsers so that a test never lets the accused judge.

A reader is lenient about what it takes for a message, as a careless backend would be, because that is what smuggling
lives on. It is exact about what it counts, and it writes down every deviation from the grammar in C{faults}.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from attrs import Factory, define

__all__ = ["Fields", "MessageReader", "Request", "RequestReader", "Response", "ResponseReader"]

Fields = list[tuple[bytes, bytes]]

_KEEP = 1 << 20
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_FIELD_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 [1-9][0-9][0-9] [\t\x20-\x7e\x80-\xff]*")
_REQUEST_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP/1\.1")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_LENIENT_SIZE = re.compile(rb"[\t ]*(?:0x)?([0-9A-Fa-f]{1,16})")
_LENIENT_LENGTH = re.compile(rb"[\t ]*\+?([0-9]{1,18})")


@define
class Message:
    """
    What was read of one message.

    @ivar body: its first megabyte; C{length} is what arrived of it in all.
    @ivar raw: the head as it came.
    @ivar faults: deviations from the grammar that a strict sender never makes.
    """

    start: bytes
    fields: Fields
    raw: bytes
    body: bytearray = Factory(bytearray)
    length: int = 0
    trailers: Fields = Factory(list)
    complete: bool = False
    faults: list[str] = Factory(list)

    def values(self, name: bytes) -> list[bytes]:
        """
        The values of all field lines with this lower-case name.
        """
        return [value for key, value in self.fields if key.lower() == name]

    def value(self, name: bytes) -> bytes | None:
        """
        The joined value, or C{None} where there is no such line.
        """
        values = self.values(name)
        return b", ".join(values) if values else None

    def names(self) -> set[bytes]:
        """
        All field names, in lower case.
        """
        return {name.lower() for name, _ in self.fields}

    def word(self, index: int) -> bytes:
        """
        One word of the start line, empty where it is missing.
        """
        words = self.start.split(b" ", 2)
        return words[index] if index < len(words) else b""


class Request(Message):
    """
    A request as a careless backend would read it.
    """

    @property
    def method(self) -> bytes:
        return self.word(0)

    @property
    def target(self) -> bytes:
        return self.word(1)

    @property
    def version(self) -> bytes:
        return self.word(2)


class Response(Message):
    """
    A response; C{clean} tells whether its framing, rather than the end of the connection, ended it.
    """

    @property
    def status(self) -> int:
        return int(self.word(1)) if re.fullmatch(rb"[0-9]{3}", self.word(1)) else 0

    @property
    def interim(self) -> bool:
        return 100 <= self.status < 200 and self.status != 101


class MessageReader:
    """
    Reads messages from bytes in pieces: head, body by its framing, trailers, next head.

    Subclasses choose the framing. A stream that makes no sense any more is swallowed from there on.
    """

    message_type: type[Message] = Message
    start_line = re.compile(rb".*")

    def __init__(
        self, on_head: Callable[[Message], None] | None = None, on_complete: Callable[[Message], None] | None = None
    ) -> None:
        self.messages: list[Message] = []
        self.tunnel = bytearray()
        self.current: Message | None = None
        self._on_head = on_head or _ignore
        self._on_complete = on_complete or _ignore
        self._buffer = bytearray()
        self._left = 0
        self._step: Callable[[], bool] = self._read_head

    def feed(self, data: bytes) -> None:
        """
        Read on.
        """
        self._buffer += data
        while self._step():
            pass

    def end(self) -> None:
        """
        The sender ended the stream: ends a body that nothing else delimits.
        """
        if self._step == self._read_to_end:
            self._finish()

    def become_tunnel(self) -> None:
        """
        No HTTP from here on: what follows is collected in C{tunnel}.
        """
        self.current = None
        self._step = self._read_tunnel
        self.feed(b"")

    @property
    def pending(self) -> bool:
        """
        Whether a message has begun and is not complete.
        """
        return self.current is not None or (self._step == self._read_head and bool(self._buffer))

    def framing(self, message: Message) -> Callable[[], bool] | None:
        """
        The step that reads this message's body; C{None} for no body.
        """
        raise NotImplementedError

    def _read_head(self) -> bool:
        while self._buffer.startswith((b"\r\n", b"\n")):
            del self._buffer[: self._buffer.index(b"\n") + 1]
        end = _END_OF_HEAD.search(self._buffer)
        if end is None:
            return False
        raw, head = bytes(self._buffer[: end.end()]), bytes(self._buffer[: end.start()])
        del self._buffer[: len(raw)]
        start, *lines = head.split(b"\n")
        message = self.message_type(start.removesuffix(b"\r"), [], raw)
        if len(re.findall(rb"\r\n", raw)) != raw.count(b"\n") or raw.count(b"\r") != raw.count(b"\n"):
            message.faults.append("bare CR or LF in the head")
        if not self.start_line.fullmatch(message.start):
            message.faults.append(f"start line {message.start[:80]!r}")
        message.fields = [_field(line.removesuffix(b"\r"), message.faults) for line in lines]
        self._begin(message)
        return True

    def _begin(self, message: Message) -> None:
        self.current = message
        self.messages.append(message)
        step = self.framing(message)
        self._step = step or self._read_head
        self._on_head(message)
        if step is None:
            self._finish()

    def _finish(self) -> None:
        message, self.current = self.current, None
        assert message is not None
        message.complete = True
        if self._step != self._read_tunnel:
            self._step = self._read_head
        self._on_complete(message)

    def _take(self, most: int) -> int:
        message = self.current
        assert message is not None
        piece = self._buffer[:most]
        del self._buffer[:most]
        message.length += len(piece)
        message.body += piece[: _KEEP - len(message.body)]
        return len(piece)

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r"):
            self._fault("bare LF in the body's framing")
        return line.removesuffix(b"\r")

    def _fault(self, text: str) -> None:
        if self.current is not None:
            self.current.faults.append(text)

    def _read_fixed(self) -> bool:
        self._left -= self._take(self._left)
        if self._left:
            return False
        self._finish()
        return True

    def _read_to_end(self) -> bool:
        self._take(len(self._buffer))
        return False

    def _read_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if not _CHUNK_SIZE.fullmatch(line):
            self._fault(f"chunk size line {line[:40]!r}")
        size = _LENIENT_SIZE.match(line)
        if size is None:
            self._step = self._read_nonsense
            return True
        self._left = int(size.group(1), 16)
        self._step = self._read_chunk if self._left else self._read_trailer
        return True

    def _read_chunk(self) -> bool:
        self._left -= self._take(self._left)
        if self._left:
            return False
        self._step = self._read_chunk_end
        return True

    def _read_chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            self._fault(f"{line[:40]!r} after a chunk")
        self._step = self._read_size
        return True

    def _read_trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        message = self.current
        assert message is not None
        if line:
            message.trailers.append(_field(line, message.faults))
            return True
        self._finish()
        return True

    def _read_nonsense(self) -> bool:
        self._buffer.clear()
        return False

    def _read_tunnel(self) -> bool:
        self.tunnel += self._buffer
        self._buffer.clear()
        return False


class RequestReader(MessageReader):
    """
    Reads requests: chunked where any C{Transfer-Encoding} mentions it, else by the first number in C{Content-Length}.
    """

    message_type = Request
    start_line = _REQUEST_LINE

    def framing(self, message: Message) -> Callable[[], bool] | None:
        if any(b"chunked" in value.lower() for value in message.values(b"transfer-encoding")):
            return self._read_size
        self._left = _length(message)
        return self._read_fixed if self._left else None


class ResponseReader(MessageReader):
    """
    Reads responses; needs to know which of them answer HEAD.

    @ivar methods: the methods of the requests to come, GET where there are no more.
    """

    message_type = Response
    start_line = _STATUS_LINE

    def __init__(
        self, on_head: Callable[[Message], None] | None = None, on_complete: Callable[[Message], None] | None = None
    ) -> None:
        super().__init__(on_head, on_complete)
        self.methods: deque[bytes] = deque()

    @property
    def finals(self) -> list[Response]:
        """
        All final responses whose head has come.
        """
        return [one for one in self.messages if isinstance(one, Response) and not one.interim]

    @property
    def interims(self) -> list[Response]:
        """
        All 1xx responses other than 101.
        """
        return [one for one in self.messages if isinstance(one, Response) and one.interim]

    def framing(self, message: Message) -> Callable[[], bool] | None:
        assert isinstance(message, Response)
        if message.status == 101:
            message.complete = True
            return self._read_tunnel
        if message.interim:
            return None
        method = self.methods.popleft() if self.methods else b"GET"
        if method == b"HEAD" or message.status in (204, 304):
            return None
        lengths = message.values(b"content-length")
        if message.values(b"transfer-encoding"):
            if lengths:
                message.faults.append("both Content-Length and Transfer-Encoding")
            return self._read_size
        if not lengths:
            return self._read_to_end
        self._left = _length(message)
        return self._read_fixed if self._left else None


def _length(message: Message) -> int:
    lengths = message.values(b"content-length")
    if len(lengths) > 1:
        message.faults.append("more than one Content-Length")
    found = _LENIENT_LENGTH.match(lengths[0]) if lengths else None
    if lengths and not re.fullmatch(rb"0|[1-9][0-9]*", lengths[0]):
        message.faults.append(f"Content-Length {lengths[0][:40]!r}")
    return int(found.group(1)) if found else 0


def _field(line: bytes, faults: list[str]) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
        faults.append(f"field line {line[:80]!r}")
    return name, value.strip(b" \t")


def _ignore(message: Message) -> None:
    """
    For a reader whose owner only looks afterwards.
    """
