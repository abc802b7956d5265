"""
Tests for L{siger.observe.logging} and L{siger.observe.standard_logging}.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, cast

import txaio
from hypothesis import given
from hypothesis.strategies import text
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher, globalLogPublisher
from twisted.python.failure import Failure
from twisted.python.log import LogPublisher as LegacyPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from siger.observe.logging import ApplicationLog, log_for_command
from siger.observe.standard_logging import StandardLoggingBridge, bridge_standard_logging


class Terminal(StringIO):
    """
    A stream that a person looks at.
    """

    def isatty(self) -> bool:
        """
        It is.
        """
        return True


class BrokenStream(StringIO):
    """
    A stream that cannot be written to.
    """

    def write(self, text: str) -> int:
        """
        It cannot.
        """
        raise OSError(28, "No space left on device")


def raised(error: Exception) -> Failure:
    """
    A failure with a traceback.
    """
    try:
        raise error
    except Exception:
        return Failure()


class LoggingTestCase(SynchronousTestCase):
    """
    Leaves the process's own logging as it was.
    """

    def setUp(self) -> None:
        """
        Remember what is there.
        """
        txaio.use_twisted()
        root = logging.getLogger()
        handlers, level, txaio_level = root.handlers[:], root.level, txaio.get_global_log_level()

        def restore() -> None:
            root.handlers[:] = handlers
            root.setLevel(level)
            txaio.set_global_log_level(txaio_level)

        self.addCleanup(restore)


class JSONTests(LoggingTestCase):
    """
    Tests for lines that programs read.
    """

    def setUp(self) -> None:
        """
        A log to memory.
        """
        super().setUp()
        self.stream = StringIO()
        self.log = ApplicationLog(self.stream)
        self.logger = Logger(namespace="siger.test", observer=self.log)

    def lines(self) -> list[dict[str, Any]]:
        """
        What was logged.
        """
        text = self.stream.getvalue()
        self.assertTrue(text.isascii())
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def test_observer(self) -> None:
        """
        The log is an observer.
        """
        self.assertTrue(verifyObject(ILogObserver, self.log))

    def test_members(self) -> None:
        """
        An event is one line with its time, level, source and message.
        """
        self.log(
            {
                "log_time": 1795435445.0629,
                "log_level": LogLevel.warn,
                "log_namespace": "siger.gateway",
                "log_format": "listening on {address}",
                "address": ":8080",
            }
        )
        self.assertEqual(
            self.stream.getvalue(),
            '{"time": "2026-11-23T12:04:05.062Z", "level": "warn", "logger": "siger.gateway",'
            ' "message": "listening on :8080"}\n',
        )

    def test_level(self) -> None:
        """
        What is below the level is not logged; the level can be changed.
        """
        for method in ("debug", "info", "warn", "error", "critical"):
            getattr(self.logger, method)(method)
        self.log.set_level("error")
        for method in ("debug", "info", "warn", "error", "critical"):
            getattr(self.logger, method)(method)
        self.log.set_level("debug")
        self.logger.debug("debug")
        messages = [line["message"] for line in self.lines()]
        self.assertEqual(messages, ["info", "warn", "error", "critical", "error", "critical", "debug"])

    def test_foreign_names_of_levels(self) -> None:
        """
        The names other programs use for the levels are understood.
        """
        self.log.set_level("warning")
        self.logger.info("no")
        self.logger.warn("yes")
        self.assertEqual([line["message"] for line in self.lines()], ["yes"])

    def test_failure(self) -> None:
        """
        A failure brings its traceback, on the same line.
        """
        self.logger.failure("it broke: {what}", failure=raised(ValueError("because")), what="a thing")
        (line,) = self.lines()
        self.assertEqual((line["level"], line["message"]), ("critical", "it broke: a thing"))
        self.assertIn("ValueError: because", line["traceback"])
        self.assertIn("test_logging.py", line["traceback"])

    def test_failure_without_words(self) -> None:
        """
        A failure that nobody described describes itself.
        """
        self.log({"log_time": 0.0, "log_level": LogLevel.critical, "log_failure": raised(KeyError("x"))})
        self.assertEqual(self.lines()[0]["message"], "KeyError: 'x'")

    def test_legacy_events(self) -> None:
        """
        Messages and errors of the old logging system look like others: their text does not repeat the traceback.
        """
        publisher = LogPublisher(self.log)
        legacy = LegacyPublisher(publisher, publisher)
        legacy.msg("hello", "there")
        legacy.msg(failure=raised(ValueError("because")), why="While serving", isError=1)
        legacy.msg(failure=raised(ValueError("because")), why=None, isError=1)
        first, second, third = self.lines()
        self.assertEqual((first["logger"], first["level"], first["message"]), ("twisted", "info", "hello there"))
        self.assertEqual((second["level"], second["message"]), ("critical", "While serving"))
        self.assertIn("ValueError: because", second["traceback"])
        self.assertEqual(third["message"], "ValueError: because")

    def test_traceback_that_cannot_be_made(self) -> None:
        """
        A failure that cannot even be described does not take its event with it.
        """

        class Unspeakable(Failure):
            def getTraceback(self, *args: Any, **kwargs: Any) -> str:
                raise RuntimeError

        self.logger.failure("it broke", failure=Unspeakable(ValueError("because")))
        (line,) = self.lines()
        self.assertEqual((line["message"], line["traceback"]), ("it broke", "(no traceback: RuntimeError)"))

    def test_secrets(self) -> None:
        """
        Secrets are taken out of messages and tracebacks, those known by value too.
        """
        self.log.redactor.protect("correct horse")
        self.logger.failure("token={token}", failure=raised(ValueError("correct horse, password=x7x7x7")), token="abc")
        text = self.stream.getvalue()
        for secret in ("abc", "correct horse", "x7x7x7"):
            self.assertNotIn(f'"{secret}', text.replace("=", '="'))
        self.assertEqual(text.count("[redacted]"), 3)

    def test_long_messages_are_cut(self) -> None:
        """
        No message makes an endless line.
        """
        self.logger.info("{text}", text="a" * 1_000_000)
        self.assertLess(len(self.stream.getvalue()), 17_000)

    def test_event_that_cannot_be_formatted(self) -> None:
        """
        A format that does not fit its event is told of rather than lost.
        """
        self.logger.info("{missing}")
        self.assertIn("missing", self.lines()[0]["message"])

    def test_bare_event(self) -> None:
        """
        An event that has nothing is still a line.
        """
        self.log({})
        self.assertEqual(
            self.lines(), [{"time": "1970-01-01T00:00:00.000Z", "level": "info", "logger": "-", "message": ""}]
        )

    def test_stream_that_fails(self) -> None:
        """
        A log that cannot be written harms nobody.
        """
        Logger(observer=ApplicationLog(BrokenStream())).info("hello")
        closed = StringIO()
        closed.close()
        log = ApplicationLog(closed, human=False)
        Logger(observer=log).info("hello")

    @given(text(max_size=200))
    def test_one_object_on_one_line(self, message: str) -> None:
        """
        Whatever a message holds, its event is one line of printable ASCII that is one JSON object.
        """
        stream = StringIO()
        Logger(namespace=message, observer=ApplicationLog(stream)).info("{text}", text=message)
        line = stream.getvalue()
        self.assertEqual(line.count("\n"), 1)
        self.assertIs(re.search(r"[^\x20-\x7e]", line[:-1]), None)
        document = json.loads(line)
        if "[redacted]" not in document["message"]:
            self.assertEqual(document["message"], message)


class HumanTests(LoggingTestCase):
    """
    Tests for lines that people read.
    """

    def setUp(self) -> None:
        """
        A log to a terminal.
        """
        super().setUp()
        self.stream = Terminal()
        self.log = ApplicationLog(self.stream)
        self.logger = Logger(namespace="siger.test", observer=self.log)

    def test_line(self) -> None:
        """
        At a terminal an event is plain text.
        """
        self.logger.info("listening on {address}", address=":8080")
        line = self.stream.getvalue()
        self.assertTrue(
            re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info     siger.test: listening on :8080\n", line),
            line,
        )

    def test_other_lines_are_indented(self) -> None:
        """
        A traceback and a message with line ends cannot be taken for further events.
        """
        self.logger.failure("one\n2026-11-23T12:04:05.062Z info     siger: forged", failure=raised(ValueError("x")))
        first, *rest = self.stream.getvalue().splitlines()
        self.assertTrue(first.endswith("siger.test: one"))
        self.assertGreater(len(rest), 3)
        self.assertEqual([line for line in rest if not line.startswith("    ")], [])

    def test_control_characters(self) -> None:
        """
        What would move the cursor, colour the screen or end a line is shown, not done.
        """
        self.logger.info("{text}", text="a\x1b[2Jb\rc\x00d\x7fe\x9bf\u2028g\tok")
        self.assertIn(r"a\x1b[2Jb\x0dc\x00d\x7fe\x9bf\u2028g" + "\tok\n", self.stream.getvalue())

    def test_choice(self) -> None:
        """
        A stream that is no terminal gets JSON, and either can be asked for.
        """
        stream = StringIO()
        Logger(observer=ApplicationLog(stream, human=True)).info("hello")
        self.assertNotIn("{", stream.getvalue())
        terminal = Terminal()
        Logger(observer=ApplicationLog(terminal, human=False)).info("hello")
        self.assertTrue(terminal.getvalue().startswith("{"))


class CommandTests(LoggingTestCase):
    """
    Tests for L{log_for_command}.
    """

    def in_directory(self) -> Path:
        """
        Work in a directory of the test's own.
        """
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(directory.name)
        return Path(directory.name)

    def test_twistd_in_the_foreground(self) -> None:
        """
        C{twistd -n} logs to standard output.
        """
        for name in (None, "", "-"):
            stream = StringIO()
            self.patch(sys, "stdout", stream)
            log = log_for_command({"nodaemon": True, "logfile": name}, "info")
            assert log is not None
            Logger(observer=log).info("hello")
            self.assertIn("hello", stream.getvalue())

    def test_twistd_debugging(self) -> None:
        """
        C{twistd -b} stays in the foreground too.
        """
        self.patch(sys, "stdout", StringIO())
        log = log_for_command({"nodaemon": False, "debug": True, "logfile": None}, "info")
        self.assertIsNot(log, None)

    def test_twistd_to_a_file(self) -> None:
        """
        A log file is written where C{twistd} was told to, readable by its group at most.
        """
        path = self.in_directory() / "siger.log"
        log = log_for_command({"nodaemon": True, "logfile": str(path)}, "info")
        Logger(observer=cast(ILogObserver, log)).info("hello")
        self.assertEqual(json.loads(path.read_text())["message"], "hello")
        self.assertEqual(path.stat().st_mode & 0o777, 0o640)

    def test_twistd_in_the_background(self) -> None:
        """
        A daemon logs to C{twistd.log} unless told otherwise.
        """
        path = self.in_directory() / "twistd.log"
        log = log_for_command({"nodaemon": False, "logfile": None}, "info")
        Logger(observer=cast(ILogObserver, log)).info("hello")
        self.assertIn("hello", path.read_text())

    def test_reopen(self) -> None:
        """
        After the file was renamed, the log goes on in a new one; standard output is left alone.
        """
        path = self.in_directory() / "siger.log"
        log = log_for_command({"nodaemon": True, "logfile": str(path)}, "info")
        assert log is not None
        logger = Logger(observer=log)
        logger.info("before")
        rotated = path.rename(path.with_suffix(".1"))
        log.reopen()
        logger.info("after")
        self.assertIn("before", rotated.read_text())
        self.assertEqual(json.loads(path.read_text())["message"], "after")
        ApplicationLog(StringIO()).reopen()

    def test_what_the_command_line_asks_for(self) -> None:
        """
        A logger or a system log that was asked for is left in charge, and so is C{twistd} to refuse the impossible.
        """
        for parent in (
            {"nodaemon": True, "logger": lambda: None},
            {"nodaemon": True, "syslog": True},
            {"nodaemon": False, "logfile": "-"},
        ):
            self.assertIs(log_for_command(parent, "info"), None)

    def test_twist(self) -> None:
        """
        C{twist} is given the log to make for its stream, and filters nothing of it.
        """
        parent: dict[str, Any] = {"fileLogObserverFactory": None, "logFormat": "json", "logLevel": LogLevel.info}
        self.assertIs(log_for_command(parent, "debug", ["correct horse"]), None)
        self.assertEqual(parent["logLevel"], LogLevel.debug)
        make: Callable[[StringIO], ApplicationLog] = parent["fileLogObserverFactory"]
        stream = StringIO()
        Logger(observer=make(stream)).debug("the correct horse")
        self.assertEqual(json.loads(stream.getvalue())["message"], "the [redacted]")

    def test_twist_with_text(self) -> None:
        """
        C{twist} says which of the two formats it is, whatever the stream.
        """
        for form, stream, start in (("text", StringIO(), "2"), ("json", Terminal(), "{")):
            parent: dict[str, Any] = {"fileLogObserverFactory": None, "logFormat": form}
            log_for_command(parent, "info")
            Logger(observer=parent["fileLogObserverFactory"](stream)).info("hello")
            self.assertTrue(stream.getvalue().startswith(start))

    def test_neither(self) -> None:
        """
        Without either command there is nothing to do.
        """
        self.assertIs(log_for_command(None, "info"), None)
        self.assertIs(log_for_command({}, "info"), None)

    def test_secrets(self) -> None:
        """
        The settings' secrets are known to the log from its first line.
        """
        stream = StringIO()
        self.patch(sys, "stdout", stream)
        log = log_for_command({"nodaemon": True}, "info", ["correct horse"])
        Logger(observer=cast(ILogObserver, log)).info("the correct horse")
        self.assertNotIn("horse", stream.getvalue())


class OtherSystemsTests(LoggingTestCase):
    """
    Tests for what is not logged through L{twisted.logger}.
    """

    def setUp(self) -> None:
        """
        A log that hears what everybody says.
        """
        super().setUp()
        self.stream = StringIO()
        self.log = ApplicationLog(self.stream, "info")
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)

    def lines(self, source: str) -> list[dict[str, Any]]:
        """
        What one source logged.
        """
        found = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [line for line in found if line["logger"] == source]

    def test_standard_logging(self) -> None:
        """
        Records of the standard library arrive with level, source, message and traceback; braces mean nothing.
        """
        logger = logging.getLogger("some.library")
        logger.debug("too low")
        logger.info("lost %s of {them}", 3)
        logger.warning("careful")
        try:
            raise ValueError("because")
        except ValueError:
            logger.exception("broken")
        self.assertEqual(
            [(line["level"], line["message"]) for line in self.lines("some.library")],
            [("info", "lost 3 of {them}"), ("warn", "careful"), ("error", "broken")],
        )
        self.assertIn("ValueError: because", self.lines("some.library")[-1]["traceback"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_unusual_levels(self) -> None:
        """
        A level between two is the lower one, anything below all is debug.
        """
        self.log.set_level("debug")
        logger = logging.getLogger("some.library")
        logger.setLevel(1)
        for level in (5, 15, 25, 35, 99):
            logger.log(level, "hello")
        levels = [line["level"] for line in self.lines("some.library")]
        self.assertEqual(levels, ["debug", "debug", "info", "warn", "critical"])

    def test_bridged_once(self) -> None:
        """
        However often the bridge is built there is one.
        """
        bridge_standard_logging("info")
        bridge_standard_logging("debug")
        bridges = [each for each in logging.getLogger().handlers if isinstance(each, StandardLoggingBridge)]
        self.assertEqual(len(bridges), 1)

    def test_record_that_cannot_be_formatted(self) -> None:
        """
        A record whose arguments do not fit is reported as the standard library does, and raises nothing.
        """
        self.patch(sys, "stderr", StringIO())
        logging.getLogger("some.library").info("%d", "no number")
        self.assertIn("Logging error", sys.stderr.getvalue())

    def test_txaio(self) -> None:
        """
        Loggers of txaio follow the level and arrive here.
        """
        logger = txaio.make_logger()
        logger.debug("too low")
        logger.info("hello {name}", name="there")
        self.log.set_level("debug")
        logger.debug("low enough")
        found = [line["message"] for line in map(json.loads, self.stream.getvalue().splitlines())]
        self.assertEqual(found, ["hello there", "low enough"])
