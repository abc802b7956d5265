"""
Tests for L{siger.auth.attempts}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from siger.auth.attempts import Attempts

HERE = "192.0.2.1"
THERE = "192.0.2.2"


class AttemptsTestCase(SynchronousTestCase):
    """
    A clock that stands still unless it is moved.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts = Attempts(self.clock.seconds)

    def fail_often(self, times: int, client: str = HERE, name: str = "bob") -> None:
        """
        Fail, whatever has to be waited for.
        """
        for _ in range(times):
            self.attempts.failed(client, name)


class PairTests(AttemptsTestCase):
    """
    One client with one name.
    """

    def test_first_five(self) -> None:
        """
        Row H12: nobody waits after four failures; after the fifth it is a second.
        """
        for _ in range(5):
            self.assertEqual(self.attempts.wait(HERE, "bob"), 0)
            self.attempts.failed(HERE, "bob")
        self.assertEqual(self.attempts.wait(HERE, "bob"), 1)

    def test_doubles(self) -> None:
        """
        Row H12: each further failure doubles the wait, up to a minute.
        """
        self.fail_often(4)
        waits = []
        for _ in range(9):
            self.fail_often(1)
            waits.append(self.attempts.wait(HERE, "bob"))
        self.assertEqual(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60])

    def test_passes(self) -> None:
        """
        The wait is counted from the last failure, in whole seconds that are enough.
        """
        self.fail_often(8)
        self.clock.advance(0.5)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 8)
        self.clock.advance(7.25)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 1)
        self.clock.advance(0.25)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 0)

    def test_asking_costs_nothing(self) -> None:
        """
        Whoever asks while they have to wait does not wait longer for it.
        """
        self.fail_often(6)
        for _ in range(50):
            self.assertEqual(self.attempts.wait(HERE, "bob"), 2)
        self.clock.advance(2)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 0)

    def test_success(self) -> None:
        """
        A success takes back all failures with that name.
        """
        self.fail_often(11)
        self.attempts.succeeded(HERE, "bob")
        self.fail_often(4)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 0)

    def test_others(self) -> None:
        """
        Row H12: other names, and other clients, do not wait for it.
        """
        self.fail_often(11)
        self.assertEqual(self.attempts.wait(HERE, "eve"), 0)
        self.assertEqual(self.attempts.wait(THERE, "bob"), 0)

    def test_spellings(self) -> None:
        """
        Row H14: all spellings of a name are one, and all names that nobody can have are one.
        """
        for name in ("bob", "Bob", "BOB", "\uff42ob", "boB"):
            self.attempts.failed(HERE, name)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 1)
        for name in ("", "?", "a b", "x" * 1_000_000, "b\u200bob"):
            self.attempts.failed(THERE, name)
        self.assertEqual(self.attempts.wait(THERE, "\x00"), 1)

    def test_network(self) -> None:
        """
        Row I1: the addresses of one IPv6 network of 64 bits are one client; those of another are not.
        """
        for last in range(5):
            self.attempts.failed(f"2001:db8::{last + 1:x}", "bob")
        self.assertEqual(self.attempts.wait("2001:db8::ffff", "bob"), 1)
        self.assertEqual(self.attempts.wait("2001:db8:0:1::1", "bob"), 0)

    def test_time_forgives(self) -> None:
        """
        Five minutes take back one failure.
        """
        self.fail_often(5)
        self.clock.advance(299)
        self.fail_often(1)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 2)
        self.clock.advance(1)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 0)
        self.attempts.failed(HERE, "bob")
        self.assertEqual(self.attempts.wait(HERE, "bob"), 2)

    def test_all_forgiven(self) -> None:
        """
        However often somebody failed, after an hour they begin anew.
        """
        self.fail_often(1000)
        self.clock.advance(3600)
        self.fail_often(4)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 0)


class RunningTests(AttemptsTestCase):
    """
    Attempts whose outcome is not known yet.
    """

    def test_at_once(self) -> None:
        """
        Row H12: once there was a failure, no more attempts may run at once than failures are free.
        """
        self.fail_often(2)
        self.assertEqual([self.attempts.wait(HERE, "bob") for _ in range(5)], [0, 0, 0, 1, 1])

    def test_one_at_a_time(self) -> None:
        """
        Row H12: when the free ones are used up and the wait is over, one attempt may be made, not a hundred at once.
        """
        self.fail_often(11)
        self.clock.advance(60)
        self.assertEqual([self.attempts.wait(HERE, "bob") for _ in range(3)], [0, 1, 1])
        self.attempts.failed(HERE, "bob")
        self.assertEqual(self.attempts.wait(HERE, "bob"), 60)

    def test_no_failure(self) -> None:
        """
        Somebody who did not fail may log in as often at once as they like.
        """
        self.assertEqual({self.attempts.wait(HERE, "bob") for _ in range(1000)}, {0})

    def test_forgiven(self) -> None:
        """
        So may somebody whose failures were all forgiven, by time or by a success.
        """
        self.fail_often(3)
        self.clock.advance(900)
        self.assertEqual({self.attempts.wait(HERE, "bob") for _ in range(100)}, {0})
        self.fail_often(3)
        self.attempts.succeeded(HERE, "bob")
        self.assertEqual({self.attempts.wait(HERE, "bob") for _ in range(100)}, {0})

    def test_ends(self) -> None:
        """
        An attempt that came to an end, however, lets the next one run.
        """
        self.fail_often(4)
        for end in (self.attempts.abandoned, self.attempts.succeeded):
            self.assertEqual(self.attempts.wait(HERE, "bob"), 0)
            self.assertEqual(self.attempts.wait(HERE, "bob"), 1)
            end(HERE, "bob")
        self.assertEqual(self.attempts.wait(HERE, "bob"), 0)

    def test_abandoned(self) -> None:
        """
        An attempt that came to no answer is neither a failure nor a success.
        """
        self.fail_often(5)
        for _ in range(20):
            self.attempts.abandoned(HERE, "bob")
        self.assertEqual(self.attempts.wait(HERE, "bob"), 1)

    def test_forgotten(self) -> None:
        """
        One that nobody tells the end of is held against nobody for longer than half a minute.
        """
        self.fail_often(4)
        self.assertEqual([self.attempts.wait(HERE, "bob") for _ in range(2)], [0, 1])
        self.clock.advance(29)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 1)
        self.clock.advance(1)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 0)


class ClientTests(AttemptsTestCase):
    """
    One client with many names.
    """

    def test_spray(self) -> None:
        """
        Row H12: after twenty failures a client waits with every name, and twice as long after each further one.
        """
        waits = []
        for number in range(24):
            waits.append(self.attempts.wait(HERE, f"user{number}"))
            self.attempts.failed(HERE, f"user{number}")
        self.assertEqual(waits, [0] * 20 + [1, 2, 4, 8])
        self.assertEqual(self.attempts.wait(HERE, "somebody"), 16)
        self.assertEqual(self.attempts.wait(THERE, "somebody"), 0)

    def test_own_account(self) -> None:
        """
        Row H12: logging in to an account of one's own does not take back the failures with other names.
        """
        for number in range(20):
            self.attempts.failed(HERE, f"user{number}")
        for _ in range(100):
            self.attempts.succeeded(HERE, "mallory")
        self.assertEqual(self.attempts.wait(HERE, "somebody"), 1)

    def test_many_users_of_one_address(self) -> None:
        """
        Somebody who gets it right at last takes back what they added to their address.
        """
        for number in range(10):
            self.fail_often(3, name=f"user{number}")
            self.attempts.succeeded(HERE, f"user{number}")
        self.assertEqual(self.attempts.wait(HERE, "user0"), 0)

    def test_time_forgives(self) -> None:
        """
        A minute takes back one failure, so an office with a typing error a minute never waits.
        """
        for number in range(100):
            self.assertEqual(self.attempts.wait(HERE, f"user{number}"), 0)
            self.attempts.failed(HERE, f"user{number}")
            self.clock.advance(60)


class NameTests(AttemptsTestCase):
    """
    Many clients with one name.
    """

    def setUp(self) -> None:
        super().setUp()
        for number in range(100):
            self.attempts.failed(f"198.51.100.{number}", "bob")

    def test_owner_is_heard(self) -> None:
        """
        Row H12: however many clients attack a name, its owner's first attempt from another address is heard at once.
        """
        for number in range(1000):
            self.attempts.failed(f"203.0.{number // 250}.{number % 250}", "bob")
            self.assertEqual(self.attempts.wait(f"10.0.{number // 250}.{number % 250}", "bob"), 0)

    def test_ninety_nine(self) -> None:
        """
        Before the hundredth failure five are free, and the hundredth changes that.
        """
        for number in range(98):
            self.attempts.failed(f"198.51.100.{number}", "eve")
        self.attempts.failed(HERE, "eve")
        self.assertEqual(self.attempts.wait(HERE, "eve"), 0)
        self.attempts.failed(THERE, "eve")
        self.assertEqual(self.attempts.wait(HERE, "eve"), 1)

    def test_fewer_free(self) -> None:
        """
        Row H12: from a hundred failures on, each client waits after its first failure instead of its fifth.
        """
        self.attempts.failed(HERE, "bob")
        self.assertEqual(self.attempts.wait(HERE, "bob"), 1)
        self.attempts.failed(HERE, "eve")
        self.assertEqual(self.attempts.wait(HERE, "eve"), 0)

    def test_over(self) -> None:
        """
        When the attack is over, five are free again once few enough failures are left.
        """
        for _ in range(1000):
            self.attempts.failed(THERE, "bob")
        self.clock.advance(11 * 60)
        self.fail_often(4)
        self.assertEqual(self.attempts.wait(HERE, "bob"), 0)


class MemoryTests(SynchronousTestCase):
    """
    What is remembered is bounded.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts = Attempts(self.clock.seconds, 1000)

    def sizes(self) -> list[int]:
        """
        How many pairs, clients and names are remembered.
        """
        return [len(self.attempts._pairs), len(self.attempts._clients), len(self.attempts._names)]

    def test_bounded(self) -> None:
        """
        Row I2: of many clients and names, as many as there is room for are remembered, and long names in no way more.
        """
        for number in range(5000):
            self.attempts.failed(f"10.0.{number // 250}.{number % 250}", f"user{number}")
            self.attempts.failed(f"10.1.{number // 250}.{number % 250}", "x" * 10_000 + str(number))
        self.assertEqual(self.sizes(), [1000, 1000, 1000])

    def test_oldest_first(self) -> None:
        """
        Row I2: whoever did not fail for the longest time is forgotten, not whoever goes on.
        """
        for number in range(5000):
            self.attempts.failed(f"10.0.{number // 250}.{number % 250}", f"user{number}")
            if number % 500 == 0:
                self.attempts.failed(HERE, "bob")
        self.assertEqual(self.attempts.wait(HERE, "bob"), 32)
        self.assertEqual(self.attempts.wait("10.0.0.0", "user0"), 0)

    def test_asking_and_success_leave_nothing(self) -> None:
        """
        Row I2: who never fails is not remembered at all, nor who was forgiven.
        """
        for number in range(100):
            self.attempts.wait(HERE, f"user{number}")
            self.attempts.succeeded(HERE, f"user{number}")
        self.attempts.failed(HERE, "bob")
        self.attempts.succeeded(HERE, "bob")
        self.assertEqual(self.sizes(), [0, 0, 0])
