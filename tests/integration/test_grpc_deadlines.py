"""
Time: what a client gave its call is counted down on the way, and what it did not, the gateway may.
"""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.grpc_plan import Plan
from tests.integration.grpc_world import (
    PATIENCE,
    Outcome,
    ask,
    call_names,
    connect,
    eventually,
    outcome,
    streamed,
    world,
)
from tests.integration.h2_frames import Code, Kind
from tests.integration.h2_peer import Incoming
from tests.integration.h2_post import post
from tests.integration.test_grpc_calls import Requests

DEADLINE_EXCEEDED = 4

PACKAGE = "/siger.interop.v1."
EMPTY_MESSAGE = bytes(5)


class DeadlineTests(SynchronousTestCase):
    """
    Calls that take too long.
    """

    def setUp(self) -> None:
        self.world = world()
        self.world.silent.forget()
        self.channel = connect(self.world.gateway.port)
        self.addCleanup(self.channel.close)
        self.call = next(call_names)

    def ask(self, service: str, request: Plan | bytes = b"", timeout: float | None = None) -> Outcome:
        """
        Call a service of the package.
        """
        metadata = (("x-call", self.call),)
        return ask(self.channel, request, service=f"{PACKAGE}{service}", timeout=timeout, metadata=metadata)

    def ask_with(self, timeout: str) -> Incoming:
        """
        Call a server that never answers, as a client that says how long it waits, and then waits longer.
        """
        fields = {"content-type": "application/grpc", "te": "trailers", "grpc-timeout": timeout}
        return post(self.world.gateway.port, f"{PACKAGE}Silent/Unary", fields, EMPTY_MESSAGE)

    def assert_server_told(self) -> None:
        """
        The server was told that nobody waits for its answer.
        """
        self.assertTrue(self.world.silent.wait_for(Kind.RST_STREAM))
        (reset,) = self.world.silent.of_kind(Kind.RST_STREAM)
        self.assertEqual(reset.word(), Code.CANCEL)

    def assert_too_late(self, got: Outcome, details: str) -> None:
        """
        It was the gateway that ended the call.
        """
        self.assertEqual((got.code, got.messages), (DEADLINE_EXCEEDED, []))
        self.assertIn(details, got.details)

    def test_kept_by_the_gateway(self) -> None:
        """
        Row G12: the gateway ends a call whose time is over, even if the server does not and the client waits on; the
        server is told.
        """
        reply = self.ask_with("300m")
        self.assertEqual((reply.status, reply.value(b"content-type")), (200, b"application/grpc"))
        self.assertEqual((reply.value(b"grpc-status"), bytes(reply.body), reply.trailers), (b"4", b"", []))
        self.assert_server_told()

    def test_none_left(self) -> None:
        """
        A call that has no time at all does not reach a server.
        """
        reply = self.ask_with("0m")
        self.assertEqual((reply.status, reply.value(b"grpc-status")), (200, b"4"))
        self.assertEqual(self.world.silent.of_kind(Kind.HEADERS), [])

    def test_longest_call(self) -> None:
        """
        Where a route says how long a call may take, it holds for calls that say nothing, and for those that want more.
        """
        for timeout in (None, 60):
            self.world.silent.forget()
            self.assert_too_late(self.ask("Short", timeout=timeout), "longer than it was given")
            self.assert_server_told()

    def test_response_timeout(self) -> None:
        """
        A server that does not begin its answer in time is given up, as with HTTP/1.1, for a client that says nothing
        of time.
        """
        self.assert_too_late(self.ask("Late"), "")
        self.assert_server_told()

    def test_quiet_stream(self) -> None:
        """
        A stream may be quiet for longer than a body of HTTP may: there are calls that wait for something to happen.
        """
        requests = Requests()
        call = streamed(self.channel, requests, service=f"{PACKAGE}Quiet")
        answers = []
        for _ in range(2):
            requests.send(Plan(sizes=[3]).encode())
            answers.append(next(call))
            time.sleep(1)
        requests.end()
        self.assertEqual(outcome(call, answers).code, 0)

    def test_shorter_than_the_route(self) -> None:
        """
        A client that wants less time than the route gives has less.
        """
        began = time.monotonic()
        self.assertEqual(self.ask("Short", timeout=0.3).code, DEADLINE_EXCEEDED)
        self.assert_server_told()
        self.assertLess(time.monotonic() - began, PATIENCE)

    def test_counted_down(self) -> None:
        """
        The time that a call spends in the gateway, here in the line for an instance that has no room for it, is gone
        when the server hears of it.
        """
        gate = next(call_names)
        stub = self.channel.unary_stream(f"{PACKAGE}Narrow/ServerStream")
        first = stub(Plan(sizes=(1, 1), gated=True).encode(), timeout=PATIENCE, metadata=(("x-call", gate),))
        answers = [next(first)]
        second = stub(Plan(sizes=[1]).encode(), timeout=10, metadata=(("x-call", self.call),))
        time.sleep(1)
        self.world.servers[0].let_go(gate)
        self.assertEqual(outcome(first, answers).code, 0)
        self.assertEqual(outcome(second).code, 0)
        remaining = self.world.seen(self.call)["remaining"]
        self.assertTrue(0 < remaining < 9.5, remaining)

    def test_over_in_the_line(self) -> None:
        """
        A call whose time is over while it waits in that line never reaches the server.
        """
        gate = next(call_names)
        stub = self.channel.unary_stream(f"{PACKAGE}Narrow/ServerStream")
        first = stub(Plan(sizes=(1, 1), gated=True).encode(), timeout=PATIENCE, metadata=(("x-call", gate),))
        answers = [next(first)]
        self.assertEqual(self.ask("Narrow", Plan(sizes=[1]), timeout=0.2).code, DEADLINE_EXCEEDED)
        self.world.servers[0].let_go(gate)
        self.assertEqual(outcome(first, answers).code, 0)
        self.assertEqual(self.ask("Narrow", Plan(sizes=[1]), timeout=PATIENCE).code, 0)
        self.assertTrue(eventually(lambda: len(self.world.servers[0].calls(self.call)) == 1))
