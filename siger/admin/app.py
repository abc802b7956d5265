"""
What the gateway says about itself: health for probes, metrics for Prometheus, its status for anyone, its figures for
administrators.

Who may ask for what is in L{ROUTES}, and the front door sees to it. What everybody may ask says no more than a stranger
may know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from klein import Klein

from siger.http.local_errors import answer_errors

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from siger.observe.metrics import Metrics
    from siger.policy.rules import OwnAuth

__all__ = ["ROUTES", "AdminApp", "Facts"]

ROUTES: Mapping[str, OwnAuth] = {
    "/health": "public",
    "/livez": "public",
    "/readyz": "public",
    "/metrics": "public",
    "/api/v1/status": "public",
    "/admin": ("admin",),
    "/api/v1/admin-stats": ("admin",),
}
"""
The route templates, and who may use them.
"""


class Facts(Protocol):
    """
    What the gateway knows of itself.
    """

    @property
    def state(self) -> str:
        """
        C{"starting"}, C{"ready"} or C{"draining"}.
        """

    @property
    def version(self) -> str:
        """
        The version that runs.
        """

    @property
    def uptime(self) -> float:
        """
        Seconds since the start.
        """

    @property
    def checks(self) -> Mapping[str, str]:
        """
        How the parts are that the gateway depends on, a word or two each. They inform; a gateway that has lost Consul
        still serves what it knows, so they do not change whether it is ready.
        """


class AdminApp:
    """
    The Klein application.
    """

    app = Klein()

    def __init__(self, facts: Facts, metrics: Metrics, figures: Callable[[], object]) -> None:
        """
        @param figures: what administrators are shown, as JSON can write it.
        """
        self._facts = facts
        self._metrics = metrics
        self._figures = figures

    def resource(self) -> IResource:
        """
        The application as a resource.
        """
        resource: IResource = self.app.resource()
        return resource

    @app.route("/health", methods=["GET"])
    def health(self, request: Any) -> bytes:
        """
        Whether the gateway runs, and how it is on request.
        """
        return self._health(request, 200)

    @app.route("/livez", methods=["GET"])
    def livez(self, request: Any) -> bytes:
        """
        Whether the process answers: that it does is the answer.
        """
        return self._health(request, 200)

    @app.route("/readyz", methods=["GET"])
    def readyz(self, request: Any) -> bytes:
        """
        Whether to send requests here.
        """
        return self._health(request, 200 if self._facts.state == "ready" else 503)

    @app.route("/metrics", methods=["GET"])
    def metrics(self, request: Any) -> bytes:
        """
        The metrics, in the format that is asked for.
        """
        content_type, document = self._metrics.exposition(_accept(request))
        return _answer(request, content_type, document)

    @app.route("/api/v1/status", methods=["GET"])
    def status(self, request: Any) -> bytes:
        """
        That the gateway is there, and which version it is.
        """
        return _answer_json(request, {"status": "operational", "version": self._facts.version})

    @app.route("/admin", methods=["GET"])
    @app.route("/api/v1/admin-stats", methods=["GET"])
    def figures(self, request: Any) -> bytes:
        """
        Everything in figures.
        """
        return _answer_json(request, self._figures())

    def _health(self, request: Any, status: int) -> bytes:
        """
        A word for probes, or everything as JSON.
        """
        request.setResponseCode(status)
        request.setHeader(b"Vary", b"Accept")
        facts = self._facts
        if status == 503:
            request.setHeader(b"Retry-After", b"1")
        if not _prefers_json(_accept(request)):
            return _answer(request, "text/plain; charset=utf-8", b"OK" if status == 200 else facts.state.encode())
        details = {
            "status": "ok" if status == 200 else "unavailable",
            "state": facts.state,
            "version": facts.version,
            "uptime_seconds": round(facts.uptime, 3),
            "checks": dict(facts.checks),
        }
        return _answer_json(request, details)


answer_errors(AdminApp.app)


def _answer(request: Any, content_type: str, body: bytes) -> bytes:
    """
    Answer with a document that is true only now. The length is said for the sake of HEAD.
    """
    request.setHeader(b"Content-Type", content_type.encode("ascii"))
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"Cache-Control", b"no-store")
    return body


def _accept(request: Any) -> str:
    """
    Which formats the client takes. The name is bytes as everywhere: Twisted looks names up in one table for both
    types, where the two kinds of the same name meet, and C{python -b} complains.
    """
    return (request.getHeader(b"Accept") or b"").decode("latin-1")


def _answer_json(request: Any, document: object) -> bytes:
    """
    Answer with JSON.
    """
    return _answer(request, "application/json", json.dumps(document).encode("ascii") + b"\n")


def _prefers_json(accept: str) -> bool:
    """
    Whether C{Accept} names JSON. A mere wildcard does not: plain text is the default.
    """
    for member in accept.split(","):
        media_type, _, parameters = member.partition(";")
        if media_type.strip(" \t").lower() == "application/json":
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
