"""
Which pages of other origins may read what the gateway answers (the Fetch standard, "CORS protocol").

The gateway answers for its backends here: each origin that is configured has its field lines made once, and what a
request says its origin is serves to look them up and for nothing else. So no byte of a request is ever sent back, and
an origin that is nearly one of them is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from siger.http.grammar import list_members

if TYPE_CHECKING:
    from siger.config.settings.admission import Cors
    from siger.http.request import RequestHead

__all__ = ["CorsPolicy", "is_preflight"]

# Also where every origin is allowed, and the answer is the same for all: it is one rule for whoever reads answers or
# configures caches, and it stays right when a list takes the place of the asterisk while caches still hold old answers.
_VARY: Final = b"Vary: Origin\r\n"
_VARY_PREFLIGHT: Final = b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"


def is_preflight(head: RequestHead) -> bool:
    """
    Whether a browser asks what a page may do, rather than doing it. Any other OPTIONS is a request like others.
    """
    owned = head.fields.owned
    return head.method == b"OPTIONS" and b"origin" in owned and b"access-control-request-method" in owned


class CorsPolicy:
    """
    The rules of one route, service or gateway.
    """

    __slots__ = (
        "_any_header",
        "_any_method",
        "_headers",
        "_lines",
        "_methods",
        "_other_lines",
        "_other_preflight",
        "_preflights",
    )

    def __init__(self, settings: Cors) -> None:
        """
        @raise ValueError: any page could act as its visitor, or pages without an origin would be let in.
        """
        origins: tuple[str, ...] = settings.origins
        credentials: bool = settings.credentials
        for stars in (origins, settings.methods, settings.headers, settings.expose):
            if credentials and "*" in stars:
                raise ValueError('"*" and credentials do not go together')
        if "null" in origins:
            raise ValueError('"null" is the origin of any page that hides its own')
        self._methods: frozenset[bytes] = _methods(settings)
        self._any_method: bool = b"*" in self._methods
        self._headers: frozenset[bytes] = frozenset([name.lower().encode("ascii") for name in settings.headers])
        self._any_header: bool = b"*" in self._headers
        exposed = _line(b"Access-Control-Expose-Headers", settings.expose)
        asked = self._preflight_lines(settings)
        self._lines: dict[bytes, bytes] = {}
        self._preflights: dict[bytes, bytes] = {}
        for origin in origins:
            name = origin.encode("ascii")
            allowed = _allowed(name, credentials)
            self._lines[name] = allowed + exposed + _VARY
            self._preflights[name] = allowed + asked + _VARY_PREFLIGHT
        self._other_lines: bytes = self._lines.pop(b"*", _VARY)
        self._other_preflight: bytes = self._preflights.pop(b"*", _VARY_PREFLIGHT)

    def lines(self, origin: bytes | None) -> bytes:
        """
        What every response has, those of the gateway's own refusals too.

        @param origin: the request's C{Origin}.
        """
        if origin is None:
            return self._other_lines
        return self._lines.get(origin, self._other_lines)

    def preflight(self, origin: bytes, method: bytes, headers: bytes) -> bytes:
        """
        What the answer to a preflight request has. Nothing in it says what would be allowed to somebody else.

        @param method: C{Access-Control-Request-Method}.
        @param headers: C{Access-Control-Request-Headers}, or C{b""}.
        """
        if self._may_use(method) and self._may_set(headers):
            return self._preflights.get(origin, self._other_preflight)
        return _VARY_PREFLIGHT

    def _may_use(self, method: bytes) -> bool:
        return self._any_method or method in self._methods

    def _may_set(self, headers: bytes) -> bool:
        names = list_members(headers)
        if self._any_header:
            # The asterisk covers every field but this one, which has to be named ("CORS non-wildcard request-header").
            return b"authorization" not in names or b"authorization" in self._headers
        return self._headers.issuperset(names)

    def _preflight_lines(self, settings: Cors) -> bytes:
        methods = [name.decode("ascii") for name in sorted(self._methods)]
        return (
            _line(b"Access-Control-Allow-Methods", tuple(methods))
            + _line(b"Access-Control-Allow-Headers", settings.headers)
            + b"Access-Control-Max-Age: %d\r\n" % settings.max_age
        )


def _methods(settings: Cors) -> frozenset[bytes]:
    methods = {name.encode("ascii") for name in settings.methods}
    if b"GET" in methods:
        methods.add(b"HEAD")  # it may do nothing that GET may not (RFC 9110 section 9.3.2)
    return frozenset(methods)


def _allowed(origin: bytes, credentials: bool) -> bytes:
    line = b"Access-Control-Allow-Origin: %b\r\n" % origin
    return line + b"Access-Control-Allow-Credentials: true\r\n" if credentials else line


def _line(name: bytes, values: tuple[str, ...]) -> bytes:
    return b"%b: %b\r\n" % (name, ", ".join(values).encode("ascii")) if values else b""
