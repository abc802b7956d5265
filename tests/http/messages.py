"""
A plain reader of what a channel has written, for tests: nothing of it is shared with what it reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Message", "read_responses"]


@dataclass
class Message:
    """
    One response.

    @ivar fields: values by lower-case name; a second line of a name is an error.
    @ivar chunked: whether the body came in chunks.
    @ivar complete: whether it ended as its framing says.
    """

    status: int
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunked: bool = False
    trailers: bytes = b""
    complete: bool = True


def read_responses(data: bytes, methods: str = "") -> list[Message]:
    """
    All responses in C{data}, interim ones included.

    @param methods: of the requests, as in C{"GET HEAD"}; C{GET} where none is left.
    """
    asked = methods.split()
    found = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, head
        message = _read_head(head)
        found.append(message)
        if message.status >= 200:
            method = asked.pop(0) if asked else "GET"
            if method != "HEAD" and message.status not in (204, 304):
                data = _read_body(message, data)
    return found


def _read_head(head: bytes) -> Message:
    line, *lines = head.decode("latin-1").split("\r\n")
    version, status, _ = line.split(" ", 2)
    assert version == "HTTP/1.1", line
    message = Message(int(status))
    for each in lines:
        name, colon, value = each.partition(": ")
        assert colon, each
        assert name.lower() not in message.fields, name
        message.fields[name.lower()] = value
    return message


def _read_body(message: Message, data: bytes) -> bytes:
    length = message.fields.get("content-length")
    if length is not None:
        assert "transfer-encoding" not in message.fields
        message.body, rest = data[: int(length)], data[int(length) :]
        message.complete = len(message.body) == int(length)
        return rest
    if "transfer-encoding" not in message.fields:
        message.body = data
        return b""
    message.chunked = True
    while True:
        size, separator, data = data.partition(b"\r\n")
        if not separator:
            message.complete = False
            return b""
        if int(size, 16) == 0:
            return _read_trailers(message, data)
        message.body, data = message.body + data[: int(size, 16)], data[int(size, 16) :]
        assert data[:2] in (b"\r\n", b""), data[:2]
        data = data[2:]


def _read_trailers(message: Message, data: bytes) -> bytes:
    while not data.startswith(b"\r\n"):
        line, separator, data = data.partition(b"\r\n")
        assert separator, line
        message.trailers += line + separator
    return data[2:]
