"""
Tests of L{siger.config.health}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.services import HealthCheck
from tests.config.reading import errors_of, loaded


def check(text: str, defaults: str = "{protocol: h2c}") -> HealthCheck | None:
    """
    The health check of a service, as written between its braces.
    """
    return loaded(f"service_defaults: {defaults}\nservices: {{a: {{{text}}}}}").services["a"].health


def wrong(text: str) -> list[str]:
    """
    The errors in a file of one line, without what they all begin with.
    """
    return [error.removeprefix("config.yaml:1: ") for error in errors_of(text)]


class HealthTests(SynchronousTestCase):
    """
    C{health}, in a service and in what services have in common.
    """

    def test_none(self) -> None:
        """
        Nobody is asked unless that is written.
        """
        self.assertIsNone(check(""))
        self.assertIsNone(loaded("").service("a").health)

    def test_every_key(self) -> None:
        """
        Each key sets its field; what is not written has its default.
        """
        for text, expected in [
            ("grpc: ''", HealthCheck()),
            ("grpc: a.v1.B", HealthCheck("a.v1.B")),
            ("grpc: '', interval: 0.5, timeout: 0.5", HealthCheck("", 0.5, 0.5)),
            ("grpc: '', rise: 1, fall: 100", HealthCheck("", rise=1, fall=100)),
        ]:
            self.assertEqual(expected, check(f"health: {{{text}}}"), text)
            self.assertEqual(expected, check("", f"{{protocol: h2, health: {{{text}}}}}"), text)

    def test_off(self) -> None:
        """
        A service can do without the check of all others, and then speak what it likes.
        """
        defaults = "{protocol: h2c, health: {grpc: ''}}"
        self.assertIsNone(check("health: off", defaults))
        self.assertIsNone(check("health: off, protocol: http1", defaults))
        self.assertEqual(HealthCheck(), check("", defaults))

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be.
        """
        for text, message in [
            ("{}", ": needs the key 'grpc'"),
            ("on", ": expected a mapping, got true or false"),
            ("{grpc: a-b}", ".grpc: expected a gRPC service such as package.v1.Service, got 'a-b'"),
            ("{grpc: '', interval: 0}", ".interval: expected a number from 0.01 to 86400, got 0"),
            ("{grpc: '', timeout: 0}", ".timeout: expected a number from 0.01 to 86400, got 0"),
            ("{grpc: '', rise: 0}", ".rise: expected a whole number from 1 to 100, got 0"),
            ("{grpc: '', fall: 101}", ".fall: expected a whole number from 1 to 100, got 101"),
            ("{grpc: '', interval: 1}", ": its timeout, 2, is longer than its interval, 1"),
            ("{grpc: '', fail: 1}", ".fail: unknown key; did you mean 'fall'?"),
        ]:
            errors = wrong(f"service_defaults: {{protocol: h2c, health: {text}}}")
            self.assertEqual([f"service_defaults.health{message}"], errors)

    def test_protocol(self) -> None:
        """
        Who speaks no HTTP/2 cannot be asked by gRPC.
        """
        message = "health asks by gRPC, so it needs protocol h2c or h2"
        check = "health: {grpc: ''}"
        for text, path in [
            (f"services: {{a: {{{check}}}}}", "services.a"),
            (f"services: {{a: {{{check}, protocol: https}}}}", "services.a"),
            (f"service_defaults: {{{check}}}", "service_defaults"),
            (f"{{service_defaults: {{{check}, protocol: h2}}, services: {{a: {{protocol: http1}}}}}}", "services.a"),
        ]:
            self.assertEqual([f"{path}: {message}"], wrong(text), text)

    def test_protocol_by_route(self) -> None:
        """
        It is enough that a gRPC route says what a service speaks.
        """
        text = "services: {a: {instances: ['h:1'], health: {grpc: ''}}}\nroutes: [{grpc: a.B, service: a}]"
        self.assertEqual(HealthCheck(), loaded(text).services["a"].health)
