"""
Tests for who L{siger.frontdoor} lets in: limits, tokens, roles and other origins.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.admission import Cors, RateLimit
from siger.config.settings.gateway import Settings
from siger.config.settings.routes import RouteSettings
from siger.config.settings.services import ServiceSettings
from siger.errors import Reason
from siger.policy.identity import Identity
from tests.http.fakes import FakeStream
from tests.test_frontdoor import House

PAGE = b"https://console.example.com"
TOKEN = b"Authorization: Bearer good"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def ann(*roles: str, user_id: str = "7") -> Identity:
    """
    A user with these roles.
    """
    return Identity(user_id, "Ann", roles or ("user",), "t-1", time.time(), time.time() + 60, {"team": "blue"})


def limited(burst: int = 1, key: tuple[str, ...] = ("client_ip",), **more: Any) -> Settings:
    """
    A gateway with one limit, so slow that nothing comes back during a test.
    """
    return Settings(rate_limit=(RateLimit(RateLimit().requests_per_second / 100_000, burst, key, **more),))


def crossing(**changes: Any) -> Settings:
    """
    A gateway that lets one other origin in.
    """
    return Settings(rate_limit=(), cors=Cors(origins=(PAGE.decode(),), **changes))


class AdmissionTestCase(SynchronousTestCase):
    """
    What tests here assert.
    """

    def house(self, *routes: RouteSettings, identity: Identity | None = None, **settings: Any) -> House:
        """
        A front door that knows one good token.
        """
        house = House(*routes, **settings)
        house.known[b"Bearer good"] = identity or ann()
        return house

    def refused(self, house: House, stream: FakeStream, reason: Reason) -> None:
        """
        Answered here, reported once, and no instance heard of it.
        """
        self.assertEqual((stream.status, stream.reason, stream.ended), (reason.status, reason, True))
        self.assertEqual([house.world.records[-1].status, house.world.records[-1].reason], [reason.status, reason])
        self.assertIsNone(house.reached())

    def passed(self, house: House, stream: FakeStream) -> bytes:
        """
        What the instance received.
        """
        self.assertIsNone(stream.status)
        return house.world.instance.accept().received


class LimitTests(AdmissionTestCase):
    """
    Limits.
    """

    def test_over(self) -> None:
        """
        Row I4: over the limit the answer is 429, and says when to come back and which limit it was.
        """
        house = self.house(gateway=limited())
        self.passed(house, house.knock(b"/services/echo/x"))
        stream = house.knock(b"/services/echo/x")
        self.assertEqual((stream.status, stream.reason), (429, Reason.RATE_LIMITED))
        fields = stream.fields()
        self.assertEqual(fields["retry-after"], ["1000"])
        self.assertEqual(
            (fields["ratelimit-policy"], fields["ratelimit"]), (['"gateway";q=1;w=1000'], ['"gateway";r=0;t=1000'])
        )

    def test_spellings_share(self) -> None:
        """
        Row I5: other spellings of a path, other services and paths that lead nowhere share the bucket.
        """
        for target in (
            b"/services/echo/./x",
            b"/services/echo",
            b"/services/none/",
            b"/nowhere",
            b"/admin",
            b"/auth/profile",
        ):
            house = self.house(gateway=limited())
            house.knock(b"/services/echo/x")
            self.assertEqual(house.knock(target).status, 429, target)

    def test_answered_at_the_door(self) -> None:
        """
        Row I4: what the gateway answers without looking where it leads, a loop or a question about itself, is counted
        like everything else.
        """
        twice = b"Via: 1.1 siger, 1.1 siger"
        for target, line, method, status in (
            (b"/services/echo/x", twice, b"GET", 508),
            (b"*", b"X: y", b"OPTIONS", 204),
            (b"/services/echo/x", b"Max-Forwards: 0", b"OPTIONS", 204),
        ):
            house = self.house(gateway=limited())
            self.assertEqual([house.knock(target, line, method=method).status for _ in range(2)], [status, 429])

    def test_own_address(self) -> None:
        """
        Row I1: what a client says of its address changes nothing.
        """
        house = self.house(gateway=limited())
        house.knock(b"/services/echo/x", b"X-Forwarded-For: 1.1.1.1")
        self.assertEqual(house.knock(b"/services/echo/x", b"X-Forwarded-For: 2.2.2.2").status, 429)

    def test_health_is_exempt(self) -> None:
        """
        Probes are answered whatever the limit.
        """
        house = self.house(gateway=limited())
        for _ in range(5):
            self.assertEqual(house.knock(b"/health").status, 200)

    def test_own_limit_replaces(self) -> None:
        """
        A service with a limit of its own, or with none, is not counted against the gateway's.
        """
        for own in ((), limited(3).rate_limit):
            house = self.house(gateway=limited(), rate_limit=own)
            self.assertEqual([house.knock(b"/services/echo/x").status for _ in range(3)], [None] * 3)
            self.assertEqual(house.knock(b"/nowhere").status, 404)
            self.assertEqual(house.knock(b"/services/echo/x").status, 429 if own else None)

    def test_route_limit(self) -> None:
        """
        A route's limit goes before its service's.
        """
        house = self.house(RouteSettings("echo", path="/v1", rate_limit=limited(2).rate_limit), gateway=limited())
        self.assertEqual([house.knock(b"/v1/x").status for _ in range(3)], [None, None, 429])

    def test_before_tokens(self) -> None:
        """
        Row I4: a limit by address is met before a token is looked at.
        """
        house = self.house(gateway=limited(), auth="user")
        house.knock(b"/services/echo/x", TOKEN)
        self.assertEqual(house.knock(b"/services/echo/x", b"Authorization: Bearer other").status, 429)
        self.assertEqual(house.verified, [b"Bearer good"])

    def test_by_user(self) -> None:
        """
        Row I1: a limit by user counts users, wherever they are, and who is none by address.
        """
        house = self.house(gateway=limited(key=("user",)))
        house.known[b"Bearer ben"] = ann(user_id="8")
        asked = [TOKEN, TOKEN, b"Authorization: Bearer ben", b"Authorization: Bearer bad", b"X: y"]
        self.assertEqual(
            [house.knock(b"/services/echo/x", each).status for each in asked], [None, 429, None, None, 429]
        )

    def test_several(self) -> None:
        """
        Of several limits each has to be kept.
        """
        both = Settings(rate_limit=limited(3).rate_limit + limited(2, ("header:x-key",)).rate_limit)
        house = self.house(gateway=both)
        asked = [b"X-Key: a", b"X-Key: a", b"X-Key: a", b"X-Key: b"]
        self.assertEqual([house.knock(b"/services/echo/x", each).status for each in asked], [None, None, 429, 429])

    def test_shadow(self) -> None:
        """
        A limit in shadow counts, and refuses nobody.
        """
        house = self.house(gateway=limited(shadow=True))
        self.assertEqual([house.knock(b"/services/echo/x").status for _ in range(3)], [None] * 3)
        (limiter,) = house.book.limiters
        self.assertEqual((limiter.allowed, limiter.limited, limiter.shadowed), (1, 0, 2))


class TokenTests(AdmissionTestCase):
    """
    Tokens and roles.
    """

    def test_none(self) -> None:
        """
        Row H6: without a token the answer is 401 with a challenge that names no error.
        """
        house = self.house(auth="user")
        stream = house.knock(b"/services/echo/x")
        self.refused(house, stream, Reason.UNAUTHENTICATED)
        self.assertEqual(stream.fields()["www-authenticate"], ['Bearer realm="siger"'])

    def test_bad(self) -> None:
        """
        Row H6: a bad token is 401 C{invalid_token}.
        """
        house = self.house(auth="user")
        stream = house.knock(b"/services/echo/x", b"Authorization: Bearer bad")
        self.refused(house, stream, Reason.INVALID_TOKEN)
        self.assertIn('error="invalid_token"', stream.fields()["www-authenticate"][0])

    def test_good(self) -> None:
        """
        Row D4: with a good token the instance learns who it is from the gateway, whatever the client says, and the
        log too.
        """
        house = self.house(auth="user")
        received = self.passed(house, house.knock(b"/services/echo/x", TOKEN, b"X-User-Id: 1", b"X-User-Role: admin"))
        for line in (b"X-User-Id: 7\r\n", b"X-User-Name: Ann\r\n", b"X-User-Role: user\r\n"):
            self.assertEqual(received.count(line), 1)
        self.assertEqual(received.lower().count(b"x-user-"), 3)
        self.assertNotIn(b"Bearer", received)

    def test_anonymous(self) -> None:
        """
        Row D4: where nobody asks for a token, an instance is told of no user.
        """
        house = self.house()
        received = self.passed(house, house.knock(b"/services/echo/x", TOKEN, b"X-User-Id: 1"))
        self.assertNotIn(b"x-user-", received.lower())
        self.assertEqual(house.verified, [])

    def test_authorization(self) -> None:
        """
        Row D10: a token that the gateway asked for stays here, unless its service or route is to have it.
        """
        for auth, forward, route, sent in (
            ("public", None, None, True),
            ("public", False, None, False),
            ("user", None, None, False),
            ("user", True, None, True),
            ("user", True, False, False),
            ("public", None, False, False),
        ):
            ways = [] if route is None else [RouteSettings("echo", path="/v1", forward_authorization=route)]
            house = self.house(*ways, auth=auth, forward_authorization=forward)
            received = self.passed(house, house.knock(b"/v1/x" if ways else b"/services/echo/x", TOKEN))
            self.assertEqual(TOKEN in received, sent, (auth, forward, route))

    def test_roles(self) -> None:
        """
        Of the roles of a place one is needed; an administrator has them all. Who has none gets 403.
        """
        for roles, status in ((("user",), 403), (("research",), None), (("admin",), None), (("a", "research"), None)):
            house = self.house(identity=ann(*roles), auth=("research", "ops"))
            stream = house.knock(b"/services/echo/x", TOKEN)
            self.assertEqual(stream.status, status, roles)
            if status == 403:
                self.refused(house, stream, Reason.FORBIDDEN)
                self.assertIn('error="insufficient_scope"', stream.fields()["www-authenticate"][0])
                self.assertEqual(house.world.records[-1].user, b"7")

    def test_route(self) -> None:
        """
        A route can ask for more than its service, or for less.
        """
        strict = self.house(RouteSettings("echo", path="/v1", auth=("admin",)))
        self.assertEqual(strict.knock(b"/v1/x", TOKEN).status, 403)
        open_ = self.house(RouteSettings("echo", path="/v1", auth="public"), auth="user")
        self.passed(open_, open_.knock(b"/v1/x"))

    def test_own_endpoints(self) -> None:
        """
        The gateway's own endpoints are told whose request it is, and those for administrators are for nobody else.
        """
        house = self.house()
        self.assertEqual(house.knock(b"/auth/profile").status, 401)
        self.assertEqual(house.knock(b"/auth/profile", TOKEN).status, 200)
        self.assertEqual(house.knock(b"/admin", TOKEN).status, 403)
        house.known[b"Bearer good"] = boss = ann("admin")
        self.assertEqual(house.knock(b"/admin", TOKEN).status, 200)
        self.assertIs(house.local.identities[-1], boss)

    def test_optional(self) -> None:
        """
        Where a token may be shown, none is fine and a bad one is not.
        """
        house = self.house()
        shown = [[], [TOKEN], [b"Authorization: Bearer bad"]]
        self.assertEqual([house.knock(b"/auth/register", *lines).status for lines in shown], [200, 200, 401])

    def test_near_misses(self) -> None:
        """
        Row E1: no other spelling of an endpoint's path reaches it past its rules.
        """
        house = self.house()
        for target in (
            b"/admin/",
            b"//admin",
            b"/./admin",
            b"/%61dmin",
            b"/x/../admin",
            b"/admin%2f",
            b"/ADMIN",
            b"/admin;x",
        ):
            self.assertIn(house.knock(target).status, (400, 401, 404), target)
        self.assertEqual(house.local.asked, [])

    def test_repeated(self) -> None:
        """
        Row H9: a section that repeats on its connection is not looked up again, until its token has ended.
        """
        house = self.house(auth="user", identity=(identity := ann()))
        house.knock(b"/services/echo/x", TOKEN)
        fields = house.fields
        head = house.head
        for _ in range(2):
            house.door(head, FakeStream())
        self.assertEqual(house.verified, [b"Bearer good"])
        identity.expires = 0.0
        house.known[b"Bearer good"] = Reason.INVALID_TOKEN
        stream = FakeStream()
        house.door(head, stream)
        self.assertEqual((stream.status, fields.bearer is identity), (401, True))

    def test_log(self) -> None:
        """
        The log says whose request it was.
        """
        house = self.house(auth="user")
        house.knock(b"/services/echo/x", TOKEN)
        house.world.instance.accept().say(OK)
        self.assertEqual([record.user for record in house.world.records], [b"7"])


class WaitingTests(AdmissionTestCase):
    """
    Tokens that have to be asked about elsewhere.
    """

    def waiting(self, *lines: bytes, method: bytes = b"GET") -> tuple[House, FakeStream, Deferred[Any]]:
        """
        A request whose token nobody knows yet.
        """
        pending: Deferred[Any] = Deferred()
        house = self.house(auth="user")
        house.known[b"Bearer good"] = pending
        stream = house.knock(b"/services/echo/x", TOKEN, *lines, method=method)
        self.assertIsNone(stream.status)
        self.assertEqual(house.world.instance.attempts, 0)
        return house, stream, pending

    def test_good(self) -> None:
        """
        The request goes on when the answer comes.
        """
        house, stream, pending = self.waiting()
        pending.callback(ann())
        self.assertIn(b"X-User-Id: 7", self.passed(house, stream))

    def test_bad(self) -> None:
        """
        Or is refused.
        """
        house, stream, pending = self.waiting()
        pending.callback(Reason.INVALID_TOKEN)
        self.refused(house, stream, Reason.INVALID_TOKEN)

    def test_failed(self) -> None:
        """
        Should finding out fail, nobody is let in.
        """
        house, stream, pending = self.waiting()
        pending.errback(ValueError("a bug"))
        self.refused(house, stream, Reason.INTERNAL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_broken(self) -> None:
        """
        Should going on fail, the client is not left waiting for ever.
        """

        def broken(*arguments: object) -> Any:
            raise ValueError("a bug")

        house, stream, pending = self.waiting()
        house.world.context.make_pool = broken
        pending.callback(ann())
        self.assertEqual((stream.status, stream.aborted), (None, True))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(house.world.records), 1)

    def test_body(self) -> None:
        """
        The body is not asked for meanwhile; what came of it reaches the instance, once.
        """
        house, stream, pending = self.waiting(b"Content-Length: 6", method=b"POST")
        self.assertTrue(stream.body_paused)
        assert house.exchange is not None
        house.exchange.body_received(b"abc")
        pending.callback(ann())
        house.exchange.body_received(b"def")
        house.exchange.body_finished(b"")
        self.assertTrue(self.passed(house, stream).endswith(b"\r\n\r\nabcdef"))

    def test_body_complete(self) -> None:
        """
        A body that was complete by then is complete for the instance too.
        """
        house, stream, pending = self.waiting(b"Transfer-Encoding: chunked", method=b"POST")
        assert house.exchange is not None
        house.exchange.body_received(b"abc")
        house.exchange.body_finished(b"X-Sum: 1\r\n")
        pending.callback(ann())
        self.assertTrue(self.passed(house, stream).endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"))

    def test_body_fails(self) -> None:
        """
        A body that turns out to be malformed meanwhile is refused as such, and nothing begins.
        """
        house, stream, pending = self.waiting(b"Transfer-Encoding: chunked", method=b"POST")
        assert house.exchange is not None
        house.exchange.body_failed(Reason.INVALID_FRAMING)
        self.refused(house, stream, Reason.INVALID_FRAMING)
        pending.callback(ann())
        self.assertEqual((house.world.instance.attempts, len(house.world.records)), (0, 1))

    def test_gone(self) -> None:
        """
        Nothing begins for a client that left, and it is reported once.
        """
        house, _, pending = self.waiting()
        assert house.exchange is not None
        house.exchange.client_gone()
        pending.callback(ann())
        self.assertEqual(house.world.instance.attempts, 0)
        self.assertEqual([record.reason for record in house.world.records], [Reason.CLIENT_GONE])


class OriginTests(AdmissionTestCase):
    """
    Pages of other origins.
    """

    ASK = (b"Origin: " + PAGE, b"Access-Control-Request-Method: PUT")

    def test_preflight(self) -> None:
        """
        Row J3: a preflight request is answered here, before anybody asks for a token.
        """
        house = self.house(gateway=crossing(credentials=True), auth="user")
        stream = house.knock(b"/services/echo/x", *self.ASK, method=b"OPTIONS")
        fields = stream.fields()
        self.assertEqual((stream.status, stream.body, stream.ended), (204, b"", True))
        self.assertEqual(fields["access-control-allow-origin"], [PAGE.decode()])
        self.assertEqual(fields["access-control-allow-credentials"], ["true"])
        self.assertIn("PUT", fields["access-control-allow-methods"][0])
        self.assertEqual([record.status for record in house.world.records], [204])
        self.assertIsNone(house.reached())

    def test_preflight_of_a_stranger(self) -> None:
        """
        Row J3: one for an origin that is not let in says so by saying nothing.
        """
        house = self.house(gateway=crossing())
        stream = house.knock(b"/services/echo/x", b"Origin: https://evil.test", self.ASK[1], method=b"OPTIONS")
        self.assertEqual((stream.status, [name for name in stream.fields() if name.startswith("access-")]), (204, []))

    def test_other_options(self) -> None:
        """
        Row J3: OPTIONS that asks nothing of the kind is the instance's to answer, as is all of it without rules.
        """
        house = self.house(gateway=crossing())
        self.passed(house, house.knock(b"/services/echo/x", self.ASK[0], method=b"OPTIONS"))
        house = self.house()
        self.assertIn(self.ASK[1], self.passed(house, house.knock(b"/services/echo/x", *self.ASK, method=b"OPTIONS")))

    def test_preflight_finds_the_route(self) -> None:
        """
        A preflight request is answered by the rules of the route that its request will take.
        """
        rules = Cors(origins=(PAGE.decode(),), methods=("PUT",))
        house = self.house(RouteSettings("echo", path="/v1", methods=("PUT",), cors=rules))
        stream = house.knock(b"/v1/x", *self.ASK, method=b"OPTIONS")
        self.assertEqual((stream.status, stream.fields()["access-control-allow-methods"]), (204, ["PUT"]))

    def test_not_limited(self) -> None:
        """
        Preflight requests are not counted: a page could not tell one that is refused from a broken gateway.
        """
        gateway = Settings(rate_limit=limited().rate_limit, cors=crossing().cors)
        house = self.house(gateway=gateway)
        for _ in range(3):
            self.assertEqual(house.knock(b"/services/echo/x", *self.ASK, method=b"OPTIONS").status, 204)

    def test_every_response(self) -> None:
        """
        Row J2: whatever is answered, by whomever, names the origin and varies by it.
        """
        gateway = Settings(rate_limit=limited(4).rate_limit, cors=crossing().cors)
        house = self.house(gateway=gateway, auth="user")
        asked = [b"/services/echo/x", b"/services/none/x", b"/nowhere", b"/auth/profile", b"/nowhere"]
        for target, status in zip(asked, (401, 404, 404, 401, 429), strict=True):
            stream = house.knock(target, self.ASK[0])
            self.assertEqual(stream.status, status)
            self.assertIn(b"Access-Control-Allow-Origin: " + PAGE, stream.added, target)
            self.assertIn(b"Vary: Origin\r\n", stream.added, target)

    def test_loop(self) -> None:
        """
        Row J2: so is what has been here before.
        """
        stream = self.house(gateway=crossing()).knock(b"/services/echo/x", self.ASK[0], b"Via: 1.1 siger, 1.1 siger")
        self.assertEqual(stream.status, 508)
        self.assertIn(b"Access-Control-Allow-Origin: " + PAGE, stream.added)

    def test_refused_on_the_way(self) -> None:
        """
        Row J2: where a route or a service has rules of its own, they hold for what is refused there as well: a method
        that it does not take, a path that is ambiguous, a service that is away.
        """
        rules = Cors(origins=(PAGE.decode(),))
        routes = (
            RouteSettings("echo", path="/v1", methods=("PUT",), cors=rules),
            RouteSettings("other", path="/v2", cors=rules),
        )
        for target, status in ((b"/v1/x", 405), (b"/v2/x", 503), (b"/services/echo/a%2Fb", 400)):
            stream = self.house(*routes, cors=rules).knock(target, self.ASK[0])
            self.assertEqual(stream.status, status)
            self.assertIn(b"Access-Control-Allow-Origin: " + PAGE, stream.added, target)

    def test_service_away(self) -> None:
        """
        Row J2: a service that is configured keeps its rules while nobody publishes it.
        """
        away = ServiceSettings(name="away", cors=Cors(origins=(PAGE.decode(),)))
        house = self.house(gateway=Settings(rate_limit=(), services={"away": away}))
        stream = house.knock(b"/services/away/x", self.ASK[0])
        self.refused(house, stream, Reason.UNKNOWN_SERVICE)
        self.assertIn(b"Access-Control-Allow-Origin: " + PAGE, stream.added)
        self.assertEqual(house.knock(b"/services/none/x", self.ASK[0]).added, b"")

    def test_no_origin(self) -> None:
        """
        Row J2: what depends on the origin says so even to those who have none.
        """
        house = self.house(gateway=crossing())
        stream = house.knock(b"/nowhere")
        self.assertEqual(stream.added, b"Vary: Origin\r\n")

    def test_instance_has_no_say(self) -> None:
        """
        Row J4: what an instance says of other origins is taken off, where the gateway has rules; else it stays.
        """
        answer = OK.replace(
            b"\r\n\r\n", b"\r\naccess-control-allow-ORIGIN: *\r\nAccess-Control-Max-Age: 9\r\nX-A: b\r\n\r\n"
        )
        for gateway, left in ((crossing(), []), (Settings(rate_limit=()), ["*"])):
            house = self.house(gateway=gateway)
            stream = house.knock(b"/services/echo/x", self.ASK[0])
            house.world.instance.accept().say(answer)
            self.assertEqual(stream.fields().get("access-control-allow-origin", []), left)
            self.assertEqual(stream.fields()["x-a"], ["b"])
            self.assertEqual(bool(stream.added), not left)
