"""Shows sources of packages and what they have on offer."""

import json
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.catalogue.looking import Looks, due_at
from edgewright.server.domain.sources import TROUBLES, Kind, Standing
from edgewright.server.operator_api.source_documents import (
    Look,
    OfferEntry,
    PackageProblem,
    SourceEntry,
    SourceStatus,
)
from edgewright.server.store import sources
from edgewright.server.store.sources import ListingRecord, SourceRecord


async def source_entries(connection: AsyncConnection, looks: Looks, *, now: datetime) -> list[SourceEntry]:
    """Show all sources, by name."""
    counts = await sources.counts(connection)
    return [
        show_source(record, counts.get(record.id, {}), looks, now=now)
        for record in await sources.every(connection)
    ]


async def source_entry(
    connection: AsyncConnection, record: SourceRecord, looks: Looks, *, now: datetime
) -> SourceEntry:
    """Show one source."""
    counts = await sources.counts(connection)
    return show_source(record, counts.get(record.id, {}), looks, now=now)


def show_source(
    record: SourceRecord, counts: dict[Standing, int], looks: Looks, *, now: datetime
) -> SourceEntry:
    """Show one source with how much it has on offer."""
    kept = "none" if record.secret is None else "token" if record.username is None else "password"
    return SourceEntry(
        name=record.name,
        kind=Kind(record.kind),
        location=record.location,
        repositories=list(record.patterns),
        every_minutes=record.every_minutes,
        plain_http=record.plain_http,
        ca=record.ca,
        credentials=kept,
        username=record.username,
        prune=record.prune,
        created=record.created,
        changed=record.changed,
        status=_status(record, counts, looks, now),
        offers={state.value: counts[state] for state in Standing if state in counts},
    )


def show_offer(record: ListingRecord, source: str) -> OfferEntry:
    """Show one thing on offer."""
    return OfferEntry(
        source=source,
        place=record.place,
        state=record.standing,
        application=record.application_id,
        version=record.version,
        problems=[PackageProblem(path=path, message=text) for path, text in json.loads(record.problems)],
        first_seen=record.first_seen,
        last_seen=record.last_seen,
        since=record.since,
    )


async def trouble_entries(connection: AsyncConnection) -> list[OfferEntry]:
    """Show what a person should look at, of all sources."""
    names = {record.id: record.name for record in await sources.every(connection)}
    return [show_offer(one, names[one.source_id]) for one in await sources.troubles(connection)]


def _status(record: SourceRecord, counts: dict[Standing, int], looks: Looks, now: datetime) -> SourceStatus:
    progress = looks.progress(record.id)
    return SourceStatus(
        state=_state(record, counts, is_running=looks.is_going_on(record)),
        message=record.problem,
        began=record.began,
        ended=record.ended,
        next=due_at(record, now),
        done=None if progress is None else progress.done,
        total=None if progress is None else progress.total,
        new=None if progress is None else progress.new,
    )


def _state(record: SourceRecord, counts: dict[Standing, int], *, is_running: bool) -> Look:
    if is_running:
        return Look.RUNNING
    if record.began is None:
        return Look.NEVER
    if record.ended is None or record.ended < record.began:
        return Look.INTERRUPTED
    if record.problem is not None:
        return Look.FAILED
    return Look.PROBLEMS if any(counts.get(one) for one in TROUBLES) else Look.OK
