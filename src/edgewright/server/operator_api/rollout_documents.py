"""The JSON of rollouts."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from edgewright.server.domain.rollouts import Obstacle, RolloutState, StepState
from edgewright.server.operator_api.documents import Given, Shown


class RolloutEntry(Shown, frozen=True, kw_only=True):
    """One rollout: the way of an assignment to one of its revisions.

    `batch` is the present one of `batches`, from 1. `counts` says how many devices are in which state.
    `message` is why it was paused, stopped or ended. `serial` grows with whatever a person does to it.
    """

    id: str
    assignment: str
    revision: int
    state: RolloutState
    batch: int
    batches: int
    message: str
    created: datetime
    by: str
    ended: datetime | None
    serial: int
    devices: int
    counts: dict[str, int]


class BatchEntry(Shown, frozen=True, kw_only=True):
    """One batch: how many devices of it are in which state. Number 0 are those that cannot have it."""

    number: int
    counts: dict[str, int]


class RolloutDetail(RolloutEntry, frozen=True, kw_only=True):
    """One rollout with all there is to say about the whole of it.

    `standing` is one sentence on where it stands, and why it stands still if it does. `strategy` has what
    differs from the defaults. `soaks_until` is until when the present batch has to stay well, if it has to.
    """

    standing: str
    strategy: dict[str, Any]
    progress: list[BatchEntry]
    soaks_until: datetime | None


class StepEntry(Shown, frozen=True, kw_only=True):
    """One device of a rollout.

    `begun` is when it was given what it is to have, `since` when its obstacle, or the lack of one, began,
    `ended` when it got to its state. `accepted` says that a person went on in spite of its failure;
    `attempt` is how often it was to be tried again.
    """

    device: str
    batch: int
    state: StepState
    obstacle: Obstacle | None
    message: str
    deployment: str | None
    begun: datetime | None
    since: datetime | None
    ended: datetime | None
    accepted: bool
    attempt: int


class RolloutEventEntry(Shown, frozen=True, kw_only=True):
    """One thing that happened: a word for programs, a sentence for people, and who did it."""

    number: int
    at: datetime
    by: str
    what: str
    message: str


class RolloutAction(Given, frozen=True, kw_only=True):
    """Why something is done to a rollout; the reason is kept with it."""

    reason: Annotated[str, msgspec.Meta(max_length=500, examples=["the shift changes"])] = ""


class RolloutDevicesAction(RolloutAction, frozen=True, kw_only=True):
    """The same for single devices, by client id."""

    devices: Annotated[list[str], msgspec.Meta(min_length=1, max_length=10_000, examples=[["edge-01"]])]


class RolloutRetry(RolloutAction, frozen=True, kw_only=True):
    """The same for devices that failed; without any named, for all of them."""

    devices: Annotated[list[str] | None, msgspec.Meta(examples=[["edge-01"]])] = None
