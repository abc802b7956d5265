"""
Tests of L{siger.messaging.embedded}.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from siger.messaging.directory import ServerDirectory
from siger.messaging.embedded import EmbeddedServer, EmbeddedServerError, client_url
from tests.messaging.process_reactor import ProcessReactor, RecordedProcess


class Longest(Random):
    """
    Never waits shorter than it may.
    """

    def uniform(self, a: float, b: float) -> float:
        """
        The longer end.
        """
        return max(a, b)


class Case(SynchronousTestCase):
    """
    Has a server whose processes a test plays.
    """

    def setUp(self) -> None:
        """
        A server, not started.
        """
        self.reactor = ProcessReactor()
        self.path = Path(self.mktemp()).absolute() / "nats"
        self.server = self.make_server()
        self.urls: list[str] = []
        self.server.on_url(self.urls.append)

    def make_server(self, program: str | None = None) -> EmbeddedServer:
        """
        A server over the directory of this test.
        """
        server = EmbeddedServer(self.reactor, self.path, program, random=Longest())
        self.addCleanup(self._end, server)
        return server

    def _end(self, server: EmbeddedServer) -> None:
        server.stop()
        for process in self.reactor.processes:
            if process.alive:
                process.ends(0)

    @property
    def process(self) -> RecordedProcess:
        """
        The latest run.
        """
        return self.reactor.processes[-1]

    def running(self, port: int = 4001) -> str:
        """
        Start the server, and have it listen.
        """
        started = self.server.start()
        self.process.listens(port)
        return self.successResultOf(started)

    def events(self) -> list[LogEvent]:
        """
        What is logged from now on.
        """
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        return events


class StartTests(Case):
    """
    How it comes up.
    """

    def test_accepts(self) -> None:
        """
        It has started when it says that it listens, and not before.
        """
        started = self.server.start()
        self.process.prints("[7] [INF] Starting JetStream\n")
        self.assertNoResult(started)
        self.assertEqual(self.server.describe(), "starting")
        self.process.listens(4001)
        url = self.successResultOf(started)
        self.assertEqual(self.server.describe(), "running")
        self.assertTrue(url.startswith("nats://siger:"))
        self.assertTrue(url.endswith("@127.0.0.1:4001"))
        self.assertEqual(self.server.url, url)

    def test_url(self) -> None:
        """
        The callbacks and the commands learn the URL.
        """
        url = self.running()
        self.assertEqual(self.urls, [url])
        self.assertEqual(client_url(self.path), url)

    def test_any_port(self) -> None:
        """
        The first time, the server chooses its port.
        """
        self.server.start().addErrback(lambda _: None)
        self.assertIn(":-1", (self.path / "server.conf").read_text())

    def test_failing_callback(self) -> None:
        """
        A callback that fails keeps nobody else from learning the URL.
        """
        later: list[str] = []
        self.server.on_url(lambda url: [][len(url)])
        self.server.on_url(later.append)
        url = self.running()
        self.assertEqual(later, [url])
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)

    def test_secrets_are_not_logged(self) -> None:
        """
        Neither the URL nor the password is in the log.
        """
        events = self.events()
        url = self.running()
        self.process.ends()
        password = url.split(":")[2].split("@")[0]
        self.assertTrue(events)
        self.assertNotIn(password, "".join(map(str, events)) + "".join(map(formatEvent, events)))

    def test_twice(self) -> None:
        """
        It is started once.
        """
        self.running()
        self.assertRaises(RuntimeError, self.server.start)

    def test_no_program(self) -> None:
        """
        Without the program it fails at once, and says what is missing.
        """
        server = self.make_server("/nonexistent/nats-server")
        error = self.failureResultOf(server.start(), EmbeddedServerError).value
        self.assertEqual(str(error), "no embedded nats-server: /nonexistent/nats-server is not a program")
        self.assertEqual(server.describe(), "stopped")

    def test_no_directory(self) -> None:
        """
        Where there can be no directory it fails at once, and says why.
        """
        self.path.parent.mkdir(parents=True)
        self.path.write_text("")
        error = self.failureResultOf(self.server.start(), EmbeddedServerError).value
        self.assertEqual(str(error), f"the embedded nats-server cannot keep its data in {self.path}: File exists")

    def test_no_lock(self) -> None:
        """
        Where there can be no lock it fails, and says why.
        """
        (self.path / "lock").mkdir(parents=True)
        error = self.failureResultOf(self.server.start(), EmbeddedServerError).value
        self.assertIn("Is a directory", str(error))
        self.assertEqual(self.server.describe(), "stopped")


class LockTests(Case):
    """
    What happens when the directory is in use.
    """

    def setUp(self) -> None:
        """
        Somebody else has the directory.
        """
        super().setUp()
        self.other = ServerDirectory(self.path)
        self.other.prepare()
        self.other.acquire()
        self.addCleanup(self.other.release)

    def test_predecessor(self) -> None:
        """
        A predecessor that is going is waited for.
        """
        self.server.start().addErrback(lambda _: None)
        self.reactor.advance(0.1)
        self.assertEqual((self.server.describe(), self.reactor.processes), ("locking", []))
        self.other.release()
        self.reactor.advance(0.1)
        self.assertEqual(self.server.describe(), "starting")

    def test_in_use(self) -> None:
        """
        One that stays is an error after five seconds, which names it; its data is not touched, and it can be tried
        again.
        """
        started = self.server.start()
        self.reactor.pump([0.1] * 50)
        self.assertNoResult(started)
        self.reactor.pump([0.1] * 2)
        error = self.failureResultOf(started, EmbeddedServerError).value
        self.assertIn(f"it is in use by {self.other.holder()}", str(error))
        self.assertEqual((self.reactor.processes, self.reactor.getDelayedCalls()), ([], []))
        self.other.release()
        self.assertTrue(self.running())

    def test_stop(self) -> None:
        """
        It can be stopped while it waits.
        """
        started = self.server.start()
        self.successResultOf(self.server.stop())
        self.failureResultOf(started, CancelledError)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class RestartTests(Case):
    """
    What happens when it dies.
    """

    def test_restarted(self) -> None:
        """
        It is started again after a moment, on the same port and with another password.
        """
        first = self.running(4001)
        self.process.ends(signal=9)
        self.assertEqual(self.server.describe(), "waiting")
        self.reactor.advance(0.2)
        self.assertEqual((len(self.reactor.processes), self.server.restarts), (2, 1))
        self.assertIn("127.0.0.1:4001", (self.path / "server.conf").read_text())
        self.process.listens(4001)
        self.assertEqual(self.server.describe(), "running")
        self.assertTrue(self.server.url.endswith(":4001"))
        self.assertNotEqual(self.server.url, first)

    def test_url_first(self) -> None:
        """
        The new password is told before the server listens, so that no client comes with the old one; and again when it
        does, so that none waits longer than it has to.
        """
        self.running(4001)
        self.process.ends()
        told: list[tuple[str, str]] = []
        self.server.on_url(lambda url: told.append((self.server.describe(), url)))
        self.reactor.advance(0.2)
        url = self.server.url
        self.assertEqual(told, [("starting", url)])
        self.assertEqual(client_url(self.path), url)
        self.process.listens(4001)
        self.assertEqual(told, [("starting", url), ("running", url)])

    def test_port_taken(self) -> None:
        """
        When somebody took the port in the meantime, another one is chosen, and told.
        """
        self.running(4001)
        self.process.ends()
        self.reactor.advance(0.2)
        self.process.prints("[8] [FTL] Error listening on port: x, bind: address already in use\n")
        self.process.ends()
        self.reactor.advance(0.4)
        self.assertIn(":-1", (self.path / "server.conf").read_text())
        self.process.listens(4002)
        self.assertTrue(self.urls[-1].endswith(":4002"))
        self.assertEqual(client_url(self.path), self.urls[-1])

    def test_orderly_end(self) -> None:
        """
        It is started again also when it ended by itself in good order.
        """
        self.running()
        self.process.ends(0)
        self.reactor.advance(0.2)
        self.assertEqual(len(self.reactor.processes), 2)

    def test_crash_loop(self) -> None:
        """
        Each time that it does not last, the wait doubles, up to half a minute; it is never given up.
        """
        self.server.start().addErrback(lambda _: None)
        waits = []
        for _ in range(10):
            self.process.ends()
            (call,) = self.reactor.getDelayedCalls()
            waits.append(round(call.getTime() - self.reactor.seconds(), 3))
            self.reactor.advance(waits[-1])
        self.assertEqual(waits, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0])
        self.assertEqual(self.server.restarts, 10)

    def test_jitter(self) -> None:
        """
        The waits are never quite the same.
        """
        server = EmbeddedServer(self.reactor, self.path, random=Random(5))
        self.addCleanup(self._end, server)
        server.start().addErrback(lambda _: None)
        self.process.ends()
        (call,) = self.reactor.getDelayedCalls()
        self.assertTrue(0.1 <= call.getTime() < 0.2)

    def test_lasting(self) -> None:
        """
        After half a minute of running, the next wait is short again.
        """
        self.server.start().addErrback(lambda _: None)
        for _ in range(5):
            self.process.ends()
            self.reactor.advance(30)
        self.process.listens(4001)
        self.reactor.advance(30)
        self.process.ends()
        (call,) = self.reactor.getDelayedCalls()
        self.assertAlmostEqual(call.getTime() - self.reactor.seconds(), 0.2)

    def test_started_late(self) -> None:
        """
        A start that works only the third time is a start.
        """
        started = self.server.start()
        for wait in (0.2, 0.4):
            self.process.ends()
            self.reactor.advance(wait)
        self.assertNoResult(started)
        self.process.listens(4001)
        self.assertEqual(self.successResultOf(started), self.server.url)

    def test_no_more_processes(self) -> None:
        """
        When the system can start no process, it is tried again.
        """
        events = self.events()
        self.reactor.refuses = BlockingIOError(11, "Resource temporarily unavailable")
        started = self.server.start()
        self.assertEqual(self.server.describe(), "waiting")
        self.assertIn("Resource temporarily unavailable", formatEvent(events[-1]))
        self.reactor.refuses = None
        self.reactor.advance(0.2)
        self.process.listens(4001)
        self.successResultOf(started)

    def test_logged(self) -> None:
        """
        Its death is an error in the log.
        """
        self.running()
        for end, how in [({"status": 3}, "ended with status 3"), ({"signal": 9}, "was killed by signal 9")]:
            events = self.events()
            self.process.ends(**end)
            (event,) = [event for event in events if event["log_level"].name == "error"]
            self.assertEqual(formatEvent(event), f"the embedded nats-server {how}")
            self.assertEqual(event["log_namespace"], "siger.messaging")
            self.reactor.advance(0.4)


class StopTests(Case):
    """
    How it goes.
    """

    def test_stop(self) -> None:
        """
        It has stopped when the process has gone; then the directory is free, and no password is left in it.
        """
        self.running()
        stopped = self.server.stop()
        self.assertEqual((self.server.describe(), self.process.signals), ("stopping", ["TERM"]))
        self.assertNoResult(stopped)
        self.process.ends(0)
        self.successResultOf(stopped)
        self.assertEqual((self.server.describe(), self.server.url), ("stopped", ""))
        self.assertEqual([path.name for path in self.path.iterdir()], ["lock"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_not_restarted(self) -> None:
        """
        However it ends then, it is not started again, and nobody is alarmed.
        """
        self.running()
        events = self.events()
        stopped = self.server.stop()
        self.process.ends(1)
        self.reactor.advance(60)
        self.successResultOf(stopped)
        self.assertEqual(len(self.reactor.processes), 1)
        self.assertEqual([event for event in events if event["log_level"].name != "debug"], [])

    def test_while_waiting(self) -> None:
        """
        A restart that is due is forgotten.
        """
        self.running()
        self.process.ends()
        self.successResultOf(self.server.stop())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_while_starting(self) -> None:
        """
        A start that is not finished is cancelled.
        """
        started = self.server.start()
        stopped = self.server.stop()
        self.failureResultOf(started, CancelledError)
        self.process.ends(0)
        self.successResultOf(stopped)

    def test_twice(self) -> None:
        """
        Whoever stops it again waits for the same end.
        """
        self.running()
        both: list[Deferred[None]] = [self.server.stop(), self.server.stop()]
        self.assertEqual(self.process.signals, ["TERM"])
        self.process.ends(0)
        for stopped in both:
            self.successResultOf(stopped)

    def test_never_started(self) -> None:
        """
        What does not run has stopped.
        """
        self.successResultOf(self.server.stop())

    def test_by_callback(self) -> None:
        """
        Who learns of the URL may stop it, and no process is left.
        """
        self.running()
        self.process.ends()
        self.server.on_url(lambda _: self.server.stop())
        self.reactor.advance(0.2)
        self.assertEqual((self.server.describe(), len(self.reactor.processes)), ("stopped", 1))

    def test_again(self) -> None:
        """
        After that it can be started again.
        """
        self.running()
        self.server.stop()
        self.process.ends(0)
        self.assertTrue(self.running(4005).endswith(":4005"))
