"""
Tests of L{siger.config.nodes}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.nodes import ConfigErrors, Origin, SettingError, join, shorten
from siger.errors import ConfigError


class SettingErrorTests(SynchronousTestCase):
    """
    An error says where it is.
    """

    def test_file(self) -> None:
        """
        In a file, that is its name, the line, and the key path.
        """
        error = SettingError("is wrong", "services.echo.port", Origin("c.yaml", 7))
        self.assertEqual("c.yaml:7: services.echo.port: is wrong", str(error))
        self.assertEqual(("is wrong", "services.echo.port", 7), (error.message, error.path, error.line))
        self.assertIsInstance(error, ConfigError)

    def test_variable(self) -> None:
        """
        In the environment, it is the variable's name and the key path.
        """
        self.assertEqual("SIGER_PORT: port: is wrong", str(SettingError("is wrong", "port", Origin("SIGER_PORT"))))

    def test_whole_file(self) -> None:
        """
        For the whole of a file, it is the name alone.
        """
        self.assertEqual("c.yaml: is wrong", str(SettingError("is wrong", "", Origin("c.yaml"))))


class ConfigErrorsTests(SynchronousTestCase):
    """
    All errors together.
    """

    def test_order(self) -> None:
        """
        They come in the order of lines, those without one first, and each one once.
        """
        errors = [SettingError("m", path, Origin("c", line)) for path, line in [("b", 9), ("a", 2), ("z", None)]]
        together = ConfigErrors([*errors, errors[1]])
        self.assertEqual(["z", "a", "b"], [error.path for error in together.errors])
        self.assertEqual("c: z: m\nc:2: a: m\nc:9: b: m", str(together))


class JoinTests(SynchronousTestCase):
    """
    Key paths are made of keys and places.
    """

    def test_path(self) -> None:
        """
        Keys are set off by dots, places in lists stand in brackets.
        """
        self.assertEqual("services.echo.instances[0]", join(join(join("services", "echo"), "instances"), 0))

    def test_odd_key(self) -> None:
        """
        A key of other characters is quoted and escaped, so that an error stays one printable line.
        """
        self.assertEqual(r'a."x.y\n\ud800"', join("a", "x.y\n\ud800"))
        self.assertEqual('""', join("", ""))

    def test_long_key(self) -> None:
        """
        A long key is cut.
        """
        self.assertEqual(62, len(join("", " " * 1000)))


class ShortenTests(SynchronousTestCase):
    """
    Messages show the beginnings of long texts.
    """

    def test_shorten(self) -> None:
        """
        What fits is left alone; of the rest the end is dropped.
        """
        self.assertEqual(("abcde", "ab..."), (shorten("abcde", 5), shorten("abcdef", 5)))
