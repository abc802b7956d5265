"""
Twisted's transports over uvloop's own.

Twisted's reactors call C{recv} and C{send} from Python. Here libuv does both, in C, and calls the protocol with the bytes:
about half the cost of a small request. What a protocol sees is an ordinary L{ITCPTransport}: the protocols stay testable
with C{StringTransport} and run on any other reactor.

How the calls go:

  - I{In}: uvloop keeps one callable for each connection. For a protocol (or its class) with C{reads_directly = True} that is
    the protocol's own C{dataReceived}, as it stands when C{connectionMade} returns; nothing of ours runs in between. Such
    a protocol promises that a later change of its C{dataReceived} is told by C{transport.switch_protocol(protocol)}, and
    that it asks neither for Twisted's log context nor for file descriptors. Any other protocol gets what every reactor
    gives: the attribute is looked up for each read (one small frame), in the log context of a protocol that overrides
    C{logPrefix}.
  - I{Out}: while a connection is up, C{transport.write} is uvloop's own method, in the instance; before and after, it is
    the class's, which does nothing. C{transport.writelines} is the same for many pieces; C{writeSequence} checks its
    argument besides, as Twisted does.

UNIX sockets of unmarked protocols stay Twisted's own, because only those can pass file descriptors.
"""
