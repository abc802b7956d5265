"""
The chain in Python, for the two peers that are only libraries: rate limit by address, request id, JSON access log.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

__all__ = ["AccessLog", "RateLimit", "new_request_id"]


def new_request_id() -> str:
    """
    128 random bits as hexadecimal digits.
    """
    return os.urandom(16).hex()


class RateLimit:
    """
    A token bucket for each client address.
    """

    def __init__(self, per_second: int) -> None:
        self._rate = float(per_second)
        self._buckets: dict[str, tuple[float, float]] = {}

    def admits(self, client: str) -> bool:
        """
        Take a token of the client's, if there is one.
        """
        now = time.monotonic()
        tokens, then = self._buckets.get(client, (self._rate, now))
        tokens = min(self._rate, tokens + (now - then) * self._rate)
        self._buckets[client] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1


class AccessLog:
    """
    JSON lines, written to the file in batches.

    The owner calls L{flush} from time to time.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lines: list[str] = []

    def add(self, **line: object) -> None:
        """
        Remember one line.
        """
        self._lines.append(json.dumps(line))

    def flush(self) -> None:
        """
        Write what was remembered.
        """
        if self._lines:
            self._file.write(("\n".join(self._lines) + "\n").encode())
            self._lines.clear()
