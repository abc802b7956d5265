"""
Before anything is timed: does each proxy answer rightly, and is its chain really on?
"""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import json
import time

from benchmarks.backend import LARGE, MEDIUM, PREFIX, SMALL
from benchmarks.running import Running, Stage
from benchmarks.tokens import USER

__all__ = ["CheckError", "address", "check_answers", "check_chain", "check_limit", "check_log", "check_token"]

_BLOCK = bytes(range(256))
_LOW_LIMIT = 5
_BURST = 60
_REFUSED = (401, 403)  # Envoy says 403 of a token for another audience


class CheckError(Exception):
    """
    A proxy does not do what it is supposed to be measured at.
    """


def check_answers(running: Running) -> None:
    """
    Every kind of answer of the workloads arrives whole, and an upload reaches the backend whole.
    """
    _expect(running, "/small", SMALL)
    _expect(running, "/files/16k", _BLOCK * (MEDIUM // 256))
    _expect(running, "/files/1m", _BLOCK * (LARGE // 256))
    answer, _ = _ask(running, "/upload", b"u" * LARGE)
    received = int(answer.headers.get("X-Received", 0))
    if received < LARGE:
        raise CheckError(f"{running.key}: the backend got {received} bytes of an upload of {LARGE}")


def check_chain(running: Running) -> None:
    """
    The request id goes both ways, the forwarding headers are set, the prefix is gone, the access log has the line.
    """
    answer, body = _ask(running, "/echo?mark=1")
    seen = json.loads(body)
    request_id = answer.headers.get("X-Request-ID", "")
    expected = {
        "uri": "/echo?mark=1",
        "x-request-id": request_id,
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": f"127.0.0.1:{running.spec.port}",
    }
    if not running.peer.tells_loopback:
        expected["x-forwarded-for"] = address(seen.get("x-forwarded-for", ""))
    wrong = {name: seen.get(name) for name, value in expected.items() if seen.get(name) != value}
    if wrong or len(request_id) < 8:
        raise CheckError(f"{running.key}: the backend saw {wrong}, expected {expected}")
    check_log(running, request_id, "/echo")


def check_limit(stage: Stage, running: Running) -> None:
    """
    Another instance with a low limit refuses part of a burst, and then still serves another address.
    """
    low = stage.start(running.peer, running.series, limit=_LOW_LIMIT, purpose="limit")
    try:
        statuses = [_ask(low, "/small")[0].status for _ in range(_BURST)]
        other = _ask(low, "/small", client="127.0.0.2")[0].status
    finally:
        stage.stop(low)
    if statuses[0] != 200 or 429 not in statuses:
        raise CheckError(f"{running.key}: a limit of {_LOW_LIMIT} let {statuses.count(200)} of {_BURST} requests pass")
    if other != 200:
        raise CheckError(f"{running.key}: the limit refuses other addresses too ({other})")


def check_token(running: Running) -> None:
    """
    A good token passes, once more too, and tells the backend who it is from; all others are refused.
    """
    for _ in range(2):
        answer, body = _ask(running, "/echo")
        seen = json.loads(body)
        if answer.status != 200 or seen["x-user-id"] != USER or seen["authorization"]:
            raise CheckError(f"{running.key}: a good token gave {answer.status}, and the backend saw {seen}")
    for name, credentials in running.tokens.bad().items():
        answer, _ = _ask(running, "/small", credentials=credentials)
        if answer.status not in _REFUSED:
            raise CheckError(f"{running.key}: {name} gave {answer.status}")


def check_log(running: Running, mark: str, path: str, seconds: float = 5.0) -> None:
    """
    The access log gets a line of JSON, soon.

    @param mark: what the line is known by, mostly a request id.
    @param path: what it has to name besides a status of 200.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        text = running.spec.access_log.read_text() if running.spec.access_log.exists() else ""
        lines = [line for line in text.splitlines() if mark in line]
        if lines:
            line = json.loads(lines[0])
            if path not in json.dumps(line) or "200" not in json.dumps(line):
                raise CheckError(f"{running.key}: the access-log line lacks path or status: {line}")
            return
        time.sleep(0.1)
    raise CheckError(f"{running.key}: no access-log line with {mark!r}")


def address(text: str) -> str:
    """
    The text when it is an address, and otherwise what no proxy says.
    """
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return "an address"


def _ask(
    running: Running,
    path: str,
    upload: bytes | None = None,
    client: str = "127.0.0.1",
    credentials: str | None = None,
) -> tuple[http.client.HTTPResponse, bytes]:
    """
    One request on a connection of its own.

    @param credentials: the Authorization field; C{None} for good ones where a token is asked for, C{""} for none.
    """
    if credentials is None:
        credentials = running.tokens.good() if running.spec.token else ""
    headers = {"Authorization": credentials} if credentials else {}
    here = "127.0.0.1", running.spec.port
    connection = http.client.HTTPConnection(*here, timeout=20, source_address=(client, 0))
    try:
        connection.request("GET" if upload is None else "POST", PREFIX + path, body=upload, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def _expect(running: Running, path: str, body: bytes) -> None:
    """
    A GET is answered with 200 and exactly this body.
    """
    answer, got = _ask(running, path)
    if answer.status != 200 or hashlib.sha256(got).digest() != hashlib.sha256(body).digest():
        raise CheckError(f"{running.key}: {path} gave {answer.status} and {len(got)} bytes of {len(body)}")
