"""
Tests of the bucket in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase, TestCase

from siger.messaging.bucket import Entry
from tests.messaging.contract import BucketContract, Store
from tests.messaging.memory_bucket import MemoryBucket


class MemoryStore:
    """
    Memory, and no time at all.
    """

    def __init__(self) -> None:
        self.bucket = MemoryBucket("records")

    async def until(self, condition: Callable[[], bool], seconds: float = 2.0) -> None:
        """
        Fail unless the condition holds.
        """
        assert condition()

    async def fail(self) -> None:
        """
        Go away.
        """
        self.bucket.available = False

    async def return_(self, empty: bool = False) -> None:
        """
        Be there again.
        """
        if empty:
            self.bucket.clear()
        self.bucket.available = True


class MemoryBucketContractTests(BucketContract, TestCase):
    """
    The bucket in memory does what a bucket does.
    """

    async def make_store(self) -> Store:
        """
        Memory.
        """
        return MemoryStore()


class MemoryBucketTests(SynchronousTestCase):
    """
    What only the bucket in memory does.
    """

    def test_held(self) -> None:
        """
        While it is held, mirrors hear nothing; then everything in order.
        """
        bucket = MemoryBucket()
        told: list[Entry] = []
        bucket.mirror(told.append).start()
        bucket.held = True
        bucket.put("alice", b"1")
        bucket.delete("alice")
        self.assertEqual(told, [])
        bucket.held = False
        self.assertEqual(told, [Entry("alice", b"1", 1), Entry("alice", None, 2)])

    def test_forget(self) -> None:
        """
        What it forgets is gone without a word, until mirrors are told everything.
        """
        bucket = MemoryBucket()
        told: list[Entry] = []
        mirror = bucket.mirror(told.append)
        mirror.start()
        bucket.put("alice", b"1")
        bucket.forget("alice")
        self.assertIsNone(self.successResultOf(bucket.get("alice")))
        self.assertIn("alice", mirror.entries)
        bucket.available = False
        bucket.available = True
        self.assertEqual(told[-1], Entry("alice", None, 1))
        self.assertEqual((mirror.entries, bucket.writes), ({}, 1))
