"""`/search`: things of all kinds by a part of their names, as a page or as you type."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from litestar import Response, get

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.store import search as store
from edgewright.server.web.pages import page

_MOST_AT_ONCE: Final = 6
_MOST_ON_PAGE: Final = 50
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One thing that was found."""

    title: str
    hint: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What was found of one kind; `total` may be more than there are hits."""

    title: str
    icon: str
    hits: tuple[Hit, ...]
    total: int


@get("/search")
async def search(request: ServerRequest, q: str = "") -> Response[Any]:
    """Show what was found; a script that asks gets only that."""
    text = q.strip()[:_LONGEST]
    is_part = "hx-request" in request.headers
    kinds = await _find(request, text, _MOST_AT_ONCE if is_part else _MOST_ON_PAGE) if text else ()
    template = "search_results.html" if is_part else "search.html"
    return page(request, template, {"q": text, "kinds": kinds, "is_part": is_part})


async def _find(request: ServerRequest, text: str, most: int) -> tuple[Kind, ...]:
    async with context_of(request).database.reading() as connection:
        devices = await store.devices(connection, text, most=most)
        applications = await store.applications(connection, text, most=most)
        assignments = await store.assignments_called(connection, text, most=most)
        deployments = await store.single_deployments(connection, text, most=most)
    found = (
        Kind(
            title="Devices",
            icon="server",
            hits=tuple(
                Hit(title=row.client_id, hint=_retired(row.state), href=f"/devices/{_quoted(row.client_id)}")
                for row in devices.rows
            ),
            total=devices.total,
        ),
        Kind(
            title="Packages",
            icon="package",
            hits=tuple(
                Hit(
                    title=row.name,
                    hint=f"{row.application_id}, {_versions(row.versions)}",
                    href=f"/packages/{_quoted(row.application_id)}",
                )
                for row in applications.rows
            ),
            total=applications.total,
        ),
        Kind(
            title="Assignments",
            icon="boxes",
            hits=tuple(
                Hit(title=row.name, hint=row.application_id, href=f"/assignments/{_quoted(row.name)}")
                for row in assignments.rows
            ),
            total=assignments.total,
        ),
        Kind(
            title="Deployments on one device",
            icon="boxes",
            hits=tuple(
                Hit(
                    title=f"{row.name} {row.version}",
                    hint=f"on {row.client_id}",
                    href=f"/deployments/{row.id}",
                )
                for row in deployments.rows
            ),
            total=deployments.total,
        ),
    )
    return tuple(kind for kind in found if kind.hits)


def _retired(state: str) -> str:
    return "" if state == "accepted" else state


def _versions(count: int) -> str:
    return "1 version" if count == 1 else f"{count} versions"


def _quoted(name: str) -> str:
    return quote(name, safe="")


HANDLERS = [search]
