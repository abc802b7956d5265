"""
Files that only their owner may read, and that are never half written.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

__all__ = ["create"]


def create(path: Path, content: bytes) -> bool:
    """
    Create a file with mode 0600 in one step: whoever looks sees all of it or none of it.

    @return: C{False} when there is something at C{path} already, which is then left as it is.
    """
    _make_directory(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(draft, content)
        # Unlike a rename, a link does not replace what another process has put there in the meantime.
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def _write(draft: Path, content: bytes) -> None:
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
