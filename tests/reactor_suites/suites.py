"""
Twisted's own reactor tests, made to run against Siger's reactor.

L{twisted.internet.test.reactormixins.ReactorBuilder} makes a test case for each reactor it knows. Here the same
builders make one each, for ours, with a fresh event loop for every reactor that they build.
"""

from __future__ import annotations

import os
from asyncio import get_event_loop_policy, new_event_loop, set_event_loop
from importlib import import_module
from typing import Any

import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.trial.unittest import SynchronousTestCase

from siger.reactor import UvloopReactor

__all__ = ["cases"]

KNOWN_REACTOR = "AsyncioSelectorReactor"


def build_reactor(case: Any) -> AsyncioSelectorReactor:
    """
    Make the reactor under test, over a loop that is closed when the test is over.

    For comparison by hand, C{SIGER_SUITES_REACTOR=asyncio} runs Twisted's asyncio reactor instead.
    """
    policy = get_event_loop_policy()
    original = policy.get_event_loop()
    plain = os.environ.get("SIGER_SUITES_REACTOR") == "asyncio"
    loop = new_event_loop() if plain else uvloop.new_event_loop()
    set_event_loop(loop)

    def clean_up() -> None:
        if not plain:
            # uvloop closes sockets, and reports losses, in a turn of the loop.
            loop.call_soon(loop.stop)
            loop.run_forever()
        loop.close()
        set_event_loop(original)

    case.addCleanup(clean_up)
    return AsyncioSelectorReactor(loop) if plain else UvloopReactor(loop)


def cases(module_name: str) -> dict[str, type]:
    """
    Make our test cases for each builder that C{module_name} makes cases from.
    """
    made = {}
    module = import_module(module_name)
    for name, value in vars(module).items():
        if isinstance(value, type) and name.endswith(f"_{KNOWN_REACTOR}Tests") and issubclass(value, ReactorBuilder):
            builder = value.__bases__[0]
            ours = f"{module_name.rpartition('.')[2]}_{builder.__name__}"
            made[ours] = _case(ours, builder)
    return made


def _case(name: str, builder: type) -> type:
    """
    Make a test case of C{builder}.
    """
    body = {"__module__": "tests.reactor_suites.test_suites", "reactorFactory": build_reactor}
    return type(name, (builder, SynchronousTestCase), body)
