"""
Tests for L{siger.policy.request_id}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.policy.request_id import RequestIds


class NewTests(SynchronousTestCase):
    """
    Tests for L{RequestIds.new}.
    """

    def test_form(self) -> None:
        """
        An id is 128 bits in hexadecimal digits.
        """
        ids = RequestIds(lambda size: bytes(range(256)) * (size // 256))
        self.assertEqual(ids.new(), b"000102030405060708090a0b0c0d0e0f")
        self.assertEqual(ids.new(), b"101112131415161718191a1b1c1d1e1f")

    def test_unique(self) -> None:
        """
        No two are the same, also where the pool is filled again.
        """
        ids = RequestIds()
        made = {ids.new() for _ in range(2000)}
        self.assertEqual(len(made), 2000)
        self.assertEqual({len(each) for each in made}, {32})

    def test_random_bytes(self) -> None:
        """
        Every id is made of random bytes of its own; they are fetched many at a time.
        """
        asked: list[int] = []

        def source(size: int) -> bytes:
            asked.append(size)
            return bytes([len(asked)]) * size

        ids = RequestIds(source)
        made = [ids.new() for _ in range(300)]
        self.assertEqual(asked, [4096, 4096])
        self.assertEqual((made[255], made[256]), (b"01" * 16, b"02" * 16))


class TakeTests(SynchronousTestCase):
    """
    Tests for L{RequestIds.take}.
    """

    def setUp(self) -> None:
        """
        New ids are zeros.
        """
        self.ids = RequestIds(bytes)

    def test_claimed(self) -> None:
        """
        Row D7: a client's own id is taken if it is 8 to 64 letters, digits, dots, hyphens and underscores.
        """
        for claimed in (b"12345678", b"a.B-c_9Z", b"a" * 64):
            self.assertEqual(self.ids.take(claimed), claimed)

    def test_none(self) -> None:
        """
        Without one there is a new one.
        """
        self.assertEqual(self.ids.take(None), b"0" * 32)

    def test_refused(self) -> None:
        """
        Nor is any other form taken: D7, L1.
        """
        for claimed in (
            b"",
            b"1234567",
            b"a" * 65,
            b"1234567 8",
            b"12345678\n",
            b'12345678"',
            b"1234567\xe9",
            b"12345678, a",
        ):
            self.assertEqual(self.ids.take(claimed), b"0" * 32, claimed)
