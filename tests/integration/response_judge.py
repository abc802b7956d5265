"""
Judges what a client got of a response case. Looks at an L{Observation} only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from attrs import Factory, define

from tests.integration.case_files import Case
from tests.integration.wire import Request, Response

__all__ = ["Observation", "judge", "outcome"]


@define
class Observation:
    """
    What happened.

    @ivar closed: how the gateway ended the client's connection, C{""} while it is open.
    @ivar raw: all bytes that the client got.
    @ivar tunnel: those after a 101.
    @ivar talked: bytes that the client sent through the tunnel reached the backend.
    @ivar upstream_closed: the connection that carried the case's bytes is closed.
    @ivar reused: it carried another request afterwards.
    @ivar asked: what the backend was asked in this case, canaries left out.
    @ivar canary: what was wrong with the answers to requests sent afterwards.
    """

    finals: list[Response]
    interims: list[Response]
    closed: str
    raw: bytearray
    tunnel: bytes = b""
    talked: bool = False
    upstream_closed: bool = False
    reused: bool = False
    asked: list[Request] = Factory(list)
    canary: str = ""

    @property
    def tunnelled(self) -> bool:
        """
        Whether the client was switched to another protocol.
        """
        return any(one.status == 101 for one in self.finals)


def judge(case: Case, seen: Observation) -> list[str]:
    """
    Everything that violates the case, in words; nothing means it passed.
    """
    got = outcome(seen)
    accepted = {case.expect, *case.get("also", ())}
    if "forward" in accepted:
        accepted.add("close-after-forward")
    faults = [f"the response has a {fault}" for one in seen.finals + seen.interims for fault in one.faults]
    if got not in accepted:
        faults.append(f"outcome {got} ({_described(seen)}), not {' or '.join(sorted(accepted))}")
    faults += _OUTCOMES.get(got, _nothing)(case, seen)
    faults += [
        f"check {key} {value!r} does not hold: {bytes(seen.raw[:300])!r}"
        for key, value in case.get("check", {}).items()
        if not _CHECKS[key](value, seen)
    ]
    if got != "forward" and seen.reused:
        faults.append("the connection was used again")
    if len(seen.asked) > 1 and not all(one.method in (b"GET", b"HEAD") for one in seen.asked):
        faults.append(f"the request was sent {len(seen.asked)} times")
    return faults + ([seen.canary] if seen.canary else [])


def outcome(seen: Observation) -> str:
    """
    The outcome in the words of the case file.
    """
    if len(seen.finals) != 1:
        return f"{len(seen.finals)} responses"
    response = seen.finals[0]
    if not response.complete:
        return "truncate-close" if seen.closed else "hanging"
    if response.status == 502:
        return "502"
    return "close-after-forward" if seen.upstream_closed else "forward"


def _described(seen: Observation) -> str:
    return f"{bytes(seen.raw[:120])!r} {seen.closed or 'open'}"


def _delivered(case: Case, seen: Observation) -> list[str]:
    response = seen.finals[0]
    body = seen.tunnel if response.status == 101 else bytes(response.body)
    faults = [] if seen.talked or not seen.tunnelled else ["the tunnel does not carry what the client sends"]
    if "body" in case.options and body != case.get("body").encode("latin-1"):
        faults.append(f"the client got the body {body[:80]!r}")
    if case.get("when") != "idle" and not re.search(rb" %d\s" % response.status, case.raw):
        faults.append(f"status {response.status} is none that the backend sent")
    return faults


def _refused(case: Case, seen: Observation) -> list[str]:
    response = seen.finals[0]
    faults = [] if seen.upstream_closed else ["the upstream connection was left open"]
    if case.get("request") == "HEAD":
        return faults
    try:
        problem = json.loads(bytes(response.body))
    except ValueError:
        return [*faults, f"the 502 has no problem document: {bytes(response.body[:80])!r}"]
    if problem.get("status") != 502 or not str(problem.get("reason", "")).startswith("upstream_"):
        faults.append(f"the problem document says {problem}")
    if response.value(b"proxy-status") is None:
        faults.append("the 502 has no Proxy-Status")
    return faults


def _truncated(case: Case, seen: Observation) -> list[str]:
    return [] if seen.upstream_closed else ["the upstream connection was left open"]


def _nothing(case: Case, seen: Observation) -> list[str]:
    return []


_OUTCOMES: dict[str, Callable[[Case, Observation], list[str]]] = {
    "forward": _delivered,
    "close-after-forward": _delivered,
    "502": _refused,
    "truncate-close": _truncated,
}


def _has(response: Response, wanted: str) -> bool:
    """
    Whether the response has the field, or with C{name:token} the field with this member.
    """
    name, _, token = wanted.encode("latin-1").partition(b":")
    value = response.value(name)
    return value is not None and (not token or token in [one.strip().lower() for one in value.split(b",")])


_CHECKS: dict[str, Callable[[Any, Observation], bool]] = {
    "header_count": lambda wanted, seen: all(
        len(seen.finals[0].values(name.encode())) == count for name, count in wanted.items()
    ),
    "no_interim": lambda wanted, seen: not seen.interims,
    "header_absent": lambda wanted, seen: not any(_has(one, name) for one in seen.finals for name in wanted),
    "header_absent_anywhere": lambda wanted, seen: (
        not any(_has(one, name) for one in seen.finals + seen.interims for name in wanted)
    ),
    "raw_absent": lambda wanted, seen: wanted.encode("latin-1") not in seen.raw,
    "discarded": lambda wanted, seen: seen.upstream_closed,
}
