"""
C{routes:}.

A route's path is written in the one normal form that request paths are brought to before they are looked up: a spelling
that could never match is an error here rather than a route that is silently dead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set

from siger.config.addresses import host, host_name
from siger.config.cors import own_cors
from siger.config.decode import boolean, choice, list_of, text
from siger.config.nodes import shorten
from siger.config.ratelimit import rate_limits
from siger.config.roles import auth
from siger.config.section import Decoder, InvalidError, Section, Value, suggestion
from siger.config.services import MAX_BODY
from siger.config.settings.routes import RouteSettings
from siger.config.settings.services import ServiceSettings
from siger.config.shared import grpc_name, methods, service_name, timeouts

__all__ = ["routes"]

_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})*")
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_NEEDLESS = re.compile(r"%(?:2D|2E|5F|7E|3[0-9]|[46][1-9A-F]|[57][0-9A])")  # RFC 3986 section 2.3: unreserved


def routes(known: Set[str] | None, service: Callable[[str], ServiceSettings]) -> Decoder[tuple[RouteSettings, ...]]:
    """
    A decoder of all routes.

    @param known: the services that there can be; C{None} when Consul may know others.
    @param service: the settings of a service, by its name.
    """

    def decode(value: Value) -> tuple[RouteSettings, ...]:
        found: list[tuple[str, RouteSettings]] = []

        def one(value: Value) -> RouteSettings:
            before = len(value.faults)
            route = _Route(value, known, service).decode()
            if len(value.faults) == before:  # what is wrong stands for nothing to compare with
                _refuse_repetition(route, found)
                found.append((value.path, route))
            return route

        return list_of(one)(value)

    return decode


def _refuse_repetition(route: RouteSettings, earlier: list[tuple[str, RouteSettings]]) -> None:
    """
    @raise InvalidError: when an earlier route takes the very same requests, so that this one would get none.
    """
    for path, other in earlier:
        same = (_shape(route.path), route.host, route.grpc) == (_shape(other.path), other.host, other.grpc)
        both = not route.methods or not other.methods or set(route.methods) & set(other.methods)
        if same and both:
            raise InvalidError(f"takes the same requests as {path}")


def _shape(path: str) -> str:
    """
    The same text for all paths that cover the same requests: a prefix means whole segments, slash at its end or not.
    """
    return _PARAMETER.sub("{}", path).rstrip("/")


class _Route:
    """
    One route on its way.
    """

    def __init__(self, value: Value, known: Set[str] | None, service: Callable[[str], ServiceSettings]) -> None:
        self.section = Section(value)
        self.known = known
        self.service = service

    def decode(self) -> RouteSettings:
        take = self.section.take
        service = take("service", self._service, "")
        base = self.service(service).timeouts
        path = take("path", _template, "" if "path" in self.section or "grpc" in self.section else "/")
        route = RouteSettings(
            service=service,
            host=take("host", _host, ""),
            path=path,
            methods=take("methods", methods, ()),
            grpc=take("grpc", grpc_name, ""),
            strip=take("strip", _strip_from(path), ""),
            rewrite=take("rewrite", _literal, ""),
            auth=take("auth", auth, None),
            timeouts=take("timeouts", timeouts(base), None),
            max_body=take("max_body", MAX_BODY, None),
            encoded_slashes=take("encoded_slashes", choice("reject", "keep"), "reject"),
            rate_limit=take("rate_limit", rate_limits, None),
            cors=take("cors", own_cors, None),
            forward_authorization=take("forward_authorization", boolean, None),
        )
        self.section.finish()
        self._complete(route)
        return route

    def _service(self, value: Value) -> str:
        name = service_name(text(value))
        if self.known is not None and name not in self.known:
            near = suggestion(name, sorted(self.known))
            raise InvalidError(f"there is no service {name!r} under services, and no Consul to know it{near}")
        return name

    def _complete(self, route: RouteSettings) -> None:
        """
        Report what is missing, or does not go together.
        """
        self.section.need("service")
        if not any(key in self.section for key in ("path", "host", "grpc")):
            self.section.value.report("needs a path, a host or a grpc to say which requests it takes")
        beside = [key for key in ("path", "methods", "strip", "rewrite") if key in self.section]
        if "grpc" in self.section and beside:
            self.section.value.report(f"a grpc route has no {beside[0]}: the service's name says it all")
        if ("%2F" in route.path or "%5C" in route.path) and route.encoded_slashes == "reject":
            self.section.value.report("its path has an encoded slash, so it needs encoded_slashes: keep")


def _host(value: Value) -> str:
    found = text(value)
    if found.startswith("*.") and host_name(found[2:]):
        return found.lower()
    return host(value).lower()


def _template(value: Value) -> str:
    """
    A path in which a whole segment may be C{{name}}.
    """
    return _path(text(value), _PARAMETER)


def _literal(value: Value) -> str:
    """
    A path that puts segments in the place of others, so that a slash at its end means nothing.
    """
    return _path(text(value)).rstrip("/") or "/"


def _path(path: str, parameter: re.Pattern[str] | None = None) -> str:
    if not path.startswith("/"):
        raise InvalidError(f"a path begins with /, got {shorten(path)!r}")
    segments = path[1:].split("/")
    if "" in segments[:-1]:
        raise InvalidError("a path has no empty segments (//)")
    names = [segment for segment in segments if parameter is not None and parameter.fullmatch(segment)]
    if len(set(names)) < len(names):
        raise InvalidError("a path names each of its parameters differently")
    for segment in segments:
        if segment not in names:
            _check(segment)
    return path


def _check(segment: str) -> None:
    """
    @raise InvalidError: for what no request path has once it is normalised.
    """
    if segment in (".", ".."):
        raise InvalidError("a path has no . or .. segments")
    if not _SEGMENT.fullmatch(segment):
        raise InvalidError(f"{shorten(segment)!r} cannot stand in a path; other characters are written %XX")
    needless = _NEEDLESS.search(segment)
    if needless is not None:
        raise InvalidError(f"{needless[0]} is only another spelling of {chr(int(needless[0][1:], 16))}")


def _strip_from(path: str) -> Decoder[str]:
    """
    A leading part of C{path}, whole segments of it.

    @param path: C{""} when it was wrong: then there is nothing to compare with.
    """

    def decode(value: Value) -> str:
        strip = _literal(value)
        if strip == "/":
            raise InvalidError("there is nothing to strip in /")
        if path and not f"{path}/".startswith(f"{strip}/"):
            raise InvalidError(f"{shorten(strip)!r} is not how the path {shorten(path)!r} begins")
        return strip

    return decode
