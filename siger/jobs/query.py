"""
Which jobs somebody wants to see: filters, and where the last page ended.

Pages are cut by key, not by number: a cursor names the last job of a page, so that jobs that come and go meanwhile
neither shift others from page to page nor make the hundredth page slower than the first. To clients a cursor is opaque.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from attrs import frozen

from siger.jobs.identifiers import is_job_id
from siger.jobs.model import STATES, Job
from siger.jobs.times import canonical, is_canonical

__all__ = [
    "DEFAULT_LIMIT",
    "EVERYBODY",
    "MAX_LIMIT",
    "Listed",
    "Query",
    "QueryError",
    "cursor_of",
    "cursor_of_key",
    "parse_query",
    "read_cursor",
]

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
EVERYBODY: Final = "*"
"""
The owner that an admin asks for to see all jobs.
"""

_MAX_VALUES: Final = 50
_TAG: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_TYPE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LIMIT: Final = re.compile(r"[0-9]{1,4}")
_CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")

Key = tuple[str, str]


class Listed(Protocol):
    """
    What a query has to know of a job.
    """

    @property
    def user_id(self) -> str: ...

    @property
    def status(self) -> str: ...

    @property
    def type(self) -> str: ...

    @property
    def tags(self) -> tuple[str, ...]: ...

    @property
    def submitted_at(self) -> str: ...

    @property
    def key(self) -> Key: ...


class QueryError(Exception):
    """
    A query with faults.

    @ivar faults: the name of each parameter that breaks a rule, and the rule, in words that follow the name.
    """

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name} {message}" for name, message in faults))
        self.faults = list(faults)


@frozen
class Query:
    """
    Which jobs, the newest first.

    @ivar owner: the id of their user; C{None} for everybody's.
    @ivar statuses: any of these; none of none for any at all, as with C{types}.
    @ivar tags: all of these.
    @ivar created_after: submitted later than this time, in the form of L{siger.jobs.times}; C{None} for any.
    @ivar created_before: submitted earlier.
    @ivar after: the key of the job that ended the last page; C{None} for the first page.
    """

    owner: str | None = None
    statuses: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    created_after: str | None = None
    created_before: str | None = None
    limit: int = DEFAULT_LIMIT
    after: Key | None = None

    def matches(self, job: Listed) -> bool:
        """
        Whether a job is among them, on whichever page.
        """
        return (
            (self.owner is None or job.user_id == self.owner)
            and (not self.statuses or job.status in self.statuses)
            and (not self.types or job.type in self.types)
            and self.tags.issubset(job.tags)
            and (self.created_after is None or job.submitted_at > self.created_after)
            and (self.created_before is None or job.submitted_at < self.created_before)
        )

    def reaches(self, job: Listed) -> bool:
        """
        Whether a job comes after the end of the last page.
        """
        return self.after is None or job.key < self.after


def cursor_of(job: Job) -> str:
    """
    The cursor for the page after this job.
    """
    return cursor_of_key(job.key)


def cursor_of_key(key: Key) -> str:
    """
    The cursor for the page after the job with this key.
    """
    return urlsafe_b64encode(orjson.dumps(key)).rstrip(b"=").decode()


def read_cursor(text: str) -> Key:
    """
    What a cursor says.

    @raise ValueError: it is none of ours.
    """
    if not _CURSOR.fullmatch(text):
        raise ValueError("no cursor")
    found = orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if not isinstance(found, list) or len(found) != 2 or not all(isinstance(item, str) for item in found):
        raise ValueError("no cursor")
    if not is_canonical(found[0]) or not is_job_id(found[1]):
        raise ValueError("no cursor")
    return (found[0], found[1])


def parse_query(
    arguments: Mapping[bytes, Sequence[bytes]], types: Sequence[str], user_id: str, admin: bool = False
) -> Query:
    """
    Read the parameters of a list. C{status}, C{type} and C{tag} may come more than once, or with commas; others only
    once. Those that mean nothing here are faults: a misspelt filter would show what was not asked for.

    @param arguments: all parameters of a request with all their values.
    @param types: the types of jobs that there are.
    @param user_id: who asks, which is whose jobs they see unless they may ask for others'.
    @raise QueryError: with everything that is wrong.
    """
    reader = _Reader(arguments)
    query = Query(
        owner=reader.one("owner", _owner(user_id, admin), user_id),
        statuses=reader.many("status", _word(STATES)),
        types=reader.many("type", _type(types)),
        tags=reader.many("tag", _tag),
        created_after=reader.one("created_after", _time, None),
        created_before=reader.one("created_before", _time, None),
        limit=reader.one("limit", _limit, DEFAULT_LIMIT),
        after=reader.one("cursor", _cursor, None),
    )
    reader.finish()
    return query


class _Reader:
    """
    Parameters, each put to what it has to be. Faults add up.
    """

    def __init__(self, arguments: Mapping[bytes, Sequence[bytes]]) -> None:
        self._left = {name.decode("latin-1"): list(values) for name, values in arguments.items()}
        self._faults: list[tuple[str, str]] = []

    def one(self, name: str, check: Callable[[str], Any], default: Any) -> Any:
        """
        A parameter that comes once at most.
        """
        values = self._left.pop(name, [])
        if not values:
            return default
        if len(values) > 1:
            self._faults.append((name, "must not come more than once"))
            return default
        return self._checked(name, values[0], check)

    def many(self, name: str, check: Callable[[str], Any]) -> frozenset[str]:
        """
        A parameter that may come with several values.
        """
        words = [word for value in self._left.pop(name, []) for word in value.split(b",")]
        if len(words) > _MAX_VALUES:
            self._faults.append((name, f"must not have more than {_MAX_VALUES} values"))
            return frozenset()
        return frozenset(self._checked(name, word, check) for word in words)

    def _checked(self, name: str, value: bytes, check: Callable[[str], Any]) -> Any:
        try:
            return check(value.decode("utf-8"))
        except UnicodeDecodeError:
            self._faults.append((name, "must be in UTF-8"))
        except _BadError as error:
            fault = (name, str(error))
            self._faults += [] if fault in self._faults else [fault]
        return None

    def finish(self) -> None:
        """
        Say what was wrong.
        """
        self._faults += [(_shown(name), "is not a parameter of this list") for name in self._left]
        if self._faults:
            raise QueryError(self._faults)


class _BadError(Exception):
    """
    A value breaks a rule, which is the message.
    """


def _shown(name: str) -> str:
    """
    The name of an unknown parameter, as far as it is fit to be repeated.
    """
    return "".join(character if character.isprintable() else "?" for character in name[:40])


def _word(words: Sequence[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in words:
            raise _BadError(f"must be one of {', '.join(words)}")
        return value

    return check


def _type(types: Sequence[str]) -> Callable[[str], str]:
    """
    Any well-formed type: there may be jobs of some that are configured no longer.
    """

    def check(value: str) -> str:
        if not _TYPE.fullmatch(value):
            raise _BadError(f"must be a type of jobs, as {', '.join(types)}")
        return value

    return check


def _tag(value: str) -> str:
    if not _TAG.fullmatch(value):
        raise _BadError("must be 1 to 64 characters of A-Z, a-z, 0-9 and _ . : / -")
    return value


def _time(value: str) -> str:
    try:
        # A + of an offset that was not escaped has become a blank on the way.
        return canonical(re.sub(r" (?=[0-9]{2}:[0-9]{2}$)", "+", value))
    except ValueError as error:
        raise _BadError("must be a time as in RFC 3339, 2027-01-31T12:00:00Z") from error


def _limit(value: str) -> int:
    if not _LIMIT.fullmatch(value) or not 1 <= int(value) <= MAX_LIMIT:
        raise _BadError(f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(value)


def _cursor(value: str) -> Key:
    try:
        return read_cursor(value)
    except ValueError as error:
        raise _BadError("must be the next_cursor of an earlier page") from error


def _owner(user_id: str, admin: bool) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        if not admin and value != user_id:
            raise _BadError("is for admins")
        if not 1 <= len(value) <= 256 or not value.isprintable():
            raise _BadError(f"must be the id of a user, or {EVERYBODY} for everybody")
        return None if admin and value == EVERYBODY else value

    return check
