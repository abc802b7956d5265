"""
Stand-ins for what surrounds an upstream connection: who owns it, and whom its response is for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.task import Clock

from siger.config.settings.services import Timeouts
from siger.http.deadlines import INTERVAL, Deadlines
from siger.http.response import ResponseHead, ResponseParser
from siger.proxy.connection import UpstreamConnection
from siger.proxy.multiplexed import UNTOLD_STREAMS, ClientConnection

if TYPE_CHECKING:
    from siger.errors import Reason
    from siger.proxy.owners import Http1Owner, Http2Owner
    from siger.proxy.recipient import Recipient

__all__ = ["TIMEOUTS", "FakeHttp2Owner", "FakeOwner", "FakeRecipient"]

TIMEOUTS = Timeouts(connect=3, response=20, idle=10)


class _Owner:
    """
    A pool, as far as its connections are concerned, and time.

    @ivar events: what connections told it, in order.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.deadlines.start()
        self.events: list[str] = []

    def wait(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.clock.pump([INTERVAL] * round(seconds / INTERVAL))


class FakeOwner(_Owner):
    """
    A pool that only notes what it is given back.

    @ivar events: C{in} for each check-in, C{gone} for each connection lost.
    @ivar next: the recipient that waits for a connection, if any: it is served at the next check-in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parser = ResponseParser()
        self.next: FakeRecipient | None = None

    def checkin(self, connection: UpstreamConnection) -> None:
        """
        Note it; serve who waits.
        """
        assert connection.usable
        self.events.append("in")
        if self.next is not None:
            recipient, self.next = self.next, None
            connection.begin(recipient, b"next", False, False, connection.timeouts)

    def forget(self, connection: UpstreamConnection) -> None:
        """
        Note it.
        """
        self.events.append("gone")


class FakeHttp2Owner(_Owner):
    """
    A pool of shared connections that only notes what it is told.

    @ivar events: C{room}, C{retired} and C{gone}, in order.
    @ivar on_room: called whenever there is room.
    """

    def __init__(self) -> None:
        super().__init__()
        self.usual_streams = UNTOLD_STREAMS
        self.on_room: Callable[[ClientConnection], None] = lambda connection: None

    def released(self, connection: ClientConnection) -> None:
        """
        Note it.
        """
        self.events.append("room")
        self.on_room(connection)

    def retired(self, connection: ClientConnection) -> None:
        """
        Note it.
        """
        assert not connection.usable
        self.events.append("retired")

    def forget_connection(self, connection: ClientConnection) -> None:
        """
        Note it.
        """
        self.events.append("gone")


class FakeRecipient:
    """
    An exchange that only notes what it is told.

    @ivar events: what it was told, in order.
    @ivar lasted: how often it was told that it takes a while.
    @ivar accept: whether a 101 is what was asked for.
    @ivar on_response: called when the final head has come.
    """

    def __init__(self, accept: bool = False) -> None:
        self.accept = accept
        self.streaming = False
        self.lasted = 0
        self.on_response: Callable[[], None] = lambda: None
        self.events: list[str] = []
        self.head: ResponseHead | None = None
        self.body = b""
        self.complete = False
        self.trailers = b""
        self.reason: Reason | None = None
        self.replayable = False

    def interim_received(self, head: ResponseHead) -> None:
        """
        Note it.
        """
        assert self.head is None
        self.events.append(f"interim {head.status}")

    def switched(self, head: ResponseHead) -> bool:
        """
        Note it.
        """
        self.events.append("switched")
        return self.accept

    def response_received(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        """
        Note it.
        """
        assert self.head is None
        self.events.append(f"response {head.status}")
        self.head, self.body, self.complete = head, body, complete
        self.on_response()

    def response_data(self, data: bytes) -> None:
        """
        Note it.
        """
        assert data
        assert not self.complete
        self.events.append("data")
        self.body += data

    def response_finished(self, trailers: bytes) -> None:
        """
        Note it.
        """
        assert not self.complete
        self.events.append("finished")
        self.complete, self.trailers = True, trailers

    def upstream_failed(self, reason: Reason, replayable: bool) -> None:
        """
        Note it.
        """
        assert not self.complete
        self.events.append(f"failed {reason.code}")
        self.reason, self.replayable = reason, replayable

    def lasts(self) -> None:
        """
        Count it.
        """
        self.lasted += 1

    def upstream_reset(self, code: int) -> None:
        """
        Note it.
        """
        assert not self.complete
        self.events.append(f"reset {code}")

    def upstream_refused(self, reason: Reason) -> None:
        """
        Note it.
        """
        assert not self.complete
        self.events.append(f"refused {reason.code}")

    def pause_request(self) -> None:
        """
        Note it.
        """
        self.events.append("pause")

    def resume_request(self) -> None:
        """
        Note it.
        """
        self.events.append("resume")


if TYPE_CHECKING:
    _receives: Recipient = FakeRecipient()
    _owns: Http1Owner = FakeOwner()
    _owns_shared: Http2Owner = FakeHttp2Owner()
