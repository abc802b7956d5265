"""
Clients of TCP and UNIX ports, and the connectors that make them.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet import error, tcp, unix
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import UNIXAddress
from twisted.python import lockfile

from siger.transports.addresses import twisted_address
from siger.transports.connecting import ClientConnection

if TYPE_CHECKING:
    from siger.reactor import UvloopReactor

__all__ = ["TCPConnector", "UNIXConnector"]


class TCPClient(ClientConnection):
    """
    A TCP client.

    @ivar addr: the host as it was given, and the port.
    """

    _peer_sockaddr: Any

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
        self._peer_sockaddr = sockaddr
        self._connect_socket(sockaddr)

    def getPeer(self) -> Any:
        """
        Return the address that this is, or will be, connected to.
        """
        if self._peer is None:
            self._peer = twisted_address(self._peer_sockaddr)
        return self._peer

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
    Bind a client's socket as a C{(host, port)} pair, or what L{tcp.makeBinding} makes, says.
    """
    binding: Any = tcp.makeBinding(*address) if isinstance(address, tuple) else address
    if binding._reuseAddress:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if binding._reusePort:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    host, port = binding._address, binding._port
    client.bind(_ipv6_sockaddr(host, port) if isIPv6Address(host) else (host, port))


class UNIXClient(ClientConnection):
    """
    A client of a UNIX port, for a protocol that needs no file descriptors.
    """

    def __init__(self, reactor: UvloopReactor, connector: Any, path: Any, check_pid: bool) -> None:
        super().__init__(reactor, connector)
        self._peer = UNIXAddress(path)
        self._check_pid = check_pid
        self._begin_attempt(socket.AF_UNIX)

    def _find_and_connect(self) -> None:
        """
        See that somebody serves the socket, if asked to.
        """
        path: Any = self.getPeer().name
        if self._check_pid and not lockfile.isLocked(path + b".lock"):
            raise error.BadFileError(path)
        self._connect_socket(path)

    def __repr__(self) -> str:
        """
        Name the path.
        """
        return f"<{type(self)} to {self.getPeer().name!r} at {id(self):x}>"


class TCPConnector(tcp.Connector):
    """
    Makes L{TCPClient}s.
    """

    reactor: UvloopReactor

    def _makeTransport(self) -> Any:
        """
        Begin an attempt.
        """
        return TCPClient(self.reactor, self, self.host, self.port, self.bindAddress)


class UNIXConnector(unix.Connector):
    """
    Makes L{UNIXClient}s.
    """

    reactor: UvloopReactor

    def _makeTransport(self) -> Any:
        """
        Begin an attempt.
        """
        return UNIXClient(self.reactor, self, self.address, self.checkPID)
