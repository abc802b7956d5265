"""
Tests for L{siger.balancing.service}.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Endpoint, Instance
from siger.balancing.service import Service
from siger.config.settings.services import HealthCheck, ServiceSettings

ONE = Instance("10.0.0.1", 80)
TWO = Instance("10.0.0.2", 80)
THREE = Instance("10.0.0.3", 80)


class RecordingBalancer:
    """
    A balancer that remembers what it was told.
    """

    def __init__(self) -> None:
        self.updates: list[tuple[Endpoint, ...]] = []

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        """
        Remember it.
        """
        self.updates.append(tuple(endpoints))

    def pick(self, tried: Sequence[Endpoint] = ()) -> Endpoint | None:
        """
        Nothing, ever.
        """
        return None


class ServiceTests(SynchronousTestCase):
    """
    Tests for L{Service}.
    """

    def setUp(self) -> None:
        """
        A service without instances.
        """
        self.balancer = RecordingBalancer()
        self.service = Service("echo", ServiceSettings(), self.balancer)

    def test_new(self) -> None:
        """
        A new service knows its name both ways and has no endpoints and no notes.
        """
        self.assertEqual((self.service.name, self.service.label), ("echo", b"echo"))
        self.assertEqual((self.service.endpoints, self.service.inflight, self.service.route), ((), 0, None))

    def test_update(self) -> None:
        """
        An update makes endpoints and gives them to the balancer.
        """
        self.assertEqual(self.service.update([ONE, TWO]), [])
        self.assertEqual([endpoint.instance for endpoint in self.service.endpoints], [ONE, TWO])
        self.assertEqual(self.balancer.updates, [self.service.endpoints])

    def test_unchanged(self) -> None:
        """
        An update that says nothing new touches nothing, in whatever order it says it.
        """
        self.service.update([ONE, TWO])
        before = self.service.endpoints
        self.assertEqual(self.service.update([TWO, Instance("10.0.0.1", 80)]), [])
        self.assertIs(self.service.endpoints, before)
        self.assertEqual(len(self.balancer.updates), 1)

    def test_carry_over(self) -> None:
        """
        The endpoint of an address that stays is the same object, with its counters, its pool and the new facts.
        """
        self.service.update([ONE])
        (endpoint,) = self.service.endpoints
        endpoint.inflight = 3
        heavier = Instance("10.0.0.1", 80, weight=9, tags=frozenset({"gpu"}))
        self.assertEqual(self.service.update([TWO, heavier]), [])
        self.assertIs(self.service.endpoints[0], endpoint)
        self.assertEqual((endpoint.instance, endpoint.weight, endpoint.inflight), (heavier, 9, 3))
        self.assertEqual(self.service.inflight, 3)

    def test_removed(self) -> None:
        """
        What is no longer named is returned and marked, and an address that returns gets a new endpoint.
        """
        self.service.update([ONE, TWO])
        first = self.service.endpoints[0]
        self.assertEqual(self.service.update([TWO]), [first])
        self.assertTrue(first.removed)
        self.assertEqual(self.balancer.updates[-1], self.service.endpoints)
        self.service.update([ONE, TWO])
        self.assertNotIn(first, self.service.endpoints)
        self.assertFalse(any(endpoint.removed for endpoint in self.service.endpoints))

    def test_protocol(self) -> None:
        """
        Each endpoint speaks what its instance says, or else what the service does.
        """
        service = Service("echo", ServiceSettings(protocol="h2"), self.balancer)
        service.update([ONE, Instance("10.0.0.2", 80, meta={"protocol": "http"})])
        self.assertEqual([endpoint.protocol for endpoint in service.endpoints], ["h2", "https"])

    def test_protocol_that_changes(self) -> None:
        """
        An instance that begins to speak something else gets a new endpoint, and the old one is gone.
        """
        self.service.update([ONE, TWO])
        first, second = self.service.endpoints
        changed = Instance("10.0.0.1", 80, meta={"protocol": "h2c"})
        self.assertEqual(self.service.update([changed, TWO]), [first])
        self.assertEqual((first.removed, first.instance, second.removed), (True, ONE, False))
        self.assertEqual([endpoint.protocol for endpoint in self.service.endpoints], ["http1", "h2c"])
        self.assertIs(self.service.endpoints[0], second)
        self.assertEqual(self.balancer.updates[-1], self.service.endpoints)

    def test_protocol_said_otherwise(self) -> None:
        """
        An instance that says the same in other words keeps its endpoint.
        """
        self.service.update([Instance("10.0.0.1", 80, meta={"protocol": "http"})])
        (endpoint,) = self.service.endpoints
        self.assertEqual(self.service.update([Instance("10.0.0.1", 80, meta={"protocol": "HTTP/1.1"})]), [])
        self.assertEqual(self.service.endpoints, (endpoint,))

    def test_ports_are_different_places(self) -> None:
        """
        Two ports of one address are two endpoints.
        """
        self.service.update([ONE, Instance("10.0.0.1", 81)])
        self.assertEqual(len(self.service.endpoints), 2)

    def test_same_place_twice(self) -> None:
        """
        Of several instances at one address and port the first counts.
        """
        self.service.update([Instance("10.0.0.1", 80, weight=5), ONE])
        self.assertEqual([endpoint.weight for endpoint in self.service.endpoints], [5])

    def test_iterator(self) -> None:
        """
        Instances may come from an iterator.
        """
        self.service.update(iter([ONE, TWO]))
        self.assertEqual(len(self.service.endpoints), 2)

    def test_repr(self) -> None:
        """
        The representation shows the state.
        """
        self.service.update([ONE])
        self.assertEqual(repr(self.service), "<Service echo [<Endpoint 10.0.0.1:80 [weight 1, 0 in flight]>]>")


class HealthTests(SynchronousTestCase):
    """
    Tests for what L{Service} makes of the health of its endpoints.
    """

    def setUp(self) -> None:
        """
        A service whose instances are asked.
        """
        self.balancer = RecordingBalancer()
        check = HealthCheck(rise=2, fall=2)
        self.service = Service("echo", ServiceSettings(protocol="h2c", health=check), self.balancer)

    def used(self) -> list[str]:
        """
        The addresses that the balancer chooses among.
        """
        return [endpoint.instance.address for endpoint in self.balancer.updates[-1]]

    def test_without(self) -> None:
        """
        Where nobody is asked, all are well, whatever somebody says.
        """
        service = Service("echo", ServiceSettings(protocol="h2c"), self.balancer)
        service.update([ONE, TWO])
        for _ in range(5):
            self.assertFalse(service.mark(service.endpoints[0], False))
        self.assertEqual([endpoint.health for endpoint in service.endpoints], ["up", "up"])
        self.assertEqual((service.checked, len(self.balancer.updates)), ((), 1))

    def test_checked(self) -> None:
        """
        All are asked but those that speak no HTTP/2, which are well.
        """
        self.service.update([ONE, Instance("10.0.0.2", 80, meta={"protocol": "http1"})])
        first, second = self.service.endpoints
        self.assertEqual(self.service.checked, (first,))
        self.assertEqual((first.health, second.health), ("warming", "up"))
        self.assertEqual(self.used(), ["10.0.0.2"])

    def test_first_answers(self) -> None:
        """
        As long as nobody is well all are used; then each begins with its first good answer.
        """
        self.service.update([ONE, TWO])
        first, second = self.service.endpoints
        self.assertEqual(self.used(), ["10.0.0.1", "10.0.0.2"])
        self.assertTrue(self.service.mark(second, True))
        self.assertEqual(self.used(), ["10.0.0.2"])
        self.assertTrue(self.service.mark(first, True))
        self.assertEqual(self.used(), ["10.0.0.1", "10.0.0.2"])

    def test_fall_and_rise(self) -> None:
        """
        Enough bad answers take an endpoint out, enough good ones bring it back; its state is told when it changes.
        """
        self.service.update([ONE, TWO, THREE])
        for endpoint in self.service.endpoints:
            self.service.mark(endpoint, True)
        first = self.service.endpoints[0]
        changes = [self.service.mark(first, healthy) for healthy in (False, True, False, False, False)]
        self.assertEqual((changes, first.health), ([False, False, False, True, False], "down"))
        self.assertEqual(self.used(), ["10.0.0.2", "10.0.0.3"])
        changes = [self.service.mark(first, healthy) for healthy in (True, False, True, True)]
        self.assertEqual((changes, first.health), ([False, False, False, True], "up"))
        self.assertEqual(self.used(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"])

    def test_panic(self) -> None:
        """
        When fewer than half are well all are used, and the balancer only hears of it when that changes.
        """
        self.service.update([ONE, TWO, THREE])
        first, second, third = self.service.endpoints
        for endpoint in (first, second, third):
            self.service.mark(endpoint, True)
        for endpoint in (first, second):
            self.service.mark(endpoint, False)
            self.service.mark(endpoint, False)
        self.assertEqual((first.health, second.health, self.service.panicking), ("down", "down", True))
        self.assertEqual(self.used(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        heard = len(self.balancer.updates)
        self.service.mark(third, False)
        self.service.mark(third, False)
        self.assertEqual((third.health, len(self.balancer.updates)), ("down", heard))
        self.service.mark(first, True)
        self.assertTrue(self.service.panicking)
        for endpoint in (first, second):
            self.service.mark(endpoint, True)
            self.service.mark(endpoint, True)
        self.assertEqual((self.used(), self.service.panicking), (["10.0.0.1", "10.0.0.2"], False))

    def test_no_panic(self) -> None:
        """
        It is no panic that requests go to those of whom nothing is known yet, or that nobody is there to get any.
        """
        self.assertFalse(self.service.panicking)
        self.service.update([ONE, TWO])
        self.assertFalse(self.service.panicking)
        self.service.mark(self.service.endpoints[0], True)
        self.service.mark(self.service.endpoints[1], False)
        self.service.mark(self.service.endpoints[1], False)
        self.assertEqual((self.used(), self.service.panicking), (["10.0.0.1"], False))

    def test_new_endpoint(self) -> None:
        """
        An endpoint that comes later gets nothing before its first good answer, and keeps nothing from the others.
        """
        self.service.update([ONE])
        self.service.mark(self.service.endpoints[0], True)
        self.service.update([ONE, TWO, THREE])
        self.assertEqual(self.used(), ["10.0.0.1"])
        self.service.mark(self.service.endpoints[2], True)
        self.assertEqual(self.used(), ["10.0.0.1", "10.0.0.3"])

    def test_kept(self) -> None:
        """
        An update keeps the health of those that stay.
        """
        self.service.update([ONE, TWO])
        for endpoint in self.service.endpoints:
            self.service.mark(endpoint, True)
        self.service.mark(self.service.endpoints[0], False)
        self.service.mark(self.service.endpoints[0], False)
        self.service.update([Instance("10.0.0.1", 80, weight=3), TWO])
        self.assertEqual(self.used(), ["10.0.0.2"])

    def test_late_answer(self) -> None:
        """
        What comes of asking an endpoint that is gone changes nothing.
        """
        self.service.update([ONE, TWO])
        first = self.service.endpoints[0]
        self.service.update([TWO])
        heard = len(self.balancer.updates)
        self.assertFalse(self.service.mark(first, True))
        self.assertEqual((first.health, len(self.balancer.updates)), ("warming", heard))
