"""
Twisted's transports over uvloop's own.

Twisted's reactors call C{recv} and C{send} from Python. Here libuv does both, in C, and calls the protocol with the
bytes, which is about half the cost of a small request. What a protocol sees is an ordinary L{ITCPTransport}: protocols
stay testable with C{StringTransport} and run on any other reactor.

I{The way in.} uvloop keeps one callable for each connection. For a protocol whose class says C{reads_directly = True}
it is the protocol's own C{dataReceived}, as it stands when C{connectionMade} returns; nothing of ours runs in between.
Such a protocol promises to tell a later change of its C{dataReceived} by C{transport.switch_protocol(protocol)}, and
asks neither for Twisted's log context nor for file descriptors. Any other protocol gets what every reactor gives: the
attribute is looked up for each read (one small frame), in the log context of a protocol that overrides C{logPrefix}.

I{The way out.} While a connection is up, C{transport.write} is uvloop's own method, an attribute of the instance;
before and after, it is that of the class, which does nothing. So it is to be looked up for each call, not kept.
C{transport.writelines} is the same for many pieces; C{writeSequence} checks its argument besides, as Twisted does.

I{The layers}, each a class that inherits from the one before: L{facts} (addresses and options), L{reading} (who gets
the bytes), L{pausing} (and when not), L{writing}, L{producing}, L{halves} (half-close), L{tls}, and L{connection} (the
whole life), of which L{listening} and L{connecting} have the server's and the client's kind.

UNIX sockets of unmarked protocols stay Twisted's own, because only those can pass file descriptors.
"""
