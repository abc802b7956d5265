"""
What the tests of a gateway as a client of HTTP/2 share: a backend that they play themselves, frame by frame.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from tests.integration.h2_backend import H2Backend, H2Server
from tests.integration.h2_case import H2TestCase
from tests.integration.h2_client import H2Client, request
from tests.integration.h2_frames import MOST, Code, Fields, Key, window_update
from tests.integration.h2_peer import Incoming

__all__ = ["UpstreamTestCase", "far"]


@functools.cache
def _lasting_backend() -> H2Backend:
    """
    All tests share it, so that they can share a gateway.
    """
    return H2Backend()


def far(path: bytes, *more: tuple[bytes, bytes], method: bytes = b"GET", service: bytes = b"far") -> Fields:
    """
    The fields of a request to the backend that the test plays.
    """
    return [(name, value.replace(b"/echo", b"/" + service)) for name, value in request(path, *more, method=method)]


class UpstreamTestCase(H2TestCase):
    """
    A gateway with a service C{far} whose only instance is the test. C{hasty} is the same with little patience, and
    C{narrow} is for tests that allow few streams: a gateway expects as many as it had last, and those who come after
    are not to find it so.

    @cvar service: where requests go that do not say where.
    @cvar upstream_settings: what the test offers on each connection.
    """

    service: ClassVar[bytes] = b"far"
    upstream_settings: ClassVar[tuple[tuple[int, int], ...]] = ()

    def setUp(self) -> None:
        self.far = _lasting_backend()
        service: dict[str, Any] = {"instances": [f"127.0.0.1:{self.far.port}"], "protocol": "h2c"}
        hasty = {**service, "timeouts": {"response": 1, "idle": 1}}
        self.config = {"services": {"far": service, "hasty": hasty, "narrow": service}}
        self.addCleanup(self.far.drop)  # once the clients have left, so that nothing is tried again
        super().setUp()
        self.client = self.connect((Key.INITIAL_WINDOW_SIZE, 1 << 24))
        self.client.send(window_update(0, 1 << 24))

    def upstream(self) -> H2Server:
        """
        The next connection that the gateway makes.
        """
        return self.kept(self.far.accept()).start(*self.upstream_settings)

    def begun(
        self, path: bytes = b"/", *more: tuple[bytes, bytes], method: bytes = b"POST", end: bool = True
    ) -> tuple[int, H2Server, int]:
        """
        A request on a new connection, of a kind that is not tried twice by itself.

        @return: the client's stream, the connection, and the stream there.
        """
        stream = self.client.open(far(path, *more, method=method, service=self.service), end)
        server = self.upstream()
        return stream, server, server.take()

    def another(self, server: H2Server, path: bytes = b"/another", **options: Any) -> tuple[int, int]:
        """
        A further request, which comes on the same connection.

        @return: the client's stream and the one there.
        """
        end = options.pop("end", True)
        stream = self.client.open(far(path, service=self.service, **options), end)
        return stream, server.take()

    def works(self, server: H2Server) -> None:
        """
        The connection is fit for further requests.
        """
        stream, there = self.another(server)
        server.respond(there, body=b"works")
        self.assertEqual((self.client.whole(stream).status, bytes(self.client.stream(stream).body)), (200, b"works"))

    def failed(self, stream: int, client: H2Client | None = None, status: int = 502) -> Incoming:
        """
        The client is told of a failure by a problem.
        """
        found = (client or self.client).whole(stream)
        self.assertEqual((found.status, found.code), (status, None), client or self.client)
        self.assertEqual(found.value(b"content-type"), b"application/problem+json")
        return found

    def broken_off(self, stream: int) -> Incoming:
        """
        The client has got a part, and is told that it is one.
        """
        found = self.client.end(stream)
        self.assertEqual((found.status, found.ended, found.code), (200, False, Code.INTERNAL_ERROR), self.client)
        return found

    def wide(self, server: H2Server) -> None:
        """
        Leave the gateway all the room that there can be.
        """
        server.send(window_update(0, MOST - 65535))
