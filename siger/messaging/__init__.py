"""
Messages and records that several gateways share: the connection to NATS, its buckets, and the server that may run
inside.
"""
