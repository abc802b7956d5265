"""
Tests of Siger.

Importing this package installs Siger's reactor, so that a plain C{trial tests} runs everything on it.
"""

import os
import signal

from siger.reactor import install

install()

# grpcio reads these when it is imported. It would log every handshake that is to fail; and what it does in a process
# that was forked kills some of those that Twisted's own tests start.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# A shell has its background jobs ignore Ctrl-C, and they what they start; tests that interrupt a program mean it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
