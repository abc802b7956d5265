"""
An issuer's web server in memory.
"""

from __future__ import annotations

import json
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.web.http import Request
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

__all__ = ["KeyServer"]


class KeyServer(Resource):
    """
    Publishes keys.

    @ivar content: the body of responses.
    @ivar code: their status.
    @ivar fields: their fields.
    @ivar down: whether connections are refused.
    @ivar hold: whether requests have to wait for L{release}.
    @ivar requests: how many came.
    @ivar last: the last of them.
    @ivar agent: what reaches it.
    """

    isLeaf = True

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.content = b""
        self.code = 200
        self.fields: dict[bytes, bytes] = {b"content-type": b"application/json"}
        self.down = False
        self.hold = False
        self.requests = 0
        self.last: Any = None
        self.held: list[Any] = []
        self.gone = 0
        self.agent = _Agent(self)

    def publish(self, *keys: dict[str, Any]) -> None:
        """
        Publish these keys instead of others.
        """
        self.content = json.dumps({"keys": list(keys)}).encode()

    def render(self, request: Request) -> int:
        self.last = request
        if self.hold:
            self.held.append(request)
            request.notifyFinish().addErrback(lambda _: self._leave(request))
        else:
            self._answer(request)
        return NOT_DONE_YET

    def _leave(self, request: Any) -> None:
        self.held.remove(request)
        self.gone += 1

    def _answer(self, request: Any) -> None:
        request.setResponseCode(self.code)
        for name, value in self.fields.items():
            request.setHeader(name, value)
        request.write(self.content)
        request.finish()

    def release(self) -> None:
        """
        Answer what waits, and whatever comes.
        """
        self.hold = False
        held, self.held = self.held, []
        for request in held:
            self._answer(request)
        self.agent.flush()


@implementer(IAgent)
class _Agent:
    def __init__(self, server: KeyServer) -> None:
        self._server = server
        self._inner = RequestTraversalAgent(server)

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        self._server.requests += 1
        if self._server.down:
            return fail(ConnectionRefusedError())
        made: Deferred[Any] = self._inner.request(method, uri, headers, bodyProducer)
        return made

    def flush(self) -> None:
        """
        Let what was written arrive.
        """
        self._inner.flush()
