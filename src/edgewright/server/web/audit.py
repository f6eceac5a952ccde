"""`/audit`: who changed what, before and after, filtered and to take away."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from litestar import Response, get

from edgewright.server.context import ServerRequest, context_of
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.operator_api.audit import audit_page
from edgewright.server.store import audit_log
from edgewright.server.store.audit_log import Filters
from edgewright.server.web.pages import page

_SHOWN = 50
_EXACT = ("actor", "action", "subject", "via", "address")


@get("/audit")
async def show_audit(request: ServerRequest, after: str | None = None) -> Response[Any]:
    """Show the newest changes that the filters let through."""
    typed = {name: request.query_params.get(name, "").strip() for name in (*_EXACT, "since", "until", "q")}
    faults: tuple[Fault, ...] = ()
    try:
        filters = _filters(typed)
    except InvalidError as error:
        filters, faults = Filters(), error.faults
    async with context_of(request).database.reading() as connection:
        found = await audit_page(connection, filters, limit=_SHOWN, after=None if faults else after)
        actions = await audit_log.actions(connection)
    days = {"since": filters.since, "until": filters.until}
    exact = {name: day.isoformat() for name, day in days.items() if day is not None}
    query = {name: value for name, value in typed.items() if value} | exact
    values = {
        "entries": found,
        "changes": {entry.id: changes(entry.before, entry.after) for entry in found.items},
        "actions": actions,
        "typed": typed,
        "faults": faults,
        "is_filtered": any(typed.values()),
        "export": "" if faults else urlencode(query),
    }
    return page(request, "audit.html", values, status=422 if faults else 200)


def changes(before: Any, after: Any) -> list[tuple[str, str | None, str | None]]:
    """Return what is different member by member: its name, what it was and what it is (None: not there)."""
    if not isinstance(before, dict) and not isinstance(after, dict):
        return [] if before is None and after is None else [("", _text(before), _text(after))]
    old = before if isinstance(before, dict) else {}
    new = after if isinstance(after, dict) else {}
    names = [*old, *(name for name in new if name not in old)]
    return [
        (name, _text(old[name]) if name in old else None, _text(new[name]) if name in new else None)
        for name in names
        if old.get(name) != new.get(name)
    ]


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _filters(typed: dict[str, str]) -> Filters:
    since, until = _day(typed, "since"), _day(typed, "until", later=timedelta(days=1))
    exact = {name: typed[name] for name in _EXACT}
    return Filters(
        since=since,
        until=until,
        words=typed["q"],
        **exact,
    )


def _day(typed: dict[str, str], name: str, *, later: timedelta = timedelta(0)) -> datetime | None:
    if not typed[name]:
        return None
    try:
        day = datetime.fromisoformat(typed[name]).date()
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + later
    except (ValueError, OverflowError) as error:
        fault = Fault(field=name, message="expected a day, as in 2027-01-31")
        raise InvalidError("there is no such list", fault) from error


HANDLERS = [show_audit]
