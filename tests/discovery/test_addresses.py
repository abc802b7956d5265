"""
Tests for L{siger.discovery.addresses}.
"""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Instance
from siger.discovery.addresses import Guard, is_own_address


class GuardTests(SynchronousTestCase):
    """
    Tests for L{Guard}.
    """

    def setUp(self) -> None:
        """
        A guard on a machine whose addresses are loopback, 10.1.1.1 and 2001:db8::1.
        """
        own = {ip_address(text) for text in ("10.1.1.1", "2001:db8::1")}
        self.guard = Guard(lambda address: address.is_loopback or address in own)

    def refusals(self, *addresses: str, port: int = 80, names: bool = False) -> dict[str, str | None]:
        """
        What the guard says about each address.
        """
        return {address: self.guard.refusal(Instance(address, port), names) for address in addresses}

    def test_accepted(self) -> None:
        """
        Ordinary addresses, private ones and loopback are fine.
        """
        said = self.refusals("10.0.0.1", "192.168.1.1", "93.184.216.34", "127.0.0.1", "::1", "2001:db8::1", "fd12::1")
        self.assertEqual(set(said.values()), {None}, said)

    def test_refused(self) -> None:
        """
        Link-local, metadata, multicast, unspecified and reserved addresses are refused, with the reason.
        """
        for address, reason in (
            ("169.254.169.254", "link-local"),
            ("169.254.1.1", "link-local"),
            ("fe80::1", "link-local"),
            ("fe80::1%eth0", "link-local"),
            ("100.100.100.200", "metadata"),
            ("168.63.129.16", "metadata"),
            ("192.0.0.192", "metadata"),
            ("fd00:ec2::254", "metadata"),
            ("fd20:ce::254", "metadata"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("::", "unspecified"),
            ("255.255.255.255", "reserved"),
            ("240.0.0.1", "reserved"),
        ):
            self.assertIn(reason, self.guard.refusal(Instance(address, 80)) or "accepted", address)

    def test_disguises(self) -> None:
        """
        An IPv4 address written as an IPv6 one is judged as what it is.
        """
        said = self.refusals("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:0.0.0.0")
        self.assertNotIn(None, said.values(), said)
        self.assertEqual(self.refusals("::ffff:10.0.0.1"), {"::ffff:10.0.0.1": None})

    def test_ports(self) -> None:
        """
        Ports are 1-65535.
        """
        for port in (-1, 0, 65536, 10**9):
            self.assertIn("port", self.guard.refusal(Instance("10.0.0.1", port)) or "accepted")
        for port in (1, 65535):
            self.assertIsNone(self.guard.refusal(Instance("10.0.0.1", port)))

    def test_names(self) -> None:
        """
        Host names are refused, except from sources that may use them.
        """
        hosts = ("backend", "backend.example.com", "my_service", "a-1.example", "1a.example", "x")
        self.assertNotIn(None, self.refusals(*hosts).values())
        self.assertEqual(set(self.refusals(*hosts, names=True).values()), {None})

    def test_not_even_names(self) -> None:
        """
        Text that some resolver takes for an address, or that is no host name, is refused from anyone.
        """
        odd = ("", " ", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "10.0.0.1:80", "a..b", ".a")
        odd += ("a b", "a/b", "http://a", "a\r\nb", "-a", "a" * 64, "a." * 127 + "aa", "[::1]", "/run/a.sock", "a\n")
        said = self.refusals(*odd, names=True)
        self.assertNotIn(None, said.values(), said)

    def test_own_listener(self) -> None:
        """
        The gateway's own address and port are refused, other ports and addresses are not.
        """
        self.guard.listeners = frozenset({("10.1.1.1", 8080)})
        self.assertIn("itself", self.guard.refusal(Instance("10.1.1.1", 8080)) or "accepted")
        self.assertIn("itself", self.guard.refusal(Instance("::ffff:10.1.1.1", 8080)) or "accepted")
        self.assertIsNone(self.guard.refusal(Instance("10.1.1.1", 8081)))
        self.assertIsNone(self.guard.refusal(Instance("127.0.0.1", 8080)))

    def test_own_listener_everywhere(self) -> None:
        """
        A listener on every interface, or on a name, covers every address of this machine and no other.
        """
        for host in ("", "0.0.0.0", "::", "gateway.example"):
            self.guard.listeners = frozenset({(host, 8080)})
            for own in ("127.0.0.1", "127.8.8.8", "::1", "10.1.1.1", "2001:db8::1"):
                self.assertIn("itself", self.guard.refusal(Instance(own, 8080)) or "accepted", (host, own))
            self.assertIsNone(self.guard.refusal(Instance("10.1.1.2", 8080)), host)
            self.assertIsNone(self.guard.refusal(Instance("127.0.0.1", 9000)), host)


class IsOwnAddressTests(SynchronousTestCase):
    """
    Tests for L{is_own_address}.
    """

    def test_loopback(self) -> None:
        """
        Loopback is always this machine.
        """
        self.assertTrue(is_own_address(ip_address("127.0.0.1")))
        self.assertTrue(is_own_address(ip_address("::1")))

    def test_elsewhere(self) -> None:
        """
        An address for documentation (RFC 5737, RFC 3849) belongs to no machine.
        """
        self.assertFalse(is_own_address(ip_address("192.0.2.1")))
        self.assertFalse(is_own_address(ip_address("2001:db8::dead")))
