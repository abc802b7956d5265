"""
Many keys in order, of which any may come and go.

One sorted list would do, if it were short: to add somewhere in a list of a million moves half a million. So it is cut
into blocks of some hundreds. Nearly all keys come at the end, where adding costs nothing either way.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final

from attrs import define, field

__all__ = ["Key", "Ordered"]

Key = tuple[str, str]

#: A block is cut in two when it is longer.
_LONGEST: Final = 1024


@define(eq=False)
class Ordered:
    """
    A set of keys, in their order.
    """

    _blocks: list[list[Key]] = field(factory=list, init=False)
    _lasts: list[Key] = field(factory=list, init=False)
    _length: int = field(default=0, init=False)

    def __len__(self) -> int:
        return self._length

    def add(self, key: Key) -> None:
        """
        Take in a key that is not there.
        """
        at = min(bisect_left(self._lasts, key), len(self._blocks) - 1)
        if at < 0:
            self._blocks.append([key])
            self._lasts.append(key)
        else:
            block = self._blocks[at]
            insort(block, key)
            self._lasts[at] = block[-1]
            if len(block) > _LONGEST:
                self._cut(at)
        self._length += 1

    def _cut(self, at: int) -> None:
        block = self._blocks[at]
        # What comes at the end is followed by more: a full block there stays full.
        half = _LONGEST if at == len(self._blocks) - 1 else len(block) // 2
        self._blocks[at : at + 1] = [block[:half], block[half:]]
        self._lasts[at : at + 1] = [block[half - 1], block[-1]]

    def remove(self, key: Key) -> None:
        """
        Let go a key that is there.

        @raise KeyError: it is not.
        """
        at = bisect_left(self._lasts, key)
        block = self._blocks[at] if at < len(self._blocks) else []
        place = bisect_left(block, key)
        if place == len(block) or block[place] != key:
            raise KeyError(key)
        del block[place]
        if block:
            self._lasts[at] = block[-1]
        else:
            del self._blocks[at], self._lasts[at]
        self._length -= 1

    def rank(self, key: Key) -> int:
        """
        How many keys come before one, which need not be there.
        """
        at = bisect_left(self._lasts, key)
        if at == len(self._blocks):
            return self._length
        return sum(map(len, self._blocks[:at])) + bisect_left(self._blocks[at], key)

    def rising(self) -> Iterator[Key]:
        """
        All keys, the first one first. Meanwhile nothing may change.
        """
        for block in self._blocks:
            yield from block

    def falling(self, before: Key | None = None) -> Iterator[Key]:
        """
        The last key and those before it. Meanwhile nothing may change.

        @param before: begin with the last key before this one.
        """
        at = len(self._blocks) if before is None else bisect_left(self._lasts, before)
        if before is not None and at < len(self._blocks):
            block = self._blocks[at]
            yield from reversed(block[: bisect_left(block, before)])
        for block in reversed(self._blocks[:at]):
            yield from reversed(block)
