"""
py-consul on Twisted: its API classes make the requests, and a treq client carries them.

The base URL is fixed, redirects are errors, bodies are bounded, and a request may take as long as it asked Consul to
wait and not much longer. Results are L{Deferred}s.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from consul.base import Consul as BaseConsul
from consul.base import HTTPClient as BaseHTTPClient
from consul.base import Response
from consul.exceptions import ConsulException, Timeout
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from siger.discovery.bodies import Collector, Content

if TYPE_CHECKING:
    from twisted.web.iweb import IAgent, IResponse

    from siger.config.settings.gateway import Settings

__all__ = ["ConsulClient", "NoLeader", "connect"]

Params = list[tuple[str, Any]]
Callback = Callable[[Response], Any]

#: Seconds for a request to the agent, apart from what it was asked to wait. Consul's own RPCs give up after 7.
TIMEOUT = 10.0
CONNECT_TIMEOUT = 5.0
#: Consul adds up to a sixteenth to a wait, so that watchers do not return together.
WAIT_JITTER = 1 / 16
#: 100,000 instances of some 300 bytes each.
MAX_BODY = 32 * 1024 * 1024


class NoLeader(ConsulException):  # type: ignore[misc]  # py-consul has no annotations
    """
    A server answered a stale read without knowing a leader: it may have just started, and know next to nothing.

    @ivar result: what it said.
    """

    def __init__(self, result: Any) -> None:
        super().__init__("Consul has no leader")
        self.result = result


class TreqClient(BaseHTTPClient):  # type: ignore[misc]
    """
    What py-consul's API classes send their requests through.
    """

    def __init__(self, http: HTTPClient, clock: IReactorTime, stale: bool, *address: Any) -> None:
        super().__init__(*address)
        self._http = http
        self._clock = clock
        self._stale = stale

    def get(
        self, callback: Callback, path: str, params: Any = None, headers: Any = None, raw: bool = False
    ) -> Deferred[Any]:
        asked: Params = list(params or ())
        # py-consul knows the consistency modes of the catalog, but not those of the health endpoints.
        if self._stale and path.startswith("/v1/health/"):
            asked.append(("stale", "1"))
        return self._request(callback, "GET", path, asked, headers, b"", raw)

    def put(
        self, callback: Callback, path: str, params: Any = None, data: str | bytes = "", headers: Any = None
    ) -> Deferred[Any]:
        return self._request(callback, "PUT", path, params, headers, data)

    def delete(
        self, callback: Callback, path: str, params: Any = None, data: str | bytes = "", headers: Any = None
    ) -> Deferred[Any]:
        return self._request(callback, "DELETE", path, params, headers, data)

    def post(
        self, callback: Callback, path: str, params: Any = None, data: str = "", headers: Any = None
    ) -> Deferred[Any]:
        return self._request(callback, "POST", path, params, headers, data)

    def close(self) -> None:
        """
        Nothing: see L{ConsulClient.close}.
        """

    def _request(
        self,
        callback: Callback,
        method: str,
        path: str,
        params: Params | None,
        headers: dict[str, str] | None,
        data: str | bytes,
        raw: bool = False,
    ) -> Deferred[Any]:
        content = data.encode("utf-8") if isinstance(data, str) else data
        exchange = self._exchange(callback, method, self.uri(path, params), headers, content, raw)
        return Deferred.fromCoroutine(exchange).addTimeout(_timeout(params), self._clock, _timed_out)

    async def _exchange(
        self, callback: Callback, method: str, uri: str, headers: dict[str, str] | None, data: bytes, raw: bool
    ) -> Any:
        response = await self._http.request(
            method,
            uri,
            headers=Headers({name.encode(): [value.encode()] for name, value in (headers or {}).items()}),
            data=data,
            allow_redirects=False,
            unbuffered=True,
            reactor=cast(Any, self._clock),
        )
        collector = Collector(MAX_BODY)
        response.deliverBody(collector)
        body = await collector.finished
        if 300 <= response.code < 400:
            raise ConsulException(f"{response.code}: a redirect, which is not followed")
        answer = Response(response.code, _headers(response), body if raw else body.decode("utf-8"))
        result = callback(answer)
        if answer.headers.get("X-Consul-Knownleader") == "false":
            raise NoLeader(result)
        return result


def _headers(response: IResponse) -> dict[str, str]:
    return {
        name.decode("ascii").title(): values[0].decode("latin-1")
        for name, values in response.headers.getAllRawHeaders()
    }


def _timeout(params: Params | None) -> float:
    """
    Seconds after which an answer will not come any more.
    """
    wait = next((float(value.rstrip("s")) for key, value in params or () if key == "wait"), 0.0)
    return TIMEOUT + wait * (1 + WAIT_JITTER)


def _timed_out(result: Any, seconds: float) -> Any:
    """
    Say so, whatever the agent makes of being cancelled.
    """
    raise Timeout(f"no answer in {seconds:g} seconds")


class ConsulClient(BaseConsul):  # type: ignore[misc]
    """
    py-consul's API, with L{Deferred}s for results.
    """

    def __init__(
        self,
        agent: IAgent,
        clock: IReactorTime,
        host: str,
        port: int,
        token: str = "",
        datacenter: str = "",
        stale: bool = True,
        pool: HTTPConnectionPool | None = None,
    ) -> None:
        """
        @param pool: the agent's connections, if it keeps any.
        """
        self._pool = pool
        self._carrier = (HTTPClient(agent, data_to_body_producer=Content), clock, stale)
        super().__init__(
            host=f"[{host}]" if ":" in host else host,
            port=port,
            scheme="http",
            dc=datacenter or None,
            consistency="stale" if stale else "default",
        )
        # py-consul lets the environment win over what it is told; here the file is the more explicit of the two.
        self.token = token or os.environ.get("CONSUL_HTTP_TOKEN")

    def http_connect(
        self, host: str, port: int, scheme: str, verify: bool | str = True, cert: Any = None
    ) -> TreqClient:
        return TreqClient(*self._carrier, host, port, scheme)

    def close(self) -> Deferred[None]:
        """
        Close the idle connections. Those in use close when their requests are cancelled.
        """
        if self._pool is None:
            return succeed(None)
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


class QuietPool(HTTPConnectionPool):
    """
    Connections that do not log their beginnings and ends: with a query for each service they would fill the log.
    """

    def _factory(self, *arguments: Any) -> Any:  # type: ignore[override]  # a class in the pool, called like this
        factory = super()._factory(*arguments)  # type: ignore[no-untyped-call]
        factory.noisy = False
        return factory


def connect(reactor: Any, settings: Settings) -> ConsulClient:
    """
    A client for the agent that configuration names.
    """
    if settings.consul_address is None:
        raise ValueError("no consul_address is configured")
    pool = QuietPool(reactor)  # type: ignore[no-untyped-call]
    pool.maxPersistentPerHost = 256  # more than an agent lets one address have
    pool.cachedConnectionTimeout = 30
    return ConsulClient(
        Agent(reactor, pool=pool, connectTimeout=CONNECT_TIMEOUT),
        reactor,
        settings.consul_address.host,
        settings.consul_address.port,
        token=settings.consul.token,
        datacenter=settings.consul.datacenter,
        stale=settings.consul.stale,
        pool=pool,
    )
