"""
A file and the environment to settings: all of them, or every reason why not.
"""

from __future__ import annotations

from collections.abc import Mapping as Variables
from pathlib import Path

from attrs import evolve

from siger.config import aliases, environment, support
from siger.config.document import parse
from siger.config.expand import expand
from siger.config.gateway import gateway
from siger.config.nodes import ConfigErrors, Mapping, Node, Origin, Scalar, SettingError
from siger.config.section import Value
from siger.config.settings.gateway import Settings

__all__ = ["MAX_BYTES", "ConfigErrors", "load"]

MAX_BYTES = 1024 * 1024


def load(path: Path, environ: Variables[str, str]) -> Settings:
    """
    Read a configuration. Nothing is written, and nothing is looked at but the file, and those of public keys that it
    names.

    @param environ: the variables that C{${VAR}} stands for, and the C{SIGER_*} ones that override keys.
    @raise ConfigErrors: when anything is wrong with it; it has all that is.
    """
    faults: list[SettingError] = []
    root = _root(path, faults)
    aliases.rename(root, faults)
    environment.override(root, environ, faults)
    tree = expand(root, environ, faults)
    settings = gateway(Value(tree, "", faults))
    support.check(tree, faults)
    if faults:
        raise ConfigErrors(faults)
    return evolve(settings, warnings=(*settings.warnings, *_advice(settings)))


def _root(path: Path, faults: list[SettingError]) -> Mapping:
    """
    The file's tree.

    @raise ConfigErrors: when there is none: then nothing more can be said.
    """
    root: Node | None = parse(_read(path), str(path), faults)
    if not faults and (root is None or (isinstance(root, Scalar) and root.kind == "null")):
        return Mapping(Origin(str(path), 1))
    if root is not None and not isinstance(root, Mapping):
        faults.append(SettingError("expected keys and their values", "", root.origin))
    if not isinstance(root, Mapping):
        raise ConfigErrors(faults)
    return root


def _read(path: Path) -> str:
    origin = Origin(str(path))
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigErrors([SettingError(f"cannot be read: {reason}", "", origin)]) from error
    if len(content) > MAX_BYTES:
        raise ConfigErrors([SettingError(f"is larger than {MAX_BYTES} bytes", "", origin)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigErrors([SettingError("is not UTF-8 text", "", Origin(str(path), line))]) from None


def _advice(settings: Settings) -> list[str]:
    """
    What is allowed and probably not meant.
    """
    found = [
        f"{key}: {network} trusts every client to say which address it has"
        for key in ("trusted_proxies", "proxy_protocol")
        for network in getattr(settings, key)
        if network.prefixlen == 0
    ]
    if settings.consul_address is None:
        lonely = [service.name for service in settings.services.values() if not service.instances]
        found += [f"services.{name}: has no instances, and there is no Consul to know any" for name in lonely]
    return found + _advice_on_sharing(settings)


def _advice_on_sharing(settings: Settings) -> list[str]:
    """
    The same about gateways that have their accounts in common.
    """
    unsigned = not settings.jwt_secret and not settings.jwt_keys and not settings.warnings
    if unsigned and settings.nats_address not in ("", "embedded"):
        return ["jwt_secret: is not set, so other gateways do not know the random secret that this one makes and keeps"]
    return []
