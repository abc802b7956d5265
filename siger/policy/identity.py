"""
Who a request is from, once its token was verified; and the tokens that were verified already.

Verifying a signature costs more than everything else a small request needs, and clients send the same token with each
request. So L{IdentityCache} keeps what a token came to. An identity says itself until when it is good: whoever holds
one looks at C{expires}, and whoever revokes one sets that to zero, so there is no second place to be told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from time import time
from typing import Final

__all__ = ["Identity", "IdentityCache"]

_CAPACITY: Final = 20_000

_MOST_BYTES: Final = 32 * 1024 * 1024
"""
Of credentials that are remembered. What they said takes a few times as much, and some issuers say a lot.
"""


class Identity:
    """
    The bearer of a verified token.

    @ivar user_id: who it is, stable and unique: two issuers may call different users by the same id, so that of
        another issuer's user is qualified (and has a space in it, which our own ids never have).
    @ivar subject: the id that its issuer uses, which backends see.
    @ivar issuer: whose user it is; C{""} for our own.
    @ivar name: what the user is called.
    @ivar roles: what the user may be; the first is the one that single-role readers get.
    @ivar token_id: what the token is revoked by: its C{jti}, or a digest of it.
    @ivar issued: when the token was issued, in seconds of the wall clock.
    @ivar expires: until when it may be used, in seconds of the wall clock; 0 once it was revoked.
    @ivar claims: everything the token said.
    @ivar lines: the field lines that tell a backend, each with its CRLF.
    @ivar logged: the user's id as it stands between the quotes of a JSON string.
    """

    __slots__ = (
        "claims",
        "expires",
        "issued",
        "issuer",
        "lines",
        "logged",
        "name",
        "roles",
        "subject",
        "token_id",
        "user_id",
    )

    def __init__(
        self,
        user_id: str,
        name: str,
        roles: tuple[str, ...],
        token_id: str,
        issued: float,
        expires: float,
        claims: Mapping[str, object],
        issuer: str = "",
    ) -> None:
        """
        @param user_id: the id that its issuer uses.
        """
        self.user_id = f"{issuer} {user_id}" if issuer else user_id
        self.subject = user_id
        self.issuer = issuer
        self.name = name
        self.roles = roles
        self.token_id = token_id
        self.issued = issued
        self.expires = expires
        self.claims = claims
        self.lines: bytes = b"X-User-Id: %b\r\nX-User-Name: %b\r\nX-User-Role: %b\r\n" % (
            _field_value(user_id),
            _field_value(name),
            _field_value(",".join(roles)),
        )
        if issuer:
            self.lines += b"X-User-Issuer: %b\r\n" % _field_value(issuer)
        self.logged: bytes = json.dumps(self.user_id)[1:-1].encode("ascii")

    def __repr__(self) -> str:
        return f"<Identity {self.user_id} {'/'.join(self.roles)}>"

    @property
    def role(self) -> str:
        """
        The first role, or C{""}.
        """
        return self.roles[0] if self.roles else ""

    @property
    def is_admin(self) -> bool:
        """
        Whether this is an administrator, who passes every check of roles.
        """
        return "admin" in self.roles

    def may(self, roles: frozenset[str]) -> bool:
        """
        Whether it has one of these roles, or is an administrator. Everybody who has a token has none of none.
        """
        return not roles or "admin" in self.roles or not roles.isdisjoint(self.roles)


def _field_value(text: str) -> bytes:
    # A name from an issuer may hold anything; a field value holds visible ASCII, and the rest is percent-encoded.
    if text.isascii() and text.isprintable() and "%" not in text:
        return text.strip(" ").encode("ascii")
    return b"".join([_escaped(byte) for byte in text.encode("utf-8", "surrogatepass")]).strip(b" ")


def _escaped(byte: int) -> bytes:
    return b"%c" % byte if 0x20 <= byte < 0x7F and byte != 0x25 else b"%%%02X" % byte


class IdentityCache:
    """
    Identities by the digest of their credentials; bounded, the least recently used goes first.

    @ivar size: how many bytes of credentials are remembered, by their digests.
    """

    __slots__ = ("_by_token", "_by_user", "_capacity", "_entries", "_most_bytes", "hits", "misses", "size")

    def __init__(self, capacity: int = _CAPACITY, most_bytes: int = _MOST_BYTES) -> None:
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._entries: dict[bytes, tuple[Identity, int]] = {}
        self.size = 0
        self._by_token: dict[str, set[bytes]] = {}
        self._by_user: dict[str, set[bytes]] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, credentials: bytes) -> Identity | None:
        """
        What these credentials came to, if that is known and still good.
        """
        digest = sha256(credentials).digest()
        entry = self._entries.get(digest)
        if entry is not None:
            identity = entry[0]
            if identity.expires > time():
                # The most recently used comes last.
                del self._entries[digest]
                self._entries[digest] = entry
                self.hits += 1
                return identity
            self._forget(digest)
        self.misses += 1
        return None

    def keep(self, credentials: bytes, identity: Identity) -> None:
        """
        Remember what these credentials came to.
        """
        digest = sha256(credentials).digest()
        known = self._entries.get(digest)
        if known is not None:
            if known[0] is identity:
                return
            self._forget(digest)
        size = len(credentials)
        while self._entries and (len(self._entries) >= self._capacity or self.size + size > self._most_bytes):
            self._forget(next(iter(self._entries)))
        self._entries[digest] = (identity, size)
        self.size += size
        self._by_token.setdefault(identity.token_id, set()).add(digest)
        self._by_user.setdefault(identity.user_id, set()).add(digest)

    def revoke_token(self, token_id: str) -> None:
        """
        Let go of the identities of a token.
        """
        self._drop(self._by_token.get(token_id))

    def revoke_user(self, user_id: str, before: float) -> None:
        """
        Let go of the identities of a user whose tokens were issued before a time, in seconds of the wall clock.
        """
        digests = self._by_user.get(user_id)
        if digests is not None:
            self._drop({digest for digest in digests if self._entries[digest][0].issued < before})

    def clear(self) -> None:
        """
        Let go of all: the keys have changed.
        """
        self._drop(set(self._entries))

    def _drop(self, digests: set[bytes] | None) -> None:
        for digest in list(digests or ()):
            self._forget(digest)

    def _forget(self, digest: bytes) -> None:
        identity, size = self._entries.pop(digest)
        self.size -= size
        # Connections may hold on to it: it must look expired to them, so that they ask again.
        identity.expires = 0.0
        for index, key in ((self._by_token, identity.token_id), (self._by_user, identity.user_id)):
            digests = index.get(key)
            if digests is not None:
                digests.discard(digest)
                if not digests:
                    del index[key]
