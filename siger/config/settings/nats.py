"""
NATS, which holds what gateways share.
"""

from __future__ import annotations

from attrs import field, frozen

__all__ = ["NatsSettings"]


@frozen
class NatsSettings:
    """
    How the gateway presents itself to NATS, once C{nats_address} says where it is.

    @ivar credentials: the path of a credentials file, or C{""}.
    @ivar replicas: how many servers of a cluster keep each stream.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    credentials: str = ""
    replicas: int = 1
