"""
Messages that are nearly right: the cases of C{tests/cases}, changed by the small accidents that smuggling is made of.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

__all__ = ["REQUESTS", "RESPONSES", "cuts", "mutated"]

_LONGEST = 1500
_CASES = Path(__file__).parent.parent / "cases"

TOKENS = [
    *(b"\r\n", b"\r", b"\n", b"\r\r\n", b"\n\r", b"\0", b":", b": ", b"\t", b" ", b"  ", b",", b";", b"\x0b", b"\x0c"),
    *(
        b"\x7f",
        b"\x80",
        b"\x85",
        b"\xa0",
        b"\xff",
        b'"',
        b"\\",
        b"/",
        b"//",
        b"/../",
        b"/./",
        b"%2e",
        b"%2F",
        b"%",
        b"?",
    ),
    *(b"#", b"*", b"0", b"00", b"5", b"+", b"-", b"_", b"0x", b"f", b"chunked", b"identity", b"close", b"keep-alive"),
    *(b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b";a=b", b';a="', b"GET "),
    *(
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: b\r\n",
        b"X: y\r\n",
    ),
    *(b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b" folded\r\n", b"http://gw.test/"),
]


PATH_TOKENS = [
    *(
        b"/../",
        b"../",
        b"/./",
        b"./",
        b"//",
        b"/",
        b"..",
        b".",
        b"%2e%2E/",
        b"%2E",
        b"%2f",
        b"%5c",
        b"%00",
        b"%41",
        b"%zz",
    ),
    *(b"..;/", b";a=b", b"?", b"#", b"*", b"http://gw.test", b"[]", b"|", b"a b", b"\\", b"'", b"+", b"@", b"~"),
]


def _load(name: str) -> list[bytes]:
    """
    The raw bytes of a case file, without the very long ones; those that are to be forwarded come up more often.
    """
    cases = json.loads((_CASES / name).read_text("utf-8"))
    short = [case for case in cases if "repeat" not in case and len(case["raw"]) <= _LONGEST]
    sound = [case for case in short if case["expect"] == "forward"]
    return [case["raw"].encode("latin-1") for case in short + sound * (len(short) // len(sound))]


REQUESTS = _load("requests.json")
RESPONSES = _load("responses.json")


@st.composite
def mutated(draw: Any, bases: list[bytes]) -> bytes:
    """
    One or two of the bases, one after the other, with up to four accidents.
    """
    raw = draw(st.sampled_from(bases))
    if draw(st.booleans()):
        raw += draw(st.sampled_from(bases))
    for _ in range(draw(st.integers(0, 4))):
        raw = draw(st.sampled_from(_ACCIDENTS))(draw, raw)
    return bytes(raw)


@st.composite
def cuts(draw: Any, data: bytes) -> list[bytes]:
    """
    The data in pieces.
    """
    if draw(st.booleans()):
        size = draw(st.integers(1, 3))
        return [data[start : start + size] for start in range(0, len(data), size)]
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=6)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def _place(draw: Any, raw: bytes) -> int:
    """
    Somewhere, most likely where something ends.
    """
    ends = [index for index, byte in enumerate(raw) if byte in b"\r\n: \t;,/"]
    if ends and draw(st.integers(0, 2)):
        return int(draw(st.sampled_from(ends))) + draw(st.integers(0, 1))
    return int(draw(st.integers(0, len(raw))))


def _insert(draw: Any, raw: bytes) -> bytes:
    place = _place(draw, raw)
    return raw[:place] + draw(st.sampled_from(TOKENS)) + raw[place:]


def _bend_target(draw: Any, raw: bytes) -> bytes:
    line, end, rest = raw.partition(b"\r\n")
    slashes = [index for index, byte in enumerate(line) if byte in b"/?"] or [0]
    place = draw(st.sampled_from(slashes)) + draw(st.integers(0, 1))
    return line[:place] + draw(st.sampled_from(PATH_TOKENS)) + line[place:] + end + rest


def _insert_byte(draw: Any, raw: bytes) -> bytes:
    place = _place(draw, raw)
    return raw[:place] + bytes([draw(st.integers(0, 255))]) + raw[place:]


def _replace(draw: Any, raw: bytes) -> bytes:
    place = _place(draw, raw)
    return raw[:place] + bytes([draw(st.integers(0, 255))]) + raw[place + 1 :]


def _delete(draw: Any, raw: bytes) -> bytes:
    place = _place(draw, raw)
    return raw[:place] + raw[place + draw(st.integers(1, 3)) :]


def _lines(raw: bytes) -> list[bytes]:
    return raw.split(b"\r\n")


def _repeat_line(draw: Any, raw: bytes) -> bytes:
    lines = _lines(raw)
    line = draw(st.sampled_from(lines))
    lines.insert(draw(st.integers(0, len(lines))), line)
    return b"\r\n".join(lines)


def _drop_line(draw: Any, raw: bytes) -> bytes:
    lines = _lines(raw)
    del lines[draw(st.integers(0, len(lines) - 1))]
    return b"\r\n".join(lines)


def _swap_lines(draw: Any, raw: bytes) -> bytes:
    lines = _lines(raw)
    one, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


def _change_case(draw: Any, raw: bytes) -> bytes:
    start = _place(draw, raw)
    end = start + draw(st.integers(1, 20))
    return raw[:start] + raw[start:end].swapcase() + raw[end:]


def _cut_off(draw: Any, raw: bytes) -> bytes:
    return raw[: _place(draw, raw)]


_ACCIDENTS = [
    *(
        _insert,
        _insert,
        _bend_target,
        _insert_byte,
        _replace,
        _delete,
        _repeat_line,
        _drop_line,
        _swap_lines,
        _change_case,
        _cut_off,
    )
]
