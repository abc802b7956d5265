"""
Tests for L{siger.policy.forwarded}.
"""

from __future__ import annotations

import gc
from ipaddress import ip_network
from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.policy.forwarded import Forwarding, is_loop, via_line
from tests.http.generators import noise, properties

PROXY = b"10.0.0.1"
STRANGER = b"192.0.2.7"


def forwarding(*trusted: str) -> Forwarding:
    """
    The rules of a gateway that trusts these networks.
    """
    return Forwarding([ip_network(each) for each in trusted])


def behind_proxies() -> Forwarding:
    """
    The rules of one behind proxies in C{10.0.0.0/8} and C{fd00::/8}.
    """
    return forwarding("10.0.0.0/8", "fd00::/8")


def xff(value: bytes) -> dict[bytes, bytes]:
    """
    The fields of a request with this C{X-Forwarded-For}.
    """
    return {b"x-forwarded-for": value}


def told(lines: bytes) -> dict[bytes, bytes]:
    """
    What lines tell a backend, as the fields of its request.
    """
    pairs = [line.partition(b": ") for line in lines.split(b"\r\n")[:-1]]
    fields = {name.lower(): value for name, _, value in pairs}
    assert len(fields) == len(pairs), lines
    return fields


def kept(rules: Forwarding) -> int:
    """
    How many entries there are in the largest of the tables that the rules keep.
    """
    return max(len(each) for each in gc.get_referents(rules) if isinstance(each, dict))


class TrustsTests(SynchronousTestCase):
    """
    Tests for L{Forwarding.trusts}.
    """

    def test_nobody(self) -> None:
        """
        Nobody is trusted unless configured, loopback included: D3.
        """
        for address in (PROXY, STRANGER, b"127.0.0.1", b"::1"):
            self.assertFalse(Forwarding().trusts(address))

    def test_networks(self) -> None:
        """
        Addresses in the networks are trusted, others not, however often one asks.
        """
        rules = behind_proxies()
        for _ in range(2):
            for address in (PROXY, b"10.255.255.255", b"fd00::1", b"::ffff:10.0.0.1"):
                self.assertTrue(rules.trusts(address), address)
            for address in (STRANGER, b"11.0.0.1", b"fe80::1", b"::ffff:192.0.2.7"):
                self.assertFalse(rules.trusts(address), address)

    def test_not_an_address(self) -> None:
        """
        What is no address is not trusted.
        """
        for text in (b"", b"unix", b"10.0.0.1:80", b"10.0.0", b"\xff", b"10.0.0.1 ", b"0x0a000001"):
            self.assertFalse(behind_proxies().trusts(text), text)

    def test_bounded(self) -> None:
        """
        Verdicts stay right, and bounded in number, however many addresses there were: F12.
        """
        rules = behind_proxies()
        for number in range(9000):
            rules.trusts(b"192.0.%d.%d" % divmod(number, 256))
            self.assertLessEqual(kept(rules), 4096)
        self.assertTrue(rules.trusts(PROXY))
        self.assertFalse(rules.trusts(STRANGER))


class ClientTests(SynchronousTestCase):
    """
    Tests for L{Forwarding.client}.
    """

    def test_stranger(self) -> None:
        """
        Row D3: what a stranger claims is worth nothing.
        """
        for owned in ({}, xff(b"1.2.3.4"), {b"forwarded": b"for=1.2.3.4"}):
            self.assertEqual(behind_proxies().client(STRANGER, owned), STRANGER)
            self.assertEqual(Forwarding().client(PROXY, owned), PROXY)

    def test_behind_a_proxy(self) -> None:
        """
        A trusted proxy's word counts: the last address it names.
        """
        self.assertEqual(behind_proxies().client(PROXY, xff(b"1.2.3.4")), b"1.2.3.4")
        self.assertEqual(behind_proxies().client(PROXY, {}), PROXY)

    def test_first_untrusted(self) -> None:
        """
        Row D3: the list is walked from the right, and the first that is no trusted proxy is the client.
        """
        rules = behind_proxies()
        self.assertEqual(rules.client(PROXY, xff(b"6.6.6.6, 1.2.3.4, 10.0.0.2")), b"1.2.3.4")
        self.assertEqual(rules.client(PROXY, xff(b"6.6.6.6,\t1.2.3.4 ,10.0.0.2 , 10.0.0.3")), b"1.2.3.4")
        self.assertEqual(rules.client(PROXY, xff(b"2001:db8::7, fd00::2")), b"2001:db8::7")

    def test_all_trusted(self) -> None:
        """
        If all are, the leftmost is.
        """
        self.assertEqual(behind_proxies().client(PROXY, xff(b"10.0.0.3, 10.0.0.2")), b"10.0.0.3")

    def test_not_an_address(self) -> None:
        """
        Row D3: the walk ends at what is no address, and the client is the last that was one. L1.
        """
        rules = behind_proxies()
        for text in (
            b"unknown",
            b"",
            b"1.2.3.4:80",
            b"_hidden",
            b'"',
            b"1.2.3.4 5",
            b"fe80::1%eth0",
            b'fe80::1%"x',
            b"\xff",
        ):
            self.assertEqual(rules.client(PROXY, xff(b"1.2.3.4, " + text + b", 10.0.0.2")), b"10.0.0.2", text)
            self.assertEqual(rules.client(PROXY, xff(text)), PROXY, text)

    def test_forwarded(self) -> None:
        """
        C{Forwarded} is understood where there is no C{X-Forwarded-For}.
        """
        rules = behind_proxies()
        for value, client in (
            (b"for=1.2.3.4", b"1.2.3.4"),
            (b'For="1.2.3.4:80";proto=https', b"1.2.3.4"),
            (b'proto=http;for="[2001:db8::7]:80", for=10.0.0.2', b"2001:db8::7"),
            (b'for="[2001:db8::7]"', b"2001:db8::7"),
            (b"for=6.6.6.6, for=1.2.3.4;by=10.0.0.1, for=10.0.0.3", b"1.2.3.4"),
            (b"for=1.2.3.4, for=unknown", PROXY),
            (b"for=1.2.3.4, for=_a", PROXY),
            (b"proto=https", PROXY),
            (b"", PROXY),
        ):
            self.assertEqual(rules.client(PROXY, {b"forwarded": value}), client, value)
        both = {b"forwarded": b"for=6.6.6.6", b"x-forwarded-for": b"1.2.3.4"}
        self.assertEqual(rules.client(PROXY, both), b"1.2.3.4")

    def test_bounded(self) -> None:
        """
        Clients stay right, and what is kept of them bounded, however many there were, and however long their lists:
        F12.
        """
        rules = behind_proxies()
        for number in range(9000):
            client = b"192.0.%d.%d" % divmod(number, 256)
            for owned in (xff(client), {b"forwarded": b"for=" + client}):
                self.assertEqual(rules.client(PROXY, owned), client)
            self.assertLessEqual(kept(rules), 4096)
        for _ in range(2):
            self.assertEqual(rules.client(PROXY, xff(b"6.6.6.6, " * 100 + b"1.2.3.4")), b"1.2.3.4")
            self.assertEqual(rules.client(PROXY, xff(b"1.2.3.4")), b"1.2.3.4")
            self.assertEqual(rules.client(PROXY, {b"forwarded": b"1.2.3.4"}), PROXY)
            self.assertEqual(rules.client(b"10.0.0.9", {b"forwarded": b"1.2.3.4"}), b"10.0.0.9")
            self.assertEqual(rules.client(PROXY, xff(b"for=1.2.3.4")), PROXY)
        tables = [each for each in gc.get_referents(rules) if isinstance(each, dict)]
        self.assertLessEqual(max(len(key) for table in tables for key in table), 256)

    def test_normal_form(self) -> None:
        """
        Row D3: one client has one text, however a proxy writes it: limits and logs go by it.
        """
        for text, client in (
            (b"2001:DB8:0:0:0:0:0:7", b"2001:db8::7"),
            (b"::ffff:1.2.3.4", b"1.2.3.4"),
            (b"::FFFF:102:304", b"1.2.3.4"),
        ):
            self.assertEqual(behind_proxies().client(PROXY, xff(text)), client)
            self.assertEqual(behind_proxies().client(PROXY, {b"forwarded": b'for="[%b]"' % text}), client)
        self.assertEqual(behind_proxies().client(PROXY, xff(b"6.6.6.6, ::ffff:10.0.0.2")), b"6.6.6.6")

    def test_forwarded_quotation(self) -> None:
        """
        Row D3: what a proxy quotes, a host above all, is the client's text; no address is found in it, nor an end.
        """
        for value, client in (
            (b'for=1.2.3.4;host="a,for=6.6.6.6"', b"1.2.3.4"),
            (b'host="a,for=6.6.6.6";for=1.2.3.4', b"1.2.3.4"),
            (b'host="a;for=6.6.6.6";for=1.2.3.4', b"1.2.3.4"),
            (b'host="for=6.6.6.6";for=1.2.3.4', b"1.2.3.4"),
            (b'for=1.2.3.4;host="a\\",for=6.6.6.6"', b"1.2.3.4"),
            (b'for=1.2.3.4;host="a\\\\";proto=http', b"1.2.3.4"),
            (b"xfor=6.6.6.6;for=1.2.3.4", b"1.2.3.4"),
            (b'for=6.6.6.6, for=1.2.3.4;host="a, b", for=10.0.0.2', b"1.2.3.4"),
            (b"for=1.2.3.4;;proto=http;", b"1.2.3.4"),
            (b"for=1.2.3.4 ; proto=http", b"1.2.3.4"),
            (b'for="1.2.3.4:_port"', b"1.2.3.4"),
        ):
            self.assertEqual(behind_proxies().client(PROXY, {b"forwarded": value}), client, value)

    def test_forwarded_malformed(self) -> None:
        """
        Row D3: an element that is none ends the walk, and a quotation without an end leaves nothing to walk.
        """
        for value, client in (
            (b"for=1.2.3.4;for=6.6.6.6", PROXY),
            (b"for=1.2.3.4 for=6.6.6.6", PROXY),
            (b"for = 1.2.3.4", PROXY),
            (b"for=2001:db8::7", PROXY),
            (b"for=1.2.3.4:", PROXY),
            (b"for=1.2.3.4;host", PROXY),
            (b'for="1\\.2.3.4"', PROXY),
            (b'for=""', PROXY),
            (b"for=1.2.3.4, , for=10.0.0.2", b"10.0.0.2"),
            (b"for=1.2.3.4, by=10.0.0.2", PROXY),
            (b'for="x, for=1.2.3.4', PROXY),
            (b'for="x, for=1.2.3.4;host="a"', PROXY),
            (b'for=1.2.3.4;host="a\\"', PROXY),
        ):
            self.assertEqual(behind_proxies().client(PROXY, {b"forwarded": value}), client, value)

    def test_forwarded_time(self) -> None:
        """
        The longest of fields take no longer than their length, however they are made.
        """
        for value in (b'"' * 16383, b'"a",' * 4095 + b'"', b"a=b;" * 4096, b'a="' + b'\\"' * 8190, b"," * 16384):
            began = process_time()
            behind_proxies().lines(PROXY, {b"forwarded": value}, b"a.test", False)
            self.assertLess(process_time() - began, 0.5, value[:9])

    @properties
    @given(noise(b"1.2.3.4", b"10.0.0.2", b", ", b"2001:db8::7", b"%"), st.booleans())
    def test_any_bytes(self, value: bytes, modern: bool) -> None:
        """
        Of any bytes, the client is an address that can stand in a log as it is: L1.
        """
        owned = {b"forwarded": b"for=" + value} if modern else xff(value)
        self.assertRegex(behind_proxies().client(PROXY, owned), rb"\A[0-9A-Fa-f.:]+\Z")


class LinesTests(SynchronousTestCase):
    """
    Tests for L{Forwarding.lines}.
    """

    def test_stranger(self) -> None:
        """
        Rows D3 and D6: a backend is told of the socket's peer, and of nothing that it claimed.
        """
        owned = {
            b"x-forwarded-for": b"1.2.3.4",
            b"x-forwarded-proto": b"https",
            b"x-forwarded-host": b"evil.test",
            b"x-forwarded-port": b"1",
            b"forwarded": b"for=1.2.3.4",
        }
        for rules in (Forwarding(), behind_proxies()):
            for _ in range(2):
                self.assertEqual(
                    rules.lines(STRANGER, owned, b"a.test", False),
                    b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.test\r\n"
                    b"X-Forwarded-Port: 80\r\n"
                    b'Forwarded: for=192.0.2.7;host="a.test";proto=http\r\nX-Gateway: siger-api-gateway\r\n',
                )

    def test_secure(self) -> None:
        """
        It is told whether the client came over TLS.
        """
        lines = Forwarding().lines(STRANGER, {}, b"a.test", True)
        self.assertIn(b"X-Forwarded-Proto: https\r\n", lines)
        self.assertIn(b";proto=https\r\n", lines)

    def test_each_its_own(self) -> None:
        """
        Peers, hosts and schemes are not mixed up, however many there are, of which not all are kept: F12.
        """
        rules = Forwarding()
        for number in range(9000):
            self.assertLessEqual(kept(rules), 4096)
            peer = b"192.0.%d.%d" % divmod(number, 256)
            self.assertIn(b"X-Forwarded-For: %b\r\n" % peer, rules.lines(peer, {}, b"a.test", False))
        self.assertIn(b"X-Forwarded-Host: b.test\r\n", rules.lines(STRANGER, {}, b"b.test", False))
        self.assertIn(b"X-Forwarded-Host: a.test\r\n", rules.lines(STRANGER, {}, b"a.test", False))

    def test_version_six(self) -> None:
        """
        An IPv6 address is quoted in C{Forwarded} (RFC 7239 section 6).
        """
        lines = Forwarding().lines(b"2001:db8::7", {}, b"[::1]:80", False)
        self.assertIn(b"X-Forwarded-For: 2001:db8::7\r\n", lines)
        self.assertIn(b'Forwarded: for="[2001:db8::7]";host="[::1]:80";proto=http\r\n', lines)

    def test_proxy(self) -> None:
        """
        Rows D3 and D6: a trusted proxy's lines are continued, and what it says of the client's side is kept.
        """
        owned = {
            b"x-forwarded-for": b"1.2.3.4",
            b"x-forwarded-proto": b"HTTPS",
            b"x-forwarded-host": b"b.test",
            b"forwarded": b"for=1.2.3.4",
        }
        self.assertEqual(
            behind_proxies().lines(PROXY, owned, b"a.test", False),
            b"X-Forwarded-For: 1.2.3.4, 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b.test\r\n"
            b"X-Forwarded-Port: 443\r\n"
            b'Forwarded: for=1.2.3.4, for=10.0.0.1;host="b.test";proto=https\r\nX-Gateway: siger-api-gateway\r\n',
        )

    def test_silent_proxy(self) -> None:
        """
        One that says nothing is the client.
        """
        self.assertEqual(
            behind_proxies().lines(PROXY, {}, b"a.test", True), Forwarding().lines(PROXY, {}, b"a.test", True)
        )

    def test_other_scheme(self) -> None:
        """
        A scheme that is none is not passed on.
        """
        for value in (b"ftp", b"https, http", b""):
            for secure, scheme in ((False, b"http"), (True, b"https")):
                lines = behind_proxies().lines(PROXY, {b"x-forwarded-proto": value}, b"a.test", secure)
                self.assertIn(b"X-Forwarded-Proto: %b\r\n" % scheme, lines)

    def test_host_is_quoted(self) -> None:
        """
        A host that nobody checked cannot break out of its quotation.
        """
        lines = Forwarding().lines(STRANGER, {}, b'a";for=6.6.6.6;x="\\', False)
        self.assertIn(b'host="a\\";for=6.6.6.6;x=\\"\\\\";proto=', lines)

    def test_other_host(self) -> None:
        """
        Row D6: a host that is none is not passed on, not even for a trusted proxy.
        """
        for value in (
            b'a";for=6.6.6.6;x="',
            b"a.test, b.test",
            b"user@a.test",
            b"http://a.test",
            b"a b",
            b"a:99999",
            b"",
        ):
            lines = behind_proxies().lines(PROXY, {b"x-forwarded-host": value}, b"a.test:81", False)
            self.assertIn(b"X-Forwarded-Host: a.test:81\r\nX-Forwarded-Port: 81\r\n", lines, value)
            self.assertIn(b'host="a.test:81";proto=', lines, value)

    def test_port(self) -> None:
        """
        Row D6: the port is the one that the client asked for, which may be the default of its scheme.
        """
        for host, secure, port in (
            (b"a.test", False, b"80"),
            (b"a.test", True, b"443"),
            (b"a.test:8080", False, b"8080"),
            (b"a.test:0443", False, b"443"),
            (b"a.test:0", False, b"80"),
            (b"[2001:db8::1]", False, b"80"),
            (b"[2001:db8::1]:81", True, b"81"),
            (b"8080", False, b"80"),
            (b"", True, b"443"),
        ):
            self.assertEqual(told(Forwarding().lines(STRANGER, {}, host, secure))[b"x-forwarded-port"], port, host)

    def test_port_of_a_proxy(self) -> None:
        """
        Row D6: a trusted proxy may know better, but only a port is one.
        """
        for value, port in (
            (b"8443", b"8443"),
            (b"08443", b"8443"),
            (b"0", b"443"),
            (b"65536", b"443"),
            (b"+1", b"443"),
            (b"80, 81", b"443"),
            (b"", b"443"),
        ):
            owned = {b"x-forwarded-port": value, b"x-forwarded-proto": b"https"}
            fields = told(behind_proxies().lines(PROXY, owned, b"a.test", False))
            self.assertEqual(fields[b"x-forwarded-port"], port, value)

    def test_modern_proxy(self) -> None:
        """
        Row D6: scheme and host may be told in C{Forwarded} alone; what counts is what was said of the client, or by the
        nearest proxy where the client is hidden.
        """
        for value, scheme, host, port in (
            (b"for=1.2.3.4;proto=https;host=b.test", b"https", b"b.test", b"443"),
            (b'for=1.2.3.4;PROTO="HTTPS";Host="b.test:81", for=10.0.0.2;proto=http', b"https", b"b.test:81", b"81"),
            (b"for=6.6.6.6;proto=https;host=evil.test, for=1.2.3.4", b"http", b"a.test", b"80"),
            (b"for=_hidden;proto=https;host=b.test", b"https", b"b.test", b"443"),
            (b"for=1.2.3.4;proto=ftp;host=b..test", b"http", b"a.test", b"80"),
            (b"for=1.2.3.4;proto=https;proto=https", b"http", b"a.test", b"80"),
            (b'for=1.2.3.4;host="a,for=6.6.6.6"', b"http", b"a.test", b"80"),
            (b'for=1.2.3.4;proto=https;host="', b"http", b"a.test", b"80"),
        ):
            lines = behind_proxies().lines(PROXY, {b"forwarded": value}, b"a.test", False)
            fields = told(lines)
            names = (b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
            self.assertEqual([fields[name] for name in names], [scheme, host, port], value)
            self.assertTrue(fields[b"forwarded"].endswith(b'for=10.0.0.1;host="%b";proto=%b' % (host, scheme)), value)
            self.assertNotIn(b"6.6.6.6", lines)
        owned = {b"forwarded": b"for=1.2.3.4;proto=https;host=b.test", b"x-forwarded-proto": b"http"}
        owned[b"x-forwarded-host"] = b"c.test"
        self.assertIn(b"Proto: http\r\nX-Forwarded-Host: c.test\r\n", behind_proxies().lines(PROXY, owned, b"", True))

    def test_strangers_part(self) -> None:
        """
        Row D3: what stands left of the client in a trusted proxy's list was said by the client, and goes no further.
        """
        for value, chain in (
            (b"6.6.6.6, 1.2.3.4", b"1.2.3.4, 10.0.0.1"),
            (b"6.6.6.6, 1.2.3.4, 10.0.0.2", b"1.2.3.4, 10.0.0.2, 10.0.0.1"),
            (b"6.6.6.6, unknown, 10.0.0.2", b"10.0.0.2, 10.0.0.1"),
            (b"<script>", b"10.0.0.1"),
            (b"2001:DB8:0::7", b"2001:db8::7, 10.0.0.1"),
        ):
            fields = told(behind_proxies().lines(PROXY, xff(value), b"a.test", False))
            self.assertEqual(fields[b"x-forwarded-for"], chain)
            self.assertEqual(fields[b"forwarded"].count(b"for="), chain.count(b",") + 1)
            self.assertNotIn(b"6.6.6.6", fields[b"forwarded"])

    def test_one_answer(self) -> None:
        """
        Row D3: of two fields that tell of different ways, both are passed on as the one that is believed.
        """
        for owned, chain, forwarded in (
            (
                {b"x-forwarded-for": b"1.2.3.4", b"forwarded": b"for=6.6.6.6"},
                b"1.2.3.4, 10.0.0.1",
                b"for=1.2.3.4, for=10.0.0.1;",
            ),
            ({b"forwarded": b"for=1.2.3.4"}, b"1.2.3.4, 10.0.0.1", b"for=1.2.3.4, for=10.0.0.1;"),
            (
                {b"x-forwarded-for": b"2001:db8::7, fd00::2"},
                b"2001:db8::7, fd00::2, 10.0.0.1",
                b'for="[2001:db8::7]", for="[fd00::2]", for=10.0.0.1;',
            ),
            (
                {b"forwarded": b'for=6.6.6.6, for="[2001:DB8::7]:80";proto=https;by=_b , for=10.0.0.2'},
                b"2001:db8::7, 10.0.0.2, 10.0.0.1",
                b'for="[2001:db8::7]";proto=https, for=10.0.0.2, for=10.0.0.1;',
            ),
            ({b"x-forwarded-for": b"", b"forwarded": b"for=1.2.3.4"}, b"10.0.0.1", b"for=10.0.0.1;"),
        ):
            fields = told(behind_proxies().lines(PROXY, owned, b"a.test", False))
            self.assertEqual(fields[b"x-forwarded-for"], chain)
            self.assertTrue(fields[b"forwarded"].startswith(forwarded), fields[b"forwarded"])

    @properties
    @given(
        st.lists(
            st.sampled_from((b"1.2.3.4", b"10.0.0.2", b"10.0.0.3", b"2001:db8::7", b"fd00::2", b"unknown", b""))
        ).map(b", ".join)
        | noise(b"1.2.3.4", b"10.0.0.2", b", "),
        st.lists(
            st.sampled_from((b"for=1.2.3.4", b'for="[fd00::2]:80"', b'host="a,for=6.6.6.6"', b"for=_h", b'"'))
        ).map(b",".join)
        | noise(b"for=", b"1.2.3.4", b'"', b",", b";", b"\\"),
        st.sampled_from((b"x-forwarded-for", b"forwarded", b"")),
    )
    def test_backend_agrees(self, listed: bytes, forwarded: bytes, only: bytes) -> None:
        """
        Row D3: whatever came, a backend that trusts the same proxies finds the client that the gateway found, in
        either field; and so does one that takes the first address of the list for the client.
        """
        owned = {b"x-forwarded-for": listed, b"forwarded": forwarded}
        owned = {only: owned[only]} if only else owned
        rules = behind_proxies()
        client = rules.client(PROXY, owned)
        fields = told(rules.lines(PROXY, owned, b"a.test", False))
        for name in (b"x-forwarded-for", b"forwarded"):
            self.assertEqual(rules.client(b"10.0.0.9", {name: fields[name]}), client)
        self.assertEqual(fields[b"x-forwarded-for"].split(b",")[0], client)


class ViaTests(SynchronousTestCase):
    """
    Tests for L{via_line} and L{is_loop}.
    """

    def test_line(self) -> None:
        """
        Row D8: this gateway is named after those before it, with the version it was spoken to in.
        """
        self.assertEqual(via_line({}, 11), b"Via: 1.1 siger\r\n")
        self.assertEqual(via_line({}, 10), b"Via: 1.0 siger\r\n")
        self.assertEqual(via_line({b"via": b"1.0 a, 2 b (c)"}, 11), b"Via: 1.0 a, 2 b (c), 1.1 siger\r\n")

    def test_loop(self) -> None:
        """
        Row D8: a request that came through here twice before is going round.
        """
        for via in (
            b"1.1 siger, 1.1 siger",
            b"1.1 siger, 1.0 a, HTTP/1.1 siger (x), 1.1 b",
            b"1.1 SIGER,2 Siger",
            b"1.1\tsiger , 1.1 siger(x)",
        ):
            self.assertTrue(is_loop({b"via": via}), via)

    def test_no_loop(self) -> None:
        """
        Row D8: once is allowed, for one gateway may stand behind another; other names are other gateways.
        """
        for via in (
            b"",
            b"1.1 siger",
            b"1.1 a, 1.1 siger",
            b"1.1 siger2, 1.1 xsiger",
            b"1.1 a (1.1 siger siger), 1.1 b",
        ):
            self.assertFalse(is_loop({b"via": via}), via)
        self.assertFalse(is_loop({}))
