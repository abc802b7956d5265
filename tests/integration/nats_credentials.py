"""
A credentials file, and the configuration of a nats-server that accepts it: an operator who vouches for an account,
which vouches for a user.
"""

from __future__ import annotations

import base64
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import nkeys

__all__ = ["make_credentials"]

_LIMITS = {"subs": -1, "data": -1, "payload": -1}
_ACCOUNT = {
    "limits": {**_LIMITS, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1},
    "type": "account",
    "version": 2,
}


def _new(prefix: int) -> tuple[Any, str, bytes]:
    """
    A key pair, its public key and its seed.
    """
    seed = nkeys.encode_seed(os.urandom(32), prefix)
    pair = nkeys.from_seed(bytearray(seed))
    return pair, pair.public_key.decode(), bytes(seed)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _vouch(issuer: Any, subject: str, about: dict[str, Any]) -> str:
    claims: dict[str, Any] = {"iss": issuer.public_key.decode(), "sub": subject, "name": "test", "iat": 1_700_000_000}
    claims |= {"nats": about, "jti": sha256(subject.encode()).hexdigest()}
    head = _encode(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    body = f"{head}.{_encode(json.dumps(claims).encode())}"
    return f"{body}.{_encode(issuer.sign(body.encode()))}"


def make_credentials(path: Path) -> str:
    """
    Write a credentials file.

    @return: what to add to a server's configuration.
    """
    operator, operator_key, _ = _new(nkeys.PREFIX_BYTE_OPERATOR)
    account, account_key, _ = _new(nkeys.PREFIX_BYTE_ACCOUNT)
    _, system_key, _ = _new(nkeys.PREFIX_BYTE_ACCOUNT)
    _, user_key, user_seed = _new(nkeys.PREFIX_BYTE_USER)
    token = _vouch(account, user_key, {**_LIMITS, "type": "user", "version": 2})
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user_seed.decode()}\n------END USER NKEY SEED------\n"
    )
    vouched = _vouch(operator, operator_key, {"type": "operator", "version": 2})
    accounts = {key: _vouch(operator, key, _ACCOUNT) for key in (account_key, system_key)}
    preload = "\n".join(f"{key}: {value}" for key, value in accounts.items())
    return f"operator: {vouched}\nsystem_account: {system_key}\nresolver: MEMORY\nresolver_preload {{\n{preload}\n}}"
