"""
A run of the load generator for gRPC: what is to be done, and what its connections found.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks.http2.calls import ANSWER
from benchmarks.http2.encoding import Field

__all__ = ["Order", "Run"]


@dataclass(frozen=True)
class Order:
    """
    What is to be done.

    @ivar messages: that a right answer holds.
    @ivar start: what the unique digits of the first connection begin with.
    """

    port: int
    method: str
    connections: int
    streams: int
    seconds: float
    messages: int
    metadata: list[Field]
    start: int


class Run:
    """
    What all connections share.

    @ivar until: when no more calls are to begin.
    @ivar took: seconds of each right call.
    @ivar complaint: the first thing that was wrong.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self.expected = order.messages * len(ANSWER)
        self.until = time.perf_counter() + order.seconds
        self.took: list[float] = []
        self.errors = 0
        self.complaint = ""
        self.open = order.connections
        self.done = asyncio.Event()

    def wrong(self, why: str, count: int = 1) -> None:
        """
        Some calls did not go right.
        """
        self.errors += count
        self.complaint = self.complaint or why
