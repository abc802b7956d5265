"""
The directory of the embedded nats-server: its data, its configuration, and how to reach it.

Two servers over the same data would ruin it, and JetStream does not prevent that. So there is a lock, which the kernel
gives up when the last process that has it open is gone: the gateway has, and the server inherits it.

The configuration and the URL hold the password, so that both are for their owner alone. The password is a new one at
each start of the server: somebody else who listens on the port in between learns nothing of use.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["ServerDirectory", "client_url"]

_USER: Final = "siger"
_MEMORY_STORE: Final = 256 * 1024 * 1024
_unquotable = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

_CONFIGURATION = """\
# Written at each start of the server.
server_name: siger
listen: "127.0.0.1:{port}"
logtime: false
authorization {{ user: "{user}", password: "{password}" }}
jetstream {{
    store_dir: "{store}"
    # What is acknowledged is on disk: otherwise up to two minutes of it would be lost with the machine's power.
    sync_interval: always
    max_memory_store: {memory}
}}
"""


class ServerDirectory:
    """
    One directory, C{nats} in the gateway's data directory.

    @ivar path: absolute, as daemons change their directory.
    @ivar configuration: the path of the server's configuration.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.configuration = self.path / "server.conf"
        self._lock = -1

    @property
    def lock(self) -> int:
        """
        The descriptor of the lock, which the server is to inherit.
        """
        return self._lock

    def prepare(self) -> None:
        """
        Make the directory, for its owner alone.

        @raise OSError: when that cannot be.
        @raise ValueError: when the server could not be told its name.
        """
        if _unquotable.search(str(self.path)):
            raise ValueError("the name has a control character, or is not valid text")
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)

    def acquire(self) -> bool:
        """
        Take the lock.

        @return: whether it is ours now; otherwise another gateway has it, or a server whose gateway has just died.
        @raise OSError: when there can be no lock.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
        self._lock = descriptor
        return True

    def holder(self) -> str:
        """
        Who took the lock last, for a message.
        """
        with suppress(OSError):
            number = (self.path / "lock").read_text("ascii", "replace").strip()
            if number.isascii() and number.isdigit():
                return f"process {number}"
        return "another process"

    def configure(self, port: int) -> str:
        """
        Write a configuration with a new password.

        @param port: where to listen; 0 for any port that is free.
        @return: the URL for clients, but for C{:port} at its end.
        """
        password = secrets.token_urlsafe(32)
        store = str(self.path).replace("\\", "\\\\").replace('"', '\\"')
        text = _CONFIGURATION.format(port=port or -1, user=_USER, password=password, store=store, memory=_MEMORY_STORE)
        self._replace(self.configuration, text)
        return f"nats://{_USER}:{password}@127.0.0.1"

    def publish(self, url: str) -> None:
        """
        Let L{client_url} know how to reach the server.
        """
        self._replace(self.path / "url", url + "\n")

    def _replace(self, path: Path, text: str) -> None:
        draft = path.with_name(f".{path.name}.new")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode())
        draft.replace(path)

    def release(self) -> None:
        """
        Take away what was valid for this run only, and give up the lock.
        """
        if self._lock < 0:
            return
        for path in (self.path / "url", self.configuration):
            with suppress(OSError):
                path.unlink()
        os.close(self._lock)
        self._lock = -1


def client_url(directory: Path) -> str | None:
    """
    How to reach the server that a running gateway keeps over a directory.

    @return: the URL with its password, or C{None} when none runs, or it belongs to somebody else.
    """
    try:
        url = (directory / "url").read_text("ascii").strip()
        descriptor = os.open(directory / "lock", os.O_RDWR)
    except (OSError, ValueError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # locked: it runs
        return url or None
    finally:
        os.close(descriptor)
    return None
