"""The site's word: which policy is in force here, from its own file and from what the fleet manager suggests.

    look        read the file and what is remembered; decide, and change nothing
    take_in     the same in a round: remember what is good, tell once what is not

The file is read anew in every round. One that is broken, empty or out of reach leaves in force what was good
before, and where nothing ever was, no change may begin. A file that was changed a moment ago may not be
written to its end: it counts when it has been left alone for a little, and until then no change may begin
where there was none before. Only a file that is not there at its
usual place is no policy of the site's own; one that was named and is not there is a mistake.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgewright.agent.paths import DEFAULT_POLICY
from edgewright.agent.state.store import Store
from edgewright.protocol.calendar import Interval, Span, intervals
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.policy import (
    HORIZON,
    LOCAL,
    MAX_BYTES,
    SUGGESTED,
    Layer,
    Policy,
    layered,
    parse_layer,
)

GOOD: Final = "policy.local"
"""The meta name of the file's last good content; empty where there was no file."""
SUGGESTION: Final = "policy.suggested"
"""The meta name of what the fleet manager suggests (`link.py` keeps it)."""
PROBLEM: Final = "policy.problem"
"""The meta name of what is wrong with either, as told last."""
POLICY_EVENT: Final = "policy"
ENVIRONMENT: Final = "EDGEWRIGHT_POLICY"
SETTLED_SECONDS: Final = 2.0
"""How long a file has to be left alone before it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is in force; `origins` tell of every member (`polling.rate`) who said it.

    `problem` is what is wrong with the file or the suggestion, whether or not something else is in force
    instead. `is_known` is False where the site has a policy that could never be read: then nobody knows what
    may be done, and no change may begin. `again` is in how many seconds the file has to be looked at again.
    """

    policy: Policy
    origins: Mapping[str, str]
    problem: str = ""
    is_known: bool = True
    again: float | None = None

    @property
    def unknown(self) -> str:
        """Why there is no policy to go by; empty where there is one."""
        return "" if self.is_known else self.problem

    def windows(self, now: float) -> Sequence[Interval] | None:
        """Return when changes may begin from `now` to the horizon; None is always."""
        return _ahead(self.policy.apply.windows, now)

    def prefetch(self, now: float) -> Sequence[Interval] | None:
        """Return when what a held change needs may be fetched; None is always."""
        match self.policy.apply.prefetch:
            case "always":
                return None
            case "in-window":
                return self.windows(now)
            case spans:
                return intervals(spans, now, now + HORIZON)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """What reading the site's file gave: `text` is good, or there is a `problem`; without both, no file.

    `is_fresh`: it was changed a moment ago, and may be half of what is being written.
    """

    text: str = ""
    problem: str = ""
    is_fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """A site, and the content of the file it is made of: None where none ever was good."""

    site: Site
    good: str | None
    notes: tuple[str, ...] = ()


def look(store: Store, path: str | None = None, *, now: float | None = None) -> Site:
    """Return what is in force, and write nothing. `path` as in `read_local`; `now` is unix seconds."""
    return _judge(store, read_local(path, now=now)).site


def take_in(store: Store, path: str | None = None, *, now: float) -> Site:
    """Return what is in force; remember it, and tell what is new in the events, once."""
    judged = _judge(store, read_local(path, now=now))
    with store.transaction():
        for note in judged.notes:
            store.record(POLICY_EVENT, note)
        if judged.good is not None:
            store.set_meta(GOOD, judged.good)
        if judged.site.again is None:
            _tell(store, judged.site.problem)
    return judged.site


def read_local(path: str | None = None, *, now: float | None = None) -> LocalFile:
    """Read the site's file: `path`, else the one that $EDGEWRIGHT_POLICY names, else the usual one."""
    named = path or os.environ.get(ENVIRONMENT)
    source = named or DEFAULT_POLICY
    try:
        data, changed = _content(source)
    except FileNotFoundError:
        return LocalFile(problem=f"{source}: no such file") if named else LocalFile()
    except OSError as error:
        return LocalFile(problem=f"{source}: {error.strerror or error}")
    is_fresh = now is not None and abs(now - changed) < SETTLED_SECONDS
    try:
        if not data.strip():  # what a power cut leaves of a file, and never what a person writes
            raise empty_policy(source)
        parse_layer(data, source=source)
    except DocumentError as error:
        return LocalFile(problem=str(error), is_fresh=is_fresh)
    return LocalFile(text=data.decode("utf-8-sig"), is_fresh=is_fresh)


def empty_policy(source: str) -> DocumentError:
    """Return what is wrong with an empty file."""
    return DocumentError("is empty; to have no policy, delete it or say so in a comment", source=source)


def _content(source: str) -> tuple[bytes, float]:
    """Return the file's bytes, no more than tell that it is too large, and when it was changed."""
    with open(source, "rb", opener=_without_waiting) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "is no regular file")
        return file.read(MAX_BYTES + 1), found.st_mtime


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe in its place would stop a round for ever


def _judge(store: Store, local: LocalFile) -> _Judged:
    """Decide what counts of what was found and what is remembered."""
    before = store.meta(GOOD)
    if local.is_fresh and (local.problem or local.text != before):
        # Where no file ruled, what this one is about to forbid must not begin in its first moments either.
        held = _in_force(store, before or None)
        problem = "" if before else "the policy file has just been written; it counts in a moment"
        return _Judged(site=replace(held, problem=problem, again=SETTLED_SECONDS), good=before)
    if local.problem:
        held = _in_force(store, before)
        both = "; ".join(each for each in (local.problem, held.problem) if each)
        return _Judged(site=replace(held, problem=both), good=before)
    return _Judged(site=_in_force(store, local.text), good=local.text, notes=_news(before, local.text))


def _in_force(store: Store, local: str | None) -> Site:
    """Return what holds with `local` as the site's own words: empty for none, None where they are lost."""
    suggested, problem = _suggested(store)
    try:
        own = None if local is None else _layer(LOCAL, local)
    except DocumentError as error:  # what was good once needs time zones that this machine has lost, say
        own, problem = None, str(error)
    held = layered([] if own is None else [*suggested, *own])
    return Site(policy=held.policy, origins=held.origins, problem=problem, is_known=own is not None)


def _suggested(store: Store) -> tuple[list[Layer], str]:
    """Return the layers below the site's own, and what is wrong with one that is left out."""
    try:
        return _layer(SUGGESTED, store.meta(SUGGESTION) or ""), ""
    except DocumentError as error:
        return [], f"{error} (ignored)"


def _layer(origin: str, text: str) -> list[Layer]:
    if not text:
        return []
    names = {LOCAL: "the policy file", SUGGESTED: "the fleet manager's suggested policy"}
    return [Layer(origin=origin, plain=parse_layer(text.encode(), source=names[origin]))]


def _news(before: str | None, text: str) -> tuple[str, ...]:
    if before == text or (before is None and not text):
        return ()
    if not text:
        return ("the policy file is gone: this site has no policy of its own now",)
    return ("the policy file was taken up" if not before else "the policy file was changed and taken up",)


def _tell(store: Store, problem: str) -> None:
    """Write down what is wrong, when that is new."""
    told = store.meta(PROBLEM) or ""
    if problem == told:
        return
    store.record(POLICY_EVENT, problem or "the policy is in order again")
    store.set_meta(PROBLEM, problem)


def _ahead(spans: Sequence[Span], now: float) -> Sequence[Interval] | None:
    return intervals(spans, now, now + HORIZON) if spans else None
