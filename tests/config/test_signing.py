"""
Tests of L{siger.config.signing}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.accounts import JwtKey
from tests.config.reading import errors_of, loaded

A = "0123456789abcdef-0123456789abcdef"
B = "fedcba9876543210-fedcba9876543210"


class JwtKeysTests(SynchronousTestCase):
    """
    C{jwt_keys}.
    """

    def test_keys(self) -> None:
        """
        Keys come in their order, beside the secret of tokens that name none.
        """
        settings = loaded(f"jwt_secret: {B}\njwt_keys:\n  - {{kid: new, secret: {A}}}\n  - {{kid: old, secret: {B}}}")
        self.assertEqual((JwtKey("new", A), JwtKey("old", B)), settings.jwt_keys)
        self.assertEqual(B, settings.jwt_secret)

    def test_names(self) -> None:
        """
        A name is a word, or what YAML takes for a number or a date.
        """
        for name in ("a", "2027", "2027-01-01", "A.b_c-9", "on", "x" * 64):
            self.assertEqual((JwtKey(name, A),), loaded(f"jwt_keys: [{{kid: {name}, secret: {A}}}]").jwt_keys)

    def test_variables(self) -> None:
        """
        A secret can come out of a variable, whatever YAML would take it for.
        """
        found = loaded("jwt_keys: [{kid: a, secret: '${S}'}]", {"S": "1" * 32}).jwt_keys
        self.assertEqual((JwtKey("a", "1" * 32),), found)

    def test_bad_values(self) -> None:
        """
        Rows H2 and H4: names that could be a path or a query, secrets that are short or published; nothing is shown.
        """
        name = "a key's name has 1 to 64 characters of A-Z, a-z, 0-9 and . _ -, got"
        for text, message in [
            (f"kid: ../../dev/null, secret: {A}", f"[0].kid: {name} '../../dev/null'"),
            (f'kid: "\' OR 1=1", secret: {A}', f'[0].kid: {name} "\' OR 1=1"'),
            (f"kid: '', secret: {A}", f"[0].kid: {name} ''"),
            (f"kid: {'x' * 65}, secret: {A}", f"[0].kid: {name} 'xxx"),
            (f"kid: [a], secret: {A}", "[0].kid: expected the name of a key, got a list"),
            (f"secret: {A}", "[0]: needs the key 'kid'"),
            ("kid: a", "[0]: needs the key 'secret'"),
            ("kid: a, secret: hushhush", "[0].secret: has less than 32 bytes"),
            ("kid: a, secret: ''", "[0].secret: has less than 32 bytes"),
            ("kid: a, secret: 4711", "[0].secret: expected a text, got a number; put it in quotes"),
            ("kid: a, secret: your-256-bit-secret", "[0].secret: is a published sample; `openssl rand -hex 32`"),
            (
                "kid: a, secret: default-very-secure-key-change-me-in-production",
                "[0].secret: is a published sample; `openssl rand -hex 32`",
            ),
            (f"kid: a, secret: {A}, alg: HS256", "[0].alg: unknown key"),
        ]:
            errors = errors_of(f"jwt_keys: [{{{text}}}]")
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(errors[0].startswith(f"config.yaml:1: jwt_keys{message}"), errors)
            self.assertNotRegex(errors[0], "hushhush|4711|your-256|very-secure")

    def test_twice(self) -> None:
        """
        Row H2: a name stands for one key.
        """
        text = f"jwt_keys:\n  - {{kid: a, secret: {A}}}\n  - {{kid: a, secret: {B}}}"
        self.assertEqual(["config.yaml:3: jwt_keys[1]: there are two keys named 'a'"], errors_of(text))

    def test_hidden(self) -> None:
        """
        Secrets are in no C{repr}.
        """
        self.assertNotIn(A, repr(loaded(f"jwt_keys: [{{kid: a, secret: {A}}}]")))
