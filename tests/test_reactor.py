"""
Tests for L{siger.reactor}.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from twisted.application.reactors import IReactorInstaller, getReactorTypes
from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.plugins import __path__ as plugin_path
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

import siger
from siger.reactor import UvloopReactor, install
from tests.reactor_suites.suites import build_reactor
from tests.transports.peers import DialingFactory, ServingFactory, deaf_listener, global_reactor

ROOT = Path(siger.__file__).parents[1]

REPORT = "from twisted.internet import reactor; print(type(reactor).__module__, type(reactor).__name__)"


def run_python(script: str) -> str:
    """
    Run a script in a process of its own, where no reactor is installed yet.

    @return: what it printed, or the last line of its complaint.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=30)
    return (ran.stdout or ran.stderr.strip().splitlines()[-1]).strip()


class InstallTests(SynchronousTestCase):
    """
    Tests for L{install}.
    """

    def test_first(self) -> None:
        """
        It installs our reactor over a uvloop loop that is the current one; again it does nothing.
        """
        script = """
import asyncio
from siger.reactor import install
install()
install()
from twisted.internet import reactor
print(type(reactor).__name__, type(reactor.loop).__module__, asyncio.get_event_loop() is reactor.loop)
"""
        self.assertEqual(run_python(script), "UvloopReactor uvloop True")

    def test_without_uvloop(self) -> None:
        """
        Where uvloop cannot be imported Twisted's own asyncio reactor serves, over the standard loop.
        """
        script = f"""
import sys
sys.modules["uvloop"] = None
import asyncio
from siger.reactor import install
install()
{REPORT}
assert asyncio.get_event_loop() is reactor._asyncioEventloop
"""
        self.assertEqual(run_python(script), "twisted.internet.asyncioreactor AsyncioSelectorReactor")

    def test_asyncio_is_there(self) -> None:
        """
        An asyncio reactor that somebody installed is left alone.
        """
        script = f"""
from twisted.internet import asyncioreactor
asyncioreactor.install()
from siger.reactor import install
install()
{REPORT}
"""
        self.assertEqual(run_python(script), "twisted.internet.asyncioreactor AsyncioSelectorReactor")

    def test_another_is_there(self) -> None:
        """
        Any other reactor is refused, by name.
        """
        script = """
from twisted.internet import epollreactor
epollreactor.install()
from siger.reactor import install
install()
"""
        complaint = run_python(script)
        self.assertIn("WrongReactor", complaint)
        self.assertIn("EPollReactor", complaint)

    def test_importing_installs_nothing(self) -> None:
        """
        To import the module, or the plugin, installs nothing and imports no transports of uvloop's.
        """
        script = f"""
import sys
sys.path.append({str(ROOT / "twisted_plugins")!r})
import siger_reactor
assert "siger.reactor" not in sys.modules
import siger.reactor
assert "twisted.internet.reactor" not in sys.modules
assert "uvloop" not in sys.modules
print("nothing")
"""
        self.assertEqual(run_python(script), "nothing")

    def test_here(self) -> None:
        """
        The tests run on our reactor.
        """
        self.assertIsInstance(global_reactor(), UvloopReactor)
        install()


class PluginTests(SynchronousTestCase):
    """
    The reactor has a name for C{--reactor}.
    """

    def setUp(self) -> None:
        """
        Let Twisted find the plugins of this checkout.
        """
        directory = str(ROOT / "twisted_plugins")
        if directory not in plugin_path:
            plugin_path.append(directory)
            self.addCleanup(plugin_path.remove, directory)

    def test_found(self) -> None:
        """
        Twisted lists it.
        """
        [found] = [kind for kind in getReactorTypes() if kind.shortName == "siger"]
        verifyObject(IReactorInstaller, found)
        self.assertEqual(found.moduleName, "siger.reactor")

    def test_commands(self) -> None:
        """
        The C{--reactor} option of C{trial}, C{twistd} and C{twist} takes its name.
        """
        for options in (
            "twisted.scripts.trial.Options",
            "twisted.scripts.twistd.ServerOptions",
            "twisted.application.twist._options.TwistOptions",
        ):
            script = f"""
import twisted.plugins
twisted.plugins.__path__.append({str(ROOT / "twisted_plugins")!r})
from twisted.python.reflect import namedAny
namedAny({options!r})().opt_reactor("siger")
{REPORT}
"""
            self.assertEqual(run_python(script), "siger.reactor UvloopReactor")


class InterfaceTests(SynchronousTestCase):
    """
    What the reactor offers.
    """

    def test_provides(self) -> None:
        """
        It provides what other reactors provide.
        """
        reactor = global_reactor()
        for interface in (
            IReactorCore,
            IReactorFDSet,
            IReactorSocket,
            IReactorSSL,
            IReactorTCP,
            IReactorThreads,
            IReactorTime,
            IReactorUNIX,
        ):
            verifyObject(interface, reactor)


class Told(Protocol):
    """
    Keeps why it lost its connection.
    """

    reason: Failure | None = None
    paused = False

    def connectionMade(self) -> None:
        """
        Pause, perhaps.
        """
        if self.paused:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        """
        Keep the reason.
        """
        self.reason = reason


class PausedTold(Told):
    """
    One that pauses its connection.
    """

    paused = True


class OpenThingsTests(SynchronousTestCase):
    """
    What is open is known to the reactor.
    """

    def test_disconnected_at_the_end(self) -> None:
        """
        When the reactor stops every connection is lost and every port closed.
        """
        self._check_end(Told)

    def test_paused_at_the_end(self) -> None:
        """
        Connections that are paused are lost then as well.
        """
        self._check_end(PausedTold)

    def _check_end(self, protocol: type[Told]) -> None:
        """
        Run a reactor with one connection.
        """
        reactor: Any = build_reactor(self)
        serving = ServingFactory(protocol)
        port = reactor.listenTCP(0, serving, interface="127.0.0.1")
        reactor.callWhenRunning(reactor.connectTCP, "127.0.0.1", port.getHost().port, DialingFactory(Told))

        def stop_when_connected() -> None:
            connected = serving.built and serving.built[0].transport
            reactor.callLater(0.01, reactor.stop if connected else stop_when_connected)

        reactor.callWhenRunning(stop_when_connected)
        reactor.run(installSignalHandlers=False)
        serving.built[0].reason.trap(ConnectionLost)
        self.assertFalse(port.connected)
        self.assertEqual(reactor.transports, set())

    def test_attempt_at_the_end(self) -> None:
        """
        A connection that is being attempted fails then.
        """
        reactor: Any = build_reactor(self)
        dialing = DialingFactory(Told)
        with deaf_listener() as number:
            reactor.callWhenRunning(reactor.connectTCP, "127.0.0.1", number, dialing)
            reactor.callLater(0.02, reactor.stop)
            under_way: list[bool] = []
            reactor.callLater(0.01, lambda: under_way.extend(attempt.writing for attempt in reactor.transports))
            reactor.run(installSignalHandlers=False)
        dialing.failures[0].trap(ConnectError)
        self.assertEqual((under_way, reactor.transports), ([True], set()))

    def test_interrupted(self) -> None:
        """
        C{KeyboardInterrupt} in a protocol ends the loop, as it does on other reactors.
        """

        class Interrupting(Told):
            reads_directly = True

            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"x")

            def dataReceived(self, data: bytes) -> None:
                raise KeyboardInterrupt

        reactor: Any = build_reactor(self)
        port = reactor.listenTCP(0, ServingFactory(Interrupting), interface="127.0.0.1")
        reactor.callWhenRunning(reactor.connectTCP, "127.0.0.1", port.getHost().port, DialingFactory(Interrupting))
        self.assertRaises(KeyboardInterrupt, reactor.run, installSignalHandlers=False)
        self.assertGreater(len(self.flushLoggedErrors(KeyboardInterrupt)), 0)
        reactor.disconnectAll()

    def test_remove_all(self) -> None:
        """
        C{removeAll} lists the ports that accept and stops them, as it does with readers.
        """
        reactor: Any = build_reactor(self)
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.assertIn(port, reactor.getReaders())
        self.assertIn(port, reactor.removeAll())
        self.assertFalse(port.reading)
        self.assertNotIn(port, reactor.removeAll())
        reactor.addReader(port)
        port.stopReading()
        port.connectionLost(Failure(ConnectionLost()))


class TimeTests(TestCase):
    """
    Delayed calls.
    """

    timeout = 10

    async def test_never_early(self) -> None:
        """
        uvloop is asked to wake up no earlier than the next call is due, so that it does not turn idly until then.
        """
        reactor = global_reactor()
        await deferLater(reactor, 0)  # what is overdue from before is past then
        for delay in (0.0101, 0.0104, 0.0199):
            before = reactor.loop.time()
            call = reactor.callLater(delay, lambda: None)
            self.assertGreaterEqual(reactor._timerHandle.when() - before, delay)
            await deferLater(reactor, delay)
            self.assertFalse(call.active())

    async def test_at_once(self) -> None:
        """
        Calls without delay happen in the next turn, in their order, though another timer is about to expire.
        """
        reactor = global_reactor()
        order: list[int] = []
        reactor.callLater(0.0005, lambda: None)
        for number in range(3):
            reactor.callLater(0, order.append, number)
        await deferLater(reactor, 0)
        self.assertEqual(order, [0, 1, 2])

    async def test_sooner(self) -> None:
        """
        A call that is moved forward happens in time.
        """
        reactor = global_reactor()
        call = reactor.callLater(60, lambda: None)
        call.reset(0.001)
        await deferLater(reactor, 0.01)
        self.assertFalse(call.active())

    async def test_from_threads(self) -> None:
        """
        A call from another thread wakes the loop.
        """
        reactor = global_reactor()
        called: list[int] = []
        thread = threading.Thread(target=reactor.callFromThread, args=(called.append, 1))
        thread.start()
        while not called:
            await deferLater(reactor, 0.001)
        thread.join()


class IterateTests(SynchronousTestCase):
    """
    Running for a short while, as trial does after each test.
    """

    def test_due_in_the_last_turn(self) -> None:
        """
        What becomes due in the turn in which it stops is done too, though a busy machine made that turn a long one.
        """
        reactor: Any = build_reactor(self)
        called: list[int] = []
        reactor.loop.call_later(0.001, lambda: reactor.callLater(0, called.append, 1))
        reactor.iterate(0)
        self.assertEqual((called, reactor.getDelayedCalls()), ([1], []))

    def test_later(self) -> None:
        """
        What is due later waits, and one that calls itself again and again does not make it run for ever.
        """
        reactor: Any = build_reactor(self)
        called: list[int] = []

        def again() -> None:
            called.append(1)
            reactor.callLater(0, again)

        later = reactor.callLater(60, called.append, 2)
        reactor.callLater(0, again)
        reactor.iterate(0)
        self.assertNotIn(2, called)
        self.assertIn(1, called)
        later.cancel()


class LoopErrorTests(TestCase):
    """
    Errors that are no connection's.
    """

    async def test_left_to_asyncio(self) -> None:
        """
        They are left to asyncio, which logs them in its own way.
        """
        reactor = global_reactor()
        with self.assertLogs("asyncio", "ERROR") as logged:
            reactor.loop.call_exception_handler({"message": "an error of nobody's"})
        self.assertIn("an error of nobody's", logged.output[0])
