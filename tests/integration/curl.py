"""
curl as a client: it speaks HTTP/2 in its own way, and has been tried on most servers that there are.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from attrs import Factory, frozen

__all__ = ["PRIOR_KNOWLEDGE", "Reply", "curl", "curl_program", "program"]

PRIOR_KNOWLEDGE = "--http2-prior-knowledge"

#: Where C{make tools} puts programs.
TOOLS = Path(__file__).resolve().parents[2] / ".tools" / "bin"


def program(name: str) -> str:
    """
    The path of a program: the one on C{PATH}, else the one that C{make tools} got.
    """
    found = shutil.which(name) or (str(TOOLS / name) if (TOOLS / name).exists() else "")
    if not found:
        raise AssertionError(f"There is no {name} to test with. Run `make tools`, or put one on PATH.")
    return found


def curl_program() -> str:
    """
    A curl that speaks HTTP/2, which not every one does.
    """
    found = program("curl")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if " HTTP2 " not in said:
        raise AssertionError(f"{found} does not speak HTTP/2; put one that does on PATH")
    return found


@frozen
class Reply:
    """
    What came back.

    @ivar version: C{2}, C{1.1} or C{1.0}.
    @ivar fields: names in lower case, in order.
    @ivar trailers: those after the body.
    @ivar connections: how many curl had to make.
    """

    status: int
    version: str
    fields: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]] = Factory(list)
    connections: int = 1

    def value(self, name: str) -> str:
        """
        The first value of a field, C{""} where there is none.
        """
        return next((value for key, value in self.fields if key == name), "")


def curl(url: str, *arguments: str, body: bytes | None = None) -> Reply:
    """
    Ask for something.

    @param body: what to POST, if anything; what that makes curl say of itself (C{Content-Type}) can be taken back.
    """
    with tempfile.TemporaryDirectory() as directory:
        head, content = Path(directory, "head"), Path(directory, "content")
        content.touch()
        command = [curl_program(), "--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]
        command += ["--dump-header", str(head), "--output", str(content), *arguments]
        command += ["--write-out", "%{http_version} %{num_connects}"]
        command += ["--data-binary", "@-"] if body is not None else []
        done = subprocess.run([*command, url], input=body, capture_output=True)
        if done.returncode:
            raise AssertionError(f"curl exits with {done.returncode}: {done.stderr.decode()}")
        version, connections = done.stdout.decode().split()
        return _reply(head.read_bytes().decode("latin-1"), content.read_bytes(), version, int(connections))


def _reply(head: str, body: bytes, version: str, connections: int) -> Reply:
    """
    Interim responses come first, and trailers after the last head.
    """
    sections = [section.splitlines() for section in head.split("\r\n\r\n") if section.strip()]
    finals = [number for number, lines in enumerate(sections) if lines[0].startswith("HTTP/")]
    lines = sections[finals[-1]]
    trailers = [line for section in sections[finals[-1] + 1 :] for line in section]
    return Reply(int(lines[0].split()[1]), version, _fields(lines[1:]), body, _fields(trailers), connections)


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    found = []
    for line in lines:
        name, _, value = line.partition(":")
        found.append((name.lower(), value.strip()))
    return found
