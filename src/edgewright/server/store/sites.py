"""What sites report: the last report of each client, and the audit gathered from all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.site import AuditReport
from edgewright.server.store.rows import all_of, among, one_of
from edgewright.server.store.tables import site_audit, sites


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSummary:
    """What lists need of a client's last report; `policy` and `holds` are JSON as reported."""

    client_id: str
    policy: str
    is_clock_trusted: bool
    holds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRecord:
    """A client's last report as it was received."""

    client_id: str
    received: datetime
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAction:
    """One thing a person did on site."""

    number: int
    at: datetime
    who: str
    via: str
    what: str
    reason: str


async def get(connection: AsyncConnection, client_id: str) -> SiteRecord | None:
    """Return the last report of a client."""
    query = select(sites.c.client_id, sites.c.received, sites.c.document)
    return await one_of(connection, SiteRecord, query.where(sites.c.client_id == client_id))


async def summaries(connection: AsyncConnection, client_id: str | None = None) -> dict[str, SiteSummary]:
    """Return what lists need of every client's last report, or of one's, by client id."""
    query = select(sites.c.client_id, sites.c.policy, sites.c.is_clock_trusted, sites.c.holds)
    if client_id is not None:
        query = query.where(sites.c.client_id == client_id)
    return {found.client_id: found for found in await all_of(connection, SiteSummary, query)}


async def of_clients(connection: AsyncConnection, client_ids: Sequence[str] | None) -> dict[str, SiteSummary]:
    """Return the same of these clients, or of all (None)."""
    query = select(sites.c.client_id, sites.c.policy, sites.c.is_clock_trusted, sites.c.holds)
    found = await all_of(connection, SiteSummary, among(query, sites.c.client_id, client_ids))
    return {one.client_id: one for one in found}


async def put(
    connection: AsyncConnection, summary: SiteSummary, document: bytes, *, received: datetime
) -> None:
    """Keep a report in place of the client's last one."""
    values = {
        "received": received,
        "document": document,
        "policy": summary.policy,
        "is_clock_trusted": summary.is_clock_trusted,
        "holds": summary.holds,
    }
    updated = await connection.execute(
        sites.update().where(sites.c.client_id == summary.client_id).values(**values)
    )
    if updated.rowcount == 0:
        await connection.execute(sites.insert().values(client_id=summary.client_id, **values))


async def add_actions(
    connection: AsyncConnection, client_id: str, entries: Sequence[AuditReport], *, keep: int
) -> None:
    """Append those entries that are not here yet; the oldest beyond `keep` are forgotten.

    An entry is known by its number and its time: a device that lost its memory may count anew.
    """
    of_client = site_audit.c.client_id == client_id
    numbers = [entry.number for entry in entries]
    rows = await connection.execute(
        select(site_audit.c.number, site_audit.c.at).where(of_client, site_audit.c.number.in_(numbers))
    )
    known = {(row.number, row.at) for row in rows}
    added = {(entry.number, entry.at): entry for entry in entries if (entry.number, entry.at) not in known}
    if not added:
        return
    await connection.execute(
        site_audit.insert(),
        [
            {
                "client_id": client_id,
                "number": entry.number,
                "at": entry.at,
                "who": entry.who,
                "via": entry.via,
                "what": entry.what,
                "reason": entry.reason,
            }
            for entry in sorted(added.values(), key=lambda entry: entry.number)
        ],
    )
    oldest_kept = select(site_audit.c.id).where(of_client).order_by(site_audit.c.id.desc()).offset(keep)
    await connection.execute(
        delete(site_audit).where(of_client, site_audit.c.id <= oldest_kept.limit(1).scalar_subquery())
    )


async def actions(connection: AsyncConnection, client_id: str, *, limit: int) -> list[SiteAction]:
    """Return the newest things done on a client's site, the newest first."""
    columns = [site_audit.c[name] for name in ("number", "at", "who", "via", "what", "reason")]
    query = select(*columns).where(site_audit.c.client_id == client_id)
    return await all_of(connection, SiteAction, query.order_by(site_audit.c.id.desc()).limit(limit))
