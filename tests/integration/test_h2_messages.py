"""
HTTP/2: whole messages between a client of HTTP/2 and a backend of HTTP/1.1 (RFC 9113 sections 8.1 to 8.6).

Names in capitals, fields about a connection, and lengths that are not those of the body are faults in the ledger of
every connection, so no test here looks for them.
"""

from __future__ import annotations

import asyncio

from tests.integration.flow_case import play
from tests.integration.h2_case import Gate, H2TestCase
from tests.integration.h2_client import request
from tests.integration.h2_frames import Code, Kind, data, headers, reset
from tests.integration.recording_backend import Connection, answer
from tests.integration.wire import Request


class RequestTests(H2TestCase):
    """
    What the backend gets.
    """

    def test_8_3_1_translation(self) -> None:
        """
        Section 8.3.1: method, path with its query, and authority make the request line and one Host; no pseudo-header
        field is left.
        """
        client = self.connect()
        self.assertEqual(client.ask(b"/a/b?c=%20d&e", (b"x-one", b"1"), method=b"PATCH").status, 200)
        seen = self.completed(b"/a/b")
        self.assertEqual((seen.start, seen.faults), (b"PATCH /a/b?c=%20d&e HTTP/1.1", []))
        self.assertEqual((seen.values(b"host"), seen.values(b"x-one")), ([b"gw.test"], [b"1"]))
        self.assertEqual([name for name in seen.names() if name.startswith(b":")], [])

    def test_8_3_1_host_alone(self) -> None:
        """
        Section 8.3.1: Host may stand for an authority, or beside the same one.
        """
        client = self.connect()
        fields = request(b"/host", (b"host", b"gw.test"))
        for wanted in (fields, [one for one in fields if one[0] != b":authority"]):
            self.assertEqual(client.whole(client.open(wanted)).status, 200)
        self.assertEqual([one.values(b"host") for one in self.backend.find(b"/host")], [[b"gw.test"]] * 2)

    def test_8_2_3_cookies(self) -> None:
        """
        Row G10, section 8.2.3: cookies that came in several fields go on in one, joined by a semicolon and a blank.
        """
        client = self.connect()
        crumbs = [(b"cookie", b"a=1"), (b"x-between", b"."), (b"cookie", b"b=2; c=3"), (b"cookie", b"d=4")]
        self.assertEqual(client.ask(b"/cookies", *crumbs).status, 200)
        self.assertEqual(self.arrival(b"/cookies").values(b"cookie"), [b"a=1; b=2; c=3; d=4"])

    def test_8_2_repeated_fields(self) -> None:
        """
        Section 8.2: other fields that are repeated stay as they are, in their order.
        """
        client = self.connect()
        self.assertEqual(
            client.ask(b"/twice", (b"x-n", b"1"), (b"accept", b"a"), (b"x-n", b"2"), (b"x-n", b"")).status, 200
        )
        self.assertEqual(self.arrival(b"/twice").values(b"x-n"), [b"1", b"2", b""])

    def test_8_2_odd_bytes(self) -> None:
        """
        Section 8.2.1: values may hold blanks within, and bytes above 0x7f.
        """
        client = self.connect()
        value = b"\xc3\xa9 \t \xff~!"
        self.assertEqual(client.ask(b"/bytes", (b"x-value", value), (b"!#$%&'*+-.^`|~09az", b"x")).status, 200)
        seen = self.arrival(b"/bytes")
        self.assertEqual((seen.value(b"x-value"), seen.value(b"!#$%&'*+-.^`|~09az")), (value, b"x"))

    def test_8_1_bodies(self) -> None:
        """
        Section 8.1: DATA, with padding and in empty frames too, makes the body; one without a length is sent in chunks.
        """
        client = self.connect()
        for extra in ((), ((b"content-length", b"10"),)):
            stream = client.open(request(b"/body", *extra, method=b"POST"), end=False)
            client.send(data(stream, b"12345") + data(stream, b"", padding=9) + data(stream, b"678", padding=0))
            client.send(data(stream) + data(stream, b"90", True))
            self.assertEqual(client.whole(stream).status, 200)
        first, second = self.backend.find(b"/body")
        self.assertEqual((bytes(first.body), bytes(second.body)), (b"1234567890", b"1234567890"))
        self.assertEqual((first.value(b"transfer-encoding"), second.value(b"transfer-encoding")), (b"chunked", None))
        self.assertEqual((first.value(b"content-length"), second.value(b"content-length")), (None, b"10"))

    def test_8_1_no_body(self) -> None:
        """
        Section 8.1: END_STREAM on HEADERS is no body, whatever the method.
        """
        client = self.connect()
        for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"):
            self.assertEqual(client.ask(b"/empty/" + method, method=method).status, 200)
            seen = self.completed(b"/empty/" + method)
            self.assertEqual((seen.method, seen.length, seen.faults), (method, 0, []))
            self.assertIsNone(seen.value(b"transfer-encoding"))

    def test_10_1_expectation(self) -> None:
        """
        RFC 9110 section 10.1.1: a client that waits for leave to send its body gets it from the backend.
        """

        async def lenient(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n" * (request.value(b"expect") == b"100-continue"))
            await connection.whole(request)
            connection.write(answer())

        self.backend.scripts[b"/expect"] = lenient
        client = self.connect()
        fields = request(b"/expect", (b"expect", b"100-continue"), (b"content-length", b"2"), method=b"POST")
        stream = client.open(fields, end=False)
        self.assertTrue(client.until(lambda: client.stream(stream).interims), client)
        self.assertEqual(dict(client.stream(stream).interims[0])[b":status"], b"100")
        client.send(data(stream, b"ok", True))
        self.assertEqual(client.whole(stream).status, 200)

    def test_5_1_many_at_once(self) -> None:
        """
        Section 5: streams are independent: answers come in any order, each on its own.
        """
        client = self.connect()
        gates: dict[int, Gate] = {}
        for number in range(20):
            gate = self.backend.scripts[b"/order/%02d" % number] = Gate(answer(b"answer %d" % number))
            gates[client.open(request(b"/order/%02d" % number))] = gate
        for count, stream in enumerate(reversed(gates), 1):
            gates[stream].open()
            self.assertEqual(bytes(client.whole(stream).body), b"answer %d" % (20 - count))
            self.assertEqual(sum(client.stream(one).done for one in gates), count)


class ResponseTests(H2TestCase):
    """
    What the client gets.
    """

    def asked(self, raw: bytes, method: bytes = b"GET", close: bool = False) -> tuple[list[bytes], bytes]:
        """
        The statuses and the body that come of these bytes from the backend.
        """
        self.backend.scripts[b"/raw"] = play(raw, close)
        found = self.connect().ask(b"/raw", method=method)
        self.assertTrue(found.ended)
        return [dict(block)[b":status"] for block in (*found.interims, found.head)], bytes(found.body)

    def test_8_2_2_fields_of_the_connection(self) -> None:
        """
        Section 8.2.2: fields about the backend's connection, and those that it lists there, go no further; names are in
        lower case.
        """
        lines = (
            b"X-Mine: 1\r\nKeep-Alive: timeout=5\r\nConnection: X-Listed, Keep-Alive\r\nX-Listed: 1\r\nX-LAST: 2\r\n"
        )
        lines += b"Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\n"
        self.backend.scripts[b"/fields"] = play(answer(lines=lines))
        found = self.connect().ask(b"/fields")
        self.assertEqual((found.status, found.value(b"x-mine"), found.value(b"x-last")), (200, b"1", b"2"))
        names = {name for name, _ in found.head}
        self.assertTrue(
            names.isdisjoint({b"keep-alive", b"connection", b"x-listed", b"proxy-connection", b"upgrade"}), names
        )

    def test_8_1_framings(self) -> None:
        """
        Section 8.1: a body ends with END_STREAM, whatever ended it at the backend.
        """
        ok = b"HTTP/1.1 200 OK\r\n"
        self.assertEqual(self.asked(answer(b"by length")), ([b"200"], b"by length"))
        self.assertEqual(self.asked(answer(b"")), ([b"200"], b""))
        chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\nby \r\n6\r\nchunks\r\n0\r\n\r\n"
        self.assertEqual(self.asked(ok + chunks), ([b"200"], b"by chunks"))
        self.assertEqual(self.asked(ok + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), ([b"200"], b""))
        self.assertEqual(self.asked(ok + b"\r\nby the end", close=True), ([b"200"], b"by the end"))

    def test_8_1_no_body(self) -> None:
        """
        Section 8.1 and RFC 9110 section 6.4.1: responses to HEAD, and 204 and 304, have no DATA with content; lengths
        that they tell remain.
        """
        self.assertEqual(self.asked(answer(bytes(100), head=True), b"HEAD"), ([b"200"], b""))
        self.assertEqual(self.asked(b"HTTP/1.1 204 No Content\r\n\r\n"), ([b"204"], b""))
        self.assertEqual(self.asked(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"), ([b"304"], b""))
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(self.asked(chunked, b"HEAD"), ([b"200"], b""))
        self.backend.scripts[b"/raw"] = play(answer(bytes(100), head=True))
        self.assertEqual(self.connect().ask(b"/raw", method=b"HEAD").value(b"content-length"), b"100")

    def test_8_1_interim(self) -> None:
        """
        Section 8.1: interim responses come before the final one, each with its fields, and do not end the stream.
        """
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nConnection: close\r\n\r\n"
        self.assertEqual(self.asked(hints + hints + answer(b"final")), ([b"103", b"103", b"200"], b"final"))
        found = self.connect().ask(b"/raw")
        self.assertEqual(dict(found.interims[0])[b"link"], b"</style.css>")

    def test_8_6_no_upgrade(self) -> None:
        """
        Section 8.6: 101 does not exist in HTTP/2.
        """
        switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        self.assertEqual(self.asked(switching)[0], [b"502"])

    def test_8_1_what_the_gateway_answers(self) -> None:
        """
        Section 8.1: the gateway's own answers are like all others: problems, and its own endpoints.
        """
        client = self.connect()
        for path, status in ((b"/nowhere", 404), (b"/health", 200), (b"/services/none/", 404), (b"/metrics", 200)):
            fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", path), (b":authority", b"gw.test")]
            found = client.whole(client.open(fields))
            self.assertEqual((found.status, bool(found.body)), (status, True))

    def test_8_1_early_answer(self) -> None:
        """
        Section 8.1: an answer that does not wait for the request's end comes whole; what is left of the request is then
        not wanted, with no error.
        """
        client = self.connect()
        fields = [(name, value.replace(b"/echo", b"/none")) for name, value in request(method=b"POST")]
        stream = client.open(fields, end=False)
        self.assertTrue(client.until(lambda: client.stream(stream).ended))
        self.assertEqual(client.stream(stream).status, 404)
        client.send(data(stream, b"more of it"))
        client.until(lambda: client.stream(stream).code is not None)
        self.assertEqual(client.stream(stream).code, Code.NO_ERROR)
        client.send(data(stream, b"and more") + data(stream, b"", True))
        self.unharmed(client)


class BrokenTests(H2TestCase):
    """
    Exchanges that one side does not finish.
    """

    def test_8_1_unclean_end(self) -> None:
        """
        Section 8.1: a response that the backend breaks off is reset, and never looks complete; there is a problem to
        read instead where nothing of it had been passed on.
        """
        for start in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\nx-trailer",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nnonsense\r\n",
        ):
            self.backend.scripts[b"/part"] = play(start, close=True)
            client = self.connect()
            found = client.end(client.open(request(b"/part")))
            seen = (found.status, found.ended, found.code)
            self.assertIn(seen, ((200, False, Code.INTERNAL_ERROR), (502, True, None)), start)
            self.unharmed(client)

    def test_8_1_broken_before_its_head(self) -> None:
        """
        Section 8.1: where the head was not sent yet, there is a problem to read instead.
        """
        for raw in (b"HTTP/1.1 200", b"nonsense\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n"):
            self.backend.scripts[b"/none"] = play(raw, close=True)
            found = self.connect().ask(b"/none", method=b"POST")
            self.assertEqual((found.status, found.value(b"content-type")), (502, b"application/problem+json"))

    def test_6_4_cancelled_upload(self) -> None:
        """
        Section 6.4: a client that resets its request breaks it off at the backend, where it never looks complete.
        """
        client = self.connect()
        stream, _ = self.hold(client, b"/upload", end=False)
        client.send(data(stream, b"first part") + reset(stream))
        self.until(lambda: not self.backend.open_connections or not self._uploading(), "closed at the backend")
        self.assertFalse(self.arrival(b"/upload").complete)
        self.unharmed(client)

    def _uploading(self) -> bool:
        return any(one.requests and one.requests[0].target == b"/upload" for one in self.backend.open_connections)

    def test_6_4_cancelled_download(self) -> None:
        """
        Section 6.4: a client that resets its stream amid a response stops the backend.
        """

        async def pour(connection: Connection, request: Request) -> None:
            connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not connection.closed:
                connection.write(b"3e8\r\n" + bytes(1000) + b"\r\n")
                await asyncio.sleep(0.005)

        self.backend.scripts[b"/pour"] = pour
        client = self.connect()
        stream = client.open(request(b"/pour"))
        self.assertTrue(client.until(lambda: len(client.stream(stream).body) >= 5000))
        client.send(reset(stream))
        connection = next(one for one in self.backend.connections if one.requests)
        self.until(lambda: connection.closed, "closed at the backend")
        self.unharmed(client)
        self.assertEqual(client.of(Kind.RST_STREAM), [])

    def test_8_1_trailers(self) -> None:
        """
        Section 8.1: trailers go on in both directions.
        """
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.backend.scripts[b"/trailers"] = play(head + b"2\r\nok\r\n0\r\nX-Sum: 5\r\nX-More: 6\r\n\r\n")
        client = self.connect()
        stream = client.open(request(b"/trailers", (b"te", b"trailers"), method=b"POST"), end=False)
        client.send(data(stream, b"content") + headers(stream, client.encode((b"x-digest", b"abc"))))
        found = client.whole(stream)
        self.assertEqual((found.status, bytes(found.body)), (200, b"ok"))
        self.assertEqual(found.trailers, [(b"x-sum", b"5"), (b"x-more", b"6")])
        seen = self.completed(b"/trailers")
        self.assertEqual([(name.lower(), value) for name, value in seen.trailers], [(b"x-digest", b"abc")])
