"""
What tests of accounts share: hashing that costs nothing to speak of and happens at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from siger.auth.errors import BusyError
from siger.auth.passwords import Cost, Hasher

__all__ = ["CHEAP", "ManualRunner", "cheap_hasher"]

T = TypeVar("T")

#: The least that argon2 can do.
CHEAP = Cost(8, 1, 1)


class ManualRunner:
    """
    Runs functions on the spot, or when told.

    @ivar full: refuses everything.
    @ivar held: keeps what comes until L{release}.
    @ivar calls: what was run: the name of the function, and its arguments.
    """

    def __init__(self) -> None:
        self.full = False
        self.held = False
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self._waiting: list[tuple[Deferred[object], Callable[[], object]]] = []

    def run(self, function: Callable[..., T], *arguments: object) -> Deferred[T]:
        """
        Run a function now, or keep it.
        """
        if self.full:
            return fail(BusyError())
        self.calls.append((function.__name__.strip("_"), arguments))
        if not self.held:
            return succeed(function(*arguments))
        result: Deferred[T] = Deferred()
        self._waiting.append((result, lambda: function(*arguments)))  # type: ignore[arg-type]
        return result

    def release(self, count: int | None = None) -> None:
        """
        Run what was kept, the oldest first.
        """
        waiting, self._waiting = self._waiting[:count], self._waiting[len(self._waiting[:count]) :]
        for result, work in waiting:
            result.callback(work())

    def stop(self) -> Deferred[None]:
        """
        Refuse everything.
        """
        self.full = True
        return succeed(None)

    def computed(self) -> list[str]:
        """
        What was run since the last time this was asked.
        """
        names = [name for name, _ in self.calls]
        self.calls.clear()
        return names


def cheap_hasher(cost: Cost = CHEAP) -> tuple[Hasher, ManualRunner]:
    """
    A hasher without threads.
    """
    runner = ManualRunner()
    return Hasher(None, cost=cost, runner=runner), runner
