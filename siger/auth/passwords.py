"""
Passwords: the rules for new ones, and their hashes.

Text becomes bytes as in the OpaqueString profile (RFC 8265 section 4.2): spaces of all kinds are one, NFC, no control
characters; so a password typed on another keyboard is still the same. All of it is bounded before anything is hashed.

Hashes are argon2id in PHC strings, at the costs that OWASP recommends. They are computed by L{Workers}, never on the
reactor's thread. Where there is nobody whose hash could be compared, one that nothing matches is, at the same cost, so
that the time an answer takes does not tell who exists. (So it is for hashes of today's cost: when costs were raised, an
older hash is verified a little faster until its user logs in once.)
"""

from __future__ import annotations

import os
import re
import unicodedata
from base64 import b64encode
from typing import Final

from argon2.exceptions import Argon2Error
from argon2.low_level import Type, hash_secret, verify_secret
from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads

from siger.auth.errors import FieldError
from siger.auth.workers import Runner, Workers

__all__ = ["Cost", "Hasher", "check_password", "prepare"]

_SHORTEST: Final = 8
_LONGEST: Final = 128
_MOST_BYTES: Final = 512
_PHC: Final = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]{0,2}),p=([1-9][0-9]?)\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)


def prepare(password: str) -> bytes:
    """
    The bytes that are hashed.

    @raise FieldError: when nobody can have this password.
    """
    # NFC makes one character of three at most (Hangul), and a long text is not worth the work.
    if len(password) > 3 * _LONGEST:
        raise FieldError("password", f"must not have more than {_LONGEST} characters")
    text = unicodedata.normalize("NFC", "".join(" " if _is_space(each) else each for each in password))
    if len(text) > _LONGEST:
        raise FieldError("password", f"must not have more than {_LONGEST} characters")
    if any(unicodedata.category(each) in ("Cc", "Cs") for each in text):
        raise FieldError("password", "must not have control characters")
    data = text.encode("utf-8")
    if len(data) > _MOST_BYTES:
        raise FieldError("password", f"must not have more than {_MOST_BYTES} bytes")
    return data


def check_password(password: str, username: str = "") -> None:
    """
    Let a new password pass.

    @param username: whose it is to be, in its canonical form.
    @raise FieldError: when a rule is broken.
    """
    text = prepare(password).decode("utf-8")
    if len(text) < _SHORTEST:
        raise FieldError("password", f"must have at least {_SHORTEST} characters")
    if username and text.casefold() == username:
        raise FieldError("password", "must not be the username")


def _is_space(character: str) -> bool:
    return unicodedata.category(character) == "Zs"


@frozen
class Cost:
    """
    What computing one hash takes.

    @ivar memory: in KiB.
    @ivar passes: over that memory.
    @ivar lanes: that could be computed in parallel.
    """

    memory: int = 19456
    passes: int = 2
    lanes: int = 1

    @classmethod
    def of(cls, phc: str) -> Cost:
        """
        What a hash was made with.

        @raise ValueError: when it is no argon2id hash, or one that would take more than anybody would have asked for.
        """
        found = _PHC.fullmatch(phc)
        if found is None:
            raise ValueError("no argon2id hash")
        cost = cls(*(int(number) for number in found.groups()))
        if cost.memory > 1 << 20 or cost.passes > 100 or cost.lanes > 16:
            raise ValueError("an argon2id hash at an absurd cost")
        return cost

    def below(self, other: Cost) -> bool:
        """
        Whether it takes less than another, in memory or in passes.
        """
        return self.memory < other.memory or self.passes < other.passes


class Hasher:
    """
    Hashes and verifies.

    @ivar cost: of new hashes.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads | None,
        threads: int = 2,
        queue: int = 64,
        *,
        cost: Cost = Cost(),
        runner: Runner | None = None,
    ) -> None:
        """
        @param threads: how many compute at once.
        @param queue: how many passwords may wait for them.
        @param runner: computes in place of threads of its own; then there is no need of a reactor either.
        """
        if runner is None:
            assert reactor is not None
            runner = Workers(reactor, threads, queue)
        self.cost = cost
        self._runner = runner
        # Random, so it is nobody's; and made without computing anything.
        self._nobodys = b"$argon2id$v=19$m=%d,t=%d,p=%d$%b$%b" % (
            cost.memory,
            cost.passes,
            cost.lanes,
            b64encode(os.urandom(16)).rstrip(b"="),
            b64encode(os.urandom(32)).rstrip(b"="),
        )

    @property
    def full(self) -> bool:
        """
        Whether the next password would be turned away with L{BusyError}.
        """
        return self._runner.full

    def hash(self, password: str) -> Deferred[str]:
        """
        Make a hash with a salt of its own; L{FieldError} when L{prepare} refuses the password, L{BusyError} when too
        many are waiting.
        """
        try:
            secret = prepare(password)
        except FieldError as error:
            return fail(error)
        return self._runner.run(self._hash, secret)

    def verify(self, phc: str | None, password: str) -> Deferred[bool]:
        """
        Find out whether a password is the one that was hashed.

        @param phc: the hash; C{None}: there is nobody. That takes as long, and is never right.
        @return: L{BusyError} when too many are waiting. A password that nobody can have is wrong at once, whoever is
            meant.
        """
        try:
            secret = prepare(password)
        except FieldError:
            return succeed(False)
        return self._runner.run(self._verify, phc, secret)

    def needs_rehash(self, phc: str) -> bool:
        """
        Whether a hash took less than new ones do.
        """
        return Cost.of(phc).below(self.cost)

    def stop(self) -> Deferred[None]:
        """
        Turn everybody away, also those who wait. Fires once no thread is left.
        """
        return self._runner.stop()

    # What the threads do

    def _hash(self, secret: bytes) -> str:
        cost = self.cost
        phc = hash_secret(secret, os.urandom(16), cost.passes, cost.memory, cost.lanes, 32, Type.ID)
        return phc.decode("ascii")

    def _verify(self, phc: str | None, secret: bytes) -> bool:
        try:
            verify_secret(self._nobodys if phc is None else phc.encode("ascii"), secret, Type.ID)
        except Argon2Error:
            return False
        return phc is not None
