"""
Tests of L{siger.jobs.client.credentials}.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from siger.jobs.client.credentials import CredentialFile, Credentials, KeptToken, default_path
from siger.jobs.client.errors import TroubleError
from tests.jobs.client.wire import Play, answer, gateway_of, problem

URL = "http://gateway.test"
GIVEN = {"username": "alice", "token": "new", "expires_at": "1970-01-01T01:00:00Z"}


class FileTests(SynchronousTestCase):
    """
    The file.
    """

    def setUp(self) -> None:
        """
        Have a place for one.
        """
        self.path = Path(self.mktemp(), "siger", "tokens.json")
        self.file = CredentialFile(self.path)

    def test_kept(self) -> None:
        """
        What is kept for a gateway is found again, for that gateway alone.
        """
        for number, url in enumerate((URL, "https://other")):
            self.file.write(url, Credentials("alice", f"t{number}", 0, 60))
        self.assertEqual(self.file.read(URL), Credentials("alice", "t0", 0, 60))
        self.assertIsNone(self.file.read("https://gateway.test"))
        self.file.write(URL, None)
        self.assertIsNone(self.file.read(URL))
        self.assertEqual(self.file.read("https://other"), Credentials("alice", "t1", 0, 60))

    def test_nothing(self) -> None:
        """
        No file is none.
        """
        self.assertIsNone(self.file.read(URL))

    def test_mode(self) -> None:
        """
        Its owner alone can read it, whatever is usual and whatever it was before; nothing else is left behind.
        """
        self.addCleanup(os.umask, os.umask(0))
        self.path.parent.mkdir(parents=True, mode=0o700)
        self.path.write_text("{}")
        self.path.chmod(0o666)
        self.file.write(URL, Credentials("alice", "t", 0, 60))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(os.listdir(self.path.parent), ["tokens.json"])

    def test_directory(self) -> None:
        """
        So is the directory when it is made.
        """
        self.file.write(URL, Credentials("alice", "t", 0, 60))
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)

    def test_broken(self) -> None:
        """
        A file that is something else is left alone, and said to be so.
        """
        self.path.parent.mkdir(parents=True)
        for content in (b"{", b"[]", b"\xff", b'{"http://gateway.test": {"token": 1}}'):
            self.path.write_bytes(content)
            with self.assertRaisesRegex(TroubleError, "is not what siger job login wrote"):
                self.file.read(URL)
            self.assertEqual(self.path.read_bytes(), content)

    def test_not_possible(self) -> None:
        """
        What the system does not allow is said in one line.
        """
        blocked = CredentialFile(Path("/dev/null/siger/tokens.json"))
        with self.assertRaisesRegex(TroubleError, "cannot be read: Not a directory"):
            blocked.write(URL, None)

    def test_path(self) -> None:
        """
        It is where other programs' configuration is.
        """
        for environ, expected in [
            ({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/siger/tokens.json"),
            ({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}, "/h/.config/siger/tokens.json"),
            ({"HOME": "/h"}, "/h/.config/siger/tokens.json"),
        ]:
            self.assertEqual(str(default_path(environ)), expected)


class KeptTokenTests(SynchronousTestCase):
    """
    A token from the file.
    """

    def setUp(self) -> None:
        """
        Have one that is good from 1000 to 4000.
        """
        self.file = CredentialFile(Path(self.mktemp(), "tokens.json"))
        self.file.write(URL, Credentials("alice", "old", 1000, 4000))
        self.now = 1000.0
        self.token = KeptToken(self.file, URL, lambda: self.now)

    def renewed_by(self, play: Play) -> None:
        """
        Say who gives new ones.
        """
        self.token.renewed_by(gateway_of(play, self.token))

    def test_young(self) -> None:
        """
        For most of its time it is used as it is.
        """
        self.renewed_by(Play())
        self.now = 2900
        self.assertEqual(self.token.current(), "old")

    def test_renewed(self) -> None:
        """
        Then it is replaced, in the file as well.
        """
        play = Play(answer({**GIVEN, "expires_at": "1970-01-01T02:00:00Z"}))
        self.renewed_by(play)
        self.now = 3100
        self.assertEqual(self.token.current(), "new")
        self.assertEqual(play.lines(0)[0], "POST /auth/refresh HTTP/1.1")
        self.assertIn("Authorization: Bearer old", play.lines(0))
        self.assertEqual(self.file.read(URL), Credentials("alice", "new", 3100, 7200))

    def test_not_renewed(self) -> None:
        """
        When that fails, the old one is used as long as it is good, and it is tried again some time later.
        """
        play = Play(
            problem(503, "draining"), answer({"token": 1}), answer({**GIVEN, "expires_at": "1970-01-01T02:00:00Z"})
        )
        self.renewed_by(play)
        for now, token, requests in [(3100, "old", 1), (3110, "old", 1), (3140, "old", 2), (3180, "new", 3)]:
            self.now = now
            self.assertEqual((self.token.current(), len(play.requests)), (token, requests))

    def test_expired(self) -> None:
        """
        One that has expired is not sent anywhere.
        """
        self.now = 4000
        with self.assertRaisesRegex(TroubleError, "has expired: log in again"):
            self.token.current()

    def test_none(self) -> None:
        """
        Without one it is said where to get it.
        """
        with self.assertRaisesRegex(TroubleError, "^there is no token for http://elsewhere: log in"):
            KeptToken(self.file, "http://elsewhere").current()

    def test_answer(self) -> None:
        """
        The answer to a login is read; what is none is refused.
        """
        self.assertEqual(Credentials.from_answer(GIVEN, 5), Credentials("alice", "new", 5, 3600))
        for changes in ({"expires_at": "soon"}, {"expires_at": None}):
            with self.assertRaises(TroubleError):
                Credentials.from_answer({**GIVEN, **changes}, 5)
        with self.assertRaises(TroubleError):
            Credentials.from_answer({}, 5)
