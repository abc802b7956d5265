"""
Tests for L{siger.proxy.kept_body}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.proxy.kept_body import MOST, KeptBody


class KeptBodyTests(SynchronousTestCase):
    """
    Tests for L{KeptBody}.
    """

    def test_waiting(self) -> None:
        """
        What could not be sent yet is all kept, in order, however much it is.
        """
        kept = KeptBody()
        pieces = [b"a" * MOST, b"b", b"c" * MOST]
        self.assertEqual([kept.add(piece, False) for piece in pieces], [True] * 3)
        self.assertEqual(kept.pieces, pieces)

    def test_sent(self) -> None:
        """
        Of what was sent already, so much is kept and no more.
        """
        kept = KeptBody()
        self.assertTrue(kept.add(b"a" * (MOST - 1), True))
        self.assertTrue(kept.add(b"b", True))
        self.assertFalse(kept.add(b"c", True))

    def test_one_piece(self) -> None:
        """
        A first piece is kept whatever its size: it is in memory anyway.
        """
        kept = KeptBody()
        self.assertTrue(kept.add(b"a" * (MOST + 1), True))
        self.assertFalse(kept.add(b"b", True))

    def test_held_then_sent(self) -> None:
        """
        What waited counts, too, once more of it is sent.
        """
        kept = KeptBody()
        self.assertTrue(kept.add(b"a" * MOST, False))
        self.assertFalse(kept.add(b"b", True))
