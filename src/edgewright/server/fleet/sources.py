"""Sources of packages: adding, changing and removing them, and settling what becomes of what they offer."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.packages import Package
from edgewright.server.domain.sources import Kind, SourceSpec, Standing
from edgewright.server.errors import ConflictError, NotFoundError
from edgewright.server.fleet import catalogue
from edgewright.server.store import audit, sources
from edgewright.server.store.database import announce
from edgewright.server.store.sources import ListingRecord, SourceRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What is on offer is not as it should be; `problems` are path and message each."""

    problems: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """What is on offer needs nobody's attention, and why."""

    reason: str


Outcome = Package | Refused | Ignored


async def source_called(connection: AsyncConnection, name: str) -> SourceRecord:
    """Return one source; raises `NotFoundError`."""
    record = await sources.named(connection, name)
    if record is None:
        raise NotFoundError(f"no source {name} is known")
    return record


def spec_of(record: SourceRecord) -> SourceSpec:
    """Return a source as a person described it."""
    return SourceSpec(
        name=record.name,
        kind=Kind(record.kind),
        location=record.location,
        repositories=record.patterns,
        every_minutes=record.every_minutes,
        plain_http=record.plain_http,
        ca=record.ca,
        prune=record.prune,
    )


async def add_source(
    connection: AsyncConnection,
    spec: SourceSpec,
    *,
    username: str | None,
    secret: str | None,
    actor: str,
    now: datetime,
) -> SourceRecord:
    """Keep a new source, checked before; `secret` names the file that holds its credentials.

    Raises `ConflictError` for a name that is taken.
    """
    if await sources.named(connection, spec.name) is not None:
        raise ConflictError(f"there is a source {spec.name} already; change that, or choose another name")
    record = SourceRecord(**_columns(spec), username=username, secret=secret, created=now, changed=now)
    number = await sources.add(connection, record)
    await _note(connection, "add source", spec, actor=actor, now=now, after=_told(spec, username, secret))
    return replace(record, id=number)


async def change_source(
    connection: AsyncConnection,
    name: str,
    spec: SourceSpec,
    *,
    username: str | None,
    secret: str | None,
    actor: str,
    now: datetime,
) -> SourceRecord:
    """Replace what is known of a source. What it had on offer is forgotten if it is another place now."""
    before = await source_called(connection, name)
    if spec.name != name and await sources.named(connection, spec.name) is not None:
        raise ConflictError(f"there is a source {spec.name} already; choose another name")
    record = replace(before, **_columns(spec), username=username, secret=secret, changed=now)
    if (before.kind, before.location) != (record.kind, record.location):
        places = [one.place for one in await sources.listings_of(connection, before.id)]
        await sources.forget_listings(connection, before.id, places)
        record = replace(record, began=None, ended=None, problem=None)
    await sources.save(connection, record)
    await _note(
        connection,
        "change source",
        spec,
        actor=actor,
        now=now,
        before=_told(spec_of(before), before.username, before.secret),
        after=_told(spec, username, secret),
    )
    return record


async def remove_source(connection: AsyncConnection, name: str, *, actor: str, now: datetime) -> SourceRecord:
    """Forget a source; the packages that came from it stay."""
    record = await source_called(connection, name)
    await sources.remove(connection, record.id)
    await _note(
        connection,
        "remove source",
        spec_of(record),
        actor=actor,
        now=now,
        before=_told(spec_of(record), record.username, record.secret),
    )
    return record


async def settle(
    connection: AsyncConnection,
    source: SourceRecord,
    place: str,
    *,
    where: str,
    upstream: str,
    outcome: Outcome,
    now: datetime,
) -> Standing:
    """Keep what was found at a place of a source, and return what became of it.

    `where` tells people the place, `upstream` is the digest the source gives it. Content that differs from
    what the catalogue has under the same version is told and never taken.
    """
    before = await sources.listing(connection, source.id, place)
    state, problems = await _judge(connection, source, where, outcome, now)
    application, version = _identity(outcome, before)
    text = json.dumps(problems)
    is_news = before is None or before.state != state or before.problems != text
    await sources.put_listing(
        connection,
        ListingRecord(
            source_id=source.id,
            place=place,
            state=state,
            upstream=upstream,
            application_id=application,
            version=version,
            problems=text,
            first_seen=now if before is None else before.first_seen,
            last_seen=now,
            since=now if before is None or is_news else before.since,
        ),
    )
    announce(connection, "sources")
    return state


async def finish_look(
    connection: AsyncConnection,
    source: SourceRecord,
    *,
    same: Sequence[str],
    gone: Collection[str],
    problem: str | None,
    now: datetime,
) -> int:
    """End looking through a source: note what is still on offer as it was, and what is not any more.

    What was imported from a place that is gone is marked and stays, unless the source says to remove what
    nobody uses. What was wrong with others that are gone is over. Returns how many versions were removed.
    """
    await sources.seen(connection, source.id, same, now=now)
    known = {one.place: one for one in await sources.listings_of(connection, source.id)}
    lost = [known[place] for place in gone if place in known]
    marked = [one.place for one in lost if _may_be_imported(one) and one.standing is not Standing.GONE]
    over = [one.place for one in lost if not _may_be_imported(one)]
    await sources.set_state(connection, source.id, marked, Standing.GONE, now=now)
    await sources.forget_listings(connection, source.id, over)
    removed = 0
    if source.prune:
        removed = await _prune(connection, source, now=now)
    await sources.end_look(connection, source.id, now=now, problem=problem)
    if marked or over or removed:
        announce(connection, "packages")
    announce(connection, "sources", f"source:{source.name}")
    return removed


async def note_look(connection: AsyncConnection, source: SourceRecord, *, actor: str, now: datetime) -> None:
    """Write down who asked to look through a source."""
    await audit.note(
        connection, now=now, actor=actor, action="look through source", subject=f"source {source.name}"
    )
    announce(connection, "sources", f"source:{source.name}")


async def take_again(
    connection: AsyncConnection, name: str, place: str, *, actor: str, now: datetime
) -> SourceRecord:
    """Let what a person removed be imported again when its source is next looked through."""
    source = await source_called(connection, name)
    found = await sources.listing(connection, source.id, place)
    if found is None:
        raise NotFoundError(f"source {name} has nothing at {place}")
    if found.standing is not Standing.DECLINED:
        raise ConflictError(f"{place} was not removed by a person; it is {found.state}")
    await sources.forget_listings(connection, source.id, [place])
    await audit.note(
        connection, now=now, actor=actor, action="take package again", subject=f"source {name}", place=place
    )
    announce(connection, "sources", f"source:{name}")
    return source


async def _prune(connection: AsyncConnection, source: SourceRecord, *, now: datetime) -> int:
    """Remove versions that are gone from this source, that no other offers and that nobody uses."""
    removed = 0
    for one in await sources.listings_of(connection, source.id, states=[Standing.GONE]):
        application, version = one.application_id, one.version
        if application is None or version is None:
            continue
        if not await catalogue.is_there(connection, application, version):
            await sources.forget_listings(connection, source.id, [one.place])
            continue
        offers = await sources.listings_of_packages(connection, application, version)
        if any(offer.standing is Standing.IMPORTED for offer in offers):
            continue
        if not (await catalogue.users_of(connection, application, version)).is_empty:
            continue
        await catalogue.remove_package(
            connection, application, version, actor=f"source {source.name}", now=now
        )
        removed += 1
    return removed


async def _judge(
    connection: AsyncConnection, source: SourceRecord, where: str, outcome: Outcome, now: datetime
) -> tuple[Standing, list[tuple[str, str]]]:
    match outcome:
        case Refused(problems=problems):
            return Standing.BAD, list(problems)
        case Ignored(reason=reason):
            return Standing.IGNORED, [("$", reason)]
        case Package():
            try:
                await catalogue.add_package(
                    connection, outcome, source=where, actor=f"source {source.name}", now=now
                )
            except ConflictError as error:
                advice = "; or remove the version from the catalogue and look again, to take this one"
                return Standing.CHANGED, [("$.metadata.version", f"{error}{advice}")]
            return Standing.IMPORTED, []


def _may_be_imported(listing: ListingRecord) -> bool:
    """Whether the catalogue may have a version from this place, whatever is there now."""
    return listing.application_id is not None and listing.standing is not Standing.DECLINED


def _identity(outcome: Outcome, before: ListingRecord | None) -> tuple[str | None, str | None]:
    """Return which application and version a place holds, also while what it holds is bad."""
    if isinstance(outcome, Package):
        return outcome.description.id, outcome.description.metadata.version
    if before is None or isinstance(outcome, Ignored):
        return None, None
    return before.application_id, before.version


async def _note(
    connection: AsyncConnection,
    action: str,
    spec: SourceSpec,
    *,
    actor: str,
    now: datetime,
    **details: object,
) -> None:
    await audit.note(
        connection, now=now, actor=actor, action=action, subject=f"source {spec.name}", **details
    )
    announce(connection, "sources", f"source:{spec.name}")


def _told(spec: SourceSpec, username: str | None, secret: str | None) -> dict[str, object]:
    """Return what the audit says of a source: all but its credentials."""
    return {
        "kind": spec.kind,
        "location": spec.location,
        "repositories": list(spec.repositories),
        "every_minutes": spec.every_minutes,
        "plain_http": spec.plain_http,
        "own_authority": spec.ca is not None,
        "credentials": "none" if secret is None else username or "token",
        "prune": spec.prune,
    }


def _columns(spec: SourceSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "kind": spec.kind.value,
        "location": spec.location,
        "repositories": json.dumps(list(spec.repositories)),
        "every_minutes": spec.every_minutes,
        "plain_http": spec.plain_http,
        "ca": spec.ca,
        "prune": spec.prune,
    }
