"""
Tests of L{siger.messaging.output}.
"""

from __future__ import annotations

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from siger.messaging.output import Line, Lines, log_line, parse


class ParseTests(SynchronousTestCase):
    """
    What a line of nats-server's means.
    """

    def test_levels(self) -> None:
        """
        Information is for debugging; warnings, errors and fatal errors are what they are.
        """
        for mark, level in [("INF", "debug"), ("TRC", "debug"), ("WRN", "warn"), ("ERR", "error"), ("FTL", "critical")]:
            self.assertEqual(parse(f"[12] [{mark}] text here".encode()), Line("text here", level))

    def test_time(self) -> None:
        """
        A line may bear a time, which the log has of its own.
        """
        line = parse(b"[25835] 2026/11/23 15:09:15.165821 [WRN] slow\r")
        self.assertEqual(line, Line("slow", "warn"))

    def test_unknown_mark(self) -> None:
        """
        A mark from a later version is worth a warning.
        """
        self.assertEqual(parse(b"[1] [XYZ] what").level, "warn")

    def test_unmarked(self) -> None:
        """
        A line without a mark is a complaint about the configuration, or part of a crash: an error, whole.
        """
        self.assertEqual(parse(b"nats-server: x.conf:1:2: bad"), Line("nats-server: x.conf:1:2: bad", "error"))

    def test_empty(self) -> None:
        """
        A line may have a mark and nothing else.
        """
        self.assertEqual(parse(b"[3] [INF] "), Line("", "debug"))

    def test_undecodable(self) -> None:
        """
        What is not UTF-8 is shown as it is.
        """
        self.assertEqual(parse(b"[3] [ERR] \xff").text, "\\xff")

    def test_listening(self) -> None:
        """
        The line that says where the server listens gives the port.
        """
        self.assertEqual(parse(b"[3] [INF] Listening for client connections on 127.0.0.1:40123").port, 40123)

    def test_talk_of_listening(self) -> None:
        """
        The same words within another line give none.
        """
        self.assertEqual(parse(b"[3] [ERR] x Listening for client connections on 127.0.0.1:40123").port, 0)
        self.assertEqual(parse(b"Listening for client connections on 127.0.0.1:40123").port, 0)

    def test_taken(self) -> None:
        """
        A fatal error about the address says that the port is somebody else's.
        """
        text = 'Error listening on port: 127.0.0.1:1, "listen tcp 127.0.0.1:1: bind: address already in use"'
        self.assertTrue(parse(f"[3] [FTL] {text}".encode()).taken)
        self.assertFalse(parse(f"[3] [INF] {text}".encode()).taken)

    def test_password_warning(self) -> None:
        """
        The warning about a password in the configuration is for debugging: that file is for its owner alone.
        """
        self.assertEqual(parse(b"[3] [WRN] Plaintext passwords detected, use nkeys or bcrypt").level, "debug")


class LogTests(SynchronousTestCase):
    """
    What reaches the application log.
    """

    def logged(self, line: Line) -> list[LogEvent]:
        """
        The events that a line makes.
        """
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        log_line(line)
        return events

    def test_line(self) -> None:
        """
        A line is logged under C{siger.messaging}, at its level.
        """
        (event,) = self.logged(Line("disk {full}", "critical"))
        self.assertEqual(formatEvent(event), "nats-server: disk {full}")
        self.assertEqual((event["log_namespace"], event["log_level"]), ("siger.messaging", LogLevel.critical))

    def test_nothing(self) -> None:
        """
        An empty line is not logged.
        """
        self.assertEqual(self.logged(Line("", "debug")), [])


class LinesTests(SynchronousTestCase):
    """
    How lines are put together.
    """

    def setUp(self) -> None:
        """
        A list of lines.
        """
        self.taken: list[bytes] = []
        self.lines = Lines(self.taken.append)

    def test_pieces(self) -> None:
        """
        A line may arrive in pieces, and several at once.
        """
        for piece in (b"on", b"e\ntwo\nth", b"ree"):
            self.lines.feed(piece)
        self.assertEqual(self.taken, [b"one", b"two"])

    def test_end(self) -> None:
        """
        What is left at the end is a line.
        """
        self.lines.feed(b"one\nrest")
        self.lines.end()
        self.lines.end()
        self.assertEqual(self.taken, [b"one", b"rest"])

    def test_endless(self) -> None:
        """
        A line without an end takes no more memory than any other, and is cut.
        """
        for _ in range(100):
            self.lines.feed(b"x" * 1000)
        self.lines.feed(b"\nnext\n")
        self.assertEqual(self.taken, [b"x" * 4096, b"next"])
