"""
nats-py's client, for one connection and no other.

It has no public way to connect just once, to be closed at once, or to be left without complaints, so its attributes
that are not public are touched: here, and in L{siger.messaging.pipeline}.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping
from typing import Any

import nats.errors
from nats.aio.client import Callback, Client, ErrorCallback

__all__ = ["SingleClient", "complaint"]


class SingleClient(Client):
    """
    Connects once. Where TLS was asked for it does without it never: it sends no credentials then.

    @ivar encrypted: whether TLS was asked for.
    """

    encrypted = False

    async def connect_once(
        self, url: str, options: Mapping[str, Any], complained: ErrorCallback, closed: Callback
    ) -> None:
        """
        Connect.

        @param options: of C{Client.connect}.
        @param complained: called with what goes wrong, whenever that is.
        @param closed: called when the connection has been closed, by whomever.
        @raise Exception: many kinds; a socket may be left behind.
        """
        self.encrypted = url.startswith(("tls://", "wss://"))
        await self.connect(
            servers=[url],
            allow_reconnect=False,
            max_reconnect_attempts=1,  # 0 would mean for ever
            reconnect_time_wait=0,
            pending_size=0,
            error_cb=complained,
            closed_cb=closed,
            **options,
        )
        if not self.is_connected:  # it also returns when the server's first answer was neither yes nor no
            raise nats.errors.Error("nats: no answer to CONNECT")
        # Its tasks may fail while it closes, and it never asks them: asyncio complains of them long after.
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None:
                task.add_done_callback(_ask)

    def _connect_command(self) -> bytes:
        if self.encrypted and not self._server_info.get("tls_required"):
            raise nats.errors.Error("nats: the server does without TLS")
        return super()._connect_command()

    @property
    def begun(self) -> bool:
        """
        Whether it was ever told to connect, so that it can be closed.
        """
        return self._flush_queue is not None

    def abort(self) -> None:
        """
        Close the socket at once, and have the kernel forget what it has not sent yet: nothing may arrive after its
        sender was told that it failed.
        """
        writer = getattr(self._transport, "_io_writer", None)
        if writer is None:
            return
        with contextlib.suppress(Exception):  # it may be closed already, in several ways
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(Exception):
            writer.transport.abort()

    def end_subscriptions(self) -> None:
        """
        End the tasks of all subscriptions, which nats-py leaves out when closing fails.
        """
        for subscription in list(self._subs.values()):
            subscription._stop_processing()


def complaint(error: Exception | None) -> str:
    """
    What nats-py says about an error, without the flourish.
    """
    return "" if error is None else str(error).removeprefix("nats: ").strip("'") or type(error).__name__


def _ask(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
