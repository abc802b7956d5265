"""
Tests of L{siger.config.files}.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.config.files import create


class CreateTests(SynchronousTestCase):
    """
    Files appear whole and private.
    """

    def setUp(self) -> None:
        """
        Use a path in a directory that is not there yet.
        """
        self.path = Path(self.mktemp()) / "a" / "file"

    def test_created(self) -> None:
        """
        The file has the content and mode 0600, whatever the umask, and nothing is left beside it.
        """
        self.addCleanup(os.umask, os.umask(0))
        self.assertTrue(create(self.path, b"content"))
        self.assertEqual(b"content", self.path.read_bytes())
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))
        self.assertEqual([self.path], list(self.path.parent.iterdir()))

    def test_present(self) -> None:
        """
        What is there already stays as it is, links to nowhere included.
        """
        create(self.path, b"first")
        self.assertFalse(create(self.path, b"second"))
        self.assertEqual(b"first", self.path.read_bytes())
        link = self.path.with_name("link")
        link.symlink_to("nowhere")
        self.assertFalse(create(link, b"second"))
        self.assertEqual({self.path, link}, set(self.path.parent.iterdir()))

    def test_failure(self) -> None:
        """
        A failure is raised, and leaves nothing behind.
        """
        create(self.path, b"")
        self.assertRaises(NotADirectoryError, create, self.path / "below", b"")
        self.assertRaises(OSError, create, self.path.with_name("x" * 300), b"")
        self.assertEqual([self.path], list(self.path.parent.iterdir()))
