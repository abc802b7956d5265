"""
Clients that call all the time over one connection, and write down each call that did not go well.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from tests.integration.grpc_plan import Plan
from tests.integration.grpc_world import Outcome, ask, call_names, connect, outcome, streamed

__all__ = ["CallLoad"]

_SIZES = (10, 30_000)


class CallLoad:
    """
    Some clients with calls of one answer, and one with streams.

    @ivar answered: how many calls each server answered, by its name.
    @ivar failed: what went wrong.
    @ivar names: of all calls that were made.
    """

    def __init__(self, port: int, clients: int = 3, **options: Any) -> None:
        """
        @param options: for each call.
        """
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self.names: list[str] = []
        self._options = options
        self._channel = connect(port)
        self._stopping = threading.Event()
        kinds = [self._unary] * clients + [self._stream]
        self._threads = [threading.Thread(target=self._go_on, args=(kind,), daemon=True) for kind in kinds]

    def start(self) -> CallLoad:
        """
        Begin.
        """
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """
        Let each finish its call.
        """
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._channel.close()

    def _go_on(self, kind: Any) -> None:
        while not self._stopping.is_set():
            name = next(call_names)
            self.names.append(name)
            got: Outcome = kind((("x-call", name),))
            if got.code or [len(message) for message in got.messages] != list(_SIZES):
                self.failed.append(f"{name}: {got.code} {got.details} after {len(got.messages)} messages")
            else:
                self.answered.update(map(str, got.values("x-server")))
            self._stopping.wait(0.002)

    def _unary(self, metadata: Any) -> Outcome:
        return ask(self._channel, Plan(sizes=_SIZES), metadata=metadata, **self._options)

    def _stream(self, metadata: Any) -> Outcome:
        requests = (Plan(sizes=[size]).encode(5000) for size in _SIZES)
        return outcome(streamed(self._channel, requests, metadata=metadata, **self._options))
