"""
Give sockets to uvloop.

uvloop's calls for that are coroutines, which would cost a task and a turn of the loop each. Given a socket they hardly
suspend, so they are driven by hand.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

__all__ = ["hand_over", "serve"]


def serve(
    loop: asyncio.AbstractEventLoop, factory: Callable[[], Any], listener: socket.socket, backlog: int
) -> asyncio.AbstractServer:
    """
    Let uvloop accept connections on C{listener}, which it owns from now on.

    @param factory: makes an asyncio protocol. It must not raise: libuv would stop accepting for good.
    """
    coroutine = loop.create_server(factory, sock=listener, backlog=backlog)
    try:
        coroutine.send(None)
    except StopIteration as finished:
        server: asyncio.AbstractServer = finished.value
        return server
    coroutine.close()
    raise RuntimeError("the event loop did not listen at once")


def hand_over(loop: asyncio.AbstractEventLoop, protocol: Any, connected: socket.socket) -> None:
    """
    Let uvloop own C{connected}; it calls C{protocol.connection_made} in the next turn of the loop.
    """
    _drive(loop.connect_accepted_socket(lambda: protocol, connected))


def _drive(coroutine: Coroutine[Any, Any, Any]) -> None:
    """
    Run C{coroutine} until it waits for a future, and go on when that is done.

    Dropping it instead would close the transport: it waits for C{connection_made} to have been called.
    """
    try:
        future = coroutine.send(None)
    except StopIteration:
        return
    future.add_done_callback(lambda _: _finish(coroutine))


def _finish(coroutine: Coroutine[Any, Any, Any]) -> None:
    """
    Resume C{coroutine} to its end.
    """
    # Raised when the connection was closed by then, of which uvloop tells the protocol as well.
    with suppress(RuntimeError):
        _drive(coroutine)
