"""
HTTP/2 (RFC 9113), one engine for both roles.

I{The layers} of a connection, each a class that inherits from the one before: L{writing} (frames on their way out, sent
together once what was read has been dealt with), L{costs} (what a peer may cost), L{table} (streams), L{windows} (flow
control), L{sections} (header blocks), L{control} (the frames that carry nothing), L{connection} (frames on their way
in, and the end of all). Of this there are two roles: L{server}, which hands requests to the application as an HTTP/1.1
channel does, on top of L{lifetime} (how long a client's connection lasts) and L{request_sections}; and
L{siger.proxy.multiplexed}, which carries requests to an instance, on top of L{response_sections}.

L{streams} is what streams of both roles have in common: their state and what waits for the peer's window. L{fields},
L{requests} and L{responses} are pure: from decoded fields to heads.
"""
