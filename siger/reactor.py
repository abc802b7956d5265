"""
Choose and build the reactor: the one place that does.

Everybody else takes a reactor as an argument. L{install} is called by the service maker before anything imports
C{twisted.internet.reactor}, by the tests' package, and by C{--reactor=siger} through the reactor plugin.
"""

from __future__ import annotations

import asyncio
import sys

from twisted.internet.asyncioreactor import AsyncioSelectorReactor

__all__ = ["WrongReactor", "install"]


class WrongReactor(Exception):
    """
    Another reactor was installed first, and a process has only one.
    """


def new_event_loop() -> asyncio.AbstractEventLoop:
    """
    Make uvloop's event loop, or the standard one where uvloop cannot be imported.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def install() -> None:
    """
    Install Siger's reactor over an event loop of its own, unless an asyncio reactor is in place already.

    @raise WrongReactor: when a reactor of another family was installed first.
    """
    installed = sys.modules.get("twisted.internet.reactor")
    if isinstance(installed, AsyncioSelectorReactor):
        return
    if installed is not None:
        name = type(installed).__name__
        raise WrongReactor(f"siger runs on its own asyncio reactor, but {name} is already installed")
    loop = new_event_loop()
    asyncio.set_event_loop(loop)

    from twisted.internet.main import installReactor

    installReactor(AsyncioSelectorReactor(loop))
