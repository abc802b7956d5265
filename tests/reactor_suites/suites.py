"""
Twisted's own reactor tests, made to run against Siger's reactor.

L{twisted.internet.test.reactormixins.ReactorBuilder} makes a test case for each reactor it knows. Here the same
builders make one each, for ours, with a fresh event loop for every reactor that they build. Other tests of Twisted's
use the global reactor, which here is ours.
"""

from __future__ import annotations

import os
import stat
import sys
from asyncio import get_event_loop_policy, new_event_loop, set_event_loop
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.trial.unittest import SynchronousTestCase, TestCase

from siger.reactor import UvloopReactor

__all__ = ["build_reactor", "builder_cases", "global_cases"]

KNOWN_REACTOR = "AsyncioSelectorReactor"


def always() -> bool:
    """
    Leave out wherever this runs.
    """
    return True


def hidden_interpreter() -> bool:
    """
    Leave out where another user cannot run this interpreter.
    """
    path = Path(sys.executable).resolve()
    return any(not stat.S_IXOTH & directory.stat().st_mode for directory in path.parents)


LEFT_OUT: dict[str, Callable[[], bool]] = {
    "ProcessTestsBuilder.test_changeUID": hidden_interpreter,
    "PTYProcessTestsBuilder.test_changeUID": hidden_interpreter,
    "LoopbackTests.test_tcpNoDelay": always,
    "HalfCloseTests.testCloseWriteCloser": always,
}
"""
What is not run, and when. Why is told in LEFT_OUT.md.
"""


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


def builder_cases(module_name: str) -> dict[str, type]:
    """
    Make our test cases for each builder that C{module_name} makes cases from.
    """
    made = {}
    for name, value in vars(import_module(module_name)).items():
        if isinstance(value, type) and name.endswith(f"_{KNOWN_REACTOR}Tests") and issubclass(value, ReactorBuilder):
            builder = value.__bases__[0]
            attributes = {"reactorFactory": build_reactor, "__module__": "tests.reactor_suites.test_suites"}
            ours = f"{module_name.rpartition('.')[2]}_{builder.__name__}"
            made[ours] = type(ours, (builder, SynchronousTestCase), attributes | _left_out(builder))
    return _some(made, module_name)


def global_cases(module_name: str) -> dict[str, type]:
    """
    Make our own of the test cases in C{module_name} that use the global reactor.
    """
    made = {}
    for value in vars(import_module(module_name)).values():
        if isinstance(value, type) and issubclass(value, TestCase) and value.__module__ == module_name:
            # A short name: it becomes part of the path of UNIX sockets.
            attributes = {"__module__": "tests.reactor_suites"}
            ours = f"{module_name.rpartition('.')[2]}_{value.__name__}"
            made[ours] = type(ours, (value,), attributes | _left_out(value))
    return _some(made, module_name)


def _left_out(original: type) -> dict[str, Any]:
    """
    Override the test methods of C{original} that are left out here.
    """
    methods = {}
    for left_out, condition in LEFT_OUT.items():
        name, _, method = left_out.partition(".")
        if name == original.__name__ and condition():
            methods[method] = _skipped(getattr(original, method))
    return methods


def _skipped(method: Callable[..., Any]) -> Callable[..., Any]:
    """
    Make a test method that is only told to be left out.
    """

    def left_out(self: Any) -> Any:
        return method(self)

    left_out.skip = "see LEFT_OUT.md"  # type: ignore[attr-defined]
    return left_out


def _some(made: dict[str, type], module_name: str) -> dict[str, type]:
    """
    Insist on having found something: Twisted may rename what is looked for.
    """
    if not made:
        raise AssertionError(f"no reactor tests in {module_name}")
    return made
