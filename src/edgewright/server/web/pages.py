"""Renders pages: one environment of templates, and what every page needs beside its own values."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from litestar import Response

from edgewright.server.context import ServerRequest, context_of

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
HTML = "text/html; charset=utf-8"
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


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["iso"] = _iso
    return made


def page(
    request: ServerRequest,
    template: str,
    values: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[str]:
    """Return the page that `template` makes of `values`; each also gets `actor`, `csrf`, `now` and `path`."""
    text = ENVIRONMENT.get_template(template).render(
        {
            "actor": request.scope.get("actor"),
            "csrf": request.scope.get("csrf", ""),
            "now": context_of(request).clock(),
            "path": request.url.path,
            **(values or {}),
        }
    )
    return Response(
        content=text, status_code=status, media_type=HTML, headers={**SECURITY_HEADERS, **(headers or {})}
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


ENVIRONMENT = _environment()
