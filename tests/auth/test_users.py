"""
Tests for L{siger.auth.users}.
"""

from __future__ import annotations

import orjson
from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.errors import (
    BadCredentialsError,
    BusyError,
    FieldErrors,
    NameTakenError,
    UnknownUserError,
)
from siger.auth.passwords import Cost
from siger.auth.records import User, encode
from siger.auth.revocation import valid_from
from siger.auth.users import Users
from siger.config.settings.accounts import SeedUser
from siger.config.settings.gateway import Settings
from siger.messaging.bucket import Entry
from siger.messaging.errors import UnavailableError
from tests.auth.accounts import CHEAP, cheap_hasher
from tests.messaging.memory_bucket import MemoryBucket

PASSWORD = "correct horse"


class SlowBucket(MemoryBucket):
    """
    A bucket that answers reads when told.

    @ivar reads: who was asked for.
    @ivar leaves: it goes away when it is asked.
    @ivar odd: what reading ends with, if anything.
    """

    def __init__(self) -> None:
        super().__init__("users")
        self.reads: list[str] = []
        self.slow = False
        self.leaves = False
        self.odd: Exception | None = None
        self._asked: list[tuple[str, Deferred[Entry | None]]] = []

    def get(self, key: str) -> Deferred[Entry | None]:
        self.reads.append(key)
        if self.leaves:
            self.available = False
        if self.odd is not None:
            return fail(self.odd)
        if not self.slow:
            return super().get(key)
        result: Deferred[Entry | None] = Deferred()
        self._asked.append((key, result))
        return result

    def answer(self) -> None:
        """
        Answer all reads.
        """
        asked, self._asked = self._asked, []
        for key, result in asked:
            super().get(key).chainDeferred(result)


class UsersTestCase(SynchronousTestCase):
    """
    Two gateways that share a bucket; hashing is cheap, and time stands still.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_767_225_600.25)
        self.bucket = SlowBucket()
        self.hasher, self.runner = cheap_hasher()
        self.users = self.gateway()
        self.others = self.gateway()

    def gateway(self, cost: Cost = CHEAP, roles: frozenset[str] | None = None) -> Users:
        """
        Another gateway; all of them compute in one place.
        """
        hasher, runner = cheap_hasher(cost)
        if cost == CHEAP:
            hasher = self.hasher
        else:
            self.other_runner = runner
        users = Users(self.bucket, hasher, self.clock.seconds, roles=roles)
        users.start()
        self.addCleanup(users.stop)
        return users

    def register(self, username: str = "bob", password: str = PASSWORD, role: str = "user") -> User:
        """
        Make an account.
        """
        user = self.successResultOf(self.users.register(username, password, role))
        self.runner.computed()
        return user

    def bad(self, username: str, password: str, users: Users | None = None) -> None:
        """
        This is nobody's name and password.
        """
        self.failureResultOf(
            (self.users if users is None else users).authenticate(username, password), BadCredentialsError
        )

    def good(self, username: str, password: str, users: Users | None = None) -> User:
        """
        This is somebody's.
        """
        return self.successResultOf((self.users if users is None else users).authenticate(username, password))


class AuthenticateTests(UsersTestCase):
    """
    Tests for L{Users.authenticate}.
    """

    def test_right(self) -> None:
        """
        The right password gives the user, in every spelling of the name and on every gateway.
        """
        bob = self.register()
        for users in (self.users, self.others):
            for name in ("bob", "Bob", "\uff42ob"):
                self.assertEqual(self.good(name, PASSWORD, users), bob)

    def test_wrong(self) -> None:
        """
        A wrong password does not.
        """
        self.register()
        for password in ("", "correct hors", "Correct horse", "correct horse "):
            self.bad("bob", password)

    def test_all_alike(self) -> None:
        """
        Row H11: an unknown name, an impossible one, a wrong password, a disabled account and one that was deleted get
        the very same answer, which has no words.
        """
        for name in ("bob", "eve", "ann"):
            self.register(name)
        self.successResultOf(self.users.set_disabled("eve", True))
        self.successResultOf(self.users.delete("ann"))
        for name, password in (
            ("bob", "wrong horse"),
            ("eve", PASSWORD),
            ("eve", "wrong horse"),
            ("ann", PASSWORD),
            ("zoe", PASSWORD),
            ("b", PASSWORD),
            ("", ""),
            ("bob\u200b", PASSWORD),
            ("../../etc", PASSWORD),
        ):
            failure = self.failureResultOf(self.users.authenticate(name, password), BadCredentialsError)
            self.assertEqual((failure.type, failure.value.args), (BadCredentialsError, ()))

    def test_same_work(self) -> None:
        """
        Row H11: whoever is named, a thousand attempts compute one hash each, at the same cost.
        """
        self.register("bob")
        self.register("eve")
        self.successResultOf(self.users.set_disabled("eve", True))
        bob = self.users.find("bob")
        assert bob is not None
        costs = {Cost.of(bob.password_hash), Cost.of(self.hasher._nobodys.decode())}
        self.assertEqual(costs, {CHEAP})
        for number in range(250):
            for name in ("bob", "eve", f"unknown{number}", "?"):
                self.bad(name, f"wrong horse {number}")
                self.assertEqual(self.runner.computed(), ["verify"], name)

    def test_impossible_password(self) -> None:
        """
        Row H10: a megabyte is nobody's password, and refused without computing or asking anything, whoever is named.
        """
        self.register()
        self.bucket.reads.clear()
        for name in ("bob", "unknown", "?"):
            for password in ("x" * 1_000_000, "x" * 129, "correct\x00horse", "\ud800"):
                self.bad(name, password)
        self.assertEqual((self.runner.computed(), self.bucket.reads), ([], []))

    def test_read_your_writes(self) -> None:
        """
        Who has just registered can log in, though the store has told nobody yet.
        """
        self.bucket.held = True
        bob = self.register()
        self.assertEqual(self.good("bob", PASSWORD), bob)

    def test_registered_elsewhere(self) -> None:
        """
        Who has just registered at another gateway can log in here, though the store has not told us yet; and is known
        here then.
        """
        self.bucket.held = True
        bob = self.register()
        self.assertIsNone(self.others.find("bob"))
        self.assertEqual(self.good("bob", PASSWORD, self.others), bob)
        self.assertEqual(self.others.find("bob"), bob)
        self.assertEqual(self.bucket.reads, ["bob"])

    def test_wrong_elsewhere(self) -> None:
        """
        With the right password, that is.
        """
        self.bucket.held = True
        self.register()
        self.bad("bob", "wrong horse", self.others)

    def test_asked_meanwhile(self) -> None:
        """
        Row H11: the store is asked while the hash is computed, once, for known and unknown names alike; when the hash
        is there, nobody waits for the store.
        """
        self.register("bob")
        for name in ("bob", "eve"):
            self.bucket.reads.clear()
            self.bucket.slow = self.runner.held = True
            result = self.users.authenticate(name, "wrong horse")
            self.assertEqual((self.bucket.reads, self.runner.computed()), ([name], ["verify"]))
            self.assertNoResult(result)
            self.runner.release()
            self.failureResultOf(result, BadCredentialsError)
            self.bucket.answer()

    def test_changed_elsewhere(self) -> None:
        """
        A password that was replaced, and an account that was disabled, at another gateway is no good here, though the
        store has not told us yet.
        """
        self.register("bob")
        self.register("eve")
        self.bucket.held = True
        self.successResultOf(self.others.set_password("bob", "another horse"))
        self.successResultOf(self.others.set_disabled("eve", True))
        self.bad("bob", PASSWORD)
        self.bad("eve", PASSWORD)
        self.assertEqual(self.users.find("bob"), self.others.find("bob"))
        self.good("bob", "another horse")

    def test_asked_in_time(self) -> None:
        """
        An answer before that counts: the password is compared with what was found.
        """
        self.bucket.held = True
        bob = self.register()
        self.bucket.slow = self.runner.held = True
        result = self.others.authenticate("bob", PASSWORD)
        self.bucket.answer()
        self.runner.release()
        self.runner.release()
        self.assertEqual(self.successResultOf(result), bob)

    def test_asked_too_late(self) -> None:
        """
        An answer that comes later makes the user known for the next attempt.
        """
        self.bucket.held = True
        bob = self.register()
        self.bucket.slow = True
        self.bad("bob", PASSWORD, self.others)
        self.bucket.answer()
        self.assertEqual(self.good("bob", PASSWORD, self.others), bob)

    def test_impossible_are_not_asked_for(self) -> None:
        """
        For a name that nobody can have no message is sent: it would make no key.
        """
        for name in ("..", "b", "b*b", "a b c", ">"):
            self.bad(name, PASSWORD)
        self.assertEqual(self.bucket.reads, [])

    def test_outage(self) -> None:
        """
        While the store is away known users log in, and nobody else does; the store is not asked.
        """
        bob = self.register()
        self.bucket.available = False
        self.assertEqual(self.good("bob", PASSWORD), bob)
        self.bad("bob", "wrong horse")
        self.bad("eve", PASSWORD)
        self.assertEqual((self.bucket.reads, self.runner.computed()), ([], ["verify"] * 3))

    def test_lost_meanwhile(self) -> None:
        """
        A store that goes away while it is asked makes no difference to the answer.
        """
        self.bucket.leaves = True
        self.bad("eve", PASSWORD)
        self.assertEqual((self.bucket.reads, self.runner.computed()), (["eve"], ["verify"]))

    def test_store_at_fault(self) -> None:
        """
        What nobody expected of the store is logged, and makes no difference either.
        """
        self.bucket.odd = ZeroDivisionError()
        self.bad("eve", PASSWORD)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_broken_record(self) -> None:
        """
        Row H11: somebody whose record cannot be read is like somebody unknown.
        """
        self.bucket.put("bob", b"{")
        self.bad("bob", PASSWORD)
        self.assertEqual(self.runner.computed(), ["verify"])

    def test_never_read(self) -> None:
        """
        Before the accounts were read once, nobody can be told right from wrong.
        """
        self.bucket.available = False
        users = self.gateway()
        self.failureResultOf(users.authenticate("bob", PASSWORD), UnavailableError)
        self.assertEqual(self.runner.computed(), [])

    def test_busy(self) -> None:
        """
        Row H12: when too many passwords are waiting, everybody is turned away alike, and the store is not asked.
        """
        self.register()
        self.runner.full = True
        for name in ("bob", "eve", "?"):
            self.failureResultOf(self.users.authenticate(name, PASSWORD), BusyError)
        self.assertEqual(self.bucket.reads, [])

    def test_cancel(self) -> None:
        """
        An attempt that is cancelled ends.
        """
        self.register()
        self.runner.held = True
        result = self.users.authenticate("bob", PASSWORD)
        result.cancel()
        self.failureResultOf(result, CancelledError)

    def test_changed_meanwhile(self) -> None:
        """
        A password that was replaced, and an account that was disabled, deleted or given to somebody else while the hash
        was computed, are no good any more.
        """
        for name, change in (
            ("ann", lambda: self.others.set_password("ann", "another horse")),
            ("bob", lambda: self.others.set_disabled("bob", True)),
            ("cid", lambda: self.others.delete("cid")),
            (
                "dan",
                lambda: self.others.delete("dan").addCallback(lambda _: self.others.register("dan", "other horse")),
            ),
        ):
            self.register(name)
            self.runner.held = True
            result = self.users.authenticate(name, PASSWORD)
            self.runner.held = False
            self.successResultOf(change())
            self.runner.release()
            self.failureResultOf(result, BadCredentialsError)

    def test_promoted_meanwhile(self) -> None:
        """
        Who was given another role meanwhile gets that one.
        """
        self.register()
        self.runner.held = True
        result = self.users.authenticate("bob", PASSWORD)
        self.successResultOf(self.others.set_role("bob", "admin"))
        self.runner.release()
        self.assertEqual(self.successResultOf(result).role, "admin")


class RehashTests(UsersTestCase):
    """
    What logging in does to old hashes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.bob = self.register()
        self.stronger = self.gateway(Cost(16, 2, 1))

    def test_rehash(self) -> None:
        """
        Row H10: a successful login replaces a hash that took less than new ones do, for all gateways; nothing else
        changes, so no token is revoked.
        """
        self.assertEqual(self.good("bob", PASSWORD, self.stronger), self.bob)
        now = self.others.find("bob")
        assert now is not None
        self.assertEqual(Cost.of(now.password_hash), Cost(16, 2, 1))
        self.assertEqual(evolve(now, password_hash=self.bob.password_hash), self.bob)
        self.assertEqual(self.good("bob", PASSWORD), now)

    def test_once(self) -> None:
        """
        Row H10: once is enough, and a gateway with lower costs leaves it alone.
        """
        for users in (self.stronger, self.stronger, self.users):
            self.good("bob", PASSWORD, users)
        self.assertEqual(self.other_runner.computed(), ["verify", "hash", "verify"])
        self.assertEqual(self.runner.computed(), ["verify"])

    def test_failed_login(self) -> None:
        """
        A wrong password replaces nothing.
        """
        self.bad("bob", "wrong horse", self.stronger)
        self.assertEqual(self.users.find("bob"), self.bob)

    def test_login_does_not_wait(self) -> None:
        """
        The login is answered before the new hash is computed.
        """
        self.other_runner.held = True
        result = self.stronger.authenticate("bob", PASSWORD)
        self.other_runner.release()
        self.assertEqual(self.successResultOf(result), self.bob)
        self.assertEqual(self.users.find("bob"), self.bob)
        self.other_runner.release()
        self.assertNotEqual(self.users.find("bob"), self.bob)

    def test_changed_meanwhile(self) -> None:
        """
        If the account changes before the new hash is computed, it is not written: the password may be another.
        """
        self.other_runner.held = True
        self.stronger.authenticate("bob", PASSWORD)
        self.other_runner.release()
        changed = self.successResultOf(self.users.set_password("bob", "another horse"))
        self.other_runner.release()
        self.assertEqual(self.users.find("bob"), changed)
        self.good("bob", "another horse")

    def test_unavailable(self) -> None:
        """
        That it cannot be written, or hashed, does not fail the login.
        """
        self.bucket.available = False
        self.assertEqual(self.good("bob", PASSWORD, self.stronger), self.bob)
        self.bucket.available = True
        self.other_runner.held = True
        result = self.stronger.authenticate("bob", PASSWORD)
        self.other_runner.full = True
        self.other_runner.release()
        self.assertEqual(self.successResultOf(result), self.bob)

    def test_logins_during_it(self) -> None:
        """
        Another login that was verified with the old hash is good, though there is a new one by then.
        """
        self.runner.held = True
        result = self.users.authenticate("bob", PASSWORD)
        self.good("bob", PASSWORD, self.stronger)
        self.runner.release()
        self.assertEqual(self.successResultOf(result), self.users.find("bob"))


class RegisterTests(UsersTestCase):
    """
    Tests for L{Users.register}.
    """

    def test_new(self) -> None:
        """
        A new account has the canonical name, a random id, the role C{user}, and the time of its making.
        """
        user = self.register("Bob")
        self.assertEqual((user.username, user.role, user.disabled), ("bob", "user", False))
        self.assertEqual((user.created_at, user.updated_at), ("2026-01-01T00:00:00Z",) * 2)
        self.assertEqual(user.tokens_valid_from, 0)
        self.assertRegex(user.id, r"^[0-9a-f]{32}$")
        self.assertNotEqual(user.id, self.register("eve").id)
        self.assertEqual(self.users.by_id(user.id), user)

    def test_role(self) -> None:
        """
        Row H13: nobody becomes more than a user unless the caller, who has asked for an admin's token, says so.
        """
        self.assertEqual(self.register("bob").role, "user")
        self.assertEqual(self.register("eve", role="admin").role, "admin")

    def test_unknown_role(self) -> None:
        """
        Row H13: a role that there is not cannot be given.
        """
        users = self.gateway(roles=frozenset(("user", "admin")))
        for role in ("root", "Admin", "", "admin "):
            failure = self.failureResultOf(users.register("bob", PASSWORD, role), FieldErrors)
            self.assertEqual([error.field for error in failure.value.errors], ["role"])
        self.assertEqual(len(users), 0)

    def test_stored(self) -> None:
        """
        Rows H10 and H15: what is stored is an argon2id hash; the password is in no record, in no form of it.
        """
        self.register(password="caf\xe9 noir noir")
        entry = self.successResultOf(self.bucket.get("bob"))
        assert entry is not None
        assert entry.value is not None
        record = orjson.loads(entry.value)
        self.assertTrue(record["password_hash"].startswith("$argon2id$"))
        self.assertNotIn(b"noir", entry.value)
        self.assertNotIn("password", record)

    def test_taken(self) -> None:
        """
        Row H14: a name that looks like one in use is in use, and nothing is computed for it.
        """
        self.register("admin")
        for name in ("admin", "Admin", "ADMIN", "\uff41dmin"):
            self.failureResultOf(self.users.register(name, PASSWORD), NameTakenError)
        self.assertEqual(self.runner.computed(), [])

    def test_taken_elsewhere(self) -> None:
        """
        Row H14: also when it was taken at another gateway just now, or at this one while the hash was computed.
        """
        self.bucket.held = True
        self.register("bob")
        self.failureResultOf(self.others.register("Bob", PASSWORD), NameTakenError)
        self.runner.held = True
        results = [self.users.register("eve", PASSWORD) for _ in range(3)]
        self.runner.release()
        self.successResultOf(results[0])
        for result in results[1:]:
            self.failureResultOf(result, NameTakenError)

    def test_all_faults_at_once(self) -> None:
        """
        Rows H10 and H14: every field that breaks a rule is named, each with its place, and nothing is computed.
        """
        failure = self.failureResultOf(self.users.register("b", "short", "Root!"), FieldErrors)
        self.assertEqual([error.pointer for error in failure.value.errors], ["#/username", "#/password", "#/role"])
        self.assertEqual((self.runner.computed(), self.bucket.writes), ([], 0))

    def test_password_rules(self) -> None:
        """
        Row H10: the rules for passwords are asked before anything is hashed: a megabyte is refused for its length.
        """
        for password in ("seven77", "x" * 129, "x" * 1_000_000, "correct\x00horse", "long-username"):
            failure = self.failureResultOf(self.users.register("Long-Username", password), FieldErrors)
            self.assertEqual([error.field for error in failure.value.errors], ["password"])
        self.assertEqual(self.runner.computed(), [])

    def test_unchecked(self) -> None:
        """
        Without the check a short password will do, but nothing that could not be hashed.
        """
        self.successResultOf(self.users.register("user", "user123", check=False))
        self.good("user", "user123")
        self.failureResultOf(self.users.register("eve", "x" * 1_000_000, check=False), FieldErrors)

    def test_id(self) -> None:
        """
        Row H13: an id may be given by the caller, but not one that is somebody else's.
        """
        self.assertEqual(self.successResultOf(self.users.register("bob", PASSWORD, user_id="1")).id, "1")
        failure = self.failureResultOf(self.users.register("eve", PASSWORD, user_id="1"), FieldErrors)
        self.assertEqual([error.field for error in failure.value.errors], ["id"])

    def test_unavailable(self) -> None:
        """
        While the store is away nobody is registered, and the name is free afterwards.
        """
        self.bucket.available = False
        self.failureResultOf(self.users.register("bob", PASSWORD), UnavailableError)
        self.bucket.available = True
        self.assertEqual(len(self.users), 0)
        self.register("bob")

    def test_busy(self) -> None:
        """
        Row H12: when too many passwords are waiting, it is refused.
        """
        self.runner.full = True
        self.failureResultOf(self.users.register("bob", PASSWORD), BusyError)
        self.assertEqual(self.bucket.writes, 0)


class SeedTests(UsersTestCase):
    """
    Tests for L{Users.seed}.
    """

    SEEDS = (SeedUser("admin", "admin123", "admin", "1"), SeedUser("user", "user123", id="2"))

    def test_nobody_by_default(self) -> None:
        """
        Row H15: nobody exists unless somebody made them: settings have no seeds, and an empty bucket has no users.
        """
        self.assertEqual(Settings().seed_users, ())
        self.assertEqual(self.successResultOf(self.users.seed(Settings().seed_users)), 0)
        self.assertEqual(list(self.users), [])
        for name, password in (("admin", "admin123"), ("user", "user123"), ("root", "root"), ("admin", "")):
            self.bad(name, password)

    def test_made(self) -> None:
        """
        Those that are configured are made, with their ids, roles and passwords, however short.
        """
        self.assertEqual(self.successResultOf(self.users.seed(self.SEEDS)), 2)
        self.assertEqual(
            [(user.id, user.username, user.role) for user in self.users],
            [("1", "admin", "admin"), ("2", "user", "user")],
        )
        self.assertEqual(self.good("admin", "admin123", self.others).id, "1")
        self.assertEqual(self.good("user", "user123").id, "2")

    def test_existing_stay(self) -> None:
        """
        Row H15: those that exist stay as they are: a password that was changed is not changed back.
        """
        self.successResultOf(self.users.seed(self.SEEDS))
        self.successResultOf(self.users.set_password("admin", "another horse"))
        self.runner.computed()
        for users in (self.users, self.others, self.gateway()):
            self.assertEqual(self.successResultOf(users.seed(self.SEEDS)), 0)
        self.assertEqual(self.runner.computed(), [])
        self.bad("admin", "admin123")

    def test_waits(self) -> None:
        """
        Nothing is made before the accounts have been read.
        """
        users = Users(self.bucket, self.hasher, self.clock.seconds)
        result = users.seed(self.SEEDS)
        self.assertNoResult(result)
        users.start()
        self.assertEqual(self.successResultOf(result), 2)

    def test_at_once(self) -> None:
        """
        Two gateways that start together make each of them once.
        """
        self.bucket.held = True
        made = self.successResultOf(self.users.seed(self.SEEDS)) + self.successResultOf(self.others.seed(self.SEEDS))
        self.assertEqual(made, 2)

    def test_id_in_use(self) -> None:
        """
        One with an id that somebody else has is not made; the others are.
        """
        self.successResultOf(self.users.register("bob", PASSWORD, user_id="1"))
        self.assertEqual(self.successResultOf(self.users.seed(self.SEEDS)), 1)
        self.assertIsNone(self.users.find("admin"))

    def test_unavailable(self) -> None:
        """
        If the store is away it fails, and can be tried again.
        """
        self.bucket.available = False
        self.failureResultOf(self.users.seed(self.SEEDS), UnavailableError)
        self.bucket.available = True
        self.assertEqual(self.successResultOf(self.users.seed(self.SEEDS)), 2)


class ChangeTests(UsersTestCase):
    """
    Tests for what changes accounts.
    """

    def setUp(self) -> None:
        super().setUp()
        self.bob = self.register()
        self.clock.advance(10)

    def test_password(self) -> None:
        """
        A new password counts at once, here and there; the old one and its tokens do not: those of this very second
        neither.
        """
        user = self.successResultOf(self.users.set_password("Bob", "another horse"))
        for users in (self.users, self.others):
            self.assertEqual(self.good("bob", "another horse", users), user)
            self.bad("bob", PASSWORD, users)
        self.assertEqual(user.tokens_valid_from, 1_767_225_611)
        self.assertEqual((user.created_at, user.updated_at), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z"))
        self.assertEqual((user.id, user.role), (self.bob.id, "user"))

    def test_password_rules(self) -> None:
        """
        Row H10: it has to follow the rules.
        """
        for password in ("seven77", "x" * 1_000_000, "correct\x00horse"):
            failure = self.failureResultOf(self.users.set_password("bob", password), FieldErrors)
            self.assertEqual([error.pointer for error in failure.value.errors], ["#/password"])
        self.successResultOf(self.users.register("long-username", PASSWORD))
        self.failureResultOf(self.users.set_password("Long-Username", "long-USERNAME"), FieldErrors)

    def test_password_busy(self) -> None:
        """
        Row H12: when too many passwords are waiting, it is refused.
        """
        self.runner.full = True
        self.failureResultOf(self.users.set_password("bob", "another horse"), BusyError)
        self.assertEqual(self.users.find("bob"), self.bob)

    def test_role(self) -> None:
        """
        A new role counts at once; tokens with the old one do not.
        """
        user = self.successResultOf(self.users.set_role("bob", "admin"))
        self.assertEqual((user.role, user.tokens_valid_from), ("admin", 1_767_225_611))
        self.assertEqual(self.others.find("bob"), user)

    def test_unknown_role(self) -> None:
        """
        Row H13: it must be one that there is.
        """
        users = self.gateway(roles=frozenset(("user", "admin")))
        self.failureResultOf(users.set_role("bob", "root"), FieldErrors)
        self.failureResultOf(self.users.set_role("bob", "a, b"), FieldErrors)
        self.assertEqual(self.users.find("bob"), self.bob)

    def test_disable(self) -> None:
        """
        Who is disabled cannot log in, and their tokens are no good; who is enabled again can.
        """
        user = self.successResultOf(self.users.set_disabled("bob", True))
        self.assertEqual((user.disabled, user.tokens_valid_from), (True, 1_767_225_611))
        self.bad("bob", PASSWORD, self.others)
        self.clock.advance(60)
        user = self.successResultOf(self.users.set_disabled("bob", False))
        self.assertEqual((user.disabled, user.tokens_valid_from), (False, 1_767_225_611))
        self.assertEqual(user.updated_at, "2026-01-01T00:01:10Z")
        self.assertEqual(self.good("bob", PASSWORD, self.others), user)

    def test_delete(self) -> None:
        """
        Who is deleted is unknown, and their tokens are no good; whoever takes the name is somebody else.
        """
        user = self.successResultOf(self.users.delete("Bob"))
        self.assertEqual((user.id, user.tokens_valid_from), (self.bob.id, 1_767_225_611))
        self.bad("bob", PASSWORD, self.others)
        self.assertEqual((self.others.by_id(user.id), len(self.others)), (None, 0))
        self.assertNotEqual(self.register("bob", "another horse").id, user.id)

    def test_no_change(self) -> None:
        """
        What is so already is not written again, and revokes nothing.
        """
        writes = self.bucket.writes
        self.assertEqual(self.successResultOf(self.users.set_role("bob", "user")), self.bob)
        self.assertEqual(self.successResultOf(self.users.set_disabled("bob", False)), self.bob)
        self.assertEqual(self.bucket.writes, writes)

    def test_twice_at_once(self) -> None:
        """
        A token of after one change is no good after the next, even if both were in the same second: tokens of after a
        change are dated ahead.
        """
        role = self.successResultOf(self.users.set_role("bob", "admin"))
        between = max(int(self.clock.seconds()), valid_from(role))
        password = self.successResultOf(self.users.set_password("bob", "another horse"))
        self.assertGreater(valid_from(password), between)
        self.assertGreater(valid_from(self.successResultOf(self.users.delete("bob"))), valid_from(password))

    def test_clock_runs_back(self) -> None:
        """
        The time from which tokens are good never goes back, though the clock may.
        """
        ahead = encode(evolve(self.bob, tokens_valid_from=2_000_000_000))
        self.bucket.put("bob", ahead)
        self.assertEqual(self.successResultOf(self.users.set_role("bob", "admin")).tokens_valid_from, 2_000_000_001)

    def test_at_once(self) -> None:
        """
        Changes from two gateways at the same time are both made.
        """
        self.bucket.held = True
        self.successResultOf(self.users.set_role("bob", "admin"))
        self.successResultOf(self.others.set_disabled("bob", True))
        self.bucket.held = False
        for users in (self.users, self.others):
            user = users.find("bob")
            assert user is not None
            self.assertEqual((user.role, user.disabled), ("admin", True))

    def test_unknown(self) -> None:
        """
        Nobody can be changed but somebody, and nothing is computed for nobody.
        """
        for name in ("eve", "", "b\u200bob"):
            self.failureResultOf(self.users.set_password(name, "another horse"), UnknownUserError)
            self.failureResultOf(self.users.set_role(name, "admin"), UnknownUserError)
            self.failureResultOf(self.users.set_disabled(name, True), UnknownUserError)
            self.failureResultOf(self.users.delete(name), UnknownUserError)
        self.assertEqual(self.runner.computed(), [])

    def test_unavailable(self) -> None:
        """
        While the store is away nobody is changed.
        """
        self.bucket.available = False
        for result in (
            self.users.set_password("bob", "another horse"),
            self.users.set_role("bob", "admin"),
            self.users.set_disabled("bob", True),
            self.users.delete("bob"),
        ):
            self.failureResultOf(result, UnavailableError)
        self.assertEqual(self.users.find("bob"), self.bob)
