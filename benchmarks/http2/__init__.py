"""
HTTP/2 and gRPC: a load generator and a backend that do as grpcio does and cost little, and what goes with them.
"""
