"""
Tests of L{siger.config.expand}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.document import parse
from siger.config.expand import MAX_TEXT, expand
from siger.config.nodes import Entry, Mapping, Origin, Scalar, Sequence, SettingError

HERE = Origin("f", 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def expanded(text: str, kind: str = "text", **variables: str) -> tuple[Scalar, list[str]]:
    """
    A scalar, expanded, and its faults.
    """
    faults: list[SettingError] = []
    node = expand(Scalar(HERE, text, kind), variables, faults)  # type: ignore[arg-type]
    assert isinstance(node, Scalar)
    return node, [str(fault) for fault in faults]


class ExpandTests(SynchronousTestCase):
    """
    References become what they stand for.
    """

    def becomes(self, expected: str, text: str, **variables: str) -> Scalar:
        """
        Assert what a text is expanded to.
        """
        node, faults = expanded(text, **variables)
        self.assertEqual((expected, []), (node.text, faults))
        return node

    def test_variable(self) -> None:
        """
        A variable's value takes the place of its name, wherever and however often it is there.
        """
        self.becomes("http://h:80/h", "http://${H}:${P}/${H}", H="h", P="80")

    def test_default(self) -> None:
        """
        The default, which may be empty and may hold colons, stands in for a variable that is not set.
        """
        self.becomes("[::1]:80", "${A:[::1]:80}")
        self.becomes("", "${A:}")
        self.becomes("b", "${A:c}", A="b")

    def test_set_and_empty(self) -> None:
        """
        A variable that is set to nothing is set.
        """
        self.becomes("", "${A:x}", A="")

    def test_unset(self) -> None:
        """
        Without a default, a variable that is not set is a fault, and the value one that is already reported.
        """
        node, faults = expanded("${A}")
        self.assertEqual("reported", node.kind)
        self.assertEqual(["f:1: the variable A is not set; ${A:...} would give it a default"], faults)

    def test_malformed(self) -> None:
        """
        A reference without an end, or to what is no name, is a fault.
        """
        for text in ("${", "a${b", "${}", "${:x}", "${a b}", "${1}", "${a-b}", "${a${b}}", "${é}"):
            _, faults = expanded(text)
            self.assertEqual(1, len(faults), text)

    def test_literal(self) -> None:
        """
        C{$${} is how to write C{${}; a dollar sign alone is one.
        """
        self.becomes("${A}", "$${A}")
        self.becomes("$A $$ $", "$A $$ $")

    def test_once(self) -> None:
        """
        What came out is not expanded again.
        """
        self.becomes("${B}", "${A}", A="${B}", B="x")

    def test_whole(self) -> None:
        """
        A value that is one reference is typed as YAML types what came out, and keeps it as a text too.
        """
        for text, kind in [("8080", "number"), ("off", "boolean"), ("", "null"), ("x", "text"), ("[1]", "text")]:
            node = self.becomes(text, "${A}", A=text)
            self.assertEqual((kind, text), (node.kind, node.verbatim))

    def test_part(self) -> None:
        """
        A value with more than one reference keeps its own kind.
        """
        node, _ = expanded("${A}0", "quoted", A="808")
        self.assertEqual(("8080", "quoted", None), (node.text, node.kind, node.verbatim))

    def test_environment(self) -> None:
        """
        What came from the environment is not expanded.
        """
        faults: list[SettingError] = []
        scalar = Scalar(Origin("SIGER_X"), "${A}")
        self.assertIs(scalar, expand(scalar, {"A": "x"}, faults))

    def test_surrogates(self) -> None:
        """
        What is not Unicode is a fault, be it written as escapes or in a variable.
        """
        self.assertEqual(["f:1: not valid Unicode"], expanded("a\ud800")[1])
        self.assertEqual(["f:1: not valid Unicode"], expanded("${A}", A="\udcff")[1])

    def test_size(self) -> None:
        """
        A value cannot grow without end.
        """
        self.becomes("x" * MAX_TEXT, "${A}", A="x" * MAX_TEXT)
        self.assertEqual([f"f:1: longer than {MAX_TEXT} characters"], expanded("${A}y", A="x" * MAX_TEXT)[1])

    def test_everywhere(self) -> None:
        """
        Values at any depth are expanded, keys are not; faults name the place.
        """
        tree = Mapping(HERE, {"${A}": Entry(HERE, Sequence(HERE, [Scalar(HERE, "${A}"), Scalar(HERE, "${B}")]))})
        faults: list[SettingError] = []
        found = expand(tree, {"A": "x"}, faults)
        assert isinstance(found, Mapping)
        inner = found.entries["${A}"].value
        assert isinstance(inner, Sequence)
        self.assertEqual(Scalar(HERE, "x", "text", "x"), inner.items[0])
        self.assertEqual(['"${A}"[1]'], [fault.path for fault in faults])

    @given(TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
    def test_any_text(self, text: str, variables: dict[str, str]) -> None:
        """
        Any text is expanded or reported once, and one without references stays as it is.
        """
        node, faults = expanded(text, **variables)
        self.assertEqual(node.kind == "reported", len(faults) == 1)
        if "${" not in text:
            self.assertEqual(text, node.text)

    @given(TEXT, st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), TEXT, TEXT)
    def test_any_value(self, before: str, name: str, value: str, after: str) -> None:
        """
        A variable's value appears unchanged between what is around the reference.
        """
        before, after = before.replace("$", ""), after.replace("$", "")
        node, faults = expanded(f"{before}${{{name}}}{after}", **{name: value})
        self.assertEqual((before + value + after, []), (node.text, faults))

    @given(TEXT)
    def test_escaping(self, text: str) -> None:
        """
        Any text can be written, each C{${} in it as C{$${}.
        """
        if "$${" not in text:
            node, faults = expanded(text.replace("${", "$${"))
            self.assertEqual((text, []), (node.text, faults))

    @given(st.sampled_from(["8080", "off", "1.5", "~", "yes", "word", "2024-01-01", "0x10"]))
    def test_like_yaml(self, value: str) -> None:
        """
        A whole reference has the kind that its value has when it is written there.
        """
        written = parse(value, "f", [])
        assert isinstance(written, Scalar)
        self.assertEqual(written.kind, expanded("${A}", A=value)[0].kind)
