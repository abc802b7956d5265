"""
Settings back to YAML, to show what a file and an environment come to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import yaml

from siger.config.settings import Address, RouteSettings, Settings

__all__ = ["REDACTED", "effective"]

REDACTED = "(redacted)"

_SECRETS = ("jwt_secret", "token")
_DERIVED = ("listen", "name", "warnings")
_UNSAID = ("", ())


class _Dumper(yaml.SafeDumper):
    """
    PyYAML's, without anchors for values that occur twice.
    """

    def ignore_aliases(self, data: object) -> bool:
        return True


def effective(settings: Settings) -> str:
    """
    All settings as YAML under the keys of the file, without the secrets. It can be read again.
    """
    tree = {"port": str(settings.listen), "consul_address": "", **_fields(settings)}
    tree["rate_limit"] = tree.get("rate_limit", "off")
    tree["cors"] = tree.get("cors", "off")
    tree["service_defaults"].pop("instances")
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _fields(value: Any) -> dict[str, Any]:
    """
    The fields that say something.
    """
    found = {}
    for key in attrs.fields_dict(type(value)):
        field = getattr(value, key)
        if key in _SECRETS:
            field = REDACTED if field else None
        if key not in _DERIVED and not (field is None or (isinstance(value, RouteSettings) and field in _UNSAID)):
            found[key] = _plain(field)
    return found


def _plain(value: Any) -> Any:
    """
    What YAML can say.
    """
    if isinstance(value, Address):
        return str(value)
    if attrs.has(type(value)):
        return _fields(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return value if isinstance(value, str | int) else str(value)
