"""
Tests for L{siger.auth.tokens}: our own tokens, and the choice of who verifies.
"""

from __future__ import annotations

import hmac
import json
from typing import Any

import jwt
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.compact import CompactToken
from siger.auth.issuers import Issuer
from siger.auth.keys import KeyRing
from siger.auth.tokens import InvalidTokenError, Minter, Verifier
from siger.config.settings.accounts import IssuerSettings, JwtKey, PublicKey
from siger.errors import ConfigError
from siger.policy.identity import Identity
from tests.auth.signing import NOW, SECRET, compact, own_claims, pem, private_key, segment, sign

ROLES = frozenset(("user", "admin"))
OTHER = "https://id.example.com"


def make_verifier(keys: tuple[JwtKey, ...] = (), issuers: tuple[Issuer, ...] = ()) -> Verifier:
    """
    A verifier whose clock stands still.
    """
    return Verifier(KeyRing(keys, SECRET), issuers, ROLES, lambda: NOW)


class VerifierCase(SynchronousTestCase):
    """
    What is common to tests of verification.
    """

    def setUp(self) -> None:
        self.verifier = make_verifier()

    def accepts(self, token: bytes) -> Identity:
        """
        Assert that a token is believed at once.
        """
        identity = self.verifier.verify(token)
        assert isinstance(identity, Identity)
        return identity

    def refuses(self, cause: str, token: bytes) -> None:
        """
        Assert that a token is refused for this cause.
        """
        with self.assertRaises(InvalidTokenError, msg=repr(token)) as caught:
            self.verifier.verify(token)
        self.assertEqual(caught.exception.cause, cause, repr(token))

    def own(self, header: dict[str, Any] | None = None, **changes: Any) -> bytes:
        """
        A token of our own, with changes.
        """
        return sign("HS256", SECRET.encode(), own_claims(**changes), header)


class LifetimeTests(VerifierCase):
    """
    How long a token may be good for.
    """

    def test_too_long(self) -> None:
        """
        Row H8: one that is good for longer than revocations are remembered is refused.
        """
        self.verifier = Verifier(KeyRing((), SECRET), (), ROLES, lambda: NOW, max_lifetime=3600)
        self.accepts(self.own(iat=NOW - 10, exp=NOW + 3590))
        self.refuses("lifetime", self.own(iat=NOW - 10, exp=NOW + 3591))


class MinterTests(VerifierCase):
    """
    We make tokens.
    """

    def test_claims(self) -> None:
        """
        A token says what the contract has: who, from whom, for whom, from when to when, and its own name.
        """
        minted = Minter(KeyRing((), SECRET), 3600, lambda: NOW + 0.9).mint("7", "alice", "admin")
        claims = jwt.decode(
            minted.token,
            SECRET,
            algorithms=["HS256"],
            options={"verify_aud": False, "verify_exp": False, "verify_iat": False},
        )
        self.assertEqual(
            claims,
            {
                "user_id": "7",
                "username": "alice",
                "role": "admin",
                "sub": "7",
                "iss": "siger-api-gateway",
                "aud": "siger",
                "iat": NOW,
                "exp": NOW + 3600,
                "jti": minted.token_id,
            },
        )
        self.assertEqual(minted.expires_at, NOW + 3600)
        self.assertEqual(jwt.get_unverified_header(minted.token), {"alg": "HS256", "typ": "at+jwt"})

    def test_named_key(self) -> None:
        """
        The header names the key, if it has a name.
        """
        minted = Minter(KeyRing((JwtKey("2027", "n" * 32),), SECRET), 60).mint("7", "alice", "user")
        self.assertEqual(jwt.get_unverified_header(minted.token)["kid"], "2027")

    def test_not_before(self) -> None:
        """
        A token is not issued before its user's tokens are valid.
        """
        minted = Minter(KeyRing((), SECRET), 60, lambda: NOW).mint("7", "alice", "user", NOW + 1)
        identity = self.accepts(minted.token.encode())
        self.assertEqual((identity.issued, identity.expires, minted.expires_at), (NOW + 1, NOW + 61, NOW + 61))

    def test_unique(self) -> None:
        """
        Row H8: no two tokens have the same name, and each can be revoked by it.
        """
        minter = Minter(KeyRing((), SECRET), 60, lambda: NOW)
        minted = [minter.mint("7", "alice", "user") for _ in range(100)]
        self.assertEqual(len({one.token_id for one in minted}), 100)
        for one in minted:
            self.assertEqual(self.accepts(one.token.encode()).token_id, one.token_id)

    def test_round_trip(self) -> None:
        """
        What is minted is believed.
        """
        minted = Minter(KeyRing((), SECRET), 60, lambda: NOW).mint("7", "Zoë", "admin")
        identity = self.accepts(minted.token.encode())
        self.assertEqual((identity.user_id, identity.name, identity.roles), ("7", "Zoë", ("admin",)))
        self.assertEqual((identity.issuer, identity.subject), ("", "7"))


class OwnTokenTests(VerifierCase):
    """
    Our own tokens are believed, if everything about them is right.
    """

    def test_good(self) -> None:
        """
        A good token tells who it is.
        """
        identity = self.accepts(self.own())
        self.assertEqual((identity.user_id, identity.name, identity.roles), ("1", "alice", ("user",)))
        self.assertEqual((identity.token_id, identity.issued, identity.expires), ("token-1", NOW - 10, NOW + 600))
        self.assertEqual(identity.claims, own_claims())

    def test_unsigned(self) -> None:
        """
        Row H1: C{none}, however it is written, is no algorithm; nor is no signature at all.
        """
        for algorithm in ("none", "None", "NONE", "nOnE", "", "none\x00"):
            self.refuses("algorithm", compact({"alg": algorithm}, own_claims()))
            self.refuses("algorithm", self.own({"alg": algorithm}))
            self.refuses("malformed", segment({"alg": algorithm}) + b"." + segment(own_claims()) + b".")

    def test_other_algorithms(self) -> None:
        """
        Row H1: the token's word for its algorithm does not decide how it is verified, even with the right secret.
        """
        for algorithm in ("HS384", "HS512"):
            self.refuses("algorithm", sign(algorithm, SECRET.encode(), own_claims()))
            self.refuses("signature", sign(algorithm, SECRET.encode(), own_claims(), {"alg": "HS256"}))
            self.refuses("algorithm", self.own({"alg": algorithm}))
        self.refuses("algorithm", sign("RS256", private_key("RS256"), own_claims()))
        self.refuses("algorithm", self.own({"alg": "hs256"}))

    def test_signature(self) -> None:
        """
        Row H1: another secret, or other claims under the same signature, are refused.
        """
        self.refuses("signature", sign("HS256", SECRET.encode() + b"x", own_claims()))
        head, _, signature = self.own().split(b".")
        self.refuses("signature", b".".join((head, segment(own_claims(role="admin")), signature)))

    def test_unknown_kid(self) -> None:
        """
        Row H2: a key name is looked up among those that there are, and leads nowhere else.
        """
        for kid in ("../../dev/null", "' OR 1=1", "", "/etc/passwd", "jwt_secret", "x" * 1000, "a\x00b"):
            self.refuses("key", self.own({"kid": kid}))
            self.refuses("key", sign("HS256", b"", own_claims(), {"kid": kid}))

    def test_pointers(self) -> None:
        """
        Row H2: a key that the token brings along, or points at, is ignored.
        """
        forged = {"kty": "oct", "k": segment(b"f" * 32).decode()}
        for name, value in (("jwk", forged), ("jku", "http://127.0.0.1:1/"), ("x5u", "http://127.0.0.1:1/")):
            self.refuses("signature", sign("HS256", b"f" * 32, own_claims(), {name: value}))
            self.accepts(self.own({name: value}))

    def test_critical(self) -> None:
        """
        Row H2: a token that calls an extension critical is refused, signed or not.
        """
        self.refuses("extension", self.own({"crit": ["exp"]}))

    def test_missing_claims(self) -> None:
        """
        Row H3: each of the claims is required.
        """
        for name, cause in (
            ("exp", "claims"),
            ("iat", "claims"),
            ("iss", "issuer"),
            ("aud", "audience"),
            ("sub", "claims"),
            ("jti", "claims"),
            ("role", "role"),
        ):
            self.refuses(cause, self.own(**{name: None}))

    def test_issuer(self) -> None:
        """
        Row H3: the issuer is compared as a whole.
        """
        for issuer in (
            "siger",
            "siger-api-gatewa",
            "siger-api-gateway2",
            "Siger-Api-Gateway",
            "",
            "s",
            5,
            ["siger-api-gateway"],
        ):
            self.refuses("issuer", self.own(iss=issuer))

    def test_audience(self) -> None:
        """
        Row H3: the audience is this gateway, or a list with it.
        """
        self.accepts(self.own(aud=["siger"]))
        for audience in ("sig", "", [], ["sig"], {"siger": 1}, 5, ["siger", 5]):
            self.refuses("audience", self.own(aud=audience))

    def test_times(self) -> None:
        """
        Row H3: expired and early tokens are refused.
        """
        self.refuses("expired", self.own(exp=NOW - 31))
        self.refuses("not_yet_valid", self.own(iat=NOW + 31))
        self.refuses("not_yet_valid", self.own(nbf=NOW + 31))
        self.accepts(self.own(iat=NOW - 90, exp=NOW - 29))

    def test_long_life(self) -> None:
        """
        How long our own tokens live is for the configuration to say, which may mean a year.
        """
        self.assertEqual(self.accepts(self.own(exp=NOW + 366 * 86400)).expires, NOW + 366 * 86400)

    def test_roles(self) -> None:
        """
        Row H3: a role is one of those that there are.
        """
        for role in ("root", "Admin", "", "user,admin", ["admin"], 1, True, {"admin": 1}):
            self.refuses("role", self.own(role=role))

    def test_user_ids(self) -> None:
        """
        Row H3: C{user_id}, where it is there, is the same as C{sub}.
        """
        self.assertEqual(self.accepts(self.own(user_id=None)).user_id, "1")
        for value in ("2", "", 1, ["1"]):
            self.refuses("claims", self.own(user_id=value))

    def test_names(self) -> None:
        """
        Row A31: a name or id that no header field can carry is refused, as is one that is out of proportion.
        """
        for text in ("a\r\nX-User-Role: admin", "a\nb", "\x00", "\ud800", "", " 1", "x" * 257, 5, ["a"]):
            self.refuses("claims", self.own(username=text))
            self.refuses("claims", self.own(sub=text, user_id=text))

    def test_foreign_ids(self) -> None:
        """
        None of our own ids looks like that of another issuer's user.
        """
        self.refuses("claims", self.own(sub=f"{OTHER} 1", user_id=f"{OTHER} 1"))

    def test_token_ids(self) -> None:
        """
        A C{jti} is text.
        """
        for jti in ("", 5, ["a"], True, "x" * 257, "a\nb"):
            self.refuses("claims", self.own(jti=jti))

    def test_types(self) -> None:
        """
        Row H7: an access token says so, or nothing, or that it is a JWT.
        """
        for text in ("at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt", "Application/JWT", None):
            self.accepts(self.own({"typ": text}))
        for text in (
            "id+jwt",
            "dpop+jwt",
            "logout+jwt",
            "secevent+jwt",
            "refresh",
            "JOSE",
            "at+jwt ",
            "at-jwt",
            "jwt/at",
        ):
            self.refuses("type", self.own({"typ": text}))

    def test_numbers(self) -> None:
        """
        Row H5: times that are out of this world are refused, and break nothing.
        """
        text = json.dumps(own_claims(exp="EXP"))
        for number in ("1e400", "-1e400", "9" * 4000, "-1", "1e18", "true", "null", '"1"', "[1]", "{}"):
            self.refuses("claims", sign("HS256", SECRET.encode(), text.replace('"EXP"', number).encode()))
        for number in ("9" * 5000, "NaN", "Infinity"):
            self.refuses("malformed", sign("HS256", SECRET.encode(), text.replace('"EXP"', number).encode()))

    def test_too_long(self) -> None:
        """
        Row H5: even a genuine token is refused when it is too long.
        """
        self.accepts(self.own(padding="x" * 5000))
        self.refuses("too_long", self.own(padding="x" * 8000))

    @settings(max_examples=300, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(sorted({*own_claims(), "nbf", "x"})),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                max_leaves=5,
            ),
        )
    )
    def test_fuzz_claims(self, changes: dict[str, Any]) -> None:
        """
        Row H5: whatever genuine tokens claim, they are believed or refused, and nothing else.
        """
        content = json.dumps({**own_claims(), **changes}).encode()
        self.survives(sign("HS256", SECRET.encode(), content))

    @settings(max_examples=300, deadline=None)
    @given(
        st.fixed_dictionaries(
            {},
            optional={
                name: st.none() | st.integers() | st.text(max_size=10) | st.lists(st.text(max_size=5), max_size=2)
                for name in ("alg", "kid", "typ", "crit", "jku", "jwk", "b64", "zip", "cty")
            },
        )
    )
    def test_fuzz_header(self, header: dict[str, Any]) -> None:
        """
        Row H5: whatever a header says, a token is believed or refused, and nothing else.
        """
        signed = segment({"alg": "HS256", **header}) + b"." + segment(own_claims())
        good = sign("HS256", SECRET.encode(), own_claims()).rpartition(b".")[2]
        self.survives(signed + b"." + good)

    def survives(self, token: bytes) -> None:
        """
        Assert that nothing comes of it but an identity, or a refusal for a cause that was foreseen.
        """
        try:
            self.assertIsInstance(self.verifier.verify(token), Identity)
        except InvalidTokenError as error:
            self.assertNotEqual(error.cause, "unexpected")


class OlderGatewayTests(VerifierCase):
    """
    Tokens of the older gateway are believed.
    """

    def old(self, header: dict[str, Any] | None = None, secret: str = SECRET, **changes: Any) -> bytes:
        """
        A token as the older gateway made them, with changes.
        """
        claims = own_claims(**{"sub": None, "aud": None, "jti": None, **changes})
        return sign("HS256", secret.encode(), claims, {"typ": "JWT", **(header or {})})

    def test_good(self) -> None:
        """
        It has no C{sub}, C{aud} and C{jti}.
        """
        identity = self.accepts(self.old())
        self.assertEqual((identity.user_id, identity.name, identity.roles), ("1", "alice", ("user",)))

    def test_revocable(self) -> None:
        """
        Row H8: without a C{jti}, it still can be named, and has another name than other tokens.
        """
        names = {self.accepts(self.old(iat=NOW - second)).token_id for second in range(5)}
        self.assertEqual(len(names), 5)
        self.assertEqual(self.accepts(self.old()).token_id, self.accepts(self.old()).token_id)

    def test_user_id(self) -> None:
        """
        Its C{user_id} has to be there.
        """
        self.refuses("claims", self.old(user_id=None))
        self.refuses("claims", self.old(user_id=""))

    def test_half(self) -> None:
        """
        Row H3: a token with some of the newer claims is a newer one, and lacks the others.
        """
        self.refuses("audience", self.old(sub="1"))
        self.refuses("audience", self.old(jti="a"))
        self.refuses("claims", self.old(aud="siger"))
        self.refuses("audience", self.old(aud="other"))

    def test_other_claims(self) -> None:
        """
        Row H3: everything else is as it is with newer ones.
        """
        self.refuses("issuer", self.old(iss=None))
        self.refuses("issuer", self.old(iss="siger"))
        self.refuses("claims", self.old(exp=None))
        self.refuses("claims", self.old(iat=None))
        self.refuses("expired", self.old(exp=NOW - 31))
        self.refuses("role", self.old(role="root"))
        self.refuses("type", self.old({"typ": "id+jwt"}))

    def test_secret(self) -> None:
        """
        Row H8: only the secret without a name was the older gateway's.
        """
        self.verifier = make_verifier((JwtKey("2027", "n" * 32),))
        self.accepts(self.old())
        self.refuses("signature", self.old(secret="n" * 32))
        self.refuses("audience", self.old({"kid": "2027"}, "n" * 32))


class RotationTests(VerifierCase):
    """
    Keys can change while tokens live.
    """

    def test_two_keys(self) -> None:
        """
        Row H8: tokens of the old key and of the new one are both believed, and each only under its own name.
        """
        self.verifier = make_verifier((JwtKey("new", "n" * 32), JwtKey("old", "o" * 32)))
        for kid, secret in (("new", b"n" * 32), ("old", b"o" * 32), (None, SECRET.encode())):
            self.accepts(sign("HS256", secret, own_claims(), {"kid": kid}))
        self.refuses("signature", sign("HS256", b"n" * 32, own_claims(), {"kid": "old"}))
        self.refuses("signature", sign("HS256", b"o" * 32, own_claims()))

    def test_retired(self) -> None:
        """
        Row H8: once a key is gone, so are its tokens.
        """
        self.verifier = make_verifier((JwtKey("new", "n" * 32),))
        self.refuses("key", sign("HS256", b"o" * 32, own_claims(), {"kid": "old"}))


class FakeIssuer:
    """
    An issuer that does what a test says.
    """

    name = OTHER

    def __init__(self, result: Any) -> None:
        self.result = result
        self.calls: list[Any] = []

    def verify(self, token: CompactToken, now: Any) -> Any:
        """
        Return or raise it.
        """
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    def start(self, keys_changed: Any) -> None:
        """
        Remember it.
        """
        self.calls.append(("start", keys_changed))

    def stop(self) -> None:
        """
        Remember it.
        """
        self.calls.append("stop")


class ChoiceTests(VerifierCase):
    """
    The issuer that a token names is asked, with its own keys.
    """

    def setUp(self) -> None:
        super().setUp()
        self.rsa = private_key("RS256")
        configured = IssuerSettings(OTHER, keys=(PublicKey("", "RS256", pem(self.rsa)),))
        self.verifier = make_verifier(issuers=(Issuer(configured, ROLES, Clock()),))

    def other(self, **changes: Any) -> dict[str, Any]:
        """
        Claims of the other issuer.
        """
        return own_claims(**{"iss": OTHER, "user_id": None, **changes})

    def test_other(self) -> None:
        """
        Another issuer's token is believed under its key.
        """
        self.assertEqual(self.accepts(sign("RS256", self.rsa, self.other())).issuer, OTHER)

    def test_confusion(self) -> None:
        """
        Row H1: the public key of an issuer is no secret: what was signed with its text as one is refused.
        """
        text = pem(self.rsa).encode()
        for secret in (text, text.strip(), text.replace(b"\n", b"")):
            token = compact({"alg": "HS256"}, self.other()).rpartition(b".")[0]
            signature = segment(hmac.digest(secret, token, "sha256"))
            self.refuses("algorithm", token + b"." + signature)

    def test_keys_apart(self) -> None:
        """
        Row H1: our own keys verify nothing of another issuer's, nor its keys anything of ours.
        """
        self.refuses("algorithm", sign("HS256", SECRET.encode(), self.other()))
        self.refuses("algorithm", sign("RS256", self.rsa, own_claims()))
        self.refuses("signature", sign("HS256", SECRET.encode(), self.other(), {"alg": "RS256"}))
        self.refuses("signature", sign("RS256", self.rsa, own_claims(), {"alg": "HS256"}))

    def test_whole_name(self) -> None:
        """
        Row H3: an issuer's name is compared as a whole.
        """
        for name in (OTHER + "/", OTHER[:-1], OTHER.upper(), " " + OTHER, [OTHER], {OTHER: 1}):
            self.refuses("algorithm", sign("RS256", self.rsa, self.other(iss=name)))

    def test_names_apart(self) -> None:
        """
        No two issuers have the same name, and none has ours.
        """
        for names in ((OTHER, OTHER), ("siger-api-gateway",)):
            issuers = tuple(Issuer(IssuerSettings(name), ROLES, Clock()) for name in names)
            with self.assertRaises(ConfigError):
                make_verifier(issuers=issuers)

    def test_later(self) -> None:
        """
        When an issuer has to look for its keys, the answer comes later.
        """
        waiting: Deferred[Identity] = Deferred()
        self.verifier = make_verifier(issuers=(FakeIssuer(waiting),))  # type: ignore[arg-type]
        result = self.verifier.verify(compact({"alg": "RS256"}, self.other()))
        assert isinstance(result, Deferred)
        self.assertNoResult(result)
        identity = Identity("1", "alice", ("user",), "t", 0, 0, {}, OTHER)
        waiting.callback(identity)
        self.assertIs(self.successResultOf(result), identity)

    def test_unforeseen(self) -> None:
        """
        Row H5: whatever goes wrong in a check, the token is refused, and the log says what it was.
        """
        for error in (ValueError("a"), OverflowError("b"), RecursionError("c"), KeyError("d"), TypeError("e")):
            self.verifier = make_verifier(issuers=(FakeIssuer(error),))  # type: ignore[arg-type]
            self.refuses("unexpected", compact({"alg": "RS256"}, self.other()))

    def test_unforeseen_later(self) -> None:
        """
        Row H5: the same holds for what goes wrong later.
        """
        for error, cause in ((ValueError("a"), "unexpected"), (InvalidTokenError("key"), "key")):
            self.verifier = make_verifier(issuers=(FakeIssuer(fail(error)),))  # type: ignore[arg-type]
            result = self.verifier.verify(compact({"alg": "RS256"}, self.other()))
            assert isinstance(result, Deferred)
            self.assertEqual(self.failureResultOf(result, InvalidTokenError).value.cause, cause)

    def test_start_and_stop(self) -> None:
        """
        All issuers are started, told whom to tell of keys, and stopped.
        """
        issuer = FakeIssuer(succeed(None))
        verifier = make_verifier(issuers=(issuer,))  # type: ignore[arg-type]
        verifier.start(self.fail)
        verifier.stop()
        self.assertEqual(issuer.calls, [("start", self.fail), "stop"])
