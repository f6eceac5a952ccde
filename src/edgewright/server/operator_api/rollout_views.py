"""Shows rollouts as the operator API's JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from edgewright.server.domain.rollouts import RolloutState, StepState, soaks_until, standing
from edgewright.server.operator_api.rollout_documents import (
    BatchEntry,
    RolloutDetail,
    RolloutEntry,
    RolloutEventEntry,
    StepEntry,
)
from edgewright.server.store.rollouts import EventRecord, RolloutRecord, StepRecord


def rollout_entry(record: RolloutRecord, counts: Mapping[StepState, int]) -> RolloutEntry:
    """Show one rollout in a list."""
    return RolloutEntry(
        id=record.id,
        assignment=record.assignment,
        revision=record.revision,
        state=RolloutState(record.state),
        batch=record.batch,
        batches=record.batches,
        message=record.message,
        created=record.created,
        by=record.actor,
        ended=record.ended,
        serial=record.serial,
        devices=sum(counts.values()),
        counts=_plain(counts),
    )


def rollout_detail(record: RolloutRecord, steps: Sequence[StepRecord], now: datetime) -> RolloutDetail:
    """Show one rollout with its progress."""
    counts = Counter(one.step.state for one in steps)
    by_batch: dict[int, Counter[StepState]] = {}
    for one in steps:
        by_batch.setdefault(one.step.batch, Counter())[one.step.state] += 1
    value = record.value
    plain = [one.step for one in steps]
    soaks = soaks_until(value, plain) if value.state is RolloutState.RUNNING else None
    entry = rollout_entry(record, counts)
    return RolloutDetail(
        **{name: getattr(entry, name) for name in entry.__struct_fields__},
        standing=standing(value, plain, now),
        strategy=value.strategy.to_plain(),
        progress=[
            BatchEntry(number=number, counts=_plain(found)) for number, found in sorted(by_batch.items())
        ],
        soaks_until=soaks if soaks is not None and soaks > now else None,
    )


def step_entry(record: StepRecord) -> StepEntry:
    """Show one device of a rollout."""
    step = record.step
    return StepEntry(
        device=step.client_id,
        batch=step.batch,
        state=step.state,
        obstacle=step.obstacle or None,
        message=step.message,
        deployment=record.deployment_id,
        begun=step.begun,
        since=step.since,
        ended=step.ended,
        accepted=step.is_accepted,
        attempt=record.attempt,
    )


def event_entry(record: EventRecord) -> RolloutEventEntry:
    """Show one thing that happened."""
    return RolloutEventEntry(
        number=record.id, at=record.at, by=record.actor, what=record.what, message=record.message
    )


def _plain(counts: Mapping[StepState, int]) -> dict[str, int]:
    """Return the counts that are not 0, in the order of the states."""
    return {state.value: counts[state] for state in StepState if counts.get(state)}
