"""
Tests for L{siger.routing}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from siger.config.settings.routes import RouteSettings
from siger.routing import Route, RouteTable
from tests.http.generators import properties


def table(*routes: RouteSettings) -> RouteTable:
    """
    A table of these routes.
    """
    return RouteTable(routes)


def route(service: str = "echo", **settings: Any) -> RouteSettings:
    """
    A route to a service.
    """
    return RouteSettings(service, **settings)


def found(
    routes: RouteTable, path: bytes, host: bytes = b"a.test", method: bytes = b"GET"
) -> tuple[bytes, bytes] | bytes:
    """
    The service and the target for a request, or the methods that there are.
    """
    answer = routes.find(host, path, method)
    return answer if isinstance(answer, bytes) else (answer[0].service, answer[1])


class TargetTests(SynchronousTestCase):
    """
    Tests for L{Route.target}.
    """

    def targets(self, settings: RouteSettings, *pairs: tuple[bytes, bytes | None]) -> None:
        """
        The route makes these targets of these paths.
        """
        made = Route(settings)
        for path, target in pairs:
            self.assertEqual(made.target(path), target, (settings, path))

    def test_prefix(self) -> None:
        """
        A path covers itself and what is below it, by whole segments.
        """
        for path in ("/v1", "/v1/"):
            self.targets(
                route(path=path),
                (b"/v1", b"/v1"),
                (b"/v1/", b"/v1/"),
                (b"/v1/x/y", b"/v1/x/y"),
                (b"/v10", None),
                (b"/v", None),
                (b"/", None),
                (b"/x/v1", None),
                (b"/V1", None),
                (b"*", None),
            )

    def test_root(self) -> None:
        """
        The root covers every path.
        """
        self.targets(route(path="/"), (b"/", b"/"), (b"/x", b"/x"), (b"*", None))

    def test_placeholder(self) -> None:
        """
        A placeholder is any one segment, and never an empty one.
        """
        self.targets(
            route(path="/users/{id}/jobs"),
            (b"/users/7/jobs", b"/users/7/jobs"),
            (b"/users/a.b-c/jobs/1", b"/users/a.b-c/jobs/1"),
            (b"/users/7", None),
            (b"/users/7/8/jobs", None),
            (b"/users//jobs", None),
        )

    def test_literal(self) -> None:
        """
        Characters that mean something to a pattern mean themselves.
        """
        self.targets(route(path="/a.b(c)+"), (b"/a.b(c)+", b"/a.b(c)+"), (b"/axb(c)+", None), (b"/a.bcc", None))

    def test_strip(self) -> None:
        """
        A leading part can be taken off; what is left is a path.
        """
        self.targets(route(path="/v1/x", strip="/v1"), (b"/v1/x/y", b"/x/y"), (b"/v1/x", b"/x"))
        for strip in ("/v1", "/v1/"):
            self.targets(route(path="/v1/", strip=strip), (b"/v1", b"/"), (b"/v1/", b"/"), (b"/v1/x", b"/x"))

    def test_rewrite(self) -> None:
        """
        Something can be put in its place, or in that of the whole path.
        """
        self.targets(route(path="/v1", rewrite="/api/v2"), (b"/v1", b"/api/v2"), (b"/v1/x", b"/api/v2/x"))
        self.targets(route(path="/v1/x", strip="/v1", rewrite="/w/"), (b"/v1/x/y", b"/w/x/y"))
        self.targets(route(path="/u/{id}", rewrite="/who"), (b"/u/7/x", b"/who/x"), (b"/u/7", b"/who"))
        self.targets(route(path="/v1", rewrite="/"), (b"/v1", b"/"), (b"/v1/x", b"/x"))

    def test_grpc(self) -> None:
        """
        A gRPC service is its name and one method, and goes on as it came.
        """
        self.targets(
            route(grpc="package.v1.Service", path=""),
            (b"/package.v1.Service/Method", b"/package.v1.Service/Method"),
            (b"/package.v1.Service/x", b"/package.v1.Service/x"),
            (b"/package.v1.Service", None),
            (b"/package.v1.Service/", None),
            (b"/package.v1.Service/Method/", None),
            (b"/package.v1.Service/Method/x", None),
            (b"/package.v1.Service2/Method", None),
            (b"/packagexv1.Service/Method", None),
            (b"/Package.v1.Service/Method", None),
            (b"/x/package.v1.Service/Method", None),
        )

    def test_is_grpc(self) -> None:
        """
        A route knows whether it is one of a gRPC service.
        """
        self.assertTrue(Route(route(grpc="a.B", path="")).grpc)
        self.assertFalse(Route(route(path="/a.B/x")).grpc)


class HostTests(SynchronousTestCase):
    """
    Tests for L{Route.takes_host}.
    """

    def test_any(self) -> None:
        """
        Without a host a route takes any.
        """
        made = Route(route())
        self.assertEqual([made.takes_host(name) for name in (b"", b"a.test", b"[::1]")], [True] * 3)

    def test_exact(self) -> None:
        """
        With one it takes that one.
        """
        made = Route(route(host="a.test"))
        self.assertTrue(made.takes_host(b"a.test"))
        for name in (b"", b"b.test", b"x.a.test", b"xa.test", b"a.test.evil.test"):
            self.assertFalse(made.takes_host(name), name)

    def test_domain(self) -> None:
        """
        With a domain it takes everything below that, at any depth, but not itself.
        """
        made = Route(route(host="*.a.test"))
        self.assertTrue(made.takes_host(b"x.a.test"))
        self.assertTrue(made.takes_host(b"x.y.a.test"))
        for name in (b"a.test", b"xa.test", b"x.a.test.evil.test", b""):
            self.assertFalse(made.takes_host(name), name)


class FindTests(SynchronousTestCase):
    """
    Tests for L{RouteTable.find}.
    """

    def test_empty(self) -> None:
        """
        An empty table has no route and no methods.
        """
        self.assertEqual(found(table(), b"/"), b"")

    def test_host(self) -> None:
        """
        A host is compared without port and in any case of letters.
        """
        routes = table(route(host="a.test"))
        for host in (b"a.test", b"A.Test", b"a.test:8080", b"A.TEST:80"):
            self.assertEqual(found(routes, b"/x", host), (b"echo", b"/x"), host)
        for host in (b"b.test", b"", b"a.test.", b"[::1]", b"[::1]:80"):
            self.assertEqual(found(routes, b"/x", host), b"", host)

    def test_literal_host(self) -> None:
        """
        An IPv6 literal has no port where it has none.
        """
        routes = table(route(host="[::1]"))
        for host in (b"[::1]", b"[::1]:80"):
            self.assertEqual(found(routes, b"/x", host), (b"echo", b"/x"))

    def test_methods(self) -> None:
        """
        A route of some methods takes those; for the others it is said which there are.
        """
        routes = table(route(path="/x", methods=("GET", "HEAD")), route("other", path="/x", methods=("POST",)))
        self.assertEqual(found(routes, b"/x", method=b"HEAD"), (b"echo", b"/x"))
        self.assertEqual(found(routes, b"/x", method=b"POST"), (b"other", b"/x"))
        self.assertEqual(found(routes, b"/x", method=b"PUT"), b"GET, HEAD, POST")
        self.assertEqual(found(routes, b"/y", method=b"PUT"), b"")

    def test_grpc(self) -> None:
        """
        A gRPC service's calls are POST requests, for the route's host if it has one.
        """
        routes = table(route(grpc="a.B", path="", host="a.test"), route("other", grpc="a.C", path=""))
        self.assertEqual(found(routes, b"/a.B/M", method=b"POST"), (b"echo", b"/a.B/M"))
        self.assertEqual(found(routes, b"/a.C/M", b"b.test", b"POST"), (b"other", b"/a.C/M"))
        self.assertEqual(found(routes, b"/a.B/M", b"b.test", b"POST"), b"")
        self.assertEqual(found(routes, b"/a.D/M", method=b"POST"), b"")
        for method in (b"GET", b"OPTIONS", b"PUT"):
            self.assertEqual(found(routes, b"/a.B/M", method=method), b"POST")

    def test_methods_elsewhere(self) -> None:
        """
        A less specific route that takes the method takes the request.
        """
        routes = table(route("narrow", path="/x/y", methods=("GET",)), route("wide", path="/x"))
        self.assertEqual(found(routes, b"/x/y", method=b"GET"), (b"narrow", b"/x/y"))
        self.assertEqual(found(routes, b"/x/y", method=b"PUT"), (b"wide", b"/x/y"))

    def test_most_specific(self) -> None:
        """
        The most specific route takes a request, in whatever order they are written: exact hosts before domains before
        any, longer paths before shorter, literal segments before placeholders, named methods before all.
        """
        ranked = [
            route("a", host="a.test", path="/x/y"),
            route("b", host="a.test", path="/x"),
            route("c", host="a.test", path="/"),
            route("d", host="*.b.test", path="/x"),
            route("e", host="*.test", path="/x"),
            route("f", host="*.test", path="/"),
            route("g", path="/x/y/z"),
            route("h", path="/x/y", methods=("GET",)),
            route("i", path="/x/y"),
            route("call", grpc="package.v1.Service", path=""),
            route("j", path="/x/{p}"),
            route("k", path="/{p}/{q}"),
            route("l", path="/longer"),
            route("m", path="/x"),
            route("n", path="/"),
        ]
        for order in (ranked, ranked[::-1], ranked[1::2] + ranked[::2]):
            self.assertEqual([made.settings.service for made in table(*order).routes], [one.service for one in ranked])

    def test_requests(self) -> None:
        """
        So each request finds its own.
        """
        routes = table(
            route("any", path="/"),
            route("domain", host="*.a.test", path="/x"),
            route("exact", host="b.a.test", path="/"),
            route("deep", path="/x/y"),
        )
        for host, path, service in (
            (b"b.a.test", b"/x/y", b"exact"),
            (b"c.a.test", b"/x/y", b"domain"),
            (b"c.a.test", b"/y", b"any"),
            (b"c.test", b"/x/y", b"deep"),
            (b"c.test", b"/x", b"any"),
        ):
            self.assertEqual(found(routes, path, host), (service, path), (host, path))

    @properties
    @given(
        st.lists(
            st.builds(
                route,
                host=st.sampled_from(["", "a.test", "*.test"]),
                path=st.sampled_from(["/", "/x", "/x/y", "/{p}", "/x/{p}"]),
                methods=st.sampled_from([(), ("GET",), ("PUT", "GET")]),
                grpc=st.sampled_from(["", "", "x"]),
            ),
            max_size=6,
        ),
        st.sampled_from([b"a.test", b"b.test", b"x.b.test", b"other"]),
        st.sampled_from([b"/", b"/x", b"/x/y", b"/y/x"]),
        st.sampled_from([b"GET", b"PUT", b"POST"]),
    )
    def test_never_misses(self, settings: list[RouteSettings], host: bytes, path: bytes, method: bytes) -> None:
        """
        A route is found exactly if there is one that takes the request.
        """
        routes = table(*settings)

        def takes(made: Route) -> bool:
            return made.takes_host(host) and made.target(path) is not None

        answer = routes.find(host, path, method)
        fitting = [made for made in routes.routes if takes(made) and (not made.methods or method in made.methods)]
        if fitting:
            self.assertIs(answer[0], fitting[0])
        else:
            allowed = {each for made in routes.routes if takes(made) for each in made.methods}
            self.assertEqual(answer, b", ".join(sorted(allowed)))


class TemplateTests(SynchronousTestCase):
    """
    Tests for how metrics and logs call a route.
    """

    def test_template(self) -> None:
        """
        By its host and path, as written, never by a request's: L3.
        """
        for settings, template in (
            (route(path="/v1/"), "/v1/*"),
            (route(path="/"), "/*"),
            (route(host="*.a.test", path="/u/{id}"), "*.a.test/u/{id}/*"),
            (route(grpc="a.v1.B", path=""), "/a.v1.B/{method}"),
            (route(grpc="B", path="", host="a.test"), "a.test/B/{method}"),
        ):
            self.assertEqual(Route(settings).template, template)
