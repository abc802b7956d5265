"""
Tests of L{siger.config.services} and L{siger.config.shared}.
"""

from __future__ import annotations

from fractions import Fraction

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.admission import Cors, RateLimit
from siger.config.settings.services import InstanceSettings, ServiceSettings, Timeouts
from tests.config.reading import errors_of, loaded


def service(text: str, defaults: str = "{}") -> ServiceSettings:
    """
    The settings of a service, as written.
    """
    return loaded(f"service_defaults: {defaults}\nservices: {{a: {text}}}").services["a"]


def wrong(text: str) -> list[str]:
    """
    The errors in the settings of a service, without what they all begin with.
    """
    return [error.removeprefix("config.yaml:1: services.a") for error in errors_of(f"services: {{a: {text}}}")]


class ServicesTests(SynchronousTestCase):
    """
    C{services} and C{service_defaults}.
    """

    def test_defaults(self) -> None:
        """
        A service of which nothing is said has all the defaults.
        """
        for text in ("{}", ""):
            self.assertEqual(ServiceSettings("a"), service(text))

    def test_every_key(self) -> None:
        """
        Each key sets its field, in a service and in the defaults alike.
        """
        for text, field, expected in [
            ("balancer: round_robin", "balancer", "round_robin"),
            ("balancer: random", "balancer", "random"),
            ("balancer: least_connections", "balancer", "least_connections"),
            ("balancer: p2c", "balancer", "p2c"),
            ("protocol: http1", "protocol", "http1"),
            ("protocol: h2c", "protocol", "h2c"),
            ("protocol: h2", "protocol", "h2"),
            ("protocol: https", "protocol", "https"),
            ("auth: public", "auth", "public"),
            ("rate_limit: off", "rate_limit", ()),
            ("rate_limit: {requests_per_second: 2}", "rate_limit", (RateLimit(Fraction(2), 4),)),
            ("cors: off", "cors", "off"),
            ("cors: {origins: ['http://a']}", "cors", Cors(("http://a",))),
            ("auth: user", "auth", "user"),
            ("auth: [admin, ops.eu]", "auth", ("admin", "ops.eu")),
            ("timeouts: {connect: 1, response: 0.5, idle: 7}", "timeouts", Timeouts(1, 0.5, 7)),
            ("timeouts: {idle: 7}", "timeouts", Timeouts(3, 60, 7)),
            ("timeouts: ", "timeouts", Timeouts()),
            ("timeouts: {deadline: 90}", "timeouts", Timeouts(deadline=90)),
            ("timeouts: {deadline: 0}", "timeouts", Timeouts()),
            ("max_connections: 1", "max_connections", 1),
            ("max_streams: 1", "max_streams", 1),
            ("max_streams: 1000000", "max_streams", 1_000_000),
            ("h2_connections: 64", "h2_connections", 64),
            ("max_waiting: 0", "max_waiting", 0),
            ("max_body: 64 MiB", "max_body", 64 * 2**20),
            ("max_body: 0", "max_body", 0),
            ("host: preserve", "host", "preserve"),
            ("host: instance", "host", "instance"),
            ("host: api.example.com", "host", "api.example.com"),
            ("host: '[::1]:80'", "host", "[::1]:80"),
            ("websocket: false", "websocket", False),
            ("forward_authorization: no", "forward_authorization", False),
            ("forward_authorization: yes", "forward_authorization", True),
        ]:
            self.assertEqual(expected, getattr(service(f"{{{text}}}"), field), text)
            self.assertEqual(expected, getattr(service("{}", f"{{{text}}}"), field), text)

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be.
        """
        for text, message in [
            ("balancer: robin", ".balancer: expected round_robin, random, least_connections or p2c, got 'robin'"),
            ("protocol: http3", ".protocol: expected http1, h2c, h2 or https, got 'http3'"),
            ("auth: admin", ".auth: expected public, user or a list of roles, got 'admin'; did you mean [admin]?"),
            ("auth: off", ".auth: expected public or user, got 'off'"),
            ("auth: []", ".auth: a list of roles needs at least one"),
            ("auth: [A b]", ".auth[0]: a role has 1 to 64 characters of a-z, 0-9 and _ . : -, got 'A b'"),
            ("rate_limit: on", ".rate_limit: expected a mapping, got true or false"),
            ("rate_limit: {}", ".rate_limit: needs the key 'requests_per_second'"),
            ("cors: {}", ".cors: needs the key 'origins'"),
            ("auth: [public]", ".auth[0]: public is no role; for everyone, write auth: public"),
            ("timeouts: {connect: 0}", ".timeouts.connect: expected a number from 0.01 to 86400, got 0"),
            ("timeouts: {deadline: 0.001}", ".timeouts.deadline: expected a number from 0.01 to 86400, got 0.001"),
            ("timeouts: {deadline: -1}", ".timeouts.deadline: expected a number from 0 to 86400, got -1"),
            ("max_streams: 0", ".max_streams: expected a whole number from 1 to 1000000, got 0"),
            ("h2_connections: 65", ".h2_connections: expected a whole number from 1 to 64, got 65"),
            ("timeouts: {conect: 1}", ".timeouts.conect: unknown key; did you mean 'connect'?"),
            ("timeouts: 5", ".timeouts: expected a mapping, got a number"),
            ("max_connections: 0", ".max_connections: expected a whole number from 1 to 65535, got 0"),
            ("max_waiting: -1", ".max_waiting: expected a whole number from 0 to 1000000, got -1"),
            ("max_body: much", ".max_body: expected a number of bytes such as 65536 or 64 MiB, got 'much'"),
            ("host: a b", ".host: expected preserve, instance, or the host to send, got 'a b'"),
            ("websocket: 1", ".websocket: expected true or false, got '1'"),
            ("forward_authorization: 'yes'", ".forward_authorization: expected true or false, got 'yes'"),
            ("balancr: p2c", ".balancr: unknown key; did you mean 'balancer'?"),
        ]:
            errors = wrong(f"{{{text}}}")
            self.assertTrue(errors and errors[0].startswith(message), (text, errors))

    def test_unsaid(self) -> None:
        """
        Of limits, origins and the forwarding of tokens a service says nothing unless it does.
        """
        found = service("{}")
        self.assertEqual((None, None, None), (found.rate_limit, found.cors, found.forward_authorization))

    def test_over_the_defaults(self) -> None:
        """
        What a service says goes over the defaults, key by key.
        """
        found = service("{timeouts: {idle: 1}, max_waiting: 3}", "{timeouts: {connect: 9, idle: 9}, balancer: p2c}")
        self.assertEqual(ServiceSettings("a", timeouts=Timeouts(9, 60, 1), max_waiting=3, balancer="p2c"), found)

    def test_unnamed(self) -> None:
        """
        A service that is not in the file has the defaults under its own name.
        """
        settings = loaded("service_defaults: {balancer: p2c}\nservices: {a: {balancer: random}}")
        self.assertEqual(ServiceSettings("z", balancer="p2c"), settings.service("z"))
        self.assertEqual("random", settings.service("a").balancer)

    def test_grpc_speaks_h2c(self) -> None:
        """
        A service that a gRPC route leads to speaks HTTP/2 unless somebody says what it speaks.
        """
        grpc, plain = "{grpc: a.B, service: a}", "{path: /, service: a}"
        for services, defaults, routes, expected in [
            ("a: ", "{}", grpc, "h2c"),
            ("a: ", "{}", f"{plain}, {grpc}", "h2c"),
            ("a: ", "{}", plain, "http1"),
            ("a: {protocol: h2}", "{}", grpc, "h2"),
            ("a: {protocol: http1}", "{}", grpc, "http1"),
            ("a: ", "{protocol: http1}", grpc, "http1"),
            ("a: ", "{protocol: https}", grpc, "https"),
            ("b: ", "{}", grpc, "h2c"),
            ("b: ", "{protocol: http1}", grpc, "http1"),
        ]:
            text = f"consul_address: c\nservice_defaults: {defaults}\nservices: {{{services}}}\nroutes: [{routes}]"
            self.assertEqual(expected, loaded(text).service("a").protocol, text)

    def test_others_speak_http1(self) -> None:
        """
        A gRPC route says nothing of services that it does not lead to.
        """
        settings = loaded("consul_address: c\nservices: {b: }\nroutes: [{grpc: a.B, service: a}]")
        self.assertEqual(["http1", "http1"], [settings.service(name).protocol for name in ("b", "z")])

    def test_names(self) -> None:
        """
        A name is a path segment and a DNS label.
        """
        names = ["a", "0", "a-b", "x" * 63, "null", "on", "8080"]
        self.assertEqual(names, list(loaded("services:\n" + "".join(f"  {name}: \n" for name in names)).services))
        for name in ("A", "a_b", "-a", "a-", "x" * 64, "a.b", "''", "é", '"a\\n"', "a b"):
            errors = errors_of(f"services: {{{name}: {{}}}}")
            self.assertEqual(1, len(errors), name)
            self.assertIn("a service's name has 1 to 63 characters", errors[0])

    def test_no_instances_in_defaults(self) -> None:
        """
        There are no default instances.
        """
        self.assertEqual(
            ["config.yaml:1: service_defaults.instances: unknown key"], errors_of("service_defaults: {instances: []}")
        )

    def test_lonely(self) -> None:
        """
        A service without instances deserves a warning when no Consul can know any.
        """
        warning = "services.a: has no instances, and there is no Consul to know any"
        self.assertEqual((warning,), loaded("services: {a: }").warnings)
        self.assertEqual((), loaded("services: {a: }\nconsul_address: c").warnings)


class InstancesTests(SynchronousTestCase):
    """
    C{services.<name>.instances}.
    """

    def test_short(self) -> None:
        """
        An instance can be an address alone.
        """
        found = service("{instances: ['127.0.0.1:9001', 'db:1', '[::1]:2', c:3]}").instances
        pairs = [("127.0.0.1", 9001), ("db", 1), ("::1", 2), ("c", 3)]
        self.assertEqual(tuple(InstanceSettings(*pair) for pair in pairs), found)

    def test_long(self) -> None:
        """
        Or a mapping with more.
        """
        text = "{address: '::1', port: 2, weight: 0, tags: [x, y, x], meta: {a: b}}"
        expected = InstanceSettings("::1", 2, 0, frozenset({"x", "y"}), {"a": "b"})
        self.assertEqual((expected,), service(f"{{instances: [{text}]}}").instances)
        self.assertEqual("[::1]:2", str(expected))

    def test_none(self) -> None:
        """
        There may be none.
        """
        self.assertEqual([(), ()], [service(f"{{instances: {text}}}").instances for text in ("[]", "")])

    def test_bad(self) -> None:
        """
        Each wrong one is an error at its place.
        """
        for text, message in [
            ("h", "[0]: expected host:port or [IPv6]:port, got 'h'"),
            ("'h:0'", "[0]: expected host:port or [IPv6]:port, got 'h:0'"),
            ("80", "[0]: expected host:port or [IPv6]:port, got '80'"),
            ("[h]", "[0]: expected host:port or a mapping with address and port, got a list"),
            ("~", "[0]: expected host:port or a mapping with address and port, got nothing"),
            ("'169.254.169.254:80'", "[0]: 169.254.169.254 is a link-local address, which no service has"),
            ("{address: 224.0.0.1, port: 1}", "[0].address: 224.0.0.1 is a multicast address, which no service has"),
            ("{address: h}", "[0]: needs the key 'port'"),
            ("{port: 1}", "[0]: needs the key 'address'"),
            ("{address: h, port: 0}", "[0].port: expected a whole number from 1 to 65535, got 0"),
            ("{address: h, port: '1'}", "[0].port: expected a whole number from 1 to 65535, got '1'"),
            ("{address: h, port: 1, weight: -1}", "[0].weight: expected a whole number from 0 to 65535, got -1"),
            ("{address: h, port: 1, tags: x}", "[0].tags: expected a list, got a text"),
            ("{address: h, port: 1, meta: {a: 1}}", "[0].meta.a: expected a text, got a number; put it in quotes"),
            ("{address: h, port: 1, wait: 1}", "[0].wait: unknown key; did you mean 'weight'?"),
            ("'h:1', {address: h, port: 1}", ": h:1 is there twice; give it a weight instead"),
        ]:
            self.assertEqual([f".instances{message}"], wrong(f"{{instances: [{text}]}}"), text)

    def test_no_list(self) -> None:
        """
        Instances are a list.
        """
        self.assertEqual([".instances: expected a list, got a text"], wrong("{instances: 'h:1'}"))
