"""
A POST over HTTP/2 on a connection of its own, byte for byte as a test wants it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.integration.h2_client import H2Client
from tests.integration.h2_frames import MOST, WINDOW, Key, window_update
from tests.integration.h2_peer import Incoming

__all__ = ["post"]

_PATIENCE = 30.0


def post(port: int, path: str, fields: Mapping[str, str], body: bytes) -> Incoming:
    """
    Send a request with prior knowledge of HTTP/2, and wait for the end of the response.
    """
    client = H2Client(port)
    try:
        client.start((Key.INITIAL_WINDOW_SIZE, MOST))
        client.send(window_update(0, MOST - WINDOW))
        pairs = [(name.encode(), value.encode()) for name, value in fields.items()]
        start = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"gw.test"), (b":path", path.encode())]
        stream = client.open([*start, *pairs], end=False)
        client.send_data(stream, body, end=True)
        return client.whole(stream, _PATIENCE)
    finally:
        client.close()
