"""
Tests for L{siger.discovery.answers}.
"""

from __future__ import annotations

from typing import Any

from consul.exceptions import ConsulException
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Instance
from siger.config.settings.consul import ConsulSettings
from siger.discovery.answers import exposed_names, passing_instances

CATALOG = {"consul": [], "api-gateway": ["siger.expose"], "web": ["siger.expose", "v1"], "jobs": [], "odd": None}


class ExposedNamesTests(SynchronousTestCase):
    """
    Tests for L{exposed_names}.
    """

    def test_all(self) -> None:
        """
        All is all, but for Consul and gateways.
        """
        self.assertEqual(exposed_names(CATALOG, ConsulSettings()), {"web", "jobs", "odd"})

    def test_tagged(self) -> None:
        """
        Tagged are those with the tag.
        """
        self.assertEqual(exposed_names(CATALOG, ConsulSettings(expose="tagged")), {"web"})

    def test_names(self) -> None:
        """
        Of a list, those that exist.
        """
        chosen = frozenset({"jobs", "api-gateway", "later"})
        self.assertEqual(exposed_names(CATALOG, ConsulSettings(expose=chosen)), {"jobs"})

    def test_nonsense(self) -> None:
        """
        Anything but an object is an error.
        """
        for data in (None, [], "web", 7, [["web", []]]):
            self.assertRaises(ConsulException, exposed_names, data, ConsulSettings())


def entry(**service: Any) -> dict[str, Any]:
    """
    An entry of the answer, of an instance at port 80 unless told otherwise.
    """
    return {"Node": {"Address": "10.0.0.9"}, "Service": {"Port": 80, **service}}


class PassingInstancesTests(SynchronousTestCase):
    """
    Tests for L{passing_instances}.
    """

    def one(self, **service: Any) -> Instance:
        """
        What becomes of one instance.
        """
        (instance,) = passing_instances([entry(**service)])
        return instance

    def test_nothing(self) -> None:
        """
        No entries are no instances.
        """
        self.assertEqual(passing_instances([]), ())

    def test_everything(self) -> None:
        """
        Every fact is kept.
        """
        self.assertEqual(
            self.one(ID="a", Address="10.0.0.1", Tags=["t"], Meta={"k": "v"}, Weights={"Passing": 3, "Warning": 1}),
            Instance("10.0.0.1", 80, 3, "a", frozenset({"t"}), {"k": "v"}),
        )

    def test_little(self) -> None:
        """
        What is missing or null has its default, and the address is the node's.
        """
        expected = Instance("10.0.0.9", 80)
        self.assertEqual(self.one(), expected)
        self.assertEqual(self.one(ID=None, Address="", Tags=None, Meta=None, Weights=None), expected)
        self.assertEqual(self.one(Weights={}), expected)

    def test_weight(self) -> None:
        """
        A weight of 0 is kept, and a negative one is 0.
        """
        self.assertEqual(self.one(Weights={"Passing": 0}).weight, 0)
        self.assertEqual(self.one(Weights={"Passing": -5}).weight, 0)

    def test_meta(self) -> None:
        """
        Values of meta are texts, whatever is sent.
        """
        self.assertEqual(self.one(Meta={"a": "b", "c": 1, "d": None}).meta, {"a": "b", "c": "1", "d": "None"})

    def test_mesh(self) -> None:
        """
        Proxies and gateways of the mesh are left out.
        """
        self.assertEqual(passing_instances([entry(Kind="connect-proxy"), entry(Kind="mesh-gateway")]), ())

    def test_nonsense(self) -> None:
        """
        What is incomplete or of another kind is an error: half an answer is none.
        """
        for data in (None, {}, "x", 1, [1], [None], [{}], [{"Service": None}], [{"Service": {}}], [entry(Port="x")]):
            self.assertRaises(ConsulException, passing_instances, data)
        for service in ({"Port": None}, {"Weights": {"Passing": "a"}}, {"Tags": 7}, {"Meta": 7}, {"Weights": 7}):
            self.assertRaises(ConsulException, passing_instances, [entry(**service)])
        self.assertRaises(ConsulException, passing_instances, [entry(), {"Service": {"Port": 80}}])
