"""
What can go wrong between a client and a gateway, said in one line for whoever typed the command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPMessage
from typing import Any, Final

from siger.jobs.client.text import plain

__all__ = ["LostError", "RefusedError", "TroubleError", "UnreachableError", "refusal"]

_PASSING: Final = frozenset(
    ("rate_limited", "in_progress", "busy", "overloaded", "pool_full", "store_unavailable", "starting", "draining")
)
"""
The reasons of problem documents that are worth another attempt soon.
"""
_PASSING_STATUSES: Final = (502, 503, 504)
_ANONYMOUS: Final = ("unauthenticated", "invalid_token")
_LONGEST: Final = 2000


class TroubleError(Exception):
    """
    Something did not work out. The message is all that its user is told.

    @ivar passing: whether it may work out soon.
    @ivar retry_after: seconds before which there is no use in trying.
    """

    passing = False
    retry_after = 0.0


class LostError(TroubleError):
    """
    A connection ended, or nothing came over it any more. What was asked may have been done.
    """

    passing = True


class UnreachableError(LostError):
    """
    There was no connection, so nothing was done.
    """


class RefusedError(TroubleError):
    """
    The gateway, or something before it, refused.

    @ivar status: of the answer.
    @ivar reason: the word that names it in a problem document; C{""} when it was none.
    @ivar document: that document.
    """

    def __init__(self, message: str, status: int, document: Mapping[str, Any], retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.document = document
        self.reason = str(document.get("reason", ""))
        self.retry_after = retry_after
        self.passing = self.reason in _PASSING if self.reason else status in _PASSING_STATUSES

    @property
    def anonymous(self) -> bool:
        """
        Whether another token would help.
        """
        return self.reason in _ANONYMOUS


def refusal(url: str, status: int, fields: HTTPMessage, content: bytes) -> RefusedError:
    """
    Read an answer that is not what was hoped for.

    @param url: whose answer it is.
    """
    document = _problem(fields, content)
    message = _from_problem(document) if document else _from_status(url, status, fields)
    return RefusedError(message[:_LONGEST], status, document, _seconds(fields.get("Retry-After")))


def _problem(fields: HTTPMessage, content: bytes) -> dict[str, Any]:
    if not fields.get("Content-Type", "").lower().startswith("application/problem+json"):
        return {}
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _from_problem(document: Mapping[str, Any]) -> str:
    title = plain(str(document.get("title", "Refused")))
    errors = document.get("errors")
    faults = [_fault(error) for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    detail = "; ".join(faults) or plain(str(document.get("detail", "")))
    return f"{title}: {detail}" if detail else title


def _fault(error: Mapping[str, Any]) -> str:
    """
    One of several faults: where it is, and which rule it breaks.
    """
    where = error.get("pointer", error.get("parameter", error.get("field", "")))
    return plain(f"{str(where).removeprefix('#')} {error.get('detail', error.get('message', ''))}".strip())


def _from_status(url: str, status: int, fields: HTTPMessage) -> str:
    location = fields.get("Location")
    if 300 <= status < 400 and location:
        return f"{url} leads on to {plain(location)}; give the gateway's own address as --url"
    return f"{url} answers with status {status}, as no gateway of jobs does"


def _seconds(text: str | None) -> float:
    """
    Read C{Retry-After}, as far as it is a number.
    """
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else 0.0
