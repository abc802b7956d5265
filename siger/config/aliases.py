"""
The spellings of the older gateway, written in Go: its configuration files keep working.
"""

from __future__ import annotations

from siger.config.nodes import Mapping, SettingError

__all__ = ["ALIASES", "rename"]

ALIASES = {
    "consulAddress": "consul_address",
    "natsAddress": "nats_address",
    "logLevel": "log_level",
    "jwtSecret": "jwt_secret",
    "jwtExpiration": "jwt_expiration",
    "corsAllowed": "cors",
}


def rename(root: Mapping, faults: list[SettingError]) -> None:
    """
    Put the values of aliases under today's keys.

    @param faults: gets the aliases whose key is there too.
    """
    for alias, key in ALIASES.items():
        entry = root.entries.pop(alias, None)
        if entry is None:
            continue
        present = root.entries.get(key)
        if present is None:
            root.entries[key] = entry
        else:
            message = f"is another spelling of {key}, which line {present.origin.line} sets too"
            faults.append(SettingError(message, alias, entry.origin))
