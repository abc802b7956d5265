"""
Tests for L{siger.auth.keys}.
"""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.compact import read_token
from siger.auth.keys import Key, KeyRing, bind_public_key, load_jwk, load_public_key, secret_key
from siger.config.settings.accounts import JwtKey, PublicKey
from siger.config.settings.gateway import Settings
from siger.errors import ConfigError
from tests.auth.signing import SECRET, jwk, pem, private_key, sign

ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


def public(algorithm: str) -> Key:
    """
    The public key that goes with the tests' private one.
    """
    return bind_public_key("k", algorithm, private_key(algorithm).public_key())


class KeyTests(SynchronousTestCase):
    """
    A key verifies with one algorithm.
    """

    def test_verifies(self) -> None:
        """
        A key verifies what its other half signed, with each algorithm that is supported.
        """
        for algorithm in ASYMMETRIC:
            token = read_token(sign(algorithm, private_key(algorithm), {"a": 1}))
            self.assertTrue(public(algorithm).verifies(token), algorithm)

    def test_refuses_changes(self) -> None:
        """
        A single other bit in what was signed, or in the signature, makes it invalid.
        """
        for algorithm in ASYMMETRIC:
            token = read_token(sign(algorithm, private_key(algorithm), {"a": 1}))
            first = bytes((token.signature[0] ^ 1,)) + token.signature[1:]
            self.assertFalse(public(algorithm).verifies(evolve(token, signature=first)), algorithm)
            self.assertFalse(public(algorithm).verifies(evolve(token, signed=token.signed + b"A")), algorithm)
            self.assertFalse(public(algorithm).verifies(evolve(token, signature=b"")), algorithm)

    def test_other_key(self) -> None:
        """
        A key does not verify what another key signed.
        """
        for algorithm in ("RS256", "PS256", "ES256", "EdDSA"):
            token = read_token(sign(algorithm, private_key(algorithm, "other"), {"a": 1}))
            self.assertFalse(public(algorithm).verifies(token), algorithm)

    def test_pinned_algorithm(self) -> None:
        """
        Row H1: a key verifies nothing for any algorithm but its own, not even where the same key could.
        """
        rsa = private_key("RS256")
        key = bind_public_key("", "RS256", rsa.public_key())
        self.assertTrue(key.verifies(read_token(sign("RS256", rsa, {}))))
        for other in ("RS384", "RS512", "PS256", "PS384"):
            self.assertFalse(key.verifies(read_token(sign(other, rsa, {}))), other)
            self.assertFalse(key.verifies(read_token(sign("RS256", rsa, {}, {"alg": other}))), other)
            self.assertFalse(key.verifies(read_token(sign(other, rsa, {}, {"alg": "RS256"}))), other)

    def test_secret_is_no_public_key(self) -> None:
        """
        Row H1: our secrets verify HS256 alone, even where the same secret signed with another hash.
        """
        key = secret_key("", SECRET)
        self.assertTrue(key.verifies(read_token(sign("HS256", SECRET.encode(), {}))))
        for other in ("HS384", "HS512"):
            self.assertFalse(key.verifies(read_token(sign(other, SECRET.encode(), {}))), other)

    def test_symmetric_never_bound(self) -> None:
        """
        Row H1: a public key is bound to an asymmetric algorithm only, and to none.
        """
        for algorithm in ("HS256", "HS512", "none", "None", "", "RS1", "ES256K"):
            with self.assertRaises(ValueError):
                bind_public_key("", algorithm, private_key("RS256").public_key())

    def test_typed(self) -> None:
        """
        Row H1: a key is bound only to an algorithm of its own kind and curve.
        """
        for mine in ("RS256", "ES256", "ES384", "ES512", "EdDSA"):
            for other in ASYMMETRIC:
                if other[:2] not in {mine[:2], "PS" if mine == "RS256" else mine[:2]} or (
                    mine[:2] == "ES" and other != mine
                ):
                    with self.assertRaises(ValueError, msg=f"{mine} as {other}"):
                        bind_public_key("", other, private_key(mine).public_key())

    def test_private_never_bound(self) -> None:
        """
        A private key is not taken for a public one.
        """
        for algorithm in ("RS256", "ES256", "EdDSA"):
            with self.assertRaises(ValueError):
                bind_public_key("", algorithm, private_key(algorithm))

    def test_weak_rsa(self) -> None:
        """
        An RSA key has at least 2048 bits.
        """
        with self.assertRaises(ValueError):
            bind_public_key("", "RS256", private_key("RS256", bits=1024).public_key())

    def test_repr(self) -> None:
        """
        What a key shows of itself has nothing of a secret in it.
        """
        self.assertEqual(repr(secret_key("new", SECRET)), "Key(kid='new', algorithm='HS256')")

    def test_thumbprint(self) -> None:
        """
        Keys are equal when name, algorithm and content are.
        """
        rsa = private_key("RS256").public_key()
        self.assertEqual(bind_public_key("a", "RS256", rsa), bind_public_key("a", "RS256", rsa))
        self.assertNotEqual(bind_public_key("a", "RS256", rsa), bind_public_key("b", "RS256", rsa))
        self.assertNotEqual(bind_public_key("a", "RS256", rsa), bind_public_key("a", "PS256", rsa))
        other = private_key("RS256", "other").public_key()
        self.assertNotEqual(bind_public_key("a", "RS256", rsa), bind_public_key("a", "RS256", other))


class LoadTests(SynchronousTestCase):
    """
    Keys come out of PEM text and JSON Web Keys.
    """

    def test_pem(self) -> None:
        """
        A configured key is read, and keeps its name.
        """
        for algorithm in ASYMMETRIC:
            key = load_public_key(PublicKey("one", algorithm, pem(private_key(algorithm))))
            self.assertEqual((key.kid, key.algorithm), ("one", algorithm))

    def test_ed448(self) -> None:
        """
        EdDSA is for both curves.
        """
        key = private_key("EdDSA", "448")
        loaded = load_public_key(PublicKey("", "EdDSA", pem(key)))
        self.assertTrue(loaded.verifies(read_token(sign("EdDSA", key, {}))))

    def test_bad_pem(self) -> None:
        """
        What is no public key is refused with a L{ValueError}.
        """
        for text in ("", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "\udc80"):
            with self.assertRaises(ValueError):
                load_public_key(PublicKey("", "RS256", text))

    def test_jwk(self) -> None:
        """
        A JSON Web Key is read for each algorithm.
        """
        for algorithm in ASYMMETRIC:
            key = private_key(algorithm)
            loaded = load_jwk("one", algorithm, jwk(algorithm, key))
            self.assertEqual(loaded, bind_public_key("one", algorithm, key.public_key()))

    def test_bad_jwk(self) -> None:
        """
        What is no key is refused with a L{ValueError}, whatever is wrong with it.
        """
        good = jwk("RS256", private_key("RS256"))
        point = jwk("ES256", private_key("ES256"))
        for algorithm, members in (
            ("RS256", {}),
            ("RS256", {**good, "n": 5}),
            ("RS256", {**good, "n": None}),
            ("RS256", {**good, "e": "AA"}),
            ("RS256", {**good, "n": "é"}),
            ("ES256", {**point, "x": point["y"]}),
            ("ES256", {**point, "crv": ["P-256"]}),
            ("ES384", point),
            ("EdDSA", {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
            ("EdDSA", {"kty": "OKP", "crv": "X25519", "x": "A" * 43}),
            ("HS256", {"kty": "oct", "k": "A" * 43}),
            ("none", good),
        ):
            with self.assertRaises(ValueError, msg=repr(members)):
                load_jwk("", algorithm, members)


class KeyRingTests(SynchronousTestCase):
    """
    Several secrets, of which one signs.
    """

    def test_secret_alone(self) -> None:
        """
        Without other keys the secret signs, under no name.
        """
        ring = KeyRing.from_settings(Settings(jwt_secret=SECRET))
        self.assertEqual((ring.signing.kid, ring.signing_secret), ("", SECRET))
        self.assertEqual(ring.find(None), ring.signing)

    def test_named_keys(self) -> None:
        """
        Row H8: the first key signs; all of them verify, and so does the secret, so that tokens outlive a rotation.
        """
        keys = (JwtKey("2027", "n" * 32), JwtKey("2026", "o" * 32))
        ring = KeyRing.from_settings(Settings(jwt_secret=SECRET, jwt_keys=keys))
        self.assertEqual((ring.signing.kid, ring.signing_secret), ("2027", "n" * 32))
        self.assertEqual(ring.find("2027"), ring.signing)
        self.assertEqual(ring.find("2026"), secret_key("2026", "o" * 32))
        self.assertEqual(ring.find(None), secret_key("", SECRET))

    def test_named_alone(self) -> None:
        """
        With keys that have names no other is needed; then a token that names none is of nobody.
        """
        ring = KeyRing.from_settings(Settings(jwt_keys=(JwtKey("a", SECRET),)))
        self.assertEqual((ring.signing.kid, ring.signing_secret), ("a", SECRET))
        self.assertIsNone(ring.find(None))
        self.assertIsNone(ring.find(""))

    def test_unknown(self) -> None:
        """
        Row H2: a name that no key has finds nothing, and so does an empty one.
        """
        ring = KeyRing((JwtKey("a", "n" * 32),), SECRET)
        for kid in ("", "b", "../../dev/null", "' OR 1=1", "a\x00", "A", "__class__"):
            self.assertIsNone(ring.find(kid), kid)

    def test_weak_secrets(self) -> None:
        """
        Row H4: secrets that are missing, short, published, or not secrets at all cannot be used.
        """
        for secret in (
            "",
            "s" * 31,
            "default-very-secure-secret-key-change-me-in-production",
            pem(private_key("RS256")),
            '{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}',
        ):
            with self.assertRaises(ConfigError) as caught:
                KeyRing((), secret)
            self.assertEqual(caught.exception.path, "jwt_secret")
            with self.assertRaises(ConfigError) as caught:
                KeyRing((JwtKey("a", "n" * 32), JwtKey("b", secret)), SECRET)
            self.assertEqual(caught.exception.path, "jwt_keys[1].secret")
            self.assertNotIn(secret or "nothing", str(caught.exception))

    def test_names(self) -> None:
        """
        Row H2: the name of a key is plain, and no two keys share one.
        """
        for kid in ("", "a b", "a/b", "a\n", "x" * 65, "é"):
            with self.assertRaises(ConfigError) as caught:
                KeyRing((JwtKey(kid, "n" * 32),), SECRET)
            self.assertEqual(caught.exception.path, "jwt_keys[0].kid")
        with self.assertRaises(ConfigError):
            KeyRing((JwtKey("a", "n" * 32), JwtKey("a", "o" * 32)), SECRET)

    def test_repr(self) -> None:
        """
        It shows names, and no secrets.
        """
        ring = KeyRing((JwtKey("a", "n" * 32),), SECRET)
        self.assertEqual(repr(ring), "<KeyRing signs with 'a', verifies with ['', 'a']>")
