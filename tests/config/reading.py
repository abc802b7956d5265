"""
How tests of the configuration read one: from a text, with an environment of their own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from siger.config.load import ConfigErrors, load
from siger.config.settings.gateway import Settings

__all__ = ["errors_of", "loaded", "rows"]


def loaded(text: str, environ: Mapping[str, str] | None = None) -> Settings:
    """
    The settings that a file with this text makes.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "config.yaml")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return load(path, environ or {})


def errors_of(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """
    The errors in a text, as they are printed less the directory: C{config.yaml:1: port: ...}.
    """
    try:
        loaded(text, environ)
    except ConfigErrors as errors:
        return [
            "config.yaml" + line.partition("config.yaml")[2] if "config.yaml" in line else line for line in rows(errors)
        ]
    return []


def rows(errors: ConfigErrors) -> list[str]:
    """
    Each error as it is printed.
    """
    return [str(error) for error in errors.errors]
