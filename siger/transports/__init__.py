"""
Twisted's transports over uvloop's.
"""
