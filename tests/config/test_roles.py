"""
Tests of L{siger.config.roles}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.reading import errors_of, loaded


class RolesTests(SynchronousTestCase):
    """
    Which roles there are.
    """

    def test_always(self) -> None:
        """
        There are users and admins, whatever is configured.
        """
        for text in ("", "roles: []", "roles: [user, user]", "service_defaults: {auth: user}"):
            self.assertEqual({"user", "admin"}, loaded(text).roles)

    def test_listed(self) -> None:
        """
        Those that are listed.
        """
        self.assertEqual({"user", "admin", "ops", "team:a.b_c-d"}, loaded("roles: [ops, 'team:a.b_c-d']").roles)

    def test_asked_for(self) -> None:
        """
        Those that something asks for.
        """
        settings = loaded(
            "roles: [e]\nservice_defaults: {auth: [a]}\nservices: {s: {auth: [b, c]}}\n"
            "routes: [{path: /, service: s, auth: [d, admin]}, {path: /x, service: s}]"
        )
        self.assertEqual({"user", "admin", *"abcde"}, settings.roles)

    def test_bad(self) -> None:
        """
        A role has a plain name, and is never called public.
        """
        message = "a role has 1 to 64 characters of a-z, 0-9 and _ . : -, got"
        for text, error in [
            ("Ops", f"{message} 'Ops'"),
            ("'a b'", f"{message} 'a b'"),
            ("'a,b'", f"{message} 'a,b'"),
            ("-a", f"{message} '-a'"),
            ("''", f"{message} ''"),
            ("public", "public is no role; for everyone, write auth: public"),
        ]:
            self.assertEqual([f"config.yaml:1: roles[0]: {error}"], errors_of(f"roles: [{text}]"))

    def test_auth(self) -> None:
        """
        Public, any user, or some roles, each once.
        """
        for text, expected in [
            ("public", "public"),
            ("user", "user"),
            ("[user]", ("user",)),
            ("[b, a, b]", ("b", "a")),
        ]:
            self.assertEqual(expected, loaded(f"service_defaults: {{auth: {text}}}").service_defaults.auth)

    def test_unknown(self) -> None:
        """
        A role that nothing asks for and nobody lists is not given to anyone.
        """
        seeds = "port: 127.0.0.1:1\nnats_address: embedded\nseed_users: [{username: bob, password: x, role: adnin}]"
        message = "there is no role 'adnin'; others than user and admin are named under roles; did you mean 'admin'?"
        self.assertEqual([f"config.yaml:3: seed_users[0].role: {message}"], errors_of(seeds))

    def test_unknown_on_top(self) -> None:
        """
        While something is wrong where roles are named, nobody is blamed for one.
        """
        seeds = "port: 127.0.0.1:1\nnats_address: embedded\nseed_users: [{username: bob, password: x, role: ops}]\n"
        for text in ("roles: 5", "roles: [A]", "services: 5", "service_defaults: {auth: x}", "routes: 5"):
            self.assertEqual(1, len(errors_of(seeds + text)), text)
