"""
Tests of L{siger.config.consul}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.addresses import Address
from tests.config.reading import errors_of, loaded


class ConsulTests(SynchronousTestCase):
    """
    C{consul}.
    """

    def test_every_key(self) -> None:
        """
        Each key sets its field.
        """
        for text, field, expected in [
            ("expose: all", "expose", "all"),
            ("expose: tagged", "expose", "tagged"),
            ("expose: [a, b, a]", "expose", frozenset({"a", "b"})),
            ("expose: []", "expose", frozenset()),
            ("token: 'abc-1'", "token", "abc-1"),
            ("datacenter: dc1", "datacenter", "dc1"),
            ("register: no", "register", False),
            ("stale: false", "stale", False),
            ("address: 10.0.0.1", "address", "10.0.0.1"),
            ("address: gateway.internal", "address", "gateway.internal"),
            ("address: ''", "address", ""),
            ("tags: [a, b]", "tags", ("a", "b")),
        ]:
            found = loaded(f"consul_address: c\nconsul: {{{text}}}")
            self.assertEqual(expected, getattr(found.consul, field), text)
            self.assertEqual(Address("c", 8500), found.consul_address)

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be.
        """
        for text, message in [
            ("expose: none", "expose: expected all or tagged, got 'none'"),
            ("expose: [A]", "expose[0]: a service's name has 1 to 63"),
            ("token: 5", "token: expected a text, got a number; put it in quotes"),
            ("token: a b", "token: holds a blank, or a character outside ASCII"),
            ("datacenter: é", "datacenter: holds a blank, or a character outside ASCII"),
            ("register: open", "register: expected true or false, got 'open'"),
            ("stale: 0", "stale: expected true or false, got '0'"),
            ("address: 'a:1'", "address: expected an IP address or a host name, got 'a:1'"),
            ("tags: a", "tags: expected a list, got a text"),
            ("adress: a", "adress: unknown key; did you mean 'address'?"),
        ]:
            errors = errors_of(f"consul: {{{text}}}")
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(errors[0].startswith(f"config.yaml:1: consul.{message}"), errors)
