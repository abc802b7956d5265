"""
The case files: raw messages, each with what a gateway must make of it. The C{more_} files are in the same form.

Every key of a case means something to the runner. One that it does not know is an error rather than a case that
silently asserts less than its author wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

__all__ = ["Case", "load_requests", "load_responses"]

_CASES = Path(__file__).parent.parent / "cases"
_COMMON = {"id", "why", "raw", "expect", "ref", "repeat", "eof"}
_REQUEST_KEYS = _COMMON | {
    *("status", "phase", "forwarded", "responses", "close", "client_close", "no_interim", "bare_close_ok", "upstream"),
}
_RESPONSE_KEYS = _COMMON | {
    *("also", "request", "client_version", "when", "body", "next_request_must_not_see", "check"),
}


@frozen
class Case:
    """
    One case.

    @ivar raw: the bytes, repeats unfolded.
    @ivar expect: the expected outcome.
    @ivar options: everything else that the file says.
    """

    id: str
    why: str
    raw: bytes
    expect: str
    options: dict[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        """
        An optional key.
        """
        return self.options.get(key, default)

    @property
    def method_name(self) -> str:
        """
        The id as part of a Python name.
        """
        return re.sub(r"[^a-z0-9]", "_", self.id)


def load_requests() -> list[Case]:
    """
    What clients send.
    """
    return [*_load("requests.json", _REQUEST_KEYS), *_load("more_requests.json", _REQUEST_KEYS)]


def load_responses() -> list[Case]:
    """
    What backends send.
    """
    return [*_load("responses.json", _RESPONSE_KEYS), *_load("more_responses.json", _RESPONSE_KEYS)]


def _load(name: str, known: set[str]) -> Iterator[Case]:
    for entry in json.loads((_CASES / name).read_text("utf-8")):
        if unknown := entry.keys() - known:
            raise ValueError(f"{name}: {entry['id']} has keys that no test knows: {unknown}")
        raw = entry["raw"]
        for token, (unit, count) in entry.get("repeat", {}).items():
            raw = raw.replace(token, unit * count)
        yield Case(entry["id"], entry["why"], raw.encode("latin-1"), entry["expect"], entry)
