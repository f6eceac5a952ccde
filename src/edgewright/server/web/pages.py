"""Renders pages: one environment of templates, and what every page needs beside its own values.

A page is what `page` makes of a template; after a change people are sent on by `see_other`, with a word on
what was done that the next page shows once.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from litestar import Response
from litestar.datastructures import Cookie

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.domain.roles import Actor, Role
from edgewright.server.web import moments
from edgewright.server.web.addresses import page_address
from edgewright.server.web.navigation import NAVIGATION
from edgewright.server.web.words import Tone, word

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
HTML = "text/html"  # the framework adds the charset
# Nothing is loaded from elsewhere and nothing within a page is run: scripts and styles are files of ours.
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
# Set by a page's own refresh, which replaces what is shown and takes no notice away.
LIVE_HEADER = "x-edgewright-live"
_NOTICE = "__Host-notice"
_NOTICE_LENGTH = 1_000
_NOTICE_SECONDS = 60
# What addresses are made of (RFC 3986), escapes included.
_IN_ADDRESSES = "%/?#[]@!$&'()*+,;=:"
_THEMES = frozenset({"light", "dark"})


class Notice(msgspec.Struct, frozen=True):
    """What the next page says once: that something was done, or why not."""

    text: str
    tone: Tone = Tone.GOOD


def page(
    request: ServerRequest,
    template: str,
    values: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """Return the page that `template` makes of `values`.

    Each also gets `actor`, `csrf`, `now` and `path`; `may(role)`, whether the actor may do that;
    `here(name=value)`, this page's own address with some of its query changed (None takes one away);
    and `ui`, the macros of `parts.html`. What a form is answered with has the address of the page that the
    form stands on: there it is found again, by links and by its own refresh.
    """
    notice = None if LIVE_HEADER in request.headers else _read_notice(request.cookies.get(_NOTICE))
    actor: Actor | None = request.scope.get("actor")  # type: ignore[assignment]
    path = request.url.path if request.method == "GET" else page_address(request.app, request.url.path)
    common = {
        "actor": actor,
        "csrf": request.scope.get("csrf", ""),
        "now": context_of(request).clock(),
        "path": path,
        "may": lambda role: actor is not None and actor.role.covers(Role(role)),
        "here": _here(path, request.url.query),
        **(values or {}),
    }
    common["ui"] = ENVIRONMENT.get_template("parts.html").make_module(common)
    text = ENVIRONMENT.get_template(template).render(
        {
            **common,
            "navigation": NAVIGATION,
            "seen": request.scope.get("seen", context_of(request).changes.number),
            "notice": notice,
            "theme": theme if (theme := request.cookies.get("theme", "")) in _THEMES else "",
        }
    )
    return Response(
        content=text,
        status_code=status,
        media_type=HTML,
        headers={**SECURITY_HEADERS, **(headers or {})},
        cookies=[] if notice is None else [_notice_cookie("", seconds=0)],
    )


def see_other(url: str, notice: str = "", tone: Tone = Tone.GOOD) -> Response[None]:
    """Return the answer after a change: go to `url`, where `notice` is shown once.

    What no address can have is escaped, as names in it may come from whoever asked.
    """
    cookies = []
    if notice:
        told = Notice(notice[:_NOTICE_LENGTH], tone)
        value = base64.urlsafe_b64encode(msgspec.json.encode(told)).rstrip(b"=").decode()
        cookies = [_notice_cookie(value, seconds=_NOTICE_SECONDS)]
    headers = {"location": quote(url, safe=_IN_ADDRESSES), "cache-control": "no-store"}
    return Response(content=None, status_code=303, headers=headers, cookies=cookies)


def _notice_cookie(value: str, *, seconds: int) -> Cookie:
    return Cookie(
        key=_NOTICE, value=value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax"
    )


def _read_notice(value: str | None) -> Notice | None:
    """Return the notice in a cookie; what is no notice of ours is none."""
    if not value:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), type=Notice)
    except (msgspec.DecodeError, binascii.Error, UnicodeError, ValueError):
        return None


def _here(path: str, query: str) -> Any:
    """Return what changes this page's query: `here(state="failed", after=None)`."""
    present = parse_qsl(query, keep_blank_values=True)
    address = quote(path)

    def here(**changes: Any) -> str:
        kept = [(name, value) for name, value in present if name not in changes]
        added = [(name, str(value)) for name, value in changes.items() if value is not None]
        changed = urlencode(kept + added)
        return f"{address}?{changed}" if changed else address

    return here


def _figure(count: int) -> str:
    """Return a number with its thousands apart, by a space that is narrow and does not break."""
    return f"{count:,}".replace(",", "\u202f")


@cache
def _static(name: str) -> str:
    """Return the address of a file of `static`, which changes when the file does."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["iso"] = moments.iso
    made.filters["exact"] = moments.exact
    made.filters["relative"] = moments.relative
    made.filters["figure"] = _figure
    made.globals["word"] = word
    made.globals["static"] = _static
    return made


ENVIRONMENT = _environment()
