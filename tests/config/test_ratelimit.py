"""
Tests of L{siger.config.ratelimit}.
"""

from __future__ import annotations

from fractions import Fraction

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.admission import RateLimit, RateLimits
from tests.config.reading import errors_of, loaded


def limits(text: str) -> RateLimits:
    """
    The limits at the top, as written.
    """
    return loaded(f"rate_limit: {text}").rate_limit


def wrong(text: str) -> list[str]:
    """
    The errors in a limit, without what they all begin with.
    """
    return [error.removeprefix("config.yaml:1: rate_limit") for error in errors_of(f"rate_limit: {text}")]


class RateLimitsTests(SynchronousTestCase):
    """
    C{rate_limit}.
    """

    def test_rate(self) -> None:
        """
        The rate is exactly what is written, and twice as many may come at once unless something else is said.
        """
        for text, rate, burst in [
            ("100", Fraction(100), 200),
            ("0.1", Fraction(1, 10), 1),
            ("0.75", Fraction(3, 4), 2),
            ("1e3", Fraction(1000), 2000),
            ("0.001", Fraction(1, 1000), 1),
            ("1000000", Fraction(10**6), 2 * 10**6),
        ]:
            self.assertEqual((RateLimit(rate, burst),), limits(f"{{requests_per_second: {text}}}"), text)

    def test_every_key(self) -> None:
        """
        Each key sets its field.
        """
        text = "{requests_per_second: 1, burst: 7, key: user, shadow: true}"
        self.assertEqual((RateLimit(Fraction(1), 7, ("user",), True),), limits(text))

    def test_keys(self) -> None:
        """
        Whatever a bucket can belong to, alone or together; names of fields in lower case.
        """
        for text, key in [
            *((name, (name,)) for name in ("client_ip", "user", "route", "service")),
            ("'claim:https://example.com/Org'", ("claim:https://example.com/Org",)),
            ("header:X-API-Key", ("header:x-api-key",)),
            ("[user]", ("user",)),
            ("[route, client_ip, 'header:A', claim:a]", ("route", "client_ip", "header:a", "claim:a")),
        ]:
            (limit,) = limits(f"{{requests_per_second: 1, key: {text}}}")
            self.assertEqual(key, limit.key)

    def test_several(self) -> None:
        """
        Several limits hold together, in their order.
        """
        found = limits("[{requests_per_second: 1}, {requests_per_second: 50, key: service}]")
        self.assertEqual((RateLimit(Fraction(1), 2), RateLimit(Fraction(50), 100, ("service",))), found)

    def test_off(self) -> None:
        """
        Off is no limit at all.
        """
        for text in ("off", "'off'", "false"):
            self.assertEqual((), limits(text))

    def test_unsaid(self) -> None:
        """
        Where nothing is said there is a limit all the same; it is what a service without its own gets.
        """
        settings = loaded("services: {a: {instances: ['h:1']}, b: {instances: ['h:1'], rate_limit: off}}")
        self.assertEqual((RateLimit(Fraction(100), 200, ("client_ip",)),), settings.rate_limit)
        self.assertEqual((None, ()), (settings.service("a").rate_limit, settings.service("b").rate_limit))

    def test_inherited(self) -> None:
        """
        A service without limits has those of the defaults, and with its own it has those alone.
        """
        settings = loaded(
            "service_defaults: {rate_limit: {requests_per_second: 1}}\n"
            "services: {a: {instances: ['h:1']}, b: {instances: ['h:1'], rate_limit: [{requests_per_second: 2}]}}"
        )
        self.assertEqual((RateLimit(Fraction(1), 2),), settings.service("a").rate_limit)
        self.assertEqual((RateLimit(Fraction(2), 4),), settings.service("b").rate_limit)

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be.
        """
        rate = "requests_per_second: 1"
        expected = "expected client_ip, user, route, service, claim:NAME or header:NAME, got"
        for text, message in [
            ("on", ": expected a mapping, got true or false"),
            ("5", ": expected a mapping, got a number"),
            ("[]", ": an empty list limits nothing; if that is meant, write off"),
            ("[off]", "[0]: expected a mapping, got true or false"),
            ("{}", ": needs the key 'requests_per_second'"),
            ("[{requests_per_second: 1}, {burst: 1}]", "[1]: needs the key 'requests_per_second'"),
            ("{requests_per_second: 0}", ".requests_per_second: expected a number from 0.001 to 1000000, got 0"),
            (
                "{requests_per_second: 1/60}",
                ".requests_per_second: expected a number from 0.001 to 1000000, got '1/60'",
            ),
            ("{requests_per_second: 1000000.1}", ".requests_per_second: expected a number from 0.001 to 1000000, got"),
            (f"{{{rate}, burst: 0}}", ".burst: expected a whole number from 1 to 10000000, got 0"),
            (f"{{{rate}, burst: 1.5}}", ".burst: expected a whole number from 1 to 10000000, got '1.5'"),
            (f"{{{rate}, key: x}}", f".key: {expected} 'x'"),
            (f"{{{rate}, key: client}}", f".key: {expected} 'client'; did you mean 'client_ip'?"),
            (f"{{{rate}, key: 'header:'}}", f".key: {expected} 'header:'"),
            (f"{{{rate}, key: 'header:a b'}}", f".key: {expected} 'header:a b'"),
            (f"{{{rate}, key: 'claim:'}}", f".key: {expected} 'claim:'"),
            (f"{{{rate}, key: 'Claim:a'}}", f".key: {expected} 'Claim:a'"),
            (f"{{{rate}, key: []}}", ".key: a list of keys needs at least one"),
            (f"{{{rate}, key: [user, y]}}", f".key[1]: {expected} 'y'"),
            (f"{{{rate}, key: ['header:A', 'header:a']}}", ".key: header:a is there twice"),
            (f"{{{rate}, shadow: 1}}", ".shadow: expected true or false, got '1'"),
            (f"{{{rate}, per: 1}}", ".per: unknown key"),
        ]:
            errors = wrong(text)
            self.assertEqual(1, len(errors), (text, errors))
            self.assertTrue(errors[0].startswith(message), (text, errors))
