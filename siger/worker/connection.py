"""
The connection of a worker to NATS, which comes back by itself for as long as the worker lives.

There is one client of nats-py for each connection, and none of them may reconnect by itself: such a client keeps what
was published meanwhile and sends it after its caller was told of a failure, and it gives up for good when a server
refuses it once. What fails here has failed, and whoever needs it done tries again on the next connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from siger.messaging.errors import UnavailableError

__all__ = ["ApiError", "Connection", "Servers", "read_answer", "server_url"]

log = logging.getLogger("siger.worker")

#: Seconds for a server's first answers, and for all of them.
CONNECT_TIMEOUT: Final = 2
DIAL_TIMEOUT: Final = 5.0
#: Seconds between pings, and how many may be unanswered.
PING_INTERVAL: Final = 2
UNANSWERED_PINGS: Final = 2
#: Seconds for an answer to one request.
REQUEST_TIMEOUT: Final = 3.0
#: Seconds between attempts to connect: at first, and at most.
PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
#: Seconds between looks at the client, which says late that its socket is gone.
LOOK: Final = 0.25


Servers = Sequence[str] | Callable[[], Sequence[str]]


class ApiError(UnavailableError):
    """
    What the server says when it does not do what it was asked to do.

    @ivar number: its own number for that.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.number = error.get("err_code", 0)
        super().__init__(str(error.get("description", "an error without a description")))


def _checked(addresses: Sequence[str]) -> Callable[[], Sequence[str]]:
    urls = [server_url(address) for address in addresses]
    if not urls:
        raise ValueError("no server to connect to")
    return lambda: urls


def server_url(address: str) -> str:
    """
    The URL for C{host:port}, or for what is one already.

    @raise ValueError: when nobody could connect there.
    """
    url = address if "://" in address else f"nats://{address}"
    parts = urlsplit(url)
    if parts.scheme not in ("nats", "tls", "ws", "wss") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(f"not the address of a NATS server: {parts.hostname or address.rpartition('@')[2]}")
    return url if parts.port else f"{url.rstrip('/')}:4222"  # asking for the port checks it, too


class Connection:
    """
    Connects, and connects again.

    @ivar since: when the connection that stands was made, of the loop's clock.
    """

    def __init__(self, servers: Servers, options: Mapping[str, Any], name: str) -> None:
        """
        @param servers: where servers of the cluster are, or what tells whenever that is needed.
        @param options: further ones of C{Client.connect}, such as credentials.
        """
        self._find = servers if callable(servers) else _checked(servers)
        self._discovered: list[str] = []
        self._url = ""
        self._options = {"name": name, **options}
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._complained = ""
        self.since = 0.0
        self.on_up: list[Callable[[], Awaitable[None]]] = []

    @property
    def connected(self) -> bool:
        """
        Whether there is a connection that is ready for use.
        """
        return self._up.is_set()

    async def wait(self) -> None:
        """
        Wait until there is one.
        """
        await self._up.wait()

    async def keep(self) -> None:
        """
        Keep connected until cancelled.
        """
        pause = PAUSE
        try:
            while True:
                if await self._connect():
                    pause = PAUSE
                    await self._attend()
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            await self._dispose(orderly=True)

    async def _connect(self) -> bool:
        """
        Try all servers once, in any order.
        """
        given = list(self._find())
        if not given:
            self._complain("no NATS server runs yet")
        urls = given + [url for url in self._discovered if _address(url) not in map(_address, given)]
        for url in random.sample(urls, len(urls)):
            try:
                async with asyncio.timeout(DIAL_TIMEOUT):
                    await self._dial(url, {**_credentials([url, *given]), **self._options})
            except Exception as error:
                await self._dispose()
                self._complain(f"NATS at {_address(url)} cannot be used: {_said(error)}")
            else:
                return True
        return False

    async def _dial(self, url: str, options: Mapping[str, Any]) -> None:
        said: list[Exception] = []
        self._url = url
        self._lost.clear()
        client = self._client = Client()

        async def closed() -> None:
            if self._client is client:
                self._lost.set()

        async def complained(error: Exception) -> None:
            said.append(error)
            del said[:-1]

        try:
            await client.connect(
                servers=[f"{url.partition('://')[0]}://{_address(url)}"],  # whose credentials nats-py takes undecoded
                allow_reconnect=False,
                max_reconnect_attempts=1,  # 0 would mean for ever
                reconnect_time_wait=0,
                pending_size=0,
                connect_timeout=CONNECT_TIMEOUT,
                ping_interval=PING_INTERVAL,
                max_outstanding_pings=UNANSWERED_PINGS,
                error_cb=complained,
                closed_cb=closed,
                disconnected_cb=closed,
                **options,
            )
            if not client.is_connected:
                raise ConnectionError("no answer to CONNECT")
        except nats.errors.NoServersError as error:
            raise (said[-1] if said else error) from error
        self.since = asyncio.get_running_loop().time()
        for prepare in self.on_up:
            await prepare()
        self._up.set()
        log.info("connected to NATS at %s", _address(url))
        self._complained = ""

    def _complain(self, text: str) -> None:
        if text != self._complained:
            log.warning("%s; trying again", text)
        self._complained = text

    async def _attend(self) -> None:
        client = self._client
        assert client is not None
        while client.is_connected and not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), LOOK)
        self._remember(client)
        self._up.clear()
        log.warning("the connection to NATS is lost")
        await self._dispose()

    def _remember(self, client: Client) -> None:
        """
        The other servers of the cluster, for when this one does not come back.
        """
        scheme = self._url.partition("://")[0]
        self._discovered = [f"{scheme}://{_address(uri.netloc)}" for uri in client.discovered_servers][:32]

    async def _dispose(self, orderly: bool = False) -> None:
        """
        See that nothing is left of a client, whatever state it is in.
        """
        client, self._client = self._client, None
        self._up.clear()
        if client is None:
            return
        with contextlib.suppress(Exception):
            if orderly and client.is_connected:
                await client.flush(timeout=1)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1):
                await client.close()
        transport = getattr(getattr(client._transport, "_io_writer", None), "transport", None)
        if transport is not None:
            transport.abort()

    # What is done with it

    def _current(self) -> Client:
        if self._client is None or not self._client.is_connected:
            raise UnavailableError("not connected")
        return self._client

    @property
    def max_payload(self) -> int:
        """
        The most bytes that a message may have.
        """
        return int(self._current().max_payload)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Msg:
        """
        Ask, and wait for the answer.

        @raise UnavailableError: when there is none.
        """
        client = self._current()
        asking = asyncio.ensure_future(client.request(subject, payload, timeout=timeout, headers=headers))
        losing = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({asking, losing}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise UnavailableError("the connection was lost")
            return asking.result()
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise UnavailableError(_said(error)) from error
        finally:
            asking.cancel()
            losing.cancel()

    async def ask(self, subject: str, question: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """
        Ask JetStream something.

        @raise ApiError: when it says no.
        @raise UnavailableError: when it says nothing that can be read.
        """
        payload = b"" if question is None else json.dumps(question).encode()
        message = await self.request(f"$JS.API.{subject}", payload)
        return read_answer(message)

    async def publish(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        """
        Send, without an answer.

        @raise UnavailableError: when there is no connection.
        """
        try:
            await self._current().publish(subject, payload, reply=reply)
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(_said(error)) from error

    async def subscribe(self, subject: str, heard: Callable[[Msg], Awaitable[None]]) -> Any:
        """
        Have a coroutine function called with every message, for as long as this connection stands.

        @return: what L{unsubscribe} takes.
        """
        try:
            return await self._current().subscribe(subject, cb=heard)
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(_said(error)) from error

    async def unsubscribe(self, subscription: Any) -> None:
        """
        Have it called no more.
        """
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()

    def new_inbox(self) -> str:
        """
        A subject that nobody else uses.
        """
        return self._current().new_inbox()


def read_answer(message: Msg) -> dict[str, Any]:
    """
    Read what JetStream answers.
    """
    try:
        answer = json.loads(message.data)
    except ValueError as error:
        raise UnavailableError("an answer that is not JSON") from error
    if not isinstance(answer, dict):
        raise UnavailableError("an answer that is not an object")
    refusal = answer.get("error")
    if refusal is not None:
        raise ApiError(refusal if isinstance(refusal, dict) else {})
    return answer


def _credentials(urls: Sequence[str]) -> dict[str, str]:
    """
    What the first URL with credentials says, for all servers: those that are found later come without.
    """
    for parts in map(urlsplit, urls):
        if parts.username and parts.password is not None:
            return {"user": unquote(parts.username), "password": unquote(parts.password)}
        if parts.username:
            return {"token": unquote(parts.username)}
    return {}


def _address(url: str) -> str:
    """
    Where a URL leads, without its credentials.
    """
    return url.rpartition("://")[2].rpartition("@")[2].partition("/")[0]


def _said(error: BaseException) -> str:
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__
