"""
Proxied exchanges: the pool of upstream connections, the exchange itself, tunnels and the resource.
"""
