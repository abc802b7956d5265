"""
What clients send about jobs: bodies, parameters and fields, before anything is made of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from siger.config.settings.jobs import JobsSettings
from siger.errors import Reason
from siger.http.json_body import JsonError, is_json, read_json
from siger.jobs.identifiers import is_job_id
from siger.jobs.model import STATES
from siger.jobs.polling import LONGEST
from siger.jobs.query import Query, QueryError, parse_query
from siger.jobs.refusals import RefusedError
from siger.jobs.submission import Submission, SubmissionError, parse

__all__ = [
    "Arguments",
    "read_arguments",
    "read_flag",
    "read_job_id",
    "read_key",
    "read_query",
    "read_seconds",
    "read_status",
    "read_submission",
]

Arguments = Mapping[bytes, Sequence[bytes]]
"""All parameters of a request with all their values."""

_KEY: Final = re.compile(rb"[!-~]{1,255}")
_SECONDS: Final = re.compile(rb"([0-9]{1,6})s?")
_FLAGS: Final = {b"true": True, b"1": True, b"": True, b"false": False, b"0": False}
_NOT_JSON: Final = "The body has to be JSON."
_BAD_KEY: Final = "Idempotency-Key has to be one field of 1 to 255 visible ASCII characters."


def read_arguments(target: bytes) -> dict[bytes, list[bytes]]:
    """
    Read the parameters of a request. C{twisted.web} passes over those without C{=}, but somebody who writes C{?dry_run}
    or C{?force} means something, too.

    @param target: its path and query.
    """
    found: dict[bytes, list[bytes]] = {}
    for part in target.partition(b"?")[2].split(b"&"):
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            found.setdefault(unquote_to_bytes(name), []).append(unquote_to_bytes(value))
    return found


def read_submission(content_type: bytes | None, content: bytes, settings: JobsSettings) -> Submission:
    """
    Read what is to be done.

    @raise RefusedError: it cannot be used, with everything that is wrong.
    """
    if not is_json(content_type):
        raise RefusedError(Reason.UNSUPPORTED_MEDIA, _NOT_JSON)
    try:
        return parse(read_json(content), settings)
    except JsonError as error:
        raise RefusedError.faults(Reason.INVALID_FIELDS, "pointer", [("#", str(error))], str(error)) from error
    except SubmissionError as error:
        faults = [("#" + pointer, message) for pointer, message in error.faults]
        raise RefusedError.faults(Reason.INVALID_JOB, "pointer", faults) from error


def read_key(values: Sequence[bytes] | None) -> str:
    """
    Read C{Idempotency-Key}.

    @param values: those of all fields of this name.
    @return: C{""} when there is none.
    """
    if not values:
        return ""
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise RefusedError(Reason.INVALID_FIELDS, _BAD_KEY)
    return values[0].decode("ascii")


def read_job_id(text: str) -> str:
    """
    Let the name of a job pass: nothing else is the name of one.
    """
    if not is_job_id(text):
        raise RefusedError(Reason.UNKNOWN_JOB)
    return text


def read_flag(arguments: Arguments, name: bytes) -> bool:
    """
    Read the only parameter that a request has, which says yes or no.
    """
    value = _only(arguments, name)
    if value is None:
        return False
    if value not in _FLAGS:
        raise _fault(name, "must be true or false")
    return _FLAGS[value]


def read_seconds(arguments: Arguments, name: bytes) -> int:
    """
    Read the only parameter that a request has, a number of seconds. Nobody gets more than L{LONGEST}.
    """
    value = _only(arguments, name)
    if value is None:
        return 0
    match = _SECONDS.fullmatch(value)
    if match is None:
        raise _fault(name, "must be a whole number of seconds")
    return min(int(match[1]), LONGEST)


def _only(arguments: Arguments, name: bytes) -> bytes | None:
    """
    The value of the one parameter that means something. What means nothing is refused: a misspelt C{dry_run} would
    submit a job.
    """
    if arguments.keys() - {name}:
        raise RefusedError(Reason.INVALID_FIELDS, f"The only parameter here is {name.decode()}.")
    values = arguments.get(name)
    if not values:
        return None
    if len(values) > 1:
        raise _fault(name, "must not come more than once")
    return values[0]


def _fault(name: bytes, rule: str) -> RefusedError:
    return RefusedError.faults(Reason.INVALID_FIELDS, "parameter", [(name.decode(), rule)])


def read_query(arguments: Arguments, types: Sequence[str], user_id: str, admin: bool) -> Query:
    """
    Read the parameters of a list.
    """
    try:
        return parse_query(arguments, types, user_id, admin)
    except QueryError as error:
        raise RefusedError.faults(Reason.INVALID_FIELDS, "parameter", error.faults) from error


def read_status(text: str) -> str:
    """
    Let a state of jobs pass.
    """
    if text not in STATES:
        raise RefusedError(Reason.INVALID_FIELDS, f"The states of jobs are {', '.join(STATES)}.")
    return text
