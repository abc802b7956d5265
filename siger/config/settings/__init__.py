"""
The settings of a gateway as values: typed, complete, frozen.

Nothing here reads or checks anything. L{siger.config.load} makes these values from a file and the environment, tests
make them by hand, and whoever receives one can rely on every field: what was not written has its default, and what a
service does not say for itself was taken from C{service_defaults}.
"""
