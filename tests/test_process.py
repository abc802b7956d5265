"""
Tests of L{siger.process}.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from io import StringIO
from typing import Any

from twisted.application.service import Application, IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from siger.process import GatewayProcess, StartError


class RecordingGateway(Service):
    """
    A service that notes what is asked of it.
    """

    def __init__(self, refusal: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.drained: Deferred[None] = Deferred()
        self._refusal = refusal

    def privilegedStartService(self) -> None:
        """
        Note it.
        """
        self.calls.append("privileged")

    def startService(self) -> None:
        """
        Note it, or fail.
        """
        self.calls.append("start")
        if self._refusal is not None:
            raise self._refusal

    def stopService(self) -> Deferred[None]:
        """
        Note it.
        """
        self.calls.append("stop")
        return self.drained

    def reopen(self) -> None:
        """
        Note it.
        """
        self.calls.append("reopen")


class RecordingLog(list[str]):
    """
    A log that notes that it was reopened.
    """

    def reopen(self) -> None:
        """
        Note it.
        """
        self.append("reopen")


class Handlers(dict[int, Any]):
    """
    Signal handlers that are set here and nowhere else.
    """

    def handle(self, number: int, handler: Any) -> None:
        """
        Stand in for L{signal.signal}.
        """
        self[number] = handler


class RunningReactor(MemoryReactorClock):
    """
    A reactor that starts when told, and can be stopped once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0

    def start(self) -> None:
        """
        Call what waited for the start.
        """
        self.running = True
        for hook, arguments, keywords in self.whenRunningHooks:
            hook(*arguments, **keywords)

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        """
        Call at once.
        """
        call(*arguments)

    def stop(self) -> None:
        """
        Stop, or say that it was stopped before.
        """
        if not self.running:
            raise ReactorNotRunning
        self.running = False
        self.stops += 1


class GatewayProcessTests(SynchronousTestCase):
    """
    Tests of L{GatewayProcess}.
    """

    def setUp(self) -> None:
        """
        Wrap a gateway.
        """
        self.gateway = RecordingGateway()
        self.reactor = MemoryReactorClock()
        self.handlers = Handlers()
        self.process = GatewayProcess(self.gateway, self.reactor, handle=self.handlers.handle, terminal=False)

    def test_interface(self) -> None:
        """
        It is a service.
        """
        self.assertTrue(verifyObject(IService, self.process))

    def test_buildingStartsNothing(self) -> None:
        """
        Nothing is asked of the gateway, and no handler is set, until it is started.
        """
        self.assertEqual((self.gateway.calls, self.handlers), ([], {}))

    def test_startAndStop(self) -> None:
        """
        The gateway is started with and without privileges, and the end of its drain is the end of the service.
        """
        self.process.privilegedStartService()
        self.process.startService()
        stopped = self.process.stopService()
        self.assertEqual(self.gateway.calls, ["privileged", "start", "stop"])
        self.assertNoResult(stopped)
        self.gateway.drained.callback(None)
        self.successResultOf(stopped)

    def test_startWithoutPrivilegedStep(self) -> None:
        """
        A runner that knows no privileged step, such as C{twist}, has it done with the start.
        """
        self.process.startService()
        self.assertEqual(self.gateway.calls, ["privileged", "start"])

    def test_logObserver(self) -> None:
        """
        The application's log observer is the one that was given; without one, that stays with the command line.
        """
        observer = lambda event: None  # noqa: E731
        plain, ours = Application("siger"), Application("siger")
        self.process.setServiceParent(plain)
        GatewayProcess(RecordingGateway(), self.reactor, observer).setServiceParent(ours)
        self.assertIdentical(plain.getComponent(ILogObserver, None), None)
        self.assertIdentical(ours.getComponent(ILogObserver), observer)
        self.assertEqual(len(list(IService(ours))), 1)


class SignalTests(SynchronousTestCase):
    """
    Tests of how a running process answers signals.
    """

    def setUp(self) -> None:
        """
        Run one.
        """
        self.handlers = Handlers()
        self.reactor = RunningReactor()
        self.gateway = RecordingGateway()
        self.log = RecordingLog()
        self.process = GatewayProcess(self.gateway, self.reactor, self.log, self.handlers.handle, terminal=False)
        self.process.startService()
        self.assertEqual(self.handlers, {})
        self.reactor.start()

    def deliver(self, number: int) -> None:
        """
        Have a signal arrive.
        """
        self.handlers[number](number, None)

    def test_eitherStops(self) -> None:
        """
        SIGTERM and SIGINT stop the reactor, which ends the service in order and then exits 0.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            self.setUp()
            self.deliver(number)
            self.assertEqual(self.reactor.stops, 1)

    def test_again(self) -> None:
        """
        While the gateway drains another SIGTERM is ignored, and another SIGINT ends the process on the spot.
        """
        self.deliver(signal.SIGTERM)
        self.assertEqual(self.handlers[signal.SIGTERM], signal.SIG_IGN)
        self.assertEqual(self.handlers[signal.SIGINT], signal.SIG_DFL)

    def test_rotation(self) -> None:
        """
        SIGHUP and SIGUSR1 have the gateway and the log begin new files, and stop nothing.
        """
        for number in (signal.SIGHUP, signal.SIGUSR1):
            self.gateway.calls.clear()
            self.log.clear()
            self.deliver(number)
            self.assertEqual((self.gateway.calls, self.log, self.reactor.stops), (["reopen"], ["reopen"], 0))

    def test_hang_up(self) -> None:
        """
        From a terminal, SIGHUP says that it was closed, and stops the gateway.
        """
        self.process = GatewayProcess(self.gateway, self.reactor, self.log, self.handlers.handle, terminal=True)
        self.process.startService()
        self.deliver(signal.SIGHUP)
        self.assertEqual(self.reactor.stops, 1)

    def test_alreadyStopping(self) -> None:
        """
        A signal that finds the reactor stopped already is no error.
        """
        self.reactor.stop()
        self.deliver(signal.SIGTERM)
        self.assertEqual(self.reactor.stops, 1)


class RefusalTests(SynchronousTestCase):
    """
    Tests of a gateway that cannot start.
    """

    def refuse(self, refusal: Exception) -> str:
        """
        Start a gateway that refuses.

        @return: the message for the operator, which is logged as well.
        """
        self.patch(sys, "excepthook", sys.__excepthook__)
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        process = GatewayProcess(RecordingGateway(refusal), MemoryReactorClock())
        error = self.assertRaises(StartError, process.startService)
        self.assertEqual([event["problem"] for event in events if event["log_level"].name == "critical"], [str(error)])
        return str(error)

    def test_portInUse(self) -> None:
        """
        A port in use is named with its interface and what the system says.
        """
        busy = OSError(98, "Address already in use")
        said = [self.refuse(CannotListenError(host, 8080, busy)) for host in ("127.0.0.1", "::1", "")]
        wanted = [f"cannot listen on {where}:8080: Address already in use" for where in ("127.0.0.1", "[::1]", "*")]
        self.assertEqual(said, wanted)

    def test_otherReasons(self) -> None:
        """
        The system's words for a file, and the gateway's own for anything else, are kept.
        """
        missing = FileNotFoundError(2, "No such file or directory", "/data/access.log")
        self.assertEqual(self.refuse(missing), "/data/access.log: No such file or directory")
        self.assertEqual(self.refuse(StartError("no room in /data")), "no room in /data")

    def test_oneLineOnly(self) -> None:
        """
        The process ends with the message alone, and not with a traceback.
        """
        printed = StringIO()
        self.patch(sys, "__stderr__", printed)
        self.refuse(StartError("no room in /data"))
        sys.excepthook(StartError, StartError("no room in /data"), None)
        self.assertEqual(printed.getvalue(), "siger: no room in /data\n")

    def test_faultsKeepTheirTraceback(self) -> None:
        """
        What is no operator's mistake is raised as it is.
        """
        process = GatewayProcess(RecordingGateway(ZeroDivisionError()), MemoryReactorClock())
        self.assertRaises(ZeroDivisionError, process.startService)
