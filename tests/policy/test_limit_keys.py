"""
Tests for L{siger.policy.limit_keys}.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.http.request import RequestHead
from siger.http.request_parser import RequestParser
from siger.policy import limit_keys
from siger.policy.forwarded import Forwarding
from siger.policy.identity import Identity
from siger.policy.limit_keys import address_key, make_key, needs_identity
from tests.http.generators import properties

CLIENT = b"192.0.2.7"


def head(*lines: bytes, target: bytes = b"/services/echo/x") -> RequestHead:
    """
    The head of a request with these field lines besides C{Host}.
    """
    parser = RequestParser()
    return parser.head(b"GET %b HTTP/1.1" % target, parser.fields(b"\r\n".join((b"Host: gw.test", *lines))))


def who(user_id: str = "1", claims: Mapping[str, object] | None = None) -> Identity:
    """
    A user.
    """
    return Identity(user_id, "ada", ("user",), "t", 0.0, 1e12, claims or {})


def key(
    *parts: str,
    client: bytes = CLIENT,
    request: RequestHead | None = None,
    identity: Identity | None = None,
    route: bytes = b"/services/{serviceName}/*",
    service: bytes = b"echo",
) -> bytes:
    """
    The key of a request.
    """
    return make_key(parts).of(client, request or head(), identity, route, service)


class AddressKeyTests(SynchronousTestCase):
    """
    Tests for L{address_key}. Row I1.
    """

    def test_ipv4(self) -> None:
        """
        Row I1: an IPv4 address stands for itself.
        """
        self.assertEqual(address_key(b"192.0.2.7"), b"192.0.2.7")

    def test_ipv6(self) -> None:
        """
        Row I1: all addresses of an IPv6 /64 are one client's, however they are written; the next /64 is another's.
        """
        for client in (
            b"2001:db8:1:2::1",
            b"2001:DB8:1:2:ffff:ffff:ffff:ffff",
            b"2001:0db8:0001:0002::",
            b"2001:db8:1:2::7%3",
        ):
            self.assertEqual(address_key(client), b"2001:db8:1:2::/64", client)
        self.assertEqual(address_key(b"2001:db8:1:3::1"), b"2001:db8:1:3::/64")
        self.assertEqual(address_key(b"::1"), b"::/64")

    def test_ipv4_in_ipv6(self) -> None:
        """
        Row I1: IPv4 clients of a socket for both, or beyond a translator, are clients of their own, and the same as
        over IPv4.
        """
        for client in (b"::ffff:192.0.2.7", b"::FFFF:c000:207", b"64:ff9b::192.0.2.7", b"64:ff9b::c000:207"):
            self.assertEqual(address_key(client), b"192.0.2.7", client)

    def test_no_address(self) -> None:
        """
        What is no address, as the peer of a UNIX socket, counts as itself, and as no address.
        """
        self.assertEqual(address_key(b""), b"")
        self.assertEqual(address_key(b"fe80::zz"), b"=fe80::zz")
        self.assertEqual(len(address_key(b":" * 10_000)), 65)

    @properties
    @given(st.ip_addresses(v=6).map(str), st.integers(0, 2**64 - 1))
    def test_same_network(self, first: str, host: int) -> None:
        """
        Row I1: whatever the last 64 bits are, the key is the same, unless they hold an IPv4 address.
        """
        network = int(IPv6Address(first)) >> 64
        other = IPv6Address((network << 64) | host)
        if other.ipv4_mapped is None and network != 0x64FF9B << 96 >> 64:
            expected = f"{IPv6Address(network << 64)}/64".encode()
            self.assertEqual(address_key(str(other).encode()), expected)

    @properties
    @given(st.ip_addresses(v=4))
    def test_disguised(self, address: IPv4Address) -> None:
        """
        Row I1: an IPv4 address has one key in all its forms.
        """
        text = str(address).encode()
        self.assertEqual({address_key(text), address_key(b"::ffff:" + text), address_key(b"64:ff9b::" + text)}, {text})

    def test_many(self) -> None:
        """
        Addresses may be many; what is remembered of them is bounded, and the answers stay right.
        """
        for number in range(1, 10_000):
            self.assertEqual(address_key(b"2001:db8:%x::1" % number), b"2001:db8:%x::/64" % number)
        self.assertLessEqual(len(limit_keys._networks), 4096)


class NeedsIdentityTests(SynchronousTestCase):
    """
    Tests for L{needs_identity}.
    """

    def test_with(self) -> None:
        """
        Keys by user and by claim wait for the token to be verified.
        """
        for parts in (("user",), ("client_ip", "user"), ("route", "claim:tenant")):
            self.assertTrue(needs_identity(parts), parts)

    def test_without(self) -> None:
        """
        All others are known from the head alone, so that they are checked before any token is: row I4.
        """
        self.assertFalse(needs_identity(("client_ip", "route", "service", "header:x-user", "header:claim:x")))


class MakeKeyTests(SynchronousTestCase):
    """
    Tests for L{make_key} and L{LimitKey.of}.
    """

    def test_address(self) -> None:
        """
        By default a bucket is an address's.
        """
        self.assertEqual(key("client_ip"), CLIENT)
        self.assertEqual(key("client_ip", client=b"2001:db8::9"), b"2001:db8::/64")

    def test_rotating_claims(self) -> None:
        """
        Row I1: C{X-Forwarded-For}, in each request another, changes nothing for a client that is no trusted proxy.
        """
        rules = Forwarding()
        keys = set()
        for number in range(50):
            request = head(b"X-Forwarded-For: 10.0.0.%d" % number, b"Forwarded: for=10.1.0.%d" % number)
            keys.add(key("client_ip", client=rules.client(CLIENT, request.fields.owned), request=request))
        self.assertEqual(keys, {CLIENT})

    def test_user(self) -> None:
        """
        Row I1: a user has one bucket wherever he comes from, and others at the same address have their own.
        """
        self.assertEqual(key("user", identity=who("7")), key("user", identity=who("7"), client=b"198.51.100.1"))
        self.assertNotEqual(key("user", identity=who("7")), key("user", identity=who("8")))

    def test_user_in_addition(self) -> None:
        """
        Row I1: with the address in addition, users at one address and addresses of one user are apart.
        """
        keys = {
            key("client_ip", "user", client=client, identity=who(name)) for client in (CLIENT, b"::1") for name in "ab"
        }
        self.assertEqual(len(keys), 4)

    def test_nobody(self) -> None:
        """
        Without a user, claim or field, the address takes its place; nobody shares a bucket with strangers.
        """
        for part in ("user", "claim:tenant", "header:x-api-key"):
            self.assertEqual(key(part), CLIENT)
            self.assertEqual(key(part, client=b"2001:db8::1"), b"2001:db8::/64")

    def test_empty(self) -> None:
        """
        So it does where they are there but say nothing.
        """
        self.assertEqual(key("user", identity=who("")), CLIENT)
        for nothing in ("", None):
            self.assertEqual(key("claim:tenant", identity=who(claims={"tenant": nothing})), CLIENT)
        self.assertEqual(key("header:x-api-key", request=head(b"X-API-Key: ")), CLIENT)

    def test_posing(self) -> None:
        """
        Row I1: who is called like an address, or sends one, does not take from that address's bucket.
        """
        name = CLIENT.decode()
        for part in ("user", "claim:tenant", "header:x-api-key"):
            made = key(part, identity=who(name, {"tenant": name}), request=head(b"X-API-Key: " + CLIENT), client=b"::1")
            self.assertNotEqual(made, CLIENT, part)

    def test_claims(self) -> None:
        """
        A claim is compared with its type; objects with the same members are the same.
        """

        def tenant(value: object) -> bytes:
            return key("claim:tenant", identity=who(claims={"tenant": value}))

        values = ["1", 1, True, 1.5, ["1"], [1], {"a": 1}, "true", '{"a": 1}', 10**400]
        self.assertEqual(len({tenant(value) for value in values}), len(values))
        self.assertEqual(tenant({"a": 1, "b": [2]}), tenant({"b": [2], "a": 1}))
        self.assertEqual(tenant("acme"), key("claim:tenant", identity=who("2", {"tenant": "acme"}), client=b"::1"))

    def test_long_claims(self) -> None:
        """
        Long ones too are compared with their type.
        """
        digits = "1" * 100
        keys = {key("claim:tenant", identity=who(claims={"tenant": value})) for value in (digits, int(digits))}
        self.assertEqual(len(keys), 2)

    def test_odd_claims(self) -> None:
        """
        No text that a token can hold is too odd: halves of surrogate pairs, controls, any length.
        """
        for value in ("\ud800", "a\0b", "\r\n", "x" * 100_000, ["\udfff"] * 1000):
            self.assertLessEqual(len(key("claim:tenant", identity=who(claims={"tenant": value}))), 80)

    def test_claim_with_dots(self) -> None:
        """
        The name of a claim is taken as it is, with colons and dots.
        """
        identity = who(claims={"https://example.com/tenant": "acme"})
        self.assertNotEqual(key("claim:https://example.com/tenant", identity=identity), CLIENT)

    def test_header(self) -> None:
        """
        The name of a field has no case, its value has; what stands around the value does not count.
        """
        first = key("header:x-api-key", request=head(b"X-API-Key: s3cret"))
        self.assertEqual(first, key("header:x-api-key", request=head(b"x-api-key:  s3cret \t"), client=b"::1"))
        self.assertEqual(first, key("header:X-Api-Key", request=head(b"x-api-key: s3cret")))
        self.assertNotEqual(first, key("header:x-api-key", request=head(b"X-API-Key: S3CRET")))

    def test_authorization(self) -> None:
        """
        Fields that the gateway reads itself can be named too.
        """
        self.assertNotEqual(key("header:authorization", request=head(b"Authorization: Basic x")), CLIENT)

    def test_bounded(self) -> None:
        """
        Row I2: however long a value is, its key is short; long values that differ have keys that differ.
        """
        long = [b"x" * 8000 + b"%d" % number for number in range(3)]
        keys = {key("header:x-api-key", request=head(b"X-API-Key: " + value)) for value in long}
        self.assertEqual([len(each) for each in keys], [65, 65, 65])

    def test_path_forms(self) -> None:
        """
        Row I5: all forms of a path, and all paths of a route, take from one bucket.
        """
        targets = (
            b"/services/echo/x",
            b"/services/echo/x/",
            b"/services/./echo/x",
            b"/services/echo/%78",
            b"/services/echo/X",
        )
        for parts in (("client_ip",), ("route",), ("service", "client_ip")):
            self.assertEqual(len({key(*parts, request=head(target=target)) for target in targets}), 1, parts)

    def test_routes_and_services(self) -> None:
        """
        Routes and services have buckets of their own, where a key says so.
        """
        self.assertNotEqual(key("route", route=b"/a"), key("route", route=b"/b"))
        self.assertNotEqual(key("service", service=b"a"), key("service", service=b"b"))
        self.assertEqual(key("service", route=b"/a"), key("service", route=b"/b", client=b"::1"))

    def test_no_request(self) -> None:
        """
        Before a head was read there are no fields.
        """
        self.assertEqual(make_key(("header:x", "client_ip")).of(CLIENT, None, None, b"", b""), CLIENT + b"\0" + CLIENT)

    def test_unknown(self) -> None:
        """
        A part that nobody knows makes no key.
        """
        for parts in ((), ("ip",), ("client_ip", "cookie:x"), ("header:",), ("claim",), ("",)):
            self.assertRaises(ValueError, make_key, parts)

    def test_separators(self) -> None:
        """
        Row I1: a value that holds what stands between parts does not pass for two.
        """
        for first, second in (
            (("a\0=b", "c"), ("a", "b\0=c")),
            (("a\0", "c"), ("a", "\0c")),
            (("a\0~1", "c"), ("a", "1\0=c")),
        ):
            keys = {
                key("user", "claim:tenant", identity=who(name, {"tenant": value})) for name, value in (first, second)
            }
            self.assertEqual(len(keys), 2)

    @properties
    @given(
        st.lists(
            st.tuples(
                st.text(alphabet="ab\0=#~.:1", max_size=6) | st.text(min_size=60, max_size=70),
                st.text(alphabet="ab\0=#~.:1", max_size=6) | st.integers(),
            ),
            min_size=2,
            max_size=2,
            unique=True,
        )
    )
    def test_unambiguous(self, pair: list[tuple[str, str | int]]) -> None:
        """
        Row I1: two combinations have the same key only if they have the same values; what is missing counts as the
        address.
        """
        keys = [key("user", "claim:tenant", identity=who(name, {"tenant": value})) for name, value in pair]
        self.assertNotEqual(*keys)
