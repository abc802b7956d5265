"""
Clients that people use, over HTTP/2 in its forms: h2load, nghttp and curl, to backends of either version of HTTP and to
the gateway's own endpoints.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import random
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.curl import PRIOR_KNOWLEDGE, Reply, curl, program
from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.grpc_world import eventually
from tests.integration.loop_thread import run_in_loop
from tests.integration.recording_backend import Connection, RecordingBackend, answer
from tests.integration.test_quickstart import listening
from tests.integration.tls_world import certificates, secure_curl
from tests.integration.wire import Request

LARGE = 24 << 20

_LAUNCH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the tests
os.execv(sys.argv[1], sys.argv[1:])
"""


async def send_back(connection: Connection, request: Request) -> None:
    """
    Answer with what came, as nghttpd does.
    """
    await connection.whole(request)
    connection.write(answer(bytes(request.body)))


class Nghttpd:
    """
    An HTTP/2 server of somebody else's: it serves files, and sends back what it is sent.

    @ivar files: the directory of what it serves.
    """

    def __init__(self) -> None:
        self.files = Path(tempfile.mkdtemp(prefix="siger-test-"))
        self.port = free_port()
        command = ["python3", "-c", _LAUNCH, program("nghttpd"), "--no-tls", "--address=127.0.0.1", "--echo-upload"]
        command += [f"--htdocs={self.files}", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert eventually(lambda: listening(self.port)), "nghttpd does not listen"

    def write(self, name: str, content: bytes) -> None:
        """
        Have a file.
        """
        (self.files / name).write_bytes(content)

    def stop(self) -> None:
        """
        End it.
        """
        self._process.kill()
        self._process.wait(10)
        shutil.rmtree(self.files)


@frozen
class World:
    """
    A gateway before a backend of HTTP/1.1, C{echo}, and one of HTTP/2, C{site}.

    @ivar large: a file that both can serve; C{piece} is the path of a smaller one, for uploads.
    """

    gateway: GatewayProcess
    secure: int
    backend: RecordingBackend
    site: Nghttpd
    large: bytes
    piece: Path

    def stop(self) -> None:
        """
        Stop all of them.
        """
        self.gateway.kill()
        run_in_loop(self.backend.stop())
        self.site.stop()


@cache
def world() -> World:
    """
    The one of these tests.
    """
    backend, site = run_in_loop(RecordingBackend().start()), Nghttpd()
    large = random.Random(4).randbytes(LARGE)
    site.write("small", b"small")
    site.write("large", large)
    site.write("middle", large[:200_000])
    site.write("piece", large[:20_000])
    tls = certificates().section(certificates().make("a.example"))
    config = echo_config(
        backend.port,
        tls=tls,
        nats_address="embedded",
        seed_users=[{"username": "user", "password": "user123", "role": "user", "id": "2"}],
        services={"site": {"instances": [f"127.0.0.1:{site.port}"], "protocol": "h2c"}},
    )
    gateway = GatewayProcess(config)
    made = World(gateway, int(tls["port"].rpartition(":")[2]), backend, site, large, site.files / "piece")
    atexit.register(made.stop)
    gateway.start()
    return made


class ClientsCase(SynchronousTestCase):
    """
    Has the gateway, and clients.
    """

    def setUp(self) -> None:
        self.world = world()
        # What clients left may still be on its way to the backend.
        alone = b"\ngateway_in_flight_requests 1.0\n"
        self.world.gateway.wait_until(lambda: alone in self.world.gateway.get("/metrics"), "at rest")
        run_in_loop(self.world.backend.begin())
        self.url = f"http://127.0.0.1:{self.world.gateway.port}"
        self.secure_url = f"https://127.0.0.1:{self.world.secure}"

    def run_program(self, name: str, *arguments: str, source: bytes = b"") -> str:
        """
        Run a client.

        @return: what it printed.
        """
        done = subprocess.run([program(name), *arguments], input=source, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout.decode("latin-1")


class H2loadTests(ClientsCase):
    """
    h2load: many streams at once on several connections.
    """

    def load(self, count: int, url: str, *arguments: str) -> None:
        """
        Every request has a good answer.
        """
        printed = self.run_program("h2load", f"--requests={count}", "--clients=4", *arguments, url)
        done = f"{count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout"
        self.assertIn(f"requests: {done}", printed)
        self.assertIn(f"status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx", printed)
        self.assertIn("protocol: h2", printed)

    def test_http1_backend(self) -> None:
        """
        Streams of a few connections are shared out among many connections of HTTP/1.1.
        """
        self.load(2000, f"{self.url}/services/echo/small", "--max-concurrent-streams=32")

    def test_http2_backend(self) -> None:
        """
        Streams of a few connections become streams of others.
        """
        self.load(3000, f"{self.url}/services/site/small", "--max-concurrent-streams=32")

    def test_bodies(self) -> None:
        """
        With bodies, to both.
        """
        for service in ("echo", "site"):
            options = ("--max-concurrent-streams=10", f"--data={self.world.piece}")
            self.load(300, f"{self.url}/services/{service}/up", *options)

    def test_small_windows(self) -> None:
        """
        With windows far smaller than what comes, on streams and connections.
        """
        options = ("--max-concurrent-streams=10", "--window-bits=12", "--connection-window-bits=14")
        self.load(40, f"{self.url}/services/site/middle", *options)

    def test_over_tls(self) -> None:
        """
        Over TLS, where HTTP/2 is agreed upon before.
        """
        self.load(1000, f"{self.secure_url}/services/site/small", "--max-concurrent-streams=32")

    def test_own_endpoint(self) -> None:
        """
        To the gateway itself.
        """
        self.load(1000, f"{self.url}/health", "--max-concurrent-streams=32")


class NghttpTests(ClientsCase):
    """
    nghttp: what the standard allows and other clients seldom do.
    """

    def test_many_on_one_connection(self) -> None:
        """
        Several requests over one connection are all answered.
        """
        urls = [f"{self.url}/services/{service}/small" for service in ("echo", "site")]
        printed = self.run_program("nghttp", "--verbose", "--multiply=10", *urls)
        self.assertEqual(len(re.findall(r"recv \(stream_id=\d+\) :status: 200", printed)), 20)
        self.assertEqual(printed.count("] Connected"), 1)

    def test_padding(self) -> None:
        """
        Padded frames are understood, and their padding is nobody's content.
        """
        self.run_program(
            "nghttp", "--null-out", "--padding=255", f"--data={self.world.piece}", f"{self.url}/services/echo/up"
        )
        (request,) = self.world.backend.requests
        self.assertEqual(bytes(request.body), self.world.large[:20_000])

    def test_continuation(self) -> None:
        """
        A head that takes more than one frame is one all the same.
        """
        printed = self.run_program("nghttp", "--verbose", "--continuation", f"{self.url}/services/echo/x")
        (length,) = re.findall(r"send HEADERS frame <length=(\d+)", printed)
        self.assertTrue(int(length) > 16384 and ":status: 200" in printed)
        (request,) = self.world.backend.requests
        self.assertEqual([set(request.value(b"continuation-test-%d" % number) or b"") for number in (1, 6)], [{45}] * 2)

    def test_trailers(self) -> None:
        """
        Trailers of a request reach a backend of HTTP/1.1, if its body has no length that was told beforehand.
        """
        options = ("--no-content-length", "--trailer=x-sum: 1", f"--data={self.world.piece}")
        self.run_program("nghttp", "--null-out", *options, f"{self.url}/services/echo/up")
        (request,) = self.world.backend.requests
        self.assertEqual(bytes(request.body), self.world.large[:20_000])
        self.assertEqual(request.trailers, [(b"x-sum", b"1")])

    def test_upload_comes_back(self) -> None:
        """
        What is uploaded to a backend of HTTP/2 comes back.
        """
        url = f"{self.url}/services/site/up"
        printed = self.run_program("nghttp", f"--data={self.world.piece}", url)
        self.assertEqual(printed.encode("latin-1"), self.world.large[:20_000])


class CurlTests(ClientsCase):
    """
    curl with prior knowledge of HTTP/2.
    """

    def ask(self, path: str, *arguments: str, body: bytes | None = None) -> Reply:
        """
        Ask, with HTTP/2.
        """
        reply = curl(f"{self.url}{path}", PRIOR_KNOWLEDGE, *arguments, body=body)
        self.assertEqual(reply.version, "2")
        return reply

    def test_get(self) -> None:
        """
        A request and its answer, with what the gateway adds; names of fields are lower case.
        """
        reply = self.ask("/services/echo/some?x=1&y=%20")
        self.assertEqual(reply.status, 200)
        self.assertRegex(reply.value("x-request-id"), r"^[\w-]{8,}$")
        (request,) = self.world.backend.requests
        self.assertEqual((request.method, request.target), (b"GET", b"/some?x=1&y=%20"))
        self.assertEqual(request.value(b"host"), f"127.0.0.1:{self.world.gateway.port}".encode())
        self.assertEqual(request.value(b"x-forwarded-for"), b"127.0.0.1")
        self.assertIn(b"2", request.value(b"via") or b"")

    def test_post(self) -> None:
        """
        A body arrives, and another comes back, from both backends.
        """
        self.world.backend.scripts[b"/up"] = send_back
        for service in ("echo", "site"):
            reply = self.ask(f"/services/{service}/up", body=b"some body")
            self.assertEqual((reply.status, reply.body), (200, b"some body"))

    def test_head(self) -> None:
        """
        A head without a body.
        """
        reply = self.ask("/services/site/middle", "--head")
        self.assertEqual((reply.status, reply.value("content-length")), (200, "200000"))

    def test_large_download(self) -> None:
        """
        A large file arrives as it is.
        """
        reply = self.ask("/services/site/large")
        self.assertEqual(hashlib.sha256(reply.body).digest(), hashlib.sha256(self.world.large).digest())

    def test_large_upload(self) -> None:
        """
        So it does when it is sent, and when it comes back at the same time.
        """
        reply = self.ask("/services/echo/up", body=self.world.large)
        self.assertEqual(reply.status, 200)
        (request,) = self.world.backend.requests
        self.assertEqual(request.length, LARGE)
        reply = self.ask("/services/site/up", body=self.world.large)
        self.assertEqual(hashlib.sha256(reply.body).digest(), hashlib.sha256(self.world.large).digest())

    def test_refused(self) -> None:
        """
        What is refused has a problem document, whatever the client still has to send.
        """
        for body in (None, b"x=1", self.world.large):
            reply = self.ask("/services/nothing/x", body=body)
            self.assertEqual((reply.status, reply.value("content-type")), (404, "application/problem+json"))
            self.assertEqual(json.loads(reply.body)["reason"], "unknown_service")


class SecureTests(ClientsCase):
    """
    curl over TLS, where client and gateway agree on a version.
    """

    def test_agreed(self) -> None:
        """
        HTTP/2 if the client offers it, or else HTTP/1.1.
        """
        for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
            for path in ("/services/echo/x", "/services/site/small", "/health"):
                reply = secure_curl(self.world.secure, path, option)
                self.assertEqual((reply.status, reply.version), (200, version))

    def test_one_connection(self) -> None:
        """
        One connection serves one request after the other, to any service and to the gateway itself, and many at once.
        """
        paths = "{services/echo/small,services/site/small,health,readyz}?[1-10]"
        told = "%{num_connects} %{http_version} %{http_code}\n"
        there = ("--cacert", certificates().ca, "--resolve", f"a.example:{self.world.secure}:127.0.0.1")
        options = ("--silent", "--http2", "--noproxy", "*", "--write-out", told, "--output", "/dev/null", *there)
        url = f"https://a.example:{self.world.secure}/{paths}"
        self.assertEqual(self.run_program("curl", *options, url).splitlines(), ["1 2 200"] + ["0 2 200"] * 39)
        at_once = self.run_program("curl", "--parallel", "--parallel-max", "40", *options, url).splitlines()
        self.assertEqual(len([line for line in at_once if line.endswith(" 2 200")]), 40)

    def test_large(self) -> None:
        """
        A large file there and back.
        """
        reply = secure_curl(self.world.secure, "/services/site/up", "--http2", body=self.world.large)
        self.assertEqual(reply.version, "2")
        self.assertEqual(hashlib.sha256(reply.body).digest(), hashlib.sha256(self.world.large).digest())


class OwnEndpointTests(ClientsCase):
    """
    The gateway's own endpoints over HTTP/2.
    """

    def ask(self, path: str, *arguments: str, document: Any = None) -> Reply:
        """
        Ask, with JSON.
        """
        body = None if document is None else json.dumps(document).encode()
        kind = ("--header", "Content-Type: application/json")
        reply = curl(f"{self.url}{path}", PRIOR_KNOWLEDGE, *kind, *arguments, body=body)
        self.assertEqual(reply.version, "2")
        return reply

    def test_probes(self) -> None:
        """
        Probes and figures.
        """
        self.assertEqual(self.ask("/health").body.strip(), b"OK")
        self.assertEqual(self.ask("/readyz").status, 200)
        self.assertIn(b"http_requests_total", self.ask("/metrics").body)
        self.assertEqual(self.ask("/nowhere").status, 404)

    def test_login_and_jobs(self) -> None:
        """
        A user logs in, submits a job, cancels it, and reads its events to their end.
        """
        login = {"username": "user", "password": "user123"}
        self.assertTrue(eventually(lambda: self.ask("/auth/login", document=login).status == 200, 20))
        self.assertEqual(self.ask("/auth/login", document={**login, "password": "wrong"}).status, 401)
        token = json.loads(self.ask("/auth/login", document=login).body)["token"]
        mine = ("--header", f"Authorization: Bearer {token}")
        self.assertEqual(json.loads(self.ask("/auth/profile", *mine).body)["username"], "user")
        accepted = self.ask("/api/v1/jobs", *mine, document={"type": "ai_training", "name": "over HTTP/2"})
        self.assertEqual(accepted.status, 202, accepted)
        path = accepted.value("location")
        self.assertEqual(self.ask(path, "--request", "DELETE", *mine).status, 202)
        events = self.ask(f"{path}/events", *mine)
        self.assertEqual((events.status, events.value("content-type")), (200, "text/event-stream; charset=utf-8"))
        self.assertIn(b'"cancelled"', events.body)
        self.assertEqual(json.loads(self.ask(path, *mine).body)["status"], "cancelled")
