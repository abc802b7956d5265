"""
The secret that tokens are signed with.

A secret that was published somewhere signs nothing: whoever read the same page could make tokens. When the
configuration has such a sample, or no secret at all, the gateway makes a random one and keeps it in its data directory,
so that tokens outlive a restart.
"""

from __future__ import annotations

import re
import secrets

from attrs import evolve

from siger.config.files import create
from siger.config.nodes import ConfigErrors, Origin, SettingError
from siger.config.section import InvalidError
from siger.config.settings.gateway import Settings

__all__ = [
    "MIN_BYTES",
    "SAMPLE_UNUSED",
    "SAMPLE_WARNING",
    "checked_secret",
    "is_published",
    "kept_secret",
    "secrets_of",
]

MIN_BYTES = 32
"""
RFC 7518 section 3.2: a key for HS256 has at least 256 bits.
"""

SAMPLE_WARNING = "this is a published sample; a random secret is used instead, kept in jwt_secret under data_dir"
SAMPLE_UNUSED = "this is a published sample, which is not used; jwt_keys are"

_PUBLISHED = re.compile(
    r"default-very-secure.*"
    r"|your-(super-)?(very-)?secret(-jwt)?(-key)?(-here)?"
    r"|your-256-bit-secret|a-string-secret-at-least-256-bits-long"
    r"|.*change[-_ ]?(me|this|it)?[-_ ]?in[-_ ]?production.*"
    r"|.*(please[-_ ])?change[-_ ]?me.*",
    re.IGNORECASE | re.DOTALL,
)


def is_published(secret: str) -> bool:
    """
    Whether this is a sample out of a README or a tutorial.
    """
    return _PUBLISHED.fullmatch(secret) is not None


def checked_secret(secret: str) -> str:
    """
    @raise InvalidError: when the secret is too short; the message does not show it.
    """
    if len(secret.encode()) < MIN_BYTES:
        raise InvalidError(f"has less than {MIN_BYTES} bytes; `openssl rand -hex 32` prints a good one")
    return secret


def kept_secret(settings: Settings) -> Settings:
    """
    The same settings, with something to sign with in any case: the configured keys or secret, or a random secret that
    is kept in C{data_dir}. It is made the first time.

    @raise ConfigErrors: when it cannot be read or made.
    """
    if settings.jwt_secret or settings.jwt_keys:
        return settings
    path = settings.data_dir / "jwt_secret"
    try:
        if not path.exists():
            create(path, secrets.token_hex(MIN_BYTES).encode() + b"\n")
        path.chmod(0o600)
        return evolve(settings, jwt_secret=checked_secret(path.read_text("ascii").strip()))
    except (OSError, UnicodeDecodeError, InvalidError) as error:
        message = f"no secret can be kept here: {getattr(error, 'strerror', None) or error}"
        raise ConfigErrors([SettingError(message, "jwt_secret", Origin(str(path)))]) from error


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """
    Everything that must never be seen in a log.
    """
    found = [settings.jwt_secret, settings.consul.token, settings.nats.password, settings.nats.token]
    found += [key.secret for key in settings.jwt_keys]
    found += [user.password for user in settings.seed_users]
    return tuple(filter(None, found))
