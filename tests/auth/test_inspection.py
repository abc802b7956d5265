"""
Tests for L{siger.auth.inspection}.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.inspection import inspect
from siger.auth.keys import KeyRing
from siger.auth.tokens import Minter
from siger.config.settings.accounts import IssuerSettings, PublicKey
from siger.config.settings.gateway import Settings
from tests.auth.signing import SECRET, compact, own_claims, pem, private_key, sign

ISSUER = "https://id.example"


class InspectTests(SynchronousTestCase):
    """
    Tests for L{inspect}.
    """

    def setUp(self) -> None:
        """
        Have a configuration with an issuer.
        """
        key = PublicKey("k1", "ES256", pem(private_key("ES256")))
        issuer = IssuerSettings(ISSUER, keys=(key,), jwks_url="https://id.example/keys")
        self.settings = Settings(jwt_secret=SECRET, issuers=(issuer,))
        self.now = int(time.time())

    def own(self, **changes: Any) -> str:
        """
        A token of our own, good unless the changes make it not so.
        """
        claims = own_claims(**{"iat": self.now - 10, "exp": self.now + 600, **changes})
        return sign("HS256", SECRET.encode(), claims).decode()

    def verdict(self, token: str) -> str:
        """
        The last line of a report.
        """
        report = inspect(token, self.settings)
        line = report.text.splitlines()[-1]
        self.assertEqual(report.good, line.startswith("good here   yes"))
        return line.removeprefix("good here   ")

    def test_good(self) -> None:
        """
        Of a good token it is shown what it says, since when and until when, and whose it is.
        """
        report = inspect(
            self.own(iat=1_790_000_000, exp=4_000_000_000), evolve(self.settings, jwt_expiration=40_000_000)
        )
        lines = dict(line.split(maxsplit=1) for line in report.text.splitlines()[:4])
        self.assertEqual(json.loads(lines["header"]), {"alg": "HS256", "typ": "at+jwt"})
        self.assertEqual(json.loads(lines["claims"])["username"], "alice")
        self.assertEqual((lines["issued"], lines["expires"]), ("2026-09-21T14:13:20Z", "2096-10-02T07:06:40Z"))
        self.assertEqual(
            report.text.splitlines()[4:],
            ['good here   yes, unless it was revoked: it is of "alice", with id "1", as user'],
        )
        self.assertTrue(report.good)

    def test_as_minted(self) -> None:
        """
        What the gateway issues is good.
        """
        minted = Minter(KeyRing((), SECRET), 60).mint("7", "ada", "admin")
        self.assertIn('"ada", with id "7", as admin', self.verdict(minted.token))

    def test_not_good(self) -> None:
        """
        Of any other it is said why not.
        """
        good = self.own()
        for token, why in (
            (self.own(exp=self.now - 60), "it has expired"),
            (self.own(iat=self.now + 300), "it is not good yet"),
            (self.own(aud="others"), "it is for somebody else (aud)"),
            (self.own(iss="others"), "its issuer (iss) is not trusted here"),
            (self.own(role="king"), "its role is not known here"),
            (self.own(jti=None), "a claim is missing, or of a wrong kind"),
            (good[:-20] + "A" * 20, "its signature is wrong"),
            ("x" * 9000, "it is too long"),
            ("", "it is no signed token"),
            (good.rpartition(".")[0], "it is no signed token"),
        ):
            self.assertEqual(self.verdict(token), f"no: {why}")

    def test_headers(self) -> None:
        """
        What a header asks for is not done, and named.
        """
        for header, why in (
            ({"kid": "x"}, "no key of this name (kid) is known here"),
            ({"typ": "id"}, "it is of another type (typ)"),
            ({"crit": []}, "it asks for an extension (crit)"),
            ({"alg": "none"}, "it was signed with another algorithm than its key is for"),
        ):
            token = sign("HS256", SECRET.encode(), own_claims(), header)
            self.assertEqual(self.verdict(token.decode()), f"no: {why}")

    def test_other_issuers(self) -> None:
        """
        Tokens of other issuers are judged by the keys that are configured; nobody is asked for others.
        """
        claims = {"iss": ISSUER, "aud": "siger", "sub": "7", "preferred_username": "grace"}
        claims |= {"iat": self.now - 10, "exp": self.now + 600}
        token = sign("ES256", private_key("ES256"), claims, {"kid": "k1"}).decode()
        self.assertIn(f'it is of "grace", with id "{ISSUER} 7", as user', self.verdict(token))
        token = sign("ES256", private_key("ES256"), claims, {"kid": "k2"}).decode()
        unknown = "no: no key for it is configured, and those that its issuer publishes are not asked for here"
        self.assertEqual(self.verdict(token), unknown)
        (issuer,) = self.settings.issuers
        self.settings = evolve(self.settings, issuers=(evolve(issuer, keys=()),))
        self.assertEqual(self.verdict(token), unknown)
        self.settings = evolve(self.settings, issuers=(evolve(issuer, jwks_url=""),))
        self.assertEqual(self.verdict(token), "no: no key of this name (kid) is known here")

    def test_contents_of_anything(self) -> None:
        """
        What can be read is shown, escaped, also of what is no good at all.
        """
        token = compact({"alg": "\x1b[31m"}, {"sub": "é\u202e", "iat": "soon", "exp": 1e300, "nbf": True}).decode()
        report = inspect(token, self.settings)
        self.assertTrue(report.text.isascii())
        self.assertTrue(report.text.replace("\n", "").isprintable())
        self.assertIn("issued      no time\nnot before  no time\nexpires     no time\n", report.text)
        self.assertEqual(inspect("e30", self.settings).text.splitlines()[0], "header      {}")

    @given(some.text() | some.text("ey.J-_AbQ9=0").map(lambda text: f"e30.{text}.x"))
    def test_never_fails(self, token: str) -> None:
        """
        Row H5: whatever it is, there is a report, and it is not good.
        """
        report = inspect(token, self.settings)
        self.assertFalse(report.good)
        self.assertTrue(report.text.isascii(), report.text)

    def test_writes_nothing(self) -> None:
        """
        To look is not to make: where there is no secret yet, none is made.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        self.settings = Settings(data_dir=directory)
        self.assertEqual(self.verdict(self.own()), "no: its signature is wrong")
        self.assertEqual(os.listdir(directory), [])

    def test_kept_secret(self) -> None:
        """
        The secret of the data directory counts.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "jwt_secret").write_text(SECRET + "\n")
        self.settings = Settings(data_dir=directory)
        self.assertIn("yes", self.verdict(self.own()))

    def test_bad_configuration(self) -> None:
        """
        A configuration that no gateway would start with is the reason then.
        """
        self.settings = Settings(jwt_secret="short")
        self.assertIn("less than 32 bytes", self.verdict(self.own()))
