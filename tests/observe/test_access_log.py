"""
Tests for L{siger.observe.access_log}.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis.strategies import binary, floats, integers, lists, none, one_of, sampled_from, text, tuples
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.errors import Reason
from siger.observe.access_log import FLUSH_SECONDS, AccessLog, access_log_to
from siger.observe.lines import FIELD_LIMIT, Entry, escape, format_entries
from siger.observe.observer import Observer
from siger.observe.stats import RouteStats, ServiceStats
from siger.policy.identity import Identity
from tests.observe.test_observer import finish

ROUTE = RouteStats("/services/{name}/*")
SERVICE = ServiceStats("echo")

# 2026-11-23T12:04:05.000Z and the monotonic time it is taken to be.
WALL = 1795435445.0
MONOTONIC = 1000.0


def entry(**changes: Any) -> Entry:
    """
    An ordinary proxied request, but for the changes.
    """
    values: dict[str, Any] = {
        "route": ROUTE,
        "method": b"GET",
        "path": b"/services/echo/hello",
        "status": 200,
        "reason": None,
        "start": 1000.0,
        "first_byte": 1000.0015,
        "now": 1000.25,
        "bytes_in": 0,
        "bytes_out": 13,
        "request_id": b"0192f3a4",
        "client": b"192.0.2.7",
        "service": SERVICE,
        "instance": b"127.0.0.1:9001",
        "attempts": 1,
        "user": b"",
        "version": 11,
        "grpc": -1,
    }
    values.update(changes)
    return tuple(values.values())  # type: ignore[return-value]


class MemorySink:
    """
    A sink that keeps batches, and fails when told to.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.failure = ""
        self.batches: list[bytes] = []
        self.events: list[str] = []

    def open(self) -> None:
        """
        Note the start.
        """
        self.events.append("open")

    def write(self, batch: bytes, lines: int) -> None:
        """
        Keep a batch that has as many lines as it is said to have.
        """
        assert batch.count(b"\n") == lines
        self.events.append("write")
        self.batches.append(batch)

    def reopen(self) -> None:
        """
        Note the order.
        """
        self.events.append("reopen")

    def close(self) -> None:
        """
        Note the end.
        """
        self.events.append("close")


class FormatTests(SynchronousTestCase):
    """
    Tests for L{format_entries}.
    """

    def line(self, **changes: Any) -> dict[str, Any]:
        """
        One entry's line, read back.
        """
        rendered = format_entries([entry(**changes)], WALL - MONOTONIC)
        self.assertEqual(rendered.count(b"\n"), 1)
        self.assertTrue(rendered.endswith(b"\n"))
        document: dict[str, Any] = json.loads(rendered)
        return document

    def test_proxied(self) -> None:
        """
        A proxied request's line has every member, in an order made for reading.
        """
        rendered = format_entries([entry()], WALL - MONOTONIC)
        self.assertEqual(
            rendered,
            b'{"time":"2026-11-23T12:04:05.250Z","request_id":"0192f3a4","client":"192.0.2.7","user":null,"method":"GET",'
            b'"protocol":"HTTP/1.1","route":"/services/{name}/*","path":"/services/echo/hello","status":200,"bytes_in":0,'
            b'"bytes_out":13,"duration_ms":250.000,"ttfb_ms":1.500,"service":"echo","instance":"127.0.0.1:9001",'
            b'"attempts":1,"reason":null}\n',
        )

    def test_protocol(self) -> None:
        """
        The version of HTTP is there by the name it has in HTTP/1 messages, and HTTP/2 by its own.
        """
        protocols = [self.line(version=version)["protocol"] for version in (10, 11, 20)]
        self.assertEqual(protocols, ["HTTP/1.0", "HTTP/1.1", "HTTP/2"])

    def test_grpc(self) -> None:
        """
        A gRPC call has its status besides that of HTTP, also one that nobody registered; nothing else has one.
        """
        for status in (0, 14, 999999):
            line = self.line(version=20, grpc=status)
            self.assertEqual((line["status"], line["grpc_status"], line["reason"]), (200, status, None))
        self.assertNotIn("grpc_status", self.line())

    def test_user(self) -> None:
        """
        Whose token it was is there, as JSON that was rendered when the token was verified.
        """
        identity = Identity('a"\u00e9', "Ann", ("user",), "t", 0.0, 0.0, {})
        self.assertEqual(self.line(user=identity.logged)["user"], 'a"\u00e9')
        self.assertEqual(self.line()["user"], None)

    def test_local(self) -> None:
        """
        What does not apply is null: a local answer has no service and no instance.
        """
        line = self.line(service=None, instance=b"", attempts=0)
        self.assertEqual((line["service"], line["instance"], line["attempts"]), (None, None, 0))
        self.assertEqual(line["ttfb_ms"], 1.5)

    def test_no_instance(self) -> None:
        """
        A request whose service had no instance has the service and the reason.
        """
        line = self.line(instance=b"", status=503, reason=Reason.NO_INSTANCE)
        self.assertEqual((line["service"], line["instance"]), ("echo", None))
        self.assertEqual((line["status"], line["reason"]), (503, "no_instance"))

    def test_never_answered(self) -> None:
        """
        A response that never began has no time to first byte.
        """
        line = self.line(first_byte=0.0, status=499, reason=Reason.CLIENT_GONE)
        self.assertIs(line["ttfb_ms"], None)
        self.assertEqual(line["instance"], "127.0.0.1:9001")

    def test_members_are_the_same_for_all(self) -> None:
        """
        Every line has the same members in the same order, whatever is known of the request, if it is not gRPC.
        """
        self.assertEqual(list(self.line()), list(self.line(service=None, instance=b"", first_byte=0.0)))

    def test_times(self) -> None:
        """
        Each line's time is its own, to the millisecond, rounded down, in whatever order they come.
        """
        offset = WALL - MONOTONIC
        for times, expected in (
            ((1000.0, 1000.9999), ("05.000Z", "05.999Z")),
            ((1000.9999, 1001.0), ("05.999Z", "06.000Z")),
            ((1001.5, 1000.25), ("06.500Z", "05.250Z")),
            ((1054.5, 1055.125, 1055.25), ("59.500Z", "00.125Z", "00.250Z")),
        ):
            rendered = format_entries([entry(start=990.0, now=now) for now in times], offset)
            found = [json.loads(line)["time"] for line in rendered.splitlines()]
            self.assertEqual(tuple(time[17:] for time in found), expected)

    def test_time_is_rfc_3339_whatever_the_clocks_say(self) -> None:
        """
        A wall clock with a fraction gives a well-formed time that is less than two milliseconds off.
        """
        for thousandths in range(0, 2000, 7):
            now = 1000.0 + thousandths / 1000
            offset = WALL - MONOTONIC + 0.123456
            line = json.loads(format_entries([entry(now=now)], offset))
            self.assertTrue(re.fullmatch(r"2026-11-23T12:04:\d\d\.\d\d\dZ", line["time"]), line["time"])
            seconds = float(line["time"][17:23])
            self.assertTrue(0 <= (now + offset) % 60 - seconds < 0.002, line["time"])

    def test_method_nobody_knows(self) -> None:
        """
        A made-up method is logged as it came, escaped.
        """
        self.assertEqual(self.line(method=b'G"\\\r\n')["method"], 'G"\\\r\n')

    @given(
        lists(
            tuples(
                binary(max_size=80),
                binary(max_size=12),
                text(max_size=20),
                one_of(none(), text(max_size=20)),
                one_of(none(), sampled_from(Reason)),
                integers(100, 999),
                floats(0, 1e6),
            ),
            max_size=5,
        )
    )
    def test_each_line_is_one_object_that_gives_everything_back(self, rows: list[Any]) -> None:
        """
        Whatever bytes a path or a method has and whatever text a route or a service, each entry is one line, and the
        line is one JSON object with these values.
        """
        entries = [
            entry(
                path=path,
                method=method,
                route=RouteStats(route),
                service=None if service is None else ServiceStats(service),
                reason=reason,
                status=status,
                now=1000.0 + elapsed,
            )
            for path, method, route, service, reason, status, elapsed in rows
        ]
        rendered = format_entries(entries, WALL - MONOTONIC)
        self.assertTrue(rendered.isascii())
        lines = rendered.split(b"\n")
        self.assertEqual(lines.pop(), b"")
        self.assertEqual(len(lines), len(rows))
        for line, (path, method, route, service, reason, status, elapsed) in zip(lines, rows, strict=True):
            self.assertIs(re.search(rb"[\x00-\x1f\x7f-\xff]", line), None)
            document = json.loads(line)
            self.assertEqual(document["path"], path.decode("latin-1"))
            self.assertEqual(document["method"], method.decode("latin-1"))
            self.assertEqual((document["route"], document["service"]), (route, service))
            self.assertEqual(document["reason"], None if reason is None else reason.code)
            self.assertEqual(document["status"], status)
            self.assertLess(abs(document["duration_ms"] - elapsed * 1000), 0.002)


class EscapeTests(SynchronousTestCase):
    """
    Tests for L{escape}.
    """

    def test_dangerous_bytes(self) -> None:
        """
        Control bytes, DEL, quotes, backslashes and everything beyond ASCII are escaped.
        """
        self.assertEqual(
            escape(b'a"b\\c\n\x1b[2J\x00\x7f\x85\xa0\xe9'),
            b'a\\"b\\\\c\\n\\u001b[2J\\u0000\\u007f\\u0085\\u00a0\\u00e9',
        )

    def test_line_separators_are_three_bytes(self) -> None:
        """
        The UTF-8 form of U+2028 is escaped byte by byte, so no reader takes it for an end of line.
        """
        self.assertEqual(escape("\u2028".encode()), b"\\u00e2\\u0080\\u00a8")

    def test_long_value_is_cut(self) -> None:
        """
        A value of the limit's length is whole, a longer one is cut to it and marked.
        """
        self.assertEqual(escape(b"a" * FIELD_LIMIT), b"a" * FIELD_LIMIT)
        self.assertEqual(escape(b"a" * (FIELD_LIMIT + 1)), b"a" * (FIELD_LIMIT - 3) + b"...")

    @given(binary(max_size=8), sampled_from([b"\\", b'"', b"\xff", b"\\u12", b"\n", b"\x7f"]), integers(300, 2200))
    def test_cut_leaves_whole_escapes(self, head: bytes, unit: bytes, count: int) -> None:
        """
        However long and dirty a value is, what is written fits the limit and is the value's beginning.
        """
        value = head + unit * count
        rendered = escape(value)
        self.assertLessEqual(len(rendered), FIELD_LIMIT)
        text = json.loads(b'"' + rendered + b'"')
        whole = value.decode("latin-1")
        if text != whole:
            self.assertTrue(text.endswith("..."))
            self.assertTrue(whole.startswith(text[:-3]))
            self.assertGreater(len(rendered), FIELD_LIMIT - 12)

    def test_long_clean_path_is_cut_in_a_line(self) -> None:
        """
        A path that needs no escaping is still cut.
        """
        line = json.loads(format_entries([entry(path=b"/" + b"a" * 9000)], 0.0))
        self.assertEqual(len(line["path"]), FIELD_LIMIT)


class AccessLogTests(SynchronousTestCase):
    """
    Tests for L{AccessLog}.
    """

    def setUp(self) -> None:
        """
        A started log over a memory sink, with an observer that feeds it.
        """
        self.clock = Clock()
        self.sink = MemorySink()
        self.wall = WALL
        self.log = AccessLog(self.sink, self.clock, lambda: (self.wall, MONOTONIC))
        self.observer = Observer(self.log)
        self.log.start()

    def finish(self, **changes: Any) -> None:
        """
        End a request.
        """
        finish(self.observer, self.observer.unmatched, start=MONOTONIC, now=MONOTONIC + 0.25, **changes)

    def test_batch_is_written_in_one_piece(self) -> None:
        """
        Requests are written together a moment later, not one by one.
        """
        for number in range(3):
            self.finish(path=b"/%d" % number)
        self.assertEqual(self.sink.batches, [])
        self.clock.advance(FLUSH_SECONDS)
        self.assertEqual(len(self.sink.batches), 1)
        paths = [json.loads(line)["path"] for line in self.sink.batches[0].splitlines()]
        self.assertEqual(paths, ["/0", "/1", "/2"])

    def test_full_batch_does_not_wait(self) -> None:
        """
        The 512th request writes the batch.
        """
        for _ in range(513):
            self.finish()
        self.assertEqual([batch.count(b"\n") for batch in self.sink.batches], [512])
        self.clock.advance(FLUSH_SECONDS)
        self.assertEqual([batch.count(b"\n") for batch in self.sink.batches], [512, 1])

    def test_idle_log_writes_nothing(self) -> None:
        """
        Without requests the timer goes on and the sink is left alone.
        """
        self.clock.pump([FLUSH_SECONDS] * 10)
        self.assertEqual(self.sink.events, ["open"])
        self.finish()
        self.clock.advance(FLUSH_SECONDS)
        self.assertEqual(self.sink.events, ["open", "write"])

    def test_wall_clock_is_read_at_each_flush(self) -> None:
        """
        A step of the wall clock shows in the next batch.
        """
        for wall in (WALL, WALL + 3600):
            self.wall = wall
            self.finish()
            self.clock.advance(FLUSH_SECONDS)
        times = [json.loads(batch)["time"] for batch in self.sink.batches]
        self.assertEqual(times, ["2026-11-23T12:04:05.250Z", "2026-11-23T13:04:05.250Z"])

    def test_stop_writes_the_rest(self) -> None:
        """
        The last requests are written before the sink is closed, and no timer stays.
        """
        self.finish()
        self.log.stop()
        self.assertEqual(self.sink.events, ["open", "write", "close"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_of_a_log_that_never_started(self) -> None:
        """
        Stopping twice, or what never started, does nothing.
        """
        self.log.stop()
        self.log.stop()
        AccessLog(self.sink, self.clock).stop()
        self.assertEqual(self.sink.events, ["open", "close"])

    def test_reopen_keeps_the_order(self) -> None:
        """
        Requests that ended before the log was rotated go to the old file.
        """
        self.finish()
        self.log.reopen()
        self.assertEqual(self.sink.events, ["open", "write", "reopen"])

    def test_failure_is_logged_once(self) -> None:
        """
        A sink that fails is reported when it begins to fail and when it works again, not at every batch.
        """
        messages = self.captured_messages()
        self.sink.failure = "No space left on device"
        self.clock.pump([FLUSH_SECONDS] * 5)
        self.assertEqual(messages, ["access log: No space left on device"])
        self.sink.failure, self.sink.dropped = "", 12
        self.clock.pump([FLUSH_SECONDS] * 5)
        self.assertEqual(messages[1:], ["access log is written again; 12 lines were lost so far"])

    def test_broken_entry_harms_nobody(self) -> None:
        """
        If a batch cannot be rendered its lines are counted as lost, and whoever finished a request does not notice.
        """
        for _ in range(512):
            self.finish(first_byte=float("inf"))
        self.assertEqual(self.log.dropped, 512)
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        self.finish()
        self.clock.advance(FLUSH_SECONDS)
        self.assertEqual(len(self.sink.batches), 1)

    def test_dropped_is_the_sinks(self) -> None:
        """
        Lines the sink lost are the log's losses.
        """
        self.sink.dropped = 3
        self.assertEqual(self.log.dropped, 3)

    def captured_messages(self) -> list[str]:
        """
        What is logged from here on.
        """
        from twisted.logger import formatEvent, globalLogPublisher

        messages: list[str] = []

        def observe(event: Any) -> None:
            if event["log_namespace"].startswith("siger."):
                messages.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return messages


class AccessLogToTests(SynchronousTestCase):
    """
    Tests for L{access_log_to}.
    """

    def test_off(self) -> None:
        """
        C{off} means no log at all.
        """
        self.assertIs(access_log_to("off", Clock()), None)

    def test_path(self) -> None:
        """
        A path is written to, directories and all.
        """
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "logs", "access.log")
            log = access_log_to(str(path), Clock())
            assert log is not None
            log.start()
            finish(observer := Observer(log), observer.unmatched, path=b"/hello")
            log.stop()
            self.assertEqual(json.loads(path.read_bytes())["path"], "/hello")
