"""
Tests of L{siger.config.default}.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from siger.config.default import default_text, write_default
from siger.config.load import ConfigErrors, load
from siger.config.settings import Address, ConsulSettings, Limits, ServiceSettings, Settings


class DefaultTextTests(SynchronousTestCase):
    """
    The default file is a good one.
    """

    def load(self, text: str) -> Settings:
        """
        What a text comes to.
        """
        path = Path(self.mktemp())
        path.write_text(text)
        return load(path, {})

    def test_settings(self) -> None:
        """
        It has the defaults, with Consul and NATS on this machine and a secret of its own.
        """
        found = self.load(default_text())
        self.assertRegex(found.jwt_secret, r"\A[0-9a-f]{64}\Z")
        expected = Settings(
            consul_address=Address("localhost", 8500),
            nats_address="localhost:4222",
            jwt_secret=found.jwt_secret,
            access_log="./data/access.log",
            warnings=found.warnings,
        )
        self.assertEqual(expected, found)

    def test_secrets(self) -> None:
        """
        No two of them have the same secret.
        """
        self.assertNotEqual(default_text(), default_text())

    def test_every_key(self) -> None:
        """
        It has every key, or has it commented out.
        """
        keys = set(re.findall(r"^(?:# ?)?(?: {2}|# {2})?([a-z_]+):(?: |$)", default_text(), re.MULTILINE))
        fields = {
            field for of in (Settings, ConsulSettings, ServiceSettings, Limits) for field in attrs.fields_dict(of)
        }
        self.assertEqual(set(), fields - keys - {"listen", "warnings", "name", "instances"})
        self.assertIn("port", keys)

    def test_comments(self) -> None:
        """
        What is commented out can be used as it is.
        """
        text = re.sub(
            r"^# ?((rate_limit|cors|registration|  (origins|methods|headers|credentials)):)",
            r"\1",
            default_text(),
            flags=re.MULTILINE,
        )
        text = re.sub(r"^(services|routes): ..$", r"\1:", text, flags=re.MULTILINE)
        text = re.sub(r"^#(  )", r"\1", text, flags=re.MULTILINE)
        found = self.load(text)
        self.assertEqual((2, 1), (len(found.services["echo"].instances), len(found.routes)))
        assert found.rate_limit is not None
        assert found.cors is not None
        self.assertEqual(("client_ip", True), (found.rate_limit.key, found.cors.credentials))


class WriteDefaultTests(SynchronousTestCase):
    """
    It is written where there is none.
    """

    def test_written(self) -> None:
        """
        With its directory, for its owner alone.
        """
        path = Path(self.mktemp()) / "configs" / "config.yaml"
        self.assertTrue(write_default(path))
        self.assertEqual(0o600, stat.S_IMODE(path.stat().st_mode))
        self.assertEqual(8080, load(path, {}).listen.port)

    def test_present(self) -> None:
        """
        A file that is there is left alone, even an empty one.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"")
        self.assertFalse(write_default(path))
        self.assertEqual(b"", path.read_bytes())

    def test_impossible(self) -> None:
        """
        Where it cannot be written, the error names the file.
        """
        blocked = Path(self.mktemp())
        blocked.write_bytes(b"")
        for path in (blocked / "config.yaml", blocked.with_name("x" * 300)):
            with self.assertRaises(ConfigErrors) as raised:
                write_default(path)
            self.assertTrue(str(raised.exception).startswith(f"{path}: cannot be written: "))
