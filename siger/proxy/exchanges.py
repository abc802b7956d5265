"""
Which kind of exchange a request needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from siger.grpc.content import GRPC
from siger.proxy import websocket
from siger.proxy.call import Call
from siger.proxy.exchange import Exchange
from siger.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from siger.proxy.arrival import Arrival
    from siger.proxy.context import ProxyContext

__all__ = ["make_exchange"]


def make_exchange(context: ProxyContext, arrival: Arrival) -> Exchange:
    """
    The exchange for a request, not begun yet.

    @param arrival: whose place is a service.
    """
    head, settings = arrival.head, arrival.place.settings
    if head.fields.grpc == GRPC:
        return Call(context, arrival)
    if head.fields.upgrade and websocket.is_handshake(head) and settings is not None and settings.websocket:
        return Tunnel(context, arrival)
    return Exchange(context, arrival)
