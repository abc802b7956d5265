"""
YAML to L{siger.config.nodes}: read by PyYAML's safe loader, but never constructed.

Composing alone keeps the line of every value and turns nothing into Python objects. What YAML can do beyond describing
data is refused here: tags, several documents, keys that are not text, a key twice, endless nesting, and aliases that
multiply (one kilobyte of them can stand for billions of values). Plain aliases and C{<<} merging stay usable.
"""

from __future__ import annotations

import re
from bisect import bisect_right

import yaml
from attrs import define, field

from siger.config.nodes import Entry, Kind, Mapping, Node, Origin, Scalar, Sequence, SettingError, join

__all__ = ["MAX_DEPTH", "MAX_VALUES", "kind_of", "parse"]

MAX_DEPTH = 32
MAX_VALUES = 100_000

_LINE_END = re.compile(r"\r\n|\r|\n")
_RESOLVER = yaml.resolver.Resolver()
_TAG = "tag:yaml.org,2002:"
_KINDS: dict[str, Kind] = {
    _TAG + "int": "number",
    _TAG + "float": "number",
    _TAG + "bool": "boolean",
    _TAG + "null": "null",
    _TAG + "timestamp": "other",
}


class _UnusableError(Exception):
    """
    The document cannot be read on from here.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class _Loader(yaml.SafeLoader):
    """
    A safe loader that looks at each node before it composes it.

    @ivar tagged: where tags stand.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.tagged: list[yaml.Mark] = []

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            self.tagged.append(event.start_mark)
        if self.depth == MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"nested more than {MAX_DEPTH} deep", event.start_mark)
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[arg-type]
        self.depth -= 1
        return node


@define
class _Lines:
    """
    Line numbers as editors count them. PyYAML's own also count U+0085, U+2028 and U+2029 as line ends.
    """

    whole: str
    starts: list[int]

    @classmethod
    def of(cls, text: str) -> _Lines:
        return cls(text, [0, *(match.end() for match in _LINE_END.finditer(text))])

    def at(self, index: int) -> int:
        return bisect_right(self.starts, index)

    def text(self, line: int) -> str:
        return self.whole[self.starts[line - 1] :].partition("\n")[0]


def kind_of(text: str) -> Kind:
    """
    What YAML takes an unquoted scalar for.
    """
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    return _KINDS.get(tag, "text")


def parse(text: str, source: str, faults: list[SettingError]) -> Node | None:
    """
    Read one document.

    @param source: what the faults name: a file, or an environment variable.
    @param faults: gets everything that is wrong.
    @return: C{None} for an empty document, or one that cannot be read at all.
    """
    lines = _Lines.of(text)
    try:
        root, tagged = _compose(text, lines)
        faults.extend(
            SettingError("tags (!...) are not allowed", "", Origin(source, lines.at(m.index))) for m in tagged
        )
        return None if root is None else _Converter(source, lines, faults).node(root, "", None)
    except _UnusableError as error:
        faults.append(SettingError(error.message, "", Origin(source, error.line)))
        return None


def _compose(text: str, lines: _Lines) -> tuple[yaml.Node | None, list[yaml.Mark]]:
    """
    PyYAML's own tree, and every way in which PyYAML fails told in one.
    """
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_node(), loader.tagged
    except yaml.reader.ReaderError as error:
        raise _UnusableError(
            f"the character {chr(error.character)!a} is not allowed", lines.at(error.position)
        ) from None
    except yaml.MarkedYAMLError as error:
        line = _line_of(error, lines)
        hint = "; a ${...} between braces or brackets must be in quotes" if "${" in lines.text(line) else ""
        raise _UnusableError(_problem(error) + hint, line) from None
    except (ValueError, OverflowError):
        # PyYAML lets these through for "\UFFFFFFFF" and for a %YAML version with thousands of digits.
        line = lines.at(loader.index) if loader is not None else 1
        raise _UnusableError("not YAML: a number is out of range", line) from None


def _line_of(error: yaml.MarkedYAMLError, lines: _Lines) -> int:
    mark = error.problem_mark or error.context_mark
    return 1 if mark is None else lines.at(mark.index)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """
    PyYAML's words, less the excerpt of the file, which may hold a secret.
    """
    if error.problem is not None and error.problem.startswith("found undefined alias"):
        return "not YAML: a value that begins with * and is no alias must be in quotes"
    return "not YAML: " + ", ".join(filter(None, [error.context, error.problem]))


@define
class _Converter:
    """
    From PyYAML's tree to ours.

    @ivar open: the nodes that the walk is inside of: meeting one again means a loop.
    @ivar count: values so far, each alias counted with all that it stands for.
    """

    source: str
    lines: _Lines
    faults: list[SettingError]
    open: set[int] = field(factory=set)
    count: int = 0

    def origin(self, node: yaml.Node) -> Origin:
        return Origin(self.source, self.lines.at(node.start_mark.index))

    def node(self, node: yaml.Node, path: str, key: Origin | None) -> Node:
        """
        @param key: where the key of this value stands. A block under a key counts as being at the key's line.
        """
        origin = self.origin(node)
        self._guard(node, origin)
        if isinstance(node, yaml.ScalarNode):
            return Scalar(origin, node.value, _KINDS.get(node.tag, "text") if node.style is None else "quoted")
        self.open.add(id(node))
        try:
            return self._collection(node, path, key or origin)
        finally:
            self.open.discard(id(node))

    def _guard(self, node: yaml.Node, origin: Origin) -> None:
        assert origin.line is not None
        if id(node) in self.open:
            raise _UnusableError("an alias stands for itself", origin.line)
        self.count += 1
        if self.count > MAX_VALUES:
            raise _UnusableError(f"more than {MAX_VALUES} values, aliases counted with all they stand for", origin.line)

    def _collection(self, node: yaml.Node, path: str, origin: Origin) -> Node:
        if isinstance(node, yaml.SequenceNode):
            return Sequence(origin, [self.node(item, join(path, i), None) for i, item in enumerate(node.value)])
        mapping = Mapping(origin)
        merged: list[Mapping] = []
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                merged += self._merged(value, path)
            else:
                self._entry(mapping, key, value, path)
        for other in merged:
            mapping.entries = {**other.entries, **mapping.entries}
        return mapping

    def _entry(self, mapping: Mapping, key: yaml.Node, value: yaml.Node, path: str) -> None:
        origin = self.origin(key)
        if not isinstance(key, yaml.ScalarNode):
            self.faults.append(SettingError("a key must be text", path, origin))
            return
        place = join(path, key.value)
        first = mapping.entries.get(key.value)
        node = self.node(value, place, origin)
        if first is not None:
            self.faults.append(SettingError(f"duplicate key, first on line {first.origin.line}", place, origin))
        else:
            mapping.entries[key.value] = Entry(origin, node)

    def _merged(self, value: yaml.Node, path: str) -> list[Mapping]:
        """
        The mappings that a C{<<} key names: the earlier ones win.
        """
        nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
        found = [self.node(node, path, None) for node in nodes]
        if not all(isinstance(node, Mapping) for node in found):
            self.faults.append(SettingError("<< takes a mapping, or a list of them", path, self.origin(value)))
        return [node for node in found if isinstance(node, Mapping)]
