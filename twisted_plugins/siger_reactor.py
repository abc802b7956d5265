"""
Names Siger's reactor for C{--reactor=siger}.

It imports nothing of Siger: Twisted reads every plugin module when it lists reactors.
"""

from twisted.application.reactors import Reactor

siger = Reactor("siger", "siger.reactor", "Twisted protocols on uvloop's own transports.")
