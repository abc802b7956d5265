"""
The gateway as a client of HTTP/2: connections, streams, and what is tried again (RFC 9113 sections 3.4, 5.1, 6.4 to
6.8, 8.1 and 8.7).
"""

from __future__ import annotations

import contextlib

from tests.integration.h2_backend import H2Server
from tests.integration.h2_frames import MOST, Code, Flag, Key, Kind, goaway, headers, literal, ping, reset, settings
from tests.integration.h2_peer import PeerSilent
from tests.integration.h2_upstream_case import UpstreamTestCase, far


class RequestTests(UpstreamTestCase):
    """
    What the gateway sends.
    """

    def test_3_4_preface(self) -> None:
        """
        Sections 3.4 and 6.5.2: a connection begins with the preface and SETTINGS, which forbid pushes; our own are
        acknowledged.
        """
        _, server, _ = self.begun()
        self.assertEqual(server.settings[Key.ENABLE_PUSH], 0)
        self.assertTrue(any(one.has(Flag.ACK) for one in server.of(Kind.SETTINGS)))

    def test_8_3_1_fields(self) -> None:
        """
        Section 8.3.1: a request has its four pseudo-header fields, in front, and its own fields behind.
        """
        fields = ((b"x-one", b"1"), (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x-one", b"2"))
        _, server, there = self.begun(b"/fields?q=1", *fields, method=b"PUT")
        head = server.stream(there).head
        pseudo = {(b":method", b"PUT"), (b":scheme", b"http"), (b":authority", b"gw.test"), (b":path", b"/fields?q=1")}
        self.assertEqual(set(head[:4]), pseudo)
        self.assertEqual([value for name, value in head if name == b"x-one"], [b"1", b"2"])
        self.assertEqual(b"; ".join(value for name, value in head if name == b"cookie"), b"a=1; b=2")
        self.assertNotIn(b"host", dict(head))
        self.assertTrue(server.stream(there).ended)

    def test_8_2_2_te(self) -> None:
        """
        Section 8.2.2: that trailers are wanted goes on.
        """
        _, server, there = self.begun(b"/te", (b"te", b"trailers"))
        self.assertEqual(server.stream(there).value(b"te"), b"trailers")

    def test_8_1_expectation(self) -> None:
        """
        RFC 9110 section 10.1.1: that leave is waited for goes on, and so does the leave, before anything of the body.
        """
        more = ((b"expect", b"100-continue"), (b"content-length", b"4"))
        stream, server, there = self.begun(b"/expect", *more, end=False)
        self.assertEqual(server.stream(there).value(b"expect"), b"100-continue")
        server.send_fields(there, (b":status", b"100"))
        self.assertTrue(self.client.until(lambda: self.client.stream(stream).interims), self.client)
        self.client.send_data(stream, b"body", end=True)
        self.assertEqual(bytes(server.whole(there).body), b"body")
        server.respond(there)
        self.assertEqual(self.client.whole(stream).status, 200)

    def test_7541_7_1_3_secrets(self) -> None:
        """
        RFC 7541 section 7.1.3: a field that the client marked as never to be indexed goes on so.
        """
        stream, self.client.next = self.client.next, self.client.next + 2
        block = literal(far(b"/secret")) + literal([(b"x-password", b"secret")], 0x10)
        self.client.send(headers(stream, block))
        server = self.upstream()
        there = server.take()
        self.assertEqual(server.stream(there).value(b"x-password"), b"secret")
        self.assertIn(b"x-password", server.stream(there).sensitive[0])

    def test_5_1_one_connection(self) -> None:
        """
        Section 9.1: requests share a connection, at once and one after the other.
        """
        stream, server, there = self.begun()
        others = [self.another(server, b"/at/once/%d" % number) for number in range(10)]
        for ours, theirs in reversed(others):
            server.respond(theirs, body=b"%d" % ours)
            self.assertEqual(bytes(self.client.whole(ours).body), b"%d" % ours)
        server.respond(there)
        self.assertEqual(self.client.whole(stream).status, 200)
        self.works(server)

    def test_6_7_ping(self) -> None:
        """
        Sections 6.5.3 and 6.7: PING and SETTINGS are answered in their order.
        """
        _, server, _ = self.begun()
        before = len(server.frames)
        server.send(ping(b"backend!") + settings((Key.MAX_CONCURRENT_STREAMS, 50)) + ping(b"........", ack=True))
        self.assertTrue(server.until(lambda: len(server.frames) >= before + 2), server)
        seen = [(one.kind, one.flags, one.payload) for one in server.frames[before:]]
        self.assertEqual(seen, [(Kind.PING, Flag.ACK, b"backend!"), (Kind.SETTINGS, Flag.ACK, b"")])
        self.works(server)

    def test_5_4_2_cancelled(self) -> None:
        """
        Section 8.1 and 5.4.2: what the client cancels is cancelled at the backend, on that stream alone.
        """
        stream, server, there = self.begun()
        ours, theirs = self.another(server)
        self.client.send(reset(stream))
        self.assertEqual(server.reset_of(there), Code.CANCEL)
        server.respond(theirs)
        self.assertEqual(self.client.whole(ours).status, 200)
        self.works(server)

    def test_5_4_3_a_client_that_leaves(self) -> None:
        """
        Section 5.4.3: a client that leaves cancels all that it asked for, and the connection serves the others.
        """
        stream, server, there = self.begun()
        others = [self.another(server) for _ in range(5)]
        self.client.close()
        for theirs in (there, *(one for _, one in others)):
            self.assertEqual(server.reset_of(theirs), Code.CANCEL)
        self.assertTrue(stream)
        self.client = self.connect()
        self.works(server)

    def test_8_1_timeout(self) -> None:
        """
        Section 8.1: a backend that does not answer in time is told, and so is the client. One of which nothing at all
        came meanwhile gets another connection for what follows.
        """
        stream = self.client.open(far(b"/slow", method=b"POST", service=b"hasty"))
        server = self.upstream()
        there = server.take()
        self.failed(stream, status=504)
        self.assertEqual(server.reset_of(there), Code.CANCEL)
        ours = self.client.open(far(b"/stops", service=b"hasty"))
        server = self.upstream()
        server.send_fields(server.take(), (b":status", b"200"))
        self.broken_off(ours)


class ConcurrencyTests(UpstreamTestCase):
    """
    MAX_CONCURRENT_STREAMS of a backend.
    """

    service = b"narrow"
    upstream_settings = ((Key.MAX_CONCURRENT_STREAMS, 2),)

    def test_5_1_2_honoured(self) -> None:
        """
        Section 5.1.2: no more streams are open on a connection than the backend allows; what is above waits for room,
        there or on another connection, and is served in the end.
        """
        first, server, there = self.begun(b"/first")
        waiting = [self.client.open(far(b"/wait/%d" % number, service=self.service)) for number in range(12)]
        self.assertTrue(self.client.barrier())
        running = {server: [there]}
        while not all(self.client.stream(one).done for one in (first, *waiting)):
            self._step(running)
        self.assertEqual({self.client.stream(one).status for one in (first, *waiting)}, {200})
        self.assertLessEqual(len(running), 4)

    def _step(self, running: dict[H2Server, list[int]]) -> None:
        """
        Take what came, judge how much that is at once, and answer one request of each connection.
        """
        with contextlib.suppress(PeerSilent):
            running[self.kept(self.far.accept(0.05)).start(*self.upstream_settings)] = []
        for server, open_there in running.items():
            while server.until(lambda: server.fresh, 0.02):  # noqa: B023
                self._admit(server, open_there)
            if open_there:
                server.respond(open_there.pop(0))
        self.client.until_closed(0.02)

    def _admit(self, server: H2Server, open_there: list[int]) -> None:
        """
        Take a request; what came before the gateway knew how many may come is refused.
        """
        stream = server.take()
        if len(open_there) < 2:
            open_there.append(stream)
            return
        kinds = [(one.kind, one.stream) for one in server.frames if one.kind != Kind.SETTINGS or one.has(Flag.ACK)]
        self.assertLess(kinds.index((Kind.HEADERS, stream)), kinds.index((Kind.SETTINGS, 0)), "more than was allowed")
        server.send(reset(stream, Code.REFUSED_STREAM))

    def test_5_1_2_lowered(self) -> None:
        """
        Section 6.5.2: a backend may allow fewer at any time; streams that are open stay.
        """
        _, server, there = self.begun()
        ours, theirs = self.another(server)
        server.send(settings((Key.MAX_CONCURRENT_STREAMS, 1)))
        acks = len(server.of(Kind.SETTINGS))
        server.until(lambda: len(server.of(Kind.SETTINGS)) > acks)
        server.respond(theirs)
        self.assertEqual(self.client.whole(ours).status, 200)
        waiting = self.client.open(far(b"/later", service=self.service))
        self.assertTrue(self.client.barrier())
        self.assertFalse(server.until(lambda: server.fresh, 0.2), "a second stream where one is allowed")
        server.respond(there)
        self.served_somewhere(waiting, server)

    def served_somewhere(self, waiting: int, server: H2Server) -> None:
        """
        The request comes on this connection now, or has come on another.
        """
        if server.until(lambda: server.fresh, 0.5):
            server.respond(server.take())
        else:
            other = self.upstream()
            other.respond(other.take())
        self.assertEqual(self.client.whole(waiting).status, 200)


class EndTests(UpstreamTestCase):
    """
    Streams and connections that the backend ends.
    """

    def test_6_8_above_the_last(self) -> None:
        """
        Sections 6.8 and 8.7: requests above the last stream that GOAWAY names were not dealt with, and are tried again
        on another connection, whatever their method; those below are finished where they are.
        """
        for method in (b"GET", b"POST"):
            stream, server, there = self.begun(method=method)
            ours, theirs = self.another(server, method=method)
            self.assertGreater(theirs, there)
            server.send(goaway(there))
            other = self.upstream()
            again = other.take()
            self.assertEqual(other.stream(again).value(b":path"), b"/another")
            other.respond(again, body=b"elsewhere")
            self.assertEqual(bytes(self.client.whole(ours).body), b"elsewhere")
            server.respond(there, body=b"where it was")
            self.assertEqual(bytes(self.client.whole(stream).body), b"where it was")
            self.works(other)
            self.far.drop()

    def test_6_8_with_a_body(self) -> None:
        """
        Section 8.7: so is one whose body has not been sent yet; what cannot be sent again fails.
        """
        stream, server, there = self.begun(end=False)
        self.client.send_data(stream, b"sent")
        server.until(lambda: server.stream(there).body)
        server.send(goaway(0, Code.NO_ERROR))
        try:
            other = self.upstream()
            again = other.take()
            self.client.send_data(stream, b" whole", end=True)
            self.assertEqual(bytes(other.whole(again).body), b"sent whole")
            other.respond(again)
            self.assertEqual(self.client.whole(stream).status, 200)
        except PeerSilent:
            self.failed(stream)

    def test_6_8_first_of_two_steps(self) -> None:
        """
        Section 6.8: after a GOAWAY that names no last stream, all that was sent is finished, and new requests go
        elsewhere.
        """
        stream, server, there = self.begun()
        server.send(goaway(MOST))
        server.send(ping())
        server.until(lambda: server.of(Kind.PING))
        ours = self.client.open(far(b"/new"))
        other = self.upstream()
        other.respond(other.take())
        self.assertEqual(self.client.whole(ours).status, 200)
        server.send(goaway(there))
        server.respond(there)
        self.assertEqual(self.client.whole(stream).status, 200)
        self.assertTrue(server.until_closed(), server)

    def test_6_8_with_an_error(self) -> None:
        """
        Section 6.8: what a backend began and then breaks off with an error fails, and is not tried again.
        """
        stream, server, there = self.begun()
        server.send(goaway(there, Code.INTERNAL_ERROR, b"sorry"))
        server.close()
        self.failed(stream)
        self.assertRaises(PeerSilent, self.far.accept, 0.2)

    def test_8_7_refused(self) -> None:
        """
        Section 8.7: a stream that is refused is tried again, whatever its method.
        """
        for method in (b"GET", b"POST"):
            stream, server, there = self.begun(b"/refused", method=method)
            server.send(reset(there, Code.REFUSED_STREAM))
            again = server.take()
            self.assertEqual(server.stream(again).value(b":path"), b"/refused")
            server.respond(again, body=b"now")
            self.assertEqual(bytes(self.client.whole(stream).body), b"now")
            self.far.drop()

    def test_8_7_always_refused(self) -> None:
        """
        Section 8.7: but not for ever.
        """
        stream, server, there = self.begun(b"/refused")
        attempts = 1
        while attempts < 20:
            server.send(reset(there, Code.REFUSED_STREAM))
            if self.client.until(lambda: self.client.stream(stream).done, 0.1):
                break
            there = server.take()
            attempts += 1
        self.assertLess(attempts, 10)
        self.assertIn(self.client.whole(stream).status, (502, 503))

    def test_6_4_reset_before_the_head(self) -> None:
        """
        Section 6.4: a stream that is reset for another reason may have done something, and is not tried again.
        """
        for code in (Code.INTERNAL_ERROR, Code.CANCEL, Code.PROTOCOL_ERROR, Code.NO_ERROR, 0xDEAD):
            stream, server, there = self.begun()
            server.send(reset(there, code))
            self.failed(stream)
            self.works(server)
            self.far.drop()

    def test_6_4_reset_amid_a_body(self) -> None:
        """
        Section 8.1: a response that is reset does not look complete to the client.
        """
        for code in (Code.INTERNAL_ERROR, Code.CANCEL, Code.NO_ERROR, Code.REFUSED_STREAM):
            stream, server, there = self.begun()
            server.respond(there, body=b"part", end=False)
            self.assertTrue(self.client.until(lambda: self.client.stream(stream).body), self.client)  # noqa: B023
            server.send(reset(there, code))
            self.assertEqual(bytes(self.broken_off(stream).body), b"part")
            self.works(server)
            self.far.drop()

    def test_8_1_early_answer(self) -> None:
        """
        Section 8.1: a response that is complete before its request is passed on whole, and with RST_STREAM of no error
        behind it too; no more of the request is sent.
        """
        for behind in (b"", reset(1, Code.NO_ERROR)):
            stream, server, there = self.begun(end=False)
            self.client.send_data(stream, b"some")
            server.until(lambda: server.stream(there).body)  # noqa: B023
            server.respond(there, body=b"enough")
            server.send(behind)
            self.assertTrue(self.client.until(lambda: self.client.stream(stream).ended), self.client)  # noqa: B023
            self.assertEqual(bytes(self.client.stream(stream).body), b"enough")
            self.client.send_data(stream, b"more", end=True)
            self.works(server)
            self.assertFalse(server.stream(there).ended)
            self.far.drop()

    def test_lost_before_the_head(self) -> None:
        """
        Section 8.7: a connection that is lost fails what may have been dealt with.
        """
        stream, server, _ = self.begun()
        server.abort()
        self.failed(stream)
        self.assertRaises(PeerSilent, self.far.accept, 0.2)

    def test_lost_amid_a_body(self) -> None:
        """
        Section 8.1: nor does what it breaks off look complete.
        """
        stream, server, there = self.begun()
        pairs = [(stream, there), self.another(server), self.another(server)]
        for _, there in pairs:
            server.respond(there, body=b"part", end=False)
        streams = [ours for ours, _ in pairs]
        self.assertTrue(self.client.until(lambda: all(self.client.stream(one).body for one in streams)))
        server.abort()
        for stream in streams:
            self.broken_off(stream)

    def test_lost_while_idle(self) -> None:
        """
        Section 9.1: a connection that ends while nothing runs on it is replaced, and nobody hears of it.
        """
        for farewell in (b"", goaway(1)):
            stream, server, there = self.begun()
            server.respond(there)
            self.assertEqual(self.client.whole(stream).status, 200)
            server.send(farewell)
            server.leave()
            stream, server, there = self.begun()
            server.respond(there)
            self.assertEqual(self.client.whole(stream).status, 200)
            self.far.drop()

    def test_lost_as_a_request_comes(self) -> None:
        """
        RFC 9110 section 9.2.2: when a connection that has served before is lost, with nothing said on a request, the
        request is tried again if that can do no harm.
        """
        stream, server, there = self.begun()
        server.respond(there)
        self.assertEqual(self.client.whole(stream).status, 200)
        safe, _ = self.another(server)
        unsafe, _ = self.another(server, method=b"POST")
        server.abort()
        self.failed(unsafe)
        other = self.upstream()
        other.respond(other.take(), body=b"again")
        self.assertEqual(bytes(self.client.whole(safe).body), b"again")
