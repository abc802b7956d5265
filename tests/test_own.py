"""
Tests for L{siger.own}.
"""

from __future__ import annotations

from typing import Any

from klein import Klein
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.http.local_errors import answer_errors
from siger.http.request_parser import RequestParser
from siger.observe.observer import Observer
from siger.own import OWN_ROUTES, OwnEndpoints
from tests.http.fakes import FakeStream


def echo(name: str) -> Any:
    """
    An application that answers everything with its own name and the path as it sees it.
    """

    class Echo:
        app = Klein()

        def resource(self) -> Any:
            return self.app.resource()

        @app.route("/", branch=True)
        def answer(self, request: Any) -> bytes:
            return b"%b %b %b" % (name.encode(), b"/".join(request.prepath), b"/".join(request.postpath))

    answer_errors(Echo.app)
    return Echo()


def health(head: Any, stream: Any, request_id: bytes, client: bytes, identity: Any = None) -> None:
    """
    Stands for what answers questions about health.
    """
    stream.send_response(200, b"OK", b"", None, b"health", True)


class TemplateTests(SynchronousTestCase):
    """
    Which paths are the gateway's own.
    """

    def setUp(self) -> None:
        self.own = OwnEndpoints(Clock(), Observer(), echo("admin"), echo("auth"), echo("jobs"), 1000, health)

    def test_plain(self) -> None:
        """
        A path without parameters is its own template.
        """
        for path in ("/health", "/auth/login", "/api/v1/jobs", "/api/v1/status", "/grpc.health.v1.Health/Check"):
            self.assertEqual(self.own.template(path.encode()), path)

    def test_parameters(self) -> None:
        """
        Names of jobs and of states stand where the template says so.
        """
        name = "0193e7a0-0000-7000-8000-000000000001"
        for path, template in (
            (f"/api/v1/jobs/{name}", "/api/v1/jobs/{jobID}"),
            ("/api/v1/jobs/" + "x" * 64, "/api/v1/jobs/{jobID}"),
            ("/api/v1/jobs/status", "/api/v1/jobs/{jobID}"),
            (f"/api/v1/jobs/{name}/events", "/api/v1/jobs/{jobID}/events"),
            ("/api/v1/jobs/status/queued", "/api/v1/jobs/status/{status}"),
            ("/api/v1/jobs/status/events", "/api/v1/jobs/status/{status}"),
        ):
            self.assertEqual(self.own.template(path.encode()), template)
            self.assertIn(template, OWN_ROUTES)

    def test_nowhere(self) -> None:
        """
        Anything else leads nowhere: other characters, other lengths, more segments, templates themselves.
        """
        for path in (
            *("/", "/api", "/api/v1", "/api/v1/job", "/api/v1/jobsx", "/auth", "/auth/", "/health/"),
            *("/api/v1/jobs/", "/api/v1/jobs/a.b", "/api/v1/jobs/a%20b", "/api/v1/jobs/a_b", "/api/v1/jobs/é"),
            *("/api/v1/jobs/" + "x" * 65, "/api/v1/jobs/x/", "/api/v1/jobs/x/y", "/api/v1/jobs/x/events/"),
            *("/api/v1/jobs//events", "/api/v1/jobs/status/", "/api/v1/jobs/status/a/b", "/api/v1/jobs/x\n"),
            *("/api/v1/jobs/{jobID}", "/api/v1/jobs/status/{status}", "/API/v1/jobs", "/api/v1/jobs/x/events\n"),
        ):
            self.assertIsNone(self.own.template(path.encode()), path)

    def test_elsewhere(self) -> None:
        """
        What a service is asked is not the gateway's.
        """
        own = OwnEndpoints(Clock(), Observer(), echo("admin"), echo("auth"), echo("jobs"), 1000)
        self.assertIsNone(own.template(b"/grpc.health.v1.Health/Watch"))
        self.assertEqual(self.own.template(b"/grpc.health.v1.Health/Watch"), "/grpc.health.v1.Health/Watch")


class RootTests(SynchronousTestCase):
    """
    Which application answers.
    """

    def test_applications(self) -> None:
        """
        Each application gets what is below its place, and sees the rest of the path; everything else is the
        administration's.
        """
        own = OwnEndpoints(Clock(), Observer(), echo("admin"), echo("auth"), echo("jobs"), 1000, health)
        for path, answer in (
            (b"/grpc.health.v1.Health/Watch", b"health"),
            (b"/auth/login", b"auth auth login"),
            (b"/api/v1/jobs", b"jobs api/v1/jobs "),
            (b"/api/v1/jobs/x/events", b"jobs api/v1/jobs x/events"),
            (b"/api/v1/status", b"admin  api/v1/status"),
            (b"/api/v1", b"admin  api/v1"),
            (b"/api/v2/jobs", b"admin  api/v2/jobs"),
            (b"/health", b"admin  health"),
        ):
            parser = RequestParser()
            head = parser.head(b"GET %b HTTP/1.1" % path, parser.fields(b"Host: gw.test"))
            stream = FakeStream()
            own(head, stream, b"0192f3a4", b"192.0.2.7")
            self.assertEqual((stream.status, stream.body), (200, answer), path)
