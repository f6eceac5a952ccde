"""Signing in and out, and choosing a password.

The form has a cookie of its own, so that nobody can be signed in from elsewhere under another's name. Signing
in always makes a new session (no fixation), and leads to a page of this server alone.
"""

import base64
import logging
from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote, urlsplit

from litestar import Response, get, post
from litestar.response import Redirect

from edgewright.server.accounts.oidc import Attempt, IdentityProvider, OidcError
from edgewright.server.accounts.signing_in import begin_session, choose_password, in_words, try_password
from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.roles import Role
from edgewright.server.errors import ConflictError, Fault, ForbiddenError, InvalidError, NotFoundError
from edgewright.server.fleet import accounts as fleet
from edgewright.server.listeners.guard import (
    PASSWORD_PAGE,
    SESSION_COOKIE,
    address_of,
    cookie,
    csrf_of,
    form_field,
    identify,
    is_api,
    is_same,
    session_cookie,
)
from edgewright.server.operator_api.access import actor_of
from edgewright.server.problems import answer_for
from edgewright.server.web.pages import page

FORM_COOKIE = "__Host-edgewright-sign-in"
_FORM_SECONDS = 24 * 3600
CALLBACK = "/login/oidc/callback"
PROVIDER_COOKIE = "__Host-edgewright-provider"
_PROVIDER_SECONDS = 900
# Stands for whoever comes from the provider where attempts are counted; no user has this name.
_PROVIDER_ACCOUNT = "identity provider"
_PROVIDER_FAILS = "Signing in at the identity provider does not work just now; the server's log says why."
log = logging.getLogger(__name__)
_WRONG = "This name and this password do not belong together."


@get("/login", public=True)
async def show_sign_in(request: ServerRequest) -> Response[Any]:
    """Show the form, or lead on who is signed in already."""
    leads_to = safe_path(request.query_params.get("next"))
    found = await identify(request)
    if found is not None:
        return Redirect(leads_to, status_code=303)
    return _form(request, leads_to)


@post("/login", status_code=200, public=True)
async def sign_in(request: ServerRequest) -> Response[Any]:
    """Begin a session for who knows the password."""
    leads_to = safe_path(await form_field(request, "next"))
    name = (await form_field(request, "name") or "").strip().lower()
    if not await _is_own_form(request):
        return _form(request, leads_to, name, "This page was too old. Please try again.", status=403)
    password = await form_field(request, "password") or ""
    tried = await try_password(request, name, password)
    if tried.wait_seconds:
        told = f"Too many attempts. Wait {in_words(tried.wait_seconds)} and try again."
        headers = {"retry-after": str(tried.wait_seconds)}
        return _form(request, leads_to, name, told, status=429, headers=headers)
    if tried.user is None:
        return _form(request, leads_to, name, _WRONG, status=401)
    secret = await begin_session(request, tried.user, "password")
    if secret is None:
        return _form(request, leads_to, name, _WRONG, status=401)
    return lead_on(request, secret, PASSWORD_PAGE if tried.user.is_temporary else leads_to)


@post("/logout", status_code=303, even_temporary=True, role=Role.VIEWER, any_scope=True)
async def sign_out(request: ServerRequest) -> Response[Any]:
    """End the session of this browser."""
    context = context_of(request)
    async with context.database.writing() as connection:
        await fleet.sign_out(connection, request.cookies.get(SESSION_COOKIE, ""), now=context.clock())
    answer = Redirect("/login", status_code=303)
    answer.set_cookie(cookie(SESSION_COOKIE, "", max_age=0))
    return answer


@get(PASSWORD_PAGE, even_temporary=True)
async def show_password(request: ServerRequest) -> Response[Any]:
    """Show the form for another password."""
    return page(request, "password.html", {"faults": (), "is_first": actor_of(request).is_temporary})


@post(PASSWORD_PAGE, status_code=200, even_temporary=True, role=Role.VIEWER)
async def change_password(request: ServerRequest) -> Response[Any]:
    """Change one's own password; all other sessions end, and this one gets a new secret."""
    present = await form_field(request, "password") or ""
    new = await form_field(request, "new") or ""
    try:
        if new != await form_field(request, "again"):
            raise InvalidError("", Fault(field="again", message="is not the same as the new password"))
        user = await choose_password(request, present, new)
    except InvalidError as error:
        values = {"faults": error.faults, "is_first": actor_of(request).is_temporary}
        return page(request, "password.html", values, status=422)
    secret = await begin_session(request, user, "password")
    return Redirect("/login", status_code=303) if secret is None else lead_on(request, secret, "/")


@get("/login/oidc", public=True)
async def leave_for_provider(request: ServerRequest) -> Response[Any]:
    """Send the browser to the identity provider, with a secret to come back with."""
    provider = _provider(request)
    secret = token_urlsafe(32)
    leads_to = safe_path(request.query_params.get("next"))
    try:
        url = await provider.leave(Attempt(secret), redirect_uri=_redirect_uri(request))
    except OidcError as error:
        log.warning("nobody can sign in at the identity provider: %s", error)
        return _form(request, leads_to, told=_PROVIDER_FAILS, status=502)
    answer = Redirect(url, status_code=303)
    packed = base64.urlsafe_b64encode(leads_to.encode()).rstrip(b"=").decode()
    answer.set_cookie(cookie(PROVIDER_COOKIE, f"{secret}.{packed}", max_age=_PROVIDER_SECONDS))
    return answer


@get(CALLBACK, public=True)
async def arrive_from_provider(request: ServerRequest) -> Response[Any]:
    """Begin a session for who comes back from the identity provider."""
    provider, context = _provider(request), context_of(request)
    query = request.query_params
    secret, _, packed = request.cookies.get(PROVIDER_COOKIE, "").partition(".")
    attempt, leads_to = Attempt(secret), safe_path(_unpacked(packed))
    if not secret or not is_same(query.get("state", ""), attempt.state):
        return _refused(request, leads_to, "That took too long, or began in another browser. Try again.", 403)
    if "error" in query:
        return _refused(request, leads_to, "The identity provider did not let you in.", 403)
    wait = context.throttle.attempt(_PROVIDER_ACCOUNT, address_of(request), now=context.clock())
    if wait.total_seconds() > 0:
        told = f"Too many attempts. Wait {in_words(int(wait.total_seconds()) + 1)} and try again."
        return _refused(request, leads_to, told, 429)
    try:
        known = await provider.arrive(
            attempt, query.get("code", ""), issuer=query.get("iss"), redirect_uri=_redirect_uri(request)
        )
        async with context.database.writing() as connection:
            user = await fleet.arrive(connection, known, now=context.clock())
    except OidcError as error:
        log.warning("somebody could not sign in at the identity provider: %s", error)
        return _refused(request, leads_to, _PROVIDER_FAILS, 502)
    except (ForbiddenError, ConflictError) as error:
        text = str(error)
        return _refused(request, leads_to, f"{text[:1].upper()}{text[1:]}.", 403)
    context.throttle.succeeded(_PROVIDER_ACCOUNT, address_of(request))
    begun = await begin_session(request, user, "oidc")
    if begun is None:
        return _refused(request, leads_to, "You were locked out or removed just now.", 403)
    answer = lead_on(request, begun, leads_to)
    answer.set_cookie(cookie(PROVIDER_COOKIE, "", max_age=0))
    return answer


def _provider(request: ServerRequest) -> IdentityProvider:
    provider = context_of(request).provider
    if provider is None:
        raise NotFoundError("this server has no identity provider; server.yaml says nothing under 'oidc'")
    return provider


def _provider_name(request: ServerRequest) -> str:
    provider = context_of(request).provider
    return "" if provider is None else provider.settings.name


def _redirect_uri(request: ServerRequest) -> str:
    return f"{context_of(request).web_url}{CALLBACK}"


def _unpacked(packed: str) -> str | None:
    try:
        return base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode("ascii")
    except ValueError:
        return None


def _refused(request: ServerRequest, leads_to: str, told: str, status: int) -> Response[str]:
    """Show the form again, with why nobody was signed in; the attempt cannot be repeated."""
    shown = _form(request, leads_to, told=told, status=status)
    shown.set_cookie(cookie(PROVIDER_COOKIE, "", max_age=0))
    return shown


HANDLERS = [
    leave_for_provider,
    arrive_from_provider,
    show_sign_in,
    sign_in,
    sign_out,
    show_password,
    change_password,
]


def lead_on(request: ServerRequest, secret: str, path: str) -> Response[Any]:
    """Return the answer that hands out a session and leads to `path`."""
    answer = Redirect(path, status_code=303)
    answer.set_cookie(session_cookie(secret))
    if FORM_COOKIE in request.cookies:
        answer.set_cookie(cookie(FORM_COOKIE, "", max_age=0))
    return answer


def safe_path(text: str | None) -> str:
    """Return `text` if it is a path on this server that may follow signing in, else the start page."""
    if not text or not text.startswith("/") or not text.isascii() or not text.isprintable():
        return "/"
    if text.startswith("//") or "\\" in text or " " in text:
        return "/"
    parts = urlsplit(text)
    if (
        parts.scheme
        or parts.netloc
        or parts.path in {"/login", "/logout"}
        or parts.path.startswith("/login/")
    ):
        return "/"
    return text


def to_sign_in(request: ServerRequest, error: Exception) -> Response[Any]:
    """Send a person to where they sign in, and from there back; programs and scripts get the plain answer."""
    if is_api(request) or request.headers.get("sec-fetch-dest", "document") == "empty":
        return answer_for(request, error)
    if "hx-request" in request.headers:
        answer: Response[Any] = answer_for(request, error)
        answer.headers["hx-redirect"] = "/login"
        return answer
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    leads_to = safe_path(wanted) if request.method == "GET" else "/"
    return Redirect("/login" if leads_to == "/" else f"/login?next={quote(leads_to)}", status_code=303)


def to_password(request: ServerRequest, error: Exception) -> Response[Any]:
    """Send a person to where they choose a password; programs and scripts get the plain answer."""
    if is_api(request) or request.headers.get("sec-fetch-dest", "document") == "empty":
        return answer_for(request, error)
    return Redirect(PASSWORD_PAGE, status_code=303)


def _form(
    request: ServerRequest,
    leads_to: str,
    name: str = "",
    told: str = "",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    secret = request.cookies.get(FORM_COOKIE) or token_urlsafe(32)
    request.scope["csrf"] = csrf_of(secret)  # type: ignore[typeddict-unknown-key]
    values = {"next": leads_to, "name": name, "told": told, "provider": _provider_name(request)}
    shown = page(request, "sign_in.html", values, status=status, headers=headers)
    shown.set_cookie(cookie(FORM_COOKIE, secret, max_age=_FORM_SECONDS))
    return shown


async def _is_own_form(request: ServerRequest) -> bool:
    secret = request.cookies.get(FORM_COOKIE)
    if not secret or request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    return is_same(await form_field(request, "csrf") or "", csrf_of(secret))
