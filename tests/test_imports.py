"""
Which module may import which, and what parsers may not do: read from the sources, so nothing has to be imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "siger"

LAYERS = [
    {"siger.__init__", "siger.errors", "siger.config.settings"},
    {"siger.config", "siger.grpc"},
    {"siger.http.grammar", "siger.http.fields", "siger.http.field_names", "siger.http.target", "siger.http.body"}
    | {"siger.http.request", "siger.http.request_parser", "siger.http.response", "siger.http.stream"}
    | {"siger.http.hpack"},
    {"siger.routing", "siger.balancing", "siger.policy", "siger.observe", "siger.messaging"},
    {"siger.http"},
    {"siger.tls"},
    {"siger.proxy", "siger.admin", "siger.discovery", "siger.auth", "siger.jobs"},
    {"siger.destinations", "siger.store", "siger.upstreams", "siger.worker", "siger.health"}
    | {"siger.ways", "siger.answers"},
    {"siger.frontdoor", "siger.drain", "siger.membership", "siger.accounts", "siger.queue", "siger.vitals"},
    {"siger.own", "siger.figures"},
    {"siger.gateway", "siger.workers", "siger.process"},
    {"siger.cli", "siger.tap", "siger.__main__"},
]
"""
From the bottom up: a module imports from its own room and from layers below. The longest name that fits counts.

The message core of C{siger.http} (what a head or a body is) stands below C{policy} and C{routing}, which read request
heads; the channels stand above them.
"""

APART = {"siger.reactor", "siger.transports", "siger.demo"}
"""
Outside the layers: the reactor with its transports, which know nothing of gateways, and the demo.
"""

REACTOR_USERS = {"siger.cli", "siger.tap", "siger.__main__", "siger.demo", "siger.reactor", "siger.transports"}
"""
Who may import L{siger.reactor}: what is run as a command, since that has to choose before anything else happens.
"""

INSTALLERS = {f"twisted.internet.{name}" for name in ("main", "asyncioreactor", "epollreactor", "selectreactor")}

PURE = {
    *("siger.config", "siger.errors", "siger.balancing", "siger.grpc"),
    *(f"siger.http.{name}" for name in ("grammar", "fields", "field_names", "body", "target", "proxy_protocol")),
    *(f"siger.http.{name}" for name in ("request", "request_parser", "response", "hpack")),
}
"""
Rooms that compute: no Twisted, no asyncio, no sockets.
"""

PARSERS = [
    *("grammar", "fields", "target", "body", "request", "request_parser", "response", "h1.channel", "h1.bodies"),
    *("proxy_protocol", "grpc_web"),
    *("hpack.decoder", "hpack.encoder", "hpack.huffman"),
]
"""
Modules of C{siger.http} that read bytes from a wire.
"""

GRPC_PARSERS = ["content", "health", "metadata", "protobuf", "timeouts", "web"]
"""
The same of C{siger.grpc}.
"""

CHECKED_NUMBERS = {
    ("grammar", "decimal"),
    ("body", "_take_size"),
    ("target", "_decode"),
    ("response", "head"),
    ("metadata", "status_in"),
    ("timeouts", "parse_timeout"),
    ("timeouts", "format_timeout"),
}
"""
The functions that may call C{int}: each has matched the digits with a pattern just before, or rounds a float.
"""


@frozen
class Import:
    """
    One imported module.

    @ivar typing: only for annotations, under C{if TYPE_CHECKING}.
    @ivar top: at the top of the module, so it happens when the importer is imported.
    """

    importer: str
    target: str
    line: int
    typing: bool
    top: bool


@cache
def modules() -> dict[str, ast.Module]:
    """
    Every module of the package by its name, parsed.
    """
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


def imports(name: str, tree: ast.Module) -> Iterator[Import]:
    """
    Everything that a module imports, wherever in it.
    """
    for node, typing, top in _walk(tree, False, True):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, node.lineno, typing, top)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno} imports relatively"
            for alias in node.names:
                yield Import(name, _module(f"{node.module}.{alias.name}", str(node.module)), node.lineno, typing, top)


@cache
def all_imports() -> list[Import]:
    """
    The imports of all modules.
    """
    return list(dict.fromkeys(one for name, tree in modules().items() for one in imports(name, tree)))


def _walk(node: ast.AST, typing: bool, top: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        outer = top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield child, typing, top
        yield from _walk(child, inside, outer)


def _module(full: str, parent: str) -> str:
    """
    C{from a import b} means the module a.b where there is one of ours, else a; of others, a.b is as good a name.
    """
    if not fits(full, "siger"):
        return full
    path = ROOT / Path(*full.split("."))
    return full if path.is_dir() or path.with_suffix(".py").exists() else parent


def fits(name: str, room: str) -> bool:
    """
    Whether a module is, or lies in, a room.
    """
    return name == room or name.startswith(room + ".") or (room == "siger.__init__" and name == "siger")


def home(name: str) -> tuple[int, str]:
    """
    The layer and the room of a module; layer -1 for what stands apart, and for what nobody has placed yet.
    """
    rooms = [(len(room), index, room) for index, layer in enumerate(LAYERS) for room in layer if fits(name, room)]
    rooms += [(len(room), -1, room) for room in APART if fits(name, room)]
    _, index, room = max(rooms, default=(0, -1, ""))
    return index, room


def _package(name: str) -> list[str]:
    return name.split(".")[:2]


class Sources(SynchronousTestCase):
    """
    What the tests below read.
    """

    def setUp(self) -> None:
        self.modules = modules()
        self.imports = all_imports()
        self.own = [one for one in self.imports if fits(one.target, "siger")]

    def report(self, faults: list[str]) -> None:
        """
        Fail with all of them.
        """
        if faults:
            self.fail("\n".join(["", *faults]))


class DirectionTests(Sources):
    """
    Imports go one way.
    """

    def test_placed(self) -> None:
        """
        Somebody decided for every module where it belongs.
        """
        self.report([f"{name} has no place in LAYERS" for name in self.modules if not home(name)[1]])

    def test_layers(self) -> None:
        """
        A module imports from its own room and from the layers below, never upwards or from a sibling room.
        """
        faults = []
        for one in self.own:
            layer, room = home(one.importer)
            target_layer, target_room = home(one.target)
            same_room = target_room == room or (
                target_layer == layer and _package(one.importer) == _package(one.target)
            )
            if not one.typing and -1 not in (layer, target_layer) and not same_room and target_layer >= layer:
                faults.append(f"{one.importer}:{one.line} imports {one.target}, which is not below it")
        self.report(faults)

    def test_annotations(self) -> None:
        """
        What is imported for annotations alone does not point upwards by more than the seams of C{siger.http}.
        """
        faults = []
        for one in self.own:
            layer, target_layer = home(one.importer)[0], home(one.target)[0]
            if one.typing and -1 not in (layer, target_layer) and target_layer > max(layer, 4):
                faults.append(f"{one.importer}:{one.line} is annotated with {one.target}, which is above it")
        self.report(faults)

    def test_apart(self) -> None:
        """
        The transports and the reactor import nothing of the gateway, and only what runs the demo imports it.
        """
        faults = []
        for one in self.own:
            importer, target = home(one.importer)[1], home(one.target)[1]
            below = target in ("siger.errors", "siger.__init__", "siger.reactor", "siger.transports")
            if importer in ("siger.reactor", "siger.transports") and not below:
                faults.append(f"{one.importer}:{one.line} imports {one.target}")
            if target == "siger.demo" and importer not in ("siger.demo", "siger.cli", "siger.worker"):
                faults.append(f"{one.importer}:{one.line} imports {one.target}")
        self.report(faults)

    def test_cycles(self) -> None:
        """
        No module imports itself by way of others.
        """
        edges: dict[str, set[str]] = {}
        for one in self.own:
            if not one.typing and one.top:
                edges.setdefault(one.importer.removesuffix(".__init__"), set()).add(one.target)
        self.report([" -> ".join(path) for path in _cycles(edges)])

    def test_pure(self) -> None:
        """
        Pure rooms import neither Twisted nor asyncio nor sockets, not even inside functions.
        """
        banned = ("twisted", "asyncio", "uvloop", "socket", "selectors", "ssl", "klein", "treq", "threading")
        faults = [
            f"{one.importer}:{one.line} imports {one.target}"
            for one in self.imports
            if any(fits(one.importer, room) for room in PURE) and any(fits(one.target, name) for name in banned)
        ]
        self.report(faults)

    def test_no_utils(self) -> None:
        """
        No module is named after having no subject.
        """
        self.assertEqual([name for name in self.modules if re.search(r"\b(utils?|helpers?|misc|common)\b", name)], [])

    def test_future_annotations_and_docstring(self) -> None:
        """
        Every module says why it exists, and postpones its annotations.
        """
        faults = []
        for name, tree in self.modules.items():
            if not ast.get_docstring(tree):
                faults.append(f"{name} has no docstring")
            if len(tree.body) > 1 and "from __future__ import annotations" not in ast.unparse(tree):
                faults.append(f"{name} does not postpone its annotations")
        self.report(faults)


class ReactorTests(Sources):
    """
    One place chooses the reactor.
    """

    def test_global_reactor(self) -> None:
        """
        Only L{siger.reactor} imports or installs the global reactor at the top of a module; commands may inside a
        function, once the choice is made.
        """
        faults = []
        for one in self.imports:
            if one.typing or not fits(one.target, "twisted.internet.reactor"):
                continue
            if one.top or not any(fits(one.importer, room) for room in REACTOR_USERS | {"siger.process"}):
                faults.append(f"{one.importer}:{one.line} imports the global reactor")
        self.report(faults)

    def test_installers(self) -> None:
        """
        Nobody else calls C{installReactor}, or an C{install} of Twisted's reactors.
        """
        faults = [
            f"{one.importer}:{one.line} imports {one.target}"
            for one in self.imports
            if any(fits(one.target, name) for name in INSTALLERS)
            and not any(fits(one.importer, room) for room in ("siger.reactor", "siger.transports"))
        ]
        self.report(faults)

    def test_users_of_our_reactor(self) -> None:
        """
        Only what is run as a command imports L{siger.reactor} when the program runs.
        """
        faults = [
            f"{one.importer}:{one.line}"
            for one in self.own
            if fits(one.target, "siger.reactor")
            and not one.typing
            and not any(fits(one.importer, room) for room in REACTOR_USERS)
        ]
        self.report(faults)

    def test_plugins(self) -> None:
        """
        The twistd plugins import nothing of Siger, nor the reactor, when Twisted merely lists them.
        """
        for path in sorted((ROOT / "twisted_plugins").glob("*.py")):
            for one in imports(path.stem, ast.parse(path.read_text("utf-8"))):
                if one.top and not one.typing:
                    allowed = one.target.split(".")[0] in ("__future__", "typing", "zope", "twisted")
                    self.assertTrue(allowed, f"{path.name}:{one.line} imports {one.target}")
                    self.assertFalse(fits(one.target, "twisted.internet"), f"{path.name}:{one.line}")


class ParserLintTests(Sources):
    """
    Python's conveniences that read more, or other, than the grammar of HTTP allows are not used on wire bytes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.parsers = {name: self.modules[f"siger.http.{name}"] for name in PARSERS}
        self.parsers |= {name: self.modules[f"siger.grpc.{name}"] for name in GRPC_PARSERS}

    def calls(self) -> Iterator[tuple[str, str, ast.Call]]:
        """
        Every call in a parser: module, enclosing function, call.
        """
        for name, tree in self.parsers.items():
            for function in ast.walk(tree):
                if isinstance(function, ast.FunctionDef):
                    for node in ast.walk(function):
                        if isinstance(node, ast.Call):
                            yield name, function.name, node

    def test_int(self) -> None:
        """
        C{int} takes signs, spaces, underscores and Unicode digits, so only checked helpers call it.
        """
        faults = [
            f"{name}.{function}:{call.lineno}"
            for name, function, call in self.calls()
            if isinstance(call.func, ast.Name)
            and call.func.id in ("int", "float")
            and (name, function) not in CHECKED_NUMBERS
        ]
        self.report(faults)

    def test_methods(self) -> None:
        """
        No character class but our own, no splitting at what Python takes for space, no decoding but as bytes map.
        """
        banned = {"isdigit", "isnumeric", "isdecimal", "isalnum", "isalpha", "isspace", "splitlines", "casefold"}
        blind = {"strip", "lstrip", "rstrip", "split", "rsplit"}
        faults = []
        for name, function, call in self.calls():
            if isinstance(call.func, ast.Attribute):
                method = call.func.attr
                if method in banned or (method in blind and not call.args):
                    faults.append(f"{name}.{function}:{call.lineno} calls {method}")
                if method == "decode" and ast.unparse(call.args[0] if call.args else ast.Constant("")) not in (
                    "'ascii'",
                    "'latin-1'",
                ):
                    faults.append(f"{name}.{function}:{call.lineno} decodes as UTF-8")
        self.report(faults)

    def test_patterns(self) -> None:
        """
        Patterns are anchored by C{fullmatch}: C{$} matches before a final LF, and C{match} ends where it likes. They
        work on bytes.
        """
        faults = []
        for name, tree in self.parsers.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and node.attr == "match" and _is_pattern(node.value):
                    faults.append(f"{name}:{node.lineno} uses match")
                if not (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")):
                    continue
                text = ast.unparse(node.args[0])
                if re.search(r"(?<!\\)\$(?![^\[]*\])", text):
                    faults.append(f"{name}:{node.lineno} has a $")
                if any(
                    isinstance(part, ast.Constant) and isinstance(part.value, str) for part in ast.walk(node.args[0])
                ):
                    faults.append(f"{name}:{node.lineno} is no bytes pattern")
        self.report(faults)

    def test_unquote(self) -> None:
        """
        Nothing decodes a target but the one function that normalises it.
        """
        faults = [
            f"{one.importer}:{one.line} imports {one.target}"
            for one in self.imports
            if fits(one.target, "urllib") and one.importer.removeprefix("siger.http.") in PARSERS
        ]
        self.report(faults)


def _is_pattern(node: ast.AST) -> bool:
    """
    Whether this is C{re.compile(...)}, or the module C{re} itself.
    """
    return ast.unparse(node) == "re" or (isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile")


def _cycles(edges: dict[str, set[str]]) -> Iterator[list[str]]:
    """
    Each cycle once, found by walking from every module.
    """
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            yield [*path[path.index(name) :], name]
        elif name not in done:
            for target in sorted(edges.get(name, ())):
                yield from visit(target, [*path, name])
            done.add(name)

    for name in sorted(edges):
        yield from visit(name, [])
