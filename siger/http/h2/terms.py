"""
What an end of a connection is ready to take, the same for all connections of its role.
"""

from __future__ import annotations

__all__ = ["Terms"]


class Terms:
    """
    @ivar stream_window: bytes that a stream's peer may send before it is told to go on.
    @ivar connection_window: the same for all streams together.
    @ivar largest_held: bytes that may wait for paused readers before the connection as a whole is slowed down.
    @ivar max_block: the largest header section, packed and unpacked.
    @ivar max_fields: how many fields it may have.
    """

    __slots__ = ("connection_window", "largest_held", "max_block", "max_fields", "stream_window")

    def __init__(
        self, stream_window: int, connection_window: int, largest_held: float, max_block: int, max_fields: int
    ) -> None:
        self.stream_window = stream_window
        self.connection_window = connection_window
        self.largest_held = largest_held
        self.max_block = max_block
        self.max_fields = max_fields
