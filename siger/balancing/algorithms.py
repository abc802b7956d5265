"""
Who is next: four ways to choose among the endpoints of one service.

C{pick()} runs once a request, so whatever an update can prepare is prepared then: which endpoints take requests at all,
their weights and running sums. C{pick(tried)} is the retry path; it is rare, and simply draws among what is left.

None of them knows about health: an endpoint that must not be used is not given to C{update}, or has weight 0.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import gcd
from random import Random
from types import MappingProxyType
from typing import Protocol

from siger.balancing.instances import Endpoint

__all__ = ["ALGORITHMS", "Balancer", "LeastConnections", "PowerOfTwo", "RandomChoice", "RoundRobin", "make_balancer"]

#: A turn of the weighted rotation is kept as a table; 4096 slots keep any share exact to 0.025 %.
MAX_SLOTS = 4096


class Balancer(Protocol):
    """
    Chooses the endpoint for the next request.
    """

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        """
        Choose among these from now on; what was counted about those that stay is kept.
        """

    def pick(self, tried: Sequence[Endpoint] = ()) -> Endpoint | None:
        """
        @param tried: endpoints that already failed this request.
        @return: C{None} when nothing is left that takes requests.
        """


class RandomChoice:
    """
    Each request draws anew, by weight.
    """

    __slots__ = ("_count", "_equal", "_live", "_random", "_sums")

    def __init__(self, random: Random) -> None:
        self._random = random.random
        self.update(())

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        self._live = tuple(endpoint for endpoint in endpoints if endpoint.weight > 0)
        self._count = len(self._live)
        self._sums = list(accumulate(endpoint.weight for endpoint in self._live))
        self._equal = len({endpoint.weight for endpoint in self._live}) == 1

    def pick(self, tried: Sequence[Endpoint] = ()) -> Endpoint | None:
        if tried:
            return self._pick_untried(tried)
        if self._equal:
            return self._live[int(self._random() * self._count)]
        if self._count:
            return self._live[bisect(self._sums, self._random() * self._sums[-1])]
        return None

    def _pick_untried(self, tried: Sequence[Endpoint]) -> Endpoint | None:
        """
        Draw by weight among what was not tried. The rotation of the others is not used for this: its next in line would
        get every retry of its predecessor on top of its own share.
        """
        left = [endpoint for endpoint in self._live if endpoint not in tried]
        if not left:
            return None
        sums = list(accumulate(endpoint.weight for endpoint in left))
        return left[bisect(sums, self._random() * sums[-1])]


class RoundRobin(RandomChoice):
    """
    Smooth weighted rotation: weights 5, 1, 1 give C{a a b a c a a}, never five in a row.

    Theory of operation: every endpoint has a credit. A step gives each its weight, takes the one with the most, and
    charges it the sum of all weights; so the credits come back to where they began after one turn of (sum / gcd) steps.
    The steps of a turn are therefore recorded as they are taken, and replayed once the credits have come round: a step
    costs a look at every endpoint, a replayed one costs an index. With equal weights the turn is known at once.

    An update keeps the credits, as parts of a turn, of those that stay: a service that changes all the time would
    otherwise begin again and again with its first endpoint.
    """

    __slots__ = ("_credits", "_next", "_recorded", "_start", "_total", "_turn", "_weights")

    def __init__(self, random: Random) -> None:
        self._live = ()
        self._start: list[int] = []
        self._weights: list[int] = []
        self._next = 0
        super().__init__(random)

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        carried = self._debts()
        super().update(endpoints)
        self._weights = _slots([endpoint.weight for endpoint in self._live])
        self._total = sum(self._weights)
        self._start = [round(carried.get(endpoint, 0.0) * self._total) for endpoint in self._live]
        self._restart()

    def _restart(self) -> None:
        self._credits = list(self._start)
        self._recorded: list[Endpoint] = []
        self._turn = self._total
        self._next = 0
        if self._equal:
            by_credit = sorted(range(self._count), key=self._start.__getitem__, reverse=True)
            self._recorded = [self._live[position] for position in by_credit]
            self._start = [0] * self._count

    def pick(self, tried: Sequence[Endpoint] = ()) -> Endpoint | None:
        if tried:
            return self._pick_untried(tried)
        index = self._next
        try:
            endpoint = self._recorded[index]
        except IndexError:
            return self._step()
        index += 1
        self._next = index if index < self._turn else 0
        return endpoint

    def _step(self) -> Endpoint | None:
        """
        Take one step of a turn that is not recorded yet.
        """
        if not self._count:
            return None
        if len(self._recorded) == self._turn:  # credits that were carried over had not come round
            self._start = list(self._credits)
            self._restart()
        credits = self._credits = [credit + weight for credit, weight in zip(self._credits, self._weights, strict=True)]
        best = max(range(self._count), key=credits.__getitem__)
        credits[best] -= self._total
        self._recorded.append(self._live[best])
        came_round = len(self._recorded) == self._turn and credits == self._start
        self._next = 0 if came_round else len(self._recorded)
        return self._live[best]

    def _debts(self) -> Mapping[Endpoint, float]:
        """
        The credit of each endpoint now, as a part of a whole turn.
        """
        if not self._live:
            return {}
        taken = Counter(self._recorded[: self._next])
        return {
            endpoint: (credit + self._next * weight) / self._total - taken[endpoint]
            for endpoint, credit, weight in zip(self._live, self._start, self._weights, strict=True)
        }


class LeastConnections(RoundRobin):
    """
    The fewest exchanges in flight for its weight.

    The next of the rotation, when it is idle, cannot be beaten, so ties at rest are broken by the rotation. Otherwise
    ties are drawn by weight, in one pass (reservoir sampling).
    """

    __slots__ = ("_pairs",)

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        super().update(endpoints)
        self._pairs = [(endpoint, endpoint.weight) for endpoint in self._live]

    def pick(self, tried: Sequence[Endpoint] = ()) -> Endpoint | None:
        if tried:
            return self._least([pair for pair in self._pairs if pair[0] not in tried])
        candidate = super().pick()
        if candidate is None or not candidate.inflight:
            return candidate
        return self._least(self._pairs)

    def _least(self, pairs: Sequence[tuple[Endpoint, int]]) -> Endpoint | None:
        best = None
        least = float("inf")
        tied = 0
        for endpoint, weight in pairs:
            load = endpoint.inflight / weight
            if load < least:
                best, least, tied = endpoint, load, weight
            elif load == least:
                tied += weight
                if self._random() * tied < weight:
                    best = endpoint
        return best


class PowerOfTwo(RandomChoice):
    """
    Two different endpoints drawn by weight, and of those the one that would be less loaded with this request on it:
    nearly as even as asking all, for the price of two, and without the herd that follows the single best.

    Two idle ones are not compared: the heavier would win each time, and the lighter never get a first request.
    """

    __slots__ = ()

    def pick(self, tried: Sequence[Endpoint] = ()) -> Endpoint | None:
        if tried or self._count < 2:
            return self._pick_untried(tried)
        one, other = self._pair()
        if not one.inflight and not other.inflight:
            return one
        return other if (other.inflight + 1) * one.weight < (one.inflight + 1) * other.weight else one

    def _pair(self) -> tuple[Endpoint, Endpoint]:
        live, count, others = self._live, self._count, self._count - 1
        if self._equal:
            drawn = self._random() * count
            first = int(drawn)
            second = int((drawn - first) * others)  # the digits that are left draw again: 53 bits do for both
            return live[first], live[second + (second >= first)]
        sums = self._sums
        first = bisect(sums, self._random() * sums[-1])
        second = bisect(sums, self._random() * sums[-1])
        if second == first:
            second = int(self._random() * others)
            second += second >= first
        return live[first], live[second]


def _slots(weights: Sequence[int]) -> list[int]:
    """
    Weights without their common divisor, and scaled down where a turn would have more than L{MAX_SLOTS} slots.
    """
    divisor = gcd(*weights) or 1
    total = sum(weights) // divisor
    if total <= MAX_SLOTS:
        return [weight // divisor for weight in weights]
    return [max(1, round(weight / divisor * MAX_SLOTS / total)) for weight in weights]


#: The names that configuration may use.
ALGORITHMS: Mapping[str, type[RandomChoice]] = MappingProxyType(
    {
        "round_robin": RoundRobin,
        "random": RandomChoice,
        "least_connections": LeastConnections,
        "p2c": PowerOfTwo,
    }
)


def make_balancer(name: str, random: Random) -> Balancer:
    """
    @param name: one of L{ALGORITHMS}.
    @param random: where chance comes from.
    @raise KeyError: no algorithm has this name; configuration checks it first.
    """
    return ALGORITHMS[name](random)
