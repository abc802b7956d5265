"""
The names of jobs, which sort by the time they were given.

They are UUIDs of version 7 (RFC 9562 section 5.7): 48 bits of milliseconds, then 12 bits that count up within one
millisecond (section 6.2, method 1), then 62 random ones. A process never gives a name that sorts below an earlier one
of its own, not even when its clock is set back.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Final

__all__ = ["JobIds", "is_job_id"]

_JOB_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_COUNTS: Final = 2**12


def is_job_id(text: str) -> bool:
    """
    Whether a text can be the name of a job. Such a text is also one token of a subject, whoever made it (row K11).
    """
    return _JOB_ID.fullmatch(text) is not None


class JobIds:
    """
    Gives names.

    @param now: the wall clock, in seconds.
    @param random: gives so many random bytes.
    @param tag: up to five bytes which stand in all names, where the last twelve digits begin.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
        tag: bytes = b"",
    ) -> None:
        self._now = now
        self._random = random
        self._tag = tag
        self._moment = 0
        self._count = 0

    def next(self) -> str:
        """
        A new name: it sorts above all that were given before.
        """
        self._advance(int(self._now() * 1000))
        chance = self._random(8 - len(self._tag))
        tail = int.from_bytes(chance[:2] + self._tag + chance[2:]) & (2**62 - 1)
        digits = f"{self._moment << 80 | 7 << 76 | self._count << 64 | 2 << 62 | tail:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def _advance(self, moment: int) -> None:
        """
        Go on to this millisecond, or count on in the last one; when it is counted full, borrow from the next.
        """
        if moment > self._moment:
            self._begin(moment)
        elif self._count + 1 < _COUNTS:
            self._count += 1
        else:
            self._begin(self._moment + 1)

    def _begin(self, moment: int) -> None:
        # It begins in the lower half, so that there is room to count.
        self._moment = moment
        self._count = int.from_bytes(self._random(2)) % (_COUNTS // 2)
