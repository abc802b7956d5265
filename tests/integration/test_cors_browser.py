"""
What a real browser makes of the gateway's answers to pages of other origins.

The page's C{fetch} is what counts here: what it may read, and what never reaches it. Where a page is refused, it is the
browser that says so, and why.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.keys import KeyRing
from siger.auth.tokens import Minter
from siger.config.settings.gateway import Settings
from tests.integration.browser import Browser, Fetched, Page
from tests.integration.free_port import free_port
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.web_site import Hit, WebSite

NO_ORIGIN = "MissingAllowOriginHeader"
NO_ORIGIN_AT_PREFLIGHT = "PreflightMissingAllowOriginHeader"

_IN_SANDBOX = """
new Promise(resolve => {
    addEventListener("message", event => resolve(event.data), {once: true});
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.srcdoc = `<script>
        fetch(%s).then(
            async response => ({status: response.status, body: await response.text(), fields: [...response.headers]}),
            error => ({failed: String(error)}),
        ).then(result => parent.postMessage({origin: origin, ...result}, "*"));
    </script>`;
    document.body.append(frame);
})
"""


@frozen
class World:
    """
    A browser, two sites that pages come from, and a gateway with a backend.

    @ivar site: its pages are those of C{app.site.test}, which the gateway allows, and of any other name.
    @ivar sibling: its pages of C{app.site.test} are allowed, too.
    """

    browser: Browser
    gateway: GatewayProcess
    backend: WebSite
    site: WebSite
    sibling: WebSite

    def stop(self) -> None:
        """
        Stop all of them.
        """
        self.browser.stop()
        self.gateway.kill()
        for site in (self.backend, self.site, self.sibling):
            site.stop()


@cache
def world() -> World:
    """
    The one of these tests: each of its parts takes a moment to start.
    """
    browser = Browser()
    backend, site, sibling = (WebSite().start() for _ in range(3))
    origins = [f"http://app.site.test:{site.port}", f"http://app.site.test:{sibling.port}"]
    secure = f"https://secure.site.test:{site.port}"
    made = World(browser, GatewayProcess(config(backend.port, [*origins, secure])), backend, site, sibling)
    atexit.register(made.stop)
    made.gateway.start()
    made.browser.start()
    return made


def config(port: int, origins: list[str]) -> dict[str, Any]:
    """
    A gateway for pages of these origins, and services for each way a request can end.
    """
    instances = [f"127.0.0.1:{port}"]
    return echo_config(
        port,
        cors={"origins": origins, "methods": ["GET", "POST", "PUT", "OPTIONS"], "credentials": True},
        services={
            "private": {"instances": instances, "auth": "user"},
            "admins": {"instances": instances, "auth": ["admin"]},
            "small": {"instances": instances, "max_body": 10},
            "rare": {"instances": instances, "rate_limit": {"requests_per_second": 0.001, "burst": 1}},
            "down": {"instances": [f"127.0.0.1:{free_port()}"]},
            "public": {"instances": instances, "cors": {"origins": ["*"]}},
            "closed": {"instances": instances, "cors": "off"},
        },
    )


def token(role: str = "user") -> str:
    """
    A token that the gateway believes.
    """
    secret: str = echo_config()["jwt_secret"]
    return Minter(KeyRing.from_settings(Settings(jwt_secret=secret)), 600).mint("7", "somebody", role).token


class BrowserTestCase(SynchronousTestCase):
    """
    Has a page of the allowed origin.
    """

    def setUp(self) -> None:
        """
        A new page, and a backend that remembers nothing.
        """
        self.world = world()
        self.world.backend.forget()
        self.page = self.open("app.site.test")

    def open(self, host: str, site: WebSite | None = None) -> Page:
        """
        A page from anywhere.
        """
        page = self.world.browser.open(f"http://{host}:{(site or self.world.site).port}/page")
        self.addCleanup(page.close)
        return page

    def url(self, path: str) -> str:
        """
        Of something at the gateway, which has a name of its own.
        """
        return f"http://api.site.test:{self.world.gateway.port}{path}"

    def fetch(self, path: str, page: Page | None = None, **options: Any) -> Fetched:
        """
        Have the page fetch something of the gateway's.
        """
        return (page or self.page).fetch(self.url(path), options)

    @property
    def hits(self) -> list[Hit]:
        """
        What reached the backend.
        """
        return self.world.backend.hits

    def assert_problem(self, got: Fetched, status: int, kind: str) -> None:
        """
        The page could read a refusal: its status, its problem document and its request's number.
        """
        self.assertEqual((got.failed, got.cors_error), ("", ""))
        self.assertEqual((got.status, got.json["status"]), (status, status))
        self.assertIn(kind, got.body)
        self.assertRegex(got.fields["x-request-id"], r"^[\w-]{8,}$")

    def assert_kept_from(self, got: Fetched, why: str) -> None:
        """
        The browser kept the answer from the page, for this reason.
        """
        self.assertEqual((got.failed, got.cors_error), ("TypeError: Failed to fetch", why))


class AllowedTests(BrowserTestCase):
    """
    Pages of an origin that is configured.
    """

    def test_reads(self) -> None:
        """
        Row J1: a page of an allowed origin reads the body, the fields that pages always may, and those that are
        exposed; no others.
        """
        self.world.backend.fields = [("ETag", '"v1"'), ("X-Internal", "secret")]
        got = self.fetch("/services/echo/things?x=1")
        self.assertEqual((got.status, got.json["path"]), (200, "/things?x=1"))
        self.assertEqual(got.fields["content-type"], "application/json")
        self.assertEqual(got.fields["etag"], '"v1"')
        self.assertRegex(got.fields["x-request-id"], r"^[\w-]{8,}$")
        self.assertNotIn("x-internal", got.fields)

    def test_own_endpoints(self) -> None:
        """
        Row J1: so it does with what the gateway answers by itself.
        """
        got = self.fetch("/api/v1/status")
        self.assertEqual((got.status, got.json["status"]), (200, "operational"))

    def test_preflight(self) -> None:
        """
        Row J3: the browser asks before a PUT with a token, which it does without the token; the gateway answers that by
        itself, before it asks for one. The backend gets the PUT alone, whole.
        """
        headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
        got = self.fetch("/services/private/things/1", method="PUT", headers=headers, body='{"a": 1}')
        self.assertEqual((got.status, got.json["method"], got.json["body"]), (200, "PUT", '{"a": 1}'))
        self.assertEqual([hit.method for hit in self.hits], ["PUT"])
        asked = self.world.gateway.wait_for_access_line(
            lambda line: (line["method"], line["path"]) == ("OPTIONS", "/services/private/things/1")
        )
        self.assertEqual(asked["status"], 204)

    def test_other_options(self) -> None:
        """
        Row J3: an OPTIONS that a page makes itself is a request like others, and reaches the backend.
        """
        got = self.fetch("/services/echo/things", method="OPTIONS")
        self.assertEqual((got.status, got.json["method"]), (200, "OPTIONS"))
        self.assertEqual([hit.method for hit in self.hits], ["OPTIONS"])

    def test_method_not_allowed(self) -> None:
        """
        Row J3: a method that is not configured is refused when the browser asks, and never reaches the backend.
        """
        got = self.fetch("/services/echo/things/1", method="DELETE")
        self.assert_kept_from(got, NO_ORIGIN_AT_PREFLIGHT)
        self.assertEqual(self.hits, [])

    def test_field_not_allowed(self) -> None:
        """
        Row J3: nor does a request with a field that is not configured.
        """
        got = self.fetch("/services/echo/things/1", headers={"X-Debug": "1"})
        self.assert_kept_from(got, NO_ORIGIN_AT_PREFLIGHT)
        self.assertEqual(self.hits, [])

    def test_credentials(self) -> None:
        """
        Row J1: where credentials are configured, cookies come and go with the page's requests if it wants that.
        """
        self.world.backend.fields = [("Set-Cookie", "visit=41; Path=/services/echo")]
        self.fetch("/services/echo/first", credentials="include")
        self.assertEqual(self.fetch("/services/echo/second").json["cookie"], "")
        self.assertEqual(self.fetch("/services/echo/third", credentials="include").json["cookie"], "visit=41")

    def test_backends_own_rules(self) -> None:
        """
        Row J4: what a backend says about other origins does not join what the gateway says: browsers take two values
        for none, and an asterisk for no credentials.
        """
        self.world.backend.fields = [
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Credentials", "false"),
            ("Access-Control-Expose-Headers", "X-Internal"),
            ("X-Internal", "secret"),
        ]
        got = self.fetch("/services/echo/things", credentials="include")
        self.assertEqual((got.status, got.cors_error), (200, ""))
        self.assertNotIn("x-internal", got.fields)

    def test_caches(self) -> None:
        """
        Row J2: an answer that the browser kept for one origin is not used for another one, which could not read it.
        """
        self.world.backend.fields = [("Cache-Control", "max-age=600")]
        self.assertEqual(self.fetch("/services/echo/kept").status, 200)
        self.assertEqual((self.fetch("/services/echo/kept").status, len(self.hits)), (200, 1))  # it does keep it
        sibling = self.open("app.site.test", self.world.sibling)
        self.assertEqual((self.fetch("/services/echo/kept", sibling).status, len(self.hits)), (200, 2))


class RefusalTests(BrowserTestCase):
    """
    What a page of an allowed origin learns when its request is refused: what was wrong, rather than that something was.
    """

    def test_unauthenticated(self) -> None:
        """
        Row J3: it can read that a token is needed, for a request with a preflight, too.
        """
        self.assert_problem(self.fetch("/services/private/x"), 401, "unauthenticated")
        self.assert_problem(self.fetch("/services/private/x", method="PUT", body="{}"), 401, "unauthenticated")
        got = self.fetch("/services/private/x", headers={"Authorization": "Bearer nonsense"})
        self.assert_problem(got, 401, "invalid_token")
        self.assertEqual(self.hits, [])

    def test_forbidden(self) -> None:
        """
        That its role does not suffice.
        """
        got = self.fetch("/services/admins/x", headers={"Authorization": f"Bearer {token()}"})
        self.assert_problem(got, 403, "forbidden")

    def test_not_found(self) -> None:
        """
        That there is no such thing, in all its forms.
        """
        self.assert_problem(self.fetch("/services/nobody/x"), 404, "unknown_service")
        self.assert_problem(self.fetch("/nowhere"), 404, "no_route")

    def test_too_large(self) -> None:
        """
        That its body is too large.
        """
        got = self.fetch("/services/small/x", method="POST", body="x" * 100)
        self.assert_problem(got, 413, "body_too_large")

    def test_rate_limited(self) -> None:
        """
        That it comes too often, and when it may come again. A preflight counts for nothing.
        """
        first = self.fetch("/services/rare/x", method="PUT")
        self.assertEqual(first.status, 200)
        got = self.fetch("/services/rare/x", method="PUT")
        self.assert_problem(got, 429, "rate_limited")
        self.assertTrue(900 <= int(got.fields["retry-after"]) <= 1000)
        self.assertTrue(got.fields["ratelimit"])
        self.assertTrue(got.fields["ratelimit-policy"])

    def test_bad_gateway(self) -> None:
        """
        That the service is down.
        """
        self.assert_problem(self.fetch("/services/down/x"), 502, "upstream_refused")


class RefusedOriginTests(BrowserTestCase):
    """
    Pages of origins that are not configured.
    """

    def test_similar_names(self) -> None:
        """
        Row J1: origins are compared whole. With a longer name, a name above or below, another port or another scheme,
        none may read.
        """
        names = ["app.site.test.evil.test", "evilapp.site.test", "x.app.site.test", "site.test", "secure.site.test"]
        pages = [*map(self.open, names), self.open("app.site.test", self.world.backend)]
        for page in pages:
            self.assert_kept_from(self.fetch("/services/echo/x", page), NO_ORIGIN)
        sent = [hit.fields["origin"] for hit in self.hits]
        self.assertEqual(sent, [page.run("origin") for page in pages])

    def test_preflight(self) -> None:
        """
        Row J3: they are refused when the browser asks, so that a PUT, or a token, never comes.
        """
        page = self.open("evil.test")
        self.assert_kept_from(self.fetch("/services/echo/x", page, method="PUT"), NO_ORIGIN_AT_PREFLIGHT)
        headers = {"Authorization": f"Bearer {token()}"}
        self.assert_kept_from(self.fetch("/services/private/x", page, headers=headers), NO_ORIGIN_AT_PREFLIGHT)
        self.assertEqual(self.hits, [])

    def test_refusals(self) -> None:
        """
        Row J1: nor may they read why something was refused.
        """
        page = self.open("evil.test")
        for path in ("/services/private/x", "/services/nobody/x", "/services/down/x", "/api/v1/status"):
            self.assert_kept_from(self.fetch(path, page), NO_ORIGIN)

    def test_backends_asterisk(self) -> None:
        """
        Row J4: a backend that lets in everybody does not let in whom the gateway keeps out.
        """
        self.world.backend.fields = [("Access-Control-Allow-Origin", "*")]
        self.assert_kept_from(self.fetch("/services/echo/x", self.open("evil.test")), NO_ORIGIN)

    def test_sandbox(self) -> None:
        """
        Row J1: a frame that hides its origin, inside a page that is allowed, may not read: C{null} is nobody.
        """
        got = self.sandboxed("/services/echo/x")
        self.assertEqual(self.hits[0].fields["origin"], "null")
        self.assert_kept_from(got, NO_ORIGIN)

    def sandboxed(self, path: str) -> Fetched:
        """
        Have a script in a sandboxed frame of the page fetch something.
        """
        result: Mapping[str, Any] = self.page.run(_IN_SANDBOX % json.dumps(self.url(path)).replace("</", "<\\/"))
        self.assertEqual(result["origin"], "null")
        return self.page.fetched(result)


class OwnRulesTests(BrowserTestCase):
    """
    Services with rules of their own.
    """

    def test_public(self) -> None:
        """
        Row J1: where every origin is allowed, every page may read.
        """
        got = self.fetch("/services/public/x", self.open("evil.test"))
        self.assertEqual((got.status, got.cors_error), (200, ""))

    def test_public_with_credentials(self) -> None:
        """
        Row J1: but not as its visitor, not even from an origin that may elsewhere.
        """
        got = self.fetch("/services/public/x", credentials="include")
        self.assert_kept_from(got, "WildcardOriginNotAllowed")

    def test_closed(self) -> None:
        """
        Row J1: where other origins are switched off, no page may read, not even of an origin that may elsewhere.
        """
        self.assert_kept_from(self.fetch("/services/closed/x"), NO_ORIGIN)
