"""
What a bucket and its mirrors do: tests that run against the bucket in memory and against a real server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from siger.messaging.bucket import Bucket, Entry, Mirror
from siger.messaging.errors import InvalidKeyError, KeyExistsError, RevisionError, UnavailableError

__all__ = ["BAD_KEYS", "BucketContract", "Store"]

BAD_KEYS = [
    *("", "a b", "a\r\nPUB b 1", "a\n", "\ta", "*", ">", "a.*", "a.>", ".a", "a.", "a..b", "\u00e4", "a\x00"),
    *("a" * 513, "$JS", "a:b", "a@b"),
]


class Store(Protocol):
    """
    Where a bucket is kept, and time.
    """

    @property
    def bucket(self) -> Bucket:
        """
        The bucket, whose records have no time to live.
        """

    async def until(self, condition: Callable[[], bool], seconds: float = 2.0) -> None:
        """
        Come back when the condition holds, and fail when it does not within so many seconds.
        """

    async def fail(self) -> None:
        """
        Go away. Come back once the bucket knows.
        """

    async def return_(self, empty: bool = False) -> None:
        """
        Be there again, with what was stored or with nothing. Come back once the bucket can be used.
        """


class BucketContract:
    """
    Mixed into a C{TestCase}.
    """

    assertEqual: Any
    assertLess: Any
    assertGreater: Any
    assertTrue: Any
    assertFalse: Any
    assertIsNone: Any
    addCleanup: Any
    fail: Any

    async def make_store(self) -> Store:
        """
        The store to test with.
        """
        raise NotImplementedError("each run has its own store")

    async def begin(self) -> Bucket:
        """
        Make the store.
        """
        self.store = await self.make_store()
        return self.store.bucket

    async def mirrored(self) -> Mirror:
        """
        A mirror that is complete; what it tells is in C{told}.
        """
        self.told: list[Entry] = []
        mirror = self.store.bucket.mirror(self.told.append)
        mirror.start()
        self.addCleanup(mirror.stop)
        await self.store.until(lambda: mirror.current)
        return mirror

    async def fails(self, error: type[Exception], operation: Deferred[Any]) -> None:
        """
        Fail unless an operation fails in this way.
        """
        try:
            result = await operation
        except error:
            return
        self.fail(f"{result!r}, not {error.__name__}")

    # Records

    async def test_nothing(self) -> None:
        """
        Nothing is under a key that was never written.
        """
        bucket = await self.begin()
        self.assertIsNone(await bucket.get("alice"))

    async def test_put(self) -> None:
        """
        What was put is read back with its revision, which rises with every write to any key.
        """
        bucket = await self.begin()
        first = await bucket.put("alice", b"1")
        second = await bucket.put("bob", b"2")
        third = await bucket.put("alice", b"3")
        self.assertLess(first, second)
        self.assertLess(second, third)
        self.assertEqual(await bucket.get("alice"), Entry("alice", b"3", third))

    async def test_values(self) -> None:
        """
        A value is any bytes, and none at all is a value too.
        """
        bucket = await self.begin()
        for value in (b"", b"\x00\xff\r\n\r\nPUB x 1", bytes(range(256)) * 300):
            revision = await bucket.put("key", value)
            self.assertEqual(await bucket.get("key"), Entry("key", value, revision))

    async def test_keys(self) -> None:
        """
        A key may have dots within, and the other characters that are allowed; long ones are kept apart.
        """
        bucket = await self.begin()
        keys = ["a", "a.b", "A.B.c", "-_/=", "x" * 512, "x" * 511]
        for key in keys:
            await bucket.create(key, key.encode())
        for key in keys:
            entry = await bucket.get(key)
            assert entry is not None
            self.assertEqual((entry.key, entry.value), (key, key.encode()))

    async def test_bad_keys(self) -> None:
        """
        Row K11: what could mean something else in a subject, or end a line of the protocol, is no key.
        """
        bucket = await self.begin()
        for key in BAD_KEYS:
            await self.fails(InvalidKeyError, bucket.get(key))
            await self.fails(InvalidKeyError, bucket.create(key, b""))
            await self.fails(InvalidKeyError, bucket.update(key, b"", 1))
            await self.fails(InvalidKeyError, bucket.put(key, b""))
            await self.fails(InvalidKeyError, bucket.delete(key))
        self.assertEqual(await bucket.put("first", b""), 1)

    async def test_create(self) -> None:
        """
        A key is created once; the value of the first stays.
        """
        bucket = await self.begin()
        revision = await bucket.create("alice", b"1")
        await self.fails(KeyExistsError, bucket.create("alice", b"2"))
        self.assertEqual(await bucket.get("alice"), Entry("alice", b"1", revision))

    async def test_create_after_delete(self) -> None:
        """
        A key that was deleted can be created again, and then no more.
        """
        bucket = await self.begin()
        await bucket.create("alice", b"1")
        await bucket.delete("alice")
        revision = await bucket.create("alice", b"2")
        await self.fails(KeyExistsError, bucket.create("alice", b"3"))
        self.assertEqual(await bucket.get("alice"), Entry("alice", b"2", revision))

    async def test_update(self) -> None:
        """
        Row K10: only the revision that is there is replaced.
        """
        bucket = await self.begin()
        first = await bucket.create("alice", b"1")
        second = await bucket.update("alice", b"2", first)
        await self.fails(RevisionError, bucket.update("alice", b"3", first))
        await self.fails(RevisionError, bucket.update("alice", b"3", second + 1))
        await self.fails(RevisionError, bucket.update("alice", b"3", 0))
        self.assertEqual(await bucket.get("alice"), Entry("alice", b"2", second))

    async def test_update_nothing(self) -> None:
        """
        What is not there has no revision to replace; revision 0 means just that.
        """
        bucket = await self.begin()
        await self.fails(RevisionError, bucket.update("alice", b"1", 7))
        revision = await bucket.update("alice", b"1", 0)
        self.assertEqual(await bucket.get("alice"), Entry("alice", b"1", revision))

    async def test_update_deleted(self) -> None:
        """
        A record that was deleted is not updated by who has not seen that.
        """
        bucket = await self.begin()
        revision = await bucket.create("alice", b"1")
        await bucket.delete("alice")
        await self.fails(RevisionError, bucket.update("alice", b"2", revision))
        self.assertIsNone(await bucket.get("alice"))

    async def test_delete(self) -> None:
        """
        What was deleted is gone; so it may be deleted again, or without having been there.
        """
        bucket = await self.begin()
        await bucket.put("alice", b"1")
        await bucket.delete("alice")
        await bucket.delete("alice")
        await bucket.delete("bob")
        self.assertIsNone(await bucket.get("alice"))
        self.assertIsNone(await bucket.get("bob"))

    async def test_delete_revision(self) -> None:
        """
        With a revision, only that is deleted.
        """
        bucket = await self.begin()
        first = await bucket.put("alice", b"1")
        second = await bucket.put("alice", b"2")
        await self.fails(RevisionError, bucket.delete("alice", first))
        await self.fails(RevisionError, bucket.delete("alice", 0))
        self.assertEqual(await bucket.get("alice"), Entry("alice", b"2", second))
        await bucket.delete("alice", second)
        self.assertIsNone(await bucket.get("alice"))

    # Mirrors

    async def test_mirror(self) -> None:
        """
        A mirror has all live records once it is current, and said so of each.
        """
        bucket = await self.begin()
        await bucket.put("gone", b"")
        await bucket.delete("gone")
        await bucket.put("alice", b"0")
        alice = Entry("alice", b"1", await bucket.put("alice", b"1"))
        bob = Entry("bob.b", b"", await bucket.put("bob.b", b""))
        mirror = await self.mirrored()
        self.assertEqual(mirror.entries, {"alice": alice, "bob.b": bob})
        self.assertEqual(self.told, [alice, bob])
        self.assertFalse(mirror.stale)

    async def test_mirror_of_nothing(self) -> None:
        """
        The mirror of an empty bucket is current too, and of one in which everything was deleted.
        """
        bucket = await self.begin()
        self.assertEqual((await self.mirrored()).entries, {})
        await bucket.delete("alice")
        mirror = await self.mirrored()
        self.assertEqual((mirror.entries, self.told), ({}, []))

    async def test_mirror_follows(self) -> None:
        """
        A mirror shows every change soon, and tells of it then.
        """
        bucket = await self.begin()
        mirror = await self.mirrored()
        other = bucket.mirror(lambda entry: None)
        other.start()
        self.addCleanup(other.stop)
        first = await bucket.create("alice", b"1")
        second = await bucket.update("alice", b"2", first)
        await bucket.put("bob", b"x")
        await bucket.delete("alice", second)
        await self.store.until(lambda: len(self.told) == 4, 1.0)
        changes = [(entry.key, entry.value) for entry in self.told]
        self.assertEqual(changes, [("alice", b"1"), ("alice", b"2"), ("bob", b"x"), ("alice", None)])
        self.assertEqual(list(mirror.entries), ["bob"])
        await self.store.until(lambda: other.entries == mirror.entries, 1.0)

    async def test_mirror_applies(self) -> None:
        """
        What a write of our own came to is there at once when it is applied, and told of once.
        """
        bucket = await self.begin()
        mirror = await self.mirrored()
        for number in range(20):
            value = b"%d" % number
            mirror.apply(Entry("alice", value, await bucket.put("alice", value)))
            self.assertEqual(mirror.entries["alice"].value, value)
        last = await bucket.put("bob", b"")
        await self.store.until(lambda: "bob" in mirror.entries)
        self.assertEqual([entry.value for entry in self.told[:-1]], [b"%d" % number for number in range(20)])
        mirror.apply(Entry("alice", b"old", last - 1))
        self.assertEqual(mirror.entries["alice"].value, b"19")

    async def test_mirror_stopped(self) -> None:
        """
        A mirror that was stopped keeps what it knew, and tells nothing more; started again, it catches up.
        """
        bucket = await self.begin()
        mirror = await self.mirrored()
        await bucket.put("alice", b"1")
        await self.store.until(lambda: "alice" in mirror.entries)
        mirror.stop()
        mirror.stop()
        await bucket.put("bob", b"2")
        self.assertTrue(mirror.stale)
        mirror.start()
        await self.store.until(lambda: not mirror.stale)
        self.assertEqual(list(mirror.entries), ["alice", "bob"])
        self.assertEqual([entry.key for entry in self.told], ["alice", "bob"])

    # Outages

    async def test_outage(self) -> None:
        """
        Row K15: while the store is away every operation fails at once, and reading from a mirror goes on. Afterwards
        all is as it was, and nothing that failed was done.
        """
        bucket = await self.begin()
        alice = Entry("alice", b"1", await bucket.put("alice", b"1"))
        mirror = await self.mirrored()
        await self.store.fail()
        for operation in (
            *(bucket.get("alice"), bucket.create("bob", b""), bucket.update("alice", b"2", alice.revision)),
            *(bucket.put("alice", b"2"), bucket.delete("alice")),
        ):
            self.assertTrue(operation.called)
            await self.fails(UnavailableError, operation)
        self.assertEqual(mirror.entries, {"alice": alice})
        self.assertTrue(mirror.current and mirror.stale)
        await self.store.return_()
        await self.store.until(lambda: not mirror.stale)
        self.assertEqual((mirror.entries, self.told), ({"alice": alice}, [alice]))
        self.assertEqual(await bucket.get("alice"), alice)
        self.assertGreater(await bucket.put("bob", b"2"), alice.revision)
        await self.store.until(lambda: "bob" in mirror.entries)

    async def test_emptied(self) -> None:
        """
        When the store comes back with nothing in it, the bucket is there again, and the mirror says what is gone.
        """
        bucket = await self.begin()
        for number in range(5):
            await bucket.put("alice", b"%d" % number)
        await bucket.put("bob", b"1")
        mirror = await self.mirrored()
        del self.told[:]
        await self.store.fail()
        await self.store.return_(empty=True)
        await self.store.until(lambda: not mirror.stale)
        self.assertEqual(mirror.entries, {})
        self.assertEqual({(entry.key, entry.value) for entry in self.told}, {("alice", None), ("bob", None)})
        self.assertEqual(await bucket.create("alice", b"new"), 1)
        await self.store.until(lambda: "alice" in mirror.entries)
