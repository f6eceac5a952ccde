"""Who is let in: every request on the web listener passes here before anything else happens with it.

Programs show a token (`Authorization: Bearer`), people the cookie of their session. Handlers say with options
what they need; whoever says nothing gets the safe answer:

    public=True         nobody has to be known
    role=Role.ADMIN     which role it takes; without it a viewer may read and an operator may change
    even_temporary=True also for who still has to choose a password of their own

A request that changes something with the cookie needs the session's CSRF token as well, in the header
`X-CSRF-Token` or, on pages, in the form field `csrf`.
"""

import asyncio
import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, FormMultiDict, State
from litestar.handlers.base import BaseRouteHandler

from edgewright.protocol.problem import ProblemType
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.roles import Actor, Role, scope_refusal
from edgewright.server.errors import ForbiddenError
from edgewright.server.fleet import accounts as fleet
from edgewright.server.listeners.bodies import BODY_SECONDS
from edgewright.server.problems import ProblemError
from edgewright.server.store import accounts
from edgewright.server.store.audit import MEANS, Means

API = "/operator/"
SESSION_COOKIE = "__Host-edgewright"
PASSWORD_PAGE = "/account/password"  # noqa: S105 - a path
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_CHALLENGE = {"www-authenticate": 'Bearer realm="edgewright operator API"'}


class SignInNeededError(ProblemError):
    """Nobody known makes this request: programs are told so, people are sent to where they sign in."""

    code = "server.sign-in-needed"

    def __init__(self, detail: str) -> None:
        super().__init__(ProblemType.BLANK, detail, status=401, headers=_CHALLENGE)


class PasswordNeededError(ForbiddenError):
    """Whoever makes this request has to choose a password of their own first."""

    code = "server.password-needed"


@dataclass(frozen=True, slots=True)
class Identified:
    """Who makes a request, and what its forms have to show."""

    actor: Actor
    csrf: str = ""


async def let_in(connection: ASGIConnection[Any, Any, Any, State], handler: BaseRouteHandler) -> None:
    """Let the request pass or raise why not; afterwards `scope` has `actor` and `csrf`."""
    assert isinstance(connection, Request)  # noqa: S101 - there are no websockets here
    # Taken before anything is read for the answer: what changes from here on, a page is told of.
    connection.scope["seen"] = context_of(connection).changes.number  # type: ignore[typeddict-unknown-key]
    if handler.opt.get("public"):
        MEANS.set(Means(address=address_of(connection)))
        return
    found = await identify(connection)
    if found is None:
        raise SignInNeededError(_why_unknown(connection))
    actor = found.actor
    connection.scope["actor"] = actor  # type: ignore[typeddict-unknown-key]
    connection.scope["csrf"] = found.csrf  # type: ignore[typeddict-unknown-key]
    MEANS.set(Means(via=actor.via, address=address_of(connection)))
    if actor.is_temporary and not handler.opt.get("even_temporary"):
        raise PasswordNeededError(f"choose a password of your own first, at {PASSWORD_PAGE}")
    _check_rights(connection, handler, actor)
    if actor.session_id is not None and connection.method not in _SAFE:
        await _check_csrf(connection, found.csrf)


async def identify(request: ServerRequest) -> Identified | None:
    """Return who makes the request, None if nobody known does; to be asked again by answers that last."""
    context = context_of(request)
    now = context.clock()
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            return None
        async with context.database.reading() as database:
            known = await fleet.actor_with_token(database, secret.strip(), now=now)
        if known is None:
            return None
        actor, token = known
        if token.used is None or now - token.used >= fleet.SEEN_EVERY:
            async with context.database.writing() as database:
                await accounts.use_token(database, token.id, now=now)
        return Identified(actor)
    cookie = request.cookies.get(SESSION_COOKIE)
    if not cookie:
        return None
    async with context.database.reading() as database:
        signed_in = await fleet.actor_with_session(database, cookie, now=now)
    if signed_in is None:
        return None
    actor, session = signed_in
    if now - session.seen >= fleet.SEEN_EVERY:
        async with context.database.writing() as database:
            await accounts.see_session(database, session.id, now=now)
    return Identified(actor, csrf_of(cookie))


def needed_role(method: str, handler: BaseRouteHandler) -> Role:
    """Return which role a request to `handler` takes."""
    named: Role | None = handler.opt.get("role")
    return named or (Role.VIEWER if method in _SAFE else Role.OPERATOR)


def csrf_of(secret: str) -> str:
    """Return what forms show that belong to the cookie `secret`, which cannot be had from it."""
    return sha256(b"csrf " + secret.encode()).hexdigest()


def address_of(request: ServerRequest) -> str:
    """Return from which address the request comes."""
    return request.client.host if request.client else ""


def session_cookie(secret: str) -> Cookie:
    """Return the cookie of a session; scripts do not see it and other sites cannot have it sent along."""
    return cookie(SESSION_COOKIE, secret, max_age=int(fleet.LONGEST_SESSION.total_seconds()))


def cookie(name: str, value: str, *, max_age: int) -> Cookie:
    """Return a cookie for this very host, over HTTPS, hidden from scripts; `max_age` 0 takes it back."""
    return Cookie(
        key=name, value=value, path="/", secure=True, httponly=True, samesite="lax", max_age=max_age
    )


def is_api(request: ServerRequest) -> bool:
    """Whether a program asks, rather than a person with a browser."""
    return request.scope["path"].startswith(API)


def _why_unknown(request: ServerRequest) -> str:
    if request.headers.get("authorization", "").lower().startswith("bearer ") and not request.headers[
        "authorization"
    ].endswith(" "):
        return "this token is not known here: it was revoked, has expired, or was made by another server"
    if SESSION_COOKIE in request.cookies:
        return "the session is over; sign in again"
    return "a bearer token is needed"


def _check_rights(request: ServerRequest, handler: BaseRouteHandler, actor: Actor) -> None:
    method = request.method
    needed = needed_role(method, handler)
    if not actor.may(needed):
        raise ForbiddenError(f"this takes the role {needed}, and {actor.name} is {actor.role}")
    if actor.scopes:
        path = request.scope["path"]
        area = path.removeprefix("/operator/v1/").partition("/")[0] if is_api(request) else "pages"
        refusal = scope_refusal(actor.scopes, area=area, is_read=method in _SAFE)
        if refusal is not None and not handler.opt.get("any_scope"):
            raise ForbiddenError(refusal)


async def _check_csrf(request: ServerRequest, wanted: str) -> None:
    """Raise unless the request shows that it comes from a page of this server's."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise ForbiddenError("this request comes from another site")
    shown = request.headers.get("x-csrf-token")
    if shown is None and not is_api(request):
        shown = await form_field(request, "csrf")
    if shown is None:
        raise ForbiddenError("the request shows no CSRF token; send the one of your session in X-CSRF-Token")
    if not is_same(shown, wanted):
        raise ForbiddenError(
            "this form belongs to another session; load the page again and repeat your change"
        )


async def form_field(request: ServerRequest, name: str) -> str | None:
    """Return one text field of the form in the body; handlers can read the form again."""
    value = (await read_form(request)).get(name)
    return value if isinstance(value, str) else None


async def read_form(request: ServerRequest) -> FormMultiDict:
    """Return the form in the body, which has to arrive within `BODY_SECONDS`; its size the routes bound.

    Parts of a form name how they are written; of names nobody knows the framework does not say that.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.form()
    except TimeoutError as error:
        raise ProblemError(
            ProblemType.BLANK, f"the form did not arrive within {BODY_SECONDS:g} s", status=408
        ) from error
    except (LookupError, UnicodeError) as error:
        raise ProblemError(ProblemType.INVALID_REQUEST, f"the form cannot be read: {error}") from error


def is_same(shown: str, wanted: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing."""
    return hmac.compare_digest(shown.encode(errors="replace"), wanted.encode())
