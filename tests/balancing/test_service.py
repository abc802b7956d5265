"""
Tests for L{siger.balancing.service}.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Endpoint, Instance
from siger.balancing.service import Service
from siger.config.settings import ServiceSettings

ONE = Instance("10.0.0.1", 80)
TWO = Instance("10.0.0.2", 80)


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
