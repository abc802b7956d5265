"""
Tests of L{siger.config.gateway}.
"""

from __future__ import annotations

from fractions import Fraction
from ipaddress import ip_network
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.accounts import JwtKey
from siger.config.settings.admission import Cors, RateLimit
from siger.config.settings.consul import ConsulSettings
from siger.config.settings.gateway import Settings
from siger.config.settings.limits import Limits
from siger.config.settings.nats import NatsSettings
from tests.config.reading import errors_of, loaded

LONG = "0123456789abcdef0123456789abcdef"


class GatewayTests(SynchronousTestCase):
    """
    The keys at the top.
    """

    def test_empty(self) -> None:
        """
        An empty file has all the defaults, without Consul and jobs.
        """
        for text in ("", "# nothing\n", "{}", "---\n"):
            self.assertEqual(Settings(), loaded(text))

    def test_every_key(self) -> None:
        """
        Each key sets its field.
        """
        for text, field, expected in [
            *((f"log_level: {level}", "log_level", level) for level in ("debug", "info", "warn", "error", "critical")),
            ("log_level: warning", "log_level", "warn"),
            (f"jwt_secret: {LONG}", "jwt_secret", LONG),
            ("jwt_secret: ${S}", "jwt_secret", "é" * 16),
            ("jwt_expiration: 1", "jwt_expiration", 1),
            ("data_dir: /var/lib/siger", "data_dir", Path("/var/lib/siger")),
            ("access_log: '-'", "access_log", "-"),
            ("access_log: off", "access_log", "off"),
            ("access_log: 'off'", "access_log", "off"),
            ("access_log: false", "access_log", "off"),
            ("access_log: /var/log/x", "access_log", "/var/log/x"),
            ("drain_timeout: 0", "drain_timeout", 0),
            ("drain_timeout: 2.5", "drain_timeout", 2.5),
            ("workers: 1", "workers", 1),
            ("http2: false", "http2", False),
            ("port: 1", "http2", True),
            ("rate_limit: off", "rate_limit", ()),
            ("rate_limit: 'off'", "rate_limit", ()),
            ("rate_limit: {requests_per_second: 5}", "rate_limit", (RateLimit(Fraction(5), 10),)),
            ("port: 1", "rate_limit", (RateLimit(Fraction(100), 200, ("client_ip",)),)),
            ("cors: {origins: ['http://a']}", "cors", Cors(("http://a",))),
            ("proxy_protocol: [10.0.0.0/8, '::1']", "proxy_protocol", (ip_network("10.0.0.0/8"), ip_network("::1"))),
            ("roles: [ops]", "roles", frozenset({"user", "admin", "ops"})),
            ("roles: ", "roles", frozenset({"user", "admin"})),
            (f"jwt_keys: [{{kid: a, secret: {LONG}}}]", "jwt_keys", (JwtKey("a", LONG),)),
            ("issuers: ", "issuers", ()),
            ("nats: ", "nats", NatsSettings()),
            ("seed_users: ", "seed_users", ()),
            ("cors: off", "cors", None),
            ("cors: false", "cors", None),
            ("registration: open", "registration", "open"),
            ("registration: admin", "registration", "admin"),
            ("registration: closed", "registration", "closed"),
            ("consul: ", "consul", ConsulSettings()),
            ("services: ", "services", {}),
            ("routes: ", "routes", ()),
            ("limits: ", "limits", Limits()),
        ]:
            self.assertEqual(expected, getattr(loaded(text, {"S": "é" * 16}), field), text)

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be.
        """
        for text, message in [
            ("log_level: loud", "log_level: expected debug, info, warn, warning, error or critical, got 'loud'"),
            (
                "log_level: INFO",
                "log_level: expected debug, info, warn, warning, error or critical, got 'INFO'; did you",
            ),
            ("jwt_expiration: 0", "jwt_expiration: expected a whole number from 1 to 525600, got 0"),
            ("jwt_expiration: 1.5", "jwt_expiration: expected a whole number from 1 to 525600, got '1.5'"),
            ("http2: h2", "http2: expected true or false, got 'h2'"),
            ("data_dir: ''", "data_dir: expected a path, got an empty text"),
            ("data_dir: 5", "data_dir: expected a text, got a number; put it in quotes"),
            ("access_log: ''", "access_log: expected a path, got an empty text"),
            ("access_log: on", "access_log: expected a text, got true or false; put it in quotes"),
            ("drain_timeout: -1", "drain_timeout: expected a number from 0 to 3600, got -1"),
            ("drain_timeout: 30s", "drain_timeout: expected a number from 0 to 3600, got '30s'"),
            ("workers: 0", "workers: expected a whole number from 1 to 1024, got 0"),
            ("rate_limit: ", "rate_limit: needs the key 'requests_per_second'"),
            ("rate_limit: on", "rate_limit: expected a mapping, got true or false"),
            ("cors: ", "cors: needs the key 'origins'"),
            ("proxy_protocol: [x]", "proxy_protocol[0]: expected a network such as 10.0.0.0/8, got 'x'"),
            ("roles: ops", "roles: expected a list, got a text"),
            ("roles: [A]", "roles[0]: a role has 1 to 64 characters of a-z"),
            ("jwt_keys: {}", "jwt_keys: expected a list, got a mapping"),
            ("issuers: x", "issuers: expected a list, got a text"),
            ("nats: []", "nats: expected a mapping, got a list"),
            ("seed_users: {}", "seed_users: expected a list, got a mapping"),
            ("cors: '*'", "cors: expected a mapping, got a text"),
            ("registration: off", "registration: expected open, admin or closed, got 'off'"),
            ("services: []", "services: expected a mapping, got a list"),
            ("service_defaults: 5", "service_defaults: expected a mapping, got a number"),
            ("routes: {}", "routes: expected a list, got a mapping"),
            ("routes: [5]", "routes[0]: expected a mapping, got a number"),
            ("limits: []", "limits: expected a mapping, got a list"),
            ("consul: x", "consul: expected a mapping, got a text"),
            ("trusted_proxy: []", "trusted_proxy: unknown key; did you mean 'trusted_proxies'?"),
            ("accessLog: off", "accessLog: unknown key; did you mean 'access_log'?"),
        ]:
            errors = errors_of(text)
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(errors[0].startswith(f"config.yaml:1: {message}"), errors)


class SecretTests(SynchronousTestCase):
    """
    C{jwt_secret}.
    """

    def test_short(self) -> None:
        """
        Row H4: a secret under 32 bytes is refused, and not shown.
        """
        for secret in ("", "x" * 31, "hush"):
            (error,) = errors_of(f"jwt_secret: '{secret}'")
            self.assertTrue(error.startswith("config.yaml:1: jwt_secret: has less than 32 bytes"), error)
            self.assertNotIn("hush", error)

    def test_published(self) -> None:
        """
        Row H4: a published sample signs nothing: it is left out, with a warning that does not show it.
        """
        for secret in (
            "default-very-secure-key-change-me-in-production",
            "default-very-secure-anything",
            "your-secret-key",
            "your-256-bit-secret",
            "a-string-secret-at-least-256-bits-long",
            "your-super-secret-jwt-key-change-this-in-production",
            "CHANGE_ME_before_you_use_this_secret_please",
        ):
            found = loaded(f"\njwt_secret: {secret}")
            self.assertEqual("", found.jwt_secret, secret)
            self.assertIn("config.yaml:2: jwt_secret: this is a published sample", found.warnings[0])
            self.assertNotIn(secret, str(found.warnings))

    def test_published_beside_keys(self) -> None:
        """
        Row H4: where other keys sign, the warning does not promise a random secret.
        """
        text = f"jwt_secret: your-secret-key\njwt_keys: [{{kid: a, secret: {LONG}}}]"
        (warning,) = loaded(text).warnings
        self.assertTrue(
            warning.endswith("config.yaml:1: jwt_secret: this is a published sample, which is not used; jwt_keys are"),
            warning,
        )

    def test_published_in_environment(self) -> None:
        """
        Row H4: a sample is one wherever it comes from.
        """
        for text, environ in (("", {"SIGER_JWT_SECRET": "your-secret-key"}), ("jwt_secret: ${S}", {"S": "changeme"})):
            found = loaded(text, environ)
            self.assertEqual(("", 1), (found.jwt_secret, len(found.warnings)), text)

    def test_other_secrets(self) -> None:
        """
        An ordinary random secret is kept.
        """
        self.assertEqual(LONG, loaded(f"jwt_secret: '{LONG}'").jwt_secret)

    def test_hidden(self) -> None:
        """
        Secrets are in no C{repr}.
        """
        settings = loaded(f"jwt_secret: {LONG}\nconsul: {{token: hushhush}}")
        self.assertEqual(("hushhush", LONG), (settings.consul.token, settings.jwt_secret))
        self.assertNotIn(LONG, repr(settings))
        self.assertNotIn("hushhush", repr(settings))

    def test_in_errors(self) -> None:
        """
        Secrets are in no error, wherever they stand.
        """
        for text in (
            "jwt_secret: 4711",
            "jwt_secret: [4711]",
            "consul: 4711",
            "consul: {token: 'a 4711'}",
            "4711",
            "consul: '4711'",
            "cors: 4711",
            "jwt_secret: '4711'",
        ):
            (error,) = errors_of(text)
            self.assertNotIn("4711", error)


class LimitsTests(SynchronousTestCase):
    """
    C{limits}.
    """

    BOUNDS = {
        "request_line": (256, 2**20),
        "header_bytes": (1024, 2**20),
        "header_count": (8, 1000),
        "header_timeout": (0.01, 86400),
        "keepalive_timeout": (0.01, 86400),
        "max_requests": (1, 10**9),
        "body_timeout": (0.01, 86400),
        "min_body_rate": (0, 10**9),
        "write_timeout": (0.01, 86400),
        "streams": (1, 10**4),
        "connections": (1, 10**9),
        "connections_per_client": (1, 10**9),
        "local_body": (0, 2**30),
    }

    def test_bounds(self) -> None:
        """
        Each key sets its field, from its least to its greatest value and no further.
        """
        for key, (low, high) in self.BOUNDS.items():
            for value in (low, high):
                self.assertEqual(value, getattr(loaded(f"limits: {{{key}: {value}}}").limits, key), key)
            for bad in (low - 1, high + 1, "x"):
                errors = errors_of(f"limits: {{{key}: {bad}}}")
                self.assertEqual(1, len(errors), key)
                self.assertTrue(errors[0].startswith(f"config.yaml:1: limits.{key}: expected a "), errors)

    def test_complete(self) -> None:
        """
        There is a key for every field.
        """
        self.assertEqual(set(Limits.__slots__) - {"__weakref__"}, set(self.BOUNDS))

    def test_unknown(self) -> None:
        """
        There is no other.
        """
        self.assertEqual(
            ["config.yaml:1: limits.header_byte: unknown key; did you mean 'header_bytes'?"],
            errors_of("limits: {header_byte: 1}"),
        )
