"""
Who handles which jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from siger.worker.context import Handler

__all__ = ["Handlers"]

H = TypeVar("H", bound=Handler)


class Handlers:
    """
    The handlers of a worker, by type.
    """

    def __init__(self, handlers: Mapping[str, Handler] | Handler | None = None) -> None:
        """
        @param handlers: by type, or one for all.
        """
        self._own: dict[str, Handler] = {}
        self._default: Handler | None = None
        if isinstance(handlers, Mapping):
            self._own.update(handlers)
        else:
            self._default = handlers

    def register(self, types: Iterable[str]) -> Callable[[H], H]:
        """
        Decorate the handler of some types, or of all that have none of their own.
        """
        named = tuple(types)

        def register(handle: H) -> H:
            for type_ in named:
                self._own[type_] = handle
            if not named:
                self._default = handle
            return handle

        return register

    def find(self, type_: str) -> Handler | None:
        """
        The handler of a type, if it has one.
        """
        return self._own.get(type_) or self._default
