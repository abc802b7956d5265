"""
gRPC-Web from a real browser: a page of another origin calls grpcio servers with C{fetch}, over HTTP/1.1 and, where
there is TLS, over HTTP/2.
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import json
from functools import cache
from typing import Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.tls import CertificateFiles
from tests.integration import grpc_world
from tests.integration.browser import Browser, Page
from tests.integration.gateway_process import GatewayProcess
from tests.integration.grpc_plan import SERVICE, Plan, content
from tests.integration.grpc_web import BINARY, TEXT, WebAnswer, encode, split
from tests.integration.grpc_world import bearer, call_names, eventually
from tests.integration.tls_world import certificates
from tests.integration.web_site import WebSite

UNAUTHENTICATED = 16

#: What a page does: it asks, and keeps what comes, as a library of gRPC-Web would.
_BEGIN = """
(async () => {
    const body = Uint8Array.from(atob(%s), character => character.charCodeAt(0));
    window.controller = new AbortController();
    const signal = window.controller.signal;
    try {
        const response = await fetch(%s, {method: "POST", headers: %s, body: body, signal: signal});
        window.reader = response.body.getReader();
        return {status: response.status, fields: [...response.headers]};
    } catch (error) {
        return {failed: String(error)};
    }
})()
"""
_MORE = """
(async () => {
    const {done, value} = await window.reader.read();
    return done ? null : btoa(Array.from(value, byte => String.fromCharCode(byte)).join(""));
})()
"""


@frozen
class World:
    """
    A browser, a site that pages come from, and a gateway that lets them call.

    @ivar urls: of the gateway, without TLS and with it, with what the browser speaks there.
    """

    browser: Browser
    site: WebSite
    gateway: GatewayProcess
    urls: dict[str, str]

    def stop(self) -> None:
        """
        Stop all of them.
        """
        self.browser.stop()
        self.gateway.kill()
        self.site.stop()


@cache
def world() -> World:
    """
    The one of these tests.
    """
    pair = certificates().make("api.site.test")
    browser, site, others = (
        Browser(f"--ignore-certificate-errors-spki-list={_digest(pair)}"),
        WebSite(),
        grpc_world.world(),
    )
    tls = certificates().section(pair)
    config = {
        **grpc_world.config([server.port for server in others.servers], others.silent.port, others.mortal),
        "cors": {"origins": [f"http://app.site.test:{site.port}"]},
        "tls": tls,
    }
    gateway = GatewayProcess(config)
    port = tls["port"].rpartition(":")[2]
    urls = {"1.1": f"http://api.site.test:{gateway.port}", "2": f"https://api.site.test:{port}"}
    made = World(browser, site.start(), gateway, urls)
    atexit.register(made.stop)
    gateway.start()
    browser.start()
    return made


def _digest(pair: CertificateFiles) -> str:
    """
    What names the key of a certificate that the browser is to believe.
    """
    with open(pair.certificate, "rb") as file:
        key = x509.load_pem_x509_certificate(file.read()).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()


class WebCall:
    """
    A call that a page makes.

    @ivar failed: why the page got nothing, as far as it is told.
    """

    def __init__(self, page: Page, url: str, fields: dict[str, str], body: bytes) -> None:
        self._page = page
        sent = json.dumps(base64.b64encode(body).decode())
        got: dict[str, Any] = page.run(_BEGIN % (sent, json.dumps(url), json.dumps(fields)))
        self.failed: str = got.get("failed", "")
        self._status: int = got.get("status", 0)
        self._fields = [(name, value) for name, value in got.get("fields", ())]
        self.body = b""

    def more(self) -> bool:
        """
        Read what comes next.

        @return: whether there was any more.
        """
        piece: str | None = self._page.run(_MORE)
        self.body += base64.b64decode(piece or "")
        return piece is not None

    def leave(self) -> None:
        """
        Break it off.
        """
        self._page.run("window.controller.abort()")

    def finish(self) -> WebAnswer:
        """
        Read all that comes.
        """
        while self.more():
            pass
        return WebAnswer.read(self._status, self._fields, self.body)


class PageTests(SynchronousTestCase):
    """
    A page of an origin that may call.
    """

    def setUp(self) -> None:
        self.world = world()
        self.page = self.open("app.site.test")
        self.call = next(call_names)

    def open(self, host: str) -> Page:
        """
        A page from anywhere.
        """
        page = self.world.browser.open(f"http://{host}:{self.world.site.port}/page")
        self.addCleanup(page.close)
        return page

    def begin(self, version: str, request: bytes, method: str, kind: str = BINARY, token: str = "") -> WebCall:
        """
        Have the page call something, with all that its library says, and the name of the call.
        """
        path = method if method.startswith("/") else f"/{SERVICE}/{method}"
        fields = {
            "content-type": kind,
            "accept": kind,
            "x-grpc-web": "1",
            "x-user-agent": "grpc-web-javascript/0.1",
            "grpc-timeout": "9S",
            "idempotency-key": self.call,
        }
        fields |= {"authorization": token} if token else {}
        return WebCall(self.page, self.world.urls[version] + path, fields, encode(request, text=kind == TEXT))

    def test_unary(self) -> None:
        """
        Row J1: the page calls, in bytes and in base64, over either version of HTTP, and reads the answer with its
        status.
        """
        for version in self.world.urls:
            for kind in (BINARY, TEXT):
                answer = self.begin(version, b"hello", "Unary", kind).finish()
                self.assertEqual((answer.code, answer.messages, answer.rest), (0, [b"hello"], b""))
            number = answer.field("x-request-id")
            line = self.world.gateway.wait_for_access_line(lambda line, number=number: line["request_id"] == number)
            self.assertEqual(line["protocol"], f"HTTP/{version}")

    def test_streaming(self) -> None:
        """
        It reads a stream message by message, while the server waits with the next.
        """
        for version in self.world.urls:
            self.call = next(call_names)
            plan = Plan(sizes=(5, 40_000, 7), gated=True)
            call = self.begin(version, plan.encode(), "ServerStream")
            self.assertEqual(call.failed, "")
            for number in range(1, 4):
                while len(split(call.body)[0]) < number:
                    self.assertTrue(call.more())
                for server in grpc_world.world().servers:
                    server.let_go(self.call)
            answer = call.finish()
            self.assertEqual((answer.code, answer.messages), (0, [content(size) for size in (5, 40_000, 7)]))

    def test_leaving(self) -> None:
        """
        A call that the page breaks off is cancelled at the server.
        """
        for version in self.world.urls:
            self.call = next(call_names)
            plan = Plan(sizes=(5, 5), gated=True)
            call = self.begin(version, plan.encode(), "ServerStream")
            self.assertTrue(call.more())
            call.leave()
            self.assertTrue(eventually(lambda: grpc_world.world().seen(self.call)["ended"] == "cancelled"))

    def test_status(self) -> None:
        """
        It learns how a call failed: from the server, and from the gateway.
        """
        for version in self.world.urls:
            answer = self.begin(version, Plan(code=5, message="nothing ☺").encode(), "ServerStream").finish()
            self.assertEqual((answer.code, answer.details), (5, "nothing ☺"))
            answer = self.begin(version, b"", "/siger.interop.v1.Private/Unary").finish()
            self.assertEqual((answer.code, answer.messages), (UNAUTHENTICATED, []))
            self.assertIn("This needs a token", answer.details)
            answer = self.begin(version, b"x", "/siger.interop.v1.Private/Unary", token=bearer()[1]).finish()
            self.assertEqual((answer.code, answer.messages), (0, [b"x"]))

    def test_other_origin(self) -> None:
        """
        Row J1: a page of an origin that may not call does not: the browser asks first, and no server hears of it.
        """
        self.page = self.open("evil.test")
        for version in self.world.urls:
            call = self.begin(version, b"x", "Unary")
            self.assertEqual(call.failed, "TypeError: Failed to fetch")
        self.assertEqual([server.calls(self.call) for server in grpc_world.world().servers], [[], []])
