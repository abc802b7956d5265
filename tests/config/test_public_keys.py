"""
Tests of L{siger.config.public_keys}.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP521R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.accounts import PublicKey
from tests.config.public_key_texts import EC384_KEY, EC_KEY, ED_KEY, RSA_KEY, SHORT_RSA_KEY
from tests.config.reading import errors_of, loaded


def block(pem: str, rest: str = "algorithm: RS256") -> str:
    """
    An issuer with one key, its text a block under C{public_key}.
    """
    lines = "".join(f"          {line}\n" for line in pem.splitlines())
    return f"issuers:\n  - issuer: a\n    keys:\n      - {rest}\n        public_key: |\n{lines}"


class PublicKeyTests(SynchronousTestCase):
    """
    C{issuers[*].keys}.
    """

    def test_inline(self) -> None:
        """
        A key stands in the file as it is; without a name it is for tokens that name none.
        """
        self.assertEqual((PublicKey("", "RS256", RSA_KEY),), loaded(block(RSA_KEY)).issuers[0].keys)
        found = loaded(block(ED_KEY, "kid: k1\n        algorithm: EdDSA")).issuers[0].keys
        self.assertEqual((PublicKey("k1", "EdDSA", ED_KEY),), found)

    def test_file(self) -> None:
        """
        Or in a file of its own.
        """
        path = Path(self.mktemp())
        path.write_text(EC_KEY)
        settings = loaded(f"issuers: [{{issuer: a, keys: [{{kid: k, algorithm: ES256, file: {path}}}]}}]")
        self.assertEqual((PublicKey("k", "ES256", EC_KEY),), settings.issuers[0].keys)

    def test_variable(self) -> None:
        """
        Or in a variable.
        """
        text = "issuers: [{issuer: a, keys: [{algorithm: ES256, public_key: '${KEY}'}]}]"
        self.assertEqual(EC_KEY, loaded(text, {"KEY": EC_KEY}).issuers[0].keys[0].pem)

    def test_kinds(self) -> None:
        """
        Row H1: an algorithm takes keys of its own kind, size and curve, and no other.
        """
        p521 = generate_private_key(SECP521R1()).public_key()
        keys = {
            "rsa": RSA_KEY,
            "short": SHORT_RSA_KEY,
            "256": EC_KEY,
            "384": EC384_KEY,
            "521": p521.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            "ed": ED_KEY,
        }
        fitting = {f"{family}{bits}": "rsa" for family in ("RS", "PS") for bits in (256, 384, 512)}
        fitting |= {"ES256": "256", "ES384": "384", "ES512": "521", "EdDSA": "ed"}
        for algorithm, fit in fitting.items():
            for name, pem in keys.items():
                errors = errors_of(block(pem, f"algorithm: {algorithm}"))
                self.assertEqual(0 if name == fit else 1, len(errors), (algorithm, name))
                message = f"config.yaml:5: issuers[0].keys[0].public_key: is not a key for {algorithm}, which needs a"
                self.assertTrue(all(error.startswith(message) for error in errors), errors)

    def test_families(self) -> None:
        """
        Row H1: the algorithms with one secret for both sides, and none at all, are not among those of published keys.
        """
        for algorithm in ("HS256", "HS512", "none", "None", "ES256K", "rs256", "''"):
            errors = errors_of(block(RSA_KEY, f"algorithm: {algorithm}"))
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(
                errors[0].startswith(
                    "config.yaml:4: issuers[0].keys[0].algorithm: expected RS256, RS384, RS512, PS256,"
                )
            )

    def test_not_public(self) -> None:
        """
        Row H1: a private key, a shared secret and a certificate are refused, and none is shown.
        """
        private = generate_private_key(SECP521R1())
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            pem = private.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
            (error,) = errors_of(block(pem, "algorithm: ES512"))
            self.assertIn("public_key: is a private key, which is for its issuer alone", error)
            self.assertNotIn(pem.splitlines()[1], error)
        (error,) = errors_of(block("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"))
        self.assertIn("public_key: is a certificate; `openssl x509 -pubkey -noout` takes the key out of it", error)
        for text in ("hushhush" * 4, RSA_KEY[:200], RSA_KEY.replace("A", "B"), "-----BEGIN PUBLIC KEY-----", "é"):
            (error,) = errors_of(block(text))
            self.assertIn("public_key: is not a public key in PEM (-----BEGIN PUBLIC KEY-----)", error)
            self.assertNotIn("hushhush", error)

    def test_bad_files(self) -> None:
        """
        A file that is not there, is no file, has no key or is far too large is an error at its place.
        """
        room = Path(self.mktemp())
        room.mkdir()
        (room / "empty").write_bytes(b"")
        (room / "bytes").write_bytes(b"\xff\x00" * 100)
        (room / "large").write_bytes(b" " * 65537)
        for name, message in [
            ("none", "cannot be read: No such file or directory"),
            ("", "cannot be read: Is a directory"),
            ("empty", "is not a public key in PEM"),
            ("bytes", "is not a public key in PEM"),
            ("large", "is larger than 65536 bytes"),
        ]:
            errors = errors_of(f"issuers: [{{issuer: a, keys: [{{algorithm: RS256, file: '{room / name}'}}]}}]")
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(errors[0].startswith(f"config.yaml:1: issuers[0].keys[0].file: {message}"), errors)

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be; there is one source of a key.
        """
        source = "needs either public_key, as PEM text, or the file that it is in"
        for text, message in [
            ("algorithm: RS256", f": {source}"),
            ("algorithm: RS256, public_key: a, file: /dev/null", f": {source}"),
            ("public_key: a", ": needs the key 'algorithm'"),
            ("algorithm: RS256, public_key: [a]", ".public_key: expected a public key as PEM text, got a list"),
            ("algorithm: RS256, public_key: a, kid: 'a b'", ".kid: a key's name has 1 to 64 characters"),
            ("algorithm: RS256, public_key: a, use: sig", ".use: unknown key"),
        ]:
            errors = errors_of(f"issuers: [{{issuer: a, keys: [{{{text}}}]}}]")
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(errors[0].startswith(f"config.yaml:1: issuers[0].keys[0]{message}"), errors)
