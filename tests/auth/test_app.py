"""
Tests for L{siger.auth.app}, whose requests come by the same way as in a gateway.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any

from attrs import frozen
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from siger.auth.app import REGISTRATIONS, ROUTES, AuthApp
from siger.auth.attempts import Attempts
from siger.auth.authenticator import Authenticator
from siger.auth.keys import KeyRing
from siger.auth.revocation import Revocations, valid_from
from siger.auth.tokens import Minter, Verifier
from siger.auth.users import User, Users
from siger.config.settings.admission import RateLimit
from siger.errors import Reason
from siger.http.bridge import LocalApplication, LocalSite
from siger.http.request_parser import RequestParser
from siger.http.stream import Exchange
from siger.observe.observer import Observer
from siger.policy.identity import Identity, IdentityCache
from siger.policy.ratelimit import Limiter
from tests.auth.accounts import CHEAP, cheap_hasher
from tests.auth.signing import SECRET
from tests.http.fakes import FakeStream
from tests.messaging.memory_bucket import MemoryBucket

ROLES = frozenset(("user", "admin", "operator"))
PASSWORD = "correct horse battery"
LIFETIME = 3600


@frozen
class Answer:
    """
    What came back.
    """

    status: int
    fields: Mapping[str, list[str]]
    document: dict[str, Any]
    body: bytes


class Store:
    """
    What gateways share.
    """

    def __init__(self) -> None:
        self.users = MemoryBucket("users")
        self.revoked = MemoryBucket("revoked_tokens")

    def available(self, available: bool) -> None:
        """
        Let it go away or come back.
        """
        self.users.available = self.revoked.available = available


class Gateway:
    """
    A gateway's accounts, and requests to them.

    @ivar exchange: that of the last request, while it was not answered.
    """

    def __init__(self, store: Store, registration: str = "open", limiter: Limiter | None = None) -> None:
        self.clock = Clock()
        self.observer = Observer()
        self.hasher, self.runner = cheap_hasher(CHEAP)
        self.users = Users(store.users, self.hasher, roles=ROLES)
        cache = IdentityCache()
        self.revocations = Revocations(store.revoked, cache)
        keys = KeyRing((), SECRET)
        self.minter = Minter(keys, LIFETIME)
        self.authenticate = Authenticator(Verifier(keys, (), ROLES), self.revocations.is_revoked, cache)
        self.attempts = Attempts(self.clock.seconds)
        app = AuthApp(self.users, self.minter, self.revocations, self.attempts, registration, limiter)
        root = Resource()
        root.putChild(b"auth", app.resource())
        self._local = LocalApplication(LocalSite(root, self.clock), self.observer, lambda path: path.decode())
        self.exchange: Exchange | None = None
        self.users.start()
        self.revocations.start()

    def begin(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        identity: Identity | None = None,
        client: bytes = b"192.0.2.7",
        content_type: str = "application/json",
    ) -> FakeStream:
        """
        Send a request.
        """
        parser = RequestParser()
        lines = [b"Host: gw.test", b"Content-Length: %d" % len(body)]
        lines += [b"Content-Type: " + content_type.encode()] if content_type else []
        head = parser.head(f"{method} {path} HTTP/1.1".encode(), parser.fields(b"\r\n".join(lines)))
        stream = FakeStream()
        self.exchange = self._local(head, stream, b"0192f3a4", client, identity)
        if body and self.exchange is not None:
            self.exchange.body_received(body)
            self.exchange.body_finished(b"")
        return stream

    def send(self, method: str, path: str, body: Any = None, identity: Identity | None = None, **more: Any) -> Answer:
        """
        A request's answer, which nobody may store.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return answer(self.begin(method, path, content, identity, **more))

    def who(self, token: str) -> Identity:
        """
        Whose token this is.
        """
        found = self.authenticate(b"Bearer " + token.encode())
        assert isinstance(found, Identity), found
        return found

    def refuses(self, token: str) -> bool:
        """
        Whether a token is not good here.
        """
        return self.authenticate(b"Bearer " + token.encode()) is Reason.INVALID_TOKEN


def answer(stream: FakeStream) -> Answer:
    """
    The whole answer on a stream.
    """
    assert stream.ended, stream.events
    assert stream.status is not None
    fields = stream.fields()
    assert fields["cache-control"] == ["no-store"], fields
    assert stream.length == len(stream.body)
    return Answer(stream.status, fields, json.loads(stream.body), stream.body)


class AppTestCase(SynchronousTestCase):
    """
    Two gateways with one store.
    """

    def setUp(self) -> None:
        """
        Have two gateways, and an account.
        """
        self.store = Store()
        self.gateway = self.make()
        self.other = self.make()
        self.ada = self.account("ada")

    def make(self, registration: str = "open", limiter: Limiter | None = None) -> Gateway:
        """
        A gateway with this store.
        """
        gateway = Gateway(self.store, registration, limiter)
        self.addCleanup(gateway.users.stop)
        self.addCleanup(gateway.revocations.stop)
        return gateway

    def account(self, name: str, role: str = "user") -> User:
        """
        A new account.
        """
        return self.successResultOf(self.gateway.users.register(name, PASSWORD, role))

    def identity(self, name: str = "ada", role: str = "user") -> Identity:
        """
        Somebody with a token: for an account that there is, or is made now.
        """
        user = self.gateway.users.find(name) or self.account(name, role)
        return self.gateway.who(self.gateway.minter.mint(user.id, user.username, user.role).token)

    def login(self, name: str = "ada", password: str = PASSWORD, **more: Any) -> Answer:
        """
        Log in.
        """
        return self.gateway.send("POST", "/auth/login", {"username": name, "password": password}, **more)

    def assert_problem(self, answer: Answer, reason: Reason) -> dict[str, Any]:
        """
        The answer is a problem document with this reason.
        """
        self.assertEqual((answer.status, answer.document["reason"]), (reason.status, reason.code), answer.document)
        self.assertEqual(answer.fields["content-type"], ["application/problem+json"])
        return answer.document

    def faults(self, answer: Answer) -> list[tuple[str, str]]:
        """
        What a problem document says is wrong with fields.
        """
        document = self.assert_problem(answer, Reason.INVALID_FIELDS)
        return [(error["pointer"], error["detail"]) for error in document["errors"]]


class LoginTests(AppTestCase):
    """
    Tests for C{POST /auth/login}.
    """

    def test_token(self) -> None:
        """
        Name and password are good for a token, with all that a client wants to know of it.
        """
        answer = self.login()
        self.assertEqual((answer.status, answer.fields["content-type"]), (200, ["application/json"]))
        token, expires_at = answer.document.pop("token"), answer.document.pop("expires_at")
        self.assertEqual(answer.document, {"user_id": self.ada.id, "username": "ada", "role": "user"})
        expires = datetime.fromisoformat(expires_at).timestamp()
        self.assertTrue(expires_at.endswith("Z"))
        self.assertApproximates(expires, time.time() + LIFETIME, 5)
        identity = self.other.who(token)
        self.assertEqual((identity.user_id, identity.name, identity.roles), (self.ada.id, "ada", ("user",)))
        self.assertEqual(identity.expires, expires)

    def test_other_spellings(self) -> None:
        """
        Row H14: a name may be spelled in any way that comes to the same; the account's own spelling is answered.
        """
        for name in ("ADA", "Ada", "\uff41da"):
            self.assertEqual(self.login(name).document["username"], "ada")

    def test_wrong_alike(self) -> None:
        """
        Rows H6 and H11: whatever is wrong with name, password or account, the answer is the same to the byte, and took
        one hash.
        """
        self.account("disabled")
        self.successResultOf(self.gateway.users.set_disabled("disabled", True))
        self.gateway.runner.calls.clear()
        seen = set()
        for name, password in (
            *(("ada", "wrong"), ("ada", ""), ("nobody", PASSWORD), ("disabled", PASSWORD), ("disabled", "wrong")),
            *(("", PASSWORD), ("n\u00f6body", PASSWORD), ("a" * 100_000, PASSWORD), ("../ada", PASSWORD)),
        ):
            answer = self.login(name, password, client=b"192.0.2.%d" % len(seen))
            self.assert_problem(answer, Reason.INVALID_CREDENTIALS)
            seen.add((answer.body, tuple((name, *values) for name, values in answer.fields.items() if name != "date")))
            self.assertEqual(self.gateway.runner.computed(), ["verify"], name[:9])
        self.assertEqual(len(seen), 1)

    def test_challenge(self) -> None:
        """
        Row H6: a refusal says what would be accepted.
        """
        self.assertEqual(self.login(password="wrong").fields["www-authenticate"], ['Bearer realm="siger"'])

    def test_password_too_long(self) -> None:
        """
        Row H10: a password of a megabyte is refused before anything is computed.
        """
        self.gateway.runner.calls.clear()
        self.assertEqual(
            self.faults(self.login(password="x" * 1_000_000)),
            [("#/password", "must not have more than 128 characters")],
        )
        self.assertEqual(self.gateway.runner.computed(), [])

    def test_bad_bodies(self) -> None:
        """
        Row F10: what is no object of two strings is refused, and computes nothing.
        """
        self.gateway.runner.calls.clear()
        for body in (b"", b"{", b"[" * 100_000, b'{"username": 1e999}', b'{"username": "a", "username": "b"}', b"null"):
            (fault,) = self.faults(self.gateway.send("POST", "/auth/login", body))
            self.assertEqual(fault[0], "#")
        self.assertEqual(
            self.faults(self.gateway.send("POST", "/auth/login", {"username": ["ada"]})),
            [("#/password", "is missing"), ("#/username", "must be a string")],
        )
        self.assertEqual(self.gateway.runner.computed(), [])

    def test_body_too_large(self) -> None:
        """
        Row F10: a body of more than a megabyte is refused.
        """
        stream = self.gateway.begin("POST", "/auth/login", b" " * (1024 * 1024 + 1))
        self.assert_problem(answer(stream), Reason.BODY_TOO_LARGE)

    def test_content_types(self) -> None:
        """
        JSON is JSON whatever C{curl -d} calls it; a form of several parts is not tried.
        """
        for content_type in ("", "application/x-www-form-urlencoded", "text/plain;charset=UTF-8"):
            self.assertEqual(self.login(content_type=content_type).status, 200)
        self.assert_problem(self.login(content_type="multipart/form-data; boundary=x"), Reason.UNSUPPORTED_MEDIA)

    def test_too_many_attempts(self) -> None:
        """
        Row H12: after several failures a client has to wait, even with the right password, and is told how long;
        others do not wait, and after that time it is heard again.
        """
        for _ in range(6):
            self.login(password="wrong")
        self.gateway.runner.calls.clear()
        refused = self.login()
        self.assert_problem(refused, Reason.TOO_MANY_ATTEMPTS)
        wait = int(refused.fields["retry-after"][0])
        self.assertGreaterEqual(wait, 1)
        self.assertEqual(self.gateway.runner.computed(), [])
        self.assertEqual(self.login(client=b"198.51.100.1").status, 200)
        self.gateway.clock.advance(wait)
        self.assertEqual(self.login().status, 200)

    def test_success_is_no_failure(self) -> None:
        """
        Who knows the password may log in as often as they like.
        """
        self.assertEqual({self.login().status for _ in range(50)}, {200})

    def test_success_forgives(self) -> None:
        """
        A success makes up for the failures before it.
        """
        for _ in range(5):
            self.assertEqual([self.login(password="wrong").status for _ in range(4)], [401] * 4)
            self.assertEqual(self.login().status, 200)

    def test_busy(self) -> None:
        """
        Row H12: when too many passwords wait already, the answer is to come back; that is no failed attempt, and none
        that is still waited for.
        """
        self.login(password="wrong")
        self.gateway.runner.full = True
        for _ in range(30):
            refused = self.login()
            self.assert_problem(refused, Reason.BUSY)
            self.assertEqual(refused.fields["retry-after"], ["1"])
        self.gateway.runner.full = False
        self.assertEqual(self.login().status, 200)

    def test_store_away(self) -> None:
        """
        While the store is away, accounts that are known can log in; before any is known, nobody can, and nobody is
        told that the password is wrong.
        """
        self.store.available(False)
        self.assertEqual(self.login().status, 200)
        refused = self.make().send("POST", "/auth/login", {"username": "ada", "password": PASSWORD})
        self.assert_problem(refused, Reason.STORE_UNAVAILABLE)
        self.assertIn("retry-after", refused.fields)

    def test_client_left(self) -> None:
        """
        A client that leaves before its answer has still made its attempt, and is no error.
        """
        for _ in range(5):
            self.gateway.runner.held = True
            stream = self.gateway.begin("POST", "/auth/login", b'{"username": "ada", "password": "wrong"}')
            assert self.gateway.exchange is not None
            self.gateway.exchange.client_gone()
            self.gateway.runner.held = False
            self.gateway.runner.release()
            self.assertEqual(stream.events, [])
        self.assert_problem(self.login(), Reason.TOO_MANY_ATTEMPTS)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_fault_of_ours(self) -> None:
        """
        An unexpected failure is ours, says nothing, and does not count against the client.
        """
        self.gateway.users.authenticate = lambda name, password: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        for _ in range(30):
            document = self.assert_problem(self.login(), Reason.INTERNAL_ERROR)
            self.assertNotIn("division", json.dumps(document))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 30)


class RegisterTests(AppTestCase):
    """
    Tests for C{POST /auth/register}.
    """

    def register(self, identity: Identity | None = None, gateway: Gateway | None = None, **fields: Any) -> Answer:
        """
        Ask for an account.
        """
        body = {"username": "grace", "password": PASSWORD, **fields}
        return (gateway or self.gateway).send("POST", "/auth/register", body, identity)

    def test_account(self) -> None:
        """
        An account is made, with the role of a user, and can log in.
        """
        for role in ({}, {"role": "user"}, {"role": ""}):
            name = f"grace{len(self.gateway.users)}"
            answer = self.register(username=name, **role)
            user_id = answer.document.pop("user_id")
            self.assertEqual((answer.status, answer.document), (201, {"message": "User registered successfully"}))
            login = self.login(name).document
            self.assertEqual((login["user_id"], login["role"]), (user_id, "user"))

    def test_on_another_gateway(self) -> None:
        """
        An account that one gateway made can log in on another at once, even if that has not heard of it.
        """
        self.store.users.held = True
        self.register()
        body = {"username": "grace", "password": PASSWORD}
        self.assertIsNone(self.other.users.find("grace"))
        self.assertEqual(self.other.send("POST", "/auth/login", body).status, 200)
        self.store.users.held = False

    def test_taken(self) -> None:
        """
        Row H14: a name that somebody has is not given again, however it is spelled.
        """
        for name in ("ada", "ADA", "\uff41da"):
            self.assert_problem(self.register(username=name), Reason.USERNAME_TAKEN)

    def test_all_faults_at_once(self) -> None:
        """
        Everything that is wrong is said at once.
        """
        faults = self.faults(self.register(self.identity("root", "admin"), username="a b", password="x", role="king"))
        self.assertEqual([pointer for pointer, _ in faults], ["#/username", "#/password", "#/role"])
        self.assertTrue(all(detail for _, detail in faults))

    def test_nothing_of_the_request_is_repeated(self) -> None:
        """
        A refusal does not repeat what it refuses.
        """
        self.assertNotIn(b"script", self.register(username="<script>", password="<script>" * 20).body)

    def test_other_roles(self) -> None:
        """
        Row H13: any role but C{user} is for administrators to give; asking for one makes no account.
        """
        for role in ("admin", "operator", "Admin", "superuser"):
            for identity in (None, self.identity()):
                self.assert_problem(self.register(identity, role=role), Reason.FORBIDDEN)
        self.assertIsNone(self.gateway.users.find("grace"))
        self.assertEqual(self.register(self.identity("root", "admin"), role="operator").status, 201)
        self.assertEqual(self.login("grace").document["role"], "operator")

    def test_other_members(self) -> None:
        """
        Row H13: an id, or a member by which others make administrators, is refused.
        """
        for member in ({"id": "1"}, {"is_admin": True}, {"user_id": "1"}, {"roles": ["admin"]}, {"disabled": False}):
            for identity in (None, self.identity("root", "admin")):
                self.faults(self.register(identity, **member))
        self.assertIsNone(self.gateway.users.find("grace"))

    def test_closed(self) -> None:
        """
        Row H13: where registration is closed nobody makes accounts over HTTP.
        """
        gateway = self.make("closed")
        for identity in (None, self.identity(), self.identity("root", "admin")):
            self.assert_problem(self.register(identity, gateway), Reason.REGISTRATION_CLOSED)

    def test_for_administrators(self) -> None:
        """
        Row H13: where registration is for administrators, others need to log in first, or are refused.
        """
        gateway = self.make("admin")
        self.assert_problem(self.register(None, gateway), Reason.UNAUTHENTICATED)
        self.assert_problem(self.register(self.identity(), gateway), Reason.FORBIDDEN)
        self.assertEqual(self.register(self.identity("root", "admin"), gateway).status, 201)

    def test_too_many(self) -> None:
        """
        Row H12: from one address come a limited number of accounts, whatever the client is told; an administrator's
        are not limited, nor are other addresses.
        """
        gateway = self.make(limiter=Limiter("register", RateLimit(Fraction(1, 10), burst=2), lambda: 0))
        for number in range(2):
            self.assertEqual(self.register(gateway=gateway, username=f"grace{number}").status, 201)
        gateway.runner.calls.clear()
        refused = self.register(gateway=gateway)
        self.assert_problem(refused, Reason.RATE_LIMITED)
        self.assertEqual(refused.fields["retry-after"], ["10"])
        self.assertIn("ratelimit", refused.fields)
        self.assertEqual(gateway.runner.computed(), [])
        self.assertEqual(self.register(self.identity("root", "admin"), gateway).status, 201)
        body = {"username": "edsger", "password": PASSWORD}
        self.assertEqual(gateway.send("POST", "/auth/register", body, client=b"2001:db8::1").status, 201)

    def test_limit(self) -> None:
        """
        Row H12: there is a limit without anybody asking for one.
        """
        answers = [self.register(username="ada").status for _ in range(REGISTRATIONS.burst + 5)]
        self.assertEqual(answers[: REGISTRATIONS.burst], [409] * REGISTRATIONS.burst)
        self.assertIn(429, answers)

    def test_busy(self) -> None:
        """
        Row H12: when too many passwords wait already, the answer is to come back.
        """
        self.gateway.runner.full = True
        self.assert_problem(self.register(), Reason.BUSY)

    def test_store_away(self) -> None:
        """
        While the store is away no account is made, and that is said.
        """
        self.store.available(False)
        self.assert_problem(self.register(), Reason.STORE_UNAVAILABLE)
        self.store.available(True)
        self.assertEqual(self.register().status, 201)


class TokenTests(AppTestCase):
    """
    Tests for what one does with a token.
    """

    def test_profile(self) -> None:
        """
        A user learns who they are.
        """
        answer = self.gateway.send("GET", "/auth/profile", identity=self.identity())
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.document, {"id": self.ada.id, "username": "ada", "role": "user"})

    def test_profile_without_account(self) -> None:
        """
        Of somebody who has no account here, or whose issuer is another, the token tells.
        """
        own = Identity("77", "robot", ("operator",), "t", 0, 9e9, {})
        answer = self.gateway.send("GET", "/auth/profile", identity=own)
        self.assertEqual(answer.document, {"id": "77", "username": "robot", "role": "operator"})
        other = Identity(self.ada.id, "Ad\u00e4", ("admin", "user"), "t", 0, 9e9, {}, "https://id.example")
        self.assertEqual(
            self.gateway.send("GET", "/auth/profile", identity=other).document,
            {"id": self.ada.id, "username": "Ad\u00e4", "role": "admin", "issuer": "https://id.example"},
        )

    def test_refresh(self) -> None:
        """
        A token is good for a new one, in the same form as at login. The old one stays good, so that a client whose
        answer was lost can ask again.
        """
        old = self.login().document
        identity = self.gateway.who(old["token"])
        for _ in range(2):
            answer = self.gateway.send("POST", "/auth/refresh", identity=identity)
            self.assertEqual((answer.status, answer.document.keys()), (200, old.keys()))
            self.assertNotEqual(answer.document["token"], old["token"])
            self.assertEqual(self.other.who(answer.document["token"]).user_id, self.ada.id)
            self.assertFalse(self.other.refuses(old["token"]))

    def test_refresh_has_the_role_of_now(self) -> None:
        """
        The new token has the role that the account has now, not that of the old token.
        """
        root = self.account("root", "admin")
        forged = Identity(root.id, "root", ("operator",), "t", time.time(), 9e9, {})
        self.assertEqual(self.gateway.send("POST", "/auth/refresh", identity=forged).document["role"], "admin")

    def test_refresh_refused(self) -> None:
        """
        Row H8: no new token for an account that is disabled, or whose tokens of that time are not good any more, even
        if nobody has heard of that yet.
        """
        identity = self.identity()
        self.successResultOf(self.gateway.users.set_password("ada", PASSWORD + "!"))
        self.assert_problem(self.gateway.send("POST", "/auth/refresh", identity=identity), Reason.INVALID_TOKEN)
        late = Identity(self.ada.id, "ada", ("user",), "t", time.time() + 60, 9e9, {})
        self.assertEqual(self.gateway.send("POST", "/auth/refresh", identity=late).status, 200)
        self.successResultOf(self.gateway.users.set_disabled("ada", True))
        late = Identity(self.ada.id, "ada", ("user",), "t", time.time() + 120, 9e9, {})
        self.assert_problem(self.gateway.send("POST", "/auth/refresh", identity=late), Reason.INVALID_TOKEN)

    def test_refresh_elsewhere(self) -> None:
        """
        Other issuers' tokens, and those of nobody who has an account, are not renewed here.
        """
        other = Identity(self.ada.id, "ada", ("user",), "t", time.time(), 9e9, {}, "https://id.example")
        robot = Identity("77", "robot", ("user",), "t", time.time(), 9e9, {})
        for identity, words in ((other, "another issuer"), (robot, "nobody who has an account")):
            answer = self.gateway.send("POST", "/auth/refresh", identity=identity)
            self.assertIn(words, self.assert_problem(answer, Reason.FORBIDDEN)["detail"])

    def test_refresh_with_the_store_away(self) -> None:
        """
        While the store is away tokens are renewed from what is known of accounts; where nothing is, that is said.
        """
        identity = self.identity()
        self.store.available(False)
        self.assertEqual(self.gateway.send("POST", "/auth/refresh", identity=identity).status, 200)
        answer = self.make().send("POST", "/auth/refresh", identity=identity)
        self.assert_problem(answer, Reason.STORE_UNAVAILABLE)

    def test_new_tokens_after_a_new_password(self) -> None:
        """
        A token that is issued right after a new password is good, though older ones are not.
        """
        old = self.login().document["token"]
        user = self.successResultOf(self.gateway.users.set_password("ada", PASSWORD + "!"))
        self.successResultOf(self.gateway.revocations.revoke_user(user.id, valid_from(user)))
        new = self.login(password=PASSWORD + "!").document["token"]
        for gateway in (self.gateway, self.other):
            self.assertTrue(gateway.refuses(old))
            self.assertFalse(gateway.refuses(new))

    def test_logout(self) -> None:
        """
        Row H8: after C{logout} the token is refused by every gateway; the user's others are good still.
        """
        token, another = (self.login().document["token"] for _ in range(2))
        answer = self.gateway.send("POST", "/auth/logout", identity=self.gateway.who(token))
        self.assertEqual((answer.status, answer.document), (200, {"message": "Logged out successfully"}))
        for gateway in (self.gateway, self.other):
            self.assertTrue(gateway.refuses(token))
            self.assertFalse(gateway.refuses(another))

    def test_logout_with_a_body(self) -> None:
        """
        What is sent along does not matter.
        """
        answer = self.gateway.send("POST", "/auth/logout", b"{nonsense", self.identity())
        self.assertEqual(answer.status, 200)

    def test_logout_with_the_store_away(self) -> None:
        """
        Row H8: a logout that other gateways cannot hear of is refused, and the token stays good.
        """
        token = self.login().document["token"]
        self.store.available(False)
        answer = self.gateway.send("POST", "/auth/logout", identity=self.gateway.who(token))
        self.assert_problem(answer, Reason.STORE_UNAVAILABLE)
        self.assertFalse(self.gateway.refuses(token))


class RouteTests(AppTestCase):
    """
    Tests for paths and methods.
    """

    def test_every_route_is_known(self) -> None:
        """
        The front door knows who may use each path that there is, and of no others.
        """
        rules = sorted("/auth" + rule.rule for rule in AuthApp.app.url_map.iter_rules())
        self.assertEqual(rules, sorted(ROUTES))

    def test_methods(self) -> None:
        """
        Each path has one method, and C{HEAD} where that is C{GET}.
        """
        for path in ROUTES:
            allowed = "GET, HEAD" if path == "/auth/profile" else "POST"
            for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - set(allowed.split(", ")):
                answer = self.gateway.send(method, path, identity=self.identity())
                self.assert_problem(answer, Reason.METHOD_NOT_ALLOWED)
                self.assertEqual(answer.fields["allow"], [allowed])

    def test_other_paths(self) -> None:
        """
        There is nothing else.
        """
        for path in ("/auth", "/auth/", "/auth/login/", "/auth/Login", "/auth/users", "/login"):
            stream = self.gateway.begin("POST", path, b"{}")
            self.assertEqual(stream.status, 404, path)
