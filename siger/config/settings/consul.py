"""
Consul, which knows services.
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

__all__ = ["ConsulSettings"]


@frozen
class ConsulSettings:
    """
    How the gateway uses Consul, once C{consul_address} says where it is.

    @ivar expose: which services clients may reach: C{all}, C{tagged}, or just these names.
    @ivar datacenter: C{""} for the agent's own.
    @ivar register: whether the gateway registers itself.
    @ivar stale: whether any Consul server may answer, not only the leader.
    @ivar address: the host that the gateway registers as its own; C{""} lets it find out.
    @ivar tags: what it registers with.
    """

    expose: Literal["all", "tagged"] | frozenset[str] = "all"
    token: str = field(default="", repr=False)
    datacenter: str = ""
    register: bool = True
    stale: bool = True
    address: str = ""
    tags: tuple[str, ...] = ()
