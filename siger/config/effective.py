"""
Settings back to YAML, to show what a file and an environment come to.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context
from fractions import Fraction
from typing import Any

import attrs
import yaml

from siger.config.settings.accounts import IssuerSettings, PublicKey, SeedUser
from siger.config.settings.addresses import Address
from siger.config.settings.gateway import Settings
from siger.config.settings.routes import RouteSettings
from siger.config.settings.services import ServiceSettings
from siger.config.settings.tls import UpstreamTLSSettings
from siger.config.tls import OVER_TLS

__all__ = ["REDACTED", "effective"]

REDACTED = "(redacted)"

_SECRETS = ("jwt_secret", "token", "secret", "password")
_DERIVED = ("listen", "name", "warnings")
_UNSAID = ("", ())
_TERSE = (RouteSettings, IssuerSettings, PublicKey, SeedUser, UpstreamTLSSettings)
_KEPT = ("rate_limit", "default_role")
_EXACT = Context(prec=60)


class _Dumper(yaml.SafeDumper):
    """
    PyYAML's, without anchors for values that occur twice.
    """

    def ignore_aliases(self, data: object) -> bool:
        return True


def _number(dumper: yaml.SafeDumper, value: Fraction) -> yaml.ScalarNode:
    """
    A fraction, which was a decimal number when it was written.
    """
    decimal = _EXACT.divide(_EXACT.create_decimal(value.numerator), _EXACT.create_decimal(value.denominator))
    kind = "int" if value.denominator == 1 else "float"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", f"{decimal:f}")


_Dumper.add_representer(Fraction, _number)


def effective(settings: Settings) -> str:
    """
    All settings as YAML under the keys of the file, without the secrets. It can be read again.
    """
    tree = {"port": str(settings.listen), "consul_address": "", **_fields(settings)}
    tree["cors"] = tree.get("cors", "off")
    if settings.tls is not None:
        tree["tls"] = {"port": str(settings.tls.listen), **tree["tls"]}
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
        if key not in _DERIVED and not _is_unsaid(value, key, field):
            found["public_key" if key == "pem" else key] = "off" if _is_off(key, field) else _plain(field)
    return found


def _is_unsaid(value: Any, key: str, field: Any) -> bool:
    """
    Whether a field is one of those that are left out where they say nothing.
    """
    if field is None:
        return key != "health"
    if key == "tls" and isinstance(value, ServiceSettings) and value.name:
        return value.protocol not in OVER_TLS
    return field in _UNSAID and (key == "protocol" or (isinstance(value, _TERSE) and key not in _KEPT))


def _is_off(key: str, field: Any) -> bool:
    """
    Whether a field says that there is none of something, where others could be inherited.
    """
    return field == () if key == "rate_limit" else key == "health" and field is None


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
    return value if isinstance(value, str | int | Fraction) else str(value)
