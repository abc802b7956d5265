"""
Tests for L{siger.store}.
"""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.gateway import Settings
from siger.messaging.absent import AbsentBucket
from siger.observe.metrics import Metrics
from siger.observe.observer import Observer
from siger.store import Store


class WithoutNatsTests(SynchronousTestCase):
    """
    A gateway that has no NATS.
    """

    def test_nothing(self) -> None:
        """
        There is no connection, buckets cannot be reached, and it can be started and stopped all the same.
        """
        store = Store(MemoryReactorClock(), Settings())
        store.start()
        self.assertIsNone(store.connection)
        self.assertIsInstance(store.bucket("users"), AbsentBucket)
        self.assertEqual(store.describe(), "none")
        self.successResultOf(store.stop())

    def test_metrics(self) -> None:
        """
        What does not exist is not measured.
        """
        metrics = Metrics(Observer())
        Store(MemoryReactorClock(), Settings()).expose(metrics)
        self.assertNotIn(b"siger_nats", metrics.exposition("")[1])
