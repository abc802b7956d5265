"""
Tests for L{siger.observe.redaction}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import sampled_from, text
from twisted.trial.unittest import SynchronousTestCase

from siger.observe.redaction import REDACTED, Redactor

SECRET = "s3cr3t-V4lue"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

LEAKS = [
    f"Authorization: Bearer {SECRET}",
    f"authorization: Basic {SECRET}==",
    f"{{'Authorization': 'Bearer {SECRET}'}}",
    f'{{"authorization": "Negotiate a {SECRET}"}}',
    f"(b'Authorization', b'Bearer {SECRET}')",
    f"Proxy-Authorization: Digest username=x, response={SECRET}",
    f"Cookie: theme=dark; session={SECRET}; other=1",
    f"Set-Cookie: session={SECRET}; HttpOnly",
    f"GET /x?token={SECRET}&y=1 failed",
    f"GET /x?access_token={SECRET} failed",
    f"jwt_secret: {SECRET}",
    f"jwt_secret='{SECRET}'",
    f'"password": "{SECRET}"',
    f"password={SECRET},user=x",
    f"X-Consul-Token: {SECRET}",
    f"api_key={SECRET}",
    f"apikey={SECRET}",
    f"private-key: {SECRET}",
    f"sent bearer {SECRET} to it",
    f"connecting to nats://admin:{SECRET}@127.0.0.1:4222/",
    f"connecting to https://{SECRET}@example.test/",
]

HARMLESS = [
    "listening on 127.0.0.1:8080",
    "jwt_secret is a published sample; a random one is used instead",
    "3 tokens were revoked",
    "the password has 12 characters",
    "http://127.0.0.1:8500/v1/health/service/echo?index=7",
    "mail to operator@example.test",
    "key path: services.echo.instances[0]",
]


class RedactorTests(SynchronousTestCase):
    """
    Tests for L{Redactor}.
    """

    def test_what_looks_like_a_secret(self) -> None:
        """
        Credentials in fields, queries, settings, URLs and reprs are taken out; the rest of the text stays readable.
        """
        for leak in LEAKS:
            cleaned = Redactor().clean(f"before {leak}")
            self.assertNotIn(SECRET, cleaned, leak)
            self.assertIn(REDACTED, cleaned)
            self.assertTrue(cleaned.startswith("before "), cleaned)

    def test_what_surrounds_it(self) -> None:
        """
        What is next to a secret is left alone.
        """
        clean = Redactor().clean
        self.assertEqual(clean("GET /x?token=abc&y=1"), f"GET /x?token={REDACTED}&y=1")
        self.assertEqual(clean("nats://a:b@127.0.0.1:4222"), f"nats://{REDACTED}@127.0.0.1:4222")
        self.assertEqual(clean("Cookie: a=b\nHost: x"), f"Cookie: {REDACTED}\nHost: x")

    def test_tokens(self) -> None:
        """
        A JSON web token is known by its form, wherever it stands.
        """
        self.assertEqual(Redactor().clean(f"refused {TOKEN}: expired"), f"refused {REDACTED}: expired")

    def test_harmless_texts(self) -> None:
        """
        Texts about secrets, and texts with none, stay as they are.
        """
        for harmless in HARMLESS:
            self.assertEqual(Redactor().clean(harmless), harmless)

    def test_known_values(self) -> None:
        """
        A value that is known to be secret is taken out of any text, the longer of two first.
        """
        redactor = Redactor()
        redactor.protect("hunter2", "hunter2-and-more")
        redactor.protect("another")
        self.assertEqual(redactor.clean("xhunter2x hunter2-and-more another"), f"x{REDACTED}x {REDACTED} {REDACTED}")

    def test_short_values_are_not_known(self) -> None:
        """
        A value that is too short to be a secret blanks out nothing.
        """
        redactor = Redactor()
        redactor.protect("", "the", "12345")
        self.assertEqual(redactor.clean("the 12345"), "the 12345")

    @given(text(max_size=30), sampled_from(LEAKS), text(max_size=30))
    def test_wherever_it_stands(self, before: str, leak: str, after: str) -> None:
        """
        Whatever stands around a secret on other lines, it is taken out.
        """
        self.assertNotIn(SECRET, Redactor().clean(f"{before}\n {leak}\n{after}"))
