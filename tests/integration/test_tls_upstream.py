"""
TLS on the way out: instances that are reached over it, those that are who they say they are and others.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import socket
import subprocess
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.tls import CertificateFiles
from tests.integration.curl import Reply, curl, program
from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import run_in_loop
from tests.integration.recording_backend import Connection, RecordingBackend, answer
from tests.integration.tls_world import Certificates, SecureBackend
from tests.integration.wire import Request
from tests.tls.certificates import Authority

LARGE = bytes(range(256)) * 20_000


class World:
    """
    One gateway with services of all kinds.

    @ivar backend: the one that is as it should be.
    """

    def __init__(self, held: contextlib.ExitStack) -> None:
        self._held = held
        self._certificates = Certificates()
        held.callback(self._certificates.remove)
        self.backend: SecureBackend
        self.gateway = GatewayProcess(echo_config(1, services=self._services()))
        held.callback(self.gateway.kill)
        self.gateway.start()

    def _services(self) -> dict[str, Any]:
        """
        Start the backends.

        @return: the services that they are instances of.
        """
        made = self._certificates
        pair = made.make("127.0.0.1", "backend.example")
        self.backend = self._start(SecureBackend(pair))
        good = self.backend.port
        other = self._start(SecureBackend(made.make("127.0.0.1", file="other", authority=Authority()))).port
        expired = self._start(SecureBackend(made.make("127.0.0.1", file="expired", begins=-9, ends=-1))).port
        asking = self._start(SecureBackend(pair, ca=made.ca)).port
        plain = self._start(RecordingBackend()).port
        silent = self._held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        own = made.make("gateway.example")
        trusting: dict[str, Any] = {"ca": made.ca}
        return {
            "good": _service(good, trusting),
            "named": _service(good, {**trusting, "server_name": "backend.example"}),
            "misnamed": _service(good, {**trusting, "server_name": "somebody.example"}),
            "distrusted": _service(good, {}),
            "unknown": _service(other, trusting),
            "unverified": _service(other, {"verify": False}),
            "expired": _service(expired, trusting),
            "plain": _service(plain, trusting),
            "silent": _service(silent, trusting),
            "identified": _service(asking, {**trusting, "certificate": own.certificate, "key": own.key}),
            "anonymous": _service(asking, trusting),
            "http2": _service(self._start_nghttpd(pair), trusting, "h2"),
            "http1-only": _service(good, trusting, "h2"),
        }

    def _start(self, backend: Any) -> Any:
        run_in_loop(backend.start())
        self._held.callback(lambda: run_in_loop(backend.stop()))
        return backend

    def _start_nghttpd(self, pair: CertificateFiles) -> int:
        """
        Start a server that speaks HTTP/2 over TLS.

        @return: its port.
        """
        port, directory = free_port(), self._certificates.directory
        (directory / "page").write_bytes(b"a page")
        command = [program("nghttpd"), "--address=127.0.0.1", f"--htdocs={directory}", str(port)]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([*command, pair.key, pair.certificate], **quiet)
        self._held.callback(process.wait)
        self._held.callback(process.kill)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                return port
            time.sleep(0.02)
        raise AssertionError("nghttpd does not listen")


@functools.cache
def world() -> World:
    """
    The one that all tests here share.
    """
    held = contextlib.ExitStack()
    atexit.register(held.close)
    return World(held)


class UpstreamTests(SynchronousTestCase):
    """
    Requests to services that are reached over TLS.
    """

    def setUp(self) -> None:
        self.gateway, self.backend = world().gateway, world().backend

    def ask(self, service: str, path: str = "/x", *arguments: str, body: bytes | None = None) -> Reply:
        """
        Ask a service for something.
        """
        return curl(f"http://127.0.0.1:{self.gateway.port}/services/{service}{path}", *arguments, body=body)

    def assertRefused(self, service: str, status: int, reason: str) -> None:
        """
        The service fails with this, in its answer and in the log.
        """
        reply = self.ask(service)
        self.assertEqual((status, reason), (reply.status, json.loads(reply.body)["reason"]), service)
        identifier = reply.value("x-request-id")
        logged = self.gateway.wait_for_access_line(lambda line: line["request_id"] == identifier)
        self.assertEqual((status, reason, service), (logged["status"], logged["reason"], logged["service"]))

    def test_trusted(self) -> None:
        """
        Instances with the right certificates are reached, be it for their address or for a name.
        """
        for service in ("good", "named", "unverified", "identified"):
            reply = self.ask(service)
            self.assertEqual((200, "/x"), (reply.status, json.loads(reply.body)["target"]), service)

    def test_distrusted(self) -> None:
        """
        Others are not: those with another name, an unknown issuer, or too old a certificate.
        """
        for service in ("misnamed", "distrusted", "unknown", "expired"):
            self.assertRefused(service, 502, "upstream_tls")
        self.assertIn("tls_protocol_error", self.ask("unknown").value("proxy-status"))
        output = self.gateway.output()
        for cause in (
            "certificate is not valid for 'somebody.example'",
            "unable to get local issuer certificate",
            "certificate has expired",
        ):
            self.assertIn(cause, output)

    def test_anonymous(self) -> None:
        """
        An instance that wants a certificate and gets none lets nobody in.
        """
        reply = self.ask("anonymous")
        self.assertEqual(502, reply.status)

    def test_silent(self) -> None:
        """
        One that does not answer, or waits for the end of what it takes for a line, has not been connected to in time.
        """
        for service in ("silent", "plain"):
            self.assertRefused(service, 504, "connect_timeout")

    def test_http2(self) -> None:
        """
        HTTP/2 is spoken with those that agree on it, and with no others.
        """
        reply = self.ask("http2", "/page")
        self.assertEqual((200, b"a page"), (reply.status, reply.body))
        self.assertRefused("http1-only", 502, "upstream_tls")

    def test_kept(self) -> None:
        """
        Connections are kept and used again; one that was closed meanwhile is not.
        """
        before = self.backend.accepted
        self.ask("good")
        for _ in range(5):
            self.assertEqual(200, self.ask("good").status)
        self.assertLessEqual(self.backend.accepted - before, 1)
        before = self.backend.accepted
        run_in_loop(self.drop())
        time.sleep(0.6)
        self.assertEqual(200, self.ask("good").status)
        self.assertEqual(before + 1, self.backend.accepted)

    async def drop(self) -> None:
        """
        Have the backend close its connections.
        """
        self.backend.drop_idle()

    def test_large(self) -> None:
        """
        Bodies pass whole, in both directions.
        """

        async def send_large(connection: Connection, request: Request) -> None:
            await connection.whole(request)
            await connection.write_slowly(answer(LARGE))

        self.backend.scripts[b"/large"] = send_large
        self.assertEqual(LARGE, self.ask("good", "/large").body)
        self.assertEqual(len(LARGE), json.loads(self.ask("good", "/x", body=LARGE).body)["length"])

    def test_until_close(self) -> None:
        """
        A body that ends with the connection is whole if the instance says that this is the end.
        """

        async def close(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\n\r\nthe whole")
            connection.close()

        self.backend.scripts[b"/closes"] = close
        self.assertEqual(b"the whole", self.ask("good", "/closes").body)

    def test_cut(self) -> None:
        """
        It is not if the connection merely ends (RFC 9112 section 9.8), which anybody on the way can do.
        """

        async def cut(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\n\r\nthe half")
            connection.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)

        self.backend.scripts[b"/cut"] = cut
        error = self.assertRaises(AssertionError, self.ask, "good", "/cut")
        self.assertIn("curl exits with 18", str(error))
        logged = self.gateway.wait_for_access_line(lambda line: "/cut" in line["path"])
        self.assertEqual("upstream_truncated", logged["reason"])


def _service(port: int, tls: dict[str, Any], protocol: str = "https") -> dict[str, Any]:
    """
    A service with one instance.
    """
    return {
        "instances": [f"127.0.0.1:{port}"],
        "protocol": protocol,
        "tls": tls,
        "timeouts": {"connect": 2},
    }
