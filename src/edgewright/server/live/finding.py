"""Finding devices among all: filters, order and counts over the rows of the overview. Pure.

Pages and the operator API read the same query: `state=failed,silent&selector=site=berlin&sort=-heard`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeVar

from edgewright.server.domain.contact import Contact
from edgewright.server.domain.device_state import SEVERITY, Word
from edgewright.server.domain.labels import Selector
from edgewright.server.domain.truth import Truth
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.live.overview import Row
from edgewright.server.store.deployments import Filter

MAX_TEXT: Final = 200
EXPIRES_SOON_DAYS: Final = 30
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
_FAR_AHEAD: Final = datetime(9999, 1, 1, tzinfo=UTC)
Choice = TypeVar("Choice", bound=StrEnum)


class Sort(StrEnum):
    """In what order; with a `-` before it the other way round."""

    NAME = "name"
    STATE = "state"
    HEARD = "heard"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which devices, and in what order; what is empty lets every device through."""

    states: frozenset[Word] = frozenset()
    said: frozenset[Word] = frozenset()
    contacts: frozenset[Contact] = frozenset()
    selector: Selector = field(default_factory=lambda: Selector.parse(""))
    application: str = ""
    version: str = ""
    text: str = ""
    sort: Sort = Sort.NAME
    is_descending: bool = False

    @classmethod
    def parse(
        cls,
        *,
        state: str | None = None,
        said: str | None = None,
        contact: str | None = None,
        selector: str | None = None,
        application: str | None = None,
        version: str | None = None,
        q: str | None = None,
        sort: str | None = None,
    ) -> "Wanted":
        """Read a query; raises `InvalidError` naming the parameter and what it takes."""
        text = (q or "").strip()
        if len(text) > MAX_TEXT:
            raise _wrong("q", f"longer than {MAX_TEXT} characters")
        order = (sort or Sort.NAME).strip()
        return cls(
            states=_choices("state", state, Word),
            said=_choices("said", said, Word),
            contacts=_choices("contact", contact, Contact),
            selector=Selector.parse(selector or ""),
            application=(application or "").strip(),
            version=(version or "").strip(),
            text=text.casefold(),
            sort=_one("sort", order.removeprefix("-"), Sort),
            is_descending=order.startswith("-"),
        )

    def find(self, rows: Iterable[Row]) -> list[Row]:
        """Return those wanted, in the order wanted; `rows` come in that of their names."""
        found = [row for row in rows if self._lets_through(row)]
        match self.sort:
            case Sort.NAME if self.is_descending:
                found.reverse()
            case Sort.STATE:
                found.sort(key=lambda row: SEVERITY[row.state.word], reverse=self.is_descending)
            case Sort.HEARD:
                found.sort(key=lambda row: row.last or _LONG_AGO, reverse=self.is_descending)
            case Sort.CERTIFICATE:
                found.sort(key=lambda row: row.client.svid_expires or _FAR_AHEAD, reverse=self.is_descending)
        return found

    def _lets_through(self, row: Row) -> bool:
        return (
            (not self.states or row.state.word in self.states)
            and (not self.said or row.state.said in self.said)
            and (not self.contacts or (row.found is not None and row.found.word in self.contacts))
            and self._runs_what_is_wanted(row)
            and (not self.text or self.text in row.text)
            and (not self.selector.requirements or self.selector.matches(row.labels))
        )

    def _runs_what_is_wanted(self, row: Row) -> bool:
        if not (self.application or self.version):
            return True
        return any(
            self.application in ("", application) and self.version in ("", version)
            for application, version in row.versions
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many devices are how; `applications` count devices by application and version.

    `approvals` are those that wait on the sites of devices that are let in. `expiring` are accepted devices
    whose certificate ends within `EXPIRES_SOON_DAYS` or has ended.
    """

    total: int
    states: Counter[Word]
    said: Counter[Word]
    contacts: Counter[Contact]
    applications: dict[str, Counter[str]]
    approvals: int
    expiring: int


def count(rows: Sequence[Row], now: datetime) -> Counts:
    """Return the counts of these rows."""
    running: Counter[tuple[str, str]] = Counter()
    for row in rows:
        running.update(row.versions)
    applications: dict[str, Counter[str]] = {}
    for (name, version), number in sorted(running.items()):
        applications.setdefault(name, Counter())[version] = number
    return Counts(
        total=len(rows),
        states=Counter(row.state.word for row in rows),
        said=Counter(row.state.said for row in rows if row.state.said is not None),
        contacts=Counter(row.found.word for row in rows if row.found is not None),
        applications=applications,
        approvals=sum(row.waiting for row in rows if row.state.said is not None),
        expiring=sum(expires_soon(row, now) for row in rows),
    )


def deployments_in(rows: Iterable[Row], truth: Truth, wanted: Filter) -> list[tuple[int, str]]:
    """Return position and id of the deployments that stand so and that `wanted` lets through, by creation.

    Those that are gone are in no row.
    """
    text = None if wanted.text is None else wanted.text.casefold()
    return sorted(
        (one.position, one.deployment_id)
        for row in rows
        if wanted.client_id in (None, row.client_id)
        for one in row.running
        if one.truth is truth
        and wanted.assignment_id in (None, one.assignment_id)
        and wanted.application_id in (None, one.application)
        and wanted.version in (None, one.version)
        and (
            text is None
            or any(text in field.casefold() for field in (one.name, one.application, row.client_id))
        )
    )


def expires_soon(row: Row, now: datetime) -> bool:
    """Whether an accepted device's certificate needs somebody's attention."""
    ends = row.client.svid_expires
    return row.client.is_accepted and ends is not None and (ends - now).days < EXPIRES_SOON_DAYS


def _choices(field_name: str, text: str | None, kind: type[Choice]) -> frozenset[Choice]:
    words = [word.strip() for word in (text or "").split(",")]
    return frozenset(_one(field_name, word, kind) for word in words if word)


def _one(field_name: str, word: str, kind: type[Choice]) -> Choice:
    try:
        return kind(word)
    except ValueError as error:
        raise _wrong(field_name, f"'{word[:40]}' is none of {', '.join(kind)}") from error


def _wrong(field_name: str, message: str) -> InvalidError:
    return InvalidError("devices cannot be found like this", Fault(field=field_name, message=message))
