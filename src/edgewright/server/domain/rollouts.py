"""A rollout and its steps as values: the way of an assignment from one revision to the next, by devices.

`rollout_progress` says what may happen next, `rollout_actions` what a person can do about it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from edgewright.protocol.durations import Duration
from edgewright.server.domain.contact import Contact
from edgewright.server.domain.strategies import Strategy
from edgewright.server.domain.truth import Truth


class RolloutState(StrEnum):
    """Where a rollout stands; only a person lets a `paused` or `stopped` one go on."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({RolloutState.DONE, RolloutState.SUPERSEDED, RolloutState.CANCELLED})


class StepState(StrEnum):
    """Where one device stands on the way.

    `late` is one that is not waited for any longer, and watched still; `skipped` one that a person left out
    or that cannot have it; `cancelled` one whose turn never came, or
    that another revision was meant for before it was done.
    """

    WAITING = "waiting"
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    LATE = "late"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


# What may follow on what. A person brings a failed one back to `waiting`, and leaves any out.
FOLLOWS: Final[Mapping[StepState, frozenset[StepState]]] = {
    StepState.WAITING: frozenset(
        {StepState.BEGUN, StepState.LATE, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED}
    ),
    StepState.BEGUN: frozenset(
        {StepState.DONE, StepState.FAILED, StepState.LATE, StepState.SKIPPED, StepState.CANCELLED}
    ),
    StepState.DONE: frozenset({StepState.FAILED}),
    StepState.FAILED: frozenset({StepState.DONE, StepState.WAITING, StepState.SKIPPED}),
    StepState.LATE: frozenset(
        {StepState.BEGUN, StepState.DONE, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED}
    ),
    StepState.SKIPPED: frozenset(),
    StepState.CANCELLED: frozenset(),
}


# Whose word counts even after the rollout has ended, once the device was given it.
WATCHED: Final = frozenset({StepState.BEGUN, StepState.LATE})


class Obstacle(StrEnum):
    """What keeps a device from it that is no fault of the application."""

    NONE = ""
    SILENT = "silent"
    PLANNED_SILENCE = "planned-silence"
    APPROVAL = "approval"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A rollout at one moment; `batch` is the present one, from 1 to `batches`."""

    state: RolloutState
    strategy: Strategy
    batch: int
    batches: int
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One device of a rollout.

    `begun` is when it was given what it is to have, `since` when its obstacle, or the lack of one, began,
    `ended` when it got to where it stands. `is_accepted` says that a person went on in spite of its failure.
    """

    client_id: str
    batch: int
    state: StepState = StepState.WAITING
    obstacle: Obstacle = Obstacle.NONE
    message: str = ""
    begun: datetime | None = None
    since: datetime | None = None
    ended: datetime | None = None
    is_accepted: bool = False

    @property
    def is_given(self) -> bool:
        """Whether its device has been told what to have."""
        return self.begun is not None

    @property
    def is_failure(self) -> bool:
        """Whether it failed and nobody has accepted that."""
        return self.state is StepState.FAILED and not self.is_accepted

    @property
    def is_open(self) -> bool:
        """Whether its batch is not over because of it."""
        is_back = self.state is StepState.LATE and not self.is_given and self.obstacle is Obstacle.NONE
        return is_back or self.state in {StepState.WAITING, StepState.BEGUN}

    @property
    def is_under_way(self) -> bool:
        """Whether its device may be disturbed by the change just now."""
        if self.state is StepState.LATE:
            return self.is_given and self.obstacle is Obstacle.NONE
        return self.state is StepState.BEGUN


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is known of a device now.

    `truth` is that of the deployment it was given, None if there is none. `contact` is None for a device
    that is not managed any more. `message` is what the device says.
    """

    contact: Contact | None
    truth: Truth | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something worth telling: a word for programs, and a sentence for people."""

    what: str
    message: str


def soaks_until(rollout: Rollout, steps: Iterable[Step]) -> datetime | None:
    """Return until when the present batch has to stay well, None without a soak or without anybody done."""
    if rollout.strategy.soak is None:
        return None
    ended = [
        step.ended
        for step in steps
        if step.batch == rollout.batch and step.state is StepState.DONE and step.ended is not None
    ]
    return after(max(ended), rollout.strategy.soak) if ended else None


def room(rollout: Rollout, steps: Iterable[Step]) -> int:
    """Return how many more devices the disruption budget lets begin.

    One that failed takes its place until it is well, but not one that was never given anything: it was
    absent too long, and nothing was disturbed there.
    """
    total = unwell = 0
    for step in steps:
        total += 1
        unwell += step.is_under_way or (step.is_failure and step.is_given)
    return rollout.strategy.budget(total) - unwell


def after(moment: datetime | None, length: Duration) -> datetime | None:
    """Return when that length of time after `moment` is over."""
    return None if moment is None else moment + timedelta(seconds=length.seconds)


# Words for people

WHY: Final[Mapping[Obstacle, str]] = {
    Obstacle.SILENT: "silent",
    Obstacle.PLANNED_SILENCE: "silent by its policy",
    Obstacle.APPROVAL: "waiting for approval on site",
    Obstacle.HELD: "held back on its site",
}
_COUNTED: Final[Mapping[StepState, str]] = {
    StepState.DONE: "done",
    StepState.FAILED: "failed",
    StepState.LATE: "late",
    StepState.BEGUN: "under way",
    StepState.WAITING: "waiting",
    StepState.SKIPPED: "left out",
    StepState.CANCELLED: "cancelled",
}


def counted(counts: Mapping[StepState, int]) -> str:
    """Return how many devices are in which state, for people."""
    words = [f"{counts[state]} {word}" for state, word in _COUNTED.items() if counts.get(state)]
    return ", ".join(words) or "no devices"


def sentence(beginning: str, more: str) -> str:
    """Return `beginning`, and `more` behind it if there is more."""
    return f"{beginning}: {more}" if more else beginning


def standing(rollout: Rollout, steps: Sequence[Step], now: datetime) -> str:
    """Return in one sentence where the rollout stands, and why it stands still if it does."""
    match rollout.state:
        case RolloutState.RUNNING:
            return _running(rollout, steps, now)
        case RolloutState.DONE:
            return sentence("Done", counted(Counter(step.state for step in steps)))
        case state:
            return sentence(state.capitalize(), rollout.message)


def _running(rollout: Rollout, steps: Sequence[Step], now: datetime) -> str:
    here = [step for step in steps if step.batch <= rollout.batch and step.is_open]
    where = f"Batch {rollout.batch} of {rollout.batches}"
    under_way = [step for step in here if step.state is StepState.BEGUN]
    silent = sum(not step.is_given and step.obstacle is Obstacle.SILENT for step in here)
    ready = len(here) - len(under_way) - silent
    if not here:
        return _between(rollout, steps, where, now)
    parts = [_waiting_for(under_way)] if under_way else []
    if silent:
        parts.append(f"{silent} whose turn it is {'is' if silent == 1 else 'are'} silent")
    if ready and room(rollout, steps) <= 0:
        failed = sum(step.is_failure for step in steps)
        also = f", and {failed} failed: retry or leave out those" if failed else ""
        budget = rollout.strategy.budget(len(steps))
        parts.append(
            f"{ready} more {'waits' if ready == 1 else 'wait'} for the disruption budget of {budget}{also}"
        )
    elif ready:
        parts.append(f"{ready} next")
    return sentence(where, "; ".join(parts))


def _between(rollout: Rollout, steps: Sequence[Step], where: str, now: datetime) -> str:
    ends = soaks_until(rollout, steps)
    if ends is None or ends <= now:
        return f"{where} is over"
    return f"{where} has to stay well for {rollout.strategy.soak}, until {ends:%Y-%m-%d %H:%M:%S} UTC"


def _waiting_for(under_way: Sequence[Step]) -> str:
    counts = Counter(step.obstacle for step in under_way)
    held = [f"{counts[one]} {why}" for one, why in WHY.items() if counts[one]]
    word = f"{len(under_way)} {'device is' if len(under_way) == 1 else 'devices are'} under way"
    return f"{word} ({', '.join(held)})" if held else word
