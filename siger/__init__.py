"""
Siger, an API gateway on Twisted: one front door that proxies REST and gRPC calls to the backends Consul knows.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
