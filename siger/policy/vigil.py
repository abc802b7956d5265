"""
Tokens outlived by what they were shown for: a tunnel, or a call of gRPC, is asked for once, and may last for days.

A L{Vigil} looks every second whether the token is still good, and ends what it was shown for when it is not. It looks
at the identity only. When that has ended, as it also has when the cache had to make room, the token is judged once
more.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any, Final

from siger.policy.identity import Identity

if TYPE_CHECKING:
    from siger.http.deadlines import Deadlines

__all__ = ["EVERY", "Vigil", "Vigils"]

NEVER: Final = float("inf")
EVERY: Final = 1.0
"""Seconds between looks."""


class Vigil:
    """
    One tunnel's or call's; L{siger.http.deadlines.Timed}.

    @ivar over: that has ended.
    """

    def __init__(self, vigils: Vigils, identity: Identity, credentials: bytes, end: Callable[[], None]) -> None:
        self.deadline = 0.0
        self._vigils = vigils
        self._identity = identity
        self._credentials = credentials
        self._end = end
        self.over = False

    def deadline_passed(self) -> None:
        """
        Look.
        """
        self.deadline = self._vigils.deadlines.now + EVERY
        if self._identity.expires > time():
            return
        found = self._vigils.authenticate(self._credentials)
        if hasattr(found, "addCallback"):
            self.deadline = NEVER  # until the keys of its issuer are there
            found.addCallback(self._settle)
        else:
            self._settle(found)

    def _settle(self, found: object) -> None:
        if self.over:
            return
        if isinstance(found, Identity):
            self._identity = found
            self.deadline = self._vigils.deadlines.now + EVERY
        else:
            self._vigils.end(self)
            self._end()


class Vigils:
    """
    All of a gateway's.
    """

    def __init__(self, deadlines: Deadlines, authenticate: Callable[[bytes], Any]) -> None:
        """
        @param authenticate: as L{siger.frontdoor.Authenticate}.
        """
        self.deadlines = deadlines
        self.authenticate = authenticate

    def begin(self, identity: Identity, credentials: bytes, end: Callable[[], None]) -> Vigil:
        """
        Begin to look after a tunnel.

        @param end: ends the tunnel; called at most once.
        """
        vigil = Vigil(self, identity, credentials, end)
        vigil.deadline = self.deadlines.now + EVERY
        self.deadlines.add(vigil)
        return vigil

    def end(self, vigil: Vigil) -> None:
        """
        The tunnel has ended.
        """
        vigil.over = True
        self.deadlines.discard(vigil)
