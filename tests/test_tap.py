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
from twisted.logger import ILogObserver
from twisted.plugin import IPlugin
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import siger
import siger.reactor
from siger.observe.redaction import REDACTED
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
        options = Options({"SIGER_DATA_DIR": str(self.room / "data"), **environ})
        options.parseOptions(["--config", str(path), *arguments])
        return options

    def test_file(self) -> None:
        """
        The settings are those of the file, also as C{-c}.
        """
        self.assertEqual(self.parse("port: 9090").settings.listen.port, 9090)
        options = Options({"SIGER_DATA_DIR": str(self.room / "data")})
        options.parseOptions(["-c", str(self.room / "siger.yaml")])
        self.assertEqual(options.settings.listen.port, 9090)

    def test_overrides(self) -> None:
        """
        The command line wins over the environment, and that over the file.
        """
        text = f"port: 1111\nlog_level: error\njwt_secret: {'x' * 32}\ndata_dir: /one"
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

    def test_secret(self) -> None:
        """
        Row H4: without a secret, or with a published one, tokens are signed with a random one that is kept.
        """
        first = self.parse("port: 1").settings
        self.assertRegex(first.jwt_secret, r"\A[0-9a-f]{64}\Z")
        self.assertEqual(first.warnings, ())
        sample = self.parse("jwt_secret: default-very-secure-key-change-me-in-production").settings
        self.assertEqual(sample.jwt_secret, first.jwt_secret)
        self.assertIn("this is a published sample; a random secret is used instead", sample.warnings[0])
        kept = self.room / "data" / "jwt_secret"
        self.assertEqual((stat.S_IMODE(kept.stat().st_mode), kept.read_text().strip()), (0o600, first.jwt_secret))

    def test_configuredSecret(self) -> None:
        """
        Where there is one, or keys, nothing is made.
        """
        secret = "0123456789abcdef-0123456789abcdef"
        self.assertEqual(self.parse(f"jwt_secret: {secret}").settings.jwt_secret, secret)
        self.assertEqual(self.parse(f"jwt_keys: [{{kid: a, secret: {secret}}}]").settings.jwt_secret, "")
        self.assertFalse((self.room / "data").exists())

    def test_shortSecret(self) -> None:
        """
        Row H4: a short one is a usage error, and nothing is made in its place.
        """
        error = self.assertRaises(UsageError, self.parse, "jwt_secret: short-secret")
        self.assertIn("siger.yaml:1: jwt_secret: has less than 32 bytes", str(error))
        self.assertNotIn("short-secret", str(error))
        self.assertFalse((self.room / "data").exists())

    def test_noPlaceForSecret(self) -> None:
        """
        A secret that cannot be kept is a usage error: there would be another after each start.
        """
        (self.room / "data").write_text("")
        self.assertIn("no secret can be kept here", str(self.assertRaises(UsageError, self.parse, "")))

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
        options = Options({"SIGER_DATA_DIR": self.mktemp()})
        options.parseOptions(["--config", str(path)])
        reactor = MemoryReactorClock()
        service = makeService(options, reactor)
        self.assertTrue(verifyObject(IService, service))
        service.setServiceParent(Application("siger"))
        self.assertEqual((reactor.tcpServers, reactor.tcpClients, reactor.getDelayedCalls()), ([], [], []))

    def test_secretsStayOutOfTheLog(self) -> None:
        """
        The log that the command begins with knows every secret of the configuration.
        """
        keys = ["0123456789abcdef-0123456789abcdef", "fedcba9876543210-fedcba9876543210"]
        secrets = [*keys, "nats-pass-phrase", "seeded-one", "word-of-consul"]
        path = Path(self.mktemp())
        path.write_text(
            f"port: '127.0.0.1:0'\nnats_address: n\njwt_keys: [{{kid: a, secret: {secrets[0]}}}]\n"
            f"jwt_secret: {secrets[1]}\nnats: {{user: u, password: {secrets[2]}}}\nconsul: {{token: {secrets[4]}}}\n"
            f"seed_users: [{{username: bob, password: {secrets[3]}}}]\ndata_dir: {self.mktemp()}\n"
        )
        options = Options({})
        options.parseOptions(["--config", str(path)])
        options.parent = {"nodaemon": True}
        application = Application("siger")
        makeService(options).setServiceParent(application)
        log = application.getComponent(ILogObserver)
        self.assertEqual(log.redactor.clean(" ".join(secrets)), " ".join([REDACTED] * 5))


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
        path.write_text(f"consul_address: ''\nnats_address: ''\ndata_dir: {self.mktemp()}\n")
        options.parseOptions(["--config", str(path)])
        self.assertTrue(verifyObject(IService, self.maker.makeService(options)))
