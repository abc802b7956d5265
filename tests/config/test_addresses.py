"""
Tests of L{siger.config.addresses}.
"""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.addresses import host_name, instance_host, split
from siger.config.section import InvalidError
from siger.config.settings.addresses import Address, Listen
from tests.config.reading import errors_of, loaded


class SplitTests(SynchronousTestCase):
    """
    C{host:port} comes apart.
    """

    def test_good(self) -> None:
        """
        Names, IPv4 addresses, and IPv6 addresses in brackets.
        """
        for text, parts in [
            ("localhost:8500", ("localhost", 8500)),
            ("my_db.internal:1", ("my_db.internal", 1)),
            ("10.0.0.1:65535", ("10.0.0.1", 65535)),
            ("[::1]:80", ("::1", 80)),
            ("h:0", ("h", 0)),
        ]:
            self.assertEqual(parts, split(text), text)

    def test_default(self) -> None:
        """
        A default stands for the port that is not there, and for none that is wrong.
        """
        self.assertEqual([("h", 7), ("::1", 7), ("h", 1)], [split(text, 7) for text in ("h", "[::1]", "h:1")])
        self.assertEqual([None] * 3, [split(text, 7) for text in ("h:", "h:x", "[::1]x")])

    def test_bad(self) -> None:
        """
        Nothing else does.
        """
        for text in (
            *("", ":", ":80", "h", "h:", "h:x", "h:65536", "h:080", "h:+1", "h:1_0", "h: 1", " h:1", "h:1 ", "h:1:2"),
            *("::1:80", "[::1]", "[::1]80", "[::1]:", "[h]:1", "[10.0.0.1]:1", "[::1%eth0]:1", "[::1:80", "h]:1"),
            *("h:٣", "h:1\n", "é:1", "-h:1", "h-:1", "h..i:1", "http://h:1", "u@h:1", "h/x:1", f"{'a' * 64}:1"),
            f"{'a.' * 127}a:1",
        ):
            self.assertIsNone(split(text), text)

    def test_numeric_names(self) -> None:
        """
        A number is an IPv4 address in disguise, and no name.
        """
        for text in ("2852039166", "0xa9fea9fe", "169.254.43518", "127.1", "a.0x7f", "010.0.0.1", "0x"):
            self.assertFalse(host_name(text), text)
        for text in ("1a", "0xg", "a1", "1.example", "0x7f.a"):
            self.assertTrue(host_name(text), text)

    @given(st.text())
    def test_anything(self, text: str) -> None:
        """
        Any text comes apart or not, and what does can be put together again.
        """
        parts = split(text)
        if parts is not None:
            self.assertEqual(text, str(Address(*parts)))


class ListenTests(SynchronousTestCase):
    """
    C{port} in each of its forms.
    """

    def test_good(self) -> None:
        """
        A bare port, quoted or not, and a port with a host.
        """
        for text, expected in [
            ('":8080"', Listen("", 8080)),
            (":8080", Listen("", 8080)),
            ('"8080"', Listen("", 8080)),
            ("8080", Listen("", 8080)),
            ("0", Listen("", 0)),
            ('"127.0.0.1:80"', Listen("127.0.0.1", 80)),
            ("localhost:8080", Listen("localhost", 8080)),
            ('"[::1]:8080"', Listen("::1", 8080)),
            ("${PORT:8080}", Listen("", 8080)),
            ("127.0.0.1:${PORT:81}", Listen("127.0.0.1", 81)),
        ]:
            self.assertEqual(expected, loaded(f"port: {text}").listen, text)

    def test_bad(self) -> None:
        """
        Anything else is an error.
        """
        for text in (
            "65536",
            "-1",
            "8080.0",
            "0x50",
            "'h:'",
            "h",
            "'::1:80'",
            "off",
            "",
            "[80]",
            "{}",
            "'*:80'",
            "''",
            "10:30",
        ):
            errors = errors_of(f"port: {text}")
            self.assertEqual(1, len(errors), text)
            self.assertTrue(errors[0].startswith("config.yaml:1: port: expected a port from 0 to 65535"), errors)

    def test_shown(self) -> None:
        """
        It is shown as it is written.
        """
        shown = [str(loaded(f"port: '{text}'").listen) for text in (":80", "h:80", "[::1]:80")]
        self.assertEqual([":80", "h:80", "[::1]:80"], shown)


class ConsulAddressTests(SynchronousTestCase):
    """
    C{consul_address}.
    """

    def test_good(self) -> None:
        """
        An address, with Consul's port where there is none; nothing, or an empty text, is no Consul.
        """
        for text, expected in [
            ("consul_address: consul:8501", Address("consul", 8501)),
            ("consul_address: localhost", Address("localhost", 8500)),
            ("consul_address: http://10.0.0.1:8500/", Address("10.0.0.1", 8500)),
            ("consul_address: '[::1]'", Address("::1", 8500)),
            ("consul_address: ''", None),
            ("", None),
        ]:
            self.assertEqual(expected, loaded(text).consul_address, text)

    def test_bad(self) -> None:
        """
        Anything else is an error; TLS is one that says so.
        """
        for text, message in [
            ("https://c:8501", "Consul over https is not supported by this version"),
            ("c:0", "expected host:port or [IPv6]:port, got 'c:0'"),
            ("c:d", "expected host:port or [IPv6]:port, got 'c:d'"),
            ("8500", "expected a text, got a number; put it in quotes"),
            ("'8500'", "expected host:port or [IPv6]:port, got '8500'"),
            ("", "expected a text, got nothing"),
        ]:
            self.assertEqual([f"config.yaml:1: consul_address: {message}"], errors_of(f"consul_address: {text}"))


class NatsAddressTests(SynchronousTestCase):
    """
    C{nats_address}.
    """

    def test_good(self) -> None:
        """
        C{embedded}, servers, or none.
        """
        for text in ("embedded", "localhost:4222", "nats", "nats://a:1,tls://b, [::1]:2", ""):
            self.assertEqual(text.replace(" ", ""), loaded(f'nats_address: "{text}"').nats_address)

    def test_bad(self) -> None:
        """
        Each server must be an address.
        """
        for text in ("a:b", "a,,b", "http://a", "nats://", "a/b", ","):
            self.assertEqual(1, len(errors_of(f'nats_address: "{text}"')), text)

    def test_credentials(self) -> None:
        """
        A password in an address is refused without being shown.
        """
        for text in ("nats://gateway:hushhush@n:4222", "a:1,hushhush@b"):
            message = "nats_address: who the gateway is stands under nats:, not in the address"
            self.assertEqual([f"config.yaml:1: {message}"], errors_of(f"nats_address: '{text}'"))
        errors = errors_of("consul_address: 'http://u:hushhush@c:8500'")
        self.assertEqual(["config.yaml:1: consul_address: an address has no user, password or token in it"], errors)


class InstanceHostTests(SynchronousTestCase):
    """
    Where a backend can be.
    """

    def test_good(self) -> None:
        """
        Loopback, private and public addresses, and names.
        """
        for text in (
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "8.8.8.8",
            "::1",
            "fd00::1",
            "2001:db8::1",
            "db",
            "my_db.a",
        ):
            self.assertEqual(text, instance_host(text))

    def test_refused(self) -> None:
        """
        Metadata services, link-local, multicast, unspecified and broadcast ones are refused, as themselves and inside
        IPv6 addresses.
        """
        for text, kind in [
            ("169.254.169.254", "a link-local address"),
            ("169.254.0.1", "a link-local address"),
            ("fe80::1", "a link-local address"),
            ("::ffff:169.254.169.254", "a link-local address"),
            ("64:ff9b::169.254.169.254", "a link-local address"),
            ("2002:a9fe:a9fe::1", "a link-local address"),
            ("224.0.0.1", "a multicast address"),
            ("ff02::1", "a multicast address"),
            ("0.0.0.0", "an unspecified or broadcast address"),
            ("0.1.2.3", "an unspecified or broadcast address"),
            ("::", "an unspecified or broadcast address"),
            ("::ffff:0.0.0.0", "an unspecified or broadcast address"),
            ("255.255.255.255", "an unspecified or broadcast address"),
            ("100.100.100.200", "a cloud's metadata address"),
            ("fd00:ec2::254", "a cloud's metadata address"),
            ("metadata.google.internal", "a cloud's metadata address"),
            ("Metadata", "a cloud's metadata address"),
        ]:
            with self.assertRaises(InvalidError) as raised:
                instance_host(text)
            self.assertEqual(f"{text} is {kind}, which no service has", str(raised.exception))

    def test_nonsense(self) -> None:
        """
        What is no host is refused as such.
        """
        for text in ("", "a b", "::1%eth0", "2852039166", "[::1]", "a:1"):
            with self.assertRaises(InvalidError) as raised:
                instance_host(text)
            self.assertIn("expected an IP address or a host name", str(raised.exception))


class NetworkTests(SynchronousTestCase):
    """
    C{trusted_proxies}.
    """

    def test_good(self) -> None:
        """
        Networks and single addresses of both kinds.
        """
        found = loaded(
            "trusted_proxies: [10.0.0.0/8, 192.168.1.1, '::1', 'fd00::/8', 10.0.0.0/255.0.0.0]"
        ).trusted_proxies
        expected = ("10.0.0.0/8", "192.168.1.1/32", "::1/128", "fd00::/8", "10.0.0.0/8")
        self.assertEqual(tuple(map(ip_network, expected)), found)
        self.assertEqual((), loaded("trusted_proxies:").trusted_proxies)

    def test_bad(self) -> None:
        """
        Each wrong one is an error; an address of a host in the place of its network has a hint.
        """
        expected = "expected a network such as 10.0.0.0/8, got"
        self.assertEqual(
            [
                f"config.yaml:1: trusted_proxies[0]: {expected} '10.1.2.3/8'; did you mean '10.0.0.0/8'?",
                f"config.yaml:1: trusted_proxies[1]: {expected} 'proxy'",
                "config.yaml:1: trusted_proxies[2]: expected a text, got a number; put it in quotes",
                f"config.yaml:1: trusted_proxies[4]: {expected} '10.0.0.0/33'",
            ],
            errors_of("trusted_proxies: [10.1.2.3/8, proxy, 5, '::1', 10.0.0.0/33]"),
        )

    def test_everybody(self) -> None:
        """
        Trusting everybody is possible, with a warning.
        """
        self.assertIn("trusts every client", loaded("trusted_proxies: [0.0.0.0/0]").warnings[0])


class OriginTests(SynchronousTestCase):
    """
    C{cors.origins}.
    """

    def test_good(self) -> None:
        """
        Row J1: origins as browsers send them, whole, each once.
        """
        origins = ("http://localhost:3000", "https://app.example.com", "http://[::1]:80${E:80}", "http://10.0.0.1")
        text = ", ".join(f"'{origin}'" for origin in origins)
        cors = loaded(f"cors: {{origins: [{text}]}}").cors
        assert cors is not None
        self.assertEqual(tuple(origin.replace("${E:80}", "80") for origin in origins), cors.origins)
        self.assertEqual(cors, loaded(f"cors: {{origins: [{text}, {text}]}}").cors)

    def test_star(self) -> None:
        """
        The star is every origin, so that others beside it say nothing.
        """
        cors = loaded("cors: {origins: ['http://a', '*']}").cors
        assert cors is not None
        self.assertEqual(("*",), cors.origins)

    def test_bad(self) -> None:
        """
        Row J1: anything that no browser sends is an error, C{null}, which anybody can send, among it.
        """
        for text in (
            *("null", "http://a/", "http://A", "ftp://a", "a", "http://", "http://a:", "http://a:x", "http://a:99999"),
            *(
                "http://*.a",
                "http://u@a",
                "https://a:443",
                "http://a:80",
                "http://a?b",
                "http://a#b",
                "",
                "http://[::1",
                "http://[0:0:0:0:0:0:0:1]",
                "http://a.test.",
                "https://*",
            ),
        ):
            errors = errors_of(f"cors: {{origins: ['{text}']}}")
            self.assertEqual(1, len(errors), text)
            self.assertTrue(errors[0].startswith("config.yaml:1: cors.origins[0]: "), errors)
