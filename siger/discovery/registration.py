"""
The gateway's own entry in Consul.

It registers itself with a check on its health page, looks again and again whether the agent still knows it (an agent
that was restarted may not), and takes itself out when it stops. Should it die without that, Consul does it later.
"""

from __future__ import annotations

import socket
from contextlib import closing
from ipaddress import ip_address
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

from attrs import frozen
from consul import Check
from consul.exceptions import ConsulException
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from siger import __version__
from siger.discovery.catalogue import GATEWAY_NAME
from siger.discovery.watch import backoff

if TYPE_CHECKING:
    from siger.config.settings.gateway import Settings
    from siger.discovery.client import ConsulClient

__all__ = ["Registration", "Self", "find_self"]

_log = Logger()

#: What listens on every interface.
EVERYWHERE = ("", "0.0.0.0", "::")
#: Seconds between two looks at whether the agent still knows us.
VERIFY = 5.0
#: How often Consul asks for our health, and how long it may take.
CHECK_INTERVAL = "10s"
CHECK_TIMEOUT = "5s"
#: After how long without health Consul removes us; it takes no less than a minute.
DEREGISTER_AFTER = "1m"
#: Seconds that deregistration may hold up a shutdown.
FAREWELL = 3.0


@frozen
class Self:
    """
    What a gateway says about itself.

    @ivar address: where others reach it; C{""} for the address of the agent's node.
    @ivar check_address: where the agent reaches it.
    @ivar id: no other gateway of the agent may have it.
    """

    address: str
    check_address: str
    port: int
    id: str
    tags: tuple[str, ...] = ()


async def find_self(reactor: Any, settings: Settings, port: int) -> Self:
    """
    Find out where others reach this gateway: at the configured address, else at the one it listens on, else at the one
    this machine uses towards Consul.

    @param port: the one it really listens on.
    @return: when it is known: a name server that is not there yet is waited for.
    """
    consul, listening = settings.consul_address, settings.listen.host
    everywhere = listening in EVERYWHERE
    address = settings.consul.address or ("" if everywhere else listening)
    if not address and consul is not None:
        address = _address_towards(await _resolved(reactor, consul.host))
        if ip_address(address).is_loopback:
            # The agent is on this machine: its node's address is ours, and means more to others than loopback.
            return _gateway("", address, socket.gethostname(), port, settings)
    return _gateway(address, address, address, port, settings)


def _gateway(address: str, check_address: str, label: str, port: int, settings: Settings) -> Self:
    return Self(address, check_address, port, f"{GATEWAY_NAME}-{label}-{port}", settings.consul.tags)


async def _resolved(reactor: Any, host: str) -> str:
    random, failures = SystemRandom(), 0
    while True:
        try:
            return str(await reactor.resolve(host))
        except Exception as error:
            failures += 1
            if failures == 1:
                _log.warn("Cannot resolve {host}, trying again: {reason}", host=host, reason=repr(error))
            await deferLater(reactor, backoff(failures, random))


def _address_towards(host: str) -> str:
    """
    The local address of packets to a host. None is sent: connecting a datagram socket only looks up the route.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])


class Registration:
    """
    Keeps the gateway registered while it runs.

    @ivar registered: whether the agent knew us when last asked.
    """

    def __init__(self, clock: IReactorTime, client: ConsulClient, me: Self, random: Random | None = None) -> None:
        self.registered = False
        self._clock = clock
        self._client = client
        self._me = me
        self._random = SystemRandom() if random is None else random
        self._failures = 0
        self._running = False
        self._loop: Deferred[None] | None = None

    def start(self) -> None:
        """
        Register, and see to it that it stays so.
        """
        self._running = True
        self._loop = Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        while self._running:
            try:
                await self._ensure()
            except Exception as error:
                if not self._running:  # this is our own cancellation
                    return
                pause = self._fail(error)
            else:
                self._failures = 0
                pause = VERIFY
            await deferLater(self._clock, pause)

    async def _ensure(self) -> None:
        if self.registered and await self._known():
            return
        self.registered = False
        if not await self._register():
            raise ConsulException("the registration was not accepted")
        self.registered = True
        _log.info("Registered with Consul as {id}", id=self._me.id)

    def _fail(self, error: Exception) -> float:
        self._failures += 1
        if self._failures == 1:
            _log.warn("Cannot register with Consul, trying again: {reason}", reason=f"{type(error).__name__}: {error}")
        return backoff(self._failures, self._random)

    async def _known(self) -> bool:
        known: dict[str, Any] | None = await self._client.agent.services(filter_expr=f'ID == "{self._me.id}"')
        return self._me.id in (known or ())

    def _register(self) -> Deferred[bool]:
        me = self._me
        host = f"[{me.check_address}]" if ":" in me.check_address else me.check_address
        accepted: Deferred[bool] = self._client.agent.service.register(
            GATEWAY_NAME,
            service_id=me.id,
            address=me.address,
            port=me.port,
            tags=list(me.tags),
            meta={"version": __version__},
            check=Check.http(f"http://{host}:{me.port}/health", CHECK_INTERVAL, CHECK_TIMEOUT, DEREGISTER_AFTER),
            replace_existing_checks=True,
        )
        return accepted

    def stop(self) -> Deferred[None]:
        """
        Take the gateway out of Consul.

        @return: fires when it is out, or when waiting longer is not worth it; never fails.
        """
        self._running = False
        if self._loop is None:
            return succeed(None)
        loop, self._loop = self._loop, None
        loop.addErrback(lambda failure: failure.trap(CancelledError) and None)
        loop.cancel()
        return Deferred.fromCoroutine(self._deregister())

    async def _deregister(self) -> None:
        # Even when we do not think that we are registered: an answer may have been lost.
        farewell: Deferred[bool] = self._client.agent.service.deregister(self._me.id)
        try:
            await farewell.addTimeout(FAREWELL, self._clock)
        except Exception as error:
            _log.warn("Consul does not take {id} out now: {reason}", id=self._me.id, reason=repr(error))
        else:
            _log.info("Deregistered {id} from Consul", id=self._me.id)
        self.registered = False
