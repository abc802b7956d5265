"""
What a grpcio client learns when the gateway refuses its call: a status of gRPC that says what to do, never a page of
HTTP that it has to guess about.
"""

from __future__ import annotations

import threading
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.grpc_plan import Plan
from tests.integration.grpc_world import Outcome, ask, bearer, call_names, connect, outcome, streamed, world
from tests.integration.test_grpc_calls import Requests

UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED, RESOURCE_EXHAUSTED, UNAVAILABLE = 16, 7, 12, 8, 14

PACKAGE = "/siger.interop.v1."


class RefusalCase(SynchronousTestCase):
    """
    Calls that are refused, on a connection of the test's own.
    """

    def setUp(self) -> None:
        self.world = world()
        self.channel = connect(self.world.gateway.port)
        self.addCleanup(self.channel.close)
        self.call = next(call_names)

    def ask(
        self, service: str, request: Plan | bytes = b"", *metadata: tuple[str, str], method: str = "Unary"
    ) -> Outcome:
        """
        Call a method of a service of the package.
        """
        path = service if service.startswith("/") else f"{PACKAGE}{service}"
        return ask(self.channel, request, method, path, metadata=(("x-call", self.call), *metadata))

    def assert_refused(self, got: Outcome, code: int, details: str) -> None:
        """
        The call was refused with this status, a sentence that says why, and its number; and no server heard of it.
        """
        self.assertEqual((got.code, got.messages), (code, []))
        self.assertIn(details, got.details)
        self.assertRegex(str(got.values("x-request-id")), r"^\['[\w-]{8,}'\]$")
        self.assertEqual([server.calls(self.call) for server in self.world.servers], [[], []])


class RefusalTests(RefusalCase):
    """
    One reason after the other.
    """

    def test_no_token(self) -> None:
        """
        Row G12: a call without the token that it needs is UNAUTHENTICATED, by route and by the service's path.
        """
        for service in ("Private", "/services/private/siger.interop.v1.Test"):
            self.assert_refused(self.ask(service), UNAUTHENTICATED, "This needs a token")

    def test_bad_token(self) -> None:
        """
        So is one with a token that is none.
        """
        for token in ("Bearer nonsense", f"{bearer()[1]}x", "Basic dXNlcjp1c2Vy"):
            self.assertEqual(self.ask("Private", b"", ("authorization", token)).code, UNAUTHENTICATED)

    def test_wrong_role(self) -> None:
        """
        Row G12: a token whose role does not suffice is PERMISSION_DENIED.
        """
        self.assert_refused(self.ask("Admins", b"", bearer()), PERMISSION_DENIED, "The role in the token")

    def test_no_route(self) -> None:
        """
        Row G12: a gRPC service that no route leads to is UNIMPLEMENTED, and one of a gateway's service that it has not.
        """
        self.assert_refused(self.ask("/package.v1.Unknown"), UNIMPLEMENTED, "No route")
        self.assert_refused(self.ask("/services/unknown/package.v1.Some"), UNIMPLEMENTED, "No service")

    def test_no_instance(self) -> None:
        """
        Row G12: a service without instances is UNAVAILABLE, and so is one whose only instance refuses connections.
        """
        self.assert_refused(self.ask("Nobody"), UNAVAILABLE, "none of its instances")
        self.assert_refused(self.ask("Refusing"), UNAVAILABLE, "")

    def test_too_large(self) -> None:
        """
        A request that is larger than the route takes is RESOURCE_EXHAUSTED, in one message or in many; one that is not
        passes.
        """
        self.assertEqual(self.ask("Small", b"x" * 900).code, 0)
        self.call = next(call_names)
        got = self.ask("Small", b"x" * 2000)
        self.assertEqual((got.code, got.messages), (RESOURCE_EXHAUSTED, []))
        self.assertIn("larger than", got.details)
        call = streamed(self.channel, [b"x" * 400] * 10, "ClientStream", f"{PACKAGE}Small")
        self.assertEqual(outcome(call).code, RESOURCE_EXHAUSTED)

    def test_before_the_request_is_there(self) -> None:
        """
        A refusal does not wait for what the client still wants to send.
        """
        requests = Requests()
        self.addCleanup(requests.end)
        requests.send(b"first")
        call = streamed(self.channel, requests, "BidiStream", f"{PACKAGE}Private")
        self.assertEqual(outcome(call).code, UNAUTHENTICATED)

    def test_limited(self) -> None:
        """
        A call above a limit is RESOURCE_EXHAUSTED, with the time to wait for clients and for their libraries; other
        users have limits of their own.
        """
        user = bearer("limited-user")
        self.assertEqual([self.ask("Limited", b"x", user).code for _ in range(3)], [0, 0, 0])
        self.call = next(call_names)
        got = self.ask("Limited", b"x", user)
        self.assert_refused(got, RESOURCE_EXHAUSTED, "limit")
        (pushback,) = got.values("grpc-retry-pushback-ms")
        self.assertTrue(900_000 <= int(pushback) <= 1_000_000, pushback)
        (details,) = got.values("grpc-status-details-bin")
        assert isinstance(details, bytes)
        self.assertIn(b"type.googleapis.com/google.rpc.RetryInfo", details)
        self.assertEqual(self.ask("Limited", b"x", bearer("another-user")).code, 0)

    def test_observed(self) -> None:
        """
        What was refused is counted and logged by its reason, as with any other client.
        """
        number = self.ask("Private").values("x-request-id")[0]
        line = self.world.gateway.wait_for_access_line(lambda line: line["request_id"] == number)
        self.assertEqual((line["reason"], line["path"]), ("unauthenticated", f"{PACKAGE}Private/Unary"))


class TokenTests(RefusalCase):
    """
    Tokens are looked at call by call, not once for a connection.
    """

    def test_each_call(self) -> None:
        """
        On one connection, calls of several users and of nobody are mixed; each is let through, or not, for itself.
        """
        callers = {
            "user": bearer("7", "user"),
            "admin": bearer("1", "admin"),
            "nobody": ("x-none", "1"),
            "liar": ("authorization", "Bearer nonsense"),
        }
        expected = {
            ("user", "Private"): 0,
            ("user", "Admins"): PERMISSION_DENIED,
            ("admin", "Private"): 0,
            ("admin", "Admins"): 0,
            ("nobody", "Private"): UNAUTHENTICATED,
            ("nobody", "Admins"): UNAUTHENTICATED,
            ("liar", "Private"): UNAUTHENTICATED,
            ("liar", "Admins"): UNAUTHENTICATED,
        }
        for _ in range(5):
            got = {(name, service): self.ask(service, b"x", callers[name]).code for name, service in expected}
            self.assertEqual(got, expected)

    def test_outlived(self) -> None:
        """
        Row B8: a call that outlives its token ends with it, with a status; one whose token is good goes on.
        """
        fresh, stale = Requests(), Requests()
        going_on = streamed(self.channel, fresh, service=f"{PACKAGE}Private", metadata=[bearer("7")])
        ending = streamed(self.channel, stale, service=f"{PACKAGE}Private", metadata=[bearer("8", age=628)])
        for call, requests in ((going_on, fresh), (ending, stale)):
            requests.send(Plan(sizes=[3]).encode())
            self.assertEqual(len(next(call)), 3)
        self.assertEqual(outcome(ending).code, UNAUTHENTICATED)
        fresh.send(Plan(sizes=[4]).encode())
        self.assertEqual(len(next(going_on)), 4)
        fresh.end()
        stale.end()
        self.assertEqual(outcome(going_on).code, 0)

    def test_all_at_once(self) -> None:
        """
        So it is when they are in progress at the same time.
        """
        wrong: list[tuple[str, int]] = []
        expected = {"7": 0, "": UNAUTHENTICATED, "8": 0}

        def go_on(user: str) -> None:
            metadata = bearer(user) if user else ("x-none", "1")
            for _ in range(50):
                got = self.ask("Private", b"x", metadata)
                if got.code != expected[user]:
                    wrong.append((user, got.code))

        threads = [threading.Thread(target=go_on, args=(user,)) for user in expected for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_identity(self) -> None:
        """
        The server learns from the gateway whose call it is, and not from the client: what a client says of itself never
        arrives, nor does the token.
        """
        lies = [("x-user-id", "1"), ("x-user-role", "admin"), ("x-user-name", "root"), ("x-user-issuer", "me")]
        self.assertEqual(self.ask("Private", b"x", bearer("7"), *lies).code, 0)
        self.assertEqual(self.identity(), {"x-user-id": ["7"], "x-user-name": ["user-7"], "x-user-role": ["user"]})
        self.call = next(call_names)
        self.assertEqual(self.ask("Test", b"x", *lies).code, 0)
        self.assertEqual(self.identity(), {})

    def identity(self) -> dict[str, list[str]]:
        """
        What the server was told of the caller.
        """
        seen: dict[str, Any] = self.world.seen(self.call)
        found: dict[str, list[str]] = {}
        for key, value in seen["metadata"]:
            if key.startswith("x-user-") or key == "authorization":
                found.setdefault(key, []).append(value)
        return found
