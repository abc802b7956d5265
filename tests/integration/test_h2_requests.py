"""
HTTP/2: requests that are malformed and never become requests of HTTP/1.1 (RFC 9113 sections 8.1 to 8.3 and 10.3).
"""

from __future__ import annotations

from tests.integration.h2_case import H2TestCase
from tests.integration.h2_client import request
from tests.integration.h2_frames import Code, Fields, data, headers, literal

PSEUDO = (b":method", b":scheme", b":path", b":authority")


def changed(name: bytes, *values: bytes) -> Fields:
    """
    A request with other values of one field, in its place; without it, if there are none.
    """
    found: Fields = []
    for key, value in request(b"/malformed"):
        found += [(key, one) for one in values] if key == name else [(key, value)]
    return found


def added(*fields: tuple[bytes, bytes]) -> Fields:
    """
    A request with further fields.
    """
    return request(b"/malformed", *fields)


class PseudoHeaderTests(H2TestCase):
    """
    Pseudo-header fields: row G8.
    """

    def test_8_3_1_missing(self) -> None:
        """
        Section 8.3.1: method, scheme and path are there.
        """
        for name in PSEUDO[:3]:
            self.refused(changed(name))
        self.refused([])

    def test_8_3_1_repeated(self) -> None:
        """
        Section 8.3: none is there twice, with whatever value.
        """
        for name, value in request(b"/malformed"):
            self.refused(changed(name, value, value))
            self.refused(changed(name, value, value + b"x"))

    def test_8_3_unknown(self) -> None:
        """
        Section 8.3: there are no others, neither those of responses nor those of extensions that were not agreed upon.
        """
        for name in (b":status", b":protocol", b":version", b":", b":Path"):
            self.refused([(name, b"200"), *request(b"/malformed")])

    def test_8_3_behind_fields(self) -> None:
        """
        Section 8.3: they come before all other fields.
        """
        for name, value in request(b"/malformed"):
            self.refused([*changed(name), (b"x-before", b"1"), (name, value)])

    def test_8_3_in_trailers(self) -> None:
        """
        Sections 8.1 and 8.3: they are not in trailers.
        """
        for name, value in [*request(b"/other"), (b":status", b"200")]:
            self.not_completed(headers(1, literal([(b"x-sum", b"1"), (name, value)])))
            self.not_completed(headers(1, literal([(name, value)])))

    def not_completed(self, behind: bytes) -> None:
        """
        A request with DATA and these frames behind it is refused, and never complete at the backend.
        """
        client = self.connect()
        stream = client.open(request(b"/malformed", method=b"POST"), end=False)
        client.send(data(stream, b"content") + behind)
        self.stream_error(client, stream, Code.PROTOCOL_ERROR, 400)
        self.assertEqual([one.raw for one in self.backend.find(b"/malformed") if one.complete], [])
        self.assertEqual(self.backend.find(b"/other"), [])

    def test_8_1_trailers_that_do_not_end(self) -> None:
        """
        Section 8.1: trailers are the end of a request.
        """
        self.not_completed(headers(1, literal([(b"x-sum", b"1")]), end=False))
        self.not_completed(headers(1, literal([(b"x-sum", b"1")]), end=False) + data(1, b"", True))

    def test_8_2_trailers_are_fields(self) -> None:
        """
        Section 8.2: what is forbidden in fields is forbidden in trailers.
        """
        for field in (
            (b"X-Sum", b"1"),
            (b"connection", b"close"),
            (b"x-sum", b"1\r\nx: y"),
            (b"transfer-encoding", b"x"),
        ):
            self.not_completed(headers(1, literal([field])))

    def test_8_3_1_method(self) -> None:
        """
        Section 8.3.1: a method is a token.
        """
        for method in (
            b"",
            b"GE T",
            b"GET ",
            b" GET",
            b"GET\r\nx: y",
            b"GET / HTTP/1.1\r\nHost: evil\r\n\r\nGET",
            b"G\0T",
            b"GET:",
        ):
            self.refused(changed(b":method", method), True, b"", 501)

    def test_8_3_1_scheme(self) -> None:
        """
        Sections 8.3.1 and 10.3: a scheme is http or https.
        """
        for scheme in (b"", b"ftp", b"http ", b"http://evil/?", b"http\r\nx: y", b"\xff", b"http:"):
            self.refused(changed(b":scheme", scheme))

    def test_8_3_1_path(self) -> None:
        """
        Sections 8.3.1 and 10.3: a path begins with a slash and holds nothing that would end it in a request line.
        """
        for path in (
            b"",
            b"services/echo/",
            b"*",
            b"http://gw.test/services/echo/",
            b"//gw.test",
            b"?x",
            b"\\services\\echo",
        ):
            self.refused(changed(b":path", path), True, b"", 404)
        for end in (
            b" ",
            b" HTTP/1.1\r\nx: y",
            b"\r\nx: y",
            b"\n",
            b"\r",
            b"\0",
            b"\t",
            b"\x7f",
            b"\x80",
            b"#x",
            b"\xc3\xa9",
        ):
            self.refused(changed(b":path", b"/services/echo/malformed" + end))
            self.refused(changed(b":path", b"/services/echo/malformed" + end + b"x"))

    def test_8_3_1_authority(self) -> None:
        """
        Section 8.3.1: an authority is a host and a port, without anybody's name.
        """
        for authority in (
            *(
                b"user@gw.test",
                b"user:secret@gw.test",
                b"gw.test/path",
                b"gw.test?x",
                b"gw.test#x",
                b"gw test",
                b" gw.test",
            ),
            *(
                b"gw.test ",
                b"gw.test:port",
                b"gw.test:99999",
                b"gw.test\r\nx: y",
                b"gw.test\0",
                b"gw.test,evil.test",
                b"[::1",
            ),
        ):
            self.refused(changed(b":authority", authority))

    def test_8_3_1_no_host(self) -> None:
        """
        Sections 8.3.1 and 8.2: a request for a host names one, once.
        """
        self.refused(changed(b":authority"))
        self.refused(changed(b":authority", b""))
        self.refused([*changed(b":authority"), (b"host", b"")])
        self.refused([*changed(b":authority"), (b"host", b"gw.test"), (b"host", b"gw.test")])
        self.refused([*changed(b":authority"), (b"host", b"gw.test"), (b"host", b"evil.test")])

    def test_8_3_1_another_host(self) -> None:
        """
        Section 8.3.1: a Host field that names another host than the authority does makes a request malformed.
        """
        for host in (b"evil.test", b"", b"gw.test:81", b"gw.test, evil.test", b"gw.test@evil.test"):
            self.refused(added((b"host", host)))
        self.refused(added((b"host", b"gw.test"), (b"host", b"evil.test")))

    def test_8_5_connect(self) -> None:
        """
        Section 8.5: nobody is connected to anything through the gateway, whether CONNECT is well formed or not.
        """
        others = (Code.CONNECT_ERROR, 405, 501)
        self.refused([(b":method", b"CONNECT"), (b":authority", b"gw.test:443")], False, b"", *others)
        self.refused([(b":method", b"CONNECT"), (b":authority", b"gw.test:443")], True, b"", *others)
        self.refused(request(b"/malformed", method=b"CONNECT"), False, b"", *others)
        self.refused([(b":protocol", b"websocket"), *request(b"/malformed", method=b"CONNECT")], False, b"", *others)


class FieldTests(H2TestCase):
    """
    Ordinary fields: row G7.
    """

    def test_8_2_upper_case(self) -> None:
        """
        Sections 8.2 and 8.2.1: names have no capitals.
        """
        for name in (b"X-Upper", b"x-uppeR", b"Host", b"COOKIE", b"Content-Length"):
            self.refused(added((name, b"5")))

    def test_8_2_1_names(self) -> None:
        """
        Section 8.2.1: names have no blanks, controls, colons, bytes above 0x7e, or anything else that is in no token;
        and they are not empty.
        """
        for octet in (*range(0x21), *b'"(),/:;<=>?@[\\]{}', 0x7F, 0x80, 0xC3, 0xFF):
            self.refused(added((b"x-a" + bytes((octet,)) + b"b", b"1")))
        self.refused(added((b"", b"1")))
        self.refused(added((b"x-evil: 1\r\nhost", b"evil.test")))

    def test_8_2_1_values(self) -> None:
        """
        Section 8.2.1: values hold no CR, LF or NUL anywhere, and no blank at either end.
        """
        for octet in (b"\r", b"\n", b"\0"):
            for value in (octet, b"a" + octet, octet + b"a", b"a" + octet + b"b"):
                self.refused(added((b"x-value", value)))
        for value in (b" ", b"\t", b" a", b"a ", b"\ta", b"a\t"):
            self.refused(added((b"x-value", value)))
        self.refused(added((b"cookie", b"a=1\r\nx-evil: 1")))
        self.refused(added((b"user-agent", b"x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n")))

    def test_8_2_1_with_huffman(self) -> None:
        """
        Section 8.2.1: nor when they are coded or come from the table.
        """
        client = self.connect()
        for _ in range(2):
            stream = client.open(added((b"x-value", b"a\r\nx-evil: 1"), (b"x-\nname", b"1")))
            self.stream_error(client, stream, Code.PROTOCOL_ERROR, 400)
        self.assertEqual(self.backend.find(b"/malformed"), [])

    def test_8_2_2_connection(self) -> None:
        """
        Section 8.2.2: there are no fields that are about a connection.
        """
        for name, value in (
            (b"connection", b"close"),
            (b"connection", b"keep-alive"),
            (b"connection", b"x-value"),
            (b"proxy-connection", b"keep-alive"),
            (b"keep-alive", b"timeout=5"),
            (b"transfer-encoding", b"chunked"),
            (b"transfer-encoding", b"identity"),
            (b"upgrade", b"websocket"),
        ):
            self.refused(added((name, value)))
        chunks = data(1, b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n", True)
        self.refused(added((b"transfer-encoding", b"chunked")), False, chunks)

    def test_8_2_2_te(self) -> None:
        """
        Section 8.2.2: TE says trailers or nothing.
        """
        for value in (b"gzip", b"trailers, gzip", b"chunked", b"", b"Trailers;q=1"):
            self.refused(added((b"te", value)))
        self.assertEqual(self.connect().ask(b"/te", (b"te", b"trailers")).status, 200)


class LengthTests(H2TestCase):
    """
    Content-Length and what comes: row G9.
    """

    def mismatched(self, length: bytes, *frames: bytes) -> None:
        """
        A body that is not as long as it was said to be makes an error, and no whole request at the backend.
        """
        client = self.connect()
        fields = request(b"/length", (b"content-length", length), method=b"POST")
        stream = client.open(fields, end=not frames)
        client.send(b"".join(frames))
        self.stream_error(client, stream, Code.PROTOCOL_ERROR, 400)
        self.assertEqual([one.raw for one in self.backend.find(b"/length") if one.complete], [])

    def test_8_1_1_less(self) -> None:
        """
        Section 8.1.1: a body that ends before its length.
        """
        self.mismatched(b"5")
        self.mismatched(b"5", data(1, b"", True))
        self.mismatched(b"5", data(1, b"1234", True))
        self.mismatched(b"5", data(1, b"12"), data(1, b"34"), headers(1, literal([(b"x-sum", b"1")])))

    def test_8_1_1_more(self) -> None:
        """
        Section 8.1.1: a body that goes on behind it.
        """
        self.mismatched(b"5", data(1, b"123456", True))
        self.mismatched(b"0", data(1, b"1", True))
        self.mismatched(b"5", data(1, b"123"), data(1, b"456"))

    def test_8_1_1_no_length(self) -> None:
        """
        Section 8.1.1: a length that is none, or several.
        """
        for length in (b"", b"+5", b"-5", b"0x5", b"5 5", b"5,5", b"5, 6", b"five", b"5.0", b"9" * 30, b"\xb2"):
            self.refused(added((b"content-length", length)), False, data(1, b"12345", True))
        self.refused(added((b"content-length", b"5"), (b"content-length", b"6")), False, data(1, b"12345", True))
        self.refused(added((b"content-length", b"5"), (b"content-length", b"5")), False, data(1, b"12345", True))

    def test_8_1_1_right(self) -> None:
        """
        Section 8.1.1: with padding, empty frames and trailers around it, a right length is right.
        """
        client = self.connect()
        stream = client.open(request(b"/right", (b"content-length", b"5"), method=b"POST"), end=False)
        client.send(data(stream) + data(stream, b"12", padding=3) + data(stream, b"345") + data(stream))
        client.send(headers(stream, client.encode((b"x-sum", b"1"))))
        self.assertEqual(client.whole(stream).status, 200)
        self.assertEqual(bytes(self.completed(b"/right").body), b"12345")
