"""
Tests of L{siger.config.document}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from siger.config.document import MAX_DEPTH, MAX_VALUES, kind_of, parse
from siger.config.nodes import Mapping, Node, Scalar, Sequence, SettingError


def read(text: str) -> tuple[Node | None, list[str]]:
    """
    The tree of a text, and its faults as they are printed.
    """
    faults: list[SettingError] = []
    return parse(text, "f", faults), [str(fault) for fault in faults]


def plain(node: Node | None) -> object:
    """
    A tree as Python's own values, scalars as their text.
    """
    if isinstance(node, Mapping):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return None if node is None else node.text


class ParseTests(SynchronousTestCase):
    """
    YAML becomes nodes.
    """

    def good(self, text: str) -> object:
        """
        The tree of a text without faults.
        """
        node, faults = read(text)
        self.assertEqual([], faults)
        return plain(node)

    def bad(self, text: str) -> list[str]:
        """
        The faults of a text that has some.
        """
        _, faults = read(text)
        self.assertNotEqual([], faults)
        return faults

    def test_tree(self) -> None:
        """
        Mappings, lists and scalars keep their shape; keys are text, whatever YAML takes them for.
        """
        self.assertEqual(
            {"a": "1", "b": ["x", {"c": ""}], "8080": "on", "on": "2.5"},
            self.good("a: 1\nb:\n- x\n- c:\n8080: on\non: 2.5\n"),
        )

    def test_json(self) -> None:
        """
        JSON is read too.
        """
        self.assertEqual({"a": {"b": ["1", "false"]}}, self.good('{"a": {"b": [1, false]}}'))

    def test_empty(self) -> None:
        """
        A document without anything is no tree, and no fault.
        """
        self.assertEqual((None, []), read("# nothing here\n"))

    def test_byte_order_mark(self) -> None:
        """
        A byte order mark before the text is not part of it.
        """
        self.assertEqual({"a": "1"}, self.good("\ufeffa: 1"))

    def test_kinds(self) -> None:
        """
        A scalar knows what YAML takes it for.
        """
        for text, kind in [
            ("word", "text"),
            ("'12'", "quoted"),
            ('"off"', "quoted"),
            ("|\n off\n", "quoted"),
            ("12", "number"),
            ("1.5", "number"),
            ("off", "boolean"),
            ("~", "null"),
            ("2024-01-01", "other"),
            ("=", "text"),
        ]:
            node, _ = read(f"a: {text}")
            assert isinstance(node, Mapping)
            scalar = node.entries["a"].value
            assert isinstance(scalar, Scalar)
            self.assertEqual(kind, scalar.kind, text)

    def test_kind_of(self) -> None:
        """
        The same can be asked of any text.
        """
        found = [kind_of(text) for text in ("", "8080", "yes", "null", "a b", "2024-01-01")]
        self.assertEqual(["null", "number", "boolean", "null", "text", "other"], found)

    def test_lines(self) -> None:
        """
        Scalars stand where they are written, and blocks where their key is.
        """
        node, _ = read("a:\n  1\nb:\n\n  c:\n    - x\n    - y: z\n")
        assert isinstance(node, Mapping)
        b = node.entries["b"].value
        assert isinstance(b, Mapping)
        c = b.entries["c"].value
        assert isinstance(c, Sequence)
        lines = [node.entries["a"].value, b, c, *c.items]
        self.assertEqual([2, 3, 5, 6, 7], [item.origin.line for item in lines])

    def test_lines_of_editors(self) -> None:
        """
        Lines are counted as editors count them: CRLF is one end, and the separators that only Unicode knows are none.
        """
        node, _ = read("# \x85\u2028\u2029\r\na: 1\rb: 2\nc: 3\n")
        assert isinstance(node, Mapping)
        self.assertEqual([2, 3, 4], [entry.origin.line for entry in node.entries.values()])

    def test_duplicates(self) -> None:
        """
        A key that is there twice is a fault at its second place, at any depth, and in whichever quotes.
        """
        self.assertEqual(
            ["f:2: a: duplicate key, first on line 1", "f:5: b.c: duplicate key, first on line 4"],
            self.bad("a: 1\n'a': 2\nb:\n  c: 1\n  c: 2\n"),
        )

    def test_first_of_duplicates(self) -> None:
        """
        The first of them counts, so that the rest of the file can be checked.
        """
        self.assertEqual({"a": "1"}, plain(read("a: 1\na: 2\n")[0]))

    def test_syntax(self) -> None:
        """
        What is no YAML is one fault, at its line, and no tree.
        """
        for text, line in [("a: [1, 2\nb: 3\n", 2), ("a:\n\t- x", 2), ("a: b: c", 1), ('a: "', 1), ("a: @x", 1)]:
            node, faults = read(text)
            self.assertIsNone(node)
            self.assertEqual([f"f:{line}"], [fault.partition(": not YAML: ")[0] for fault in faults], text)

    def test_reference_between_braces(self) -> None:
        """
        An unquoted variable in a flow collection, where YAML takes its braces for its own, is told what to do.
        """
        self.assertIn("must be in quotes", self.bad("a: {b: ${C}}")[0])
        self.assertNotIn("must be in quotes", self.bad("a: {b: {}")[0])

    def test_excerpts(self) -> None:
        """
        A syntax error does not show the file's text, which may hold a secret.
        """
        self.assertNotIn("hush", str(self.bad("jwt_secret: *hushhush\n") + self.bad("a: 'x' hush")))

    def test_documents(self) -> None:
        """
        There is one document.
        """
        self.assertEqual(["f:2"], [fault.partition(": not YAML")[0] for fault in self.bad("a: 1\n---\nb: 2\n")])

    def test_control_characters(self) -> None:
        """
        A character that YAML forbids is named, with its line.
        """
        self.assertEqual([r"f:3: the character '\x00' is not allowed"], self.bad("a: 1\n\nb: \0\n"))

    def test_tags(self) -> None:
        """
        Every tag is a fault, those of Python's objects and YAML's own alike.
        """
        text = "a: !!python/object/apply:os.system [x]\nb: !!str 5\nc: ! d\ne: !f {}\n"
        self.assertEqual([f"f:{line}: tags (!...) are not allowed" for line in (1, 2, 3, 4)], self.bad(text))

    def test_crashes_of_pyyaml(self) -> None:
        """
        Numbers that PyYAML trips over are faults.
        """
        for text in (r'"\UFFFFFFFF"', r'"\U00110000"', f"%YAML 1.{'9' * 5000}\n--- a"):
            self.assertEqual(["f:1: not YAML: a number is out of range"], self.bad(text))

    def test_depth(self) -> None:
        """
        Nesting has an end, well before Python's own.
        """
        deep = "[" * (MAX_DEPTH - 1) + "x" + "]" * (MAX_DEPTH - 1)
        self.good(deep)
        self.assertEqual([f"f:1: not YAML: nested more than {MAX_DEPTH} deep"], self.bad(f"[{deep}]"))
        self.assertEqual([f"f:1: not YAML: nested more than {MAX_DEPTH} deep"], self.bad("[" * 200_000))

    def test_key_not_text(self) -> None:
        """
        A key that is a list or a mapping is a fault.
        """
        self.assertEqual(["f:2: a: a key must be text"], self.bad("a:\n  ? [x]\n  : y\n"))


class AliasTests(SynchronousTestCase):
    """
    What is written once can be used again, within bounds.
    """

    def test_alias(self) -> None:
        """
        An alias stands for a copy of its own.
        """
        node, faults = read("a: &x {b: [1]}\nc: *x\n")
        self.assertEqual(({"a": {"b": ["1"]}, "c": {"b": ["1"]}}, []), (plain(node), faults))
        assert isinstance(node, Mapping)
        self.assertIsNot(node.entries["a"].value, node.entries["c"].value)

    def test_bomb(self) -> None:
        """
        Aliases that multiply are refused before they have used up memory or time.
        """
        text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for i in range(1, 12):
            text += f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n"
        message = f"more than {MAX_VALUES} values, aliases counted with all they stand for"
        self.assertEqual([f"f:1: {message}"], read(text)[1])

    def test_loop(self) -> None:
        """
        An alias inside what it stands for is refused.
        """
        self.assertEqual((None, ["f:1: an alias stands for itself"]), read("&a [*a]"))
        self.assertEqual((None, ["f:1: an alias stands for itself"]), read("a: &a\n  b:\n    c: *a\n"))

    def test_merge(self) -> None:
        """
        C{<<} takes over keys: those beside it win, and then the earlier of several mappings.
        """
        text = "a: &a {x: 1, y: 1, z: 1}\nb: &b {y: 2, w: 2}\nc:\n  <<: [*b, *a]\n  z: 3\n"
        node, faults = read(text)
        assert isinstance(node, Mapping)
        self.assertEqual([], faults)
        self.assertEqual({"x": "1", "y": "2", "z": "3", "w": "2"}, plain(node.entries["c"].value))

    def test_merge_of_one(self) -> None:
        """
        A single mapping needs no list.
        """
        self.assertEqual({"x": "1"}, plain(read("<<: {x: 1}")[0]))

    def test_merge_of_other(self) -> None:
        """
        Nothing but mappings can be merged.
        """
        self.assertEqual(["f:2: a: << takes a mapping, or a list of them"], read("a:\n  <<: [x, {}]\n")[1])
