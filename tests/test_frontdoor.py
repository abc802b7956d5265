"""
Tests for L{siger.frontdoor}.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.service import Service
from siger.config.settings.admission import Cors, RateLimit
from siger.config.settings.gateway import Settings
from siger.config.settings.routes import RouteSettings
from siger.config.settings.services import ServiceSettings, Timeouts
from siger.destinations import Destinations
from siger.errors import Reason
from siger.frontdoor import FrontDoor
from siger.http.request import RequestHead
from siger.http.request_parser import RequestParser
from siger.http.stream import Exchange, Stream
from siger.observe.stats import OTHER_METHOD
from siger.policy.forwarded import Forwarding
from siger.policy.identity import Identity
from siger.policy.rules import OwnAuth, RuleBook
from siger.routing import RouteTable
from tests.http.client import Client, get
from tests.http.fakes import FakeStream
from tests.http.generators import properties
from tests.proxy.instance import FakeWire
from tests.proxy.world import World

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
STEPS = [
    *("ask", "ask", "go", "stall", "flow"),
    *("accept", "refuse", "answer", "answer", "answer too much", "speak unasked", "close", "reset", "wait"),
]


class Local:
    """
    The gateway's own endpoints, which only note who was asked for what.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, bytes]] = []
        self.identities: list[Identity | None] = []

    def __call__(
        self, head: RequestHead, stream: Stream, request_id: bytes, client: bytes, identity: Identity | None
    ) -> Exchange | None:
        """
        Answer at once.
        """
        self.asked.append((head.path, request_id, client))
        self.identities.append(identity)
        stream.send_response(200, b"OK", b"", None, b"local", True)
        return None


class House:
    """
    A front door, what is behind it, and who knocks.
    """

    OWN: Mapping[str, OwnAuth] = {
        "/health": "public",
        "/admin": ("admin",),
        "/auth/profile": "user",
        "/auth/register": "optional",
    }

    def __init__(
        self,
        *routes: RouteSettings,
        forwarding: Forwarding | None = None,
        gateway: Settings | None = None,
        **settings: Any,
    ) -> None:
        self.world = World(1, forwarding, **settings)
        self.local = Local()
        self.known: dict[bytes, Any] = {}
        self.verified: list[bytes] = []
        self.services = {b"echo": self.world.service}
        self.announced: dict[bytes, Service] = {}
        self.book = RuleBook(gateway or Settings(rate_limit=()))
        self.door = FrontDoor(
            self.services,
            RouteTable(routes),
            self.world.context,
            Destinations(self.book, self.world.context.observer, self.OWN, self.announced),
            self.local,
            lambda path: path.decode("ascii") if path.decode("ascii") in self.OWN else None,
            self.authenticate,
        )
        self._parser = RequestParser()
        self.exchange: Exchange | None = None

    def authenticate(self, credentials: bytes) -> Any:
        """
        Look up what a test says of these credentials.
        """
        self.verified.append(credentials)
        return self.known.get(credentials, Reason.INVALID_TOKEN)

    def knock(self, target: bytes, *lines: bytes, method: bytes = b"GET", host: bytes = b"a.test") -> FakeStream:
        """
        Make a request.
        """
        stream = FakeStream()
        section = b"\r\n".join((b"Host: " + host, *lines))
        head = self._parser.head(b"%b %b HTTP/1.1" % (method, target), self._parser.fields(section))
        self.head, self.fields = head, head.fields
        self.exchange = self.door(head, stream)
        return stream

    def reached(self) -> bytes | None:
        """
        The request line that an instance was sent, if one was.
        """
        if not self.world.instance.attempts:
            return None
        return self.world.instance.accept().received.partition(b"\r\n")[0]


class _HouseMixin(SynchronousTestCase):
    """
    What most tests here assert.
    """

    def refused(self, house: House, stream: FakeStream, reason: Reason, template: str) -> None:
        """
        The request was answered here, and reported once, on this route.
        """
        self.assertIsNone(house.exchange)
        self.assertIsNone(house.reached())
        self.assertEqual((stream.status, stream.reason, stream.ended), (reason.status, reason, True))
        (record,) = house.world.records
        self.assertEqual((record.status, record.reason, record.route), (reason.status, reason, template))
        self.assertEqual((record.bytes_out, record.service), (len(stream.body), None))
        self.assertEqual([record.request_id.decode()], stream.fields()["x-request-id"])
        self.assertEqual(house.world.balance, (0, 0))


class ServicesTests(_HouseMixin):
    """
    Tests for C{/services/{name}/*}.
    """

    TEMPLATE = "/services/{serviceName}/*"

    def test_target(self) -> None:
        """
        The prefix is taken off; the rest and the query reach the instance as they are.
        """
        for target, line in (
            (b"/services/echo/x/y?a=%zz&b", b"GET /x/y?a=%zz&b HTTP/1.1"),
            (b"/services/echo/", b"GET / HTTP/1.1"),
            (b"/services/echo", b"GET / HTTP/1.1"),
            (b"/services/echo?a", b"GET /?a HTTP/1.1"),
            (b"/services/echo/x/", b"GET /x/ HTTP/1.1"),
            (b"/services/echo/%7e;v=1", b"GET /~;v=1 HTTP/1.1"),
            (b"/other/../services/echo/x", b"GET /x HTTP/1.1"),
        ):
            house = House()
            house.knock(target)
            self.assertEqual(house.reached(), line)

    def test_answer(self) -> None:
        """
        The exchange is begun, and reported by itself under the template: L3.
        """
        house = House()
        stream = house.knock(b"/services/echo/x")
        self.assertIsNotNone(house.exchange)
        house.world.instance.accept().say(OK)
        self.assertEqual(stream.body, b"hello")
        (record,) = house.world.records
        self.assertEqual((record.route, record.service, record.path), (self.TEMPLATE, "echo", b"/services/echo/x"))

    def test_unknown(self) -> None:
        """
        A name that nobody published is not found, and leaves no trace: E4, E8, L3.
        """
        for name in (b"other", b"Echo", b"echo2", b"", b"ech%6Fo", b"echo%2Fx", b"127.0.0.1:80", b"echo;x"):
            house = House()
            self.refused(house, house.knock(b"/services/%b/x" % name), Reason.UNKNOWN_SERVICE, self.TEMPLATE)
            self.assertEqual(set(house.world.observer.services), {"echo"})

    def test_no_name(self) -> None:
        """
        Without a name there is none.
        """
        house = House()
        self.refused(house, house.knock(b"/services/"), Reason.UNKNOWN_SERVICE, self.TEMPLATE)

    def test_published_later(self) -> None:
        """
        The table of services is read anew for each request.
        """
        house = House()
        house.services[b"later"] = house.world.service
        house.knock(b"/services/later/x")
        self.assertEqual(house.reached(), b"GET /x HTTP/1.1")
        del house.services[b"later"]
        self.assertEqual(house.knock(b"/services/later/x").status, 404)

    def test_encoded_slash(self) -> None:
        """
        An encoded slash is refused: E1.
        """
        for target in (b"/services/echo/a%2Fb", b"/services/echo/a%2fb", b"/services/echo/..%2fadmin"):
            house = House()
            self.refused(house, house.knock(target), Reason.INVALID_TARGET, self.TEMPLATE)

    def test_never_a_route(self) -> None:
        """
        No route can take these paths away.
        """
        house = House(RouteSettings("other", path="/services/echo"))
        house.knock(b"/services/echo/x")
        self.assertEqual(house.reached(), b"GET /x HTTP/1.1")


class RoutesTests(_HouseMixin):
    """
    Tests for configured routes.
    """

    def test_taken(self) -> None:
        """
        A route leads to its service, with a target of its own, and is reported under its template.
        """
        house = House(RouteSettings("echo", host="a.test", path="/v1", strip="/v1", rewrite="/api"))
        house.knock(b"/v1/x?y", host=b"A.test:80")
        wire_line = house.reached()
        self.assertEqual(wire_line, b"GET /api/x?y HTTP/1.1")
        house.world.wires[0].say(OK)
        self.assertEqual(house.world.records[0].route, "a.test/v1/*")

    def test_normalised(self) -> None:
        """
        Routes see the path in its normal form: E1, design rule 3.
        """
        house = House(RouteSettings("echo", path="/v1"))
        house.knock(b"/x/../%76%31//y")
        self.assertEqual(house.reached(), b"GET /v1/y HTTP/1.1")

    def test_method(self) -> None:
        """
        A method that no route has for a path is not allowed, and those that there are are named.
        """
        house = House(RouteSettings("echo", path="/v1", methods=("GET", "PUT")))
        stream = house.knock(b"/v1/x", method=b"POST")
        self.assertEqual(stream.fields()["allow"], ["GET, PUT"])
        self.refused(house, stream, Reason.METHOD_NOT_ALLOWED, "_unmatched")

    def test_service_not_there(self) -> None:
        """
        A route to a service that nobody has published leads to none that is available: C9.
        """
        house = House(RouteSettings("other", path="/v1"))
        self.refused(house, house.knock(b"/v1/x"), Reason.NO_INSTANCE, "/v1/*")

    def test_encoded_slash(self) -> None:
        """
        An encoded slash passes where the route says so, and only there: E1.
        """
        for encoded_slashes in ("reject", "keep"):
            house = House(RouteSettings("echo", path="/v1", encoded_slashes=encoded_slashes))
            stream = house.knock(b"/v1/a%2fb")
            if encoded_slashes == "keep":
                self.assertEqual(house.reached(), b"GET /v1/a%2Fb HTTP/1.1")
            else:
                self.refused(house, stream, Reason.INVALID_TARGET, "/v1/*")

    def test_own_settings(self) -> None:
        """
        A route's timeouts and limit of a body are its own: F5.
        """
        own = RouteSettings("echo", path="/v1", max_body=3, timeouts=Timeouts(response=5))
        house = House(own, RouteSettings("echo", path="/v2"), max_body=4)
        for target, length, status in ((b"/v1", 4, 413), (b"/v1", 3, None), (b"/v2", 4, None), (b"/v2", 5, 413)):
            stream = house.knock(target, b"Content-Length: %d" % length, method=b"POST")
            self.assertEqual(stream.status, status, (target, length))
        stream = house.knock(b"/v1")
        while house.world.instance.attempts:
            house.world.instance.accept()
        house.world.later(5.5)
        self.assertEqual(stream.status, 504)

    def test_made_once(self) -> None:
        """
        What a route makes of its service's settings is made once, so that heads written for it can be kept.
        """
        house = House(RouteSettings("echo", path="/v1"))
        keys = []
        for _ in range(2):
            house.knock(b"/v1")
            house.reached()
            keys.append(house.fields.tail_key)
        self.assertIs(keys[0], keys[1])

    def test_no_body_at_all(self) -> None:
        """
        A limit of nothing is a limit.
        """
        house = House(RouteSettings("echo", path="/v1", max_body=0))
        self.assertEqual(house.knock(b"/v1", b"Content-Length: 1", method=b"POST").status, 413)

    def test_settings_that_change(self) -> None:
        """
        When the service comes back with other settings, the route goes by those.
        """
        house = House(RouteSettings("echo", path="/v1"), max_body=3)
        self.assertEqual(house.knock(b"/v1", b"Content-Length: 4", method=b"POST").status, 413)
        house.services[b"echo"] = house.world.make_service("echo", ServiceSettings(name="echo", max_body=9), 1)
        self.assertIsNone(house.knock(b"/v1", b"Content-Length: 4", method=b"POST").status)


class CallsTests(_HouseMixin):
    """
    Tests for the calls of gRPC services, by route or by announcement.
    """

    CALL = b"/a.v1.B/Do"
    TEMPLATE = "/a.v1.B/{method}"
    ASK = (b"Origin: https://a.test", b"Access-Control-Request-Method: POST")
    CROSSING = Settings(rate_limit=(), cors=Cors(origins=("https://a.test",)))

    def houses(self, **settings: Any) -> list[House]:
        """
        One with a route to a gRPC service, and one in which that is announced.
        """
        routed, announced = House(RouteSettings("echo", path="", grpc="a.v1.B"), **settings), House(**settings)
        announced.announced[b"a.v1.B"] = announced.world.service
        return [routed, announced]

    def test_call(self) -> None:
        """
        A call goes to the service with its path as it is, and is reported under a template of its own: L3.
        """
        for house in self.houses():
            house.knock(self.CALL + b"?q", method=b"POST")
            self.assertEqual(house.reached(), b"POST /a.v1.B/Do?q HTTP/1.1")
            house.world.wires[0].say(OK)
            (record,) = house.world.records
            self.assertEqual((record.route, record.service), (self.TEMPLATE, "echo"))

    def test_preflight(self) -> None:
        """
        A preflight request that announces a call is answered by the rules of its service.
        """
        for house in self.houses(gateway=self.CROSSING):
            stream = house.knock(self.CALL, *self.ASK, method=b"OPTIONS")
            self.assertEqual((stream.status, house.reached()), (204, None))
            self.assertEqual(house.world.records[0].route, self.TEMPLATE)

    def test_other_methods(self) -> None:
        """
        Nothing but POST is a call.
        """
        for method in (b"GET", b"PUT", b"OPTIONS", b"DELETE"):
            for house in self.houses():
                stream = house.knock(self.CALL, method=method)
                self.assertEqual(stream.fields()["allow"], ["POST"])
                self.refused(house, stream, Reason.METHOD_NOT_ALLOWED, "_unmatched")

    def test_no_call(self) -> None:
        """
        Any other path of two segments leads nowhere, and so does what is no path of a call.
        """
        for target in (b"/a.v1.C/Do", b"/a.v1.B", b"/a.v1.B/", b"/a.v1.B/Do/it", b"/A.v1.B/Do", b"/x/a.v1.B/Do"):
            for house in self.houses():
                self.refused(house, house.knock(target, method=b"POST"), Reason.NO_ROUTE, "_unmatched")

    def test_encoded_slash(self) -> None:
        """
        An encoded slash is refused: E1.
        """
        for house in self.houses():
            stream = house.knock(self.CALL + b"%2fit", method=b"POST")
            self.refused(house, stream, Reason.INVALID_TARGET, self.TEMPLATE)

    def test_rules_of_the_service(self) -> None:
        """
        What is announced has the rules of the service that has it: who may call, and how often.
        """
        house = self.houses(auth="user")[1]
        self.assertEqual(house.knock(self.CALL, method=b"POST").status, 401)
        house = self.houses(rate_limit=(RateLimit(Fraction(1, 1000), 1),))[1]
        self.assertIsNone(house.knock(b"/services/echo/x").status)
        self.assertEqual(house.knock(self.CALL, method=b"POST").status, 429)

    def test_routes_first(self) -> None:
        """
        What is announced takes nothing away from routes, nor from the gateway itself.
        """
        house = House(RouteSettings("other", path="/a.v1.B"))
        house.announced[b"a.v1.B"] = house.announced[b"auth"] = house.world.service
        self.refused(house, house.knock(self.CALL, method=b"POST"), Reason.NO_INSTANCE, "/a.v1.B/*")
        house.knock(b"/auth/profile", b"Authorization: Bearer x", method=b"POST")
        self.assertEqual(house.verified, [b"Bearer x"])
        self.assertIsNone(house.reached())

    def test_beside_a_route(self) -> None:
        """
        A route that does not take calls does not stand in the way of those that are announced.
        """
        house = House(RouteSettings("other", path="/", methods=("GET",)))
        house.announced[b"a.v1.B"] = house.world.service
        house.knock(self.CALL, method=b"POST")
        self.assertEqual(house.reached(), b"POST /a.v1.B/Do HTTP/1.1")

    def test_withdrawn(self) -> None:
        """
        The table is read anew for each request, and nothing is kept of what is withdrawn.
        """
        house = self.houses()[1]
        destinations = house.door._destinations
        first = destinations.at_call(self.CALL)
        self.assertIs(destinations.at_call(b"/a.v1.B/Other"), first)
        house.announced[b"a.v1.C"] = house.announced.pop(b"a.v1.B")
        self.assertIsNone(destinations.at_call(self.CALL))
        self.assertIsNotNone(destinations.at_call(b"/a.v1.C/Do"))
        self.assertEqual(set(destinations._announced), {b"a.v1.C"})

    def test_moved(self) -> None:
        """
        When another service has it, that one's rules hold.
        """
        house = self.houses()[1]
        self.assertIsNone(house.knock(self.CALL, method=b"POST").status)
        settings = ServiceSettings(name="other", auth="user")
        house.announced[b"a.v1.B"] = house.world.make_service("other", settings, 1)
        self.assertEqual(house.knock(self.CALL, method=b"POST").status, 401)


class ElsewhereTests(_HouseMixin):
    """
    Tests for everything else.
    """

    def test_local(self) -> None:
        """
        The gateway's own endpoints report for themselves.
        """
        house = House(RouteSettings("echo", path="/v1"))
        stream = house.knock(b"/health", b"X-Request-ID: my-request-1")
        self.assertEqual((stream.body, house.world.records), (b"local", []))
        self.assertEqual(house.local.asked, [(b"/health", b"my-request-1", b"192.0.2.7")])

    def test_not_quite_services(self) -> None:
        """
        C{/services} alone, or something like it, is nothing but a path, and leads nowhere.
        """
        for target in (b"/services", b"/servicesx/echo", b"/Services/echo/x"):
            house = House()
            self.refused(house, house.knock(target), Reason.NO_ROUTE, "_unmatched")

    def test_encoded_slash(self) -> None:
        """
        The gateway's own endpoints never see an encoded slash: E2.
        """
        for target in (b"/api/v1%2Fadmin", b"/api/v1/jobs/..%2fadmin"):
            house = House()
            self.refused(house, house.knock(target), Reason.INVALID_TARGET, "_unmatched")
            self.assertEqual(house.local.asked, [])

    def options(self, house: House, stream: FakeStream) -> None:
        """
        The methods were named, here.
        """
        self.assertIsNone(house.exchange)
        self.assertIsNone(house.reached())
        self.assertEqual((stream.status, stream.ended, stream.body), (204, True, b""))
        self.assertEqual(stream.fields()["allow"], ["DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"])
        self.assertEqual(len(stream.fields()["date"]), 1)
        (record,) = house.world.records
        self.assertEqual((record.status, record.reason), (204, None))

    def test_page(self) -> None:
        """
        A call of gRPC-Web becomes one of gRPC where an instance could take that; an instance of HTTP/1.1 gets what the
        page sent, and the page what that one answers.
        """
        for protocol, content_type in (("http1", b"application/grpc-web-text"), ("h2c", b"application/grpc")):
            house = House(protocol=protocol)
            lines = (b"Content-Type: application/grpc-web-text", b"Content-Length: 8")
            stream = house.knock(b"/services/echo/a.B/C", *lines, method=b"POST")
            assert house.exchange is not None
            house.exchange.body_received(b"AAAAAAA=", True)
            wire = house.world.instance.accept()
            self.assertIn(content_type, wire.received)
            self.assertEqual(b"grpc-web" in wire.received, protocol == "http1")
            self.assertEqual(wire.received.endswith(b"AAAAAAA="), protocol == "http1")
            if protocol == "http1":
                wire.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web-text\r\nContent-Length: 4\r\n\r\ngAA=")
                self.assertEqual((stream.body, stream.ended), (b"gAA=", True))

    def test_no_methods(self) -> None:
        """
        What an instance of HTTP/1.1 answers names no methods of gRPC, whatever path and content type a client makes up:
        L3.
        """
        house = House()
        for number in range(3):
            house.knock(b"/services/echo/Made_up_%d" % number, b"Content-Type: application/grpc")
            if not number:
                wire = house.world.instance.accept()
            wire.say(OK)
        calls = house.world.observer.grpc_services["echo"]
        self.assertEqual(list(calls.methods), [OTHER_METHOD])
        self.assertFalse(any(calls.methods[OTHER_METHOD].statuses))
        self.assertEqual([record.status for record in house.world.records], [200] * 3)

    def test_misdirected(self) -> None:
        """
        Whether a request came on a connection that is for its host is asked of the connection's own stream, whatever
        kind of request it is, and only where there is TLS.
        """
        for content_type in (b"text/plain", b"application/grpc", b"application/grpc-web", b"application/grpc-web-text"):
            for secure in (False, True):
                house = House()
                asked: list[tuple[Stream, bytes]] = []
                house.door.is_misdirected = lambda stream, host, asked=asked: asked.append((stream, host)) or True
                stream = FakeStream(secure=secure)
                section = house._parser.fields(b"Host: b.test\r\nContent-Type: " + content_type)
                house.door(house._parser.head(b"GET /services/echo/x HTTP/1.1", section), stream)
                self.assertEqual(asked, [(stream, b"b.test")] if secure else [])
                self.assertEqual(stream.reason, Reason.MISDIRECTED if secure else None)
                self.assertEqual(house.world.instance.attempts, int(not secure))

    def test_asterisk(self) -> None:
        """
        C{OPTIONS *} asks about the gateway: A27.
        """
        house = House()
        self.options(house, house.knock(b"*", method=b"OPTIONS"))

    def test_max_forwards(self) -> None:
        """
        So does an OPTIONS that may go no further, whatever its path: D8.
        """
        for target in (b"/v1/x", b"/services/echo/x", b"/services/none", b"/health", b"*"):
            house = House(RouteSettings("echo", path="/v1"))
            self.options(house, house.knock(target, b"Max-Forwards: 0", method=b"OPTIONS"))

    def test_other_options(self) -> None:
        """
        Any other OPTIONS is a request like others.
        """
        house = House()
        house.knock(b"/services/echo/x", b"Max-Forwards: 1", method=b"OPTIONS")
        self.assertEqual(house.reached(), b"OPTIONS /x HTTP/1.1")
        self.assertIn(b"\r\nMax-Forwards: 0\r\n", house.world.wires[0].received)

    def test_other_methods(self) -> None:
        """
        For other methods the field means nothing.
        """
        house = House()
        house.knock(b"/services/echo/x", b"Max-Forwards: 0")
        self.assertEqual(house.reached(), b"GET /x HTTP/1.1")


class AdmissionTests(_HouseMixin):
    """
    Tests for what happens to every request.
    """

    def test_request_id(self) -> None:
        """
        A request has an id, its client's own if that is acceptable: D7.
        """
        for lines, own in (
            ((), None),
            ((b"X-Request-ID: my-request-1",), "my-request-1"),
            ((b"X-Request-ID: no",), None),
            ((b"X-Request-ID: my-request-1", b"X-Request-ID: my-request-2"), None),
        ):
            house = House()
            stream = house.knock(b"/services/none/x", *lines)
            (given,) = stream.fields()["x-request-id"]
            if own is None:
                self.assertRegex(given, r"\A[0-9a-f]{32}\Z")
            else:
                self.assertEqual(given, own)

    def test_ids_differ(self) -> None:
        """
        No two requests have the same one.
        """
        house = House()
        ids = {house.knock(b"/services/none/x").fields()["x-request-id"][0] for _ in range(600)}
        self.assertEqual(len(ids), 600)

    def test_loop(self) -> None:
        """
        A request that has been here twice is refused: D8.
        """
        house = House()
        stream = house.knock(b"/services/echo/x", b"Via: 1.1 siger", b"Via: 1.1 siger")
        self.refused(house, stream, Reason.LOOP_DETECTED, "_unmatched")

    def test_no_loop(self) -> None:
        """
        Once is no loop: D8.
        """
        house = House()
        house.knock(b"/services/echo/x", b"Via: 1.1 siger")
        self.assertIsNotNone(house.reached())

    def test_client(self) -> None:
        """
        Whoever the client is, is the same for the log, the instance and the gateway itself: D3, design rule 3.
        """
        trusting = Forwarding([ip_network("192.0.2.0/24")])
        for forwarding, client in ((Forwarding(), b"192.0.2.7"), (trusting, b"1.2.3.4")):
            for target in (b"/services/echo/x", b"/services/none", b"/health"):
                house = House(forwarding=forwarding)
                house.knock(target, b"X-Forwarded-For: 6.6.6.6, 1.2.3.4")
                if house.world.instance.attempts:
                    house.world.instance.accept().say(OK)
                seen = [record.client for record in house.world.records] + [asked[2] for asked in house.local.asked]
                self.assertEqual(seen, [client], (target, client))

    def test_refused_head(self) -> None:
        """
        A head that could not be read is answered, and reported without a word of it: L1.
        """
        for reason, allow in ((Reason.MALFORMED_REQUEST, None), (Reason.METHOD_NOT_ALLOWED, True)):
            house = House()
            stream = FakeStream()
            house.door.refuse(stream, reason, "Fixed text.")
            self.assertEqual((stream.status, "allow" in stream.fields()), (reason.status, bool(allow)))
            (record,) = house.world.records
            self.assertEqual((record.method, record.path, record.client), (b"-", b"", b"192.0.2.7"))
            self.assertEqual((record.status, record.reason, record.route), (reason.status, reason, "_unmatched"))
            self.assertEqual(record.bytes_out, len(stream.body))


class Echo:
    """
    Plays the instances: answers a request with its path.
    """

    def __init__(self, wire: FakeWire) -> None:
        self._wire = wire
        self._answered = 0

    def answer(self, more: bytes = b"") -> None:
        """
        Answer the next request on the connection, if one is there.

        @param more: what follows the answer.
        """
        heads = self._wire.received.split(b"\r\n\r\n")[:-1]
        for head in heads[self._answered : self._answered + 1]:
            self._answered += 1
            path = head.split(b" ")[1]
            self._wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b%b" % (len(path), path, more))

    def speak_unasked(self) -> None:
        """
        Answer although everything is answered.
        """
        if self._wire.received.count(b"\r\n\r\n") == self._answered:
            self._wire.say(POISON)


class WholeTests(SynchronousTestCase):
    """
    Tests for everything together: real channels in front, and pools behind.
    """

    def test_exchange(self) -> None:
        """
        A client's bytes reach the instance, and the instance's the client.
        """
        house = House()
        client = Client(house.door)
        client.send(get("/services/echo/a") + get("/services/echo/b"))
        wire = house.world.instance.accept()
        self.assertTrue(wire.received.startswith(b"GET /a HTTP/1.1\r\n"))
        wire.say(OK)
        self.assertEqual(wire.received.count(b"GET /b"), 1)
        wire.say(OK)
        self.assertEqual([response.body for response in client.responses()], [b"hello", b"hello"])
        self.assertEqual(house.world.balance, (0, 0))

    def test_gone(self) -> None:
        """
        The instance sees that a client has gone: C12.
        """
        house = House()
        client = Client(house.door)
        client.send(get("/services/echo/a"))
        wire = house.world.instance.accept()
        client.go()
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(house.world.balance, (0, 0))

    def test_broken_body(self) -> None:
        """
        An instance never sees the end of a body that was broken: A8, A12.
        """
        house = House()
        client = Client(house.door)
        client.send(
            b"POST /services/echo/a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
        wire = house.world.instance.accept()
        client.send(b"0x0\r\n\r\n" + get("/services/echo/smuggled"))
        self.assertEqual(client.statuses(), [400])
        self.assertTrue(wire.transport.aborted)
        self.assertTrue(wire.received.endswith(b"5\r\nhello\r\n"))
        self.assertEqual(house.world.instance.attempts, 0)

    def test_backpressure(self) -> None:
        """
        An instance that sends faster than the client reads is held back: C11.
        """
        house = House()
        client = Client(house.door)
        client.send(get("/services/echo/a"))
        wire = house.world.instance.accept()
        client.transport.stalled = True
        wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70000)
        self.assertTrue(wire.transport.paused)
        client.transport.flow()
        self.assertFalse(wire.transport.paused)
        wire.say(b"x" * 30000)
        self.assertEqual(len(client.responses()[0].body), 100000)

    @properties
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(STEPS),
                st.integers(0, 2),
            ),
            max_size=60,
        )
    )
    def test_any_order_keeps_clients_apart(self, steps: list[tuple[str, int]]) -> None:
        """
        Whatever three clients and their instance do in whatever order, every client gets answers to its own requests,
        in their order, or errors; and in the end nothing is in flight: A16, C3, C12.
        """
        house = House(max_connections=2, max_waiting=2)
        clients = [Client(house.door) for _ in range(3)]
        asked: list[list[bytes]] = [[], [], []]
        echoes: dict[int, Echo] = {}
        gone: set[int] = set()
        for step, who in steps:
            if step in ("ask", "go", "stall", "flow"):
                if who not in gone:
                    self.take_client(step, clients[who], asked[who], who)
                if step == "go":
                    gone.add(who)
            else:
                self.take_instance(step, house.world, echoes, who)
            house.world.instance.settle()
        for who, client in enumerate(clients):
            client.transport.flow()
            self.judge(client, asked[who])
            if who not in gone:
                client.go()
        house.world.instance.settle()
        self.assertEqual(house.world.balance, (0, 0))

    def judge(self, client: Client, asked: list[bytes]) -> None:
        """
        Each response is to the request in its place, or an error.
        """
        responses = client.responses()
        self.assertLessEqual(len(responses), len(asked))
        for path, response in zip(asked, responses, strict=False):
            if response.status == 200:
                self.assertEqual(response.body, path[: len(response.body)])
            else:
                self.assertIn(response.status, (502, 503, 504))

    def take_client(self, step: str, client: Client, asked: list[bytes], who: int) -> None:
        """
        Let a client do something.
        """
        if step == "ask":
            asked.append(b"/%d/%d" % (who, len(asked)))
            client.send(get("/services/echo" + asked[-1].decode()))
        elif step == "go":
            client.go()
        elif step == "stall":
            client.transport.stalled = True
        else:
            client.transport.flow()
            client.deliver()

    def take_instance(self, step: str, world: World, echoes: dict[int, Echo], which: int) -> None:
        """
        Let an instance do something.
        """
        if step == "wait":
            world.later(1)
        elif step == "accept" and world.instance.attempts:
            world.instance.accept()
        elif step == "refuse" and world.instance.attempts:
            world.instance.refuse(ConnectionRefusedError())
        for wire in [wire for wire in world.wires if not wire.lost][which : which + 1]:
            echo = echoes.setdefault(id(wire), Echo(wire))
            if step == "answer":
                echo.answer()
            elif step == "answer too much":
                echo.answer(POISON)
            elif step == "speak unasked":
                echo.speak_unasked()
            elif step in ("close", "reset"):
                wire.lose(step == "close")
