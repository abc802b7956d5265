"""
Tests of how a server is reached once.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import nats.errors
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.nats import NatsSettings
from siger.messaging.dialling import (
    DialError,
    RefusedError,
    address_of,
    connect_options,
    explain,
    loop_of,
    with_credentials_of,
)


class AddressTests(SynchronousTestCase):
    """
    What is read from URLs.
    """

    def test_address(self) -> None:
        """
        An address holds no credentials, whatever characters these have.
        """
        for url in ("nats://h:1", "h:1", "nats://u:p@h:1", "nats://token@h:1/", "tls://u:p@x/y://z@h:1", "u:p@h:1"):
            self.assertEqual(address_of(url), "h:1")
        self.assertEqual(address_of("nats://u:p@[::1]:4222"), "[::1]:4222")

    def test_cluster(self) -> None:
        """
        Another server of the cluster is asked in the same way and with the same credentials.
        """
        self.assertEqual(with_credentials_of("b:2", "tls://u:p@a:1"), "tls://u:p@b:2")
        self.assertEqual(with_credentials_of("[::1]:2", "nats://token@a:1"), "nats://token@[::1]:2")
        self.assertEqual(with_credentials_of("b:2", "a:1"), "nats://b:2")


class OptionsTests(SynchronousTestCase):
    """
    L{connect_options}.
    """

    def test_none(self) -> None:
        """
        Without credentials none are given, so that those of the URL count.
        """
        options = connect_options(NatsSettings(), "siger")
        self.assertEqual(options["name"], "siger")
        self.assertEqual({"user", "password", "token", "user_credentials"} & set(options), set())

    def test_each(self) -> None:
        """
        Each kind of credentials is given by its name.
        """
        options = connect_options(NatsSettings(user="u", password="p"), "siger")
        self.assertEqual((options["user"], options["password"]), ("u", "p"))
        self.assertEqual(connect_options(NatsSettings(token="t"), "siger")["token"], "t")
        self.assertEqual(connect_options(NatsSettings(credentials="/c"), "siger")["user_credentials"], "/c")


class ExplainTests(SynchronousTestCase):
    """
    L{explain}.
    """

    def explained(self, error: Exception) -> tuple[type[DialError], str]:
        """
        What comes of an error.
        """
        explained = explain(error)
        return type(explained), str(explained)

    def test_refused(self) -> None:
        """
        What a server says of credentials is a refusal.
        """
        for text in ("Authorization Violation", "User Authentication Expired", "Authentication Timeout"):
            self.assertEqual(self.explained(nats.errors.Error(f"nats: '{text}'")), (RefusedError, text))

    def test_unreachable(self) -> None:
        """
        Anything else is not, and says what happened.
        """
        self.assertEqual(self.explained(TimeoutError()), (DialError, "no answer in time"))
        self.assertEqual(self.explained(TimeoutError()), (DialError, "no answer in time"))
        self.assertEqual(self.explained(ConnectionError("refused")), (DialError, "refused"))
        self.assertEqual(self.explained(ConnectionResetError()), (DialError, "ConnectionResetError"))
        error = ImportError("No module named 'nkeys'", name="nkeys")
        self.assertEqual(self.explained(error), (DialError, "credentials files need the package nkeys"))

    def test_secrets(self) -> None:
        """
        The words of errors that could quote anything are not used.
        """
        self.assertEqual(self.explained(ValueError("bad seed SUAK...")), (DialError, "ValueError"))


class LoopTests(SynchronousTestCase):
    """
    L{loop_of}.
    """

    def test_loop(self) -> None:
        """
        The reactor of these tests has a loop; others say so.
        """
        self.assertIsInstance(loop_of(reactor), asyncio.AbstractEventLoop)
        with self.assertRaises(TypeError):
            loop_of(Clock())
        with self.assertRaises(TypeError):
            loop_of(SimpleNamespace(_asyncioEventloop=None))
