"""
Tests of L{siger.config.effective}.
"""

from __future__ import annotations

import attrs
import yaml
from twisted.trial.unittest import SynchronousTestCase

from siger.config.effective import REDACTED, effective
from siger.config.settings.gateway import Settings
from tests.config.public_key_texts import EC_KEY
from tests.config.reading import loaded

FULL = """\
port: "[::1]:8080"
consul_address: c:1
nats_address: n:1
jwt_secret: 0123456789abcdef-0123456789abcdef
trusted_proxies: [10.0.0.0/8, '::1']
proxy_protocol: [10.0.0.0/8]
rate_limit: [{requests_per_second: 0.1, key: [user, 'header:X-A']}, {requests_per_second: 123456.789012345678}]
cors: {origins: ['http://a'], expose: [X-B], max_age: 1}
registration: closed
roles: [ops]
jwt_keys:
  - {kid: new, secret: abcdefgh-0123456789abcdef-0123456789}
  - {kid: old, secret: hgfedcba-0123456789abcdef-0123456789}
issuers:
  - {issuer: 'https://a', jwks_url: 'https://a/keys', default_role: '', roles: {there: ops}, algorithms: [ES256]}
  - {issuer: b, keys: [{algorithm: ES256, public_key: "@KEY@"}, {kid: k, algorithm: ES256, public_key: "@KEY@"}]}
nats: {user: gateway, password: hushhush-nats}
seed_users:
  - {username: admin, password: hushhush-seed, role: admin, id: "1"}
  - {username: bob, password: hushhush-seed}
jobs: {types: [b, a], gpu_types: [T4], quotas: {running: 2}, lease: 1.5, lost_after: 10}
drain_timeout: 2.5
consul: {expose: [b, a], token: hushhush, tags: [é]}
service_defaults:
  {auth: user, rate_limit: off, cors: {origins: ['*']}, forward_authorization: false, timeouts: {idle: 0.5}}
services:
  "on":
    instances: ["h:1", {address: '::1', port: 2, weight: 3, tags: [y, x], meta: {k: 'off'}}]
    rate_limit: {requests_per_second: 1}
    cors: off
    auth: [ops, admin]
  b:
  c: {protocol: h2, health: {grpc: a.B, interval: 1.5, timeout: 1, rise: 1, fall: 1}, max_streams: 5}
routes:
  - {grpc: a.B, service: b, timeouts: {deadline: 5}}
  - {path: '/{x}/', service: b, methods: [GET], timeouts: {idle: 1}, max_body: 1 MiB, rewrite: /r}
  - {host: '*.h', service: z, auth: public, rate_limit: off, cors: off, forward_authorization: true}
  - {host: 'h', service: z, rate_limit: {requests_per_second: 1, shadow: true}}
""".replace("@KEY@", EC_KEY.replace("\n", "\\n"))
CHECKED = """\
consul_address: c:1
service_defaults: {protocol: h2c, health: {grpc: ''}}
services: {a: , b: {health: off}, c: {health: {grpc: ''}}}
"""
SECRETS = {
    "SIGER_JWT_SECRET": "0123456789abcdef-0123456789abcdef",
    "SIGER_JWT_KEYS__0__SECRET": "abcdefgh-0123456789abcdef-0123456789",
    "SIGER_JWT_KEYS__1__SECRET": "hgfedcba-0123456789abcdef-0123456789",
    "SIGER_CONSUL__TOKEN": "hushhush",
    "SIGER_NATS__PASSWORD": "hushhush-nats",
    "SIGER_SEED_USERS__0__PASSWORD": "hushhush-seed",
    "SIGER_SEED_USERS__1__PASSWORD": "hushhush-seed",
}


class EffectiveTests(SynchronousTestCase):
    """
    Settings become a file again.
    """

    def test_round_trip(self) -> None:
        """
        What is printed is read as the same settings, once it has its secrets back.
        """
        for text, secrets in (("", {}), ("rate_limit: off", {}), (CHECKED, {}), (FULL, SECRETS)):
            settings = loaded(text)
            again = loaded(effective(settings), secrets)
            self.assertEqual(attrs.evolve(settings, warnings=()), attrs.evolve(again, warnings=()))

    def test_redacted(self) -> None:
        """
        Secrets are not printed; that there are some is.
        """
        printed = effective(loaded(FULL))
        for secret in SECRETS.values():
            self.assertNotIn(secret, printed)
        tree = yaml.safe_load(printed)
        self.assertEqual((REDACTED, REDACTED), (tree["jwt_secret"], tree["consul"]["token"]))
        self.assertEqual([REDACTED] * 2, [key["secret"] for key in tree["jwt_keys"]])
        self.assertEqual([REDACTED] * 2, [user["password"] for user in tree["seed_users"]])
        self.assertEqual((REDACTED, None), (tree["nats"]["password"], tree["nats"].get("token")))
        self.assertNotIn("jwt_secret", yaml.safe_load(effective(Settings())))

    def test_keys(self) -> None:
        """
        Every key of the file is there, and no other.
        """
        tree = yaml.safe_load(effective(loaded(FULL)))
        expected = set(attrs.fields_dict(Settings)) - {"listen", "warnings", "tls"} | {"port"}
        self.assertEqual(expected, set(tree))
        self.assertNotIn("name", tree["services"]["on"])

    def test_off(self) -> None:
        """
        What is off says so.
        """
        tree = yaml.safe_load(effective(loaded("rate_limit: off")))
        self.assertEqual(("off", "off", ""), (tree["rate_limit"], tree["cors"], tree["consul_address"]))

    def test_rates(self) -> None:
        """
        Rates are printed as they were written, to the last digit.
        """
        for rate in ("100", "0.1", "123456.789012345678", "0.001"):
            self.assertIn(
                f"requests_per_second: {rate}\n", effective(loaded(f"rate_limit: {{requests_per_second: {rate}}}"))
            )

    def test_no_anchors(self) -> None:
        """
        Values that occur twice are written twice.
        """
        self.assertNotRegex(effective(loaded("services: {a: , b: }")), r"[&*]id")
