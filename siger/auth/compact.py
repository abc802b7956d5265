"""
The compact form of a signed token (RFC 7515 section 7.1), taken apart and not yet believed.

One strict reading serves everything that follows: which key is asked for, which issuer is claimed, what is signed.
What two readers could read in two ways is refused, as are the parts of the standard that let a token say how it wants
to be verified. Nothing in here is true before the signature was checked.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from json import JSONDecoder
from typing import Any, Final

from attrs import frozen

__all__ = ["MAX_TOKEN", "CompactToken", "InvalidTokenError", "read_token"]

MAX_TOKEN: Final = 8192
"""
The longest token, in bytes: what servers commonly take for one header field.
"""

TYPES: Final = frozenset(("jwt", "at+jwt"))
"""
What C{typ} may say where nothing else is configured (RFC 9068 section 2.1, RFC 7519 section 5.1).
"""

# No padding and no line breaks (RFC 7515 section 2), and a signature in any case: an unsecured token ends in a dot.
_COMPACT: Final = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class InvalidTokenError(Exception):
    """
    A token that is not believed. There is one class for all causes, as clients are not told which it was.

    @ivar cause: a word for logs and metrics.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@frozen
class CompactToken:
    """
    The parts of a token.

    @ivar algorithm: what its header says of the algorithm; whoever has the key knows better.
    @ivar kid: which key its header asks for, or C{None}.
    @ivar token_type: C{typ} in lower case, without C{application/} (RFC 7515 section 4.1.9), or C{""}.
    @ivar claims: what it says.
    @ivar signed: the bytes that the signature is over.
    """

    algorithm: str
    kid: str | None
    token_type: str
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def read_token(token: bytes) -> CompactToken:
    """
    @raise InvalidTokenError: when this is no signed token in compact form, or asks for what is not understood here.
    """
    if len(token) > MAX_TOKEN:
        raise InvalidTokenError("too_long")
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise InvalidTokenError("malformed")
    try:
        header = _json_object(parts[1])
        claims = _json_object(parts[2])
        signature = _decode(parts[3])
    except (ValueError, RecursionError, OverflowError):
        raise InvalidTokenError("malformed") from None
    algorithm, kid, token_type = _read_header(header)
    return CompactToken(algorithm, kid, token_type, claims, token[: parts.end(2)], signature)


def _read_header(header: dict[str, Any]) -> tuple[str, str | None, str]:
    # C{jku}, C{x5u}, C{x5c} and C{jwk} are not even looked at. C{crit} demands extensions, of which there are none
    # here (RFC 7515 section 4.1.11), and C{b64} is one of them (RFC 7797).
    if "crit" in header or "b64" in header:
        raise InvalidTokenError("extension")
    algorithm = header.get("alg")
    kid = header.get("kid")
    token_type = header.get("typ", "")
    if not isinstance(algorithm, str) or not isinstance(token_type, str) or not isinstance(kid, str | None):
        raise InvalidTokenError("malformed")
    if kid is None and "kid" in header:
        raise InvalidTokenError("malformed")
    return algorithm, kid, token_type.lower().removeprefix("application/")


def _decode(segment: bytes) -> bytes:
    decoded = urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    # The last character may have bits to spare, in which the same content could be written in several ways.
    if urlsafe_b64encode(decoded).rstrip(b"=") != segment:
        raise ValueError("not in canonical form")
    return decoded


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_DECODER: Final = JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)


def _json_object(segment: bytes) -> dict[str, Any]:
    # Decoded here, as the json module guesses among UTF-8, 16 and 32 when it is given bytes.
    value = _DECODER.decode(_decode(segment).decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
