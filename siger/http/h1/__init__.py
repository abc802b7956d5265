"""
HTTP/1.1 as clients speak it (RFC 9112): one request after the other, each answered before the next is read.

I{The layers} of a connection, each a class that inherits from the one before: L{connection} (whether it is read, and
how it ends), L{responses} (what is sent), L{bodies} (what comes behind a head), L{channel} (heads, and whose turn it
is). L{states} is what all of them go by.
"""
