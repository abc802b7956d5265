"""
Twisted's tests that use the global reactor pass on Siger's. What is not run, and why, is in LEFT_OUT.md.
"""

from tests.reactor_suites.suites import global_cases

MODULES = [
    "twisted.internet.test.test_endpoints",
    "twisted.internet.test.test_unix",
    "twisted.protocols.test.test_tls",
    "twisted.test.test_factories",
    "twisted.test.test_internet",
    "twisted.test.test_ssl",
    "twisted.test.test_stdio",
    "twisted.test.test_tcp",
    "twisted.test.test_threads",
    "twisted.test.test_udp",
    "twisted.test.test_unix",
    "twisted.web.test.test_webclient",
]

for module in MODULES:
    globals().update(global_cases(module))
