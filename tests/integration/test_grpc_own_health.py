"""
The gateway itself, asked by C{grpc.health.v1} with real clients of gRPC, as an orchestrator or a balancer asks it.
"""

from __future__ import annotations

import subprocess
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.grpc.health import question
from siger.grpc.serving import NOT_SERVING, SERVICE, SERVICE_UNKNOWN, SERVING, answer
from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.grpc_plan import SERVICE as PLANNED
from tests.integration.grpc_world import ask, connect, outcome
from tests.integration.h2_client import H2Client
from tests.integration.h2_frames import data, window_update
from tests.integration.health_server import HealthServer

OK, DEADLINE_EXCEEDED, NOT_FOUND, UNAVAILABLE = 0, 4, 5, 14
HEALTH = f"/{SERVICE}"
WATCHING = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"gw.test"),
    (b":path", f"{HEALTH}/Watch".encode()),
    (b"content-type", b"application/grpc"),
]


class Message:
    """
    The bytes of an answer, without their length.
    """

    serving = answer(SERVING)[5:]
    not_serving = answer(NOT_SERVING)[5:]
    unknown = answer(SERVICE_UNKNOWN)[5:]


class OwnHealthTests(SynchronousTestCase):
    """
    A gateway before one server, which a check finds well or ill.
    """

    def setUp(self) -> None:
        self.server = HealthServer("one", free_port()).launch()
        self.addCleanup(self.server.kill)
        self.server.start()

    def start(self, *routes: dict[str, Any], **overrides: Any) -> GatewayProcess:
        """
        Start the gateway.
        """
        check = {"grpc": "", "interval": 1, "timeout": 1, "rise": 1, "fall": 1}
        service = {"instances": [f"127.0.0.1:{self.server.port}"], "protocol": "h2c", "health": check}
        services = {"checked": service, "empty": {"instances": [], "protocol": "h2c"}}
        routes = ({"grpc": PLANNED, "service": "checked"}, {"grpc": "a.Empty", "service": "empty"}, *routes)
        self.gateway = GatewayProcess(echo_config(1, services=services, routes=list(routes), **overrides))
        self.addCleanup(self.gateway.kill)
        self.gateway.start()
        self.channel = connect(self.gateway.port)
        self.addCleanup(self.channel.close)
        return self.gateway

    def check(self, name: str = "") -> tuple[int, list[bytes]]:
        """
        What C{Check} says.
        """
        got = ask(self.channel, question(name)[5:], "Check", HEALTH)
        return got.code, got.messages

    def watch(self, name: str = "", timeout: float = 20) -> Any:
        """
        Begin to C{Watch}.
        """
        return self.channel.unary_stream(f"{HEALTH}/Watch")(question(name)[5:], timeout=timeout)

    def test_check(self) -> None:
        """
        The gateway is well; so is a service that has somebody well; one that has nobody is not; others are unknown.
        """
        self.start()
        self.assertEqual(self.check(), (OK, [Message.serving]))
        self.gateway.wait_until(lambda: self.check(PLANNED) == (OK, [Message.serving]), "well")
        self.assertEqual(self.check("a.Empty"), (OK, [Message.not_serving]))
        self.assertEqual(self.check("a.Other"), (NOT_FOUND, []))
        line = self.gateway.wait_for_access_line(lambda line: line.get("grpc_status") == NOT_FOUND)
        self.assertEqual((line["route"], line["status"]), (f"{HEALTH}/Check", 200))
        counted = f'path="{HEALTH}/Check",status="200"'.encode()
        self.assertTrue(counted in self.gateway.get("/metrics"), "not counted")

    def test_never_limited(self) -> None:
        """
        Who probes is answered, whatever limits there are.
        """
        self.start(rate_limit={"requests_per_second": 1, "burst": 1})
        self.assertEqual([self.check() for _ in range(20)], [(OK, [Message.serving])] * 20)

    def test_watch(self) -> None:
        """
        A server that falls ill, and gets well again, is heard of in a second or two.
        """
        self.start()
        watch = self.watch(PLANNED)
        self.assertEqual(next(watch), Message.serving)
        self.server.set(NOT_SERVING)
        self.assertEqual(next(watch), Message.not_serving)
        self.server.set(SERVING)
        self.assertEqual(next(watch), Message.serving)
        watch.cancel()
        self.gateway.wait_for_access_line(lambda line: line["route"] == f"{HEALTH}/Watch")
        self.assertEqual(self.check(), (OK, [Message.serving]))

    def test_faulty_streams(self) -> None:
        """
        A watch whose stream ends with an error of the client's is over, as one that is cancelled.
        """
        self.start()
        client = H2Client(self.gateway.port).start()
        self.addCleanup(client.close)
        for spoil in (lambda number: window_update(number, 0), lambda number: data(number, b"x")):
            stream = client.open(WATCHING, False)
            client.send(data(stream, question(""), True))
            self.assertTrue(client.until(lambda: client.stream(stream).body), client)  # noqa: B023
            client.send(spoil(stream))
            self.assertIsNotNone(client.end(stream).code)
        self.gateway.wait_until(lambda: len(self.ended()) == 2, "told of both")
        self.assertEqual(self.ended(), ["client_gone"] * 2)

    def ended(self) -> list[str]:
        """
        Why watches have ended.
        """
        return [line["reason"] for line in self.gateway.access_lines() if line["route"] == f"{HEALTH}/Watch"]

    def test_deadline(self) -> None:
        """
        A watch ends with its time.
        """
        self.start()
        watch = self.watch("a.Other", timeout=1.5)
        got = outcome(watch)
        self.assertEqual((got.code, got.messages), (DEADLINE_EXCEEDED, [Message.unknown]))

    def test_shutdown(self) -> None:
        """
        When the gateway stops, who watches is told and sent away, and holds up nothing.
        """
        self.start(drain_timeout=20)
        watch = self.watch()
        first = next(watch)
        self.gateway.signal()
        got = outcome(watch, [first])
        self.assertEqual((got.code, got.messages), (UNAVAILABLE, [Message.serving, Message.not_serving]))
        self.channel.close()
        self.assertEqual(self.gateway.wait(10), 0)

    def test_elsewhere(self) -> None:
        """
        Where a route leads the questions to a service, that is asked.
        """
        self.start({"grpc": SERVICE, "service": "checked"})
        self.server.set(NOT_SERVING)
        self.assertEqual(self.check(), (OK, [Message.not_serving]))

    def test_other_clients(self) -> None:
        """
        It is there for gRPC alone, and for clients of HTTP/1.1 that send that.
        """
        self.start()
        url = f"http://127.0.0.1:{self.gateway.port}{HEALTH}/Check"
        self.assertEqual(self.gateway.status_of(f"{HEALTH}/Check"), 405)
        for version, kind, status in (("--http1.1", "application/json", b"415"), ("--http2", "text/plain", b"415")):
            command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", version, "-d", "{}"]
            got = subprocess.run(
                [*command, "-H", f"Content-Type: {kind}", url], capture_output=True, timeout=20, check=True
            )
            self.assertEqual(got.stdout, status)
        got = subprocess.run(
            ["curl", "-s", "--http1.1", "--data-binary", "@-", "-H", "Content-Type: application/grpc", url],
            input=question(""),
            capture_output=True,
            timeout=20,
            check=True,
        )
        self.assertEqual(got.stdout, answer(SERVING))
