"""
Tests for L{siger.observe.observer}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.grpc.status import INTERNAL, NAMES, OK, UNAUTHENTICATED, UNAVAILABLE, UNIMPLEMENTED
from siger.observe.observer import MAX_ROUTES, MAX_SERVICES, OVERFLOW, UNMATCHED, Observer
from siger.observe.stats import (
    DURATION_BOUNDS,
    MAX_GRPC_METHODS,
    OTHER_METHOD,
    SIZE_BOUNDS,
    GrpcStats,
    RouteStats,
    ServiceStats,
)


class RecordingLog:
    """
    An access log that keeps its batches.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []
        self.batches: list[list[tuple[Any, ...]]] = []

    def flush(self) -> None:
        """
        Keep the batch and begin the next.
        """
        self.batches.append(self.entries[:])
        self.entries.clear()


def finish(
    observer: Observer,
    route: RouteStats,
    *,
    method: bytes = b"GET",
    path: bytes = b"/x",
    status: int = 200,
    reason: Reason | None = None,
    start: float = 10.0,
    first_byte: float = 10.125,
    now: float = 10.25,
    bytes_in: int = 3,
    bytes_out: int = 123,
    request_id: bytes = b"abc-123",
    client: bytes = b"127.0.0.1",
    service: ServiceStats | None = None,
    instance: bytes = b"",
    attempts: int = 0,
    version: int = 11,
    grpc: int = -1,
    grpc_stats: GrpcStats | None = None,
) -> None:
    """
    Finish a request that differs from an ordinary one where the test says so.
    """
    observer.finish(
        route,
        method,
        path,
        status,
        reason,
        start,
        first_byte,
        now,
        bytes_in,
        bytes_out,
        request_id,
        client,
        service,
        instance,
        attempts,
        version=version,
        grpc=grpc,
        grpc_stats=grpc_stats,
    )


class FinishTests(SynchronousTestCase):
    """
    Tests for L{Observer.finish}.
    """

    def setUp(self) -> None:
        """
        An observer with a route and a service.
        """
        self.observer = Observer()
        self.route = self.observer.route("/services/{name}/*")
        self.service = self.observer.service("echo")

    def test_counts_status_of_the_route(self) -> None:
        """
        A request adds one to its status on its route and method, and to nothing else.
        """
        finish(self.observer, self.route, status=200)
        finish(self.observer, self.route, status=200)
        finish(self.observer, self.route, status=404)
        self.assertEqual(self.route.methods[b"GET"].statuses, {200: 2, 404: 1})
        self.assertEqual(self.observer.unmatched.methods, {})
        self.assertEqual(self.service.statuses, {})

    def test_duration_goes_into_the_bucket_that_covers_it(self) -> None:
        """
        A duration equal to a bucket's bound is inside of it, a longer one is in the next, and the longest in the last.
        """
        for elapsed in (0.0, 0.25, 0.2500001, 99.0):
            finish(self.observer, self.route, start=0.0, now=elapsed)
        stats = self.route.methods[b"GET"]
        expected = [0] * (len(DURATION_BOUNDS) + 1)
        expected[0] = 1
        expected[DURATION_BOUNDS.index(0.25)] = 1
        expected[DURATION_BOUNDS.index(0.5)] = 1
        expected[-1] = 1
        self.assertEqual(stats.durations, expected)
        self.assertAlmostEqual(stats.duration_sum, 99.5000001)

    def test_size_goes_into_the_bucket_that_covers_it(self) -> None:
        """
        A response size equal to a bucket's bound is inside of it; sizes beyond the last bound are in the last bucket.
        """
        for size in (0, 100, 101, 10**10):
            finish(self.observer, self.route, bytes_out=size)
        stats = self.route.methods[b"GET"]
        expected = [0] * (len(SIZE_BOUNDS) + 1)
        expected[0] = 2
        expected[1] = 1
        expected[-1] = 1
        self.assertEqual(stats.sizes, expected)
        self.assertEqual(stats.size_sum, 201 + 10**10)

    def test_service_is_counted_when_there_is_one(self) -> None:
        """
        A proxied request counts for its service too, with the same status and duration.
        """
        finish(self.observer, self.route, status=502, service=self.service, start=0.0, now=0.25)
        self.assertEqual(self.service.statuses, {502: 1})
        self.assertEqual(self.service.durations[DURATION_BOUNDS.index(0.25)], 1)
        self.assertEqual(sum(self.service.durations), 1)
        self.assertEqual(self.service.duration_sum, 0.25)

    def test_reason_is_counted_when_there_is_one(self) -> None:
        """
        Reasons are counted, requests without one are not.
        """
        finish(self.observer, self.route, reason=Reason.NO_INSTANCE, status=503)
        finish(self.observer, self.route)
        self.assertEqual(self.observer.reasons, {Reason.NO_INSTANCE: 1})

    def test_unknown_methods_share_one_label(self) -> None:
        """
        However many methods clients make up, they count as one.
        """
        for number in range(1000):
            finish(self.observer, self.route, method=b"M%d" % number)
        self.assertEqual(list(self.route.methods), [OTHER_METHOD])
        self.assertEqual(self.route.methods[OTHER_METHOD].statuses, {200: 1000})

    def test_method_is_case_sensitive(self) -> None:
        """
        C{get} is not GET (RFC 9110 section 9.1).
        """
        finish(self.observer, self.route, method=b"get")
        self.assertEqual(list(self.route.methods), [OTHER_METHOD])

    def test_without_access_log_nothing_is_kept(self) -> None:
        """
        With the access log off a request leaves only counts.
        """
        finish(self.observer, self.route)
        self.assertEqual(self.route.methods[b"GET"].statuses, {200: 1})


class GrpcTests(SynchronousTestCase):
    """
    Tests for L{Observer.finish} and L{GrpcStats} with gRPC calls.
    """

    def setUp(self) -> None:
        """
        An observer with a gRPC service.
        """
        self.observer = Observer()
        self.stats = self.observer.grpc("echo.Echo")

    def call(self, path: bytes, grpc: int = OK, reason: Reason | None = None, **changes: Any) -> None:
        """
        End a call.
        """
        stats = self.stats
        finish(self.observer, self.observer.unmatched, path=path, grpc=grpc, reason=reason, grpc_stats=stats, **changes)

    def labels(self) -> list[bytes]:
        """
        The labels of methods that have calls.
        """
        return [name for name, stats in self.stats.methods.items() if any(stats.statuses)]

    def test_counts_status_of_the_method(self) -> None:
        """
        A call is counted by its status for the method that its path's last segment names.
        """
        for grpc in (OK, OK, INTERNAL):
            self.call(b"/services/echo/echo.Echo/Say", grpc)
        stats = self.stats.method(b"Say")
        self.assertEqual(
            {NAMES[n]: count for n, count in enumerate(stats.statuses[:-1]) if count}, {"OK": 2, "INTERNAL": 1}
        )
        self.assertEqual(self.labels(), [b"Say"])

    def test_duration(self) -> None:
        """
        Its duration is in the bucket that covers it.
        """
        self.call(b"/echo.Echo/Say", start=0.0, now=0.25)
        stats = self.stats.method(b"Say")
        self.assertEqual(stats.durations[DURATION_BOUNDS.index(0.25)], 1)
        self.assertEqual((sum(stats.durations), stats.duration_sum), (1, 0.25))

    def test_unregistered_statuses_share_one_place(self) -> None:
        """
        However many statuses an instance makes up, they count as one.
        """
        for grpc in (17, 99, 999999):
            self.call(b"/echo.Echo/Say", grpc)
        self.assertEqual(self.stats.method(b"Say").statuses, [0] * len(NAMES) + [3])

    def test_unimplemented_methods_share_one_label(self) -> None:
        """
        What an instance says it does not have gets no label of its own, until an instance has it.
        """
        self.call(b"/echo.Echo/Say", UNIMPLEMENTED)
        self.assertEqual(self.labels(), [OTHER_METHOD])
        self.call(b"/echo.Echo/Say")
        self.call(b"/echo.Echo/Say", UNIMPLEMENTED)
        self.assertEqual(self.labels(), [OTHER_METHOD, b"Say"])
        self.assertEqual(self.stats.method(b"Say").statuses[UNIMPLEMENTED], 1)

    def test_refused_calls_name_nothing(self) -> None:
        """
        A call that the gateway ended does not show that there is such a method: whoever has no token cannot name any.
        """
        self.call(b"/echo.Echo/Anything", UNAUTHENTICATED, Reason.UNAUTHENTICATED)
        self.assertEqual(self.labels(), [OTHER_METHOD])

    def test_methods_are_bounded(self) -> None:
        """
        Methods beyond the cap share one label with those unknown.
        """
        for number in range(MAX_GRPC_METHODS * 2):
            self.call(b"/echo.Echo/M%d" % number)
        self.assertEqual(len(self.stats.methods), MAX_GRPC_METHODS + 1)
        self.assertEqual(self.stats.methods[OTHER_METHOD].statuses[OK], MAX_GRPC_METHODS)

    def test_only_names_are_labels(self) -> None:
        """
        What could not be the name of a method in a C{.proto} file is not taken for a label, whatever an instance says.
        """
        for name in (b"", b"a-b", b"1", "é".encode(), b"a%20b", b"a" * 101, b"*"):
            self.call(b"/echo.Echo/" + name)
        self.assertEqual(self.labels(), [OTHER_METHOD])

    def test_without_status_nothing_is_counted(self) -> None:
        """
        What is not gRPC does not count as a call, wherever it was sent.
        """
        self.call(b"/echo.Echo/Say", -1)
        finish(self.observer, self.observer.unmatched, path=b"/echo.Echo/Say", grpc=OK)
        self.assertEqual(self.labels(), [])

    def test_same_name_same_counts(self) -> None:
        """
        Asking again for a service gives the counts it has.
        """
        self.assertIs(self.observer.grpc("echo.Echo"), self.stats)
        self.assertIsNot(self.observer.grpc("echo.Other"), self.stats)

    def test_services_are_bounded(self) -> None:
        """
        Services beyond the cap share one label.
        """
        for number in range(MAX_SERVICES * 2):
            self.observer.grpc(f"s{number}")
        self.assertEqual(len(self.observer.grpc_services), MAX_SERVICES + 1)
        self.assertEqual(self.observer.grpc("one-more").label, OVERFLOW)


class AccessLogBatchTests(SynchronousTestCase):
    """
    Tests for what L{Observer} hands to the access log.
    """

    def test_entry_has_everything(self) -> None:
        """
        A request is remembered as one tuple, in the order of L{Observer.finish}'s parameters; only metrics need to know
        where gRPC calls are counted.
        """
        log = RecordingLog()
        observer = Observer(log)  # type: ignore[arg-type]
        route = observer.route("/x")
        service = observer.service("echo")
        finish(
            observer,
            route,
            service=service,
            instance=b"127.0.0.1:9001",
            attempts=2,
            reason=Reason.UPSTREAM_RESET,
            version=20,
            grpc=UNAVAILABLE,
            grpc_stats=observer.grpc("echo.Echo"),
        )
        self.assertEqual(
            log.entries,
            [
                (
                    route,
                    b"GET",
                    b"/x",
                    200,
                    Reason.UPSTREAM_RESET,
                    10.0,
                    10.125,
                    10.25,
                    3,
                    123,
                    b"abc-123",
                    b"127.0.0.1",
                    service,
                    b"127.0.0.1:9001",
                    2,
                    b"",
                    20,
                    UNAVAILABLE,
                )
            ],
        )

    def test_full_batch_is_flushed_at_once(self) -> None:
        """
        The batch never holds more than its size, even if the timer has no chance to run.
        """
        log = RecordingLog()
        observer = Observer(log)  # type: ignore[arg-type]
        for _ in range(1024 + 7):
            finish(observer, observer.unmatched)
        self.assertEqual([len(batch) for batch in log.batches], [512, 512])
        self.assertEqual(len(log.entries), 7)


class NamesTests(SynchronousTestCase):
    """
    Tests for L{Observer.route} and L{Observer.service}.
    """

    def test_same_name_same_counts(self) -> None:
        """
        Asking again for a route or a service gives the counts it has.
        """
        observer = Observer()
        self.assertIs(observer.route("/a"), observer.route("/a"))
        self.assertIsNot(observer.route("/a"), observer.route("/b"))
        self.assertIs(observer.service("a"), observer.service("a"))

    def test_unmatched_is_a_route(self) -> None:
        """
        Requests that no route took have a label of their own.
        """
        observer = Observer()
        self.assertEqual(observer.unmatched.template, UNMATCHED)
        self.assertIs(observer.route(UNMATCHED), observer.unmatched)

    def test_routes_are_bounded(self) -> None:
        """
        Routes beyond the cap share one label.
        """
        observer = Observer()
        stats = {id(observer.route(f"/{number}")) for number in range(MAX_ROUTES * 2)}
        self.assertEqual(len(observer.routes), MAX_ROUTES + 1)
        self.assertEqual(len(stats), MAX_ROUTES)
        self.assertIs(observer.route("/one-more"), observer.routes[OVERFLOW])

    def test_services_are_bounded(self) -> None:
        """
        Services beyond the cap share one label.
        """
        observer = Observer()
        for number in range(MAX_SERVICES * 2):
            observer.service(f"s{number}")
        self.assertEqual(len(observer.services), MAX_SERVICES + 1)
        self.assertIs(observer.service("one-more"), observer.services[OVERFLOW])

    def test_fragments_are_json(self) -> None:
        """
        What the access log writes for a name is a JSON string, whatever the name holds.
        """
        self.assertEqual(RouteStats('/a"\n\u2028\\').fragment, b'"/a\\"\\n\\u2028\\\\"')
        self.assertEqual(ServiceStats("é").fragment, b'"\\u00e9"')
