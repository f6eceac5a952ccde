"""Remove: take a deployment off this device, component by component, and forget it."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace

from edgewright.agent import log
from edgewright.agent.failpoints import hit
from edgewright.agent.revisions import Failure, Revision, Stage
from edgewright.agent.runtimes import ComponentError
from edgewright.agent.tools import Tools
from edgewright.protocol.status import State


def remove(revision: Revision, names: Sequence[str], tools: Tools) -> int:
    """Remove a deployment's components, last one first, and forget it; nothing of it stays on disk."""
    log.info(f"deployment {revision.name}: removing")
    tools.ledger.begin(revision)  # from here on no revision of it is held any more, wanted again or not
    for name in names:
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
