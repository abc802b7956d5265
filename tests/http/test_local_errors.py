"""
Tests for L{siger.http.local_errors}.
"""

from __future__ import annotations

import json
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from werkzeug.exceptions import BadRequest, Gone

from siger.errors import Reason
from siger.http.bridge import LocalApplication, LocalSite
from siger.http.local_errors import answer_errors, refuse
from siger.http.request_parser import RequestParser
from siger.observe.observer import Observer
from tests.http.fakes import FakeStream

ID = b"0192f3a4b5c6"


class Shop:
    """
    A Klein application with an instance.
    """

    app = Klein()

    @app.route("/things", methods=["GET", "POST"])
    def things(self, request: Any) -> bytes:
        """
        Works.
        """
        return b"things"

    @app.route("/shelf/")
    def shelf(self, request: Any) -> bytes:
        """
        Ends in a slash.
        """
        return b"shelf"

    @app.route("/raise/<name>")
    def raises(self, request: Any, name: str) -> bytes:
        """
        Does not work.
        """
        raise {"bad": BadRequest("<script>"), "gone": Gone("<script>")}.get(name) or ValueError("secret words")

    @app.route("/full")
    def full(self, request: Any) -> bytes:
        """
        Refuses.
        """
        return refuse(request, Reason.NO_INSTANCE, "All shelves are full.", extra=b"X-Shelves: 0\r\n")

    @app.route("/wrong")
    def wrong(self, request: Any) -> bytes:
        """
        Refuses, and says more.
        """
        return refuse(request, Reason.OVERLOADED, members=b',"errors":[1]', retry_after=7)

    @app.route("/late")
    def late(self, request: Any) -> Deferred[bytes]:
        """
        Begins, then refuses.
        """
        request.write(b"begun")
        self.late_request = request
        later: Deferred[bytes] = Deferred()
        self.waiting = later
        later.addCallback(lambda _: refuse(request, Reason.NO_INSTANCE))
        return later


answer_errors(Shop.app)


class ProblemTests(SynchronousTestCase):
    """
    Tests for what a Klein application behind the bridge answers when it does not.
    """

    def setUp(self) -> None:
        """
        A shop.
        """
        self.shop = Shop()
        self.observer = Observer()

    def send(self, method: bytes, path: bytes) -> FakeStream:
        """
        A request's response.
        """
        stream = FakeStream()
        stream.request_id = ID
        parser = RequestParser()
        head = parser.head(b"%b %b HTTP/1.1" % (method, path), parser.fields(b"Host: gw.test"))
        application = LocalApplication(
            LocalSite(self.shop.app.resource(), Clock()), self.observer, lambda path: path.decode()
        )
        self.exchange = application(head, stream, ID, b"192.0.2.7")
        return stream

    def assert_problem(self, stream: FakeStream, reason: Reason) -> dict[str, Any]:
        """
        The response is a problem document with this reason, and was counted as such.
        """
        self.assertTrue(stream.ended)
        self.assertEqual(stream.status, reason.status)
        fields = stream.fields()
        self.assertEqual(fields["content-type"], ["application/problem+json"])
        self.assertEqual(fields["x-request-id"], [ID.decode()])
        self.assertEqual(stream.length, len(stream.body))
        document: dict[str, Any] = json.loads(stream.body)
        self.assertEqual((document["reason"], document["request_id"]), (reason.code, ID.decode()))
        self.assertEqual(self.observer.reasons, {reason: 1})
        return document

    def test_works(self) -> None:
        """
        What works is left alone.
        """
        self.assertEqual(self.send(b"GET", b"/things").body, b"things")
        self.assertEqual(self.observer.reasons, {})

    def test_unknown_path(self) -> None:
        """
        A path that nothing answers is 404, and is not repeated to the client.
        """
        stream = self.send(b"GET", b"/nothing-like-this")
        self.assert_problem(stream, Reason.NO_ROUTE)
        self.assertNotIn(b"nothing-like-this", stream.body)

    def test_wrong_method(self) -> None:
        """
        A method that a path does not have is 405 with the methods it has.
        """
        stream = self.send(b"DELETE", b"/things")
        self.assert_problem(stream, Reason.METHOD_NOT_ALLOWED)
        self.assertEqual(stream.fields()["allow"], ["GET, HEAD, POST"])

    def test_missing_slash(self) -> None:
        """
        A path that lacks its last slash is another path: nobody is redirected by a router's guess.
        """
        stream = self.send(b"GET", b"/shelf")
        self.assert_problem(stream, Reason.NO_ROUTE)
        self.assertNotIn("location", stream.fields())

    def test_exception(self) -> None:
        """
        An exception is 500 with no word of it, and is in the log.
        """
        stream = self.send(b"GET", b"/raise/it")
        self.assert_problem(stream, Reason.INTERNAL_ERROR)
        self.assertNotIn(b"secret", stream.body + stream.lines)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_bad_request(self) -> None:
        """
        A framework's 400 is ours.
        """
        stream = self.send(b"GET", b"/raise/bad")
        self.assert_problem(stream, Reason.MALFORMED_REQUEST)
        self.assertNotIn(b"script", stream.body)

    def test_other_exceptions_of_the_framework(self) -> None:
        """
        Statuses that only a programmer could have meant are a fault in the program.
        """
        self.assert_problem(self.send(b"GET", b"/raise/gone"), Reason.INTERNAL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(Gone)), 1)

    def test_refuse(self) -> None:
        """
        A handler refuses with a reason, in its own words, with its own fields.
        """
        stream = self.send(b"GET", b"/full")
        document = self.assert_problem(stream, Reason.NO_INSTANCE)
        self.assertEqual(document["detail"], "All shelves are full.")
        self.assertEqual(stream.fields()["x-shelves"], ["0"])

    def test_refuse_with_members(self) -> None:
        """
        A handler adds members to the document, and says when to come back.
        """
        stream = self.send(b"GET", b"/wrong")
        self.assertEqual(self.assert_problem(stream, Reason.OVERLOADED)["errors"], [1])
        self.assertEqual(stream.fields()["retry-after"], ["7"])

    def test_refuse_to_head(self) -> None:
        """
        To HEAD the problem's head is sent alone.
        """
        stream = self.send(b"HEAD", b"/full")
        self.assertEqual((stream.status, stream.body, stream.ended), (503, b"", True))
        self.assertGreater(stream.length or 0, 100)

    def test_refuse_after_the_head(self) -> None:
        """
        A response that has begun is broken off.
        """
        stream = self.send(b"GET", b"/late")
        self.shop.waiting.callback(None)
        self.assertEqual((stream.events, stream.body), (["response", "abort"], b"begun"))
        self.assertEqual(self.observer.reasons, {Reason.NO_INSTANCE: 1})

    def test_refuse_after_the_client_left(self) -> None:
        """
        There is nobody to refuse.
        """
        stream = self.send(b"GET", b"/late")
        assert self.exchange is not None
        request = self.shop.late_request
        self.exchange.client_gone()
        self.assertEqual(refuse(request, Reason.OVERLOADED), b"")
        self.assertEqual(stream.events, ["response"])
        self.assertEqual(self.observer.reasons, {Reason.CLIENT_GONE: 1})


class ElsewhereTests(SynchronousTestCase):
    """
    Tests for L{refuse} without the bridge.
    """

    def test_stock_site(self) -> None:
        """
        In a site on its own channel the same document is sent the framework's way.
        """
        transport = StringTransport()
        protocol = Site(Shop().app.resource(), reactor=Clock()).buildProtocol(None)
        assert protocol is not None
        protocol.makeConnection(transport)
        protocol.dataReceived(b"DELETE /things HTTP/1.1\r\nHost: x\r\nX-Request-ID: abc-1\r\nConnection: close\r\n\r\n")
        head, _, body = transport.value().partition(b"\r\n\r\n")
        self.assertIn(b"HTTP/1.1 405 Method Not Allowed\r\n", head)
        self.assertIn(b"Allow: GET, HEAD, POST", head)
        self.assertIn(b"application/problem+json", head)
        self.assertIn(b'"reason":"method_not_allowed","request_id":"abc-1"', body)
        protocol.connectionLost(None)

    def test_members(self) -> None:
        """
        So are a document's further members, and the time to wait.
        """
        transport = StringTransport()
        protocol = Site(Shop().app.resource(), reactor=Clock()).buildProtocol(None)
        assert protocol is not None
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET /wrong HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = transport.value().partition(b"\r\n\r\n")
        self.assertIn(b"Retry-After: 7", head)
        self.assertIn(b',"errors":[1]}', body)
        protocol.connectionLost(None)
