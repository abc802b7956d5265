"""
Tests of L{siger.config.cors}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.admission import Cors
from tests.config.reading import errors_of, loaded


class CorsTests(SynchronousTestCase):
    """
    C{cors}.
    """

    STARRED = ("origins", "methods", "headers", "expose")

    def test_every_key(self) -> None:
        """
        Each key sets its field; origins alone are enough.
        """
        text = "origins: ['http://a'], methods: [GET], headers: [X-A, '*'], expose: [X-B], max_age: 5"
        self.assertEqual(Cors(("http://a",), ("GET",), ("X-A", "*"), ("X-B",), False, 5), self.cors(text))
        self.assertEqual(Cors(("http://a",), credentials=True), self.cors("origins: ['http://a'], credentials: true"))
        self.assertEqual(Cors(("*",)), self.cors("origins: ['*']"))
        self.assertEqual(
            Cors(("*",), ("*",), ("*",), ("*",)), self.cors(", ".join(f"{k}: ['*']" for k in self.STARRED))
        )

    def cors(self, text: str) -> Cors | None:
        """
        What the keys in a text come to.
        """
        return loaded(f"cors: {{{text}}}").cors

    def test_once(self) -> None:
        """
        What is written twice counts once, whatever the case of a field's name.
        """
        text = "origins: ['http://a', 'http://a'], methods: [GET, PUT, GET], headers: [X-A, x-a], expose: [B, B]"
        self.assertEqual(Cors(("http://a",), ("GET", "PUT"), ("X-A",), ("B",)), self.cors(text))

    def test_nothing(self) -> None:
        """
        There may be no field at all, and nobody to let in.
        """
        self.assertEqual(Cors((), headers=(), expose=()), self.cors("origins: [], headers: [], expose: []"))

    def test_max_age(self) -> None:
        """
        Browsers remember for a day at most.
        """
        for seconds in (0, 86400):
            found = self.cors(f"origins: ['*'], max_age: {seconds}")
            assert found is not None
            self.assertEqual(seconds, found.max_age)

    def test_star_and_credentials(self) -> None:
        """
        Row J1: any page with the visitor's credentials is refused, whichever list the star is in, at the top, in a
        service and in a route.
        """
        message = 'cors.credentials: "*" and credentials do not go together: any page could act as its visitor'
        for key in self.STARRED:
            rest = "" if key == "origins" else "origins: ['http://a'], "
            value = "['http://a', '*']" if key == "origins" else "['*']"
            text = f"{{{rest}{key}: {value}, credentials: true}}"
            self.assertEqual([f"config.yaml:1: {message}"], errors_of(f"cors: {text}"))
            self.assertEqual(
                [f"config.yaml:1: service_defaults.{message}", f"config.yaml:2: services.a.{message}"],
                errors_of(f"service_defaults: {{cors: {text}}}\nservices: {{a: {{cors: {text}}}}}"),
            )
            errors = errors_of(f"services: {{a: }}\nroutes:\n  - path: /\n    service: a\n    cors: {text}")
            self.assertEqual([f"config.yaml:5: routes[0].{message}"], errors)

    def test_star_without_credentials(self) -> None:
        """
        Row J1: every page may call where no credentials go along.
        """
        self.assertEqual(Cors(("*",)), self.cors("origins: ['*'], credentials: false"))

    def test_null(self) -> None:
        """
        Row J1: C{null} is never an origin, quoted or not.
        """
        for text in ("null", "'null'", "'NULL'", "~"):
            errors = errors_of(f"cors: {{origins: [{text}]}}")
            self.assertEqual(1, len(errors))
            self.assertTrue(errors[0].startswith("config.yaml:1: cors.origins[0]: expected "), errors)

    def test_own(self) -> None:
        """
        Services and routes have their own rules, none, or say nothing; defaults hold for services that say nothing.
        """
        settings = loaded(
            "cors: {origins: ['http://top']}\nservice_defaults: {cors: {origins: ['http://a']}}\n"
            "services: {a: , b: {cors: off}, c: {cors: {origins: ['http://c']}}}\n"
            "routes:\n  - {path: /a, service: a}\n  - {path: /b, service: a, cors: 'off'}\n"
        )
        found = [settings.service(name).cors for name in ("a", "b", "c", "unknown")]
        self.assertEqual([Cors(("http://a",)), "off", Cors(("http://c",)), Cors(("http://a",))], found)
        self.assertEqual([None, "off"], [route.cors for route in settings.routes])
        self.assertEqual(Cors(("http://top",)), settings.cors)

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be.
        """
        for text, message in [
            ("origins: '*'", "origins: expected a list, got a text"),
            ("origins: ['*'], methods: []", "methods: a list of methods needs at least one"),
            ("origins: ['*'], methods: '*'", "methods: expected a list, got a text"),
            ("origins: ['*'], methods: [get]", "methods[0]: expected an HTTP method in capitals, got 'get'"),
            ("origins: ['*'], methods: [TRACE]", "methods[0]: TRACE is always refused"),
            ("origins: ['*'], headers: ['a b']", "headers[0]: expected the name of a header field, got 'a b'"),
            ("origins: ['*'], expose: ['a,b']", "expose[0]: expected the name of a header field, got 'a,b'"),
            ("origins: ['*'], credentials: maybe", "credentials: expected true or false, got 'maybe'"),
            ("origins: ['*'], max_age: -1", "max_age: expected a whole number from 0 to 86400, got -1"),
            ("origins: ['*'], max_age: 86401", "max_age: expected a whole number from 0 to 86400, got 86401"),
            ("origins: ['*'], origin: x", "origin: unknown key; did you mean 'origins'?"),
        ]:
            self.assertEqual([f"config.yaml:1: cors.{message}"], errors_of(f"cors: {{{text}}}"))
