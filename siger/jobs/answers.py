"""
What JetStream answers, read: acknowledgements, errors by their numbers, and stored messages.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

import orjson
from nats.aio.msg import Msg

from siger.jobs.errors import ConflictError, FullError
from siger.messaging.errors import TooLargeError, UnavailableError

__all__ = ["NAME_IN_USE", "NO_MESSAGE", "NO_STREAM", "ApiError", "acknowledged", "check", "read_stored", "sequence_of"]

NO_MESSAGE: Final = 10037
NAME_IN_USE: Final = 10058
NO_STREAM: Final = 10059

_TOO_LARGE: Final = 10054
_WRONG_SEQUENCE: Final = (10071, 10164)
#: The stream, its account or the whole server has no room. 10077 is whatever kept a message from being stored.
_NO_ROOM: Final = (10023, 10028, 10047, 10077)


class ApiError(UnavailableError):
    """
    The server did not do what it was asked to do.

    @ivar number: its number for the reason.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.number = error.get("err_code", 0)
        super().__init__(str(error.get("description", "an error without a description")))


def check(answer: Mapping[str, Any]) -> None:
    """
    Let an answer pass that is no error.

    @raise ApiError: it is one.
    """
    error = answer.get("error")
    if error is not None:
        raise ApiError(error if isinstance(error, dict) else {})


def acknowledged(message: Msg, stream: str) -> tuple[int, bool]:
    """
    Read what answers a message that was to be stored.

    @param stream: where (row K1).
    @return: its sequence, and whether it was there already.
    @raise ConflictError: it is not the next of its subject that its writer took it for.
    @raise FullError: there is no room. Nothing was stored.
    @raise UnavailableError: it may or may not have been stored.
    """
    try:
        answer = orjson.loads(message.data)
        check(answer)
        if answer["stream"] == stream and type(answer["seq"]) is int:
            return answer["seq"], answer.get("duplicate") is True
    except ApiError as error:
        raise _meaning(error) from error
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise UnavailableError("an acknowledgement that makes no sense") from error
    raise UnavailableError("not the acknowledgement of the stream")


def _meaning(error: ApiError) -> Exception:
    if error.number in _WRONG_SEQUENCE:
        return ConflictError(str(error))
    if error.number in _NO_ROOM:
        return FullError(str(error))
    if error.number == _TOO_LARGE:
        return TooLargeError(str(error))
    return error


def read_stored(answer: Mapping[str, Any]) -> tuple[int, str, bytes]:
    """
    Read a stored message.

    @return: its sequence, subject and content.
    """
    message = answer.get("message")
    try:
        assert isinstance(message, dict)
        return int(message["seq"]), str(message["subject"]), b64decode(message.get("data") or "")
    except (AssertionError, KeyError, TypeError, ValueError, binascii.Error) as error:
        raise UnavailableError("a stored message that cannot be read") from error


def sequence_of(message: Msg) -> int:
    """
    Where a message stands in its stream, if the server took it from there by itself.

    @raise UnavailableError: nobody knows.
    """
    try:
        return int((message.headers or {})["Nats-Sequence"])
    except (KeyError, ValueError) as error:
        raise UnavailableError("a message without its sequence") from error
