"""Answers, each with the headers that forbid a browser to run, load or send what is not from here."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from edgewright.agent.page import session
from edgewright.agent.page.layout import asset, trouble
from edgewright.agent.page.wire import Response

Header = tuple[str, str]

SECURITY_HEADERS: Final[tuple[Header, ...]] = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_NOT_KEPT: Final[Header] = ("Cache-Control", "no-store")
_KEPT: Final[Header] = ("Cache-Control", "public, max-age=31536000, immutable")
_HTML: Final[Header] = ("Content-Type", "text/html; charset=utf-8")
_TEXT: Final[Header] = ("Content-Type", "text/plain; charset=utf-8")
_ASSETS: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def html(body: bytes, status: HTTPStatus = HTTPStatus.OK, *headers: Header) -> Response:
    """Return a page."""
    return Response(status=status, headers=(_HTML, _NOT_KEPT, *SECURITY_HEADERS, *headers), body=body)


def text(body: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return a word for the script."""
    return Response(status=status, headers=(_TEXT, _NOT_KEPT, *SECURITY_HEADERS), body=body.encode())


def failed(title: str, message: str, status: HTTPStatus) -> Response:
    """Return a page that says what is wrong."""
    return html(trouble(title, message), status)


def redirect(place: str, *headers: Header) -> Response:
    """Send the browser on to `place`."""
    own = (("Location", place), _NOT_KEPT)
    return Response(status=HTTPStatus.SEE_OTHER, headers=(*own, *SECURITY_HEADERS, *headers))


def asset_called(name: str) -> Response:
    """Return one of the files that come with the page; their addresses change with their content."""
    kind = _ASSETS.get(name)
    if kind is None:
        return failed("Not found", "There is no such file.", HTTPStatus.NOT_FOUND)
    return Response(headers=(("Content-Type", kind), _KEPT, *SECURITY_HEADERS), body=asset(name))


def cookie(value: str, seconds: int, *, secure: bool = False) -> Header:
    """Return the header that sets the session: for no script, and sent along from no other site."""
    limits = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
    return "Set-Cookie", f"{session.COOKIE}={value}; {limits}"
