"""
Exchanges between clients and backends of either version of HTTP: what is said in one is said in the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.h2_site import Ask, Got, Reply, Seen, ask, lasting_site
from tests.integration.shared_gateway import shared_pair

if TYPE_CHECKING:
    Base = SynchronousTestCase
else:
    Base = object

MIB = 1 << 20
LARGE = bytes(range(256)) * (MIB // 256)
CONNECTION = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}


class Translation(Base):
    """
    The same tests for each pair of versions.

    @cvar front: the client's version.
    @cvar back: the backend's.
    """

    front = 0
    back = 0

    def setUp(self) -> None:
        services = {
            "one": {"instances": [f"127.0.0.1:{lasting_site(1).port}"]},
            "two": {"instances": [f"127.0.0.1:{lasting_site(2).port}"], "protocol": "h2c"},
        }
        self.gateway = shared_pair(http2=True, services=services).gateway
        self.site = lasting_site(self.back)
        self.site.forget()

    def exchange(self, wanted: Ask, reply: Reply | None = None) -> tuple[Seen, Got]:
        """
        What the backend saw and what the client got, neither of which has a fault.
        """
        self.site.replies[wanted.path] = reply or Reply()
        before = len(self.site.seen)
        got = ask(self.front, self.gateway.port, b"one" if self.back == 1 else b"two", wanted)
        self.assertEqual(len(self.site.seen), before + 1)
        self.assertEqual((got.faults, self.site.faults), ([], []))
        return self.site.seen[-1], got

    def test_plain(self) -> None:
        """
        Method, path, host and fields go one way, status and fields the other.
        """
        wanted = Ask(b"/plain?q=%C3%A9&x", b"DELETE", [(b"X-One", b"1"), (b"Accept", b"text/plain;q=0.5")])
        seen, got = self.exchange(wanted, Reply(418, [(b"X-Two", b"2"), (b"Content-Type", b"text/plain")]))
        self.assertEqual((seen.method, seen.path, seen.host), (b"DELETE", b"/plain?q=%C3%A9&x", b"gw.test"))
        self.assertEqual((dict(seen.fields)[b"x-one"], dict(seen.fields)[b"accept"]), (b"1", b"text/plain;q=0.5"))
        self.assertEqual((got.status, got.fields[b"x-two"], got.fields[b"content-type"]), (418, b"2", b"text/plain"))
        self.assertEqual((seen.body, got.body, got.whole), (b"", b"", True))

    def test_bodies(self) -> None:
        """
        Bodies, empty, small and large, of known length or not, arrive as they were sent, both ways.
        """
        for body in (b"", b"small", LARGE):
            for length in (True, False):
                wanted = Ask(b"/body", b"POST", body=body, length=length)
                seen, got = self.exchange(wanted, Reply(body=body[::-1], length=length))
                self.assertEqual(seen.body, body)
                self.assertEqual((got.status, got.body, got.whole), (200, body[::-1], True))
                if length:
                    self.assertEqual(got.fields[b"content-length"], b"%d" % len(body))

    def test_length_is_kept(self) -> None:
        """
        A request whose length is known is sent with it, so that the backend knows too.
        """
        seen, _ = self.exchange(Ask(b"/length", b"PUT", body=b"12345"))
        self.assertEqual(dict(seen.fields)[b"content-length"], b"5")

    def test_trailers(self) -> None:
        """
        Trailers of requests and responses go on, behind bodies and without any.
        """
        ours, theirs = [(b"X-Digest", b"abc"), (b"X-Second", b"2")], [(b"X-Sum", b"5"), (b"X-Other", b"")]
        for body in (b"", b"small", LARGE):
            wanted = Ask(b"/trailers", b"POST", [(b"TE", b"trailers")], body, False, ours)
            if self.front == 1:
                wanted.fields.append((b"Connection", b"TE"))
            seen, got = self.exchange(wanted, Reply(body=body, length=False, trailers=theirs))
            self.assertEqual((seen.body, seen.trailers), (body, [(b"x-digest", b"abc"), (b"x-second", b"2")]))
            self.assertEqual((got.body, got.trailers), (body, [(b"x-sum", b"5"), (b"x-other", b"")]))
            self.assertTrue(got.whole)

    def test_interim(self) -> None:
        """
        Interim responses go on in their order, before the final one.
        """
        interims = [(103, [(b"Link", b"</a>; rel=preload")]), (103, [(b"Link", b"</b>")]), (102, [])]
        _, got = self.exchange(Ask(b"/interim"), Reply(body=b"final", interims=interims))
        self.assertEqual([status for status, _ in got.interims], [103, 103, 102])
        self.assertEqual([fields.get(b"link") for _, fields in got.interims], [b"</a>; rel=preload", b"</b>", None])
        self.assertEqual((got.status, got.body), (200, b"final"))

    def test_no_body(self) -> None:
        """
        Responses to HEAD, and 204 and 304, end without a body, and tell the length they were told.
        """
        seen, got = self.exchange(Ask(b"/head", b"HEAD"), Reply(body=bytes(1234)))
        self.assertEqual((seen.method, got.status, got.body, got.whole), (b"HEAD", 200, b"", True))
        self.assertEqual(got.fields[b"content-length"], b"1234")
        for status in (204, 304):
            _, got = self.exchange(Ask(b"/%d" % status), Reply(status, [(b"ETag", b'"x"')]))
            self.assertEqual((got.status, got.body, got.whole, got.fields[b"etag"]), (status, b"", True, b'"x"'))

    def test_fields_of_the_connection(self) -> None:
        """
        What one connection says about itself is not said on the other.
        """
        own = [
            (b"Connection", b"x-listed"),
            (b"X-Listed", b"1"),
            (b"Keep-Alive", b"timeout=9"),
            (b"Proxy-Connection", b"x"),
        ]
        seen, got = self.exchange(
            Ask(b"/connection", fields=own if self.front == 1 else []), Reply(fields=own if self.back == 1 else [])
        )
        for names in ({name for name, _ in seen.fields}, set(got.fields)):
            gone = CONNECTION | {b"x-listed"}
            self.assertEqual(names & gone - ({b"connection"} if 1 in (self.front, self.back) else set()), set())
        self.assertNotIn(b"x-listed", dict(seen.fields).get(b"connection", b""))

    def test_repeated_fields(self) -> None:
        """
        Fields that are repeated stay so, in their order; cookies may be split in HTTP/2 alone.
        """
        fields = [(b"X-N", b"1"), (b"Cookie", b"a=1; b=2"), (b"X-N", b"2")]
        if self.front == 2:
            fields = [(b"X-N", b"1"), (b"Cookie", b"a=1"), (b"X-N", b"2"), (b"Cookie", b"b=2")]
        seen, _ = self.exchange(Ask(b"/repeated", fields=fields))
        self.assertEqual([value for name, value in seen.fields if name == b"x-n"], [b"1", b"2"])
        cookies = [value for name, value in seen.fields if name == b"cookie"]
        self.assertEqual(b"; ".join(cookies), b"a=1; b=2")
        self.assertTrue(len(cookies) == 1 or self.back == 2)

    def test_broken_off(self) -> None:
        """
        A response that the backend breaks off looks broken off to the client.
        """
        for length in (True, False):
            _, got = self.exchange(Ask(b"/broken"), Reply(body=LARGE, length=length, whole=False))
            self.assertEqual((got.status, got.whole), (200, False))
            self.assertTrue(LARGE.startswith(got.body))


class OneOneTests(Translation, SynchronousTestCase):
    """
    HTTP/1.1 to HTTP/1.1.
    """

    front, back = 1, 1


class OneTwoTests(Translation, SynchronousTestCase):
    """
    HTTP/1.1 to HTTP/2.
    """

    front, back = 1, 2


class TwoOneTests(Translation, SynchronousTestCase):
    """
    HTTP/2 to HTTP/1.1.
    """

    front, back = 2, 1


class TwoTwoTests(Translation, SynchronousTestCase):
    """
    HTTP/2 to HTTP/2.
    """

    front, back = 2, 2
