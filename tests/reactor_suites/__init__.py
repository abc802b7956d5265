"""
Twisted's own reactor tests, run against Siger's reactor.
"""
