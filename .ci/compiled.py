"""
See that every hot module is the compiled one: Python falls back to the source file without a word.

Run in a tree in which they were compiled in place.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path


def hot_modules(setup: str) -> list[str]:
    """
    The names of the modules that C{setup.py} lists as C{HOT}.
    """
    for node in ast.parse(setup).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOT":
            return [path.removesuffix(".py").replace("/", ".") for path in ast.literal_eval(node.value)]
    raise SystemExit("setup.py names no HOT modules")


def main() -> int:
    """
    @return: the exit status: 0 when all are compiled.
    """
    sys.path.insert(0, ".")
    loaded = {name: str(importlib.import_module(name).__file__) for name in hot_modules(Path("setup.py").read_text())}
    plain = [name for name, file in loaded.items() if not file.endswith(".so")]
    for name in plain:
        print(f"not compiled: {name}, from {loaded[name]}")
    print(f"{len(loaded) - len(plain)} of {len(loaded)} hot modules are compiled")
    return 1 if plain else 0


if __name__ == "__main__":
    raise SystemExit(main())
