"""
Very many logins at once, from a process of its own: so that whoever measures something else meanwhile, in the tests'
process, measures the gateway and not the sender.

Run as C{python -m tests.integration.login_storm PORT NAME PASSWORD COUNT}, it prints how often each status came, as
JSON. One in ten logins has a wrong password. They come from ten addresses, as that many connections are more than one
client may have.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

__all__ = ["storm"]

_ADDRESSES = 10
_REPOSITORY = Path(__file__).parent.parent.parent


def storm(port: int, name: str, password: str, count: int) -> dict[int, int]:
    """
    Run this module and wait for it.

    @return: how often each status came; 0 is for no answer.
    """
    command = [sys.executable, "-m", "tests.integration.login_storm", str(port), name, password, str(count)]
    done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {int(status): times for status, times in json.loads(done.stdout).items()}


async def _log_in(port: int, number: int, body: bytes, go: asyncio.Event, connected: list[int]) -> int:
    """
    Connect, wait for everybody else, log in.

    @return: the status.
    """
    source = (f"127.0.0.{2 + number % _ADDRESSES}", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source)
    try:
        connected.append(number)
        await go.wait()
        head = b"POST /auth/login HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\nContent-Type: application/json\r\n"
        writer.write(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        answer = await asyncio.wait_for(reader.read(), 40)
        return int(answer.split(b" ", 2)[1]) if answer else 0
    finally:
        writer.close()


async def _main(port: int, name: str, password: str, count: int) -> dict[int, int]:
    bodies = [json.dumps({"username": name, "password": word}).encode() for word in (password, "wrong password")]
    go, connected = asyncio.Event(), list[int]()
    work = [_log_in(port, number, bodies[number % 10 == 9], go, connected) for number in range(count)]
    attempts = asyncio.gather(*work)
    while len(connected) < count and not attempts.done():
        await asyncio.sleep(0.01)
    go.set()
    return dict(Counter(await attempts))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))))
