"""
Tests for L{siger.balancing.algorithms}.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from timeit import repeat

from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.algorithms import ALGORITHMS, MAX_SLOTS, Balancer, make_balancer
from siger.balancing.instances import Endpoint, Instance


def endpoints(**weights: int) -> list[Endpoint]:
    """
    One endpoint a keyword, whose address is its name.
    """
    return [Endpoint(Instance(name, 80, weight=weight)) for name, weight in weights.items()]


def names(picked: list[Endpoint | None]) -> str:
    """
    The addresses of what was picked, in order.
    """
    return "".join("-" if endpoint is None else endpoint.instance.address for endpoint in picked)


def picks(balancer: Balancer, count: int) -> list[Endpoint | None]:
    """
    As many picks, each of which ends at once.
    """
    return [balancer.pick() for _ in range(count)]


def hold(balancer: Balancer, count: int) -> None:
    """
    As many picks, none of which ever ends.
    """
    for _ in range(count):
        endpoint = balancer.pick()
        assert endpoint is not None
        endpoint.inflight += 1


def made(name: str, of: list[Endpoint]) -> Balancer:
    """
    A balancer of that name over these endpoints.
    """
    balancer = make_balancer(name, Random(20))
    balancer.update(of)
    return balancer


def count_to_fifty() -> int:
    """
    Something whose price everybody knows.
    """
    count = 0
    while count < 50:
        count += 1
    return count


class MakeBalancerTests(SynchronousTestCase):
    """
    Tests for L{make_balancer}.
    """

    def test_names(self) -> None:
        """
        The four names that configuration documents exist.
        """
        self.assertEqual(set(ALGORITHMS), {"round_robin", "random", "least_connections", "p2c"})

    def test_unknown(self) -> None:
        """
        A name that no algorithm has is refused.
        """
        self.assertRaises(KeyError, make_balancer, "psychic", Random(1))


class EveryAlgorithmTests(SynchronousTestCase):
    """
    What holds whichever algorithm a service uses.
    """

    def each(self, of: list[Endpoint]) -> list[tuple[str, Balancer]]:
        """
        Every algorithm over the same endpoints, each by its name.
        """
        return [(name, made(name, of)) for name in ALGORITHMS]

    def test_nothing(self) -> None:
        """
        Without endpoints there is nothing to pick, before the first update and after.
        """
        for name in ALGORITHMS:
            self.assertIsNone(make_balancer(name, Random(1)).pick(), name)
        for name, balancer in self.each([]):
            self.assertIsNone(balancer.pick(), name)
            self.assertIsNone(balancer.pick(endpoints(a=1)), name)

    def test_single(self) -> None:
        """
        A single endpoint gets every request, whatever its weight.
        """
        for weight in (1, 7):
            for name, balancer in self.each(endpoints(a=weight)):
                self.assertEqual(names(picks(balancer, 5)), "aaaaa", name)

    def test_weight_zero(self) -> None:
        """
        An endpoint of weight 0 takes no requests, not even those that failed elsewhere.
        """
        of = endpoints(a=0, b=1, c=2)
        for name, balancer in self.each(of):
            self.assertNotIn("a", names(picks(balancer, 300)), name)
            self.assertIsNone(balancer.pick(of[1:]), name)
        for name, balancer in self.each(endpoints(a=0)):
            self.assertIsNone(balancer.pick(), name)

    def test_tried(self) -> None:
        """
        What was tried is not picked again, and when all were tried there is nothing left.
        """
        of = endpoints(a=1, b=3, c=1)
        for name, balancer in self.each(of):
            self.assertNotIn("b", names([balancer.pick(of[1:2]) for _ in range(100)]), name)
            self.assertEqual(names([balancer.pick((of[0], of[2]))]), "b", name)
            self.assertIsNone(balancer.pick(tuple(of)), name)

    def test_retries_are_spread(self) -> None:
        """
        Requests that failed at one endpoint go to all the others, by weight, and not all to the same.
        """
        of = endpoints(a=1, b=1, c=3)
        for name, balancer in self.each(of):
            share = Counter(names([balancer.pick(of[:1]) for _ in range(4000)]))
            if name != "least_connections":
                self.assertApproximates(share["c"] / 4000, 0.75, 0.03, name)
            self.assertTrue(share["b"], name)

    def test_equal_shares(self) -> None:
        """
        Of 10,000 requests, endpoints of equal weight get their share to within 2 % of all.
        """
        of = endpoints(a=2, b=2, c=2, d=2, e=2)
        for name, balancer in self.each(of):
            share = Counter(names(picks(balancer, 10_000)))
            for one in "abcde":
                self.assertApproximates(share[one], 2000, 200, f"{name} {share}")

    def test_weighted_shares(self) -> None:
        """
        Of 10,000 requests that all stay in flight, each endpoint gets its weight's share to within 2 % of all.
        """
        for name in ALGORITHMS:
            of = endpoints(a=1, b=2, c=3, d=4)
            hold(made(name, of), 10_000)
            for endpoint in of:
                self.assertApproximates(endpoint.inflight, 1000 * endpoint.weight, 200, f"{name} {of}")

    def test_weighted_shares_at_rest(self) -> None:
        """
        Weights also count when every request ends before the next begins.
        """
        for name, balancer in self.each(endpoints(a=1, b=3)):
            share = Counter(names(picks(balancer, 10_000)))
            self.assertApproximates(share["b"], 7500, 200, name)

    def test_coming(self) -> None:
        """
        An endpoint that comes gets its share from then on.
        """
        of = endpoints(a=1, b=1, c=2)
        for name, balancer in self.each(of[:2]):
            picks(balancer, 777)
            balancer.update(of)
            share = Counter(names(picks(balancer, 4000)))
            self.assertApproximates(share["c"], 2000, 100, name)
            self.assertApproximates(share["a"], 1000, 100, name)

    def test_leaving(self) -> None:
        """
        An endpoint that left is never picked again, and the others share what it had.
        """
        of = endpoints(a=1, b=1, c=5)
        for name, balancer in self.each(of):
            picks(balancer, 333)
            balancer.update(of[:2])
            share = Counter(names(picks(balancer, 2000)))
            self.assertEqual(set(share), {"a", "b"}, name)
            self.assertApproximates(share["a"], 1000, 100, name)

    def test_all_leave_and_come_back(self) -> None:
        """
        A service that had lost all endpoints works again when they are back.
        """
        of = endpoints(a=1, b=2)
        for name, balancer in self.each(of):
            picks(balancer, 10)
            balancer.update([])
            self.assertIsNone(balancer.pick(), name)
            balancer.update(of)
            self.assertEqual(set(names(picks(balancer, 60))), {"a", "b"}, name)

    def test_weight_change(self) -> None:
        """
        A new weight counts from the update on.
        """
        for name in ALGORITHMS:
            of = endpoints(a=1, b=1)
            balancer = made(name, of)
            picks(balancer, 99)
            of[0].instance = Instance("a", 80, weight=4)
            balancer.update(of)
            share = Counter(names(picks(balancer, 10_000)))
            self.assertApproximates(share["a"], 8000, 200, name)

    def test_many_endpoints(self) -> None:
        """
        Large sets and large weights keep every endpoint in turn.
        """
        of = [Endpoint(Instance(f"10.0.{n // 250}.{n % 250}", 80, weight=1 + n % 3 * 20_000)) for n in range(300)]
        for name, balancer in self.each(of):
            seen = Counter(balancer.pick() for _ in range(10_000))
            heavy = [endpoint for endpoint in of if endpoint.weight > 1]
            self.assertTrue(all(endpoint in seen for endpoint in heavy), name)

    def test_price(self) -> None:
        """
        A pick among a few idle endpoints costs no more than counting to fifty.
        """
        yardstick = min(repeat(count_to_fifty, number=1000, repeat=9))
        for weights in ({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 2, "c": 5}):
            for name, balancer in self.each(endpoints(**weights)):
                picks(balancer, 100)
                self.assertLess(min(repeat(balancer.pick, number=1000, repeat=9)), yardstick, name)


class RoundRobinTests(SynchronousTestCase):
    """
    Tests for L{RoundRobin}.
    """

    def test_equal(self) -> None:
        """
        Equal weights take turns, in the order of discovery.
        """
        self.assertEqual(names(picks(made("round_robin", endpoints(a=1, b=1, c=1)), 7)), "abcabca")
        self.assertEqual(names(picks(made("round_robin", endpoints(a=7, b=7)), 4)), "abab")

    def test_smooth(self) -> None:
        """
        A heavy endpoint's turns are spread among those of the others, turn after turn.
        """
        self.assertEqual(names(picks(made("round_robin", endpoints(a=5, b=1, c=1)), 14)), "aabacaa" * 2)

    def test_exact(self) -> None:
        """
        Every turn has exactly as many of each as it weighs, from wherever one begins to count.
        """
        balancer = made("round_robin", endpoints(a=40, b=70, c=10))
        for skipped in (0, 1, 5, 13):
            picks(balancer, skipped)
            self.assertEqual(Counter(names(picks(balancer, 12))), {"a": 4, "b": 7, "c": 1})

    def test_never_far_ahead(self) -> None:
        """
        At no moment is an endpoint more than one request away from its exact share.
        """
        weights = {"a": 9, "b": 5, "c": 2, "d": 1}
        balancer = made("round_robin", endpoints(**weights))
        taken: Counter[str] = Counter()
        for step in range(1, 200):
            taken.update(names([balancer.pick()]))
            for name, weight in weights.items():
                self.assertLessEqual(abs(taken[name] - step * weight / 17), 1.0 + 1e-9)

    def test_update_goes_on(self) -> None:
        """
        An update of the same endpoints goes on where the rotation was, at every point of it.
        """
        for weights in ({"a": 1, "b": 1, "c": 1}, {"a": 5, "b": 1, "c": 1}, {"a": 4, "b": 3}):
            of = endpoints(**weights)
            undisturbed = names(picks(made("round_robin", of), 70))
            for moment in range(30):
                balancer = made("round_robin", of)
                before = names(picks(balancer, moment))
                balancer.update(of)
                self.assertEqual(before + names(picks(balancer, 70 - moment)), undisturbed, f"{weights} {moment}")

    def test_update_after_every_pick(self) -> None:
        """
        A service that changes with every request is as fair as one that never does.
        """
        of = endpoints(a=1, b=2, c=3)
        balancer = make_balancer("round_robin", Random(3))
        share: Counter[str] = Counter()
        for _ in range(6000):
            balancer.update(of)
            share.update(names([balancer.pick()]))
        self.assertEqual(share, {"a": 1000, "b": 2000, "c": 3000})

    def test_flapping_neighbour(self) -> None:
        """
        An endpoint that comes and goes between requests leaves the two others equal.
        """
        of = endpoints(a=1, b=1, c=1)
        balancer = make_balancer("round_robin", Random(3))
        share: Counter[str] = Counter()
        for turn in range(3000):
            balancer.update(of if turn % 2 else of[:2])
            share.update(names([balancer.pick()]))
        self.assertApproximates(share["a"], share["b"], 60)

    def test_weight_change_keeps_credit(self) -> None:
        """
        Who was just served under the old weights is not served again first under the new ones.
        """
        of = endpoints(a=1, b=1)
        balancer = made("round_robin", of)
        self.assertEqual(names(picks(balancer, 1)), "a")
        of[0].instance = Instance("a", 80, weight=2)
        balancer.update(of)
        self.assertEqual(names(picks(balancer, 1)), "b")

    def test_carried_credit_is_used_up(self) -> None:
        """
        Credit from before an update is spent once; the turns after that are exact.
        """
        of = endpoints(a=5, b=6)
        balancer = made("round_robin", of)
        self.assertEqual(names(picks(balancer, 1)), "b")
        for endpoint, weight in zip(of, (6, 2), strict=True):
            endpoint.instance = Instance(endpoint.instance.address, 80, weight=weight)
        balancer.update(of)
        self.assertEqual(names(picks(balancer, 17)), "a" + "aaab" * 4)

    def test_any_history(self) -> None:
        """
        Whatever happened before, nobody is ever two requests away from its share of those that follow.
        """
        random = Random(5)
        known = [Endpoint(Instance(f"10.0.0.{n}", 80)) for n in range(6)]
        for _ in range(300):
            balancer = make_balancer("round_robin", random)
            for _ in range(random.randint(1, 5)):
                chosen = random.sample(known, random.randint(2, 6))
                for endpoint in chosen:
                    endpoint.instance = Instance(endpoint.instance.address, 80, weight=random.choice((1, 2, 3, 5, 40)))
                balancer.update(chosen)
                picks(balancer, random.randint(0, 30))
            total = sum(endpoint.weight for endpoint in chosen)
            taken: Counter[Endpoint | None] = Counter()
            for step in range(1, 2 * total):
                taken[balancer.pick()] += 1
                for endpoint in chosen:
                    self.assertLess(abs(taken[endpoint] - step * endpoint.weight / total), 2.0)

    def test_huge_weights(self) -> None:
        """
        Weights whose turn would be enormous are scaled down, and still right to within 2 %.
        """
        balancer = made("round_robin", endpoints(a=65535, b=65534, c=1))
        share = Counter(names(picks(balancer, MAX_SLOTS * 3)))
        self.assertApproximates(share["a"], MAX_SLOTS * 1.5, MAX_SLOTS * 0.06)
        self.assertLess(share["c"], 8)


class LeastConnectionsTests(SynchronousTestCase):
    """
    Tests for L{LeastConnections}.
    """

    def test_least(self) -> None:
        """
        The endpoint with the fewest exchanges for its weight is next.
        """
        of = endpoints(a=1, b=1, c=4)
        balancer = made("least_connections", of)
        for inflight, expected in (((2, 1, 5), "b"), ((2, 3, 5), "c"), ((1, 2, 5), "a"), ((3, 2, 3), "c")):
            for endpoint, count in zip(of, inflight, strict=True):
                endpoint.inflight = count
            self.assertEqual(names(picks(balancer, 20)), expected * 20)

    def test_at_rest(self) -> None:
        """
        While nothing is in flight the rotation decides, as smoothly as ever.
        """
        self.assertEqual(names(picks(made("least_connections", endpoints(a=5, b=1, c=1)), 14)), "aabacaa" * 2)

    def test_ties_in_flight(self) -> None:
        """
        Endpoints that are equally busy share the requests by weight.
        """
        of = endpoints(a=1, b=1, c=2, d=1)
        for endpoint in of:
            endpoint.inflight = 3 * endpoint.weight
        of[3].inflight = 9
        share = Counter(names(picks(made("least_connections", of), 10_000)))
        self.assertEqual(share["d"], 0)
        self.assertApproximates(share["c"], 5000, 200)
        self.assertApproximates(share["a"], 2500, 200)

    def test_retry_takes_the_least(self) -> None:
        """
        A retry goes to the least loaded of what was not tried.
        """
        of = endpoints(a=1, b=1, c=1)
        of[1].inflight = 2
        self.assertEqual(names([made("least_connections", of).pick(of[:1]) for _ in range(9)]), "c" * 9)


class PowerOfTwoTests(SynchronousTestCase):
    """
    Tests for L{PowerOfTwo}.
    """

    def test_two(self) -> None:
        """
        Of two endpoints the less loaded one gets every request.
        """
        for weights in ({"a": 1, "b": 1}, {"a": 3, "b": 1}):
            of = endpoints(**weights)
            of[0].inflight = 20
            self.assertEqual(names(picks(made("p2c", of), 50)), "b" * 50)

    def test_weight_counts_as_room(self) -> None:
        """
        A heavier endpoint may hold more before a lighter one is preferred.
        """
        of = endpoints(a=4, b=1)
        of[0].inflight = 2
        self.assertEqual(names(picks(made("p2c", of), 20)), "a" * 20)

    def test_slow_one_is_spared(self) -> None:
        """
        The busiest of three is picked only when it is drawn against itself, which never happens.
        """
        for weights in ({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1, "c": 1}):
            of = endpoints(**weights)
            of[0].inflight = 100
            self.assertEqual(set(names(picks(made("p2c", of), 500))), {"b", "c"})

    def test_much_closer_than_chance(self) -> None:
        """
        Requests that stay in flight are spread far more evenly than chance would.
        """
        of = [Endpoint(Instance(f"10.0.0.{n}", 80)) for n in range(20)]
        hold(made("p2c", of), 10_000)
        self.assertLess(max(endpoint.inflight for endpoint in of) - min(endpoint.inflight for endpoint in of), 12)
