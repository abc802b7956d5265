"""
Tests for L{siger.auth.jwks}.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.jwks import KeySet, freshness, parse_key_set
from siger.auth.keys import bind_public_key
from tests.auth.signing import jwk, private_key

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")


def key_set(*keys: Any, **members: Any) -> bytes:
    """
    A set of keys as it is published.
    """
    return json.dumps({"keys": list(keys), **members}).encode()


def rsa(**members: Any) -> dict[str, Any]:
    """
    A published RSA key, with changes; C{None} leaves a member out.
    """
    made = jwk("RS256", private_key("RS256"), **{"kid": "a", **members})
    return {name: value for name, value in made.items() if value is not None}


class ParseTests(SynchronousTestCase):
    """
    A set of keys is read.
    """

    def usable(self, *keys: Any) -> KeySet:
        """
        What is usable of these, next to a key that is.
        """
        good = jwk("EdDSA", private_key("EdDSA"), kid="good")
        found = parse_key_set(key_set(*keys, good), ALGORITHMS)
        self.assertIsNotNone(found.find("good"))
        return found

    def test_keys(self) -> None:
        """
        Each key is found by its name, bound to its algorithm.
        """
        found = parse_key_set(key_set(*(jwk(name, private_key(name), kid=name) for name in ALGORITHMS)), ALGORITHMS)
        for name in ALGORITHMS:
            self.assertEqual(found.find(name), bind_public_key(name, name, private_key(name).public_key()))
        self.assertEqual((len(found), found.skipped), (4, 0))
        self.assertIsNone(found.find("other"))
        self.assertIsNone(found.find(""))

    def test_names(self) -> None:
        """
        Names as large issuers have them are found: in hexadecimal, in base64, with a URL in them.
        """
        for kid in ("6f8e1cb1564cb1b7", "abc+/def=", "https://id.example.com/keys/1", "a:b@c", "x" * 256):
            self.assertIsNotNone(self.usable(rsa(kid=kid)).find(kid))

    def test_bad_names(self) -> None:
        """
        Row H2: a name that is no plain text is passed over with its key.
        """
        for kid in ("", "a b", "a\n", "é", "x" * 257, 5, None, ["a"], {"a": 1}, True):
            members = {**rsa(), "kid": kid}
            self.assertEqual(self.usable(members).skipped, 1, kid)

    def test_without_name(self) -> None:
        """
        A key without a name serves tokens that name none, if it is the only one.
        """
        found = parse_key_set(key_set(rsa(kid=None)), ALGORITHMS)
        self.assertIsNotNone(found.find(None))
        self.assertIsNone(found.find(""))
        self.assertIsNone(self.usable(rsa(kid=None)).find(None))

    def test_algorithm_is_settled(self) -> None:
        """
        Row H1: a key that does not say its algorithm gets one, by its kind and the configured order.
        """
        self.assertEqual(self.usable(rsa(alg=None)).find("a").algorithm, "RS256")  # type: ignore[union-attr]
        found = parse_key_set(key_set(rsa(alg=None)), ("ES256", "PS256", "RS256"))
        self.assertEqual(found.find("a").algorithm, "PS256")  # type: ignore[union-attr]
        point = jwk("ES384", private_key("ES384"), kid="a", alg=None)
        found = parse_key_set(key_set(point), ("ES256", "ES384"))
        self.assertEqual(found.find("a").algorithm, "ES384")  # type: ignore[union-attr]

    def test_other_algorithms(self) -> None:
        """
        Row H1: a key for an algorithm that is not accepted, or does not go with its kind, is passed over.
        """
        for algorithm in ("RS512", "RSA-OAEP", "HS256", "none", "ES256", "EdDSA", 5, ["RS256"], {"RS256": 1}):
            self.assertEqual(self.usable(rsa(alg=algorithm)).skipped, 1, algorithm)
        for algorithm in ("ES256", "ES384", "RS256"):
            point = jwk("ES384", private_key("ES384"), kid="a", alg=algorithm)
            self.assertEqual(self.usable(point).skipped, 1, algorithm)

    def test_symmetric(self) -> None:
        """
        Row H1: a secret that was published is never a key.
        """
        secret = {"kty": "oct", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlYw", "kid": "a"}
        for algorithms in (ALGORITHMS, ("HS256", *ALGORITHMS)):
            for members in (secret, {**secret, "alg": "HS256"}, {**secret, "alg": "RS256"}):
                content = key_set(members, rsa(kid="b"))
                self.assertIsNone(parse_key_set(content, algorithms).find("a"))

    def test_use(self) -> None:
        """
        A key that is not for signatures is passed over.
        """
        for members in (
            rsa(use="enc"),
            rsa(use=["sig"]),
            {**rsa(), "use": None},
            rsa(key_ops=["encrypt"]),
            rsa(key_ops=[]),
            rsa(key_ops="verify"),
            {**rsa(), "key_ops": None},
        ):
            self.assertEqual(self.usable(members).skipped, 1, members)
        self.assertEqual(self.usable(rsa(key_ops=["verify"], use=None)).skipped, 0)

    def test_private(self) -> None:
        """
        A private key that somebody published by mistake is passed over: anybody may sign with it.
        """
        self.assertEqual(self.usable(rsa(d="AQAB")).skipped, 1)

    def test_weak(self) -> None:
        """
        An RSA key with less than 2048 bits is passed over, as is one that would take for ever.
        """
        weak = jwk("RS256", private_key("RS256", bits=1024), kid="a")
        self.assertEqual(self.usable(weak).skipped, 1)
        self.assertEqual(self.usable(rsa(n="f" * 1400)).skipped, 1)
        self.assertEqual(self.usable(rsa(n="f" * 200000)).skipped, 1)

    def test_bad_members(self) -> None:
        """
        Row H5: a key that is none is passed over, and the others are used.
        """
        point = jwk("ES256", private_key("ES256"), kid="a")
        bad: list[Any] = [
            *(None, 5, "a", [], {}, {"kty": "RSA"}, {"kty": ["RSA"]}, {"kty": "EC", "crv": {}}),
            *(rsa(kty="EC"), rsa(n=5), rsa(e=None), rsa(n=""), rsa(n="!"), rsa(e="AA"), rsa(n="é")),
            *({**point, "x": point["y"]}, {**point, "crv": "P-521"}, {**point, "x": "AA"}),
            {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "a"},
            {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "kid": "a"},
        ]
        self.assertEqual(self.usable(*bad).skipped, len(bad))

    def test_same_name(self) -> None:
        """
        Of two keys with one name, the first is used.
        """
        found = self.usable(rsa(), jwk("ES256", private_key("ES256"), kid="a"))
        self.assertEqual(found.find("a").algorithm, "RS256")  # type: ignore[union-attr]

    def test_others_ignored(self) -> None:
        """
        Members that mean nothing here do not matter (RFC 7517 sections 4 and 5), however long certificates are.
        """
        content = key_set(rsa(x5c=["A" * 5000], x5t="a", x=1), other=1)
        self.assertEqual(len(parse_key_set(content, ALGORITHMS)), 1)

    def test_no_set(self) -> None:
        """
        Row H5: what is no set of keys, or has none of use, is refused as a whole.
        """
        for content in (
            b"",
            b"<html>",
            b"\xff",
            b"null",
            b"[]",
            b"{}",
            b'{"keys": null}',
            b'{"keys": {}}',
            b'{"keys": []}',
            b'{"keys": [{"kty": "RSA"}]}',
            b"[" * 200000,
            b'{"keys": ' * 20000,
            b'{"keys": [' + b"9" * 5000 + b"]}",
            key_set(rsa(use="enc")),
        ):
            self.assertRaises(ValueError, parse_key_set, content, ALGORITHMS)

    def test_many(self) -> None:
        """
        Only so many keys are looked at.
        """
        found = parse_key_set(key_set(*(rsa(kid=f"k{number}") for number in range(300))), ALGORITHMS)
        self.assertEqual((len(found), found.skipped), (100, 200))

    def test_keeps(self) -> None:
        """
        A set keeps another when no key of it is gone or changed.
        """
        first = parse_key_set(key_set(rsa()), ALGORITHMS)
        more = parse_key_set(key_set(rsa(), jwk("ES256", private_key("ES256"), kid="b")), ALGORITHMS)
        other = parse_key_set(key_set(jwk("RS256", private_key("RS256", "other"), kid="a")), ALGORITHMS)
        self.assertTrue(more.keeps(first))
        self.assertTrue(first.keeps(first))
        self.assertFalse(first.keeps(more))
        self.assertFalse(other.keeps(first))

    @settings(max_examples=300, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "n", "e", "x", "y", "d", "kid", "use", "key_ops", "alg", "k"]),
            st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "sig", "RS256", "ES256", "EdDSA", "AQAB"])
            | st.text(max_size=20)
            | st.integers()
            | st.none()
            | st.lists(st.text(max_size=6), max_size=2),
        )
    )
    def test_fuzz(self, members: dict[str, Any]) -> None:
        """
        Row H5: whatever an issuer publishes, the other keys are used, and nothing breaks.
        """
        self.usable(members)


class FreshnessTests(SynchronousTestCase):
    """
    A response says for how long it may be believed.
    """

    def test_max_age(self) -> None:
        """
        C{max-age} counts, in any case, quoted or not, among other directives.
        """
        for value in (b"max-age=900", b"public, max-age=900, must-revalidate", b"Max-Age=900", b'max-age="900"'):
            self.assertEqual(freshness([value]), 900)

    def test_bounds(self) -> None:
        """
        It is at least a minute, and at most a day.
        """
        self.assertEqual(freshness([b"max-age=0"]), 60)
        self.assertEqual(freshness([b"max-age=59"]), 60)
        self.assertEqual(freshness([b"max-age=999999999"]), 86400)

    def test_usual(self) -> None:
        """
        Without it, or with one that cannot be read, it is ten minutes.
        """
        for values in ([], [b""], [b"public"], [b"max-age=x"], [b"max-age=-5"], [b"max-age=" + b"9" * 5000], [b"\xff"]):
            self.assertEqual(freshness(values), 600)

    def test_never(self) -> None:
        """
        A response that should not be kept at all is kept for a minute.
        """
        for value in (b"no-store", b"no-cache", b"max-age=900, No-Store"):
            self.assertEqual(freshness([value]), 60)

    def test_age(self) -> None:
        """
        The time it spent in others' caches is taken off.
        """
        self.assertEqual(freshness([b"max-age=900"], [b"300"]), 600)
        self.assertEqual(freshness([b"max-age=900"], [b"5000"]), 60)
        self.assertEqual(freshness([b"max-age=900"], [b"x"]), 900)

    def test_several(self) -> None:
        """
        Of several, the least counts.
        """
        self.assertEqual(freshness([b"max-age=900", b"max-age=700"]), 700)
