"""
Tests for L{siger.jobs.app}, whose requests come by the same way as in a gateway.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.jobs import JobQuotas, JobsSettings
from siger.errors import Reason
from siger.http.local_errors import answer_errors
from siger.http.request_parser import RequestParser
from siger.http.stream import Exchange
from siger.jobs.app import ROUTES, JobsApp
from siger.jobs.events import Event, replay
from siger.jobs.marks import Marks
from siger.jobs.model import Job
from siger.jobs.polling import Changes
from siger.jobs.service import Jobs
from siger.jobs.times import timestamp
from siger.observe.observer import Observer
from siger.own import OwnEndpoints
from siger.policy.identity import Identity
from tests.http.fakes import FakeStream
from tests.jobs.memory import MemoryBroker, MemoryRecords, MemoryStore
from tests.jobs.test_service import identity

EXAMPLE = {
    "type": "ai_training",
    "name": "BERT Fine-tuning",
    "description": "Fine-tune BERT model on custom dataset",
    "gpu_type": "A100",
    "gpu_count": 2,
    "priority": 5,
    "params": {"model_name": "bert-base-uncased", "epochs": 3, "batch_size": 32},
    "tags": ["nlp", "bert"],
}


@frozen
class Answer:
    """
    What came back.
    """

    status: int
    fields: Mapping[str, list[str]]
    document: Any


class FakeFeed:
    """
    Stands where the events of jobs are served.
    """

    def __init__(self) -> None:
        self.served: list[Job] = []

    def serve(self, request: Any, job: Job) -> bytes:
        """
        Say whose events they are.
        """
        self.served.append(job)
        request.setHeader(b"Cache-Control", b"no-store")
        return json.dumps({"events": job.job_id}).encode()


class NoApp:
    """
    Stands where the other applications are, which nothing here is for.
    """

    app = Klein()

    def resource(self) -> Any:
        """
        Nothing.
        """
        return self.app.resource()


answer_errors(NoApp.app)


class Gateway:
    """
    A gateway's jobs, and requests to them.

    @ivar exchange: that of the last request, while it was not answered.
    """

    def __init__(self, store: MemoryStore, settings: JobsSettings, connected: bool = True) -> None:
        self.clock = Clock()
        self.time = 1000.0
        self.broker = MemoryBroker(store)
        self.records = MemoryRecords(store)
        self.marks = Marks(store.marks, self.clock)
        self.jobs = Jobs(self.broker, self.records, store.keys, self.marks, settings, lambda: self.time)
        self.changes = Changes(self.clock, 3)
        self.records.on_change(self.changes.changed)
        self.records.start()
        self.feed = FakeFeed()
        service, feed = (self.jobs, self.feed) if connected else (None, None)
        app = JobsApp(service, feed, self.changes, settings)
        nothing: Any = NoApp()
        self._local = OwnEndpoints(self.clock, Observer(), nothing, nothing, app, 1024 * 1024)
        self.exchange: Exchange | None = None

    def begin(self, method: str, path: str, body: Any, who: Identity, fields: Mapping[str, str]) -> FakeStream:
        """
        Send a request.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        parser = RequestParser()
        given = {"Host": "gw.test", "Content-Length": str(len(content)), "Content-Type": "application/json", **fields}
        lines = [f"{name}: {value}".encode() for name, value in given.items()]
        head = parser.head(f"{method} {path} HTTP/1.1".encode(), parser.fields(b"\r\n".join(lines)))
        stream = FakeStream()
        self.exchange = self._local(head, stream, b"0192f3a4", b"192.0.2.7", who)
        if content and self.exchange is not None:
            self.exchange.body_received(content)
            self.exchange.body_finished(b"")
        return stream


def answer(stream: FakeStream) -> Answer:
    """
    The whole answer on a stream, which nobody may store.
    """
    assert stream.ended, stream.events
    assert stream.status is not None
    fields = stream.fields()
    assert fields["cache-control"] == ["no-store"], fields
    return Answer(stream.status, fields, json.loads(stream.body) if stream.body else None)


class AppTestCase(SynchronousTestCase):
    """
    A gateway with jobs.
    """

    settings = JobsSettings()

    def setUp(self) -> None:
        """
        Have a gateway.
        """
        self.store = MemoryStore()
        self.gateway = Gateway(self.store, self.settings)
        self.ada, self.bob, self.root = identity("ada"), identity("bob"), identity("root", "admin")

    def begin(
        self, method: str, path: str = "", body: Any = None, who: Identity | None = None, **fields: str
    ) -> FakeStream:
        """
        Send a request of Ada's, or of somebody else's.

        @param path: below the mount.
        """
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return self.gateway.begin(method, "/api/v1/jobs" + path, body, who or self.ada, named)

    def ask(self, method: str, path: str = "", body: Any = None, who: Identity | None = None, **fields: str) -> Answer:
        """
        A request's answer.
        """
        return answer(self.begin(method, path, body, who, **fields))

    def submit(self, who: Identity | None = None, **fields: Any) -> str:
        """
        Have a job accepted.
        """
        self.gateway.time += 1
        found = self.ask("POST", "", {**EXAMPLE, **fields}, who)
        self.assertEqual(found.status, 202, found)
        job_id: str = found.document["job_id"]
        return job_id

    def work(self, job_id: str, *statuses: str, **fields: Any) -> None:
        """
        Have a worker write to a job's log, and the record show that.
        """
        for status in statuses:
            self.store.say(Event(job_id, "status", 1, timestamp(self.gateway.time), status=status, **fields))
        log = self.store.logs[job_id]
        self.successResultOf(self.gateway.records.change(job_id, lambda job: replay(job, log)))

    def assert_problem(self, found: Answer, reason: Reason) -> Any:
        """
        The answer is a problem document with this reason.
        """
        self.assertEqual((found.status, found.document["reason"]), (reason.status, reason.code), found)
        self.assertEqual(found.fields["content-type"], ["application/problem+json"])
        return found.document


class SubmitTests(AppTestCase):
    """
    C{POST /api/v1/jobs}.
    """

    def test_example(self) -> None:
        """
        The published example is accepted, word for word, and answered as published.
        """
        found = self.ask("POST", "", EXAMPLE)
        job_id = found.document["job_id"]
        self.assertEqual(
            (found.status, found.document),
            (
                202,
                {
                    "job_id": job_id,
                    "status": "queued",
                    "timestamp": "1970-01-01T00:16:40.000Z",
                    "message": "Job submitted successfully",
                },
            ),
        )
        self.assertEqual(found.fields["location"], [f"/api/v1/jobs/{job_id}"])
        self.assertEqual(found.fields["retry-after"], ["2"])
        self.assertNotIn("idempotent-replayed", found.fields)
        self.assertEqual([name for _, _, name in self.store.queue], [job_id])

    def test_faults(self) -> None:
        """
        All that is wrong is told at once, with a pointer each, and nothing is submitted.
        """
        body = {"type": "x y\r\nPUB a 1", "gpu_count": -1, "tags": ["ok", 5], "gpus": 8}
        found = self.assert_problem(self.ask("POST", "", body), Reason.INVALID_JOB)
        pointers = [error["pointer"] for error in found["errors"]]
        self.assertEqual(sorted(pointers), ["#/gpu_count", "#/gpus", "#/name", "#/tags/1", "#/type"])
        self.assertTrue(all(error["detail"] for error in found["errors"]))
        self.assertEqual((self.store.queue, list(self.gateway.records.all())), ([], []))

    def test_no_json(self) -> None:
        """
        Row F10: what is no object of JSON, says a thing twice, or goes too deep is refused, as is another type.
        """
        bodies = (
            b"{",
            b"[]",
            b'{"type":1,"type":2}',
            b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
            b'{"a":1e999}',
            b"\xff",
        )
        for body in bodies:
            self.assert_problem(self.ask("POST", "", body), Reason.INVALID_FIELDS)
        deep = b'{"a":' * 100_000
        self.assert_problem(self.ask("POST", "", deep), Reason.INVALID_FIELDS)
        self.assert_problem(self.ask("POST", "", b"<x/>", Content_Type="text/xml"), Reason.UNSUPPORTED_MEDIA)
        self.assert_problem(self.ask("POST", "", EXAMPLE, Content_Encoding="gzip"), Reason.UNSUPPORTED_MEDIA)
        self.assert_problem(self.ask("POST", "", b" " * 1_100_000), Reason.BODY_TOO_LARGE)
        self.assertEqual(self.store.queue, [])

    def test_dry_run(self) -> None:
        """
        With C{dry_run} a submission is judged, and nothing else happens.
        """
        found = self.ask("POST", "?dry_run=true", EXAMPLE)
        self.assertEqual((found.status, found.document["valid"]), (200, True))
        self.assertEqual(found.document["queue"], {"type": "ai_training", "lane": "normal", "ahead": 0})
        self.assertEqual(found.document["quota"]["queued"], {"used": 0, "limit": 1000})
        self.assert_problem(self.ask("POST", "?dry_run=1", {}), Reason.INVALID_JOB)
        for query in ("?dry_run=maybe", "?dryrun=true", "?dry_run=1&dry_run=0"):
            self.assert_problem(self.ask("POST", query, EXAMPLE), Reason.INVALID_FIELDS)
        self.assertEqual(self.store.queue, [])
        self.assertEqual(self.ask("POST", "?dry_run=false", EXAMPLE).status, 202)

    def test_bare_parameters(self) -> None:
        """
        A parameter without C{=} counts like any other: C{?dry_run} submits nothing, nor does a misspelt one.
        """
        for query in ("?dry_run", "?dry_run&", "?dry%5Frun", "?dry_run="):
            self.assertEqual(self.ask("POST", query, EXAMPLE).status, 200, query)
        for query in ("?dryrun", "?dry_run&dry_run", "?dry_run&now", "?dry_run=1;now"):
            self.assert_problem(self.ask("POST", query, EXAMPLE), Reason.INVALID_FIELDS)
        self.assertEqual(self.store.queue, [])

    def test_key(self) -> None:
        """
        With a key the same is done once, and answered the same twice.
        """
        first = self.ask("POST", "", EXAMPLE, Idempotency_Key="k-1")
        again = self.ask("POST", "", EXAMPLE, Idempotency_Key="k-1")
        self.assertEqual((again.status, again.document), (202, first.document))
        self.assertEqual(again.fields["idempotent-replayed"], ["true"])
        self.assertEqual(again.fields["location"], first.fields["location"])
        found = self.ask("POST", "", {**EXAMPLE, "priority": 9}, Idempotency_Key="k-1")
        self.assert_problem(found, Reason.KEY_REUSED)
        self.assertEqual(len(self.store.queue), 1)

    def test_same_in_other_words(self) -> None:
        """
        Members in another order, and defaults that are spelt out, make no other submission.
        """
        self.ask("POST", "", {"type": "inference", "name": "x"}, Idempotency_Key="k")
        found = self.ask("POST", "", {"name": "x", "type": "inference", "gpu_count": 1}, Idempotency_Key="k")
        self.assertEqual(found.fields["idempotent-replayed"], ["true"])

    def test_bad_keys(self) -> None:
        """
        A key has 1 to 255 visible characters of ASCII.
        """
        for key in ("x" * 256, "a b", "é", "a\tb"):
            found = self.ask("POST", "", EXAMPLE, Idempotency_Key=key)
            self.assert_problem(found, Reason.INVALID_FIELDS)
        self.assertEqual(self.store.queue, [])
        self.assertEqual(self.ask("POST", "", EXAMPLE, Idempotency_Key="x" * 255).status, 202)

    def test_client_gone(self) -> None:
        """
        A client that leaves mid-submit leaves a job that was submitted, once, and can ask for it by its key.
        """
        self.gateway.broker.held = []
        stream = self.begin("POST", "", EXAMPLE, Idempotency_Key="k")
        self.assertEqual(stream.events, [])
        assert self.gateway.exchange is not None
        self.gateway.exchange.client_gone()
        self.assertEqual(self.store.queue, [])
        self.gateway.broker.held.pop()()
        self.gateway.broker.held = None
        self.assertEqual(len(self.store.queue), 1)
        found = self.ask("POST", "", EXAMPLE, Idempotency_Key="k")
        self.assertEqual((found.status, found.document["job_id"]), (202, self.store.queue[0][2]))
        self.assertEqual((len(self.store.queue), stream.status), (1, None))

    def test_unknown_outcome(self) -> None:
        """
        Row K1: when no acknowledgement came, the answer says under which name the job may be found.
        """
        self.gateway.broker.held = []
        stream = self.begin("POST", "", EXAMPLE)
        self.store.silent = True
        self.gateway.broker.held.pop()()
        found = answer(stream)
        document = self.assert_problem(found, Reason.STORE_UNAVAILABLE)
        (job,) = self.gateway.records.all()
        self.assertEqual((document["job_id"], document["status"]), (job.job_id, "unknown"))
        self.assertEqual(found.fields["retry-after"], ["2"])


class QuotaTests(AppTestCase):
    """
    Submissions of those who have much.
    """

    settings = JobsSettings(quotas=JobQuotas(queued=1))

    def test_exceeded(self) -> None:
        """
        One too many is refused with the quota that it would exceed.
        """
        self.submit()
        found = self.ask("POST", "", EXAMPLE)
        document = self.assert_problem(found, Reason.QUOTA_EXCEEDED)
        self.assertEqual((document["quota"], document["limit"]), ("queued", 1))
        self.assertIn("retry-after", found.fields)
        self.submit(self.bob)


class ShowTests(AppTestCase):
    """
    C{GET /api/v1/jobs/{jobID}}.
    """

    def test_show(self) -> None:
        """
        A job is shown whole, with its place in the queue, and a tag.
        """
        job_id = self.submit()
        found = self.ask("GET", f"/{job_id}")
        self.assertEqual(found.status, 200)
        document = found.document
        self.assertEqual({name: document[name] for name in EXAMPLE}, EXAMPLE)
        self.assertEqual((document["job_id"], document["status"]), (job_id, "queued"))
        self.assertEqual((document["attempts"], document["progress"], document["queue"]["position"]), (0, 0, 1))
        self.assertRegex(found.fields["etag"][0], r'^W/"[0-9]+-[a-z]+"$')

    def test_others(self) -> None:
        """
        Row K14: another user's job cannot be told from one that does not exist; administrators see all.
        """
        job_id = self.submit()
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
            foreign = self.ask(method, f"/{job_id}{path}", who=self.bob)
            absent = self.ask(method, f"/{job_id[:-1]}x{path}", who=self.bob)
            self.assertEqual(foreign, absent)
            self.assert_problem(foreign, Reason.UNKNOWN_JOB)
        namesake = identity("ada", issuer="https://issuer.test")
        self.assert_problem(self.ask("GET", f"/{job_id}", who=namesake), Reason.UNKNOWN_JOB)
        self.assertEqual(self.ask("GET", f"/{job_id}", who=self.root).document["job_id"], job_id)
        self.assertEqual(self.ask("GET", f"/{job_id}").document["status"], "queued")
        self.assertEqual(self.gateway.feed.served, [])

    def test_not_modified(self) -> None:
        """
        Who has the current version is told so, and gets the next.
        """
        job_id = self.submit()
        tag = self.ask("GET", f"/{job_id}").fields["etag"][0]
        for known in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            found = self.ask("GET", f"/{job_id}", If_None_Match=known)
            self.assertEqual((found.status, found.document, found.fields["etag"]), (304, None, [tag]))
        self.work(job_id, "processing")
        found = self.ask("GET", f"/{job_id}", If_None_Match=tag)
        self.assertEqual((found.status, found.document["status"]), (200, "processing"))
        self.assertNotEqual(found.fields["etag"], [tag])

    def test_stale(self) -> None:
        """
        While the store is away what is known is shown as such.
        """
        job_id = self.submit()
        self.store.available = False
        self.assertIs(self.ask("GET", f"/{job_id}").document["stale"], True)
        self.assertIs(self.ask("GET").document["stale"], True)
        for found in (self.ask("POST", "", EXAMPLE), self.ask("DELETE", f"/{job_id}"), self.ask("GET", "/none")):
            self.assert_problem(found, Reason.STORE_UNAVAILABLE)
            self.assertEqual(found.fields["retry-after"], ["2"])

    def test_head(self) -> None:
        """
        HEAD is GET without the body.
        """
        stream = self.begin("HEAD", f"/{self.submit()}")
        self.assertEqual((stream.status, stream.body), (200, b""))

    def test_events(self) -> None:
        """
        The events of one's own job are the feed's to serve.
        """
        job_id = self.submit()
        self.assertEqual(self.ask("GET", f"/{job_id}/events").document, {"events": job_id})
        self.assertEqual([job.job_id for job in self.gateway.feed.served], [job_id])

    def test_client_gone(self) -> None:
        """
        A client that leaves while its job, which another gateway has accepted just now, is looked for leaves nothing.
        """
        job_id = self.submit()
        for path in ("/events", "?wait=30"):
            looking: list[Deferred[Job | None]] = [Deferred()]
            self.gateway.records.get = lambda _: None
            self.gateway.records.fetch = lambda _, looking=looking: looking[0]
            self.begin("GET", f"/{job_id}{path}")
            assert self.gateway.exchange is not None
            self.gateway.exchange.client_gone()
            self.gateway.clock.advance(0)
            del self.gateway.records.get, self.gateway.records.fetch
            looking[0].callback(self.gateway.records.get(job_id))
            self.assertEqual((self.gateway.feed.served, len(self.gateway.changes)), ([], 0), path)

    def test_methods(self) -> None:
        """
        A method that a path does not have is refused with those that it has.
        """
        job_id = self.submit()
        for method, path, allow in (
            ("PUT", "", "GET, HEAD, POST"),
            ("POST", f"/{job_id}", "DELETE, GET, HEAD"),
            ("POST", f"/{job_id}/events", "GET, HEAD"),
            ("DELETE", "/status/queued", "GET, HEAD"),
        ):
            found = self.ask(method, path, b"")
            self.assert_problem(found, Reason.METHOD_NOT_ALLOWED)
            self.assertEqual(found.fields["allow"], [allow])


class WaitTests(AppTestCase):
    """
    C{?wait=}.
    """

    def setUp(self) -> None:
        """
        Have a job.
        """
        AppTestCase.setUp(self)
        self.job_id = self.submit()
        self.tag = self.ask("GET", f"/{self.job_id}").fields["etag"][0]

    def wait(self, seconds: str = "30", **fields: str) -> FakeStream:
        """
        Wait for the job to change.
        """
        return self.begin("GET", f"/{self.job_id}?wait={seconds}", **fields)

    def test_changed(self) -> None:
        """
        Who waits is answered when the job changes.
        """
        waiting = [self.wait(), self.wait("30s", If_None_Match=self.tag)]
        self.gateway.clock.advance(10)
        self.assertEqual([stream.events for stream in waiting], [[], []])
        self.work(self.job_id, "processing")
        for stream in waiting:
            self.assertEqual((answer(stream).status, answer(stream).document["status"]), (200, "processing"))
        self.assertEqual((len(self.gateway.changes), self.gateway.clock.getDelayedCalls()), (0, []))

    def test_bookkeeping(self) -> None:
        """
        What nobody can see wakes nobody, and leaves the tag as it is.
        """
        waiting = self.wait(If_None_Match=self.tag)
        self.successResultOf(self.gateway.records.change(self.job_id, lambda job: evolve(job, published=False)))
        self.assertEqual(waiting.events, [])
        self.assertEqual(self.ask("GET", f"/{self.job_id}", If_None_Match=self.tag).status, 304)

    def test_unchanged(self) -> None:
        """
        When the time is over the answer is what it would have been; nobody gets more than a minute.
        """
        waiting, long = self.wait(If_None_Match=self.tag), self.wait("999")
        self.gateway.clock.advance(30)
        self.assertEqual(answer(waiting).status, 304)
        self.assertFalse(long.ended)
        self.gateway.clock.advance(30)
        self.assertEqual(answer(long).status, 200)

    def test_at_once(self) -> None:
        """
        Nobody waits who has an old version, or for a job that has ended.
        """
        self.work(self.job_id, "processing")
        self.assertEqual(answer(self.wait(If_None_Match=self.tag)).document["status"], "processing")
        self.work(self.job_id, "completed")
        self.assertEqual(answer(self.wait()).document["status"], "completed")

    def test_bounded(self) -> None:
        """
        A user waits for so much at once and no more; others do not count, nor those who have left.
        """
        streams = [self.wait() for _ in range(3)]
        self.assert_problem(answer(self.wait()), Reason.RATE_LIMITED)
        self.assertFalse(self.begin("GET", f"/{self.job_id}?wait=30", who=self.root).ended)
        assert self.gateway.exchange is not None
        self.gateway.exchange.client_gone()
        self.assertEqual(len(self.gateway.changes), 3)
        self.gateway.clock.advance(31)
        self.assertEqual([stream.status for stream in streams], [200] * 3)

    def test_client_gone(self) -> None:
        """
        Of a client that leaves nothing stays.
        """
        self.wait()
        assert self.gateway.exchange is not None
        self.gateway.exchange.client_gone()
        self.gateway.clock.advance(0)
        self.assertEqual((len(self.gateway.changes), self.gateway.clock.getDelayedCalls()), (0, []))

    def test_drained(self) -> None:
        """
        When the gateway drains, nobody waits any longer.
        """
        waiting = self.wait(If_None_Match=self.tag)
        self.gateway.changes.end()
        self.assertEqual(answer(waiting).status, 304)
        self.assertEqual(answer(self.wait()).status, 200)

    def test_parameters(self) -> None:
        """
        Seconds are a number, and there is no other parameter.
        """
        for query in ("wait=x", "wait=-1", "wait=1&wait=2", "since=3", "wait="):
            self.assert_problem(self.ask("GET", f"/{self.job_id}?{query}"), Reason.INVALID_FIELDS)


class ListTests(AppTestCase):
    """
    C{GET /api/v1/jobs} and C{GET /api/v1/jobs/status/{status}}.
    """

    def listed(self, query: str = "", who: Identity | None = None, path: str = "") -> list[str]:
        """
        The names of the jobs on a page.
        """
        found = self.ask("GET", path + query, who=who)
        self.assertEqual(found.status, 200, found)
        return [job["job_id"] for job in found.document["jobs"]]

    def test_own(self) -> None:
        """
        One's own jobs are listed, the newest first; row K14: nobody else's, but by administrators.
        """
        mine = [self.submit(), self.submit()]
        theirs = self.submit(self.bob)
        self.assertEqual(self.listed(), mine[::-1])
        self.assertEqual(self.listed(who=self.bob), [theirs])
        self.assertEqual(self.listed(who=identity("ada", issuer="https://issuer.test")), [])
        self.assert_problem(self.ask("GET", "?owner=bob"), Reason.INVALID_FIELDS)
        self.assertEqual(self.listed("?owner=bob", self.root), [theirs])
        self.assertEqual(self.listed("?owner=*", self.root), [theirs, *mine[::-1]])

    def test_pages(self) -> None:
        """
        Pages follow one another by their cursors and links, with all filters, until there is no more.
        """
        jobs = [self.submit(tags=["even" if number % 2 else "odd"]) for number in range(10)]
        seen: list[str] = []
        path = "?limit=2&tag=odd&status=queued,processing"
        for _ in range(3):
            found = self.ask("GET", path)
            seen += [job["job_id"] for job in found.document["jobs"]]
            if found.document["next_cursor"] is None:
                break
            (link,) = found.fields["link"]
            self.assertRegex(link, r'^</api/v1/jobs\?[^>]+>; rel="next"$')
            path = link[len("</api/v1/jobs") : link.index(">")]
            self.assertIn(found.document["next_cursor"], path)
        self.assertEqual(seen, jobs[0::2][::-1])
        self.assertNotIn("link", found.fields)

    def test_short(self) -> None:
        """
        Many jobs are listed without what may be long.
        """
        self.submit()
        (job,) = self.ask("GET").document["jobs"]
        self.assertEqual((job["name"], job["tags"]), (EXAMPLE["name"], EXAMPLE["tags"]))
        self.assertNotIn("params", job)
        self.assertNotIn("result", job)

    def test_bad_queries(self) -> None:
        """
        Every parameter that is wrong is named.
        """
        found = self.ask("GET", "?limit=0&status=done&colour")
        document = self.assert_problem(found, Reason.INVALID_FIELDS)
        self.assertEqual({error["parameter"] for error in document["errors"]}, {"limit", "status", "colour"})

    def test_by_status(self) -> None:
        """
        Everybody's jobs in one state are listed.
        """
        first, second = self.submit(), self.submit(self.bob)
        self.work(first, "processing")
        self.assertEqual(self.listed(path="/status/queued", who=self.root), [second])
        self.assertEqual(self.listed(path="/status/processing", who=self.root), [first])
        self.assertEqual(self.listed("?owner=bob&limit=5", path="/status/processing", who=self.root), [])
        for path in ("/status/done", "/status/queued?status=failed"):
            self.assert_problem(self.ask("GET", path, who=self.root), Reason.INVALID_FIELDS)

    def test_link_by_status(self) -> None:
        """
        The link of such a page leads to its next.
        """
        jobs = [self.submit() for _ in range(3)]
        (link,) = self.ask("GET", "/status/queued?limit=2", who=self.root).fields["link"]
        path = link[len("</api/v1/jobs") : link.index(">")]
        self.assertEqual(self.listed(path=path, who=self.root), jobs[:1])


class CancelTests(AppTestCase):
    """
    C{DELETE /api/v1/jobs/{jobID}}.
    """

    def test_cancel(self) -> None:
        """
        A cancellation is answered as published, whether or not the job was running.
        """
        for statuses in ((), ("processing",)):
            job_id = self.submit()
            if statuses:
                self.work(job_id, *statuses)
            found = self.ask("DELETE", f"/{job_id}")
            self.assertEqual(found.status, 202)
            self.assertRegex(found.document.pop("timestamp"), r"^1970-01-01T00:16:4[0-9]\.000Z$")
            message = "Job cancellation requested"
            self.assertEqual(found.document, {"job_id": job_id, "status": "cancelling", "message": message})
            shown = self.ask("GET", f"/{job_id}").document["status"]
            self.assertEqual(shown, "cancelling" if statuses else "cancelled")

    def test_ended(self) -> None:
        """
        A job that has ended stays as it is, and that is the answer.
        """
        job_id = self.submit()
        self.work(job_id, "processing", "completed")
        found = self.ask("DELETE", f"/{job_id}")
        self.assertEqual((found.status, found.document["status"]), (200, "completed"))
        self.assertEqual(self.ask("GET", f"/{job_id}").document["status"], "completed")

    def test_parameters(self) -> None:
        """
        There are none: what would be done otherwise is not done.
        """
        job_id = self.submit()
        for query in ("mode=force", "force"):
            self.assert_problem(self.ask("DELETE", f"/{job_id}?{query}"), Reason.INVALID_FIELDS)
        self.assertEqual(self.ask("GET", f"/{job_id}").document["status"], "queued")


class NoStoreTests(AppTestCase):
    """
    A gateway without NATS.
    """

    def test_unavailable(self) -> None:
        """
        There are no jobs, which is said at once.
        """
        self.gateway = Gateway(self.store, JobsSettings(), connected=False)
        for method, path in (
            ("POST", ""),
            ("GET", ""),
            ("GET", "/x"),
            ("DELETE", "/x"),
            ("GET", "/x/events"),
            ("GET", "/status/queued"),
        ):
            found = self.ask(method, path, EXAMPLE if method == "POST" else None, self.root)
            self.assert_problem(found, Reason.STORE_UNAVAILABLE)
            self.assertEqual(found.fields["retry-after"], ["2"])


class RouteTests(SynchronousTestCase):
    """
    Who may use what.
    """

    def test_routes(self) -> None:
        """
        Nothing is public; what is everybody's is the administrators'.
        """
        self.assertEqual(
            ROUTES,
            {
                "/api/v1/jobs": "user",
                "/api/v1/jobs/{jobID}": "user",
                "/api/v1/jobs/{jobID}/events": "user",
                "/api/v1/jobs/status/{status}": ("admin",),
            },
        )
