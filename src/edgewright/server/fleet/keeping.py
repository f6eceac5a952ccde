"""Keeping assignments true while devices come, go and change their labels: which devices are brought along.

A device that comes after a rollout gets what was last rolled out to its end: never a revision that others
are still trying out. One that is part of the newest rollout is that rollout's to bring, and one that a person
left out there is left alone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.rollouts import ENDED, RolloutState, StepState
from edgewright.server.fleet.placing import Action, MisfitError, bring, plan_for
from edgewright.server.store import assignments, rollouts
from edgewright.server.store.assignments import AssignmentRecord
from edgewright.server.store.rollouts import StepRecord

SERVER: Final = "server"
# What a person, or the end of a rollout, left as it is; late ones the rollout still brings.
_LEFT: Final = frozenset({StepState.SKIPPED, StepState.CANCELLED, StepState.LATE})


async def out_of_step(
    connection: AsyncConnection, record: AssignmentRecord, client_ids: Sequence[str] | None = None
) -> tuple[int, list[str]]:
    """Return the revision that was last rolled out to its end, and which devices differ from it.

    They are those of `client_ids`, or of all, that came, went or changed since. 0 and nobody where no
    revision got so far.
    """
    known = await rollouts.of_assignment(connection, record.id)
    done = [one.revision for one in known if one.state == RolloutState.DONE]
    if not done or record.deleted is not None:
        return 0, []
    settled = max(done)
    newest = known[0]
    steps = {one.client_id: one for one in await rollouts.steps_of(connection, newest.id, client_ids)}
    is_whole = settled == record.revision and RolloutState(newest.state) in ENDED
    planned = await plan_for(connection, record, settled, client_ids)
    return settled, [
        one.client_id
        for one in planned
        if _is_to_be_brought(one.action, steps.get(one.client_id), is_whole=is_whole)
    ]


async def bring_along(
    connection: AsyncConnection,
    record: AssignmentRecord,
    revision: int,
    client_ids: Sequence[str],
    *,
    now: datetime,
) -> list[str]:
    """Bring these devices what the revision says; return those of them that could not have it after all.

    Nothing is done if the assignment changed since: its rollout sees to them.
    """
    present = await assignments.get(connection, record.id)
    if present != record:
        return []
    left = []
    for client_id in client_ids:
        try:
            await bring(connection, record, revision, client_id, actor=SERVER, now=now)
        except MisfitError:
            left.append(client_id)
    return left


def _is_to_be_brought(action: Action, step: StepRecord | None, *, is_whole: bool) -> bool:
    """Whether a device is brought along; `is_whole` if no newer revision is on its way or was given up."""
    if action in {Action.UNCHANGED, Action.MISFIT}:
        return False
    if not is_whole:
        return step is None and action is Action.CREATE
    # Those of batch 0 did not fit when the rollout began; since then they changed.
    return step is None or step.step.state not in _LEFT or step.step.batch == 0
