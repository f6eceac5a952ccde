"""A revision of a deployment on this device: the stage it is in, and which stage may follow which.

`STAGES` is the one table of all stages: the code, the tests and docs/reference/stages.md read it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Self

from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.status import State


class Stage(StrEnum):
    """How far a revision has come; the values are those in the database."""

    ACCEPTED = "accepted"
    FETCHING = "fetching"
    READY = "ready"
    APPLYING = "applying"
    VERIFYING = "verifying"
    INSTALLED = "installed"
    FAILED = "failed"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"
    SUPERSEDED = "superseded"
    REMOVING = "removing"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class StageFacts:
    """What is true of a revision in one stage.

    `word` is reported (spec: ST-8), `follows` are the stages that may come next; a stage may also be
    recorded again. `after_kill` completes the sentence "killed here, the next round …".
    """

    word: State
    follows: frozenset[Stage]
    after_kill: str


S = Stage
_OUT: Final = frozenset({S.SUPERSEDED, S.REMOVING})
"""The manifest may change at any time: every revision can give way to another, or be removed."""

STAGES: Final[Mapping[Stage, StageFacts]] = {
    S.ACCEPTED: StageFacts(State.PENDING, _OUT | {S.FETCHING, S.FAILED}, "starts with it"),
    S.FETCHING: StageFacts(
        State.PENDING, _OUT | {S.READY, S.FAILED}, "fetches again; what was complete is kept"
    ),
    S.READY: StageFacts(
        State.PENDING,
        _OUT | {S.FETCHING, S.APPLYING, S.FAILED},
        "makes sure that all it needs is on the device, and applies it",
    ),
    S.APPLYING: StageFacts(
        State.INSTALLING,
        _OUT | {S.VERIFYING, S.INSTALLED, S.FAILED},
        "applies it again; what runs already is left as it is",
    ),
    S.VERIFYING: StageFacts(
        State.INSTALLING,
        _OUT | {S.APPLYING, S.INSTALLED, S.FAILED},
        "applies it again; what runs already is left as it is",
    ),
    S.INSTALLED: StageFacts(
        State.INSTALLED,
        _OUT | {S.APPLYING, S.FAILED},
        "repairs what does not run, and removes what the revision no longer has",
    ),
    S.FAILED: StageFacts(
        State.FAILED,
        _OUT | {S.ACCEPTED, S.FETCHING, S.APPLYING, S.INSTALLED, S.ROLLING_BACK, S.ROLLED_BACK},
        "brings back the last good revision; without one it leaves everything as it is",
    ),
    S.ROLLING_BACK: StageFacts(
        State.FAILED,
        _OUT | {S.ACCEPTED, S.FETCHING, S.FAILED, S.ROLLED_BACK},
        "applies the last good revision again from what is on the device",
    ),
    S.ROLLED_BACK: StageFacts(
        State.FAILED,
        _OUT | {S.ACCEPTED, S.FETCHING, S.FAILED, S.ROLLING_BACK},
        "leaves it alone, and repairs the revision that runs in its place",
    ),
    S.SUPERSEDED: StageFacts(
        State.INSTALLED,
        frozenset({S.ACCEPTED, S.APPLYING, S.INSTALLED, S.REMOVING}),
        "leaves it alone; it is kept to fall back to, and not reported",
    ),
    S.REMOVING: StageFacts(
        State.REMOVING, frozenset({S.ACCEPTED, S.SUPERSEDED, S.REMOVED}), "removes the rest"
    ),
    S.REMOVED: StageFacts(
        State.REMOVED, frozenset(), "knows nothing of it: it is reported and forgotten in one step"
    ),
}
FOLLOWS: Final = {stage: facts.follows for stage, facts in STAGES.items()}
WORDS: Final = {stage: facts.word for stage, facts in STAGES.items()}

WAITING: Final = frozenset({S.ACCEPTED, S.FETCHING, S.READY})
"""Stages before anything that runs is touched."""
BEGUN: Final = frozenset({S.APPLYING, S.VERIFYING})
"""Stages in which what runs is being changed."""
GIVEN_UP: Final = frozenset({S.FAILED, S.ROLLING_BACK, S.ROLLED_BACK})
"""Stages of a revision that is not tried again by itself."""
HELD: Final = BEGUN | GIVEN_UP | {S.INSTALLED}
"""Stages of a revision that this device has begun to apply (spec: ST-21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong: `code` stays the same over releases, `message` is for people."""

    code: str
    message: str

    @classmethod
    def of(cls, error: EdgewrightError) -> Self:
        """Return the failure that `error` stands for."""
        return cls(code=error.code, message=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One component of a revision and how it stands."""

    name: str
    state: State
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """The revision that runs in place of one that failed.

    `versions` tells in words what it is; `untouched` says that it never stopped, `trouble` why it does not
    run yet, or does no more.
    """

    digest: str
    versions: str
    untouched: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision of one deployment, as it is remembered.

    `digest` is that of its document, `adopted` the newest manifest version that names it, `name` the
    document's `metadata.name`, `components` all of its components in order. `verified` is 0 until it once
    came up whole; of two revisions that did, the one with the greater number did so later. `begun` is 0 until
    it was begun, and tells in the same way which one was begun, or brought back, later. `attempts` counts
    tries in a row that did not get it further, `changed` is when it was written last (unix seconds).
    `leaving` are components of the deployment that it does not have and that go once it runs, `stand_in` is
    what runs in its place.
    """

    deployment_id: str
    digest: str
    stage: Stage
    adopted: int
    name: str
    components: tuple[Progress, ...]
    failure: Failure | None = None
    verified: int = 0
    begun: int = 0
    attempts: int = 0
    leaving: tuple[str, ...] = ()
    stand_in: StandIn | None = None
    changed: float = field(default=0.0, compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the revision."""
        return self.deployment_id, self.digest

    def at(self, stage: Stage, state: State | None = None) -> Self:
        """Return it in `stage` without a failure, all components in `state` (default: the stage's word)."""
        word = state or WORDS[stage]
        components = tuple(Progress(name=each.name, state=word) for each in self.components)
        return replace(self, stage=stage, components=components, failure=None, stand_in=None)

    def with_component(self, name: str, state: State, failure: Failure | None = None) -> Self:
        """Return it with one component in another state."""
        changed = Progress(name=name, state=state, failure=failure)
        components = tuple(changed if each.name == name else each for each in self.components)
        return replace(self, components=components)

    def behind(self, stand_in: StandIn) -> Self:
        """Return it with `stand_in` in its place: of its own components none runs any more (spec: ST-8)."""
        components = tuple(
            each if each.state is State.FAILED else Progress(name=each.name, state=State.PENDING)
            for each in self.components
        )
        return replace(self, components=components, stand_in=stand_in)


def reported(revisions: Sequence[Revision]) -> list[Revision]:
    """Return the revision of each deployment that is reported: the wanted one, not what runs in its place."""
    found: dict[str, Revision] = {}
    for each in revisions:
        known = found.get(each.deployment_id)
        if each.stage is not S.SUPERSEDED and (known is None or known.verified >= each.verified):
            found[each.deployment_id] = each
    return list(found.values())


def adopted_version(revision: Revision, siblings: Iterable[Revision]) -> int:
    """Return the manifest version to report `revision` with: that of what is held (spec: ST-21, ST-22).

    `siblings` are the deployment's revisions, itself among them. What was begun is held, whatever became of
    it. Until then that is what was begun last, and on a first install there is no such thing (spec: ST-24,
    OP-20).
    """
    if revision.stage not in WAITING:
        return revision.adopted
    held = max((each for each in siblings if each.begun), key=lambda each: each.begun, default=revision)
    return held.adopted


def last_good(revisions: Sequence[Revision]) -> Revision | None:
    """Return the revision of one deployment that came up whole last, None when none ever did."""
    good = [each for each in revisions if each.verified]
    return max(good, key=lambda each: each.verified, default=None)
