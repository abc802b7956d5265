"""
The gateway's own endpoints: in one site, each Klein application where its paths begin; and what it answers by gRPC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from twisted.web.resource import Resource

from siger.admin.app import ROUTES as ADMIN_ROUTES
from siger.admin.app import AdminApp
from siger.auth.app import ROUTES as AUTH_ROUTES
from siger.health.answering import ROUTES as HEALTH_ROUTES
from siger.http.bridge import LocalApplication, LocalSite
from siger.jobs.app import MOUNT as JOBS_MOUNT
from siger.jobs.app import ROUTES as JOBS_ROUTES

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from siger.auth.app import AuthApp
    from siger.health.answering import HealthService
    from siger.http.request import RequestHead
    from siger.http.stream import Exchange, Stream
    from siger.jobs.app import JobsApp
    from siger.observe.observer import Observer
    from siger.policy.identity import Identity
    from siger.policy.rules import OwnAuth

__all__ = ["OWN_ROUTES", "OwnEndpoints"]

OWN_ROUTES: Final[Mapping[str, OwnAuth]] = {**ADMIN_ROUTES, **AUTH_ROUTES, **JOBS_ROUTES, **HEALTH_ROUTES}
"""
The route templates of all of them, and who may use them. What is not here cannot be reached, whatever an application
would answer.
"""

_TEMPLATES: Final = {template.encode("ascii"): template for template in OWN_ROUTES if "{" not in template}
_HEALTH: Final = frozenset(template.encode("ascii") for template in HEALTH_ROUTES)

_JOBS: Final = [segment.encode("ascii") for segment in JOBS_MOUNT.split("/")[1:]]
_BELOW_JOBS: Final = f"{JOBS_MOUNT}/".encode("ascii")
_PATTERNS: Final = (
    (re.compile(rb"status/[A-Za-z0-9_-]{1,64}"), f"{JOBS_MOUNT}/status/{{status}}"),
    (re.compile(rb"[A-Za-z0-9-]{1,64}"), f"{JOBS_MOUNT}/{{jobID}}"),
    (re.compile(rb"[A-Za-z0-9-]{1,64}/events"), f"{JOBS_MOUNT}/{{jobID}}/events"),
)
"""
What may come below the jobs' paths, the first that fits. No name of a job or a state is written in any other way, so
nothing else gets as far as a router that might decode it.
"""


class _Root(Resource):
    """
    Leads to the application that a path begins with; everything else is the administration's.
    """

    def __init__(self, admin: IResource, auth: IResource, jobs: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._admin = admin
        self._auth = auth
        self._jobs = jobs

    def getChild(self, path: bytes, request: Any) -> IResource:
        """
        The application that takes the rest of the path.
        """
        if path == b"auth":
            return self._auth
        more = len(_JOBS) - 1
        if path == _JOBS[0] and request.postpath[:more] == _JOBS[1:]:
            request.prepath += request.postpath[:more]
            # Klein's paths begin with a slash, also where nothing is left.
            request.postpath = request.postpath[more:] or [b""]
            return self._jobs
        # Klein wants all of its path, and one segment was taken off.
        request.postpath.insert(0, request.prepath.pop())
        return self._admin


class OwnEndpoints(LocalApplication):
    """
    Answers requests for the gateway itself.
    """

    def __init__(
        self,
        reactor: Any,
        observer: Observer,
        admin: AdminApp,
        auth: AuthApp,
        jobs: JobsApp,
        body_limit: int,
        health: HealthService | None = None,
    ) -> None:
        """
        @param health: answers questions of gRPC about health; C{None} where a service is asked them.
        """
        root = _Root(admin.resource(), auth.resource(), jobs.resource())
        super().__init__(LocalSite(root, reactor), observer, self.template, body_limit)
        self._health = health

    def __call__(
        self, head: RequestHead, stream: Stream, request_id: bytes, client: bytes, identity: Identity | None = None
    ) -> Exchange | None:
        """
        See L{siger.frontdoor.LocalApplication}.
        """
        if self._health is not None and head.path in _HEALTH:
            return self._health(head, stream, request_id, client, identity)
        return super().__call__(head, stream, request_id, client, identity)

    def template(self, path: bytes) -> str | None:
        """
        The route template of a normalised path, C{None} if nothing here answers it.
        """
        if path.startswith(_BELOW_JOBS):
            rest = path[len(_BELOW_JOBS) :]
            return next((template for pattern, template in _PATTERNS if pattern.fullmatch(rest)), None)
        return None if self._health is None and path in _HEALTH else _TEMPLATES.get(path)
