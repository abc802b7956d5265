"""
Getting a small document from somebody who is trusted, but may be mistaken: no redirects, no compression, no more bytes
than agreed.
"""

from __future__ import annotations

from typing import Any, Final, cast

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

__all__ = ["MAX_CONTENT", "FetchError", "PlainAgent", "fetch", "make_agent"]

MAX_CONTENT: Final = 256 * 1024
"""
The longest document, in bytes.
"""

CONNECT_TIMEOUT: Final = 5.0

_ACCEPT: Final = b"application/jwk-set+json, application/json;q=0.9, */*;q=0.1"


class FetchError(Exception):
    """
    A response that cannot be used.
    """


def make_agent(reactor: Any) -> IAgent:
    """
    The usual agent: a connection for each request, certificates checked against what the system trusts.
    """
    return Agent(reactor, connectTimeout=CONNECT_TIMEOUT)


@implementer(IAgent)
class PlainAgent:
    """
    An agent whose responses are not compressed: treq would unpack them before anybody could count their bytes.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """
        Ask for it as it is.
        """
        plain = headers.copy() if headers is not None else Headers()
        plain.setRawHeaders(b"accept-encoding", [b"identity"])
        return self._agent.request(method, uri, plain, bodyProducer).addCallback(_check_plain)


def _check_plain(response: IResponse) -> IResponse:
    codings = response.headers.getRawHeaders(b"content-encoding", [])
    if any(coding.strip().lower() != b"identity" for coding in codings):
        _abandon(response)
        raise FetchError("a compressed response, which was not asked for")
    return response


async def fetch(http: HTTPClient, url: str, clock: Any) -> tuple[IResponse, bytes]:
    """
    Get a document. To be cancelled when it takes too long.

    @raise FetchError: when the response is not one, or too long.
    """
    response = await http.get(
        url, headers=Headers({b"Accept": [_ACCEPT]}), allow_redirects=False, unbuffered=True, reactor=clock
    )
    if response.code != 200:
        _abandon(response)
        raise FetchError(f"status {response.code}")
    collector = _Collector(MAX_CONTENT)
    response.deliverBody(collector)
    return response, await collector.finished


def _abandon(response: IResponse) -> None:
    # A body that nobody reads would keep its connection open.
    collector = _Collector(0)
    collector.finished.addErrback(lambda _: None)
    response.deliverBody(collector)
    collector.abort()


class _Collector(Protocol):
    """
    Collects a body up to a limit.
    """

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._pieces: list[bytes] = []
        self.finished: Deferred[bytes] = Deferred(lambda _: self.abort())

    def dataReceived(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room >= 0:
            self._pieces.append(data)
        elif not self.finished.called:
            # First, as the connection may say at once that it was closed.
            self.finished.errback(FetchError(f"more than {MAX_CONTENT} bytes"))
            self.abort()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        if self.finished.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.finished.callback(b"".join(self._pieces))
        else:
            self.finished.errback(reason)

    def abort(self) -> None:
        """
        Close the connection without waiting for the rest.
        """
        self._pieces.clear()
        transport = cast(Any, self.transport)
        if transport is not None:
            getattr(transport, "abortConnection", transport.loseConnection)()
