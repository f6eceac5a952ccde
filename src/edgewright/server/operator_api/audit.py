"""`/audit`: who changed what, with which means, before and after; as a list and to take away."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from litestar import get
from litestar.response import Stream
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.operator_api.account_documents import AuditEntry
from edgewright.server.operator_api.account_views import show_entry
from edgewright.server.operator_api.paging import (
    DEFAULT_LIMIT,
    Page,
    check_limit,
    make_cursor,
    read_cursor,
)
from edgewright.server.operator_api.queries import After, Limit, Moment, Search, read_moment
from edgewright.server.operator_api.requests import moment_of
from edgewright.server.store import audit_log
from edgewright.server.store.audit_log import Entry, Filters
from edgewright.server.store.database import Database

_COLUMNS = ("id", "at", "actor", "via", "address", "action", "subject", "details", "before", "after")
# What a spreadsheet takes for a formula: device and package names come from outside.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@get("/audit", summary="Show who changed what")
async def list_audit(
    request: ServerRequest,
    *,
    actor: str = "",
    action: str = "",
    subject: str = "",
    via: str = "",
    address: str = "",
    since: Moment = None,
    until: Moment = None,
    q: Search = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[AuditEntry]:
    """Return changes, the newest first; `q` is looked for everywhere, all other filters are exact.

    `since` is the first moment that counts, `until` the first one that is too late.
    """
    filters = filters_of(
        actor=actor,
        action=action,
        subject=subject,
        via=via,
        address=address,
        since=read_moment(since, "since"),
        until=read_moment(until, "until"),
        words=q or "",
    )
    async with context_of(request).database.reading() as connection:
        return await audit_page(connection, filters, limit=limit, after=after)


@get("/audit/export", summary="Take the audit away", media_type="application/jsonl", also=("text/csv",))
async def export_audit(
    request: ServerRequest,
    *,
    format: Literal["csv", "jsonl"] = "jsonl",
    actor: str = "",
    action: str = "",
    subject: str = "",
    via: str = "",
    address: str = "",
    since: Moment = None,
    until: Moment = None,
    q: Search = None,
) -> Stream:
    """Return all changes that the filters let through, as CSV or as one JSON document a line."""
    filters = filters_of(
        actor=actor,
        action=action,
        subject=subject,
        via=via,
        address=address,
        since=read_moment(since, "since"),
        until=read_moment(until, "until"),
        words=q or "",
    )
    context = context_of(request)
    name = f"audit-{context.clock():%Y%m%dT%H%M%SZ}.{format}"
    lines = _csv(context.database, filters) if format == "csv" else _json_lines(context.database, filters)
    media_type = "text/csv" if format == "csv" else "application/jsonl"
    headers = {
        "content-disposition": f'attachment; filename="{name}"',
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    return _Export(lines, media_type=media_type, headers=headers)


class _Export(Stream):
    """A stream of the type it was made with; the framework would say that of the route in any case."""

    def to_asgi_response(self, *arguments: Any, **more: Any) -> Any:
        return super().to_asgi_response(*arguments, **{**more, "media_type": self.media_type})


def filters_of(
    *,
    actor: str,
    action: str,
    subject: str,
    via: str,
    address: str,
    since: datetime | None,
    until: datetime | None,
    words: str,
) -> Filters:
    """Return the filters of a request; raises `InvalidError` for a time without a zone."""
    return Filters(
        actor=actor,
        action=action,
        subject=subject,
        via=via,
        address=address,
        since=moment_of(since, "since"),
        until=moment_of(until, "until"),
        words=words,
    )


async def audit_page(
    connection: AsyncConnection, filters: Filters, *, limit: int, after: str | None
) -> Page[AuditEntry]:
    """Return one page of the audit."""
    check_limit(limit)
    found = await audit_log.entries(connection, filters, limit=limit + 1, before_id=_number(after))
    total = await audit_log.count(connection, filters)
    items = [show_entry(entry) for entry in found[:limit]]
    return Page(items=items, next=make_cursor(str(items[-1].id)) if len(found) > limit else None, total=total)


def _number(after: str | None) -> int | None:
    if after is None:
        return None
    key = read_cursor(after)
    if not (key.isascii() and key.isdigit() and len(key) < 19):
        fault = Fault(field="after", message="not a cursor of this list; leave it out for the first page")
        raise InvalidError("there is no such page", fault)
    return int(key)


async def _json_lines(database: Database, filters: Filters) -> AsyncIterator[bytes]:
    async for piece in audit_log.all_entries(database, filters):
        yield b"".join(msgspec.json.encode(show_entry(entry)) + b"\n" for entry in piece)


async def _csv(database: Database, filters: Filters) -> AsyncIterator[bytes]:
    yield _rows([_COLUMNS])
    async for piece in audit_log.all_entries(database, filters):
        yield _rows([_row(entry) for entry in piece])


def _row(entry: Entry) -> list[str]:
    at = entry.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    texts = (
        entry.actor,
        entry.via,
        entry.address,
        entry.action,
        entry.subject,
        entry.details,
        entry.before or "",
        entry.after or "",
    )
    return [str(entry.id), at, *(f"'{text}" if text.startswith(_FORMULA) else text for text in texts)]


def _rows(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


HANDLERS = [list_audit, export_audit]
