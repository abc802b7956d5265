"""
The gateway's jobs: where they are kept, what serves them, and what looks after them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from siger.jobs.app import JobsApp
from siger.jobs.polling import Changes

if TYPE_CHECKING:
    from siger.config.settings import Settings
    from siger.observe.metrics import Metrics
    from siger.store import Store

__all__ = ["Queue"]


class Queue:
    """
    The jobs of one gateway.

    @ivar app: the endpoints below C{/api/v1/jobs}.
    """

    def __init__(self, reactor: Any, settings: Settings, store: Store) -> None:
        self._changes = Changes(reactor)
        self.app = JobsApp(None, None, self._changes, settings.jobs)

    def expose(self, metrics: Metrics) -> None:
        """
        Show them among the metrics.
        """

    def first_sync(self) -> Deferred[Any]:
        """
        Fire when all records have been read.
        """
        return succeed(None)

    def start(self) -> None:
        """
        Begin.
        """

    def drain(self) -> None:
        """
        Let nobody wait any longer.
        """
        self._changes.end()

    def stop(self) -> Deferred[Any]:
        """
        End.
        """
        return succeed(None)
