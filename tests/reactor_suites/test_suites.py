"""
Siger's reactor passes Twisted's own reactor tests. What is not run, and why, is in LEFT_OUT.md.
"""

from tests.reactor_suites.suites import builder_cases

MODULES = [
    "test_core",
    "test_fdset",
    "test_newtls",
    "test_process",
    "test_socket",
    "test_stdio",
    "test_tcp",
    "test_threads",
    "test_time",
    "test_tls",
    "test_udp",
    "test_unix",
]

for module in MODULES:
    globals().update(builder_cases(f"twisted.internet.test.{module}"))
