"""
The demo backend's resources: they answer with what they were asked, so that a caller sees what the gateway passed on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

__all__ = ["Demo", "Echo", "Slow", "Stream", "demo_site"]

TICKS = 10
"""
How many lines C{/stream} sends.
"""

LONGEST = 60.0
"""
The most seconds that C{/slow} may be asked to wait.
"""


def described(request: Request, name: str) -> dict[str, object]:
    """
    Describe a request in terms that JSON can carry.
    """
    path, _, query = request.uri.decode("latin-1").partition("?")
    headers: defaultdict[str, list[str]] = defaultdict(list)
    for key, values in request.requestHeaders.getAllRawHeaders():
        headers[key.decode("latin-1")].extend(value.decode("latin-1") for value in values)
    assert request.content is not None  # Twisted renders a request once its body is complete
    return {
        "instance": name,
        "method": request.method.decode("latin-1"),
        "path": path,
        "query": query,
        "headers": {key: ", ".join(values) for key, values in headers.items()},
        "body_bytes": len(request.content.read()),
    }


def as_json(request: Request, value: object) -> bytes:
    """
    Render C{value}, and say that it is JSON and how long.
    """
    body = json.dumps(value, indent=2).encode() + b"\n"
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", str(len(body)).encode())
    return body


class Echo(Resource):
    """
    Answer any method on any path below with a description of the request.
    """

    isLeaf = True

    def __init__(self, name: str) -> None:
        Resource.__init__(self)
        self._name = name

    def render(self, request: Request) -> bytes:
        """
        Answer at once.
        """
        return as_json(request, described(request, self._name))


class Slow(Echo):
    """
    Answer like L{Echo}, after C{?seconds=N} (2 by default).
    """

    def __init__(self, name: str, clock: IReactorTime) -> None:
        super().__init__(name)
        self._clock = clock

    def render(self, request: Request) -> int:  # type: ignore[override]  # Twisted's own annotation leaves NOT_DONE_YET out
        """
        Answer later, unless the caller has gone by then.
        """
        answer = self._clock.callLater(_seconds(request), self._answer, request)
        request.notifyFinish().addErrback(lambda _: answer.cancel())
        return NOT_DONE_YET

    def _answer(self, request: Request) -> None:
        request.write(as_json(request, described(request, self._name)))
        request.finish()


class Stream(Resource):
    """
    Send a line every tenth of a second, as a body of unknown length.
    """

    isLeaf = True

    def __init__(self, name: str, clock: IReactorTime) -> None:
        Resource.__init__(self)
        self._name = name
        self._clock = clock

    def render(self, request: Request) -> int:
        """
        Begin, and go on until all is sent or the caller goes.
        """
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        ticking = LoopingCall(self._tick, request, iter(range(1, TICKS + 1)))
        ticking.clock = self._clock
        request.notifyFinish().addBoth(lambda _: ticking.stop())
        ticking.start(0.1)
        return NOT_DONE_YET

    def _tick(self, request: Request, numbers: Iterator[int]) -> None:
        number = next(numbers, None)
        if number is None:
            request.finish()
        else:
            request.write(f"{self._name} {number}/{TICKS}\n".encode())


class Demo(Resource):
    """
    The root: C{/slow} and C{/stream} are special, anything else is echoed.
    """

    def __init__(self, name: str, clock: IReactorTime) -> None:
        Resource.__init__(self)
        self._echo = Echo(name)
        self.putChild(b"slow", Slow(name, clock))
        self.putChild(b"stream", Stream(name, clock))

    def getChild(self, path: bytes, request: HTTPRequest) -> Resource:
        """
        Echo what has no resource of its own.
        """
        return self._echo


def demo_site(name: str, clock: IReactorTime) -> Site:
    """
    Make the factory that serves the demo backend called C{name}.
    """
    site = Site(Demo(name, clock), reactor=clock)
    site.noisy = False
    site.displayTracebacks = False
    return site


def _seconds(request: Request) -> float:
    """
    Read C{?seconds=N}, kept within what a demonstration needs.
    """
    try:
        asked = float(request.args.get(b"seconds", [b"2"])[0])
    except ValueError:
        return 2.0
    return min(max(asked, 0.0), LONGEST) if asked == asked else 2.0
