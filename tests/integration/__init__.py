"""
Tests against real parts: sockets, Consul, clients and load.
"""

import os

# grpcio tells its log of every handshake that is to fail, and reads this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
