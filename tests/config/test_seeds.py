"""
Tests of L{siger.config.seeds}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.accounts import SeedUser
from tests.config.reading import errors_of, loaded

HEAD = "port: '127.0.0.1:8080'\nnats_address: embedded\n"
BOB = "{username: bob, password: x}"


class SeedUsersTests(SynchronousTestCase):
    """
    C{seed_users}.
    """

    def test_users(self) -> None:
        """
        Each has a name and a password, which may be short; a role and an id, if they are given.
        """
        settings = loaded(
            f"{HEAD}roles: [ops]\nseed_users:\n"
            "  - {username: admin, password: admin123, role: admin, id: '1'}\n"
            "  - {username: user, password: user123, id: 2}\n"
            "  - {username: a.b-c_d, password: x, role: ops}\n"
        )
        expected = (
            SeedUser("admin", "admin123", "admin", "1"),
            SeedUser("user", "user123", "user", "2"),
            SeedUser("a.b-c_d", "x", "ops", ""),
        )
        self.assertEqual(expected, settings.seed_users)
        self.assertNotIn("admin123", repr(settings))

    def test_this_machine_only(self) -> None:
        """
        Row H15: a gateway that others can reach has none, wherever its address comes from.
        """
        message = "accounts with known passwords need a gateway that only this machine reaches, as 127.0.0.1:8080"
        seeds = f"nats_address: embedded\nseed_users: [{BOB}]"
        for port in ("127.0.0.1:80", "127.9.9.9:80", "'[::1]:80'", "localhost:80"):
            self.assertEqual([], errors_of(f"{seeds}\nport: {port}"), port)
        for port in (
            ":8080",
            "8080",
            "0.0.0.0:80",
            "'[::]:80'",
            "10.0.0.1:80",
            "localhost.example.com:80",
            "128.0.0.1:1",
        ):
            self.assertEqual([f"config.yaml:2: seed_users: {message}"], errors_of(f"{seeds}\nport: {port}"), port)
        self.assertEqual([f"config.yaml:2: seed_users: {message}"], errors_of(seeds))
        self.assertEqual(1, len(errors_of(f"{HEAD}seed_users: [{BOB}]", {"SIGER_PORT": ":8080"})))

    def test_store(self) -> None:
        """
        They need a place to be kept in.
        """
        message = "accounts are kept in NATS, so they need a nats_address, or embedded"
        text = f"port: 127.0.0.1:1\nseed_users: [{BOB}]"
        self.assertEqual([f"config.yaml:2: seed_users: {message}"], errors_of(text))
        self.assertEqual([], errors_of(f"{text}\nnats_address: 127.0.0.1:4222"))

    def test_none(self) -> None:
        """
        No accounts need nothing.
        """
        for text in ("seed_users: []", "seed_users: ", ""):
            self.assertEqual((), loaded(text).seed_users)

    def test_no_errors_on_top(self) -> None:
        """
        A wrong port or address of NATS is one error.
        """
        for text in ("port: x\nnats_address: embedded\n", "port: 127.0.0.1:1\nnats_address: 'a b'\n"):
            self.assertEqual(1, len(errors_of(f"{text}seed_users: [{BOB}]")), text)

    def test_twice(self) -> None:
        """
        Names and ids are those of one account.
        """
        for first, second, message in [
            (BOB, BOB, "two of them have the username 'bob'"),
            (
                "{username: bob, password: x, id: 1}",
                "{username: eve, password: x, id: '1'}",
                "two of them have the id '1'",
            ),
        ]:
            errors = errors_of(f"{HEAD}seed_users: [{first}, {second}]")
            self.assertEqual([f"config.yaml:3: seed_users: {message}"], errors)

    def test_bad_values(self) -> None:
        """
        Row H14: each key refuses what it cannot be, a name any spelling but its canonical one.
        """
        name = "a name has 3 to 64 characters of a-z, 0-9 and . _ -, no dot at either end and no two in a row, got"
        for text, message in [
            ("username: Bob, password: x", f".username: {name} 'Bob'"),
            ("username: bo, password: x", f".username: {name} 'bo'"),
            ("username: .bob, password: x", f".username: {name} '.bob'"),
            ("username: bob., password: x", f".username: {name} 'bob.'"),
            ("username: b..b, password: x", f".username: {name} 'b..b'"),
            ('username: "bob\\u200b", password: x', f".username: {name} 'bob"),
            ("username: \uff42ob, password: x", f".username: {name} '\uff42ob'"),
            ("username: bob, password: ''", ".password: a password has 1 to 128 characters"),
            (f"username: bob, password: {'x' * 129}", ".password: a password has 1 to 128 characters"),
            ("username: bob, password: 4711", ".password: expected a text, got a number; put it in quotes"),
            ("username: bob", ": needs the key 'password'"),
            ("password: hushhush", ": needs the key 'username'"),
            ("username: bob, password: x, role: root", ".role: there is no role 'root'; others than user and admin"),
            ("username: bob, password: x, id: a b", ".id: an id has 1 to 64 characters of A-Z, a-z, 0-9, _ and -, got"),
            ("username: bob, password: x, is_admin: true", ".is_admin: unknown key"),
        ]:
            errors = errors_of(f"{HEAD}seed_users: [{{{text}}}]")
            self.assertEqual(1, len(errors), (text, errors))
            self.assertTrue(errors[0].startswith(f"config.yaml:3: seed_users[0]{message}"), (text, errors))
            self.assertNotRegex(errors[0], "hushhush|4711")
