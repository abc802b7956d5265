"""
The Klein application for C{/auth}: accounts and tokens for those who ask over HTTP.

The front door has judged a request's token before it gets here, so C{request.identity} is who asks, or C{None}.
Everything else that can be wrong is an exception, which becomes a problem document in one place.

Two answers that could have been others. C{refresh} leaves the old token as it is: an answer may be lost on its way, and
who then tries again must not be locked out; a token ends by itself soon, and at once by C{logout}. And C{logout} says
that it failed when the store is away, as other gateways would believe the token still.
"""

from __future__ import annotations

from collections.abc import Coroutine
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from siger.auth.bodies import BodyError, MediaTypeError, read_fields
from siger.auth.errors import BadCredentialsError, BusyError, FieldError, FieldErrors, NameTakenError
from siger.auth.names import fold
from siger.auth.passwords import prepare
from siger.auth.records import timestamp
from siger.auth.revocation import valid_from
from siger.config.settings.admission import RateLimit
from siger.errors import Reason
from siger.http.local_errors import answer_errors, refuse
from siger.messaging.errors import UnavailableError
from siger.policy.limit_keys import address_key
from siger.policy.ratelimit import Limiter

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from siger.auth.attempts import Attempts
    from siger.auth.revocation import Revocations
    from siger.auth.tokens import Minter
    from siger.auth.users import User, Users
    from siger.policy.identity import Identity

__all__ = ["ROUTES", "AuthApp"]

ROUTES: Final[dict[str, Literal["public", "optional", "user"]]] = {
    "/auth/login": "public",
    "/auth/register": "optional",
    "/auth/profile": "user",
    "/auth/refresh": "user",
    "/auth/logout": "user",
}
"""
Who may use what, by route template; the front door sees to it. Whoever logs in may have an old token that is of no use:
it is not looked at.
"""

REGISTRATIONS: Final = RateLimit(Fraction(1), burst=60)
"""How many accounts may be asked for from one address; administrators may ask for any number."""

_STORE_RETRY: Final = 2

_ANOTHER_ISSUER: Final = "Tokens of another issuer are renewed there."
_NO_ACCOUNT: Final = "The token is of nobody who has an account here, so it cannot be renewed."
_TOO_MANY_ACCOUNTS: Final = "Many accounts were asked for from this address; try again after Retry-After seconds."


class _RefusedError(Exception):
    """
    A request is refused.
    """

    def __init__(self, reason: Reason, detail: str = "", retry_after: int = 1, extra: bytes = b"") -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.extra = extra


class AuthApp:
    """
    The application, with paths as they are below C{/auth}.
    """

    app = Klein()
    _log = Logger(namespace="siger.auth")

    def __init__(
        self,
        users: Users,
        minter: Minter,
        revocations: Revocations,
        attempts: Attempts,
        registration: str = "open",
        limiter: Limiter | None = None,
    ) -> None:
        """
        @param attempts: those that failed, and how long to wait for the next.
        @param registration: who may create accounts: C{open}, C{admin} or C{closed}.
        @param limiter: how many accounts may be asked for, by address.
        """
        self._users = users
        self._minter = minter
        self._revocations = revocations
        self._attempts = attempts
        self._registration = registration
        self._limiter = Limiter("register", REGISTRATIONS) if limiter is None else limiter

    def resource(self) -> IResource:
        """
        The application as a resource.
        """
        resource: IResource = self.app.resource()
        return resource

    @app.route("/login", methods=["POST"])
    def login(self, request: Any) -> Deferred[bytes]:
        """
        A token for a name and a password.
        """
        return _answer(request, 200, self._login(request))

    @app.route("/register", methods=["POST"])
    def register(self, request: Any) -> Deferred[bytes]:
        """
        A new account.
        """
        return _answer(request, 201, self._register(request))

    @app.route("/profile", methods=["GET"])
    def profile(self, request: Any) -> Deferred[bytes]:
        """
        Who asks.
        """
        return _answer(request, 200, self._profile(_known(request)))

    @app.route("/refresh", methods=["POST"])
    def refresh(self, request: Any) -> Deferred[bytes]:
        """
        A new token for one that is still good.
        """
        return _answer(request, 200, self._refresh(_known(request)))

    @app.route("/logout", methods=["POST"])
    def logout(self, request: Any) -> Deferred[bytes]:
        """
        The end of a token, on all gateways.
        """
        return _answer(request, 200, self._logout(_known(request)))

    async def _login(self, request: Any) -> dict[str, str]:
        fields = _fields(request, ("username", "password"))
        username, password = fields["username"], fields["password"]
        _check_length(password)
        client, name = _client(request), fold(username)
        wait = self._attempts.wait(client, name)
        if wait:
            raise _RefusedError(Reason.TOO_MANY_ATTEMPTS, retry_after=wait)
        try:
            user = await self._users.authenticate(username, password)
        except BadCredentialsError:
            self._attempts.failed(client, name)
            raise
        except Exception:
            self._attempts.abandoned(client, name)
            raise
        self._attempts.succeeded(client, name)
        return self._token(user)

    async def _register(self, request: Any) -> dict[str, str]:
        by_admin = self._may_register(request.identity)
        fields = _fields(request, ("username", "password"), ("role",))
        role = fields.get("role") or "user"
        if role != "user" and not by_admin:
            raise _RefusedError(Reason.FORBIDDEN, "Only administrators give other roles than user.")
        wait = 0 if by_admin else self._limiter.admit(address_key(_client(request).encode("ascii")))
        if wait:
            raise _RefusedError(Reason.RATE_LIMITED, _TOO_MANY_ACCOUNTS, wait, self._limiter.lines(wait))
        user = await self._users.register(fields["username"], fields["password"], role)
        self._log.info("user {name} registered as {role}, with id {id}", name=user.username, role=role, id=user.id)
        return {"message": "User registered successfully", "user_id": user.id}

    def _may_register(self, identity: Identity | None) -> bool:
        """
        Let those pass who may create accounts.

        @return: whether it is an administrator.
        """
        by_admin = identity is not None and identity.is_admin
        if self._registration == "closed":
            raise _RefusedError(Reason.REGISTRATION_CLOSED, "Accounts are not created over HTTP here.")
        if self._registration != "open" and not by_admin:
            raise _RefusedError(Reason.UNAUTHENTICATED if identity is None else Reason.FORBIDDEN)
        return by_admin

    async def _profile(self, identity: Identity) -> dict[str, str]:
        if identity.issuer:
            who = {"id": identity.subject, "username": identity.name, "role": identity.role}
            return {**who, "issuer": identity.issuer}
        user = self._users.by_id(identity.user_id)
        if user is None:
            return {"id": identity.user_id, "username": identity.name, "role": identity.role}
        return {"id": user.id, "username": user.username, "role": user.role}

    async def _refresh(self, identity: Identity) -> dict[str, str]:
        if identity.issuer:
            raise _RefusedError(Reason.FORBIDDEN, _ANOTHER_ISSUER)
        user = self._users.by_id(identity.user_id)
        if user is None:
            if not self._users.current:
                raise UnavailableError("the accounts have not been read yet")
            raise _RefusedError(Reason.FORBIDDEN, _NO_ACCOUNT)
        # Both revoke tokens, but here it is known for sure.
        if user.disabled or identity.issued < valid_from(user):
            raise _RefusedError(Reason.INVALID_TOKEN)
        return self._token(user)

    async def _logout(self, identity: Identity) -> dict[str, str]:
        await self._revocations.revoke_token(identity)
        return {"message": "Logged out successfully"}

    def _token(self, user: User) -> dict[str, str]:
        minted = self._minter.mint(user.id, user.username, user.role, valid_from(user))
        return {
            "token": minted.token,
            "expires_at": timestamp(minted.expires_at),
            "user_id": user.id,
            "username": user.username,
            "role": user.role,
        }


answer_errors(AuthApp.app)


def _fields(request: Any, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, str]:
    content: bytes = request.content.read()
    return read_fields(request.getHeader(b"Content-Type"), content, required, optional)


def _check_length(password: str) -> None:
    """
    Turn away what is nobody's password, as it is too long: before it costs anything.
    """
    try:
        prepare(password)
    except FieldError as error:
        raise FieldErrors([error]) from error


def _client(request: Any) -> str:
    host: str = request.getClientAddress().host
    return host


def _known(request: Any) -> Identity:
    """
    Who asks. The front door lets nobody else get here.
    """
    identity: Identity = request.identity
    return identity


def _answer(request: Any, status: int, work: Coroutine[Any, Any, dict[str, str]]) -> Deferred[bytes]:
    """
    Answer with what some work comes to. It is done to its end even if nobody waits for the answer any more: a failed
    attempt counts whether or not its maker hears of it.
    """
    answer: Deferred[bytes] = Deferred()
    done = Deferred.fromCoroutine(work)
    done.addCallbacks(
        lambda document: _send(request, status, document), lambda failure: _refuse(request, failure)
    ).chainDeferred(answer)
    return answer


def _send(request: Any, status: int, document: dict[str, str]) -> bytes:
    body = orjson.dumps(document) + b"\n"
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.setHeader(b"Cache-Control", b"no-store")
    return body


def _refuse(request: Any, failure: Failure) -> bytes | Failure:
    """
    Answer with what went wrong, as far as it is meant to be told.
    """
    error = failure.value
    match error:
        case _RefusedError():
            return refuse(request, error.reason, error.detail, extra=error.extra, retry_after=error.retry_after)
        case FieldErrors():
            return _refuse_fields(request, "", [(each.pointer, each.message) for each in error.errors])
        case BodyError():
            return _refuse_fields(request, str(error), [("#", str(error))])
        case MediaTypeError():
            return refuse(request, Reason.UNSUPPORTED_MEDIA, "The body has to be JSON.")
        case BadCredentialsError():
            return refuse(request, Reason.INVALID_CREDENTIALS)
        case NameTakenError():
            return refuse(request, Reason.USERNAME_TAKEN)
        case BusyError():
            return refuse(request, Reason.BUSY)
        case UnavailableError():
            return refuse(request, Reason.STORE_UNAVAILABLE, retry_after=_STORE_RETRY)
    return failure


def _refuse_fields(request: Any, detail: str, errors: list[tuple[str, str]]) -> bytes:
    """
    Name everything that is wrong with a body, as RFC 9457 section 3 does.
    """
    members = orjson.dumps([{"pointer": pointer, "detail": words} for pointer, words in errors])
    return refuse(request, Reason.INVALID_FIELDS, detail, members=b',"errors":' + members)
