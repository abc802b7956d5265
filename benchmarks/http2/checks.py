"""
Before anything is timed: does each proxy pass gRPC and HTTP/2 rightly, and is its chain really on?
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchmarks.backend import PREFIX, SMALL
from benchmarks.checks import CheckError, address, check_log
from benchmarks.http2.asking import Answer, ask
from benchmarks.http2.calls import ANSWER, ECHO, FAIL, MESSAGES, NOT_FOUND, SERVICE, STREAM, UNARY, request
from benchmarks.http2.encoding import Field
from benchmarks.http2.frames import Http2Error
from benchmarks.running import Running, Stage
from benchmarks.tokens import USER

__all__ = ["check_http2"]

_LOW_LIMIT = 5
_BURST = 60
_EXHAUSTED = (8, 14)  # RESOURCE_EXHAUSTED; UNAVAILABLE, to which gRPC's own table maps HTTP's 429
_UNAUTHENTICATED = (7, 16)
_METADATA = (("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("x-correlation-id", "c0ffee"))


def check_http2(stage: Stage, running: Running) -> str:
    """
    Check a proxy whose clients speak HTTP/2.

    @return: what was seen.
    @raise CheckError: something is not as it should be.
    """
    _check_calls(running)
    _check_gets(running)
    _check_metadata(running)
    told = "messages and statuses pass, forwarding headers, access log"
    if running.peer.has_request_id:
        told += ", request id both ways"
    if running.peer.has_limit:
        _check_limit(stage, running)
        told += ", rate limit works"
    if running.spec.token:
        _check_token(running)
        told += ", only good tokens pass"
    return told


def _check_calls(running: Running) -> None:
    """
    Messages arrive whole, one and a thousand, and so does the status of a call, good or bad.
    """
    for method, expected in ((UNARY, ANSWER), (STREAM, ANSWER * MESSAGES)):
        answer = _call(running, method)
        if answer.status != 200 or answer.body != expected or answer.grpc_status != 0:
            raise CheckError(f"{running.key}: {method} gave {answer.sections} and {len(answer.body)} bytes")
    answer = _call(running, FAIL)
    if answer.status != 200 or answer.grpc_status != NOT_FOUND:
        raise CheckError(f"{running.key}: a call that fails gave {answer.sections}")


def _check_gets(running: Running) -> None:
    """
    A GET over HTTP/2 gets what an HTTP/1.1 backend says.
    """
    answer = ask(running.spec.port, [(":method", "GET"), *_pseudo(running, f"{PREFIX}/small"), *_credentials(running)])
    if answer.status != 200 or answer.body != SMALL:
        raise CheckError(f"{running.key}: a GET gave {answer.sections} and {len(answer.body)} bytes")


def _check_metadata(running: Running) -> None:
    """
    The backend sees the client's metadata and the forwarding headers; where a proxy makes request ids, the id goes both
    ways and is in the access log.
    """
    answer = _call(running, ECHO, [*_METADATA, *_credentials(running)])
    seen = _seen(running, answer)
    expected = {
        ":path": f"/{SERVICE}/{ECHO}",
        "te": "trailers",
        "content-type": "application/grpc",
        **dict(_METADATA),
        "x-forwarded-for": "127.0.0.1" if running.peer.tells_loopback else address(seen.get("x-forwarded-for", "")),
        "x-forwarded-proto": "http",
    }
    if running.peer.has_request_id:
        expected["x-request-id"] = answer.header("x-request-id")
        expected["x-forwarded-host"] = f"127.0.0.1:{running.spec.port}"
    wrong = {name: seen.get(name) for name, value in expected.items() if seen.get(name) != value}
    if wrong or len(expected.get("x-request-id", "long enough")) < 8:
        raise CheckError(f"{running.key}: the backend saw {wrong}, expected {expected}")
    check_log(running, expected.get("x-request-id", ECHO), ECHO)


def _check_limit(stage: Stage, running: Running) -> None:
    """
    Another instance with a low limit refuses some of many calls, and then still serves another address.
    """
    low = stage.start(running.peer, running.series, limit=_LOW_LIMIT, purpose="limit")
    try:
        answers = [_call(low, UNARY) for _ in range(_BURST)]
        other = _call(low, UNARY, client="127.0.0.2")
    finally:
        stage.stop(low)
    refused = [answer for answer in answers if answer.status == 429 or answer.grpc_status in _EXHAUSTED]
    passed = [answer for answer in answers if answer.body == ANSWER]
    if not refused or not passed or len(refused) + len(passed) != _BURST:
        raise CheckError(f"{running.key}: a limit of {_LOW_LIMIT} let {len(passed)} of {_BURST} calls pass")
    if other.body != ANSWER:
        raise CheckError(f"{running.key}: the limit refuses other addresses too ({other.sections})")


def _check_token(running: Running) -> None:
    """
    A good token passes, once more too, and tells the backend who it is from; all others are refused.
    """
    for _ in range(2):
        answer = _call(running, ECHO)
        seen = _seen(running, answer)
        if seen.get("x-user-id") != USER or "authorization" in seen:
            raise CheckError(f"{running.key}: with a good token the backend saw {seen}")
    for name, credentials in running.tokens.bad().items():
        answer = _call(running, UNARY, [("authorization", credentials)] if credentials else [("x-none", "")])
        if answer.body == ANSWER or (answer.status not in (401, 403) and answer.grpc_status not in _UNAUTHENTICATED):
            raise CheckError(f"{running.key}: {name} gave {answer.sections}")


def _call(running: Running, method: str, metadata: Sequence[Field] = (), client: str = "127.0.0.1") -> Answer:
    """
    One call on a connection of its own, with a good token where one is asked for and none is in the metadata.
    """
    fields = [
        (":method", "POST"),
        *_pseudo(running, f"/{SERVICE}/{method}"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *(metadata or _credentials(running)),
    ]
    try:
        return ask(running.spec.port, fields, request(method), client)
    except (Http2Error, OSError) as problem:
        raise CheckError(f"{running.key}: {method}: {problem}") from problem


def _seen(running: Running, answer: Answer) -> dict[str, str]:
    """
    The fields that the backend saw of a call that it was to echo.
    """
    if answer.status != 200 or answer.grpc_status != 0:
        raise CheckError(f"{running.key}: {ECHO} gave {answer.sections}")
    return dict(json.loads(answer.body[5:]))


def _pseudo(running: Running, path: str) -> list[Field]:
    return [(":scheme", "http"), (":authority", f"127.0.0.1:{running.spec.port}"), (":path", path)]


def _credentials(running: Running) -> list[Field]:
    """
    A good token, where one is asked for.
    """
    return [("authorization", running.tokens.good())] if running.spec.token else []
