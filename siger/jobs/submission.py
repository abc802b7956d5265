"""
What a client submits, checked before anything is done with it, and the message that puts it into the queue.

Everything that is wrong is found at once, each fault with a pointer to the member (RFC 6901). What does not mean
anything here is a fault too, so that nobody believes that C{gpus: 8} had an effect. Messages never repeat a value.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final

import orjson
from attrs import asdict, field, fields_dict, frozen

from siger.config.settings.jobs import JobsSettings
from siger.jobs.identifiers import is_job_id
from siger.jobs.members import BrokenError, deeper, is_plain, read_object
from siger.jobs.model import Job
from siger.jobs.times import canonical

__all__ = [
    "MAX_PARAMS",
    "MAX_PARAMS_DEPTH",
    "Fault",
    "Submission",
    "SubmissionError",
    "message_bytes",
    "new_job",
    "parse",
    "pointer",
    "read_message",
]

MAX_PARAMS: Final = 256 * 1024
MAX_PARAMS_DEPTH: Final = 32
MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 2000
MAX_TAGS: Final = 20
MAX_RETRIES: Final = 10
MAX_TIMEOUT: Final = 604800
MAX_FAULTS: Final = 100
"""
How many faults are told: a document of nothing else shall not make an answer that is longer still.
"""

Fault = tuple[str, str]
"""
A JSON pointer, and the rule that what is there breaks, in words that follow the name of the member.
"""

_TYPE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TAG: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_TEXTS: Final = ("job_id", "user_id", "type", "name", "description", "gpu_type")
_HIGHEST: Final = {"gpu_count": 2**31, "priority": 10, "max_retries": MAX_RETRIES, "timeout": MAX_TIMEOUT}
_MEMBERS_OF_MESSAGE: Final = (*_TEXTS, "gpu_count", "priority", "params", "tags", "max_retries", "timeout")
_values_of_message: Final = attrgetter(*_MEMBERS_OF_MESSAGE)


class SubmissionError(Exception):
    """
    A submission with faults.

    @ivar faults: at least one.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{place or 'it'} {message}" for place, message in faults))
        self.faults = list(faults)


@frozen
class Submission:
    """
    What a client wants done, complete.

    @ivar priority: 0 to 10, the most urgent.
    @ivar params: the worker's business alone.
    @ivar max_retries: how many attempts there may be after the first.
    @ivar timeout: seconds for one attempt, or 0.
    """

    type: str
    name: str
    description: str = ""
    gpu_type: str = "any"
    gpu_count: int = 1
    priority: int = 5
    params: dict[str, Any] = field(factory=dict, hash=False)
    tags: tuple[str, ...] = ()
    max_retries: int = 2
    timeout: int = 0

    def fingerprint(self) -> str:
        """
        What two submissions have in common that ask for the same: a hash of the one way to write it down.
        """
        written = orjson.dumps(asdict(self, recurse=False), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(written).hexdigest()


_MEMBERS: Final = tuple(fields_dict(Submission))
_values: Final = attrgetter(*_MEMBERS)


def pointer(*path: str | int) -> str:
    """
    A JSON pointer to a member, or a member of one (RFC 6901 section 3).
    """
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


class _BadError(Exception):
    """
    A value breaks a rule, or values inside it break some.

    @ivar faults: where, below the value.
    """

    def __init__(self, message: str = "", faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = list(faults) or [("", message)]


_Check = Callable[[object], Any]


def parse(document: object, settings: JobsSettings) -> Submission:
    """
    Check what a client sent.

    @param document: what its JSON says.
    @raise SubmissionError: with everything that is wrong.
    """
    if not isinstance(document, dict):
        raise SubmissionError([("", "must be an object")])
    checks = _checks(settings)
    faults: list[Fault] = [(pointer(name), "is required") for name in ("type", "name") if name not in document]
    found = {}
    for name, value in document.items():
        if name not in checks:
            faults.append((pointer(name), "is not a member of a job"))
            continue
        try:
            found[name] = checks[name](value)
        except _BadError as error:
            faults += [(pointer(name) + below, message) for below, message in error.faults]
    if faults:
        raise SubmissionError(faults[:MAX_FAULTS])
    return Submission(**found)


@cache
def _checks(settings: JobsSettings) -> dict[str, _Check]:
    return {
        "type": _type(settings.types),
        "name": _name,
        "description": _description,
        "gpu_type": _one_of(settings.gpu_types),
        "gpu_count": _whole(0, settings.max_gpus),
        "priority": _whole(0, 10),
        "params": _params,
        "tags": _tags,
        "max_retries": _whole(0, MAX_RETRIES),
        "timeout": _whole(0, MAX_TIMEOUT),
    }


def _one_of(words: Sequence[str]) -> _Check:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise _BadError(f"must be one of {', '.join(words)}")
        return value

    return check


def _type(types: Sequence[str]) -> _Check:
    """
    It becomes a token of a subject, so it has to be one even if settings made by hand say otherwise (row K11).
    """
    return _one_of([word for word in types if _TYPE.fullmatch(word)])


def _whole(low: int, high: int) -> _Check:
    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:  # True is an int as well
            raise _BadError(f"must be a whole number from {low} to {high}")
        return value

    return check


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable() or not value.strip():
        raise _BadError(f"must be a string of 1 to {MAX_NAME} printable characters")
    return value


def _description(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_DESCRIPTION or not is_plain(value):
        raise _BadError(f"must be a string of at most {MAX_DESCRIPTION} characters")
    return value


def _params(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _BadError("must be an object")
    if deeper(value, MAX_PARAMS_DEPTH):
        raise _BadError(f"must not have more than {MAX_PARAMS_DEPTH} levels")
    if not is_plain(value):
        raise _BadError("must be made of JSON values, with numbers of at most 64 bits")
    if len(orjson.dumps(value)) > MAX_PARAMS:
        raise _BadError(f"must not be longer than {MAX_PARAMS} bytes")
    return value


def _tags(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_TAGS:
        raise _BadError(f"must be a list of at most {MAX_TAGS} strings")
    wrong = [at for at, tag in enumerate(value) if not isinstance(tag, str) or not _TAG.fullmatch(tag)]
    if wrong:
        rule = "must be a string of 1 to 64 characters of A-Z, a-z, 0-9 and _ . : / -"
        raise _BadError(faults=[(pointer(at), rule) for at in wrong])
    return tuple(value)


def new_job(submission: Submission, job_id: str, user_id: str, username: str, submitted_at: str) -> Job:
    """
    The record of a job that nobody has seen yet.

    @param submitted_at: a time in the form of L{siger.jobs.times}.
    """
    return Job(
        job_id=job_id,
        user_id=user_id,
        username=username,
        submitted_at=submitted_at,
        updated_at=submitted_at,
        **dict(zip(_MEMBERS, _values(submission), strict=True)),
    )


def message_bytes(job: Job) -> bytes:
    """
    The message that makes a job run: whenever it is made of the same job, the same.
    """
    message = dict(zip(_MEMBERS_OF_MESSAGE, _values_of_message(job), strict=True))
    message["timestamp"] = job.submitted_at
    return orjson.dumps(message)


def read_message(content: bytes) -> Job:
    """
    What a worker gets to see of a job: its record as it was at first, but for the name of its user.

    @raise BrokenError: it is no such message.
    """
    members = read_object(content)
    texts: dict[str, Any] = {name: members.text(name) for name in _TEXTS}
    if not is_job_id(texts["job_id"]) or not _TYPE.fullmatch(texts["type"]):
        raise BrokenError("job_id or type is none")
    try:
        submitted_at = canonical(members.text("timestamp"))
    except ValueError as error:
        raise BrokenError("timestamp is no time") from error
    numbers: dict[str, Any] = {name: members.integer(name, 0, high) for name, high in _HIGHEST.items()}
    return Job(
        username="",
        params=members.mapping("params"),
        tags=members.texts("tags"),
        submitted_at=submitted_at,
        updated_at=submitted_at,
        published=True,
        **texts,
        **numbers,
    )
