"""
Tests for L{siger.discovery.announcements}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.balancing.instances import Instance
from siger.config.shared import GRPC_NAME
from siger.discovery.announcements import MOST, Faults, announced, owners
from tests.http.generators import properties


def saying(*texts: str) -> list[Instance]:
    """
    Instances that announce this.
    """
    return [Instance("10.0.0.1", 80 + n, meta={"grpc-services": text}) for n, text in enumerate(texts)]


class AnnouncedTests(SynchronousTestCase):
    """
    Tests for L{announced}.
    """

    def test_names(self) -> None:
        """
        Names are separated by commas, with blanks or without; those of all instances are taken together.
        """
        for texts, names in [
            ((), ()),
            (("",), ()),
            ((" , ,",), ()),
            (("a.v1.B",), ("a.v1.B",)),
            (("b.C,a.B , _x,",), ("_x", "a.B", "b.C")),
            (("a.B, a.C", "a.C,a.D", ""), ("a.B", "a.C", "a.D")),
        ]:
            faults: Faults = set()
            self.assertEqual((announced("s", saying(*texts), faults), faults), (names, set()))
        self.assertEqual(announced("s", [Instance("10.0.0.1", 80)], set()), ())

    def test_bad(self) -> None:
        """
        What is no full name is ignored, and said to be.
        """
        for word in ("a b", "a-b", "a/b", ".a", "a.", "a..b", "1a", "\u00e4", "*", "x" * 256, "a.B\n.c"):
            faults: Faults = set()
            self.assertEqual(announced("s", saying(f"a.B,{word}"), faults), ("a.B",), word)
            reason = "that is no full name such as package.v1.Service"
            self.assertEqual(faults, {(f"gRPC service {word[:80]!r} of service 's'", reason)})

    def test_most(self) -> None:
        """
        There is an end to what one service has.
        """
        faults: Faults = set()
        words = [f"a.S{number:03}" for number in range(MOST + 2)]
        self.assertEqual(announced("s", saying(*words), faults), tuple(words[:MOST]))
        reason = "no service has more than 64"
        self.assertEqual(faults, {(f"gRPC service {word!r} of service 's'", reason) for word in words[MOST:]})

    @properties
    @given(st.lists(st.text("aB.1_, /-\u00e9\n", max_size=20), max_size=3))
    def test_any_text(self, texts: list[str]) -> None:
        """
        Whatever is announced, only full names come of it, and the rest is said to be ignored.
        """
        faults: Faults = set()
        names = announced("s", saying(*texts), faults)
        self.assertTrue(all(GRPC_NAME.fullmatch(name) for name in names))
        words = {word.strip() for text in texts for word in text.split(",")} - {""}
        self.assertEqual(len(names) + len(faults), len(words))


class OwnersTests(SynchronousTestCase):
    """
    Tests for L{owners}.
    """

    def test_none(self) -> None:
        """
        Nobody has what nobody announces.
        """
        self.assertEqual(owners([], set()), {})
        self.assertEqual(owners([{}, {"s": ()}], set()), {})

    def test_same_service(self) -> None:
        """
        Two sources may say the same of one service.
        """
        faults: Faults = set()
        self.assertEqual(owners([{"s": ("a.B",)}, {"s": ("a.B", "a.C")}], faults), {"a.B": "s", "a.C": "s"})
        self.assertEqual(faults, set())

    def test_first_by_name(self) -> None:
        """
        Of several services the first in the alphabet has it, whoever says it and in whatever order.
        """
        for said in (
            [{"t": ("a.B",), "s": ("a.B",), "u": ("a.B", "a.C")}],
            [{"u": ("a.B", "a.C")}, {"t": ("a.B",)}, {"s": ("a.B",)}],
        ):
            faults: Faults = set()
            self.assertEqual(owners(said, faults), {"a.B": "s", "a.C": "u"})
            reason = "service 's' has it already"
            self.assertEqual(faults, {(f"gRPC service 'a.B' of service {name!r}", reason) for name in "tu"})
