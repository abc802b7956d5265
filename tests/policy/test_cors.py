"""
Tests for L{siger.policy.cors}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.admission import Cors
from siger.http.request import RequestHead
from siger.http.request_parser import RequestParser
from siger.policy.cors import CorsPolicy, is_preflight
from tests.http.generators import noise, properties

ORIGIN = b"https://a.test"
VARY = [b"Vary: Origin"]
VARY_PREFLIGHT = [b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers"]

SETTINGS = Cors(origins=("https://a.test", "http://localhost:3000"), expose=("ETag", "Retry-After"))
WITH_COOKIES = Cors(origins=("https://a.test",), credentials=True)
ANYBODY = Cors(origins=("*",), headers=("*",))

NEARLY = (
    b"",
    b"null",
    b"*",
    b"a.test",
    b"http://a.test",
    b"https://a.test/",
    b"https://a.test:443",
    b"https://a.test:8443",
    b"https://a.test.evil.com",
    b"https://evila.test",
    b"https://evil.a.test",
    b"https://a.test@evil.com",
    b"https://user@a.test",
    b"https://a.tes",
    b"https://a.test.",
    b"https://aXtest",
    b"HTTPS://a.test",
    b"https://A.test",
    b"https://a.test https://b.test",
    b"https://a.test, https://a.test",
    b"https://a.test,",
    b"https://b.test",
    b"https://a.test\0",
    b"https://a.test#",
    b"https://a.test?",
    b"https:a.test",
    b" https://a.test",
    b"https://\xd0\xb0.test",
    b"http://localhost",
    b"http://localhost:3001",
    b"http://localhost:30000",
)
"""What is nearly one of the origins in L{SETTINGS}, and none of them."""


def split(lines: bytes) -> list[bytes]:
    """
    The lines of field lines, each of which has to have its CRLF.
    """
    *found, end = lines.split(b"\r\n")
    if end:
        raise AssertionError(f"no CRLF at the end: {end!r}")
    return found


def answers(settings: Cors, origin: bytes | None) -> list[bytes]:
    """
    The lines of a response.
    """
    return split(CorsPolicy(settings).lines(origin))


def preflight(settings: Cors, origin: bytes = ORIGIN, method: bytes = b"PUT", headers: bytes = b"") -> list[bytes]:
    """
    The lines of the answer to a preflight request.
    """
    return split(CorsPolicy(settings).preflight(origin, method, headers))


class OriginTests(SynchronousTestCase):
    """
    Which origins are allowed. Row J1.
    """

    def test_allowed(self) -> None:
        """
        Row J1: each configured origin is named in answers to itself, alone.
        """
        for origin in (b"https://a.test", b"http://localhost:3000"):
            lines = answers(SETTINGS, origin)
            self.assertEqual(lines[0], b"Access-Control-Allow-Origin: " + origin)
            self.assertEqual(sum(b"Allow-Origin" in line for line in lines), 1)

    def test_nearly(self) -> None:
        """
        Row J1: other schemes, ports, suffixes, prefixes, cases, lists, user names and C{null} are not allowed: neither
        an answer nor a preflight's says anything of what others may do.
        """
        for origin in NEARLY:
            self.assertEqual(answers(SETTINGS, origin), VARY, origin)
            self.assertEqual(preflight(SETTINGS, origin), VARY_PREFLIGHT, origin)

    @properties
    @given(noise(b"https://a.test", b"https://", b"a.test", b"http://localhost:3000", b".evil.com", b"@", b"null"))
    def test_whole(self, origin: bytes) -> None:
        """
        Row J1: an origin is allowed if, and only if, it is one of the list to the byte, and only that one is sent back.
        """
        known = origin in (b"https://a.test", b"http://localhost:3000")
        for lines, vary in ((answers(SETTINGS, origin), VARY), (preflight(SETTINGS, origin), VARY_PREFLIGHT)):
            self.assertEqual(lines != vary, known)
            self.assertEqual(b"Access-Control-Allow-Origin: " + origin in lines, known)

    @properties
    @given(
        st.sampled_from([b"https://a.test", b"http://localhost:3000"]), st.binary(max_size=20), st.binary(max_size=20)
    )
    def test_around(self, origin: bytes, before: bytes, behind: bytes) -> None:
        """
        Row J1: nothing can stand before or behind.
        """
        if before or behind:
            self.assertEqual(answers(SETTINGS, before + origin + behind), VARY)

    def test_null(self) -> None:
        """
        Row J1: C{null}, the origin of any page that hides its own, cannot be configured.
        """
        self.assertRaises(ValueError, CorsPolicy, Cors(origins=("https://a.test", "null")))

    def test_anybody_with_credentials(self) -> None:
        """
        Row J1: an asterisk, for whatever it stands, and credentials do not go together.
        """
        star = ("*",)
        known = ("https://a.test",)
        for settings in (
            Cors(star, credentials=True),
            Cors(known, methods=star, credentials=True),
            Cors(known, headers=star, credentials=True),
            Cors(known, expose=star, credentials=True),
        ):
            self.assertRaises(ValueError, CorsPolicy, settings)

    def test_anybody(self) -> None:
        """
        Row J1: an asterisk allows all, by an asterisk: no origin is sent back, and none may come with cookies.
        """
        for origin in (*NEARLY, ORIGIN, None):
            lines = answers(ANYBODY, origin)
            self.assertEqual(lines[0], b"Access-Control-Allow-Origin: *")
            self.assertNotIn(b"Credentials", b"".join(lines))
        self.assertEqual(preflight(ANYBODY, b"https://b.test")[0], b"Access-Control-Allow-Origin: *")

    def test_anybody_and_some(self) -> None:
        """
        An origin that is named beside the asterisk is still named.
        """
        self.assertEqual(
            answers(Cors(origins=("*", "https://a.test")), ORIGIN)[0], b"Access-Control-Allow-Origin: https://a.test"
        )

    def test_nobody(self) -> None:
        """
        Without origins none is allowed.
        """
        self.assertEqual(answers(Cors(), ORIGIN), VARY)


class LinesTests(SynchronousTestCase):
    """
    What responses have. Rows J2 and J4.
    """

    def test_vary(self) -> None:
        """
        Row J2: every answer tells caches that it depends on the origin: to known, unknown and no origins, with an
        asterisk too.
        """
        for settings in (SETTINGS, WITH_COOKIES, ANYBODY, Cors()):
            for origin in (ORIGIN, b"https://b.test", b"null", None):
                self.assertEqual([line for line in answers(settings, origin) if line.startswith(b"Vary")], VARY)

    def test_no_origin(self) -> None:
        """
        Row J2: a request without an origin is told that, and nothing else.
        """
        self.assertEqual(answers(SETTINGS, None), VARY)

    def test_all(self) -> None:
        """
        Row J4: each line is there once.
        """
        expected = [b"Access-Control-Allow-Origin: https://a.test", b"Access-Control-Expose-Headers: ETag, Retry-After"]
        self.assertEqual(answers(SETTINGS, ORIGIN), expected + VARY)

    def test_exposed(self) -> None:
        """
        Unless it is said otherwise, pages can read what tells them how to go on, and how a gRPC-Web call ended; nothing
        is said of nothing.
        """
        exposed = b"ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
        grpc = b", Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"
        self.assertIn(b"Access-Control-Expose-Headers: " + exposed + grpc, answers(WITH_COOKIES, ORIGIN))
        self.assertNotIn(b"Expose", b"".join(answers(Cors(origins=("https://a.test",), expose=()), ORIGIN)))

    def test_credentials(self) -> None:
        """
        Where credentials are allowed, the origins in the list are told so, and no others.
        """
        line = b"Access-Control-Allow-Credentials: true"
        self.assertIn(line, answers(WITH_COOKIES, ORIGIN))
        self.assertIn(line, preflight(WITH_COOKIES))
        self.assertNotIn(line, answers(SETTINGS, ORIGIN))
        self.assertEqual(answers(WITH_COOKIES, b"https://b.test"), VARY)


class PreflightTests(SynchronousTestCase):
    """
    What answers to preflight requests have. Row J3.
    """

    def test_all(self) -> None:
        """
        Row J3: a known origin learns what it may do, and for how long that holds.
        """
        expected = [
            b"Access-Control-Allow-Origin: https://a.test",
            b"Access-Control-Allow-Methods: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
            b"Access-Control-Allow-Headers: Accept, Authorization, Content-Type, Idempotency-Key, X-Request-ID, "
            b"Grpc-Timeout, X-Grpc-Web, X-User-Agent",
            b"Access-Control-Max-Age: 600",
        ]
        self.assertEqual(preflight(SETTINGS, ORIGIN, b"PUT", b"authorization,content-type"), expected + VARY_PREFLIGHT)

    def test_grpc_web(self) -> None:
        """
        Row J3: unless it is said otherwise, a page may make calls of gRPC-Web, with a token and a time limit.
        """
        asked = b"authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent"
        self.assertIn(
            b"Access-Control-Allow-Origin: https://a.test", preflight(Cors(("https://a.test",)), ORIGIN, b"POST", asked)
        )

    def test_method(self) -> None:
        """
        Row J3: a method that is not in the list, as to its case too, gets nothing allowed.
        """
        settings = Cors(origins=("https://a.test",), methods=("PUT", "POST"))
        for method in (b"PUT", b"POST"):
            self.assertIn(b"Access-Control-Allow-Methods: POST, PUT", preflight(settings, method=method))
        for method in (b"GET", b"HEAD", b"DELETE", b"put", b"", b"PUT, GET", b"*"):
            self.assertEqual(preflight(settings, method=method), VARY_PREFLIGHT, method)

    def test_head(self) -> None:
        """
        HEAD is allowed where GET is.
        """
        settings = Cors(origins=("https://a.test",), methods=("GET",))
        self.assertIn(b"Access-Control-Allow-Methods: GET, HEAD", preflight(settings, method=b"HEAD"))

    def test_headers(self) -> None:
        """
        Row J3: all fields that are asked for have to be in the list; names have no case, and the list may be loose.
        """
        settings = Cors(origins=("https://a.test",), headers=("X-One", "X-Two"))
        for asked in (b"", b"x-one", b"X-ONE,x-two", b" x-one ,\tx-two,, ", b"x-one,x-one"):
            self.assertIn(b"Access-Control-Allow-Headers: X-One, X-Two", preflight(settings, headers=asked), asked)
        for asked in (b"x-three", b"x-one,x-three", b"x-one x-two", b"authorization", b"*", b"x-on", b"x_one"):
            self.assertEqual(preflight(settings, headers=asked), VARY_PREFLIGHT, asked)

    def test_no_headers(self) -> None:
        """
        Where no field may be set, none is named.
        """
        settings = Cors(origins=("https://a.test",), headers=())
        self.assertNotIn(b"Allow-Headers", b"".join(preflight(settings)))
        self.assertEqual(preflight(settings, headers=b"content-type"), VARY_PREFLIGHT)

    def test_any_headers(self) -> None:
        """
        An asterisk covers every field but Authorization, as it does in browsers; what was asked for is not sent back.
        """
        for asked in (b"x-anything", b"content-type,x-b", b"x\x00y"):
            lines = preflight(ANYBODY, headers=asked)
            self.assertIn(b"Access-Control-Allow-Headers: *", lines)
            self.assertNotIn(b"anything", b"".join(lines))
        for asked in (b"authorization", b"x-anything,Authorization"):
            self.assertEqual(preflight(ANYBODY, headers=asked), VARY_PREFLIGHT)

    def test_any_headers_and_authorization(self) -> None:
        """
        Beside the asterisk, Authorization can be named.
        """
        settings = Cors(origins=("*",), headers=("*", "Authorization"))
        for asked in (b"authorization", b"x-anything,authorization"):
            self.assertIn(b"Access-Control-Allow-Headers: *, Authorization", preflight(settings, headers=asked))

    def test_any_method(self) -> None:
        """
        An asterisk covers every method.
        """
        settings = Cors(origins=("https://a.test",), methods=("*",))
        for method in (b"GET", b"PURGE", b"patch"):
            self.assertIn(b"Access-Control-Allow-Methods: *", preflight(settings, method=method))

    def test_max_age(self) -> None:
        """
        How long the answer holds is as configured, 0 included.
        """
        self.assertIn(b"Access-Control-Max-Age: 0", preflight(Cors(origins=("https://a.test",), max_age=0)))

    def test_private_network(self) -> None:
        """
        Pages of public sites are never told that they may reach into a private network.
        """
        for settings in (SETTINGS, WITH_COOKIES, ANYBODY):
            self.assertNotIn(b"Private-Network", b"".join(preflight(settings, headers=b"content-type")))


class IsPreflightTests(SynchronousTestCase):
    """
    Tests for L{is_preflight}. Row J3.
    """

    def head(self, method: bytes, *lines: bytes) -> RequestHead:
        """
        The head of a request with these field lines besides C{Host}.
        """
        parser = RequestParser()
        return parser.head(method + b" /x HTTP/1.1", parser.fields(b"\r\n".join((b"Host: gw.test", *lines))))

    def test_preflight(self) -> None:
        """
        Row J3: OPTIONS with an origin and a method to come is a browser's question.
        """
        for origin in (b"https://a.test", b"null", b"anything"):
            head = self.head(b"OPTIONS", b"origin: " + origin, b"Access-Control-Request-Method: PUT")
            self.assertTrue(is_preflight(head), origin)

    def test_other_requests(self) -> None:
        """
        Row J3: any other OPTIONS is forwarded, and so is any other method with the same fields.
        """
        both = (b"Origin: https://a.test", b"Access-Control-Request-Method: PUT")
        for method, lines in ((b"OPTIONS", ()), (b"OPTIONS", both[:1]), (b"OPTIONS", both[1:]), (b"GET", both)):
            self.assertFalse(is_preflight(self.head(method, *lines)), (method, lines))
