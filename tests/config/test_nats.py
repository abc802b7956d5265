"""
Tests of L{siger.config.nats}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.nats import NatsSettings
from tests.config.reading import errors_of, loaded


class NatsTests(SynchronousTestCase):
    """
    C{nats}.
    """

    def test_every_key(self) -> None:
        """
        Each key sets its field.
        """
        for text, expected in [
            ("", NatsSettings()),
            ("user: u, password: 'p w'", NatsSettings("u", "p w")),
            ("token: t", NatsSettings(token="t")),
            ("credentials: /etc/siger/nats.creds", NatsSettings(credentials="/etc/siger/nats.creds")),
            ("replicas: 3", NatsSettings(replicas=3)),
            ("user: '', password: '', token: '', credentials: ''", NatsSettings()),
        ]:
            settings = loaded(f"nats_address: n\njwt_secret: {'x' * 32}\nnats: {{{text}}}")
            self.assertEqual((expected, ()), (settings.nats, settings.warnings), text)

    def test_bad_values(self) -> None:
        """
        Each key refuses what it cannot be, and none is shown.
        """
        for text, message in [
            ("user: 5", ".user: expected a text, got a number; put it in quotes"),
            ("user: a b, password: x", ".user: holds a blank, or a character outside ASCII"),
            ("user: a", ": user and password go together"),
            ("password: hushhush", ": user and password go together"),
            ("token: hushhush é", ".token: holds a blank, or a character outside ASCII"),
            ("token: t, credentials: c", ": token and credentials are different ways to say who the gateway is;"),
            ("user: u, password: p, token: t", ": user and token are different ways to say who the gateway is;"),
            ("replicas: 0", ".replicas: expected a whole number from 1 to 5, got 0"),
            ("replicas: 6", ".replicas: expected a whole number from 1 to 5, got 6"),
            ("pasword: x", ".pasword: unknown key; did you mean 'password'?"),
        ]:
            errors = errors_of(f"nats: {{{text}}}")
            self.assertEqual(1, len(errors), errors)
            self.assertTrue(errors[0].startswith(f"config.yaml:1: nats{message}"), errors)
            self.assertNotIn("hushhush", errors[0])

    def test_embedded(self) -> None:
        """
        The embedded server knows the gateway by itself.
        """
        message = "user, token and credentials are for other servers than the embedded one, which knows the gateway"
        for text in ("user: u, password: p", "token: t", "credentials: c"):
            errors = errors_of(f"nats_address: embedded\nnats: {{{text}}}")
            self.assertEqual([f"config.yaml:2: nats: {message}"], errors)
        self.assertEqual([], errors_of("nats_address: embedded\nnats: {user: '', replicas: 1}"))

    def test_copies(self) -> None:
        """
        Nor can it keep more than one copy.
        """
        text = "nats_address: embedded\nnats: {replicas: 3}"
        self.assertEqual(
            ["config.yaml:2: nats: replicas: the embedded server is one, and keeps one copy"], errors_of(text)
        )

    def test_hidden(self) -> None:
        """
        Secrets are in no C{repr}.
        """
        text = repr([loaded("nats: {user: u, password: hush1}"), loaded("nats: {token: hush2}")])
        self.assertNotIn("hush", text)
