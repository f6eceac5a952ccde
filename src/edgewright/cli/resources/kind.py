"""What the commands have to know of a kind of things: where it is, how it is named, shown and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edgewright.cli.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator
    from edgewright.cli.resources.asking import Asked
    from edgewright.cli.resources.documents import Document

# A thing as the operator API shows it.
Entry = Mapping[str, Any]
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; `wide` ones are shown by `-o wide` only."""

    head: str
    text: Callable[[Entry, datetime], str]
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One request that brings about what a document says."""

    method: str
    path: str
    value: object
    seen: str | None = None
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What there is of what a document names: as the API shows it, its tag, and as a document."""

    entry: Entry
    tag: str | None
    document: Document


def standing_at(operator: Operator, path: str, document_of: Callable[[Entry], Document]) -> Standing | None:
    """Return what the API shows at `path`, None where nothing is there; other refusals are raised."""
    from edgewright.cli.operator import read

    try:
        answer, tag = operator.get_tagged(path)
    except RefusedError as error:
        if error.status != NOT_FOUND:
            raise
        return None
    entry: Entry = read(answer, dict)
    return Standing(entry=entry, tag=tag, document=document_of(entry))


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """How a kind is written to files and brought about from them.

    `present` looks for what a document names; `change` returns the request that makes it so, None where
    nothing has to change. It raises UsageError for what no request can bring about. `members` are those of
    `spec`, none where they are not told here. One that a document leaves out stays as it is, but for those in
    `absent`, which are empty then; with `whole` that is so for all of them. `preview` says what a document
    would do where that is more than the difference, `told` what to say of the answer to a change, and
    `follows` what to watch until a change has come to its end.
    """

    present: Callable[[Operator, Document], Standing | None]
    change: Callable[[Document, Standing | None], Change | None]
    members: frozenset[str]
    required: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    whole: bool = False
    preview: Callable[[Operator, Document], Sequence[str]] | None = None
    told: Callable[[object], Sequence[str]] = lambda _answer: ()
    follows: Callable[[Operator, Document], Asked | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of things.

    `path` is that of the list, `path_of` that of one by its key. `filters` are the query parameters of the
    list that `--where` takes, `selector` is the one that `-l` becomes. `ends` says in the past tense what
    `delete` does; None where there is nothing to delete. `search` is the query parameter that finds keys
    by what they have in them; `matches` says whether an entry goes by another name as well. `settled` says
    whether nothing more happens to a thing by itself, `failed` whether that was no good end. `more` describes
    what has to be asked for beside the thing. With `is_short` lists show too little of it for a document;
    without `is_alone` nothing but lists shows it.
    """

    name: str
    plural: str
    title: str
    path: str
    key: Callable[[Entry], str]
    path_of: Callable[[str], str]
    columns: tuple[Column, ...]
    empty: str
    describe: Callable[[Entry, datetime], None]
    document: Callable[[Entry], Document]
    filters: tuple[str, ...] = ()
    selector: str | None = None
    search: str | None = "q"
    ends: str | None = "deleted"
    declared: Declared | None = None
    settled: Callable[[Entry], bool] | None = None
    failed: Callable[[Entry], bool] | None = None
    matches: Callable[[Entry, str], bool] | None = None
    more: Callable[[Operator, Entry, datetime], None] | None = None
    is_short: bool = False
    is_alone: bool = True
    pick: Callable[[Sequence[str]], str] | None = None

    def find(self, operator: Operator, given: str, *, exactly: bool = False) -> Entry:
        """Return the one thing that `given` names: by its key, or how that begins; raises UsageError.

        Of several that go by that name it is the one that `pick` picks, unless it has to be told `exactly`.
        """
        entry, _ = self.find_tagged(operator, given, exactly=exactly)
        return entry

    def find_tagged(
        self, operator: Operator, given: str, *, exactly: bool = False
    ) -> tuple[Entry, str | None]:
        """Return the same with its entity tag, None where it has none."""
        if not self.is_alone:
            key = self.complete(operator, given, exactly=exactly)
            query = f"?{self.search}={quote(key, safe='')}" if self.search else ""
            return next(one for one in self.entries(operator, query) if self.key(one) == key), None
        try:
            return self._read(operator, given)
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise
        return self._read(operator, self.complete(operator, given, exactly=exactly))

    def complete(self, operator: Operator, given: str, *, exactly: bool = False) -> str:
        """Return the key that begins with `given`, or of the only thing that goes by that name."""
        query = f"?{self.search}={quote(given, safe='')}" if self.search else ""
        known = self.entries(operator, query)
        named = [self.key(one) for one in known if self._goes_by(one, given)]
        found = named or list(
            dict.fromkeys(self.key(one) for one in known if self.key(one).startswith(given))
        )
        if len(found) == 1 or given in found:
            return found[0]
        if named and self.pick is not None and not exactly:
            return self.pick(named)
        if found:
            told = ", ".join(sorted(found)[:10]) + (", ..." if len(found) > 10 else "")
            raise UsageError(f"'{given}' could be {len(found)} {self.plural}: {told}")
        raise UsageError(
            f"there is no {self.name} '{given}'; 'edgewright get {self.plural}' shows what there is"
        )

    def _goes_by(self, entry: Entry, given: str) -> bool:
        return self.key(entry) == given or (self.matches is not None and self.matches(entry, given))

    def entries(self, operator: Operator, query: str = "") -> list[Entry]:
        """Return all things of this kind that the query lets through, page by page."""
        from edgewright.cli.operator import every

        return every(operator, f"{self.path}{query}", dict[str, Any])

    def _read(self, operator: Operator, key: str) -> tuple[Entry, str | None]:
        from edgewright.cli.operator import read

        answer, tag = operator.get_tagged(self.path_of(key))
        return read(answer, dict[str, Any]), tag


def text_of(name: str) -> Callable[[Entry, datetime], str]:
    """Return what shows the member `name` as it is; "" where it is not there."""

    def show(entry: Entry, _now: datetime) -> str:
        return plain(entry.get(name))

    return show


def time_of(name: str, missing: str = "never") -> Callable[[Entry, datetime], str]:
    """Return what shows the moment in the member `name` as how long ago it was."""
    from edgewright.cli.output import ago

    def show(entry: Entry, now: datetime) -> str:
        found = entry.get(name)
        return missing if found is None else ago(str(found), now)

    return show


def plain(value: object) -> str:
    """Return a value as people write it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return ",".join(map(plain, value))
        case Mapping():
            return ",".join(f"{key}={plain(one)}" for key, one in value.items())
    return str(value)
