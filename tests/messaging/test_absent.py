"""
Tests for L{siger.messaging.absent}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.messaging.absent import AbsentBucket
from siger.messaging.bucket import Bucket
from siger.messaging.errors import UnavailableError


class AbsentBucketTests(SynchronousTestCase):
    """
    Tests for L{AbsentBucket}.
    """

    def test_nothing_works(self) -> None:
        """
        Whatever is asked of it fails at once, as with a store that is away.
        """
        bucket: Bucket = AbsentBucket("users")
        for asked in (
            bucket.get("a"),
            bucket.create("a", b""),
            bucket.update("a", b"", 1),
            bucket.put("a", b""),
            bucket.delete("a"),
        ):
            self.failureResultOf(asked, UnavailableError)

    def test_mirror(self) -> None:
        """
        Its mirror never becomes current, and can be started and stopped all the same.
        """
        mirror = AbsentBucket("users").mirror(lambda entry: None)
        mirror.start()
        waiting = mirror.when_current()
        self.assertEqual((mirror.current, mirror.stale, dict(mirror.entries)), (False, True, {}))
        mirror.stop()
        self.assertNoResult(waiting)
