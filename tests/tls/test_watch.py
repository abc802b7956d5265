"""
Tests of L{siger.tls.watch}.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from siger.config.settings.tls import CertificateFiles
from siger.tls.store import Certificate
from siger.tls.watch import INTERVAL, Watch
from tests.tls.peers import AUTHORITY
from tests.tls.test_store import StoreCase


class WatchTests(StoreCase):
    """
    Files that change.
    """

    def watch(self, *files: CertificateFiles) -> None:
        """
        Watch the files of a store's certificates.
        """
        self.store = self.make(*files)
        self.clock = Clock()
        self.watcher = Watch(self.store, self.clock)
        self.watcher.start()
        self.addCleanup(self.watcher.stop)
        self.said: list[str] = []
        globalLogPublisher.addObserver(self.hear)
        self.addCleanup(globalLogPublisher.removeObserver, self.hear)

    def hear(self, event: dict[str, object]) -> None:
        """
        Keep errors.
        """
        if event.get("log_level") is LogLevel.error:
            self.said.append(f"{event['path']} {event['error']}")

    def look(self, times: int = 1) -> tuple[Certificate, ...]:
        """
        Let so many looks be taken.

        @return: what is in use then.
        """
        self.clock.pump([INTERVAL] * times)
        return self.store.certificates

    def test_renewed(self) -> None:
        """
        A new pair is used once it has stayed the same for two looks; the others stay as they are.
        """
        self.watch()
        before = self.store.certificates
        self.assertEqual(before, self.look(3))
        files = self.write("b.example", "b.example", "new.b.example")
        self.assertEqual(before, self.look())
        after = self.look()
        self.assertEqual((before[0], before[2]), (after[0], after[2]))
        self.assertEqual(("b.example", "new.b.example"), after[1].facts.names)
        self.assertIs(after[1], self.store.find(b"new.b.example"))
        self.assertEqual((files, []), (after[1].files, self.said))
        self.assertEqual(after, self.look(3))

    def test_default(self) -> None:
        """
        Handshakes begin with the new one when it is the first.
        """
        self.watch()
        before = self.store.context
        self.write("a.example", "a.example")
        (first, *_) = self.look(2)
        self.assertIsNot(before, self.store.context)
        self.assertIs(first.context, self.store.context)

    def test_links(self) -> None:
        """
        Directories are swapped behind a link, as Kubernetes does it.
        """
        old = AUTHORITY.issue("old.example").write(self.directory / "1", "tls")
        AUTHORITY.issue("new.example").write(self.directory / "2", "tls")
        (self.directory / "data").symlink_to("1")
        for name in ("tls.pem", "tls.key"):
            (self.directory / name).symlink_to(f"data/{name}")
        self.watch(CertificateFiles(str(self.directory / "tls.pem"), str(self.directory / "tls.key")))
        self.assertEqual(("old.example",), self.look(2)[0].facts.names)
        (self.directory / "swap").symlink_to("2")
        os.replace(self.directory / "swap", self.directory / "data")
        self.assertEqual(("new.example",), self.look(2)[0].facts.names)
        self.assertTrue(Path(old.key).exists())

    def test_half_written(self) -> None:
        """
        Whoever writes one file after the other is waited for, and nothing is said.
        """
        self.watch()
        before, files = self.store.certificates, self.store.certificates[0].files
        issued = AUTHORITY.issue("a.example")
        Path(files.certificate).write_bytes(issued.certificate)
        self.assertEqual(before, self.look())
        Path(files.key).write_bytes(issued.key)
        self.assertEqual(before, self.look())
        self.assertNotEqual(before, self.look())
        self.assertEqual([], self.said)

    def test_broken(self) -> None:
        """
        What is not right is said once for each change, and the old pair stays; what is right again is used.
        """
        self.watch()
        before, files = self.store.certificates, self.store.certificates[0].files
        Path(files.key).write_bytes(b"no key")
        self.assertEqual(before, self.look(9))
        self.assertEqual(1, len(self.said))
        self.assertTrue(self.said[0].startswith(f"{files.key} holds no private key in PEM"), self.said)
        Path(files.certificate).unlink()
        self.assertEqual(before, self.look(9))
        self.assertEqual(f"{files.certificate} cannot be read: No such file or directory", self.said[1])
        self.write("a.example", "a.example")
        self.assertNotEqual(before, self.look(9))
        self.assertEqual(2, len(self.said))

    def test_same_contents(self) -> None:
        """
        Files that were merely written again change nothing.
        """
        self.watch()
        before = self.store.certificates
        for name in ("pem", "key"):
            path = self.directory / f"a.example.{name}"
            path.write_bytes(path.read_bytes())
        self.assertEqual(before, self.look(5))
        self.assertEqual([], self.said)

    def test_changed_since(self) -> None:
        """
        A change between the reading of the certificate and the first look is noticed.
        """
        files = self.write("one", "a.example")
        store = self.make(files)
        self.write("one", "b.example")
        clock = Clock()
        watcher = Watch(store, clock)
        watcher.start()
        clock.pump([INTERVAL] * 2)
        watcher.stop()
        self.assertEqual(("b.example",), store.certificates[0].facts.names)

    def test_stop(self) -> None:
        """
        It looks no more when it is told so, which may be never before or twice.
        """
        self.watch()
        self.watcher.stop()
        self.watcher.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
