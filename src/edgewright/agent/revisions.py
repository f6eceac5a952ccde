"""A revision of a deployment on this device: the stage it is in, and which stage may follow which.

| stage      | wire word  | killed here, the next round …                                     |
|------------|------------|-------------------------------------------------------------------|
| accepted   | pending    | starts with it                                                    |
| fetching   | pending    | fetches again; what was complete is kept                          |
| ready      | pending    | makes sure that all it needs is on the device, and applies it     |
| applying   | installing | the same; what runs already is left as it is                      |
| verifying  | installing | the same                                                          |
| installed  | installed  | observes, and repairs what does not run                           |
| failed     | failed     | leaves it alone; one that was installed before is repaired        |
| superseded | installed  | (another revision of the deployment has begun; kept, not reported)|
| removing   | removing   | removes the rest                                                  |
| removed    | removed    | (reported and forgotten in one step, never found on disk)         |

Every stage may be left for `removing`, because the desired state may change at any time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    SUPERSEDED = "superseded"
    REMOVING = "removing"
    REMOVED = "removed"


S = Stage
FOLLOWS: Final[Mapping[Stage, frozenset[Stage]]] = {
    S.ACCEPTED: frozenset({S.FETCHING, S.FAILED, S.SUPERSEDED, S.REMOVING}),
    S.FETCHING: frozenset({S.READY, S.FAILED, S.SUPERSEDED, S.REMOVING}),
    S.READY: frozenset({S.FETCHING, S.APPLYING, S.FAILED, S.SUPERSEDED, S.REMOVING}),
    S.APPLYING: frozenset({S.FETCHING, S.VERIFYING, S.INSTALLED, S.FAILED, S.SUPERSEDED, S.REMOVING}),
    S.VERIFYING: frozenset({S.FETCHING, S.APPLYING, S.INSTALLED, S.FAILED, S.SUPERSEDED, S.REMOVING}),
    S.INSTALLED: frozenset({S.APPLYING, S.FAILED, S.SUPERSEDED, S.REMOVING}),
    S.FAILED: frozenset({S.FETCHING, S.APPLYING, S.SUPERSEDED, S.REMOVING}),
    S.SUPERSEDED: frozenset({S.ACCEPTED, S.REMOVING}),
    S.REMOVING: frozenset({S.ACCEPTED, S.REMOVED}),
    S.REMOVED: frozenset(),
}
"""Which stage may follow which; every stage may also be recorded again."""
WORDS: Final[Mapping[Stage, State]] = {
    S.ACCEPTED: State.PENDING,
    S.FETCHING: State.PENDING,
    S.READY: State.PENDING,
    S.APPLYING: State.INSTALLING,
    S.VERIFYING: State.INSTALLING,
    S.INSTALLED: State.INSTALLED,
    S.FAILED: State.FAILED,
    S.SUPERSEDED: State.INSTALLED,
    S.REMOVING: State.REMOVING,
    S.REMOVED: State.REMOVED,
}
WAITING: Final = frozenset({S.ACCEPTED, S.FETCHING, S.READY})
"""Stages before anything that runs is touched."""
HELD: Final = frozenset({S.APPLYING, S.VERIFYING, S.INSTALLED, S.FAILED})
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
class Revision:
    """One revision of one deployment, as it is remembered.

    `digest` is that of its document, `adopted` the manifest version to report (spec: ST-21), `name` the
    document's `metadata.name`, `components` all of its components in order. `verified` says that it once
    came up whole; `attempts` counts tries in a row that did not get it further.
    """

    deployment_id: str
    digest: str
    stage: Stage
    adopted: int
    name: str
    components: tuple[Progress, ...]
    failure: Failure | None = None
    verified: bool = False
    attempts: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the revision."""
        return self.deployment_id, self.digest

    def at(self, stage: Stage, state: State | None = None) -> Self:
        """Return it in `stage` without a failure, all components in `state` (default: the stage's word)."""
        word = state or WORDS[stage]
        components = tuple(Progress(name=each.name, state=word) for each in self.components)
        return replace(self, stage=stage, components=components, failure=None)

    def with_component(self, name: str, state: State, failure: Failure | None = None) -> Self:
        """Return it with one component in another state."""
        changed = Progress(name=name, state=state, failure=failure)
        components = tuple(changed if each.name == name else each for each in self.components)
        return replace(self, components=components)
