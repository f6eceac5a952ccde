"""What is reported about a revision: a pure function from what is remembered (spec: section 12)."""

from dataclasses import replace

from edgewright.agent.state.revisions import WORDS, Failure, Revision, Stage, StandIn
from edgewright.protocol.status import (
    ComponentStatus,
    DeploymentStatus,
    OverallStatus,
    State,
    StatusError,
    overall,
)

_MESSAGE_LIMIT = 4000


def report(revision: Revision, device_id: str, adopted: int) -> DeploymentStatus:
    """Return the status of `revision` on the device `device_id`, `adopted` being the version to report.

    The overall state is the most severe of the components' (spec: ST-3); only a document that cannot be
    read has no components, and then its stage decides.
    """
    components = tuple(
        ComponentStatus(name=each.name, state=each.state, error=_error(each.failure, each.name))
        for each in revision.components
    )
    return DeploymentStatus(
        deployment_id=revision.deployment_id,
        device_id=device_id,
        adopted_manifest_version=adopted,
        status=OverallStatus(state=state_of(revision), error=_error(failure_of(revision), revision.name)),
        components=components,
    )


def state_of(revision: Revision) -> State:
    """Return the word for the deployment as a whole."""
    if not revision.components:
        return WORDS[revision.stage]
    return overall(each.state for each in revision.components)


def failure_of(revision: Revision) -> Failure | None:
    """Return what went wrong with the deployment, and what runs instead."""
    failure, stand_in = revision.failure, revision.stand_in
    if failure is None or stand_in is None:
        return failure
    # The reason may be long, with the last lines of a log; what runs now is not to be cut off.
    rest = f"; {_in_place(stand_in, back=revision.stage is Stage.ROLLED_BACK)}"
    return replace(failure, message=failure.message[: _MESSAGE_LIMIT - len(rest)] + rest)


def _in_place(stand_in: StandIn, *, back: bool) -> str:
    name = f"revision {stand_in.digest.rpartition(':')[2][:12]} ({stand_in.versions})"
    if back:
        return f"{name} is still running" if stand_in.untouched else f"{name} is running again"
    if stand_in.trouble:
        return f"{name} is to run in its place and does not: {stand_in.trouble[: _MESSAGE_LIMIT // 2]}"
    return f"{name} is being brought back"


def _error(failure: Failure | None, source: str) -> StatusError | None:
    """Return the error member, its source being the deployment's or component's name (spec: ST-6)."""
    if failure is None:
        return None
    return StatusError(code=failure.code, source=source, message=failure.message[:_MESSAGE_LIMIT])
