"""What lists show of every device, kept in memory, so that a fleet of ten thousand is a list like any other.

One server owns a data directory, so every change comes through its own `Database`, which tells here which
devices a committed transaction changed; they are read anew before anybody is shown them. What changes with
the clock or with a poll, the contact and the device's word, is worked out when it is asked for, and only
for devices heard of since, or whose word may have changed by itself (`contact.stays`).
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.calendar import Interval
from edgewright.server.domain.contact import Announced, Contact, ContactState, contact, stays
from edgewright.server.domain.device_state import DeviceState, Word, device_state, last_said
from edgewright.server.domain.truth import Truth
from edgewright.server.fleet.labels import labels_of
from edgewright.server.fleet.sites import announced_by, holds_of
from edgewright.server.fleet.truths import part_of
from edgewright.server.store import clients, deployments, desired, devices, sites
from edgewright.server.store.clients import Client
from edgewright.server.store.database import EVERYBODY, Database
from edgewright.server.store.deployments import DeploymentRecord, StatusRecord
from edgewright.server.store.devices import Device
from edgewright.server.store.sites import SiteSummary
from edgewright.server.store.timeline import ContactChange

# More changed devices than this are not named one by one: everything is read anew.
MOST_NAMED = 400
NOBODY: Final[Mapping[str, datetime]] = MappingProxyType({})
# How long who watches the whole fleet may be left with older times of last contact.
CONTACTS_EVERY = timedelta(seconds=15)
_WORTH_NOTING = frozenset({Contact.IN_CONTACT, Contact.PLANNED_SILENCE, Contact.SILENT})
_DEVICE_TOPIC = "device:"
_NUMBER = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One deployment of a device, as lists need it."""

    deployment_id: str
    position: int
    name: str
    application: str
    version: str
    truth: Truth
    assignment_id: int | None = None


@dataclass(slots=True, kw_only=True)
class Row:
    """One client: what the database says of it, and how it stands, as of the last `Overview.rows`.

    `versions` are application and version of all that runs. `said` is made of the last reports alone;
    `found` and `state` are what is true until `until`, and `told` is what those who watch were told of last.
    `noted` is the contact that was written down last.
    """

    client: Client
    labels: Mapping[str, str]
    device_ids: Sequence[str]
    manifest_version: int
    running: Sequence[Running]
    versions: frozenset[tuple[str, str]]
    waiting: int
    announced: Announced
    said: DeviceState
    text: str
    order: tuple[object, ...]
    last: datetime | None = None
    cut: datetime | None = None
    found: ContactState | None = None
    state: DeviceState = field(default_factory=lambda: last_said(()))
    told: tuple[Word, datetime | None] | None = None
    noted: str | None = None
    looked: float = inf
    until: float = -inf

    @property
    def client_id(self) -> str:
        """The client's id."""
        return self.client.client_id

    @property
    def is_believed(self) -> bool:
        """Whether what the device said last is how it stands."""
        return self.state.said is self.state.word

    def look(
        self,
        last: datetime | None,
        now: float,
        deaf: Sequence[Interval],
        cut: datetime | None = None,
    ) -> None:
        """Bring `found` and `state` up to `now`."""
        if last is self.last and cut is self.cut and self.looked <= now < self.until:
            return
        retired = None if self.client.retired is None else self.client.retired.timestamp()
        if self.client.is_accepted:
            heard = None if last is None else last.timestamp()
            broke = None if cut is None else cut.timestamp()
            self.found = contact(heard, self.announced, now, deaf=deaf, cut=broke)
            self.until = stays(self.found, heard, self.announced, now, cut=broke)
        else:
            self.found, self.until = None, inf
        self.state = device_state(self.found, self.said, retired=retired)
        self.last, self.cut, self.looked = last, cut, now


class Overview:
    """All rows, in the natural order of their names."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[str, Row] = {}
        self._changed: set[str] = {EVERYBODY}
        self._untold: datetime | None = None
        self._reading = asyncio.Lock()
        database.when_touched(self._note)
        database.when_changed(self._note_topics)

    async def rows(
        self,
        contacts: Mapping[str, datetime],
        now: datetime,
        deaf: Sequence[Interval],
        cut: Mapping[str, datetime] = NOBODY,
    ) -> list[Row]:
        """Return every row as of `now`; `contacts`, `deaf` and `cut` are as in `Heard`."""
        await self.refresh()
        moment = now.timestamp()
        rows = list(self._rows.values())
        for row in rows:
            client_id = row.client.client_id
            last = contacts.get(client_id, row.client.last_contact)
            row.look(last, moment, deaf, cut.get(client_id))
        return rows

    def news(self, now: datetime) -> set[str]:
        """Return the topics of what is different since this was asked last, as of the last `rows`.

        `contact:<client id>` is told whenever a device was heard of, `contacts` at once when a device's word
        is another one, else from time to time: a list of a whole fleet need not follow every poll.
        """
        topics: set[str] = set()
        for row in self._rows.values():
            present = row.state.word, row.last
            if row.told is not None and row.told != present:
                topics.add(f"contact:{row.client_id}")
                self._untold = self._untold or now
                if row.told[0] is not present[0]:
                    self._untold = now - CONTACTS_EVERY
            row.told = present
        if self._untold is not None and now - self._untold >= CONTACTS_EVERY:
            topics.add("contacts")
            self._untold = None
        return topics

    def contact_changes(self) -> list[ContactChange]:
        """Return whose contact is another one than `noted`, as of the last `rows`, and from when on.

        That a device is about to speak, as after every start of this server, is nothing to look back at.
        """
        changed: list[ContactChange] = []
        for row in self._rows.values():
            if row.found is not None and row.found.word in _WORTH_NOTING and row.found.word != row.noted:
                since = row.last if row.found.word is Contact.IN_CONTACT else _moment(row.found.since)
                at = since or datetime.fromtimestamp(row.looked, UTC)
                changed.append(ContactChange(client_id=row.client_id, at=at, word=row.found.word))
        return changed

    def note_contacts(self, words: Mapping[str, str]) -> None:
        """Remember which contact of each client (by id) was written down last."""
        for client_id, word in words.items():
            if client_id in self._rows:
                self._rows[client_id].noted = word

    async def refresh(self) -> None:
        """Read what changed since the last time."""
        async with self._reading:
            if not self._changed:
                return
            changed, self._changed = self._changed, set()
            are_all = EVERYBODY in changed or len(changed) > MOST_NAMED
            try:
                async with self._database.reading() as connection:
                    fresh = await _read(connection, None if are_all else sorted(changed))
            except BaseException:
                self._changed |= changed
                raise
            gone = (set(self._rows) if are_all else changed) - fresh.keys()
            for client_id, row in fresh.items():
                if client_id in self._rows:
                    known = self._rows[client_id]
                    row.told, row.noted = known.told, known.noted
            is_same = fresh.keys() <= self._rows.keys()
            for client_id in gone:
                self._rows.pop(client_id, None)
            self._rows.update(fresh)
            if not is_same:
                self._rows = dict(sorted(self._rows.items(), key=lambda item: item[1].order))

    def _note(self, client_ids: Collection[str]) -> None:
        """Note whom a commit touched; a policy suggested to EVERYBODY changes no row."""
        self._changed |= set(client_ids) - {EVERYBODY}

    def _note_topics(self, topics: Collection[str]) -> None:
        self._changed |= {
            topic.removeprefix(_DEVICE_TOPIC) for topic in topics if topic.startswith(_DEVICE_TOPIC)
        }


async def read_row(connection: AsyncConnection, client_id: str) -> Row:
    """Return the row of one client that exists, as this transaction sees it."""
    return (await _read(connection, [client_id]))[client_id]


async def _read(connection: AsyncConnection, client_ids: Sequence[str] | None) -> dict[str, Row]:
    """Return the rows of these clients, or of all; those that do not exist are left out."""
    known = await clients.of_ids(connection, client_ids)
    reported = _by_client(await devices.of_clients(connection, client_ids))
    wanted = _by_client(await deployments.of_clients(connection, client_ids))
    statuses = await deployments.last_statuses_of_clients(connection, client_ids)
    versions = await desired.versions(connection, client_ids)
    told = await sites.of_clients(connection, client_ids)
    return {
        client.client_id: _row(
            client,
            reported=reported.get(client.client_id, ()),
            wanted=wanted.get(client.client_id, ()),
            statuses=statuses,
            site=told.get(client.client_id),
            version=versions.get(client.client_id, 0),
        )
        for client in known
    }


def _row(
    client: Client,
    *,
    reported: Sequence[Device],
    wanted: Sequence[DeploymentRecord],
    statuses: Mapping[str, StatusRecord],
    site: SiteSummary | None,
    version: int,
) -> Row:
    holds = holds_of(site)
    parts = [(record, part_of(record, statuses.get(record.id), holds)) for record in wanted]
    labels = labels_of(client, reported)
    device_ids = [device.device_id for device in reported]
    words = (client.client_id, *device_ids, *(f"{key}={value}" for key, value in labels.items()))
    return Row(
        client=client,
        labels=labels,
        device_ids=device_ids,
        manifest_version=version,
        running=[
            Running(
                deployment_id=record.id,
                position=record.position,
                name=record.name,
                application=record.application_id,
                version=record.version,
                truth=part.truth,
                assignment_id=record.assignment_id,
            )
            for record, part in parts
            if part.truth is not Truth.REMOVED
        ],
        versions=frozenset(
            (record.application_id, record.version)
            for record, part in parts
            if part.truth is not Truth.REMOVED
        ),
        waiting=sum(part.truth is Truth.WAITING_FOR_APPROVAL for _, part in parts),
        announced=announced_by(site),
        said=last_said([part for _, part in parts]),
        text="\n".join(words).casefold(),
        order=natural(client.client_id),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def natural(name: str) -> tuple[object, ...]:
    """Return by what names are put in the order people expect: `line-2` before `line-10`."""
    pieces = _NUMBER.split(name.casefold())
    return tuple(_size(piece) if index % 2 else piece for index, piece in enumerate(pieces)), name


def _size(digits: str) -> tuple[int, str, str]:
    """Return by what digits are put in the order of their numbers, however many they are."""
    plain = digits.lstrip("0")
    return len(plain), plain, digits


class _OfClient(Protocol):
    @property
    def client_id(self) -> str: ...


_Found = TypeVar("_Found", bound=_OfClient)


def _by_client(found: Iterable[_Found]) -> dict[str, list[_Found]]:
    grouped: dict[str, list[_Found]] = {}
    for one in found:
        grouped.setdefault(one.client_id, []).append(one)
    return grouped
