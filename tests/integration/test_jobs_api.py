"""
The jobs' endpoints of real gateways, two of them on one real nats-server.
"""

from __future__ import annotations

import atexit
import functools
import http.client
import itertools
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import nats
from attrs import frozen
from nats.aio.client import Client
from twisted.trial.unittest import TestCase

from siger.jobs.events import Event
from siger.jobs.identifiers import JobIds
from siger.jobs.model import Job
from siger.jobs.streams import JOBS, RECORDS_BUCKET, event_subject
from siger.jobs.submission import Submission, message_bytes, new_job
from siger.jobs.times import timestamp
from siger.messaging.link import OPERATION_TIMEOUT
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.jobs_world import token
from tests.integration.loop_thread import run_in_loop
from tests.integration.nats_server import NatsServer

QUOTA = 20
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

_users = itertools.count()


@frozen
class Reply:
    """
    What a gateway answered.

    @ivar seconds: until then.
    """

    status: int
    fields: Any
    document: Any
    seconds: float


class Caller:
    """
    Somebody with a token.
    """

    def __init__(self, role: str = "user", name: str = "") -> None:
        self.name = name or f"user{os.getpid()}.{next(_users)}"
        self._token = token(self.name, role)

    def ask(self, gateway: GatewayProcess, method: str, path: str = "", body: Any = None, **fields: str) -> Reply:
        """
        Send a request.

        @param path: below the jobs' endpoints.
        """
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, "/api/v1/jobs" + path, content, self.head(named))
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        seconds = time.monotonic() - began
        return Reply(response.status, response.headers, json.loads(text) if text else None, seconds)

    def head(self, fields: dict[str, str]) -> dict[str, str]:
        """
        The fields of a request.
        """
        return {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **fields}


class World:
    """
    Two gateways on one server.
    """

    def __init__(self) -> None:
        self.nats = NatsServer().start()
        atexit.register(self.stop)
        self.gateways: list[GatewayProcess] = []
        self.a, self.b = self.gateway(), self.gateway()

    def gateway(self) -> GatewayProcess:
        """
        One more.
        """
        jobs = {"quotas": {"queued": QUOTA}, "lease": 1, "lost_after": 3}
        gateway = GatewayProcess(echo_config(nats_address=f"127.0.0.1:{self.nats.port}", jobs=jobs))
        self.gateways.append(gateway)
        return gateway.start()

    def stop(self) -> None:
        """
        End everything.
        """
        for gateway in self.gateways:
            gateway.kill()
        self.nats.stop()

    def on_nats(self, work: Callable[[Client], Awaitable[Any]]) -> Any:
        """
        Do something at the server itself.
        """

        async def do() -> Any:
            client = await nats.connect(self.nats.url, connect_timeout=5)
            try:
                return await work(client)
            finally:
                await client.close()

        return run_in_loop(do())

    def queue_length(self) -> int:
        """
        How many jobs are in the queue.
        """

        async def ask(client: Client) -> int:
            return int((await client.jetstream().stream_info(JOBS)).state.messages)

        return int(self.on_nats(ask))

    def queued(self, job_id: str) -> int:
        """
        How often a job is in the queue.
        """

        async def look(client: Client) -> int:
            stream = client.jetstream()
            state = (await stream.stream_info(JOBS)).state
            found = 0
            for sequence in range(state.first_seq, state.last_seq + 1):
                message = await stream.get_msg(JOBS, sequence)
                found += json.loads(message.data or b"{}")["job_id"] == job_id
            return found

        return int(self.on_nats(look))

    def say(self, job_id: str, status: str, **fields: Any) -> None:
        """
        Write to a job's log as a worker does.
        """
        event = Event(job_id, "status", 1, timestamp(time.time()), status=status, worker="w1", **fields)

        async def publish(client: Client) -> None:
            await client.jetstream().publish(event_subject(job_id), event.to_json())

        self.on_nats(publish)


@functools.cache
def world() -> World:
    """
    The world of this run.
    """
    return World()


class JobsTestCase(TestCase):
    """
    Somebody with jobs.
    """

    timeout = 60

    def setUp(self) -> None:
        """
        Be somebody new.
        """
        self.world = world()
        self.a, self.b = self.world.a, self.world.b
        self.me = Caller()

    def submit(self, gateway: GatewayProcess | None = None, **fields: Any) -> str:
        """
        Have a job accepted.
        """
        reply = self.me.ask(gateway or self.a, "POST", "", {**EXAMPLE, **fields})
        self.assertEqual(reply.status, 202, reply)
        job_id: str = reply.document["job_id"]
        return job_id

    def show(self, job_id: str, gateway: GatewayProcess | None = None) -> Any:
        """
        A job as a gateway shows it.
        """
        reply = self.me.ask(gateway or self.b, "GET", f"/{job_id}")
        self.assertEqual(reply.status, 200, reply)
        return reply.document

    def wait_for(self, true: Callable[[], bool], what: str, timeout: float = 10) -> None:
        """
        Look until something is so.
        """
        self.a.wait_until(true, what, timeout)

    def assert_problem(self, reply: Reply, status: int, reason: str) -> None:
        """
        A problem document is the answer.
        """
        self.assertEqual((reply.status, reply.document["reason"]), (status, reason), reply)


class FlowTests(JobsTestCase):
    """
    Jobs that come, are seen and go, by way of any gateway.
    """

    def test_submitted_and_seen(self) -> None:
        """
        What one gateway accepts the other shows at once; it is in the queue, as it was submitted.
        """
        before = self.world.queue_length()
        reply = self.me.ask(self.a, "POST", "", EXAMPLE)
        self.assertEqual((reply.status, reply.document["status"]), (202, "queued"))
        self.assertEqual(reply.fields["Location"], f"/api/v1/jobs/{reply.document['job_id']}")
        shown = self.show(reply.document["job_id"])
        self.assertEqual({name: shown[name] for name in EXAMPLE}, EXAMPLE)
        self.assertEqual(shown["user_id"], self.me.name)
        self.assertGreaterEqual(shown["queue"]["position"], 1)
        self.assertEqual(self.world.queue_length(), before + 1)
        self.assertEqual(self.world.queued(shown["job_id"]), 1)

    def test_without_token(self) -> None:
        """
        Nobody gets in without a token, and into others' states only administrators.
        """
        for method, path in (("POST", ""), ("GET", ""), ("GET", "/x"), ("DELETE", "/x"), ("GET", "/x/events")):
            connection = http.client.HTTPConnection("127.0.0.1", self.a.port, timeout=5)
            connection.request(method, f"/api/v1/jobs{path}")
            self.assertEqual(connection.getresponse().status, 401)
            connection.close()
        self.assert_problem(self.me.ask(self.a, "GET", "/status/queued"), 403, "forbidden")

    def test_strangers(self) -> None:
        """
        Row K14: for others a job does not exist, on either gateway; for administrators it does.
        """
        job_id = self.submit()
        other, root = Caller(), Caller("admin")
        for gateway in (self.a, self.b):
            for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
                self.assert_problem(other.ask(gateway, method, f"/{job_id}{path}"), 404, "unknown_job")
            self.assertEqual(other.ask(gateway, "GET").document["jobs"], [])
            self.assertEqual(root.ask(gateway, "GET", f"/{job_id}").document["status"], "queued")
        listed = root.ask(self.b, "GET", f"/status/queued?owner={self.me.name}").document["jobs"]
        self.assertEqual([job["job_id"] for job in listed], [job_id])

    def test_cancelled(self) -> None:
        """
        A queued job that another gateway cancels is cancelled at once, once and for all.
        """
        job_id = self.submit()
        reply = self.me.ask(self.b, "DELETE", f"/{job_id}")
        self.assertEqual((reply.status, reply.document["status"]), (202, "cancelling"))
        self.assertEqual(reply.document["message"], "Job cancellation requested")
        self.assertEqual(self.show(job_id, self.b)["status"], "cancelled")
        self.wait_for(lambda: bool(self.show(job_id, self.a)["status"] == "cancelled"), "cancelled everywhere")
        again = self.me.ask(self.a, "DELETE", f"/{job_id}")
        self.assertEqual((again.status, again.document["status"]), (200, "cancelled"))

    def test_running(self) -> None:
        """
        A job that a worker has claimed is asked to end, even if no record shows the claim yet; and how it ends decides
        its worker.
        """
        job_id = self.submit()
        self.world.say(job_id, "processing")
        reply = self.me.ask(self.b, "DELETE", f"/{job_id}")
        self.assertEqual(reply.status, 202)
        self.assertEqual(self.show(job_id)["status"], "cancelling")
        self.world.say(job_id, "cancelled")
        for gateway in (self.a, self.b):
            self.wait_for(lambda one=gateway: self.show(job_id, one)["status"] == "cancelled", "cancelled")  # type: ignore[misc]

    def test_raced(self) -> None:
        """
        Of a claim and a cancellation at the same time, the log has one order: what is cancelled was not claimed after.
        """
        job_ids = [self.submit() for _ in range(10)]
        worker = threading.Thread(target=lambda: [self.world.say(job_id, "processing") for job_id in job_ids])
        worker.start()
        for job_id in job_ids:
            self.assertEqual(self.me.ask(self.b, "DELETE", f"/{job_id}").status, 202)
        worker.join(20)
        for job_id in job_ids:
            self.wait_for(lambda one=job_id: self.show(one)["status"] in ("cancelled", "cancelling"), "over")  # type: ignore[misc]

    def test_long_poll(self) -> None:
        """
        Who waits at one gateway hears at once what happens by way of another.
        """
        job_id = self.submit()
        shown = self.me.ask(self.b, "GET", f"/{job_id}")
        tag = shown.fields["ETag"]
        self.assertEqual(self.me.ask(self.b, "GET", f"/{job_id}", If_None_Match=tag).status, 304)
        threading.Timer(0.5, self.me.ask, (self.a, "DELETE", f"/{job_id}")).start()
        reply = self.me.ask(self.b, "GET", f"/{job_id}?wait=20", If_None_Match=tag)
        self.assertEqual((reply.status, reply.document["status"]), (200, "cancelled"))
        self.assertLess(reply.seconds, 5)

    def test_pages(self) -> None:
        """
        A list goes on at another gateway where the first left off.
        """
        job_ids = [self.submit(self.a) for _ in range(5)]
        self.wait_for(lambda: len(self.me.ask(self.b, "GET").document["jobs"]) == 5, "known to both")
        seen, query = [], "?limit=2"
        for gateway in (self.a, self.b, self.a):
            document = self.me.ask(gateway, "GET", query).document
            seen += [job["job_id"] for job in document["jobs"]]
            query = f"?limit=2&cursor={document['next_cursor']}"
        self.assertEqual((seen, document["next_cursor"]), (job_ids[::-1], None))

    def test_lost_worker(self) -> None:
        """
        A job whose worker has gone without a word fails, and says why.
        """
        job_id = self.submit()
        self.world.say(job_id, "processing")
        self.wait_for(lambda: bool(self.show(job_id)["status"] == "failed"), "given up", 15)
        self.assertEqual(self.show(job_id)["error"], "worker lost")


class SubmissionTests(JobsTestCase):
    """
    What is accepted, and what is not.
    """

    def test_idempotent(self) -> None:
        """
        Rows K2, K3: the same with the same key is done once, by way of whichever gateway; something else is refused.
        """
        first = self.me.ask(self.a, "POST", "", EXAMPLE, Idempotency_Key="k1")
        for gateway in (self.a, self.b):
            again = self.me.ask(gateway, "POST", "", EXAMPLE, Idempotency_Key="k1")
            self.assertEqual((again.status, again.document), (202, first.document))
            self.assertEqual(again.fields["Idempotent-Replayed"], "true")
            other = self.me.ask(gateway, "POST", "", {**EXAMPLE, "priority": 9}, Idempotency_Key="k1")
            self.assert_problem(other, 422, "key_reused")
        self.assertEqual(len(self.me.ask(self.a, "GET").document["jobs"]), 1)
        self.assertEqual(self.world.queued(first.document["job_id"]), 1)

    def test_at_once(self) -> None:
        """
        The same with the same key, many times at the same time and to both gateways, makes one job.
        """
        replies: list[Reply] = []

        def send(gateway: GatewayProcess) -> None:
            replies.append(self.me.ask(gateway, "POST", "", EXAMPLE, Idempotency_Key="k2"))

        threads = [threading.Thread(target=send, args=(gateway,)) for gateway in (self.a, self.b) * 8]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        self.assertEqual({reply.status for reply in replies} - {202, 409}, set())
        accepted = {reply.document["job_id"] for reply in replies if reply.status == 202}
        self.assertEqual(len(accepted), 1)
        self.assertEqual(self.world.queued(accepted.pop()), 1)

    def test_refused(self) -> None:
        """
        All faults are told at once; nothing is submitted.
        """
        before = self.world.queue_length()
        reply = self.me.ask(self.a, "POST", "", {"type": ">", "gpu_count": 1e9, "x": 1})
        self.assert_problem(reply, 422, "invalid_job")
        pointers = {error["pointer"] for error in reply.document["errors"]}
        self.assertEqual(pointers, {"#/type", "#/name", "#/gpu_count", "#/x"})
        dry = self.me.ask(self.a, "POST", "?dry_run=true", EXAMPLE)
        self.assertEqual((dry.status, dry.document["valid"]), (200, True))
        self.assertEqual(dry.document["quota"]["queued"], {"used": 0, "limit": QUOTA})
        self.assertEqual(self.world.queue_length(), before)

    def test_quota(self) -> None:
        """
        A user has so many jobs in the queue and no more, however many submit at once; others are not in their way.
        """
        replies: list[Reply] = []
        threads = [
            threading.Thread(target=lambda: replies.append(self.me.ask(self.a, "POST", "", EXAMPLE)))
            for _ in range(QUOTA + 5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        statuses = sorted(reply.status for reply in replies)
        self.assertEqual(statuses, [202] * QUOTA + [429] * 5)
        self.assertEqual({reply.document["reason"] for reply in replies if reply.status == 429}, {"quota_exceeded"})
        self.assertEqual(Caller().ask(self.a, "POST", "", EXAMPLE).status, 202)

    def test_client_gone(self) -> None:
        """
        Clients that leave right after their submission leave one job each, or none, but never half of one.
        """
        body = json.dumps(EXAMPLE).encode()
        for number in range(10):
            fields = self.me.head({"Host": "gw", "Content-Length": str(len(body)), "Idempotency-Key": f"gone-{number}"})
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            with socket.create_connection(("127.0.0.1", self.a.port), 5) as client:
                client.sendall(f"POST /api/v1/jobs HTTP/1.1\r\n{head}\r\n".encode() + body)
                time.sleep(0.001 * number)
        time.sleep(0.3)
        replies = [self.me.ask(self.b, "POST", "", EXAMPLE, Idempotency_Key=f"gone-{number}") for number in range(10)]
        self.assertEqual({reply.status for reply in replies}, {202})
        job_ids = {reply.document["job_id"] for reply in replies}
        listed = {job["job_id"] for job in self.me.ask(self.b, "GET").document["jobs"]}
        self.assertEqual((len(job_ids), listed), (10, job_ids))
        self.assertEqual([self.world.queued(job_id) for job_id in job_ids], [1] * 10)

    def test_crashed_in_between(self) -> None:
        """
        Row K4: a record whose gateway crashed before its job was in the queue is finished by the others.
        """
        submission = Submission(type="inference", name="left behind", priority=9)
        job = new_job(submission, JobIds().next(), self.me.name, self.me.name, timestamp(time.time() - 60))

        async def leave(client: Client) -> None:
            bucket = await client.jetstream().key_value(RECORDS_BUCKET)
            await bucket.create(job.job_id, job.to_json())

        async def record(client: Client) -> Job:
            bucket = await client.jetstream().key_value(RECORDS_BUCKET)
            return Job.from_json((await bucket.get(job.job_id)).value or b"")

        async def message(client: Client) -> bytes:
            return (await client.jetstream().get_last_msg(JOBS, "jobs.submit.inference.high")).data or b""

        self.world.on_nats(leave)
        self.assertFalse(self.world.on_nats(record).published)
        self.wait_for(lambda: bool(self.world.on_nats(record).published), "published")
        self.assertEqual(self.world.on_nats(message), message_bytes(job))
        self.assertEqual((self.show(job.job_id)["status"], self.world.queued(job.job_id)), ("queued", 1))


class OutageTests(JobsTestCase):
    """
    Servers that go away.
    """

    def test_nats_killed(self) -> None:
        """
        While NATS is away submissions and cancellations are refused at once, and what is known is shown as such;
        afterwards everything is there, and goes on.
        """
        job_id = self.submit()
        self.wait_for(lambda: len(self.me.ask(self.b, "GET").document["jobs"]) == 1, "known to both")
        self.world.nats.kill()
        try:
            for gateway in (self.a, self.b):
                self.wait_for(lambda one=gateway: bool(self.show(job_id, one).get("stale")), "stale")  # type: ignore[misc]
                for reply in (
                    self.me.ask(gateway, "POST", "", EXAMPLE),
                    self.me.ask(gateway, "POST", "", EXAMPLE, Idempotency_Key="k"),
                    self.me.ask(gateway, "DELETE", f"/{job_id}"),
                    self.me.ask(gateway, "GET", "/unknown"),
                ):
                    self.assert_problem(reply, 503, "store_unavailable")
                    self.assertEqual(reply.fields["Retry-After"], "2")
                    self.assertLess(reply.seconds, OPERATION_TIMEOUT / 2)
                listed = self.me.ask(gateway, "GET").document
                self.assertEqual(([job["job_id"] for job in listed["jobs"]], listed["stale"]), ([job_id], True))
        finally:
            self.world.nats.start()
        for gateway in (self.a, self.b):
            self.wait_for(lambda one=gateway: "stale" not in self.show(job_id, one), "current again")  # type: ignore[misc]
        self.assertEqual(self.me.ask(self.a, "POST", "", EXAMPLE, Idempotency_Key="k").status, 202)
        self.assertEqual(self.me.ask(self.b, "DELETE", f"/{job_id}").status, 202)
        self.assertEqual(self.show(job_id, self.b)["status"], "cancelled")

    def test_terminated(self) -> None:
        """
        Row K16: a gateway that is told to end while submissions come loses none that it accepted, and accepts none
        twice; whoever waits is sent away, and told to come by another connection.
        """
        gateway = self.world.gateway()
        job_id = self.submit()
        waited: list[Reply] = []
        waiter = threading.Thread(target=lambda: waited.append(self.me.ask(gateway, "GET", f"/{job_id}?wait=60")))
        accepted: list[str] = []
        callers = [Caller() for _ in range(4)]

        def storm(caller: Caller) -> None:
            for _ in range(QUOTA):
                try:
                    reply = caller.ask(gateway, "POST", "", EXAMPLE)
                except OSError:
                    return
                if reply.status == 202:
                    accepted.append(reply.document["job_id"])

        threads = [waiter, *(threading.Thread(target=storm, args=(caller,)) for caller in callers)]
        for thread in threads:
            thread.start()
        self.wait_for(lambda: len(accepted) > 5, "busy")
        gateway.signal(signal.SIGTERM)
        self.assertEqual(gateway.wait(15), 0)
        for thread in threads:
            thread.join(20)
        self.assertEqual([(reply.status, reply.fields["Connection"]) for reply in waited], [(200, "close")])
        root = Caller("admin")
        for one in accepted:
            self.assertEqual(root.ask(self.b, "GET", f"/{one}").document["status"], "queued")
        self.assertEqual([self.world.queued(one) for one in accepted], [1] * len(accepted))

    def test_without_nats(self) -> None:
        """
        A gateway without NATS says that there are no jobs.
        """
        gateway = GatewayProcess(echo_config())
        self.addCleanup(gateway.kill)
        gateway.start()
        for method, path in (("POST", ""), ("GET", ""), ("GET", "/x"), ("DELETE", "/x"), ("GET", "/x/events")):
            body = EXAMPLE if method == "POST" else None
            reply = self.me.ask(gateway, method, path, body)
            self.assert_problem(reply, 503, "store_unavailable")
            self.assertEqual(reply.fields["Retry-After"], "2")
