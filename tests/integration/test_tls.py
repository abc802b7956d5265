"""
TLS on the way in, with the clients of others.
"""

from __future__ import annotations

import functools
import json
import re
import signal
import socket
import ssl
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.loop_thread import run_in_loop
from tests.integration.recording_backend import Connection, RecordingBackend, answer
from tests.integration.shared_gateway import shared_pair
from tests.integration.tls_world import Certificates, SecureClient, certificates, openssl, secure_curl
from tests.integration.wire import Request


@functools.cache
def shared_section() -> dict[str, Any]:
    """
    What most tests here have under C{tls}: always the same, so that they share a gateway.
    """
    world = certificates()
    return world.section(world.make("a.example"), world.make("b.example", "*.b.example"))


def port_of(section: dict[str, Any]) -> int:
    """
    The port for TLS.
    """
    return int(section["port"].rpartition(":")[2])


def metric(gateway: GatewayProcess, name: str) -> float:
    """
    The value of a metric without labels.
    """
    found = re.search(rf"^{name} (\S+)$", gateway.get("/metrics").decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


class SharedCase(SynchronousTestCase):
    """
    Tests that share a gateway.
    """

    def setUp(self) -> None:
        self.pair = shared_pair(tls=shared_section())
        self.port = port_of(shared_section())

    def client(self, *protocols: str, name: str = "a.example") -> SecureClient:
        """
        A client that is connected.
        """
        client = SecureClient(self.port, certificates().context(*protocols), name)
        self.addCleanup(client.close)
        return client


class ClientTests(SharedCase):
    """
    Requests.
    """

    def test_python(self) -> None:
        """
        A connection takes one request after the other, and instances are told what it was.
        """
        client = self.client()
        for _ in range(3):
            status, body = client.ask("/services/echo/x")
            self.assertEqual(200, status)
            self.assertIn(["X-Forwarded-Proto", "https"], json.loads(body)["fields"])
        self.assertEqual("TLSv1.3", client.socket.version())

    def test_curl(self) -> None:
        """
        curl gets the version of HTTP that it asks for, for each of the names.
        """
        for option, version in (("--http1.1", "1.1"), ("--http2", "2")):
            for name in ("a.example", "b.example", "www.b.example"):
                reply = secure_curl(self.port, "/services/echo/x", option, name=name)
                self.assertEqual((200, version), (reply.status, reply.version), name)
                self.assertIn(["X-Forwarded-Proto", "https"], json.loads(reply.body)["fields"])

    def test_without_tls(self) -> None:
        """
        The other port is what it was.
        """
        self.assertEqual(200, self.pair.gateway.status_of("/services/echo/x"))

    def test_large(self) -> None:
        """
        Bodies pass whole, in both directions.
        """
        large = bytes(range(256)) * 40_000

        async def send_large(connection: Connection, request: Request) -> None:
            await connection.whole(request)
            await connection.write_slowly(answer(large))

        self.pair.backend.scripts[b"/large"] = send_large
        for option in ("--http1.1", "--http2"):
            self.assertEqual(large, secure_curl(self.port, "/services/echo/large", option).body)
            reply = secure_curl(self.port, "/services/echo/x", option, body=large)
            self.assertEqual(len(large), json.loads(reply.body)["length"])

    def test_last_answer(self) -> None:
        """
        The answer to a request that ends the connection arrives, and so does the word that it was the last.
        """
        for bad in (
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n" + b"x" * 9000,
        ):
            client = self.client()
            client.socket.sendall(bad)
            self.assertIn(client.answer()[0], (400, 505))
            self.assertEqual(b"", client.socket.recv(1))

    def test_slow_reader(self) -> None:
        """
        A client that reads late gets everything, and the gateway does not keep it for it.
        """
        large = bytes(1000) * 50_000

        async def send_large(connection: Connection, request: Request) -> None:
            await connection.write_slowly(answer(large))

        self.pair.backend.scripts[b"/slow"] = send_large
        before = self.pair.gateway.rss()
        client = self.client()
        client.socket.sendall(b"GET /services/echo/slow HTTP/1.1\r\nHost: a.example\r\n\r\n")
        time.sleep(1)
        self.assertLess(self.pair.gateway.rss() - before, 20_000_000)
        self.assertEqual(len(large), len(client.answer()[1]))


class HandshakeTests(SharedCase):
    """
    What is agreed on, and what is refused.
    """

    def test_versions(self) -> None:
        """
        TLS 1.2 and 1.3 are spoken, and nothing older.
        """
        for option, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            self.assertIn(f"New, {version}, Cipher is", openssl(self.port, option))
        for option in ("-tls1", "-tls1_1"):
            said = openssl(self.port, option, "-cipher", "ALL:@SECLEVEL=0")
            self.assertIn("alert protocol version", said)

    def test_ciphers(self) -> None:
        """
        With TLS 1.2, there are only ciphers with forward secrecy and authenticated encryption.
        """
        self.assertIn(
            "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256",
            openssl(self.port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        )
        for cipher in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256"):
            said = openssl(self.port, "-tls1_2", "-cipher", cipher)
            self.assertIn("alert handshake failure", said, cipher)

    def test_renegotiation(self) -> None:
        """
        A handshake is made once.
        """
        said = openssl(self.port, "-tls1_2", say="R\n")
        self.assertIn("RENEGOTIATING", said)
        self.assertIn("no renegotiation", said)

    def test_compression(self) -> None:
        """
        Nothing is compressed.
        """
        self.assertIn("Compression: NONE", openssl(self.port, "-tls1_2", "-comp"))

    def test_alpn(self) -> None:
        """
        The gateway prefers HTTP/2; a client that offers others only is refused, one that offers nothing is not.
        """
        for offered, agreed in (("http/1.1,h2", "h2"), ("http/1.1", "http/1.1"), ("other,http/1.1", "http/1.1")):
            self.assertIn(f"ALPN protocol: {agreed}\n", openssl(self.port, "-alpn", offered))
        self.assertIn("No ALPN negotiated", openssl(self.port))
        for option in ("-tls1_2", "-tls1_3"):
            said = openssl(self.port, option, "-alpn", "other,http/1.0")
            self.assertIn("alert no application protocol", said)

    def test_names(self) -> None:
        """
        The certificate is the one of the name that is asked for, else the first.
        """
        for option, subject in (
            (("-servername", "a.example"), "a.example"),
            (("-servername", "B.example"), "b.example"),
            (("-servername", "www.b.example"), "b.example"),
            (("-servername", "www.www.b.example"), "a.example"),
            (("-servername", "nobody.example"), "a.example"),
            (("-noservername",), "a.example"),
        ):
            for version in ("-tls1_2", "-tls1_3"):
                self.assertIn(f"subject=CN = {subject}\n", openssl(self.port, version, *option), option)

    def test_resumed(self) -> None:
        """
        A session that is taken up again is a connection like any other.
        """
        context = certificates().context()
        first = SecureClient(self.port, context)
        self.assertEqual(200, first.ask("/services/echo/x")[0])
        session = first.socket.session
        first.close()
        connected = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        with context.wrap_socket(connected, server_hostname="a.example", session=session) as again:
            self.assertTrue(again.session_reused)
            again.sendall(b"GET /health HTTP/1.1\r\nHost: a.example\r\n\r\n")
            self.assertTrue(again.recv(9999).startswith(b"HTTP/1.1 200 "))

    def test_misdirected(self) -> None:
        """
        A request for a host of another certificate is sent elsewhere; the connection goes on.
        """
        client = self.client()
        self.assertEqual(421, client.ask("/services/echo/x", host="b.example")[0])
        self.assertEqual(200, client.ask("/services/echo/x", host=f"a.example:{self.port}")[0])
        self.assertEqual(200, client.ask("/services/echo/x", host="nobody.example")[0])
        for option in ("--http1.1", "--http2"):
            reply = secure_curl(self.port, "/services/echo/x", option, "--header", "Host: www.b.example")
            self.assertEqual((421, "misdirected_request"), (reply.status, json.loads(reply.body)["reason"]))

    def test_no_tls(self) -> None:
        """
        Whoever speaks something else is let go of, and counted.
        """
        before = metric(self.pair.gateway, "siger_tls_handshake_failures_total")
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connected:
            connected.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            self.assertNotIn(b"HTTP", connected.recv(9999))
        after = metric(self.pair.gateway, "siger_tls_handshake_failures_total")
        self.assertEqual(before + 1, after)


class OwnCase(SynchronousTestCase):
    """
    Tests with a gateway of their own.
    """

    def setUp(self) -> None:
        self.certificates = Certificates()
        self.addCleanup(self.certificates.remove)
        self.backend: RecordingBackend = run_in_loop(RecordingBackend().start())
        self.addCleanup(lambda: run_in_loop(self.backend.stop()))

    def launch(self, section: dict[str, Any], **overrides: Any) -> GatewayProcess:
        """
        A gateway with this under C{tls}, not waited for.
        """
        self.port = port_of(section)
        gateway = GatewayProcess(echo_config(self.backend.port, tls=section, **overrides)).launch()
        self.addCleanup(gateway.kill)
        return gateway

    def start(self, section: dict[str, Any], **overrides: Any) -> GatewayProcess:
        """
        The same, ready.
        """
        gateway = self.launch(section, **overrides)
        gateway.wait_until(lambda: _is_ready(gateway), "ready", 30)
        return gateway

    def client(self) -> SecureClient:
        """
        A client that is connected.
        """
        client = SecureClient(self.port, self.certificates.context())
        self.addCleanup(client.close)
        return client


def _is_ready(gateway: GatewayProcess) -> bool:
    try:
        return gateway.status_of("/readyz") == 200
    except OSError:
        return False


class RenewalTests(OwnCase):
    """
    Certificates that change while connections are open.
    """

    def test_renewal(self) -> None:
        """
        Connections that begin later see the new one, those that are open go on; what is broken changes nothing.
        """
        files = self.certificates.make("a.example")
        gateway = self.start(self.certificates.section(files))
        client = self.client()
        self.assertEqual(200, client.ask("/services/echo/1")[0])
        ends = re.findall(r"not_after_seconds\{.*", gateway.get("/metrics").decode())

        self.certificates.make("a.example", ends=300)
        gateway.wait_until(lambda: self.client().serial != client.serial, "renewed")
        self.assertEqual(200, client.ask("/services/echo/2")[0])
        self.assertNotEqual(ends, re.findall(r"not_after_seconds\{.*", gateway.get("/metrics").decode()))
        self.assertIn(f"using {files.certificate}, good until ", gateway.output())

        serial = self.client().serial
        Path(files.key).write_bytes(b"broken")
        complaint = f"{files.key} holds no private key in PEM"
        gateway.wait_until(lambda: complaint in gateway.output(), "told of it")
        time.sleep(3)
        self.assertEqual(1, gateway.output().count(complaint))
        self.assertEqual(serial, self.client().serial)
        self.assertEqual(200, client.ask("/services/echo/3")[0])
        self.assertEqual(0, gateway.stop())


class LifeTests(OwnCase):
    """
    How it begins and ends.
    """

    def test_drain(self) -> None:
        """
        A request in progress is answered while the gateway ends; nobody else gets in.
        """

        async def wait(connection: Connection, request: Request) -> None:
            await self.backend.changed.until(lambda: self.released, 30)
            connection.write(answer(b"at last"))

        self.released = False
        self.backend.scripts[b"/waits"] = wait
        gateway = self.start(self.certificates.section(self.certificates.make("a.example")))
        client = self.client()
        client.socket.sendall(b"GET /services/echo/waits HTTP/1.1\r\nHost: a.example\r\n\r\n")
        gateway.wait_until(lambda: bool(self.backend.find(b"/waits")), "asked")
        gateway.signal(signal.SIGTERM)
        gateway.wait_until(lambda: not self.is_open(), "closed")
        self.released = True
        run_in_loop(self.release())
        self.assertEqual((200, b"at last"), client.answer())
        self.assertEqual(b"", client.socket.recv(1))
        client.close()
        self.assertEqual(0, gateway.wait())

    async def release(self) -> None:
        """
        Let the backend answer.
        """
        self.backend.changed.fire()

    def is_open(self) -> bool:
        """
        Whether connections are accepted.
        """
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def test_port_taken(self) -> None:
        """
        A port that is not to be had ends the start, with the reason.
        """
        section = self.certificates.section(self.certificates.make("a.example"))
        with socket.create_server(("127.0.0.1", port_of(section))):
            gateway = self.launch(section)
            self.assertNotEqual(0, gateway.wait())
        self.assertIn("Address already in use", gateway.output())

    def test_mistake(self) -> None:
        """
        So does a certificate that is none, with the place in the file.
        """
        files = self.certificates.make("a.example")
        Path(files.key).write_bytes(b"")
        gateway = self.launch(self.certificates.section(files))
        self.assertNotEqual(0, gateway.wait())
        self.assertRegex(
            gateway.output(), r"config\.yaml:[0-9]+: tls\.certificates\[0\]\.key: holds no private key in PEM"
        )

    def test_silent_clients(self) -> None:
        """
        Whoever connects and says nothing uses up what a client may have, and no more than that.
        """
        section = self.certificates.section(self.certificates.make("a.example"))
        gateway = self.start(section, limits={"connections_per_client": 5})
        silent = [socket.create_connection(("127.0.0.1", self.port), timeout=30) for _ in range(5)]
        gateway.wait_until(lambda: gateway.open_sockets() > 5, "connected")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.client()
        for each in silent:
            each.close()
        gateway.wait_until(self.gets_in, "let in")

    def gets_in(self) -> bool:
        """
        Whether a client is let in.
        """
        try:
            self.client()
        except (ssl.SSLError, ConnectionError):
            return False
        return True

    def test_newest_only(self) -> None:
        """
        The oldest version that is spoken can be the newest.
        """
        section = self.certificates.section(self.certificates.make("a.example"), min_version="1.3")
        self.start(section, http2=False)
        self.assertIn("alert protocol version", openssl(self.port, "-tls1_2"))
        said = openssl(self.port, "-tls1_3", "-alpn", "h2,http/1.1")
        self.assertIn("ALPN protocol: http/1.1\n", said)
