"""
What messages hold: headers, and answers in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from nats.aio.msg import Msg

from siger.messaging.errors import UnavailableError

__all__ = ["decode", "header_size"]


def header_size(headers: Mapping[str, str] | None) -> int:
    """
    How many bytes headers are on the wire.
    """
    if headers is None:
        return 0
    return len("NATS/1.0\r\n\r\n") + sum(len(f"{name}: {value}\r\n".encode()) for name, value in headers.items())


def decode(message: Msg) -> dict[str, Any]:
    """
    Read an answer in JSON.

    @raise UnavailableError: when it is none.
    """
    try:
        answer = orjson.loads(message.data)
    except ValueError as error:
        raise UnavailableError("an answer that is not JSON") from error
    if not isinstance(answer, dict):
        raise UnavailableError("an answer that is not an object")
    return answer
