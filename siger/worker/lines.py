"""
Lines of a program's output, put together from what arrives.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LONGEST", "Lines"]

LONGEST: Final = 80 * 1024
"""
The bytes of a line that are kept: enough for the longest result.
"""


class Lines:
    """
    Splits what arrives, and cuts endless lines short.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """
        More arrived.

        @return: the lines that are complete.
        """
        *whole, rest = data.split(b"\n")
        if not whole:
            self._rest = (self._rest + rest)[:LONGEST]
            return []
        whole[0] = self._rest + whole[0]
        self._rest = rest[:LONGEST]
        return [_text(line) for line in whole]

    def end(self) -> list[str]:
        """
        No more will come.
        """
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _text(line: bytes) -> str:
    return line[:LONGEST].decode("utf-8", "replace").removesuffix("\r")
