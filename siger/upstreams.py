"""
How instances are connected to: a pool for each, of the kind that its protocol needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from siger.balancing.protocols import HTTP2
from siger.http.h2.responses import ResponseReader
from siger.http.response import ResponseParser
from siger.proxy.multiplexed_pool import MultiplexedPool
from siger.proxy.pool import Pool
from siger.tls.upstream import UpstreamTLS

if TYPE_CHECKING:
    from siger.balancing.instances import Endpoint
    from siger.config.settings.services import ServiceSettings
    from siger.config.settings.tls import UpstreamTLSSettings
    from siger.http.deadlines import Deadlines
    from siger.http.h2.writing import Batch
    from siger.proxy.dialling import Secure

__all__ = ["Upstreams"]


class Upstreams:
    """
    Makes the pools of one gateway.
    """

    def __init__(self, reactor: Any, deadlines: Deadlines, batch: Batch) -> None:
        """
        @param batch: gathers what connections of HTTP/2 send.
        """
        self._reactor = reactor
        self._deadlines = deadlines
        self._batch = batch
        self._parser = ResponseParser()
        self._reader = ResponseReader()
        self._secured: dict[tuple[UpstreamTLSSettings, str], UpstreamTLS] = {}

    def pool(self, endpoint: Endpoint, settings: ServiceSettings) -> Pool | MultiplexedPool:
        """
        The pool of an instance.
        """
        secure = self._secure(endpoint.protocol, settings.tls)
        if endpoint.protocol in HTTP2:
            return MultiplexedPool(
                self._reactor, endpoint, settings, self._deadlines, self._reader, self._batch, secure
            )
        return Pool(self._reactor, endpoint, settings, self._deadlines, self._parser, secure)

    def _secure(self, protocol: str, settings: UpstreamTLSSettings) -> Secure | None:
        if protocol not in ("h2", "https"):
            return None
        known = self._secured.get((settings, protocol))
        if known is None:
            known = self._secured[settings, protocol] = UpstreamTLS(settings, protocol, self._reactor)
        return known.wrap
