"""
Tests of L{siger.tap} and of the plugin that leads to it.
"""

from __future__ import annotations

import runpy
import stat
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.application.service import Application, IService, IServiceMaker
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import siger
import siger.reactor
from siger.tap import Options, makeService

PLUGIN = Path(__file__).resolve().parent.parent / "twisted_plugins" / "siger_plugin.py"


class OptionsTests(SynchronousTestCase):
    """
    Tests of the command line.
    """

    def setUp(self) -> None:
        """
        Have a directory of its own.
        """
        self.room = Path(self.mktemp())
        self.room.mkdir()

    def parse(self, text: str, *arguments: str, **environ: str) -> Options:
        """
        Parse a command line with a configuration file of this text.
        """
        path = self.room / "siger.yaml"
        path.write_text(text)
        options = Options(environ)
        options.parseOptions(["--config", str(path), *arguments])
        return options

    def test_file(self) -> None:
        """
        The settings are those of the file, also as C{-c}.
        """
        self.assertEqual(self.parse("port: 9090").settings.listen.port, 9090)
        options = Options({})
        options.parseOptions(["-c", str(self.room / "siger.yaml")])
        self.assertEqual(options.settings.listen.port, 9090)

    def test_overrides(self) -> None:
        """
        The command line wins over the environment, and that over the file.
        """
        text = "port: 1111\nlog_level: error\ndata_dir: /one"
        given = ["--port", "127.0.0.1:2222", "--log-level", "debug", "--data-dir", "/two"]
        settings = self.parse(text, *given, SIGER_PORT="3333", SIGER_DRAIN_TIMEOUT="7").settings
        self.assertEqual(str(settings.listen), "127.0.0.1:2222")
        self.assertEqual((settings.log_level, settings.data_dir, settings.drain_timeout), ("debug", Path("/two"), 7))
        self.assertEqual(self.parse(text, SIGER_PORT="3333").settings.listen.port, 3333)

    def test_everyFaultAtOnce(self) -> None:
        """
        A configuration with faults is a usage error that names each, with its file, line and key.
        """
        error = self.assertRaises(UsageError, self.parse, "port: 99999\nlog_level: loud\nprot: 1\n")
        for place in ("siger.yaml:1: port:", "siger.yaml:2: log_level:", "siger.yaml:3: prot:"):
            self.assertIn(place, str(error))

    def test_faultOnCommandLine(self) -> None:
        """
        So is an override with a fault.
        """
        self.assertIn("port", str(self.assertRaises(UsageError, self.parse, "", "--port", "http")))

    def test_defaultFile(self) -> None:
        """
        A file that does not exist is written first, for its owner's eyes only, and used.
        """
        path = self.room / "new" / "config.yaml"
        options = Options({})
        options.parseOptions(["--config", str(path)])
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual(options.settings.listen.port, 8080)

    def test_unwritable(self) -> None:
        """
        A default file that cannot be written is a usage error.
        """
        (self.room / "file").write_text("")
        options = Options({})
        error = self.assertRaises(UsageError, options.parseOptions, ["--config", str(self.room / "file" / "c.yaml")])
        self.assertIn("c.yaml", str(error))

    def test_noArguments(self) -> None:
        """
        A stray word is a usage error, not a file to read.
        """
        self.assertRaises(UsageError, self.parse, "", "siger.yaml")

    def test_version(self) -> None:
        """
        C{--version} prints Siger's version and not Twisted's.
        """
        with redirect_stdout(StringIO()) as printed:
            self.assertRaises(SystemExit, Options({}).parseOptions, ["--version"])
        self.assertEqual(printed.getvalue(), f"siger {siger.__version__}\n")


class MakeServiceTests(SynchronousTestCase):
    """
    Tests of L{makeService}.
    """

    def test_buildsOnly(self) -> None:
        """
        The service joins an application without listening, connecting or waiting for anything.
        """
        path = Path(self.mktemp())
        path.write_text("port: '127.0.0.1:0'\nconsul_address: localhost:8500\nnats_address: ''\n")
        options = Options({})
        options.parseOptions(["--config", str(path)])
        reactor = MemoryReactorClock()
        service = makeService(options, reactor)
        self.assertTrue(verifyObject(IService, service))
        service.setServiceParent(Application("siger"))
        self.assertEqual((reactor.tcpServers, reactor.tcpClients, reactor.getDelayedCalls()), ([], [], []))


class PluginTests(SynchronousTestCase):
    """
    Tests of the service maker.
    """

    def setUp(self) -> None:
        """
        Load the plugin's module.
        """
        self.maker: Any = runpy.run_path(str(PLUGIN))["service"]

    def test_interfaces(self) -> None:
        """
        It is a plugin that makes a service, called C{siger}.
        """
        self.assertTrue(verifyObject(IPlugin, self.maker))
        self.assertTrue(verifyObject(IServiceMaker, self.maker))
        self.assertEqual(self.maker.tapname, "siger")

    def test_options(self) -> None:
        """
        Its options are L{Options}, new ones each time.
        """
        first, second = self.maker.options(), self.maker.options()
        self.assertIsInstance(first, Options)
        self.assertNotIdentical(first, second)

    def test_wrongReactor(self) -> None:
        """
        Another reactor having been installed is a usage error that says which.
        """

        def refuse() -> None:
            raise siger.reactor.WrongReactor("EPollReactor is already installed")

        self.patch(siger.reactor, "install", refuse)
        error = self.assertRaises(UsageError, self.maker.options)
        self.assertEqual(str(error), "EPollReactor is already installed")

    def test_makeService(self) -> None:
        """
        It makes the service out of its options.
        """
        options = self.maker.options()
        path = Path(self.mktemp())
        path.write_text("consul_address: ''\nnats_address: ''\n")
        options.parseOptions(["--config", str(path)])
        self.assertTrue(verifyObject(IService, self.maker.makeService(options)))
