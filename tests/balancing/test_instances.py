"""
Tests for L{siger.balancing.instances}.
"""

from __future__ import annotations

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.health import DOWN, WARMING
from siger.balancing.instances import Endpoint, Instance


class InstanceTests(SynchronousTestCase):
    """
    Tests for L{Instance}.
    """

    def test_frozen(self) -> None:
        """
        A fact does not change.
        """
        self.assertRaises(FrozenInstanceError, setattr, Instance("10.0.0.1", 80), "port", 81)

    def test_value(self) -> None:
        """
        Instances with equal facts are equal and hash alike; any difference, meta included, makes them unequal.
        """
        one = Instance("10.0.0.1", 80, meta={"zone": "a"})
        self.assertEqual(one, Instance("10.0.0.1", 80, meta={"zone": "a"}))
        self.assertEqual(hash(one), hash(Instance("10.0.0.1", 80, meta={"zone": "a"})))
        self.assertNotEqual(one, Instance("10.0.0.1", 80, meta={"zone": "b"}))
        self.assertNotEqual(one, Instance("10.0.0.1", 80, weight=2, meta={"zone": "a"}))


class EndpointTests(SynchronousTestCase):
    """
    Tests for L{Endpoint}.
    """

    def test_label(self) -> None:
        """
        The label is address and port as one writes them, with brackets around IPv6.
        """
        self.assertEqual(Endpoint(Instance("10.0.0.1", 80)).label, b"10.0.0.1:80")
        self.assertEqual(Endpoint(Instance("2001:db8::1", 80)).label, b"[2001:db8::1]:80")

    def test_new(self) -> None:
        """
        Unless it is said otherwise, an endpoint speaks HTTP/1.1 and is well.
        """
        endpoint = Endpoint(Instance("10.0.0.1", 80))
        self.assertEqual((endpoint.protocol, endpoint.health), ("http1", "up"))
        endpoint = Endpoint(Instance("10.0.0.1", 80), "h2c", WARMING)
        self.assertEqual((endpoint.protocol, endpoint.health), ("h2c", "warming"))

    def test_repr(self) -> None:
        """
        The representation shows the state.
        """
        endpoint = Endpoint(Instance("10.0.0.1", 80, weight=2))
        endpoint.inflight = 3
        self.assertEqual(repr(endpoint), "<Endpoint 10.0.0.1:80 [weight 2, 3 in flight]>")
        endpoint.condition.word = DOWN
        self.assertEqual(repr(endpoint), "<Endpoint 10.0.0.1:80 [down, 3 in flight]>")
        endpoint.removed = True
        self.assertEqual(repr(endpoint), "<Endpoint 10.0.0.1:80 [removed, 3 in flight]>")
