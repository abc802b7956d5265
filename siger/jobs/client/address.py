"""
Where a gateway is.
"""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from siger.jobs.client.errors import TroubleError

__all__ = ["DEFAULT_URL", "Address"]

DEFAULT_URL: Final = "http://localhost:8080"

_PORTS: Final = {"http": 80, "https": 443}
_HERE: Final = ("localhost", "127.0.0.1", "::1")


@frozen
class Address:
    """
    The address of a gateway.

    @ivar path: what stands before the paths of the gateway, where it is not at the root of its host; C{""} where it is.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """
        Read a URL; one without a scheme is C{http}.

        @raise TroubleError: it is none.
        """
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise TroubleError(f"{text!r} is no URL of a gateway: {error}") from error
        if parts.scheme not in _PORTS or not host or parts.query or parts.fragment or "@" in parts.netloc:
            raise TroubleError(f"{text!r} is no URL of a gateway, as {DEFAULT_URL} is one")
        if not f"{host}{parts.path}".isascii() or not f"{host}{parts.path}".isprintable() or " " in parts.path:
            raise TroubleError(f"{text!r} has characters that have to be escaped in a URL")
        return cls(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, parts.path.rstrip("/"))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    @property
    def private(self) -> bool:
        """
        Whether nobody on the way can read along.
        """
        return self.scheme == "https" or self.host in _HERE

    def connection(self, timeout: float) -> HTTPConnection:
        """
        A connection to be made.

        @param timeout: seconds that anything may take.
        """
        if self.scheme == "http":
            return HTTPConnection(self.host, self.port, timeout=timeout)
        return HTTPSConnection(self.host, self.port, timeout=timeout, context=ssl.create_default_context())
