"""
Tests of L{siger.config.environment}.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.accounts import JwtKey
from siger.config.settings.addresses import Address, Listen
from siger.config.settings.admission import RateLimit
from siger.config.settings.services import InstanceSettings
from tests.config.reading import errors_of, loaded


class OverrideTests(SynchronousTestCase):
    """
    C{SIGER_*} variables override the file.
    """

    def test_top_level(self) -> None:
        """
        A variable takes the place of what the file says, or adds to it.
        """
        settings = loaded("port: 1", {"SIGER_PORT": ":2", "SIGER_LOG_LEVEL": "debug"})
        self.assertEqual((Listen("", 2), "debug"), (settings.listen, settings.log_level))

    def test_nested(self) -> None:
        """
        Two underscores lead into a section, beside what the file says there.
        """
        settings = loaded("consul: {datacenter: a}", {"SIGER_CONSUL__TOKEN": "t", "SIGER_LIMITS__HEADER_COUNT": "50"})
        self.assertEqual(("a", "t"), (settings.consul.datacenter, settings.consul.token))
        self.assertEqual(50, settings.limits.header_count)

    def test_services(self) -> None:
        """
        A service's dashes are underscores in the name of a variable.
        """
        file = "services: {my-echo: {max_waiting: 7}}"
        variables = {"SIGER_SERVICES__MY_ECHO__TIMEOUTS__IDLE": "5", "SIGER_SERVICES__B__INSTANCES": "['h:1']"}
        settings = loaded(file, variables)
        service = settings.services["my-echo"]
        self.assertEqual((7, 5, 3), (service.max_waiting, service.timeouts.idle, service.timeouts.connect))
        self.assertEqual((InstanceSettings("h", 1),), settings.services["b"].instances)

    def test_entries(self) -> None:
        """
        A number leads to an entry that a list has.
        """
        file = "services: {a: {instances: ['h:1', {address: h, port: 2}]}, b: }\nroutes: [{path: /, service: a}]"
        variables = {"SIGER_ROUTES__0__SERVICE": "b", "SIGER_SERVICES__A__INSTANCES__1__PORT": "3"}
        settings = loaded(file, variables)
        self.assertEqual("b", settings.routes[0].service)
        self.assertEqual([1, 3], [instance.port for instance in settings.services["a"].instances])
        settings = loaded(file, {"SIGER_SERVICES__A__INSTANCES__0": "x:9"})
        self.assertEqual("x:9", str(settings.services["a"].instances[0]))

    def test_no_such_entry(self) -> None:
        """
        A place that a list does not have is an error, which names the variable.
        """
        file = "routes: [{host: h, service: a}]\nservices: {a: }"
        for place in ("1", "X", "٣", "9" * 5000, ""):
            name = f"SIGER_ROUTES__{place}__HOST"
            self.assertEqual([name], [error.partition(":")[0] for error in errors_of(file, {name: "h"})])
        self.assertEqual(1, len(errors_of(file, {"SIGER_ROUTES__3": "h"})))

    def test_below_no_such_entry(self) -> None:
        """
        So is one that is missing further inside.
        """
        file = "services: {a: {instances: ['h:1']}}\nroutes: [{path: /, service: a, methods: [GET]}]"
        for name in ("SIGER_SERVICES__A__INSTANCES__1", "SIGER_ROUTES__0__METHODS__7"):
            self.assertEqual([name], [error.partition(":")[0] for error in errors_of(file, {name: "x"})])

    def test_nested_values(self) -> None:
        """
        Lists and mappings inside each other arrive whole; C{${} in them is no reference.
        """
        value = "[{path: /a, service: a, methods: [GET, PUT], timeouts: {idle: 2}}]"
        (route,) = loaded("services: {a: {instances: ['h:1']}}", {"SIGER_ROUTES": value}).routes
        self.assertEqual((("GET", "PUT"), 2), (route.methods, route.timeouts and route.timeouts.idle))
        self.assertEqual("${A}", loaded("", {"SIGER_CONSUL": "{token: '${A}', tags: []}"}).consul.token)

    def test_errors_inside(self) -> None:
        """
        A mistake inside a list names the variable too.
        """
        self.assertEqual(
            ["SIGER_TRUSTED_PROXIES: trusted_proxies[1]: expected a text, got a number; put it in quotes"],
            errors_of("", {"SIGER_TRUSTED_PROXIES": "[10.0.0.0/8, 5]"}),
        )

    def test_through_a_scalar(self) -> None:
        """
        A section that the file switched off can be written anew.
        """
        settings = loaded("rate_limit: off", {"SIGER_RATE_LIMIT__REQUESTS_PER_SECOND": "5"})
        self.assertEqual((RateLimit(Fraction(5), 10),), settings.rate_limit)

    def test_secrets(self) -> None:
        """
        Secrets in a list can come as a whole, or take the place of those in the file one by one.
        """
        key = "0123456789abcdef-0123456789abcdef"
        whole = loaded("", {"SIGER_JWT_KEYS": f"[{{kid: a, secret: {key}}}]"})
        self.assertEqual((JwtKey("a", key),), whole.jwt_keys)
        single = loaded("jwt_keys: [{kid: a, secret: x}]", {"SIGER_JWT_KEYS__0__SECRET": key})
        self.assertEqual((JwtKey("a", key),), single.jwt_keys)
        self.assertEqual("5", loaded("nats: {user: u}", {"SIGER_NATS__PASSWORD": "5"}).nats.password)

    def test_whole_section(self) -> None:
        """
        A section can be given whole, as YAML, and be added to.
        """
        variables = {"SIGER_CONSUL": "{datacenter: a, tags: [b], expose: [c-d]}", "SIGER_CONSUL__STALE": "no"}
        consul = loaded("", variables).consul
        self.assertEqual(("a", ("b",), {"c-d"}, False), (consul.datacenter, consul.tags, consul.expose, consul.stale))

    def test_alias(self) -> None:
        """
        A variable also overrides a key under its older spelling.
        """
        settings = loaded("consulAddress: a:1", {"SIGER_CONSUL_ADDRESS": "b:2"})
        self.assertEqual(Address("b", 2), settings.consul_address)

    def test_before_expansion(self) -> None:
        """
        What is overridden is not read: it may refer to what is not there, or be wrong.
        """
        self.assertEqual(8080, loaded("port: ${NO}", {"SIGER_PORT": "8080"}).listen.port)
        self.assertEqual(8080, loaded("port: [wrong]", {"SIGER_PORT": "8080"}).listen.port)

    def test_text(self) -> None:
        """
        Where a text is wanted, the value is one as it is: nobody quotes a password for YAML.
        """
        for token in ("0123", "yes", "*x", "{a}", "[a", "a:#b", "!t", "'half", "~", "#c", "@", "${A}", "%x"):
            self.assertEqual(token, loaded("", {"SIGER_CONSUL__TOKEN": token}).consul.token)

    def test_quoted_text(self) -> None:
        """
        Quotes that YAML takes off are taken off.
        """
        self.assertEqual("a'b", loaded("", {"SIGER_CONSUL__TOKEN": '"a\'b"'}).consul.token)
        self.assertEqual("off", loaded("", {"SIGER_ACCESS_LOG": '"off"'}).access_log)

    def test_bracketed_address(self) -> None:
        """
        An IPv6 address, a list to YAML, is an address where one is wanted.
        """
        self.assertEqual(Listen("::1", 80), loaded("", {"SIGER_PORT": "[::1]:80"}).listen)
        self.assertEqual(Address("::1", 80), loaded("", {"SIGER_CONSUL_ADDRESS": "[::1]:80"}).consul_address)

    def test_empty(self) -> None:
        """
        An empty value is an empty text, and no number.
        """
        self.assertIsNone(loaded("consul_address: a:1", {"SIGER_CONSUL_ADDRESS": ""}).consul_address)
        self.assertEqual(1, len(errors_of("", {"SIGER_PORT": ""})))

    def test_errors(self) -> None:
        """
        Errors name the variable: wrong values, unknown keys, and what is no YAML where YAML is wanted.
        """
        for name, value, message in [
            ("SIGER_PORT", "x", "port: expected a port from 0 to 65535, :port, host:port or [IPv6]:port, got 'x'"),
            ("SIGER_PROT", "1", "prot: unknown key; did you mean 'port'?"),
            ("SIGER_CONSUL__TOKN", "1", "consul.tokn: unknown key; did you mean 'token'?"),
            (
                "SIGER_PORT__X",
                "1",
                "port: expected a port from 0 to 65535, :port, host:port or [IPv6]:port, got a mapping",
            ),
            (
                "SIGER_CORS",
                "{a: 1, a: 2}",
                "cors: expected a mapping, got what is not YAML (a: duplicate key, first on line 1)",
            ),
            ("SIGER_ROUTES", "[{", "routes: expected a list, got what is not YAML (not YAML: "),
            ("SIGER_TRUSTED_PROXIES", "10.0.0.0/8", "trusted_proxies: expected a list, got a text"),
            ("SIGER_", "1", '"": unknown key'),
        ]:
            errors = errors_of("", {name: value})
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(errors[0].startswith(f"{name}: {message}"), errors[0])

    def test_endless_name(self) -> None:
        """
        A name that leads deeper than any key is an error.
        """
        name = "SIGER" + "__A" * 20_000
        self.assertTrue(errors_of("", {name: "1"})[0].endswith("...: there is no such key"))

    def test_foreign(self) -> None:
        """
        Variables of the orchestrator for a service named C{siger}, and those of the build, the tests and C{siger job},
        are not ours.
        """
        variables = {
            "SIGER_PORT": "tcp://10.0.0.1:8080",
            "SIGER_SERVICE_HOST": "10.0.0.1",
            "SIGER_SERVICE_PORT": "8080",
            "SIGER_SERVICE_PORT_HTTP": "8080",
            "SIGER_PORT_8080_TCP": "tcp://10.0.0.1:8080",
            "SIGER_PORT_8080_TCP_ADDR": "10.0.0.1",
            "SIGER_NAME": "/web/siger",
            "SIGER_COMPILE": "0",
            "SIGER_TEST_X": "1",
            "SIGER_URL": "http://localhost:8080",
            "SIGER_TOKEN": "abc",
            "siger_port": "1",
            "OTHER": "1",
        }
        self.assertEqual(Listen("", 9), loaded("port: 9", variables).listen)

    def test_every_order(self) -> None:
        """
        The order in which variables are set does not matter: a whole section comes before its parts.
        """
        pairs = [("SIGER_CONSUL", "{token: a, datacenter: d}"), ("SIGER_CONSUL__TOKEN", "b"), ("SIGER_PORT", "7")]
        for order in itertools.permutations(pairs):
            consul = loaded("", dict(order)).consul
            self.assertEqual(("b", "d"), (consul.token, consul.datacenter))
