"""
Tests of L{siger.messaging.directory}.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.messaging.directory import ServerDirectory, client_url


def mode(path: Path) -> int:
    """
    Who may do what with a file.
    """
    return stat.S_IMODE(path.stat().st_mode)


class ServerDirectoryTests(SynchronousTestCase):
    """
    The directory of one server.
    """

    def setUp(self) -> None:
        """
        A directory in which nothing is yet.
        """
        self.path = Path(self.mktemp()).absolute() / "data" / "nats"
        self.directory = ServerDirectory(self.path)
        self.addCleanup(self.directory.release)

    def prepared(self) -> ServerDirectory:
        """
        Another one over the same path, ready for its lock.
        """
        another = ServerDirectory(self.path)
        another.prepare()
        self.addCleanup(another.release)
        return another

    def test_prepare(self) -> None:
        """
        The directory is made, with those above it, for its owner alone.
        """
        self.directory.prepare()
        self.assertEqual(mode(self.path), 0o700)

    def test_prepare_again(self) -> None:
        """
        One that others could read is closed to them.
        """
        self.path.mkdir(parents=True, mode=0o755)
        self.directory.prepare()
        self.assertEqual(mode(self.path), 0o700)

    def test_prepare_file(self) -> None:
        """
        A file in its place is an error.
        """
        self.path.parent.mkdir(parents=True)
        self.path.write_text("")
        self.assertRaises(OSError, self.directory.prepare)

    def test_prepare_odd_name(self) -> None:
        """
        A name that no configuration can hold is refused.
        """
        odd = ServerDirectory(self.path / "a\nb")
        self.assertRaises(ValueError, odd.prepare)
        self.assertFalse((self.path / "a\nb").exists())

    def test_relative(self) -> None:
        """
        A relative path is settled at once: a daemon changes its directory later.
        """
        self.assertEqual(ServerDirectory(Path("x")).path, Path.cwd() / "x")

    def test_lock(self) -> None:
        """
        Only one at a time has the directory, and its name is known.
        """
        self.directory.prepare()
        self.assertTrue(self.directory.acquire())
        another = self.prepared()
        self.assertFalse(another.acquire())
        self.assertEqual(another.holder(), f"process {os.getpid()}")

    def test_release(self) -> None:
        """
        Given up, it can be had again.
        """
        self.directory.prepare()
        self.directory.acquire()
        self.directory.release()
        self.assertTrue(self.prepared().acquire())

    def test_inherited_lock(self) -> None:
        """
        The lock is held for as long as anybody has its descriptor, such as a server whose gateway died.
        """
        self.directory.prepare()
        self.directory.acquire()
        inherited = os.dup(self.directory.lock)
        self.directory.release()
        another = self.prepared()
        self.assertFalse(another.acquire())
        os.close(inherited)
        self.assertTrue(another.acquire())

    def test_holder_unknown(self) -> None:
        """
        Where the lock has no number in it, its holder is just another process.
        """
        self.directory.prepare()
        self.assertEqual(self.directory.holder(), "another process")
        (self.path / "lock").write_text("x\x1b[2J")
        self.assertEqual(self.directory.holder(), "another process")

    def test_configuration(self) -> None:
        """
        Row K9: the configuration has every write flushed to disk before it is acknowledged. It listens on loopback
        only, and is for its owner alone.
        """
        self.directory.prepare()
        self.directory.configure(4321)
        text = self.directory.configuration.read_text()
        self.assertIn("sync_interval: always", text)
        self.assertIn('listen: "127.0.0.1:4321"', text)
        self.assertIn(f'store_dir: "{self.path}"', text)
        self.assertEqual(mode(self.directory.configuration), 0o600)

    def test_any_port(self) -> None:
        """
        Without a port, the server chooses one.
        """
        self.directory.prepare()
        self.directory.configure(0)
        self.assertIn('listen: "127.0.0.1:-1"', self.directory.configuration.read_text())

    def test_password(self) -> None:
        """
        Each configuration has a new password of 256 bits, which the URL has, too.
        """
        self.directory.prepare()
        urls = {self.directory.configure(0) for _ in range(3)}
        self.assertEqual(len(urls), 3)
        for url in urls:
            self.assertTrue(re.fullmatch(r"nats://siger:[A-Za-z0-9_-]{43}@127\.0\.0\.1", url))
        password = self.directory.configure(0).split(":")[2].split("@")[0]
        self.assertIn(f'password: "{password}"', self.directory.configuration.read_text())


class ClientUrlTests(SynchronousTestCase):
    """
    How commands reach the server.
    """

    def setUp(self) -> None:
        """
        A directory that is locked.
        """
        self.path = Path(self.mktemp()).absolute()
        self.directory = ServerDirectory(self.path)
        self.directory.prepare()
        self.directory.acquire()
        self.addCleanup(self.directory.release)

    def test_published(self) -> None:
        """
        The URL of a running server is in a file for its owner alone.
        """
        self.directory.publish("nats://siger:x@127.0.0.1:4")
        self.assertEqual(client_url(self.path), "nats://siger:x@127.0.0.1:4")
        self.assertEqual(mode(self.path / "url"), 0o600)

    def test_not_published(self) -> None:
        """
        A server that does not listen yet cannot be reached.
        """
        self.assertIs(client_url(self.path), None)

    def test_released(self) -> None:
        """
        After an orderly end there is neither a URL nor a password.
        """
        self.directory.configure(1)
        self.directory.publish("nats://siger:x@127.0.0.1:4")
        self.directory.release()
        self.assertIs(client_url(self.path), None)
        self.assertEqual([path.name for path in self.path.iterdir()], ["lock"])

    def test_left_behind(self) -> None:
        """
        The URL that a killed gateway left behind is not believed.
        """
        self.directory.release()
        (self.path / "url").write_text("nats://siger:x@127.0.0.1:4\n")
        self.assertIs(client_url(self.path), None)

    def test_no_directory(self) -> None:
        """
        Where no gateway ever ran, there is none.
        """
        self.assertIs(client_url(self.path / "none"), None)

    def test_looking_is_harmless(self) -> None:
        """
        Looking takes no lock away, and leaves none.
        """
        self.directory.publish("nats://x")
        client_url(self.path)
        self.directory.release()
        (self.path / "url").write_text("nats://x")
        client_url(self.path)
        self.assertTrue(self.directory.acquire())
