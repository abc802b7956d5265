"""
Tests of L{siger.config.routes}.
"""

from __future__ import annotations

from fractions import Fraction

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.admission import Cors, RateLimit
from siger.config.settings.routes import RouteSettings
from siger.config.settings.services import Timeouts
from tests.config.reading import errors_of, loaded

SERVICES = "services: {echo: {timeouts: {idle: 7}}, other: {}}\n"


def routes(*texts: str) -> tuple[RouteSettings, ...]:
    """
    Routes, as written between their braces.
    """
    return loaded(SERVICES + "routes:\n" + "".join(f"  - {{{text}}}\n" for text in texts)).routes


def wrong(*texts: str) -> list[str]:
    """
    The errors in routes, without what they all begin with.
    """
    errors = errors_of(SERVICES + "routes:\n" + "".join(f"  - {{{text}}}\n" for text in texts))
    return [error.partition(" routes")[2] for error in errors]


class RoutesTests(SynchronousTestCase):
    """
    C{routes}.
    """

    def test_every_key(self) -> None:
        """
        Each key sets its field.
        """
        for text, field, expected in [
            ("path: /v1", "path", "/v1"),
            ("path: /v1/", "path", "/v1/"),
            ("path: /", "path", "/"),
            ("path: '/users/{id}/x'", "path", "/users/{id}/x"),
            ("path: /a%20b/c;d=1/@~", "path", "/a%20b/c;d=1/@~"),
            ("host: API.example.com", "host", "api.example.com"),
            ("host: '*.Example.com'", "host", "*.example.com"),
            ("host: '::1'", "host", "::1"),
            ("path: /, methods: [GET, POST, GET]", "methods", ("GET", "POST")),
            ("path: /v1/a/, strip: /v1/", "strip", "/v1"),
            ("path: /v1, strip: /v1", "strip", "/v1"),
            ("path: /v1, rewrite: /api/", "rewrite", "/api"),
            ("path: /v1, rewrite: /", "rewrite", "/"),
            ("path: /, auth: public", "auth", "public"),
            ("path: /", "auth", None),
            ("path: /", "timeouts", None),
            ("path: /, timeouts: {connect: 1}", "timeouts", Timeouts(1, 60, 7)),
            ("path: /, max_body: 1 KiB", "max_body", 1024),
            ("path: /", "max_body", None),
            ("path: /, encoded_slashes: keep", "encoded_slashes", "keep"),
            ("path: /a%2Fb, encoded_slashes: keep", "path", "/a%2Fb"),
            ("path: /", "encoded_slashes", "reject"),
            ("path: /, rate_limit: off", "rate_limit", ()),
            ("path: /, rate_limit: {requests_per_second: 1}", "rate_limit", (RateLimit(Fraction(1), 2),)),
            ("path: /", "rate_limit", None),
            ("path: /, cors: off", "cors", "off"),
            ("path: /, cors: {origins: ['http://a']}", "cors", Cors(("http://a",))),
            ("path: /", "cors", None),
            ("path: /, forward_authorization: true", "forward_authorization", True),
            ("path: /, forward_authorization: false", "forward_authorization", False),
            ("path: /", "forward_authorization", None),
            ("path: /, auth: user", "auth", "user"),
            ("grpc: package.v1.Service", "grpc", "package.v1.Service"),
            ("grpc: _S", "grpc", "_S"),
            ("grpc: a.B", "path", ""),
            ("grpc: a.B, host: H", "host", "h"),
            ("grpc: a.B, timeouts: {deadline: 5}", "timeouts", Timeouts(3, 60, 7, 5)),
            ("path: /, auth: [b, a, b]", "auth", ("b", "a")),
        ]:
            (route,) = routes(f"service: echo, {text}")
            self.assertEqual(("echo", expected), (route.service, getattr(route, field)), text)

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be.
        """
        for text, message in [
            ("path: v1", ".path: a path begins with /, got 'v1'"),
            ("path: ''", ".path: a path begins with /, got ''"),
            ("path: //a", ".path: a path has no empty segments (//)"),
            ("path: /a//", ".path: a path has no empty segments (//)"),
            ("path: /a/../b", ".path: a path has no . or .. segments"),
            ("path: /.", ".path: a path has no . or .. segments"),
            ("path: '/a?b'", ".path: 'a?b' cannot stand in a path; other characters are written %XX"),
            ("path: '/a#b'", ".path: 'a#b' cannot stand in a path; other characters are written %XX"),
            ("path: /a b", ".path: 'a b' cannot stand in a path; other characters are written %XX"),
            ("path: /é", ".path: 'é' cannot stand in a path; other characters are written %XX"),
            ("path: /%2", ".path: '%2' cannot stand in a path; other characters are written %XX"),
            ("path: /%c3", ".path: '%c3' cannot stand in a path; other characters are written %XX"),
            ("path: '/{a'", ".path: '{a' cannot stand in a path; other characters are written %XX"),
            ("path: '/x{a}'", ".path: 'x{a}' cannot stand in a path; other characters are written %XX"),
            ("path: /%41", ".path: %41 is only another spelling of A"),
            ("path: /a%7Eb", ".path: %7E is only another spelling of ~"),
            ("path: /%2E%2E", ".path: %2E is only another spelling of ."),
            ("path: '/{a}/{a}'", ".path: a path names each of its parameters differently"),
            ("path: /a%2Fb", ": its path has an encoded slash, so it needs encoded_slashes: keep"),
            ("host: a_b c", ".host: expected an IP address or a host name, got 'a_b c'"),
            ("host: '*.*.a'", ".host: expected an IP address or a host name, got '*.*.a'"),
            ("host: 'a:80'", ".host: expected an IP address or a host name, got 'a:80'"),
            ("path: /, methods: []", ".methods: a list of methods needs at least one"),
            ("path: /, methods: ", ".methods: a list of methods needs at least one"),
            ("path: /, methods: GET", ".methods: expected a list, got a text"),
            ("path: /, methods: [get]", ".methods[0]: expected an HTTP method in capitals, got 'get'"),
            ("path: /, methods: [CONNECT]", ".methods[0]: CONNECT is always refused"),
            ("path: /, strip: /", ".strip: there is nothing to strip in /"),
            ("path: /v10, strip: /v1", ".strip: '/v1' is not how the path '/v10' begins"),
            ("host: h, strip: /v1", ".strip: '/v1' is not how the path '/' begins"),
            ("path: '/{a}', strip: '/{a}'", ".strip: '{a}' cannot stand in a path; other characters are written %XX"),
            ("path: /, rewrite: x", ".rewrite: a path begins with /, got 'x'"),
            ("path: /, auth: nobody", ".auth: expected public, user or a list of roles, got 'nobody'; did you"),
            ("path: /, timeouts: {x: 1}", ".timeouts.x: unknown key"),
            ("path: /, max_body: x", ".max_body: expected a number of bytes such as 65536 or 64 MiB, got 'x'"),
            ("path: /, encoded_slashes: decode", ".encoded_slashes: expected reject or keep, got 'decode'"),
            ("path: /, rate_limit: 5", ".rate_limit: expected a mapping, got a number"),
            ("path: /, rate_limit: []", ".rate_limit: an empty list limits nothing; if that is meant, write off"),
            ("path: /, cors: on", ".cors: expected a mapping, got true or false"),
            ("path: /, cors: {methods: [GET]}", ".cors: needs the key 'origins'"),
            ("path: /, forward_authorization: 1", ".forward_authorization: expected true or false, got '1'"),
            ("path: /, pathh: /", ".pathh: unknown key; did you mean 'path'?"),
            ("methods: [GET]", ": needs a path, a host or a grpc to say which requests it takes"),
            ("grpc: a.B.", ".grpc: expected a gRPC service such as package.v1.Service, got 'a.B.'"),
            ("grpc: /a.B", ".grpc: expected a gRPC service such as package.v1.Service, got '/a.B'"),
            ("grpc: ''", ".grpc: expected a gRPC service such as package.v1.Service, got ''"),
            ("grpc: a-b", ".grpc: expected a gRPC service such as package.v1.Service, got 'a-b'"),
        ]:
            errors = wrong(f"service: echo, {text}")
            self.assertTrue(errors and errors[0].startswith(f"[0]{message}"), (text, errors))
            self.assertEqual(1, len(errors), errors)

    def test_wrong_path_and_strip(self) -> None:
        """
        A wrong path is one error, and none for what should be stripped from it.
        """
        self.assertEqual(["[0].path: a path begins with /, got 'v1'"], wrong("service: echo, path: v1, strip: /v1"))

    def test_grpc_goes_alone(self) -> None:
        """
        A gRPC service's name is its path.
        """
        for key, value in (("path", "/"), ("methods", "[POST]"), ("rewrite", "/x")):
            message = f"[0]: a grpc route has no {key}: the service's name says it all"
            self.assertEqual([message], wrong(f"service: echo, grpc: a.B, {key}: {value}"))

    def test_service(self) -> None:
        """
        A route goes to a service with a proper name.
        """
        self.assertEqual(["[0]: needs the key 'service'"], wrong("path: /"))
        self.assertIn("[0].service: a service's name has 1 to 63", wrong("path: /, service: A")[0])

    def test_unknown_service(self) -> None:
        """
        Without Consul, the service must be in the file.
        """
        message = (
            "[0].service: there is no service 'ehco' under services, and no Consul to know it; did you mean 'echo'?"
        )
        self.assertEqual([message], wrong("path: /, service: ehco"))
        self.assertEqual(1, len(errors_of("routes: [{path: /, service: a}]")))

    def test_service_of_consul(self) -> None:
        """
        With Consul it need not be.
        """
        settings = loaded(
            "consul_address: c\nservice_defaults: {timeouts: {idle: 2}}\n"
            "routes: [{path: /, service: a, timeouts: {connect: 1}}]"
        )
        self.assertEqual(Timeouts(1, 60, 2), settings.routes[0].timeouts)

    def test_no_errors_on_top(self) -> None:
        """
        While services or Consul's address are wrong, routes are not blamed for it.
        """
        for text in ("consul_address: 'a b'", "consul_address: '${NO}'", "services: 5", "services: '${NO}'"):
            self.assertEqual(1, len(errors_of(f"{text}\nroutes: [{{path: /, service: a}}]")), text)

    def test_service_with_errors(self) -> None:
        """
        A service whose settings are wrong is there all the same.
        """
        errors = errors_of(
            "services: {a: {balancer: x}, b: 5}\nroutes: [{path: /, service: a}, {path: /x, service: b}]"
        )
        self.assertEqual(["services.a.balancer", "services.b"], [error.split(": ")[1] for error in errors])

    def test_repeated(self) -> None:
        """
        A route that an earlier one leaves nothing for is an error.
        """
        for first, second in [
            ("path: /a", "path: /a"),
            ("path: /a", "path: /a/"),
            ("path: '/{x}'", "path: '/{y}'"),
            ("host: h", "host: H, methods: [GET]"),
            ("path: /a, methods: [GET, PUT]", "path: /a, methods: [PUT]"),
            ("grpc: a.B", "grpc: a.B"),
            ("grpc: a.B, host: h", "grpc: a.B, host: H"),
        ]:
            errors = wrong(f"service: echo, {first}", f"service: other, {second}")
            self.assertEqual(["[1]: takes the same requests as routes[0]"], errors)

    def test_not_repeated(self) -> None:
        """
        Routes that differ in path, host or methods stand beside each other.
        """
        found = routes(
            "service: echo, path: /a",
            "service: echo, path: /b, methods: [GET]",
            "service: echo, path: /b, methods: [PUT]",
            "service: echo, path: /a, host: h",
            "service: echo, path: '/{a}'",
            "service: echo, grpc: a.B",
            "service: echo, grpc: a.B, host: h",
            "service: echo, grpc: a.C",
        )
        self.assertEqual(8, len(found))

    def test_wrong_ones_do_not_count(self) -> None:
        """
        A route that is wrong does not make another look repeated.
        """
        self.assertEqual(1, len(wrong("service: echo, path: x", "service: echo, path: /")))
