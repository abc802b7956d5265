"""
Judges what a gateway made of a request case. Looks at an L{Observation} only, so it can be tested without one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from attrs import Factory, define

from tests.integration.case_files import Case
from tests.integration.second_opinions import disagreements
from tests.integration.wire import Request, Response

__all__ = ["Observation", "judge"]


@define
class Observation:
    """
    What happened on both sides of the gateway.

    @ivar finals: final responses in the order they came.
    @ivar closed: C{"eof"}, C{"reset"}, or C{""} if the gateway left the connection open.
    @ivar forwarded: complete requests that the backend got.
    @ivar partial: requests that began to arrive there and were not completed.
    @ivar dangling: how many of those are still open, as if the rest were to come.
    @ivar streams: all bytes that the backend got, connection by connection.
    @ivar canary: what was wrong with the answer to an ordinary request sent afterwards on the same connection.
    """

    finals: list[Response] = Factory(list)
    interims: list[Response] = Factory(list)
    closed: str = ""
    forwarded: list[Request] = Factory(list)
    partial: list[Request] = Factory(list)
    dangling: int = 0
    streams: list[bytes] = Factory(list)
    canary: str = ""


def judge(case: Case, seen: Observation) -> list[str]:
    """
    Everything that violates the case, in words; nothing means it passed.
    """
    faults = _always(seen)
    refused = case.expect == "reject" or (case.expect == "either" and not seen.forwarded)
    faults += _refused(case, seen) if refused else _forwarded(case, seen)
    if case.get("no_interim") and seen.interims:
        faults.append(f"sent {[one.status for one in seen.interims]} where no interim response may be")
    if case.get("client_close") and seen.closed != "eof":
        faults.append(f"the client's connection was not closed ({seen.closed or 'open'})")
    if case.get("responses") is not None and len(seen.finals) != case.get("responses"):
        faults.append(f"{len(seen.finals)} responses, not {case.get('responses')}: {_statuses(seen)}")
    return faults


def _always(seen: Observation) -> list[str]:
    """
    What holds for every case.
    """
    faults = [f"forwarded {one.raw[:200]!r}" for one in seen.forwarded + seen.partial if b"smuggled" in one.target]
    for message in [*seen.forwarded, *seen.finals, *seen.interims]:
        faults += [f"{type(message).__name__} has a {fault}" for fault in message.faults]
    faults += [text for stream in seen.streams for text in disagreements(stream)]
    for request in seen.forwarded:
        if request.version != b"HTTP/1.1" or len(request.values(b"host")) != 1:
            faults.append(f"forwarded a head without the gateway's own version and one Host: {request.raw[:200]!r}")
    if seen.dangling:
        faults.append("a request that will never be complete was left open at the backend")
    if seen.canary:
        faults.append(seen.canary)
    return faults


def _refused(case: Case, seen: Observation) -> list[str]:
    allowed = case.get("forwarded", 0) if case.expect == "reject" else 0
    faults = []
    if len(seen.forwarded) != allowed:
        faults.append(f"{len(seen.forwarded)} complete requests reached the backend, not {allowed}")
    if case.expect == "reject" and not case.get("phase") and seen.partial:
        faults.append(f"{seen.partial[0].raw[:80]!r} reached the backend although the head was at fault")
    closing = case.expect == "reject" and case.get("close", True)
    if not seen.finals and case.get("bare_close_ok") and seen.closed:
        return faults
    if len(seen.finals) != allowed + 1:
        return [*faults, f"responses {_statuses(seen)} instead of {allowed} and a refusal"]
    faults += _refusal(case, seen.finals[-1], closing)
    if closing and seen.closed != "eof":
        faults.append(f"the refusal did not close the connection in stages ({seen.closed or 'left open'})")
    return faults


def _refusal(case: Case, response: Response, closing: bool) -> list[str]:
    """
    What a response of the gateway's own has to be (SECURITY rules A32, "400c").
    """
    faults = []
    if not _status_fits(case, response.status):
        faults.append(f"refused with {response.status}, not {case.get('status', 'a 4xx, 501 or 505')}")
    if not response.complete or (response.value(b"content-length") is None and response.status != 204):
        faults.append("the refusal is incomplete or has no Content-Length")
    if closing and b"close" not in (response.value(b"connection") or b"").lower():
        faults.append("the refusal does not say Connection: close")
    return faults + (_problem(case, response) if response.status >= 400 else [])


def _status_fits(case: Case, status: int) -> bool:
    if case.expect == "either" and _preflight(case) and status in (204, 403):
        return True
    wanted = case.get("status")
    if case.expect == "either" and wanted == [200]:
        wanted = None
    return status in wanted if wanted else 400 <= status < 500 or status in (501, 505, 508)


def _preflight(case: Case) -> bool:
    return case.raw.startswith(b"OPTIONS ") and b"Access-Control-Request-Method" in case.raw


def _problem(case: Case, response: Response) -> list[str]:
    try:
        problem = json.loads(bytes(response.body))
    except ValueError:
        return [f"the refusal's body is no JSON: {bytes(response.body[:80])!r}"]
    faults = []
    if problem.get("status") != response.status or not problem.get("reason"):
        faults.append(f"the problem document says {problem}")
    if (response.value(b"x-content-type-options") or b"").lower() != b"nosniff":
        faults.append("the refusal lacks X-Content-Type-Options: nosniff")
    if any(word in bytes(response.body) for word in (b"smuggled", b"evil.test", b"gw.test")):
        faults.append("the refusal repeats what the client sent")
    return faults


def _forwarded(case: Case, seen: Observation) -> list[str]:
    count = case.get("forwarded", case.get("upstream", {}).get("count", 1))
    if case.expect == "either" and case.get("upstream", {}).get("count_max"):
        count = min(len(seen.forwarded), case.get("upstream")["count_max"])
    faults = []
    if len(seen.forwarded) != count:
        faults.append(f"{len(seen.forwarded)} complete requests reached the backend, not {count}")
    if seen.partial:
        faults.append(f"another request began to reach the backend: {seen.partial[0].raw[:80]!r}")
    if len(seen.finals) != case.get("responses", count):
        faults.append(f"responses {_statuses(seen)} to {count} requests")
    allowed = case.get("status") if case.expect == "forward" else None
    faults += [
        f"status {one.status}" for one in seen.finals if one.status not in (allowed or (101, 200)) or not one.complete
    ]
    return faults + _upstream(case.get("upstream", {}), seen)


def _statuses(seen: Observation) -> str:
    return str([one.status for one in seen.finals]) + (f" and {seen.closed}" if seen.closed else "")


def _upstream(wanted: dict[str, Any], seen: Observation) -> list[str]:
    faults = []
    for key, value in wanted.items():
        check = _CHECKS[key]
        if not check(value, seen):
            got = seen.forwarded[0].raw[:300] if seen.forwarded else b"nothing"
            faults.append(f"upstream {key} {value!r} does not hold for {got!r}")
    return faults


def _first(read: Callable[[Request], bytes | None]) -> Callable[[Any, Observation], bool]:
    """
    The first forwarded request has exactly this.
    """
    return lambda value, seen: bool(seen.forwarded) and read(seen.forwarded[0]) == _bytes(value)


def _every(holds: Callable[[Any, Request], bool]) -> Callable[[Any, Observation], bool]:
    """
    Something holds for every forwarded request.
    """
    return lambda value, seen: all(holds(value, request) for request in seen.forwarded)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _trailer_names(request: Request) -> set[bytes]:
    return {name.lower() for name, _ in request.trailers}


def _members(request: Request, name: str) -> list[bytes]:
    values = request.values(_bytes(name))
    return values + [member.strip() for value in values for member in value.split(b",")]


_CHECKS: dict[str, Callable[[Any, Observation], bool]] = {
    "absent": _every(lambda names, one: not (one.names() | _trailer_names(one)) & {_bytes(name) for name in names}),
    "header_absent": _every(lambda names, one: not one.names() & {_bytes(name) for name in names}),
    "trailer_absent": _every(lambda names, one: not _trailer_names(one) & {_bytes(name) for name in names}),
    "present": _every(lambda wanted, one: all(one.value(_bytes(k)) == _bytes(v) for k, v in wanted.items())),
    "present_not": _every(lambda wanted, one: all(one.value(_bytes(k)) != _bytes(v) for k, v in wanted.items())),
    "present_re": _every(
        lambda wanted, one: all(re.search(_bytes(v), one.value(_bytes(k)) or b"") for k, v in wanted.items())
    ),
    "header_not": _every(lambda wanted, one: all(_bytes(v) not in _members(one, k) for k, v in wanted.items())),
    "count_header_max": _every(lambda most, one: all(len(one.values(_bytes(k))) <= v for k, v in most.items())),
    "body": _first(lambda one: bytes(one.body)),
    "method": _first(lambda one: one.method),
    "version": _first(lambda one: one.version),
    "host": _first(lambda one: one.value(b"host")),
    "content_length": _first(lambda one: one.value(b"content-length")),
    "host_not": _every(lambda value, one: one.value(b"host") != _bytes(value)),
    "target_suffix": lambda value, seen: bool(seen.forwarded) and seen.forwarded[0].target.endswith(_bytes(value)),
    "target_prefix": lambda value, seen: bool(seen.forwarded) and seen.forwarded[0].target.startswith(_bytes(value)),
    "target_not_contains": _every(lambda parts, one: not any(_bytes(part) in one.target for part in parts)),
    "raw_absent": lambda value, seen: not any(_bytes(value) in stream for stream in seen.streams),
    "count": lambda value, seen: len(seen.forwarded) == value,
    "count_max": lambda value, seen: len(seen.forwarded) <= value,
}
