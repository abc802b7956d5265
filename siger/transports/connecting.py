"""
Clients: a socket that connects, and is then handed to uvloop.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from errno import EAGAIN, EINPROGRESS, EISCONN
from typing import TYPE_CHECKING, Any

from twisted.internet import error, tcp, unix
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Protocol
from twisted.python import lockfile
from twisted.python.failure import Failure

from siger.transports.addresses import Address, twisted_address
from siger.transports.connection import Connection
from siger.transports.handover import hand_over

if TYPE_CHECKING:
    from siger.reactor import UvloopReactor

__all__ = ["TCPConnector", "UNIXConnector"]

_RETRY = 0.01
"""
How long to wait, in seconds, when a UNIX listener's queue is full, of which nothing tells the end.
"""


class ClientConnection(Connection):
    """
    A connection being attempted, and then the connection.

    @ivar connector: who is to be told; C{None} once the attempt has failed.
    @ivar _attempt: the connecting socket, until uvloop has it.
    """

    _tls_client = True
    # Twisted's connecting helpers fire their Deferred a turn after connectionMade, and rely on that nothing comes before.
    _settles = True
    _attempt: socket.socket | None = None

    def __init__(self, reactor: UvloopReactor, connector: Any) -> None:
        super().__init__(reactor)
        self.connector = connector

    def _begin_attempt(self, family: socket.AddressFamily) -> None:
        """
        Make the socket; the rest, and any failure, comes after the factory was told of the start.
        """
        try:
            self._prepare(family)
        except OSError as failed:
            reason = error.ConnectBindError(failed.errno, failed.strerror)
            self.reactor.callLater(0, self.failIfNotConnected, reason)
        else:
            self.reactor.callLater(0, self._go_on)

    def _prepare(self, family: socket.AddressFamily) -> None:
        """
        Make the socket.
        """
        self._attempt = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

    def _go_on(self) -> None:
        """
        Find the address and connect, unless stopped already.
        """
        if self.connector is not None:
            try:
                self._find_and_connect()
            except Exception:
                self.failIfNotConnected(Failure())

    def _find_and_connect(self) -> None:
        """
        Find the address, and connect to it.
        """
        raise NotImplementedError

    @property
    def socket(self) -> Any:
        """
        The connecting socket, or the connected one.
        """
        return super().socket if self._attempt is None else self._attempt

    def _connect_socket(self, sockaddr: Any) -> None:
        """
        Ask the kernel to connect, and wait if it takes time.
        """
        if self._attempt is None:
            return
        result = self._attempt.connect_ex(sockaddr)
        if result in (0, EISCONN):
            self._connected()
        elif result == EINPROGRESS:
            self.reactor.transports.add(self)
            self._loop.add_writer(self._attempt.fileno(), self._writable)
        elif result == EAGAIN:
            self._loop.call_later(_RETRY, self._connect_socket, sockaddr)
        else:
            self._refused(result)

    def _writable(self) -> None:
        """
        The kernel has finished, well or not.
        """
        assert self._attempt is not None
        self._loop.remove_writer(self._attempt.fileno())
        result = self._attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result:
            self._refused(result)
        else:
            self._connected()

    def _refused(self, number: int) -> None:
        """
        Fail with the exception that stands for an error number.
        """
        self.failIfNotConnected(error.getConnectError((number, os.strerror(number))))

    def _connected(self) -> None:
        """
        Give the socket to uvloop.
        """
        connected, self._attempt = self._attempt, None
        assert connected is not None
        try:
            hand_over(self._loop, self, connected)
        except OSError as failed:
            connected.close()
            self.failIfNotConnected(error.getConnectError(failed))

    def _begin(self) -> None:
        """
        Build the protocol, unless it is too late.
        """
        assert self._uv is not None
        if self.connector is None:
            self._uv.abort()
            return
        self._peer = self._peer_address()
        protocol = self.connector.buildProtocol(self._peer)
        self._connect(Protocol() if protocol is None else protocol)
        if protocol is None:
            self.loseConnection()

    def _peer_address(self) -> Address:
        """
        Return the peer's address.
        """
        raise NotImplementedError

    def _describe(self, prefix: str) -> str:
        """
        Name the protocol.
        """
        return f"{prefix},client"

    # Failure

    def failIfNotConnected(self, reason: Any) -> None:
        """
        Give up the attempt, if it still is one, and tell the connector.

        @param reason: an exception or a failure.
        """
        if self.connected or self.disconnected or self.connector is None:
            return
        connector, self.connector = self.connector, None
        self._give_up()
        connector.connectionFailed(Failure(reason))

    def _give_up(self) -> None:
        """
        Close the socket, whoever has it.
        """
        self.reactor.transports.discard(self)
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            with suppress(OSError):
                self._loop.remove_writer(attempt.fileno())
            attempt.close()

    def stopConnecting(self) -> None:
        """
        Give up the attempt because the application wants so.
        """
        self.failIfNotConnected(error.UserError())

    def connectionLost(self, reason: Failure) -> None:
        """
        End the connection, or the attempt, from outside.
        """
        if self.connected:
            super().connectionLost(reason)
        else:
            self.failIfNotConnected(error.ConnectError(string=reason))

    def _finish(self, reason: Failure) -> None:
        """
        Tell the connector too.
        """
        was_connected = self.connected
        super()._finish(reason)
        if was_connected:
            self.connector.connectionLost(reason)


class TCPClient(ClientConnection):
    """
    A TCP client.
    """

    def __init__(self, reactor: UvloopReactor, connector: Any, host: str, port: int, bind_address: Any) -> None:
        super().__init__(reactor, connector)
        self.addr: Any = (host, port)
        self._bind_address = bind_address
        # Names have IPv4 addresses until it turns out otherwise: so says IReactorCore.resolve.
        self._begin_attempt(socket.AF_INET6 if isIPv6Address(host) else socket.AF_INET)

    def _prepare(self, family: socket.AddressFamily) -> None:
        """
        Bind the socket to the address asked for.
        """
        super()._prepare(family)
        if self._bind_address is not None:
            assert self._attempt is not None
            _bind(self._attempt, self._bind_address)

    def _find_and_connect(self) -> None:
        """
        Resolve the name with the reactor's resolver, if it is not an address.
        """
        host = self.addr[0]
        if isIPAddress(host) or isIPv6Address(host):
            self._connect_to(host)
        else:
            resolving = self.reactor.resolve(host)
            resolving.addCallback(self._connect_to)
            resolving.addErrback(self.failIfNotConnected)

    def _connect_to(self, host: str) -> None:
        """
        Connect to a numeric address.
        """
        if self._attempt is None:
            return
        sockaddr: Any = (host, self.addr[1])
        if isIPv6Address(host):
            self.addr = sockaddr = _ipv6_sockaddr(*sockaddr)
            if self._attempt.family == socket.AF_INET:
                self._attempt.close()
                self._prepare(socket.AF_INET6)
        self._connect_socket(sockaddr)

    def _peer_address(self) -> Address:
        """
        Ask the kernel; it knows unless the peer is gone already.
        """
        assert self._uv is not None
        peername = self._uv.get_extra_info("peername")
        return twisted_address(peername if peername is not None else self.addr)

    def __repr__(self) -> str:
        """
        Name the address.
        """
        return f"<{type(self)} to {self.addr} at {id(self):x}>"


def _ipv6_sockaddr(host: str, port: int) -> tuple[str, int, int, int]:
    """
    Find the scope in a literal like C{fe80::1%eth0}.

    The port stays as it is: the resolver cuts one that is out of range, to which the kernel shall object.
    """
    found: Any = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)[0][4]
    return found[0], port, found[2], found[3]


def _bind(client: socket.socket, address: Any) -> None:
    """
    Bind a client's socket as a C{(host, port)} pair or a L{tcp.makeBinding} result says.
    """
    binding = tcp.makeBinding(*address) if isinstance(address, tuple) else address
    if binding._reuseAddress:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if binding._reusePort:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    host, port = binding._address, binding._port
    client.bind(_ipv6_sockaddr(host, port) if isIPv6Address(host) else (host, port))


class UNIXClient(ClientConnection):
    """
    A client of a UNIX socket, for a protocol that needs no file descriptors.
    """

    def __init__(self, reactor: UvloopReactor, connector: Any, path: Any, check_pid: bool) -> None:
        super().__init__(reactor, connector)
        # Text and bytes are the same name.
        self.addr: Any = UNIXAddress(path).name
        self._check_pid = check_pid
        self._begin_attempt(socket.AF_UNIX)

    def _find_and_connect(self) -> None:
        """
        See that somebody serves the socket, if asked to.
        """
        if self._check_pid and not lockfile.isLocked(self.addr + b".lock"):
            raise error.BadFileError(self.addr)
        self._connect_socket(self.addr)

    def _peer_address(self) -> Address:
        """
        Return the path.
        """
        return UNIXAddress(self.addr)


class TCPConnector(tcp.Connector):
    """
    Makes L{TCPClient}s.
    """

    def _makeTransport(self) -> Any:
        """
        Begin an attempt.
        """
        return TCPClient(self.reactor, self, self.host, self.port, self.bindAddress)


class UNIXConnector(unix.Connector):
    """
    Makes L{UNIXClient}s.
    """

    def _makeTransport(self) -> Any:
        """
        Begin an attempt.
        """
        return UNIXClient(self.reactor, self, self.address, self.checkPID)
