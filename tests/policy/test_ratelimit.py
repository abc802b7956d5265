"""
Tests for L{siger.policy.ratelimit}.
"""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.admission import RateLimit
from siger.policy.ratelimit import Limiter
from tests.http.generators import properties

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
KEY = b"192.0.2.1"


class Time:
    """
    A clock in nanoseconds that goes where it is told.
    """

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class ExactBucket:
    """
    A token bucket as the books have it, with fractions: what L{Limiter} has to agree with.
    """

    def __init__(self, rate: Fraction, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = Fraction(burst)
        self.last = 0

    def admit(self, now: int) -> int:
        """
        Take a token at a time in nanoseconds.

        @return: as L{Limiter.admit}.
        """
        self.tokens = min(Fraction(self.burst), self.tokens + Fraction(now - self.last, SECOND) * self.rate)
        self.last = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0
        missing = (1 - self.tokens) / self.rate
        return -(-missing.numerator // missing.denominator)


def limit(rate: Fraction | int = 100, burst: int = 200, shadow: bool = False) -> RateLimit:
    """
    The settings of a limit.
    """
    return RateLimit(requests_per_second=Fraction(rate), burst=burst, shadow=shadow)


def emptied(limiter: Limiter, key: bytes = KEY) -> int:
    """
    Take tokens from a bucket until it has none.

    @return: how many there were.
    """
    taken = 0
    while not limiter.admit(key):
        taken += 1
    return taken


rates = st.builds(Fraction, st.integers(1, 1000), st.integers(1, 1000)) | st.sampled_from(
    [Fraction(100), Fraction(1, 3), Fraction(7, 60), Fraction(10**9), Fraction(999_999_937), Fraction(1, 86400)]
)
steps = st.integers(0, 5 * SECOND) | st.sampled_from([0, 1, MILLISECOND, 10 * MILLISECOND, SECOND, 3600 * SECOND])


class ExactTests(SynchronousTestCase):
    """
    L{Limiter.admit} takes what there is to the request. Row I3.
    """

    def admitted(self, rate: Fraction | int, burst: int, step: int, seconds: int) -> int:
        """
        How many of requests that come in equal steps pass.

        @param step: in nanoseconds; the first comes at once, the last at the very end.
        """
        time = Time(12345)
        limiter = Limiter("test", limit(rate, burst), time)
        passed = 0
        for _ in range(seconds * SECOND // step + 1):
            passed += not limiter.admit(KEY)
            time.now += step
        return passed

    def test_burst(self) -> None:
        """
        A bucket that was never used holds its burst, and not one more.
        """
        for burst in (1, 2, 200):
            self.assertEqual(emptied(Limiter("test", limit(100, burst), Time())), burst)

    def test_minute(self) -> None:
        """
        Row I3: at 100 a second with a burst of 200, exactly 6,200 of four times as many requests pass in 60 seconds.
        """
        self.assertEqual(self.admitted(100, 200, 10 * MILLISECOND // 4, 60), 200 + 6000)

    def test_at_the_rate(self) -> None:
        """
        Row I3: requests that come exactly as fast as the bucket fills all pass, with a burst of one, also after
        60,000 of them: nothing drifts.
        """
        self.assertEqual(self.admitted(100, 1, 10 * MILLISECOND, 600), 60_001)

    def test_faster_by_a_nanosecond(self) -> None:
        """
        One that comes a nanosecond too early does not pass, and the next one does.
        """
        time = Time()
        limiter = Limiter("test", limit(100, 1), time)
        answers = [limiter.admit(KEY)]
        for now in (10 * MILLISECOND - 1, 10 * MILLISECOND):
            time.now = now
            answers.append(limiter.admit(KEY))
        self.assertEqual(answers, [0, 1, 0])

    def test_odd_rates(self) -> None:
        """
        Row I3: rates that no clock divides evenly are kept exactly: one in three seconds, seven a minute, three a
        second, a prime number of them.
        """
        for rate, burst in ((Fraction(1, 3), 1), (Fraction(7, 60), 3), (Fraction(3), 2), (Fraction(97), 2)):
            expected = burst + int(rate * 420)
            self.assertEqual(self.admitted(rate, burst, MILLISECOND, 420), expected, rate)

    def test_long_time(self) -> None:
        """
        Nor does a year between two requests, or a clock that began long ago, make a difference.
        """
        time = Time(10**18 + 1)
        limiter = Limiter("test", limit(Fraction(999, 1000), 3), time)
        self.assertEqual(emptied(limiter), 3)
        time.now += 365 * 86400 * SECOND
        self.assertEqual(emptied(limiter), 3)

    def test_no_time(self) -> None:
        """
        While the clock stands still, nothing comes back.
        """
        limiter = Limiter("test", limit(1000, 5), Time(7))
        self.assertEqual([limiter.admit(KEY) for _ in range(8)], [0, 0, 0, 0, 0, 1, 1, 1])

    def test_refusals_are_free(self) -> None:
        """
        Asking while there is nothing does not put off the time at which there is something.
        """
        time = Time()
        limiter = Limiter("test", limit(1, 1), time)
        limiter.admit(KEY)
        for now in range(0, SECOND, 10 * MILLISECOND):
            time.now = now
            self.assertEqual(limiter.admit(KEY), 1)
        time.now = SECOND
        self.assertEqual(limiter.admit(KEY), 0)

    def test_keys_apart(self) -> None:
        """
        Each key has its own bucket.
        """
        limiter = Limiter("test", limit(1, 2), Time())
        self.assertEqual([limiter.admit(key) for key in (b"a", b"a", b"a", b"b", b"b", b"b")], [0, 0, 1, 0, 0, 1])

    @properties
    @given(rates, st.integers(1, 20), st.lists(st.tuples(steps, st.sampled_from([b"a", b"b", b"c"])), max_size=60))
    def test_as_the_model(self, rate: Fraction, burst: int, requests: list[tuple[int, bytes]]) -> None:
        """
        Row I3: every answer, to the second, is that of a token bucket computed with fractions.
        """
        time = Time(99)
        limiter = Limiter("test", limit(rate, burst), time)
        models = {key: ExactBucket(rate, burst) for key in (b"a", b"b", b"c")}
        for step, key in requests:
            time.now += step
            self.assertEqual(limiter.admit(key), models[key].admit(time.now - 99))

    @properties
    @given(rates, st.integers(1, 50))
    def test_wait_is_enough(self, rate: Fraction, burst: int) -> None:
        """
        Who comes back after the time that he was told passes, and a second earlier he would not have.
        """
        time = Time()
        limiter = Limiter("test", limit(rate, burst), time)
        emptied(limiter)
        wait = limiter.admit(KEY)
        self.assertGreaterEqual(wait, 1)
        time.now += (wait - 1) * SECOND
        if wait > 1:
            self.assertEqual(limiter.admit(KEY), 1)
        time.now += SECOND
        self.assertEqual(limiter.admit(KEY), 0)


class SettingsTests(SynchronousTestCase):
    """
    What a L{Limiter} is made of.
    """

    def test_default(self) -> None:
        """
        Without a word, it is 100 a second with a burst of 200, on the monotonic clock: row I3.
        """
        limiter = Limiter("test", RateLimit())
        passed = sum(not limiter.admit(KEY) for _ in range(300))
        self.assertIn(passed, range(200, 300))

    def test_impossible(self) -> None:
        """
        A limit without a rate, a burst or room for a single bucket is none.
        """
        for settings, capacity in ((limit(0), 1), (limit(-1), 1), (limit(1, 0), 1), (limit(1, 1), 0)):
            self.assertRaises(ValueError, Limiter, "test", settings, Time(), capacity)

    def test_counts(self) -> None:
        """
        What passed and what did not is counted.
        """
        limiter = Limiter("test", limit(1, 3), Time())
        for _ in range(5):
            limiter.admit(KEY)
        self.assertEqual((limiter.allowed, limiter.limited, limiter.shadowed), (3, 2, 0))

    def test_shadow(self) -> None:
        """
        In shadow, what would be refused passes, and is counted for itself; it takes nothing, so that exactly as much is
        counted as would be refused.
        """
        time = Time()
        limiter = Limiter("test", limit(1, 3, shadow=True), time)
        self.assertEqual([limiter.admit(KEY) for _ in range(5)], [0] * 5)
        self.assertEqual((limiter.allowed, limiter.limited, limiter.shadowed), (3, 0, 2))
        time.now = SECOND
        limiter.admit(KEY)
        self.assertEqual((limiter.allowed, limiter.limited, limiter.shadowed), (4, 0, 2))


class LinesTests(SynchronousTestCase):
    """
    Tests for L{Limiter.lines}. Row I4.
    """

    def lines(self, name: str, rate: Fraction | int, burst: int, wait: int) -> list[bytes]:
        """
        The lines, without the CRLF that each has to end with.
        """
        text = Limiter(name, limit(rate, burst), Time()).lines(wait)
        self.assertTrue(text.endswith(b"\r\n"))
        return text.removesuffix(b"\r\n").split(b"\r\n")

    def test_form(self) -> None:
        """
        Row I4: a refused client is told the quota, its window, that nothing remains and for how long.
        """
        expected = [b'RateLimit-Policy: "gateway";q=200;w=2', b'RateLimit: "gateway";r=0;t=1']
        self.assertEqual(self.lines("gateway", 100, 200, 1), expected)

    def test_window(self) -> None:
        """
        The window is the time that the bucket takes to fill, in whole seconds rounded up, so at least one.
        """
        for rate, burst, window in ((100, 1, 1), (100, 101, 2), (Fraction(1, 3), 1, 3), (Fraction(7, 60), 3, 26)):
            policy, now = self.lines("x", rate, burst, 17)
            self.assertEqual(
                (policy, now), (b'RateLimit-Policy: "x";q=%d;w=%d' % (burst, window), b'RateLimit: "x";r=0;t=17')
            )

    def test_names(self) -> None:
        """
        A name becomes a String of RFC 9651, whatever is in it; it ends no string and begins no line.
        """
        for name, quoted in (
            ('say "hi"', rb'"say \"hi\""'),
            ("a\\b", rb'"a\\b"'),
            ("100%d", b'"100%d"'),
            ("/v1/{name}", b'"/v1/{name}"'),
            ("x\r\nSet-Cookie: y", b'"x??Set-Cookie: y"'),
            ("größe\x7f", b'"gr??e?"'),
        ):
            self.assertEqual(self.lines(name, 1, 1, 5)[1], b"RateLimit: %b;r=0;t=5" % quoted)


class MemoryTests(SynchronousTestCase):
    """
    What is remembered is bounded, and what matters most is remembered. Row I2.
    """

    def test_million(self) -> None:
        """
        Row I2: a million addresses within a minute leave no more buckets than there is room for.
        """
        time = Time()
        limiter = Limiter("test", limit(Fraction(1, 60), 2), time)
        for number in range(1_000_000):
            limiter.admit(b"%d" % number)
            time.now += 60_000
        self.assertEqual(len(limiter), 100_000)

    def test_bytes(self) -> None:
        """
        Row I2: memory stops growing once there are as many buckets as there may be.
        """
        limiter = Limiter("test", limit(1, 2), Time(), capacity=2000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        sizes = []
        for start in range(0, 40_000, 4000):
            for number in range(start, start + 4000):
                limiter.admit(b"%d" % number)
            sizes.append(tracemalloc.get_traced_memory()[0])
        self.assertLess(max(sizes), 2000 * 400)
        self.assertLess(sizes[-1], 1.2 * sizes[0])

    def test_full_ones_go(self) -> None:
        """
        Buckets that have filled up again give way to new ones long before there is no room.
        """
        time = Time()
        limiter = Limiter("test", limit(100, 200), time)
        for number in range(50_000):
            limiter.admit(b"%d" % number)
            time.now += MILLISECOND
        self.assertLess(len(limiter), 50)

    def test_full_at_this_moment(self) -> None:
        """
        A bucket that is full again just now gives way as well.
        """
        time = Time()
        limiter = Limiter("test", limit(1, 2), time)
        limiter.admit(b"a")
        time.now = SECOND - 1
        limiter.admit(b"b")
        self.assertEqual(len(limiter), 2)
        time.now = SECOND
        limiter.admit(b"c")
        self.assertEqual(len(limiter), 2)

    def test_full_ones_go_first(self) -> None:
        """
        Row I2: where there is no room, a full bucket goes, and none that has something missing.
        """
        time = Time()
        limiter = Limiter("test", limit(1, 2), time, capacity=4)
        limiter.admit(b"full")
        time.now = SECOND
        for key in (b"a", b"a", b"b", b"b", b"c", b"c", b"new", b"new"):
            self.assertEqual(limiter.admit(key), 0)
        self.assertEqual([limiter.admit(key) for key in (b"a", b"b", b"c", b"new")], [1, 1, 1, 1])
        self.assertEqual(len(limiter), 4)

    def test_limited_ones_stay(self) -> None:
        """
        Row I2: nobody gets a new bucket by making the gateway forget his: others that are nearly full go before.
        """
        limiter = Limiter("test", limit(1, 20), Time(), capacity=100)
        limited = [b"limited%d" % number for number in range(5)]
        for key in limited:
            self.assertEqual(emptied(limiter, key), 20)
        for number in range(5000):
            limiter.admit(b"%d" % number)
        self.assertEqual([bool(limiter.admit(key)) for key in limited], [True] * 5)
        self.assertEqual(len(limiter), 100)

    def test_one_bucket(self) -> None:
        """
        Even with room for a single bucket, each request finds one.
        """
        limiter = Limiter("test", limit(1, 1), Time(), capacity=1)
        self.assertEqual([limiter.admit(key) for key in (b"a", b"a", b"b", b"b", b"a")], [0, 1, 0, 1, 0])
        self.assertEqual(len(limiter), 1)

    @properties
    @given(
        st.integers(1, 12),
        st.lists(st.tuples(st.integers(0, 2 * SECOND), st.integers(0, 30)), max_size=120),
    )
    def test_never_too_strict(self, capacity: int, requests: list[tuple[int, int]]) -> None:
        """
        However little room there is, it is enough, and who is refused has had more than his bucket gives.
        """
        time = Time()
        limiter = Limiter("test", limit(1, 3), time, capacity)
        passed: dict[int, list[int]] = {}
        for step, number in requests:
            time.now += step
            before = passed.setdefault(number, [])
            if limiter.admit(b"%d" % number):
                had = [len(before) - index + 1 for index in range(len(before))]
                gives = [3 + Fraction(time.now - since, SECOND) for since in before]
                self.assertTrue(any(each > most for each, most in zip(had, gives, strict=True)))
            else:
                before.append(time.now)
            self.assertLessEqual(len(limiter), capacity)
