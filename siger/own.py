"""
The gateway's own endpoints, in one site: each Klein application where its paths begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.web.resource import Resource

from siger.admin.app import ROUTES as ADMIN_ROUTES
from siger.admin.app import AdminApp
from siger.auth.app import ROUTES as AUTH_ROUTES
from siger.http.bridge import LocalApplication, LocalSite

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from siger.auth.app import AuthApp
    from siger.observe.observer import Observer
    from siger.policy.rules import OwnAuth

__all__ = ["OWN_ROUTES", "OwnEndpoints"]

OWN_ROUTES: Final[Mapping[str, OwnAuth]] = {**ADMIN_ROUTES, **AUTH_ROUTES}
"""
The route templates of all of them, and who may use them. What is not here cannot be reached, whatever an application
would answer.
"""

_TEMPLATES: Final = {template.encode("ascii"): template for template in OWN_ROUTES}


class _Root(Resource):
    """
    Leads to the application of a path's first segment; everything else is the administration's.
    """

    def __init__(self, admin: IResource, auth: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._admin = admin
        self._auth = auth

    def getChild(self, path: bytes, request: Any) -> IResource:
        """
        The application that takes the rest of the path.
        """
        if path == b"auth":
            return self._auth
        # Klein wants all of its path, and one segment was taken off.
        request.postpath.insert(0, request.prepath.pop())
        return self._admin


class OwnEndpoints(LocalApplication):
    """
    Answers requests for the gateway itself.
    """

    def __init__(self, reactor: Any, observer: Observer, admin: AdminApp, auth: AuthApp, body_limit: int) -> None:
        root = _Root(admin.resource(), auth.resource())
        super().__init__(LocalSite(root, reactor), observer, self.template, body_limit)

    @staticmethod
    def template(path: bytes) -> str | None:
        """
        The route template of a normalised path, C{None} if nothing here answers it.
        """
        return _TEMPLATES.get(path)
