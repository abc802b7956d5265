"""
What property tests over bytes from a wire have in common.
"""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["noise", "pieces", "properties", "splits", "tokens"]

properties = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long one example takes says nothing on a machine that others use too."""

tokens = st.text("!#$%&'*+-.^`|~0123456789ABCXYZabcxyz", min_size=1, max_size=12).map(str.encode)
"""Tokens without underscores (RFC 9110 section 5.6.2)."""


def noise(*words: bytes) -> st.SearchStrategy[bytes]:
    """
    Bytes that are nearly what a parser expects: some of these words, the bytes that parsers trip over, and any others.
    """
    traps = (b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b"_", b"\x0b", b"\x85", b"\xa0", b"0", b"+", b"-", b",")
    piece = st.sampled_from(words + traps) | st.binary(max_size=3)
    return st.lists(piece, max_size=24).map(b"".join)


def splits(size: int = 10) -> st.SearchStrategy[list[int]]:
    """
    Where to cut a message, as lengths of pieces: see L{pieces}.
    """
    return st.lists(st.integers(1, size), min_size=1, max_size=20)


def pieces(data: bytes, lengths: list[int]) -> Iterator[bytes]:
    """
    All of C{data} in order, cut into pieces of these lengths, over and over.
    """
    position = turn = 0
    while position < len(data):
        length = lengths[turn % len(lengths)]
        yield data[position : position + length]
        position += length
        turn += 1
