"""
The Klein application for C{/api/v1/jobs}: jobs for those who ask over HTTP.

The front door has judged a request's token before it gets here, so C{request.identity} is who asks, and only what is in
L{ROUTES} gets here at all. Everything that can be wrong is an exception, which becomes a problem document in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlencode

import orjson
from attrs import evolve
from klein import Klein
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from siger.errors import Reason
from siger.http.local_errors import answer_errors, refuse
from siger.jobs.bodies import (
    read_arguments,
    read_flag,
    read_job_id,
    read_key,
    read_query,
    read_seconds,
    read_status,
    read_submission,
)
from siger.jobs.events import CANCELLATION
from siger.jobs.model import SUBMITTED, Job
from siger.jobs.refusals import RefusedError, unavailable
from siger.messaging.errors import UnavailableError

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from siger.config.settings.jobs import JobsSettings
    from siger.jobs.intake import Receipt
    from siger.jobs.polling import Changes
    from siger.jobs.service import Jobs
    from siger.policy.identity import Identity
    from siger.policy.rules import OwnAuth

__all__ = ["MOUNT", "ROUTES", "Feed", "JobsApp"]

MOUNT: Final = "/api/v1/jobs"
"""Where the application is."""

ROUTES: Final[Mapping[str, OwnAuth]] = {
    MOUNT: "user",
    f"{MOUNT}/{{jobID}}": "user",
    f"{MOUNT}/{{jobID}}/events": "user",
    f"{MOUNT}/status/{{status}}": ("admin",),
}
"""
The route templates, and who may use them. Whose jobs they may see is settled further in.
"""

_RETRY_AFTER: Final = b"2"
_UNLISTED: Final = ("params", "result")


class Feed(Protocol):
    """
    L{siger.jobs.sse.Feed}, as far as it is used here.
    """

    def serve(self, request: Any, job: Job) -> Any:
        """
        Answer with the events of a job.

        @return: what a handler returns.
        """


class JobsApp:
    """
    The application, with paths as they are below its mount.
    """

    app = Klein()

    def __init__(self, jobs: Jobs | None, feed: Feed | None, changes: Changes, settings: JobsSettings) -> None:
        """
        @param jobs: C{None} where there is no store: nothing can be had then.
        @param feed: what serves the events of a job.
        @param changes: where to wait for a job to change.
        """
        self._jobs = jobs
        self._feed = feed
        self._changes = changes
        self._settings = settings

    def resource(self) -> IResource:
        """
        The application as a resource.
        """
        resource: IResource = self.app.resource()
        return resource

    @app.route("/", methods=["POST"])
    def submit(self, request: Any) -> Deferred[bytes]:
        """
        A new job, or with C{dry_run} what would become of it.
        """
        return _answer(request, self._submit)

    @app.route("/", methods=["GET"])
    def index(self, request: Any) -> Deferred[bytes]:
        """
        One's own jobs, or for administrators anybody's.
        """
        return _answer(request, self._list)

    @app.route("/status/<status>", methods=["GET"])
    def list_status(self, request: Any, status: str) -> Deferred[bytes]:
        """
        Everybody's jobs in one state.
        """
        return _answer(request, lambda request: self._list_status(request, status))

    @app.route("/<job_id>", methods=["GET"])
    def show(self, request: Any, job_id: str) -> Deferred[bytes]:
        """
        A job, now or when it has changed.
        """
        return _answer(request, lambda request: Deferred.fromCoroutine(self._show(request, job_id)))

    @app.route("/<job_id>", methods=["DELETE"])
    def cancel(self, request: Any, job_id: str) -> Deferred[bytes]:
        """
        The end of a job before its time.
        """
        return _answer(request, lambda request: self._cancel(request, job_id))

    @app.route("/<job_id>/events", methods=["GET"])
    def events(self, request: Any, job_id: str) -> Any:
        """
        What happens to a job, as it happens.
        """
        return _answer(request, lambda request: self._events(request, job_id))

    @property
    def _service(self) -> Jobs:
        if self._jobs is None:
            raise unavailable()
        return self._jobs

    # Submitting.

    def _submit(self, request: Any) -> Deferred[bytes]:
        jobs = self._service
        identity: Identity = request.identity
        dry = read_flag(read_arguments(request.uri), b"dry_run")
        key = read_key(request.requestHeaders.getRawHeaders(b"Idempotency-Key"))
        content: bytes = request.content.read()
        submission = read_submission(request.getHeader(b"Content-Type"), content, self._settings)
        if dry:
            return succeed(_send(request, 200, jobs.verdict(submission, identity)))
        return jobs.submit(submission, identity, key).addCallback(lambda receipt: _accept(request, receipt))

    # Looking.

    def _list(self, request: Any) -> Deferred[bytes]:
        identity: Identity = request.identity
        query = read_query(read_arguments(request.uri), self._settings.types, identity.user_id, identity.is_admin)
        return succeed(self._page(request, *self._service.page(query)))

    def _list_status(self, request: Any, text: str) -> Deferred[bytes]:
        status = read_status(text)
        arguments = {b"owner": [b"*"], **read_arguments(request.uri)}
        query = read_query(arguments, self._settings.types, request.identity.user_id, request.identity.is_admin)
        if query.statuses:
            raise RefusedError(Reason.INVALID_FIELDS, "The path says which status it is about.")
        query = evolve(query, statuses=frozenset((status,)))
        return succeed(self._page(request, *self._service.page(query)))

    def _page(self, request: Any, jobs: list[Job], cursor: str | None) -> bytes:
        document: dict[str, Any] = {"jobs": [_listed(job) for job in jobs], "next_cursor": cursor}
        if self._service.stale:
            document["stale"] = True
        if cursor is not None:
            request.setHeader(b"Link", b'<%b>; rel="next"' % _next(request, cursor))
        return _send(request, 200, document)

    async def _show(self, request: Any, job_id: str) -> bytes:
        jobs = self._service
        seconds = read_seconds(read_arguments(request.uri), b"wait")
        job = await self._found(request, job_id)
        known = _known(request)
        if seconds and not job.terminal and (not known or jobs.version(job) in known):
            await self._wait(request, job_id, seconds)
            job = await jobs.find(job_id, request.identity)
        version = jobs.version(job)
        request.setHeader(b"ETag", b'W/"%b"' % version.encode("ascii"))
        if version in known or "*" in known:
            return _head(request, 304)
        return _send(request, 200, jobs.describe(job))

    async def _found(self, request: Any, job_id: str) -> Job:
        """
        A job, for a client that is still there: only then is there anything that would tell of its leaving.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        job = await self._service.find(read_job_id(job_id), request.identity)
        if gone:
            raise RefusedError(Reason.CLIENT_GONE)
        return job

    async def _wait(self, request: Any, job_id: str, seconds: int) -> None:
        waiting = self._changes.wait(job_id, request.identity.user_id, seconds)
        request.notifyFinish().addErrback(lambda _: waiting.cancel())
        await waiting

    def _events(self, request: Any, job_id: str) -> Deferred[Any]:
        feed = self._feed
        if feed is None:
            raise unavailable()
        found = Deferred.fromCoroutine(self._found(request, job_id))
        return found.addCallback(lambda job: feed.serve(request, job))

    # Cancelling.

    def _cancel(self, request: Any, job_id: str) -> Deferred[bytes]:
        if read_arguments(request.uri):
            raise RefusedError(Reason.INVALID_FIELDS, "There are no parameters here.")
        done = self._service.cancel(read_job_id(job_id), request.identity)
        return done.addCallback(lambda result: _end(request, *result))


answer_errors(JobsApp.app)


def _answer(request: Any, work: Callable[[Any], Deferred[bytes]]) -> Deferred[bytes]:
    """
    Answer with what some work comes to. It is done to its end even if nobody waits for the answer any more: what Klein
    cancels then is the answer alone.
    """
    answer: Deferred[bytes] = Deferred()
    try:
        done = work(request)
    except Exception:
        done = fail(Failure())
    done.addErrback(lambda failure: _refuse(request, failure))
    done.chainDeferred(answer)
    return answer


def _accept(request: Any, receipt: Receipt) -> bytes:
    location = f"{MOUNT}/{receipt.job_id}".encode("ascii")
    request.setHeader(b"Location", location)
    request.setHeader(b"Retry-After", _RETRY_AFTER)
    if receipt.replayed:
        request.setHeader(b"Idempotent-Replayed", b"true")
    document = {
        "job_id": receipt.job_id,
        "status": "queued",
        "timestamp": receipt.submitted_at,
        "message": SUBMITTED,
    }
    return _send(request, 202, document)


def _end(request: Any, job: Job, ended_before: bool) -> bytes:
    """
    Answer a cancellation: to somebody who cancels a queued job it does not matter that it has happened already.
    """
    if ended_before:
        said = {"status": job.status, "timestamp": job.updated_at, "message": job.message}
    else:
        said = {"status": "cancelling", "timestamp": job.updated_at, "message": CANCELLATION}
    return _send(request, 200 if ended_before else 202, {"job_id": job.job_id, **said})


def _listed(job: Job) -> dict[str, Any]:
    """
    A job as one of many: without what may be long.
    """
    said = job.public()
    for name in _UNLISTED:
        del said[name]
    return said


def _next(request: Any, cursor: str) -> bytes:
    """
    Where the next page is.
    """
    arguments = read_arguments(request.uri).items()
    kept = [(name, value) for name, values in arguments if name != b"cursor" for value in values]
    path: bytes = request.uri.partition(b"?")[0]
    return path + b"?" + urlencode([*kept, (b"cursor", cursor)]).encode("ascii")


def _known(request: Any) -> frozenset[str]:
    """
    The versions that a client has already, by C{If-None-Match} (RFC 9110 section 13.1.2).
    """
    values = request.requestHeaders.getRawHeaders(b"If-None-Match") or ()
    tags = b",".join(values).decode("latin-1").split(",")
    return frozenset(tag.strip(" \t").removeprefix("W/").strip('"') for tag in tags) - {""}


def _send(request: Any, status: int, document: object) -> bytes:
    body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    _head(request, status)
    request.setHeader(b"Content-Type", b"application/json")
    if request.method == b"HEAD":  # else the length can be seen
        request.setHeader(b"Content-Length", b"%d" % len(body))
    return body


def _head(request: Any, status: int) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"Cache-Control", b"no-store")
    return b""


def _refuse(request: Any, failure: Failure) -> bytes | Failure:
    """
    Answer with what went wrong, as far as it is meant to be told.
    """
    error = failure.value
    if isinstance(error, UnavailableError):
        error = unavailable()
    if not isinstance(error, RefusedError):
        return failure
    return refuse(request, error.reason, error.detail, members=error.members, retry_after=error.retry_after)
