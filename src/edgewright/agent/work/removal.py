"""Remove: take a deployment off this device, component by component, and forget it."""

import os
import shutil
from dataclasses import replace

from edgewright.agent import log
from edgewright.agent.consent.hold import Subject
from edgewright.agent.consent.summary import summarise
from edgewright.agent.failpoints import hit
from edgewright.agent.runtimes import ComponentError
from edgewright.agent.state.revisions import Failure, Revision, Stage
from edgewright.agent.work.plan import Remove
from edgewright.agent.work.tools import Tools, images_of
from edgewright.protocol.consent import Kind
from edgewright.protocol.status import State


def may_begin(action: Remove, tools: Tools) -> bool:
    """Whether the removal may begin, or has begun."""
    if not action.runs:
        return True
    running = images_of(action.good, tools)
    return tools.gate.hold(_subject(action), lambda: summarise(action.good, None, running=running)) is None


def _subject(action: Remove) -> Subject:
    return Subject(
        deployment_id=action.revision.deployment_id,
        name=action.revision.name,
        kind=Kind.REMOVE,
        digest=action.runs,
    )


def remove(action: Remove, tools: Tools) -> int:
    """Remove a deployment's components, last one first, and forget it; nothing of it stays on disk."""
    revision = action.revision
    log.info(f"deployment {revision.name}: removing")
    started = tools.durations.start()
    tools.ledger.begin(revision)  # from here on no revision of it is held any more, wanted again or not
    if action.runs:
        tools.gate.begun(_subject(action))
    for name in action.names:
        tools.ledger.record(revision)
        hit("remove.begun")
        revision = _remove_component(revision, name, tools)
        hit("remove.component")
    if revision.failure is not None:
        revision = replace(revision, attempts=revision.attempts + 1)
        tools.ledger.record(revision)
        return revision.attempts
    shutil.rmtree(tools.paths.deployment(revision.deployment_id), ignore_errors=True)
    hit("remove.done")
    tools.ledger.forget(revision.at(Stage.REMOVED))
    hit("remove.forgotten")
    if action.runs:  # else what was left of it says nothing about the whole
        tools.durations.note(revision.deployment_id, Kind.REMOVE, started)
    log.info(f"deployment {revision.name}: removed")
    return 0


def _remove_component(revision: Revision, name: str, tools: Tools) -> Revision:
    """Remove one component from every runtime; return the revision as it stands then."""
    directory = tools.paths.component(revision.deployment_id, revision.digest, name)
    try:
        for runtime in tools.runtimes.values():
            runtime.remove(revision.deployment_id, name, directory if os.path.isdir(directory) else None)
    except ComponentError as error:
        log.warning(f"deployment {revision.name}: {error}")
        failure = Failure.of(error)
        state = State.REMOVING if error.retryable else State.FAILED
        return replace(revision.with_component(name, state, failure), failure=failure)
    return revision.with_component(name, State.REMOVED)
