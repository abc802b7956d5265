"""
Keys that another issuer publishes, fetched over real connections: rotation, outages, and nonsense.

In the first tests the clock is moved by hand, as half a minute is a long time; in the last ones everything is real.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgent

from siger.auth.authenticator import Authenticator
from siger.auth.fetching import MAX_CONTENT, make_agent
from siger.auth.issuers import Issuer
from siger.auth.keys import KeyRing
from siger.auth.tokens import Verifier
from siger.config.settings.accounts import IssuerSettings
from siger.errors import Reason
from siger.policy.identity import Identity, IdentityCache
from tests.auth.signing import SECRET, jwk, private_key, sign
from tests.integration.gateway_process import GatewayProcess, echo_config
from tests.integration.key_site import KeySite
from tests.integration.web_site import WebSite

NAME = "https://id.example.com"
ROLES = frozenset(("user", "admin"))
PATIENCE = 10.0


def make_token(kid: str, **changes: Any) -> bytes:
    """
    A token that the issuer signed with the key of this name.
    """
    now = int(time.time())
    claims = {"iss": NAME, "sub": "1", "aud": "siger", "iat": now, "exp": now + 600, **changes}
    return sign("EdDSA", private_key("EdDSA", kid), claims, {"kid": kid})


def keys(*names: str) -> list[dict[str, Any]]:
    """
    The keys of these names as they are published.
    """
    return [jwk("EdDSA", private_key("EdDSA", name), kid=name) for name in names]


class SiteCase(TestCase):
    """
    What needs an issuer that is there.
    """

    timeout = 60

    def make_site(self, tls: bool = False) -> KeySite:
        """
        Let an issuer publish one key.
        """
        from twisted.internet import reactor

        site = KeySite(reactor, tls)
        site.publish(*keys("a"))
        site.start()
        self.addCleanup(site.stop)
        return site

    async def until(self, true: Callable[[], object], what: str) -> None:
        """
        Wait until this is so.
        """
        from twisted.internet import reactor

        deadline = time.monotonic() + PATIENCE
        while not true():
            self.assertLess(time.monotonic(), deadline, f"not {what} in time")
            await deferLater(reactor, 0.005)


class FollowingTests(SiteCase):
    """
    An authenticator follows an issuer.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.site = self.make_site()

    async def follow(self, agent: IAgent | None = None) -> None:
        """
        Make an authenticator that believes the issuer, and wait for its first fetch.
        """
        from twisted.internet import reactor

        settings = IssuerSettings(NAME, jwks_url=self.site.url, algorithms=("EdDSA",))
        issuer = Issuer(settings, ROLES, self.clock, agent or make_agent(reactor))
        assert issuer.published is not None
        self.published = issuer.published
        self.cache = IdentityCache()
        verifier = Verifier(KeyRing((), SECRET), (issuer,), ROLES)
        self.authenticator = Authenticator(verifier, lambda identity: False, self.cache)
        self.authenticator.start()
        self.addCleanup(self.authenticator.stop)
        await self.idle()

    async def idle(self) -> None:
        """
        Wait until no fetch is under way.
        """
        await self.until(lambda: "idle" in repr(self.published), "idle")

    async def pass_time(self, seconds: float) -> None:
        """
        Let time pass for the keys, and wait for the fetch that it brings.
        """
        self.clock.advance(seconds)
        await self.idle()

    async def asked(self, times: int = 1) -> None:
        """
        Wait until the issuer was asked so many times.
        """
        await self.until(lambda: len(self.site.paths) == times, "asked")

    async def closed(self, times: int = 1) -> None:
        """
        Wait until so many requests were given up.
        """
        await self.until(lambda: self.site.left == times, "closed")

    async def ask(self, kid: str) -> Identity | Reason:
        """
        What becomes of a token with this key.
        """
        result = self.authenticator(b"Bearer " + make_token(kid))
        return await result if isinstance(result, Deferred) else result

    async def believes(self, kid: str) -> None:
        """
        Assert that tokens with this key are believed.
        """
        found = await self.ask(kid)
        self.assertIsInstance(found, Identity, self.authenticator.failures)

    async def refuses(self, kid: str) -> None:
        """
        Assert that they are not.
        """
        self.assertIs(await self.ask(kid), Reason.INVALID_TOKEN)

    async def test_rotation(self) -> None:
        """
        M14, JWKS rotation: a new key is believed with the first token that has it; the old one until it is taken back.
        """
        await self.follow()
        await self.believes("a")
        await self.refuses("b")
        self.site.publish(*keys("a", "b"))
        await self.pass_time(31)
        await self.believes("b")
        await self.believes("a")
        self.assertEqual(len(self.site.paths), 2)
        self.site.publish(*keys("b"))
        await self.pass_time(601)
        await self.refuses("a")
        await self.believes("b")

    async def test_old_key_forgotten(self) -> None:
        """
        Row H9: an identity that is remembered ends with the key that it came from.
        """
        await self.follow()
        token = b"Bearer " + make_token("a")
        found = self.authenticator(token)
        assert isinstance(found, Identity)
        self.assertIs(self.authenticator(token), found)
        self.site.publish(*keys("b"))
        await self.pass_time(601)
        self.assertEqual((found.expires, len(self.cache)), (0.0, 0))

    async def test_waiting_together(self) -> None:
        """
        M14: many requests with a new key wait for one fetch, and all are believed.
        """
        await self.follow()
        self.site.publish(*keys("a", "b"))
        self.clock.advance(31)
        results = [self.authenticator(b"Bearer " + make_token("b", jti=str(number))) for number in range(200)]
        await self.idle()
        self.clock.advance(0)  # they go on in several turns
        for result in results:
            assert isinstance(result, Deferred)
            self.assertIsInstance(await result, Identity)
        self.assertEqual((len(self.site.paths), self.published.waiting), (2, 0))

    async def test_made_up_names(self) -> None:
        """
        Row H2: however many names are made up, the issuer is asked once in half a minute.
        """
        await self.follow()
        self.clock.advance(31)
        for number in range(300):
            found = self.authenticator(b"Bearer " + make_token("a", jti=str(number)))
            self.assertIsInstance(found, Identity)
            await self.refuses(f"made-up-{number % 7}")
        self.assertEqual(len(self.site.paths), 2)

    async def test_down(self) -> None:
        """
        M14: while the issuer is down, everything goes on with the keys that are known; then it is as if nothing had
        been.
        """
        await self.follow()
        await self.site.stop()
        for _ in range(5):
            await self.pass_time(601)
            await self.believes("a")
        self.assertGreaterEqual(self.published.failures, 4)
        self.site.publish(*keys("a", "b"))
        self.site.start()
        await self.pass_time(61)
        await self.believes("b")
        self.assertEqual(self.published.age, 0.0)

    async def test_down_for_too_long(self) -> None:
        """
        M14: after a day without the issuer, its keys are not believed any more, and who was let in is asked again.
        """
        await self.follow()
        token = b"Bearer " + make_token("a")
        found = self.authenticator(token)
        assert isinstance(found, Identity)
        await self.site.stop()
        await self.pass_time(86400)
        await self.pass_time(61)
        self.assertEqual(found.expires, 0.0)
        self.assertIs(await self.ask("a"), Reason.STORE_UNAVAILABLE)

    async def test_garbage(self) -> None:
        """
        Row H5: what is no set of keys, by its status, its form or its length, changes nothing.
        """
        await self.follow()
        good = self.site.content
        self.site.publish(*keys("b"))
        changed = self.site.content
        for code, content in (
            (200, b""),
            (200, b"<!doctype html><title>Sorry</title>"),
            (200, b"[" * 100_000),
            (200, b'{"keys": []}'),
            (200, json.dumps({"keys": [{"kty": "oct", "k": "AAAA", "kid": "b"}]}).encode()),
            (200, b" " * MAX_CONTENT + changed),
            (500, changed),
            (404, changed),
            (203, changed),
        ):
            self.site.code, self.site.content = code, content
            failures = self.published.failures
            await self.pass_time(601)
            self.assertEqual(self.published.failures, failures + 1, (code, content[:30]))
            await self.believes("a")
            self.site.code, self.site.content = 200, good
            await self.pass_time(61)

    async def test_redirect(self) -> None:
        """
        A redirect is not followed: not elsewhere, and not to the same place either.
        """
        self.site.code = 302
        self.site.fields[b"location"] = b"/elsewhere"
        await self.follow()
        self.assertEqual((self.site.paths, self.published.failures), ([b"/keys"], 1))

    async def test_slow(self) -> None:
        """
        A fetch that takes more than five seconds is given up, wherever it is, and its connection is closed.
        """
        for number, mode in enumerate(("hang", "stall"), 1):
            self.site.mode = mode
            following = Deferred.fromCoroutine(self.follow())
            await self.asked(number)
            self.clock.advance(5.1)
            await following
            self.assertEqual(self.published.failures, 1)
            await self.closed(number)
            self.authenticator.stop()

    async def test_endless(self) -> None:
        """
        A response without end is given up when it is too long.
        """
        self.site.mode = "flood"
        await self.follow()
        self.assertEqual(self.published.failures, 1)
        await self.closed()

    async def test_cut(self) -> None:
        """
        A response that ends early is none.
        """
        self.site.mode = "cut"
        await self.follow()
        self.assertEqual((self.published.failures, self.published.known), (1, 0))

    async def test_stopped_meanwhile(self) -> None:
        """
        Stopping in the middle of a fetch closes its connection.
        """
        self.site.mode = "hang"
        following = Deferred.fromCoroutine(self.follow())
        await self.asked()
        waiting = self.authenticator(b"Bearer " + make_token("a"))
        self.authenticator.stop()
        assert isinstance(waiting, Deferred)
        self.assertIs(await waiting, Reason.STORE_UNAVAILABLE)
        await self.closed()
        following.addErrback(lambda _: None)
        following.cancel()

    async def test_tls(self) -> None:
        """
        Keys are fetched over TLS from a server whose certificate is trusted, and from no other.
        """
        from twisted.internet import reactor

        self.site = self.make_site(tls=True)
        await self.follow()
        self.assertEqual((self.published.failures, self.published.known, self.site.paths), (1, 0, []))
        root = trustRootFromCertificates([Certificate.loadPEM(self.site.certificate)])
        await self.follow(Agent(reactor, BrowserLikePolicyForHTTPS(root)))
        await self.believes("a")


class QuietSite(WebSite):
    """
    A backend that says nothing when the gateway leaves.
    """

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class GatewayTests(SiteCase):
    """
    A whole gateway follows an issuer.
    """

    def setUp(self) -> None:
        self.site = self.make_site()
        self.backend = QuietSite().start()
        self.addCleanup(self.backend.stop)
        issuer = {"issuer": NAME, "jwks_url": self.site.url, "algorithms": ["EdDSA"]}
        self.gateway = GatewayProcess(echo_config(self.backend.port, echo={"auth": "user"}, issuers=[issuer]))
        self.addCleanup(deferToThread, self.gateway.stop)

    async def start(self) -> None:
        """
        Start the gateway.
        """
        await deferToThread(self.gateway.start)

    async def ask(self, token: bytes) -> int:
        """
        The status of a request with this token.
        """
        return await deferToThread(self._ask, token)

    def _ask(self, token: bytes) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{self.gateway.port}/services/echo/x")
        request.add_header("Authorization", f"Bearer {token.decode()}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    async def test_believed(self) -> None:
        """
        A request with an issuer's token reaches the backend, which is told whose user it is; one with a bad token does
        not; and the issuer may be gone after that.
        """
        await self.start()
        self.assertEqual(await self.ask(make_token("a")), 200)
        fields = self.backend.hits[0].fields
        self.assertEqual(
            [fields.get(f"x-user-{name}") for name in ("id", "name", "role", "issuer")], ["1", "1", "user", NAME]
        )
        self.assertEqual(await self.ask(make_token("b")), 401)
        self.assertEqual(await self.ask(make_token("a", aud="other")), 401)
        self.assertEqual(await self.ask(make_token("a", iss="https://id.example.org")), 401)
        await self.site.stop()
        self.assertEqual(await self.ask(make_token("a")), 200)
        self.assertEqual(len(self.backend.hits), 2)

    async def test_issuer_comes_later(self) -> None:
        """
        A gateway starts while its issuer is down, says that it cannot tell now, and picks it up when it comes.
        """
        await self.site.stop()
        await self.start()
        self.assertEqual(await self.ask(make_token("a")), 503)
        self.site.start()
        deadline = time.monotonic() + 20
        while await self.ask(make_token("a")) != 200:
            self.assertLess(time.monotonic(), deadline)
            await deferToThread(time.sleep, 0.2)
