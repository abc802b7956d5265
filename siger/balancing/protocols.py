"""
What an instance speaks: as the instance itself says where it was registered, or else as its service is configured.

A registry says it in many words, and most of them leave open whether there is TLS. That is never guessed from a
registration: the service's own setting decides, unless the word itself asks for TLS. No word turns TLS off where the
service has it: who may register an instance must not thereby read in clear what was to be encrypted.
"""

from __future__ import annotations

from typing import Final

from siger.balancing.instances import Instance

__all__ = ["GRPC_SERVICES", "HTTP2", "PROTOCOL", "is_protocol", "protocol_of"]

PROTOCOL: Final = "protocol"
"""The key of an instance's meta that says what it speaks."""

GRPC_SERVICES: Final = "grpc-services"
"""The key of an instance's meta that names its gRPC services; who has any speaks HTTP/2."""

HTTP2: Final = ("h2c", "h2")
"""The protocols that are HTTP/2."""

_SECURE: Final = ("h2", "https")
_SETTLED: Final = {
    "http": "http1",
    "http1": "http1",
    "http/1.1": "http1",
    "h2c": "h2c",
    "https": "https",
    "grpcs": "h2",
}
_WITH_OR_WITHOUT_TLS: Final = ("grpc", "h2", "http2")
_TAGS: Final = ("grpc", "h2", "h2c")
_WITH_TLS: Final = {"http1": "https", "h2c": "h2"}


def is_protocol(word: str) -> bool:
    """
    Whether an instance's meta can say what it speaks with this word.
    """
    word = _folded(word)
    return word in _SETTLED or word in _WITH_OR_WITHOUT_TLS


def protocol_of(settings_protocol: str, instance: Instance) -> str:
    """
    What an instance speaks. Its meta comes first, then its tags, then that it has gRPC services, then its service.

    @param settings_protocol: what is configured for its service.
    @return: C{http1}, C{h2c}, C{h2} or C{https}.
    """
    said = _said_by(instance)
    if not said:
        return settings_protocol
    return _WITH_TLS.get(said, said) if settings_protocol in _SECURE else said


def _said_by(instance: Instance) -> str:
    # What the instance says, without TLS where it leaves that open; empty if it says nothing.
    word = _folded(instance.meta.get(PROTOCOL, ""))
    if word in _WITH_OR_WITHOUT_TLS:
        return "h2c"
    if word in _SETTLED:
        return _SETTLED[word]
    speaks_http2 = instance.meta.get(GRPC_SERVICES) or not instance.tags.isdisjoint(_TAGS)
    return "h2c" if speaks_http2 else ""


def _folded(word: str) -> str:
    return word.strip().lower()
