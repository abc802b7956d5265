"""
Tests against real parts: sockets, Consul, clients and load.
"""
