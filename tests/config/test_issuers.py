"""
Tests of L{siger.config.issuers}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.accounts import IssuerSettings
from tests.config.public_key_texts import EC_KEY
from tests.config.reading import errors_of, loaded

KEY = "{algorithm: ES256, public_key: '${KEY}'}"
ENVIRON = {"KEY": EC_KEY}


class IssuersTests(SynchronousTestCase):
    """
    C{issuers}.
    """

    def issuer(self, text: str) -> IssuerSettings:
        """
        The one issuer, as written between its braces.
        """
        (found,) = loaded(f"roles: [ops]\nissuers: [{{{text}}}]", ENVIRON).issuers
        return found

    def wrong(self, *texts: str) -> list[str]:
        """
        The errors in issuers, without what they all begin with.
        """
        text = "roles: [ops]\nissuers:\n" + "".join(f"  - {{{text}}}\n" for text in texts)
        return [error.partition(" issuers")[2] for error in errors_of(text, ENVIRON)]

    def test_defaults(self) -> None:
        """
        An issuer needs a name, and a source of keys.
        """
        found = self.issuer("issuer: 'https://a/', jwks_url: 'https://a/keys'")
        self.assertEqual(IssuerSettings("https://a/", jwks_url="https://a/keys"), found)
        (key,) = self.issuer(f"issuer: b, keys: [{KEY}]").keys
        self.assertEqual(("", "ES256", EC_KEY), (key.kid, key.algorithm, key.pem))

    def test_every_key(self) -> None:
        """
        Each key sets its field.
        """
        for text, field, expected in [
            ("audience: api", "audience", "api"),
            ("algorithms: [ES256, RS512, ES256]", "algorithms", ("ES256", "RS512")),
            ("token_type: at+jwt", "token_type", "at+jwt"),
            ("token_type: ''", "token_type", ""),
            ("user_claim: oid", "user_claim", "oid"),
            ("name_claim: email", "name_claim", "email"),
            ("role_claim: realm_access.roles", "role_claim", "realm_access.roles"),
            ("roles: {Admins: admin, 'a b': ops}", "roles", {"Admins": "admin", "a b": "ops"}),
            ("default_role: ops", "default_role", "ops"),
            ("default_role: ''", "default_role", ""),
            ("max_lifetime: 60", "max_lifetime", 60),
        ]:
            found = self.issuer(f"issuer: a, jwks_url: 'https://a/k', {text}")
            self.assertEqual(expected, getattr(found, field), text)

    def test_both_sources(self) -> None:
        """
        Keys can be configured and fetched.
        """
        found = self.issuer(f"issuer: a, jwks_url: 'https://a/k', keys: [{KEY}]")
        self.assertEqual((1, "https://a/k"), (len(found.keys), found.jwks_url))

    def test_jwks_url(self) -> None:
        """
        Keys are fetched over TLS, or from this machine itself.
        """
        for url in (
            *(
                "https://id.example.com/jwks.json",
                "https://10.0.0.1:8443/k?v=1",
                "https://[2001:db8::1]/k",
                "https://a",
            ),
            *("http://127.0.0.1:8080/k", "http://127.8.8.8/k", "http://[::1]:80/k", "http://localhost:1/k"),
        ):
            self.assertEqual(url, self.issuer(f"issuer: a, jwks_url: '{url}'").jwks_url)

    def test_bad_jwks_url(self) -> None:
        """
        Row H2: keys are never fetched from where others can change them, nor from what is no place at all.
        """
        expected = "expected a URL such as https://id.example.com/jwks.json"
        plain = "keys are fetched over https only, except from this machine itself"
        for url, message in [
            ("http://id.example.com/k", plain),
            ("http://10.0.0.1/k", plain),
            ("http://localhost.example.com/k", plain),
            ("http://127.0.0.1.example.com/k", plain),
            ("ftp://127.0.0.1/k", expected),
            ("file:///etc/passwd", expected),
            ("id.example.com/k", expected),
            ("https://", expected),
            ("https://u:p@a/k", expected),
            ("https://a/k#x", expected),
            ("https://a/k x", expected),
            ("https://a/é", expected),
            ("https://a:0/k", expected),
            ("https://a:99999/k", expected),
            ("https://[::1/k", expected),
            ("https://a\\b/k", expected),
            ("https://169.254.169.254/k", "169.254.169.254 is a link-local address"),
            ("https://metadata.google.internal/k", "metadata.google.internal is a cloud's metadata address"),
        ]:
            errors = self.wrong(f"issuer: a, jwks_url: '{url}'")
            self.assertEqual(1, len(errors), (url, errors))
            self.assertTrue(errors[0].startswith(f"[0].jwks_url: {message}"), (url, errors))

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be.
        """
        url = "issuer: a, jwks_url: 'https://a/k'"
        for text, message in [
            (f"keys: [{KEY}]", ": needs the key 'issuer'"),
            (f"issuer: '', keys: [{KEY}]", ".issuer: expected a text that is not empty"),
            (f"issuer: siger-api-gateway, keys: [{KEY}]", ".issuer: siger-api-gateway is this gateway itself"),
            ("issuer: a", ": needs keys or a jwks_url, or none of its tokens could be verified"),
            ("issuer: a, keys: []", ".keys: a list of keys needs at least one"),
            ("issuer: a, keys: x", ".keys: expected a list, got a text"),
            (f"issuer: a, keys: [{KEY}, {KEY}]", ".keys: there are two keys without a kid"),
            (f"{url}, audience: ''", ".audience: expected a text that is not empty"),
            (f"{url}, algorithms: []", ".algorithms: a list of algorithms needs at least one"),
            (f"{url}, algorithms: RS256", ".algorithms: expected a list, got a text"),
            (f"{url}, user_claim: ''", ".user_claim: expected a text that is not empty"),
            (f"{url}, roles: [admin]", ".roles: expected a mapping, got a list"),
            (f"{url}, roles: {{a: adm}}", ".roles.a: there is no role 'adm'; others than user and admin are named"),
            (f"{url}, roles: {{a: A}}", ".roles.a: a role has 1 to 64 characters"),
            (f"{url}, default_role: usr", ".default_role: there is no role 'usr'; others than user and admin are"),
            (f"{url}, default_role: ", ".default_role: expected a text, got nothing"),
            (f"{url}, max_lifetime: 0", ".max_lifetime: expected a whole number from 1 to 31536000, got 0"),
            (f"{url}, max_age: 1", ".max_age: unknown key"),
        ]:
            errors = self.wrong(text)
            self.assertEqual(1, len(errors), (text, errors))
            self.assertTrue(errors[0].startswith(f"[0]{message}"), (text, errors))

    def test_families(self) -> None:
        """
        Row H1: fetched keys are never used with an algorithm of one shared secret, nor with none.
        """
        for algorithm in ("HS256", "HS384", "HS512", "none"):
            errors = self.wrong(f"issuer: a, jwks_url: 'https://a/k', algorithms: [RS256, {algorithm}]")
            self.assertEqual(1, len(errors))
            self.assertTrue(errors[0].startswith("[0].algorithms[1]: expected RS256, RS384, RS512, PS256,"), errors)

    def test_names_of_keys(self) -> None:
        """
        Row H2: a name stands for one key of an issuer; another issuer may use it too.
        """
        key = KEY.replace("{", "{kid: k, ", 1)
        self.assertEqual(["[0].keys: there are two keys named 'k'"], self.wrong(f"issuer: a, keys: [{key}, {key}]"))
        self.assertEqual([], self.wrong(f"issuer: a, keys: [{key}]", f"issuer: b, keys: [{key}]"))

    def test_twice(self) -> None:
        """
        Row H3: an issuer is there once; names are compared whole, and a slash makes another one.
        """
        url = "jwks_url: 'https://a/k'"
        errors = self.wrong(f"issuer: 'https://a', {url}", f"issuer: 'https://a', {url}")
        self.assertEqual(["[1]: the issuer 'https://a' is there twice"], errors)
        self.assertEqual([], self.wrong(f"issuer: 'https://a', {url}", f"issuer: 'https://a/', {url}"))
