"""Roll back: the last good revision runs again in place of one that failed, all of its components.

It is applied from what is on this device. Only what has been lost there since is fetched, which an outage of
the network therefore hinders in no other case. Killed anywhere, the next round applies it again.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from edgewright.agent import log
from edgewright.agent.failpoints import hit
from edgewright.agent.runtimes import Component, ComponentError, CrashLoopError, OccupiedError, Runtime
from edgewright.agent.state.revisions import Failure, Revision, Stage, StandIn
from edgewright.agent.work.desired import Desired, components_of
from edgewright.agent.work.plan import Hold, Leave, RollBack
from edgewright.agent.work.tools import Tools, bring_here, restore_volumes
from edgewright.protocol.status import State

REPORT_ONLY = "repair.report-only"


def roll_back(action: RollBack, tools: Tools) -> int:
    """Carry out `action`; return how many tries in a row it has taken without success, 0 for done."""
    good, revision = action.good, action.revision
    runtime = tools.runtime_of(good)
    stand_in = StandIn(
        digest=good.digest,
        versions=versions_of(good),
        untouched=not action.names and revision.stage is Stage.FAILED,
    )
    if not stand_in.untouched:
        log.warning(f"deployment {action.desired.name}: rolling back to {good.digest[:19]}")
        revision = _going_back(revision, stand_in, action.tries)
        tools.ledger.record(revision)
    hit("rollback.begun")
    components = [
        each for each in components_of(good, tools.paths, tools.telemetry) if each.name in action.names
    ]
    troubles = [
        *_remove(good.deployment_id, action.dropped, runtime),
        *_bring_back(components, runtime, tools),
    ]
    if troubles:
        log.warning(f"deployment {action.desired.name}: {troubles[0]}")
        tools.ledger.record(replace(revision, stand_in=replace(stand_in, trouble=str(troubles[0]))))
        return action.tries
    back = replace(
        revision.behind(stand_in), stage=Stage.ROLLED_BACK, attempts=action.tries if action.names else 0
    )
    running = replace(action.good_revision.at(Stage.INSTALLED), leaving=())
    hit("rollback.done")
    tools.ledger.roll_back(back, running)
    hit("rollback.recorded")
    log.info(f"deployment {action.desired.name}: revision {good.digest[:19]} runs in place of what failed")
    return 0


def hold_back(action: Hold, tools: Tools) -> int:
    """Report components that stop again and again while nothing is done about them for a time."""
    names = ", ".join(action.names)
    failure = Failure(
        code=CrashLoopError.code,
        message=f"{names} stopped again after having been put back {_times(action.tries)};"
        " it is tried again, later each time",
    )
    revision = action.revision
    if revision.stage is Stage.INSTALLED:
        tools.ledger.record(_stopped(revision, action.names, failure))
    elif revision.stage is Stage.ROLLED_BACK and revision.stand_in is not None:
        stand_in = replace(revision.stand_in, trouble=failure.message, untouched=False)
        tools.ledger.record(_going_back(revision, stand_in, action.tries))
    return action.tries


def leave(action: Leave, tools: Tools) -> int:
    """Report components that have stopped, once; return 0: nothing is done about them."""
    names, revision = ", ".join(action.names), action.revision
    failure = Failure(
        code=REPORT_ONLY,
        message=f"{names} not running; the site's policy is to report that, not to repair it",
    )
    if action.good.digest == revision.digest:
        told = _stopped(revision, action.names, failure)
    else:
        stand_in = StandIn(
            digest=action.good.digest, versions=versions_of(action.good), trouble=failure.message
        )
        told = _going_back(revision, stand_in, revision.attempts)
    if told != revision:
        log.warning(f"deployment {action.desired.name}: {failure.message}")
        tools.ledger.record(told)
    return 0


def _stopped(revision: Revision, names: Sequence[str], failure: Failure) -> Revision:
    """Return a revision that ran whole with components (`names`) that do so no more."""
    revision = revision.at(Stage.FAILED, State.INSTALLED)
    for name in names:
        revision = revision.with_component(name, State.FAILED, failure)
    return replace(revision, failure=failure)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times in a row"


def versions_of(desired: Desired) -> str:
    """Return in words what a revision consists of, such as `web 1.2.0, db 3.1.0`."""
    document = desired.document
    components = () if document is None else document.spec.deployment_profile.components
    return ", ".join(f"{each.name} {each.properties.revision}" for each in components)


def _going_back(revision: Revision, stand_in: StandIn, attempts: int) -> Revision:
    return replace(revision.behind(stand_in), stage=Stage.ROLLING_BACK, attempts=attempts)


def _remove(deployment_id: str, names: Sequence[str], runtime: Runtime) -> Iterator[ComponentError]:
    """Remove what only the failed revision has: it may hold what the good one needs, a port for example."""
    for name in names:
        try:
            runtime.remove(deployment_id, name)
        except ComponentError as error:
            yield error


def _bring_back(components: Sequence[Component], runtime: Runtime, tools: Tools) -> Iterator[ComponentError]:
    """Start and verify `components`; yield what went wrong. One that fails does not keep the others down.

    One that another is in the way of, which holds its port until it is brought back as well, comes last.
    """
    started = []
    waiting, put_off = deque(components), set[str]()
    while waiting:
        component = waiting.popleft()
        try:
            bring_here(component, runtime)
            restore_volumes(component, runtime, tools.paths)
            runtime.apply(component)
            hit("rollback.component")
            if component.wait:
                runtime.verify(component)
            else:
                started.append(component)
        except OccupiedError as error:
            if component.name in put_off or not waiting:
                yield error
            else:
                put_off.add(component.name)
                waiting.append(component)
        except ComponentError as error:
            yield error
    for component in started:
        try:
            runtime.verify(component)
        except ComponentError as error:
            yield error
