"""
C{jobs:}.
"""

from __future__ import annotations

import re
from typing import Any

from siger.config.decode import integer, list_of, number, text
from siger.config.nodes import shorten
from siger.config.section import Decoder, InvalidError, Section, Value
from siger.config.settings.jobs import JobQuotas, JobsSettings

__all__ = ["jobs"]

_TYPE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_GPU_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ANY_NUMBER = integer(0, 1_000_000_000)
_QUOTAS: dict[str, Decoder[int]] = dict.fromkeys(("queued", "running", "gpus", "kept"), _ANY_NUMBER)
_LEASES = 3


def jobs(value: Value) -> JobsSettings:
    """
    What jobs there can be, and what becomes of them.
    """
    section = Section(value)
    base = JobsSettings()
    found = {key: section.take(key, decoder, getattr(base, key)) for key, decoder in _DECODERS.items()}
    section.finish()
    settings = JobsSettings(**found)
    _check(section, settings)
    return settings


def _type(value: Value) -> str:
    """
    A type of jobs: it becomes part of a subject, where blanks, dots and wildcards would mean something.
    """
    found = text(value)
    if not _TYPE.fullmatch(found):
        raise InvalidError(f"a type has 1 to 64 characters of A-Z, a-z, 0-9 and _ -, got {shorten(found)!r}")
    return found


def _types(value: Value) -> tuple[str, ...]:
    before = len(value.faults)
    found = tuple(dict.fromkeys(list_of(_type)(value)))
    if not found and len(value.faults) == before:
        raise InvalidError("there must be at least one type")
    return found


def _gpu_type(value: Value) -> str:
    found = text(value)
    if not _GPU_TYPE.fullmatch(found):
        raise InvalidError(f"a type of GPU has 1 to 64 characters of A-Z, a-z, 0-9 and _ . -, got {shorten(found)!r}")
    return found


def _gpu_types(value: Value) -> tuple[str, ...]:
    """
    What jobs can ask for; that they do not mind is always possible.
    """
    return tuple(dict.fromkeys((*list_of(_gpu_type)(value), "any")))


def _quotas(value: Value) -> JobQuotas:
    section = Section(value)
    base = JobQuotas()
    found = {key: section.take(key, decoder, getattr(base, key)) for key, decoder in _QUOTAS.items()}
    section.finish()
    return JobQuotas(**found)


def _check(section: Section, settings: JobsSettings) -> None:
    """
    A worker is not given up before anybody could know that it is gone.
    """
    if any(fault.path.startswith(section.value.path + ".") for fault in section.value.faults):
        return
    least = _LEASES * settings.lease
    if settings.lost_after < least:
        section.value.report(f"lost_after has to be at least {_LEASES} times the lease, which is {least:g}")


_DECODERS: dict[str, Decoder[Any]] = {
    "types": _types,
    "gpu_types": _gpu_types,
    "max_gpus": integer(0, 1_000_000),
    "quotas": _quotas,
    "retention_days": integer(1, 3650),
    "lease": number(1, 3600),
    "grace": number(0, 3600),
    "lost_after": number(3, 604800),
}
