"""
Tests for L{siger.auth.issuers}, with configured keys, and with a set of keys that is at hand.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.compact import InvalidTokenError, read_token
from siger.auth.issuers import Issuer, find_claim
from siger.config.settings.accounts import IssuerSettings, PublicKey
from siger.errors import ConfigError
from siger.policy.identity import Identity, IdentityCache
from tests.auth.key_server import KeyServer
from tests.auth.signing import NOW, jwk, pem, private_key, sign

NAME = "https://id.example.com"
URL = "https://id.example.com/keys"
ROLES = frozenset(("user", "admin", "trainer"))


def claims(**changes: Any) -> dict[str, Any]:
    """
    What an issuer says of a user, with changes; C{None} leaves a claim out.
    """
    made: dict[str, Any] = {
        "iss": NAME,
        "sub": "u-17",
        "aud": "siger",
        "iat": NOW - 10,
        "exp": NOW + 600,
        "jti": "a",
        "preferred_username": "alice",
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


class IssuerCase(SynchronousTestCase):
    """
    What is common to tests of issuers.
    """

    def make(self, **settings: Any) -> Issuer:
        """
        An issuer with one key of its own.
        """
        settings.setdefault("keys", (PublicKey("", "RS256", pem(private_key("RS256"))),))
        return Issuer(IssuerSettings(NAME, **settings), ROLES, Clock())

    def ask(self, issuer: Issuer, token: bytes) -> Any:
        """
        What an issuer makes of a token.
        """
        return issuer.verify(read_token(token), lambda: NOW)

    def accepts(self, issuer: Issuer, header: dict[str, Any] | None = None, **changes: Any) -> Identity:
        """
        Assert that a token with such claims is believed.
        """
        identity = self.ask(issuer, sign("RS256", private_key("RS256"), claims(**changes), header))
        assert isinstance(identity, Identity)
        return identity

    def refuses(self, cause: str, issuer: Issuer, header: dict[str, Any] | None = None, **changes: Any) -> None:
        """
        Assert that it is not.
        """
        self.refuses_token(cause, issuer, sign("RS256", private_key("RS256"), claims(**changes), header))

    def refuses_token(self, cause: str, issuer: Issuer, token: bytes) -> None:
        """
        Assert that this very token is not.
        """
        result = maybeDeferred(self.ask, issuer, token)
        self.assertEqual(self.failureResultOf(result, InvalidTokenError).value.cause, cause)


class ConfiguredTests(IssuerCase):
    """
    Keys come from the configuration.
    """

    def test_algorithms(self) -> None:
        """
        Row M14: tokens with RSA, ECDSA and Edwards signatures are believed, each under its key.
        """
        names = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
        issuer = self.make(keys=tuple(PublicKey(name, name, pem(private_key(name))) for name in names))
        for name in names:
            identity = self.ask(issuer, sign(name, private_key(name), claims(), {"kid": name}))
            self.assertEqual(identity.subject, "u-17")
            for other in names:
                if other != name:
                    token = sign(name, private_key(name), claims(), {"kid": other})
                    self.refuses_token("algorithm", issuer, token)
                    token = sign(name, private_key(name), claims(), {"kid": other, "alg": other})
                    self.refuses_token("signature", issuer, token)

    def test_unsigned(self) -> None:
        """
        Row H1: neither C{none} nor a secret of any kind signs for an issuer.
        """
        issuer = self.make()
        for name in ("none", "None", "nOnE", "HS256"):
            self.refuses("algorithm", issuer, {"alg": name})

    def test_names(self) -> None:
        """
        Row H2: a token that names a key needs that one; a token that names none needs the key without a name.
        """
        key = private_key("RS256")
        issuer = self.make(keys=(PublicKey("a", "RS256", pem(key)),))
        self.assertEqual(self.accepts(issuer, {"kid": "a"}).subject, "u-17")
        for kid in ("b", "", "../../dev/null", "' OR 1=1", "A"):
            self.refuses("key", issuer, {"kid": kid})
        self.refuses("key", issuer)
        self.refuses("key", self.make(), {"kid": "a"})

    def test_signature(self) -> None:
        """
        A token that somebody else signed is refused.
        """
        self.refuses_token("signature", self.make(), sign("RS256", private_key("RS256", "other"), claims()))

    def test_bad_keys(self) -> None:
        """
        Row H1: a key that does not fit its algorithm is a fault in the configuration, as is a weak one.
        """
        for algorithm, key in (
            ("RS256", "x"),
            ("RS256", pem(private_key("ES256"))),
            ("ES256", pem(private_key("ES384"))),
            ("HS256", pem(private_key("RS256"))),
            ("RS256", pem(private_key("RS256", bits=1024))),
        ):
            with self.assertRaises(ConfigError):
                self.make(keys=(PublicKey("", algorithm, key),))

    def test_bad_names(self) -> None:
        """
        An issuer's name has no space in it, or ids of its users could be mistaken for others'.
        """
        for name in ("", "a b", "a\n", "\u3000"):
            with self.assertRaises(ConfigError):
                Issuer(IssuerSettings(name), ROLES, Clock())


class ClaimTests(IssuerCase):
    """
    An issuer's claims are checked.
    """

    def test_required(self) -> None:
        """
        Row H3: C{exp}, C{iat}, C{aud} and C{sub} have to be there. Others need not.
        """
        issuer = self.make()
        for name, cause in (("exp", "claims"), ("iat", "claims"), ("aud", "audience"), ("sub", "claims")):
            self.refuses(cause, issuer, **{name: None})
        self.accepts(issuer, jti=None)

    def test_audience(self) -> None:
        """
        Row H3: the audience is as configured, and an id token, whose audience is some client, is refused.
        """
        issuer = self.make(audience="https://api.example.com")
        self.accepts(issuer, aud=["account", "https://api.example.com"])
        for audience in ("siger", "https://api.example.com/", "https://api", ["client"], []):
            self.refuses("audience", issuer, aud=audience)

    def test_times(self) -> None:
        """
        Row H3: times are honoured, and no token is good for longer than agreed.
        """
        issuer = self.make(max_lifetime=3600)
        self.accepts(issuer, exp=NOW - 10 + 3600)
        self.refuses("lifetime", issuer, exp=NOW - 10 + 3601)
        self.refuses("expired", issuer, iat=NOW - 100, exp=NOW - 30)
        self.refuses("not_yet_valid", issuer, nbf=NOW + 31)
        self.refuses("not_yet_valid", issuer, iat=NOW + 31, exp=NOW + 90)

    def test_types(self) -> None:
        """
        Row H7: without a configured type, an access token or a JWT of no particular kind is taken.
        """
        issuer = self.make()
        for text in (None, "JWT", "at+jwt", "application/at+JWT"):
            self.accepts(issuer, {"typ": text})
        for text in ("id_token+jwt", "logout+jwt", "dpop+jwt", "Refresh", "x"):
            self.refuses("type", issuer, {"typ": text})

    def test_own_type(self) -> None:
        """
        Row H7: with one, no other is taken.
        """
        issuer = self.make(token_type="application/Example+JWT")
        self.accepts(issuer, {"typ": "example+jwt"})
        for text in (None, "JWT", "at+jwt"):
            self.refuses("type", issuer, {"typ": text})

    def test_unfit_text(self) -> None:
        """
        Row A31: ids and names that no header field can carry are refused.
        """
        issuer = self.make()
        for text in ("a\r\nX-User-Role: admin", "\x00", "\ud800", "x" * 257, " ", "", 5, ["a"], {"a": "b"}):
            self.refuses("claims", issuer, sub=text)
            self.refuses("claims", issuer, preferred_username=text)


class IdentityTests(IssuerCase):
    """
    An issuer's users are somebody here.
    """

    def test_user(self) -> None:
        """
        Backends see the issuer's id for the user, and whose it is.
        """
        identity = self.accepts(self.make())
        self.assertEqual((identity.subject, identity.name, identity.issuer), ("u-17", "alice", NAME))
        self.assertIn(b"X-User-Id: u-17\r\n", identity.lines)
        self.assertIn(b"X-User-Issuer: https://id.example.com\r\n", identity.lines)

    def test_no_collision(self) -> None:
        """
        An issuer that calls its user by the id of our administrator does not make an administrator of it: everything
        that is found by user id tells the two apart.
        """
        identity = self.accepts(self.make(), sub="1", preferred_username="admin")
        self.assertEqual((identity.user_id, identity.subject), ("https://id.example.com 1", "1"))
        self.assertEqual(identity.roles, ("user",))

    def test_revoked_apart(self) -> None:
        """
        Row H8: revoking our user does not revoke the issuer's of the same id, nor the other way round.
        """
        cache = IdentityCache()
        theirs = self.accepts(self.make(), sub="1")
        ours = Identity("1", "admin", ("admin",), "a", NOW, 2**40, {})
        theirs.expires = 2**40
        cache.keep(b"theirs", theirs)
        cache.keep(b"ours", ours)
        cache.revoke_token("a")
        self.assertEqual((theirs.expires, ours.expires), (2**40, 0))
        cache.keep(b"ours", Identity("1", "admin", ("admin",), "b", NOW, 2**40, {}))
        cache.revoke_user("1", NOW + 1)
        self.assertEqual((theirs.expires, len(cache)), (2**40, 1))
        cache.revoke_user(theirs.user_id, NOW + 1)
        self.assertEqual(len(cache), 0)

    def test_other_claims(self) -> None:
        """
        Which claims have the id and the name can be configured.
        """
        issuer = self.make(user_claim="email", name_claim="profile.nick")
        identity = self.accepts(issuer, email="a@example.com", profile={"nick": "al"})
        self.assertEqual((identity.subject, identity.name), ("a@example.com", "al"))
        self.refuses("claims", issuer, profile={"nick": "al"})
        self.refuses("claims", issuer, email="a@example.com", sub=None)

    def test_no_name(self) -> None:
        """
        Without a name, the id serves.
        """
        self.assertEqual(self.accepts(self.make(), preferred_username=None).name, "u-17")

    def test_roles_as_they_are(self) -> None:
        """
        Row H3: roles that there are here are taken over, but that of administrators, which has to be given by name;
        others mean nothing, and leave the default.
        """
        issuer = self.make()
        for value, roles in (
            ("admin", ("user",)),
            (["trainer", "x", "admin", "trainer"], ("trainer",)),
            ("root", ("user",)),
            ([], ("user",)),
            (None, ("user",)),
            (5, ("user",)),
            ({"admin": True}, ("user",)),
            ([["admin"], None], ("user",)),
            ("Admin", ("user",)),
        ):
            self.assertEqual(self.accepts(issuer, role=value).roles, roles, value)

    def test_translated_roles(self) -> None:
        """
        Row H3: with translations, only what is translated means anything.
        """
        issuer = self.make(roles={"staff": "trainer", "root": "nobody"}, role_claim="realm_access.roles")
        for value, roles in (
            (["staff"], ("trainer",)),
            (["admin"], ("user",)),
            (["root"], ("user",)),
            (["trainer", "staff"], ("trainer",)),
        ):
            self.assertEqual(self.accepts(issuer, realm_access={"roles": value}).roles, roles, value)
        self.assertEqual(self.accepts(issuer, realm_access=["staff"]).roles, ("user",))

    def test_no_default(self) -> None:
        """
        Row H3: without a default role, a user without any is refused.
        """
        issuer = self.make(default_role="")
        self.refuses("role", issuer)
        self.refuses("role", issuer, role="root")
        self.assertEqual(self.accepts(issuer, role="user").roles, ("user",))

    def test_many_roles(self) -> None:
        """
        However many roles there are, a header field with them stays short.
        """
        many = frozenset(f"role{number}" for number in range(100))
        issuer = Issuer(IssuerSettings(NAME, keys=(PublicKey("", "RS256", pem(private_key("RS256"))),)), many, Clock())
        self.assertEqual(len(self.accepts(issuer, role=sorted(many)).roles), 32)

    def test_find_claim(self) -> None:
        """
        Dots lead into objects, unless there is a claim of just that name.
        """
        said = {"a": {"b": {"c": 1}}, "https://example.com/role": 2, "x.y": 3, "x": {"y": 4}}
        for path, value in (
            ("a.b.c", 1),
            ("https://example.com/role", 2),
            ("x.y", 3),
            ("a.b.c.d", None),
            ("a..b", None),
            ("", None),
            ("b", None),
        ):
            self.assertEqual(find_claim(said, path), value, path)


class PublishedTests(IssuerCase):
    """
    Keys come from a URL.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = KeyServer(self.clock)
        self.server.publish(jwk("RS256", private_key("RS256"), kid="a"))
        settings = IssuerSettings(NAME, jwks_url=URL)
        self.issuer = Issuer(settings, ROLES, self.clock, self.server.agent)
        self.changes: list[None] = []

    def start(self) -> None:
        """
        Start the issuer.
        """
        self.issuer.start(lambda: self.changes.append(None))
        self.addCleanup(self.issuer.stop)

    def test_published(self) -> None:
        """
        A token is believed under a published key, at once.
        """
        self.start()
        self.assertEqual(self.accepts(self.issuer, {"kid": "a"}).subject, "u-17")

    def test_only_key(self) -> None:
        """
        A token that names no key means the only one there is, and none when there are several.
        """
        self.start()
        self.accepts(self.issuer)
        self.server.publish(*(jwk("RS256", private_key("RS256", kid), kid=kid) for kid in "ab"))
        self.clock.advance(600)
        self.refuses("key", self.issuer)

    def test_new_key(self) -> None:
        """
        Row H2: a token with a key that is new waits until it is fetched, and is believed then.
        """
        self.start()
        self.clock.advance(31)
        self.server.publish(jwk("ES256", private_key("ES256"), kid="b"))
        self.server.hold = True
        result = self.ask(self.issuer, sign("ES256", private_key("ES256"), claims(), {"kid": "b"}))
        assert isinstance(result, Deferred)
        self.assertNoResult(result)
        self.server.release()
        self.assertEqual(self.successResultOf(result).subject, "u-17")

    def test_expires_meanwhile(self) -> None:
        """
        Row H3: a token that expires while its key is fetched is refused.
        """
        self.start()
        self.clock.advance(31)
        self.server.publish(jwk("ES256", private_key("ES256"), kid="b"))
        self.server.hold = True
        token = sign("ES256", private_key("ES256"), claims(iat=NOW - 60, exp=NOW - 5), {"kid": "b"})
        times = iter((NOW, NOW + 26))
        result = self.issuer.verify(read_token(token), lambda: next(times))
        assert isinstance(result, Deferred)
        self.server.release()
        self.assertEqual(self.failureResultOf(result, InvalidTokenError).value.cause, "expired")

    def test_unknown_key(self) -> None:
        """
        Row H2: a name that is still unknown then is refused; and at once, until it may be asked for again.
        """
        self.start()
        self.clock.advance(31)
        token = sign("RS256", private_key("RS256"), claims(), {"kid": "b"})
        result = self.ask(self.issuer, token)
        assert isinstance(result, Deferred)
        self.assertEqual(self.failureResultOf(result, InvalidTokenError).value.cause, "key")
        self.assertEqual(self.server.requests, 2)
        for _ in range(100):
            self.refuses_token("key", self.issuer, token)
        self.assertEqual(self.server.requests, 2)

    def test_hopeless(self) -> None:
        """
        A token that is no good anyway is no reason to ask for keys.
        """
        self.start()
        self.clock.advance(31)
        self.refuses("expired", self.issuer, {"kid": "b"}, iat=NOW - 100, exp=NOW - 50)
        self.refuses("audience", self.issuer, {"kid": "b"}, aud="other")
        self.refuses("type", self.issuer, {"kid": "b", "typ": "x"})
        self.refuses("algorithm", self.issuer, {"kid": "b", "alg": "HS256"})
        self.assertEqual(self.server.requests, 1)

    def test_not_started(self) -> None:
        """
        Nothing is fetched before it is started, nor after it was stopped.
        """
        self.refuses("keys_unavailable", self.issuer, {"kid": "a"})
        self.assertEqual(self.server.requests, 0)
        self.start()
        self.issuer.stop()
        self.clock.advance(100000)
        self.refuses("key", self.issuer, {"kid": "b"})
        self.assertEqual(self.server.requests, 1)

    def test_down_from_the_start(self) -> None:
        """
        While an issuer was never reached, its tokens cannot be judged, and that is what is said.
        """
        self.server.down = True
        self.start()
        self.refuses("keys_unavailable", self.issuer, {"kid": "a"})
        self.server.down = False
        self.clock.advance(2)
        self.accepts(self.issuer, {"kid": "a"})

    def test_key_gone(self) -> None:
        """
        Row H9: when a key is not published any more, whoever remembers identities is told, and its tokens are refused.
        """
        self.start()
        self.server.publish(jwk("ES256", private_key("ES256"), kid="b"))
        self.clock.advance(600)
        self.assertEqual(len(self.changes), 1)
        self.refuses("key", self.issuer, {"kid": "a"})

    def test_both(self) -> None:
        """
        Configured keys and published ones can be used together.
        """
        keys = (PublicKey("mine", "ES256", pem(private_key("ES256"))),)
        self.issuer = Issuer(IssuerSettings(NAME, keys=keys, jwks_url=URL), ROLES, self.clock, self.server.agent)
        self.start()
        self.accepts(self.issuer, {"kid": "a"})
        found = self.ask(self.issuer, sign("ES256", private_key("ES256"), claims(), {"kid": "mine"}))
        self.assertEqual(found.subject, "u-17")
