"""
Tests of L{siger.config.effective}.
"""

from __future__ import annotations

import attrs
import yaml
from twisted.trial.unittest import SynchronousTestCase

from siger.config.effective import REDACTED, effective
from siger.config.settings import Settings
from tests.config.reading import loaded

FULL = """\
port: "[::1]:8080"
consul_address: c:1
nats_address: embedded
jwt_secret: 0123456789abcdef-0123456789abcdef
trusted_proxies: [10.0.0.0/8, '::1']
rate_limit: {requests_per_second: 0.5}
cors: {origins: ['http://a']}
drain_timeout: 2.5
consul: {expose: [b, a], token: hushhush, tags: [é]}
service_defaults: {rate_limit: off, timeouts: {idle: 0.5}}
services:
  "on":
    instances: ["h:1", {address: '::1', port: 2, weight: 3, tags: [y, x], meta: {k: 'off'}}]
    rate_limit: {requests_per_second: 1}
  b:
routes:
  - {path: '/{x}/', service: b, methods: [GET], timeouts: {idle: 1}, max_body: 1 MiB, rewrite: /r}
  - {host: '*.h', service: z}
"""


class EffectiveTests(SynchronousTestCase):
    """
    Settings become a file again.
    """

    def test_round_trip(self) -> None:
        """
        What is printed is read as the same settings, once it has its secrets back.
        """
        for text in ("", FULL):
            settings = loaded(text)
            secrets = {"SIGER_JWT_SECRET": settings.jwt_secret, "SIGER_CONSUL__TOKEN": settings.consul.token}
            again = loaded(effective(settings), {name: secret for name, secret in secrets.items() if secret})
            self.assertEqual(attrs.evolve(settings, warnings=()), attrs.evolve(again, warnings=()))

    def test_redacted(self) -> None:
        """
        Secrets are not printed; that there are some is.
        """
        printed = effective(loaded(FULL))
        self.assertNotIn("hushhush", printed)
        self.assertNotIn("0123456789", printed)
        tree = yaml.safe_load(printed)
        self.assertEqual((REDACTED, REDACTED), (tree["jwt_secret"], tree["consul"]["token"]))
        self.assertNotIn("jwt_secret", yaml.safe_load(effective(Settings())))

    def test_keys(self) -> None:
        """
        Every key of the file is there, and no other.
        """
        tree = yaml.safe_load(effective(loaded(FULL)))
        expected = set(attrs.fields_dict(Settings)) - {"listen", "warnings"} | {"port"}
        self.assertEqual(expected, set(tree))
        self.assertNotIn("name", tree["services"]["on"])

    def test_off(self) -> None:
        """
        What is off says so.
        """
        tree = yaml.safe_load(effective(Settings()))
        self.assertEqual(("off", "off", ""), (tree["rate_limit"], tree["cors"], tree["consul_address"]))

    def test_no_anchors(self) -> None:
        """
        Values that occur twice are written twice.
        """
        self.assertNotRegex(effective(loaded("services: {a: , b: }")), r"[&*]id")
