"""
Tests for L{siger.http.hpack.static_table}.
"""

from __future__ import annotations

from hpack.table import HeaderTable
from twisted.trial.unittest import SynchronousTestCase

from siger.http.hpack.static_table import STATIC_TABLE


class StaticTableTests(SynchronousTestCase):
    """
    Tests for L{STATIC_TABLE}.
    """

    def test_independent(self) -> None:
        """
        Somebody else wrote down the same 61 entries.
        """
        self.assertEqual(len(STATIC_TABLE), 61)
        self.assertEqual(STATIC_TABLE, HeaderTable.STATIC_TABLE)

    def test_ends(self) -> None:
        """
        The first, the last and the most frequent entries are where RFC 7541 appendix A has them.
        """
        found = {index: STATIC_TABLE[index - 1] for index in (1, 8, 16, 61)}
        self.assertEqual(
            found,
            {
                1: (b":authority", b""),
                8: (b":status", b"200"),
                16: (b"accept-encoding", b"gzip, deflate"),
                61: (b"www-authenticate", b""),
            },
        )
