"""Bring about what is wanted: observe, plan, carry out, and roll back what failed in the same round."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgewright.agent import log
from edgewright.agent.apply import carry_out
from edgewright.agent.backoff import jitter, pause
from edgewright.agent.consent.settle import Scene
from edgewright.agent.desired import (
    NOT_AT_HAND,
    Desired,
    Host,
    components_of,
    load_kept,
    overtaken,
    take_up,
)
from edgewright.agent.ledger import Ledger
from edgewright.agent.objects import Objects
from edgewright.agent.plan import (
    Action,
    Admit,
    Found,
    Hold,
    Install,
    Leave,
    Observed,
    Remove,
    Repair,
    RollBack,
    Wait,
    plan,
)
from edgewright.agent.removal import may_begin
from edgewright.agent.retention import drop_snapshots
from edgewright.agent.revisions import BEGUN, Revision, Stage
from edgewright.agent.runtimes import Component, ComponentError, EngineError, ObservedComponent, Runtime
from edgewright.agent.tools import Tools

ENGINE_SECONDS = 60.0
"""How often to look again for an engine that is not there."""
Kept = Mapping[tuple[str, str], Desired]
"""What can be read of revisions that are remembered and not wanted now, by their key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the accepted manifest (`version`) wants.

    `automatic`: what fails is rolled back by itself; `repairs`: what stops is put back by itself.
    """

    version: int
    desired: Sequence[Desired]
    automatic: bool
    repairs: bool = True


def bring_about(
    wanted: Wanted,
    tools: Tools,
    objects: Objects,
    host: Host,
    *,
    clock: Callable[[], float],
    retry_all: bool = False,
) -> list[float | None]:
    """Do what is to be done now; return in how many seconds each unfinished thing is to be tried again.

    `retry_all` gives everything that was given up another try.
    """
    ledger = tools.ledger
    drop_snapshots(tools.paths, ledger.revisions())
    leave_behind(wanted.desired, ledger)
    taken = taken_up(wanted.desired, ledger, retry_all=retry_all)
    revisions = with_changes(ledger.revisions(), taken)
    kept = load_kept(revisions, wanted.desired, objects, host)

    def planned(revisions: Sequence[Revision]) -> tuple[list[Action], float | None]:
        observed, delay = observe(tools.runtimes)
        found = Found(
            revisions=revisions,
            observed=observed,
            kept=kept,
            now=clock(),
            automatic=wanted.automatic,
            repairs=wanted.repairs,
        )
        return plan(wanted.desired, found, version=wanted.version), delay

    before = _failed(revisions)
    actions, delay = planned(revisions)
    # Before anything that was agreed to once could be taken for something new.
    removals = {each.revision.deployment_id: each.runs for each in actions if isinstance(each, Remove)}
    tools.gate.settle(scene(wanted.desired, ledger, removals))
    # Looked at first, remembered then: what turns out not to run is never reported as if it did.
    ledger.take_up(taken, in_doubt=set(_in_doubt(actions)))
    delays = [delay, *(each for action in actions for each in _carry_out(action, tools))]
    if failed := _failed(ledger.revisions()) - before:
        for action in _flat(planned(ledger.revisions())[0]):
            if isinstance(action, RollBack | Wait) and action.desired.key in failed:
                delays += _carry_out(action, tools)
    tools.gate.settle(scene(wanted.desired, ledger, tools.gate.removals))
    release(wanted.desired, kept, tools)
    return delays


def _failed(revisions: Sequence[Revision]) -> set[tuple[str, str]]:
    return {each.key for each in revisions if each.stage is Stage.FAILED}


def _in_doubt(actions: Sequence[Action]) -> Iterator[tuple[str, str]]:
    """Yield the keys of revisions of which what was up is no more; their actions report how they are."""
    for action in actions:
        match action:
            case Repair(_, revision) | RollBack(_, revision) | Hold(_, revision) | Admit(_, revision):
                yield revision.key
            case Leave(_, revision):
                yield revision.key
            case Install(_, revision) if revision.stage in BEGUN:
                yield revision.key


def _carry_out(action: Action, tools: Tools) -> Iterator[float | None]:
    """Do it; yield in how many seconds what is unfinished of it is to be tried again."""
    if isinstance(action, Remove) and not may_begin(action, tools):
        for each in action.meanwhile:
            yield from _carry_out(each, tools)
        return
    tries = carry_out(action, tools)
    if isinstance(action, Hold):
        yield action.seconds
    elif tries:
        yield pause(tries, jitter())


def _flat(actions: Iterable[Action]) -> Iterator[Action]:
    """Yield the actions, and those that keep up what is not removed yet."""
    for action in actions:
        yield action
        if isinstance(action, Remove):
            yield from action.meanwhile


def scene(desired: Sequence[Desired], ledger: Ledger, removals: Mapping[str, str]) -> Scene:
    """Return what decides what becomes of consent that was asked for or given."""
    wanted = {each.deployment_id: each.digest for each in desired}
    return Scene(wanted=wanted, revisions=ledger.revisions(), removals=removals)


def leave_behind(desired: Sequence[Desired], ledger: Ledger) -> None:
    """Forget revisions overtaken before they were begun; good ones stay known, to fall back to."""
    for revision in overtaken(desired, ledger.revisions()):
        if revision.verified:
            # How often it was tried to fetch it says nothing about repairing it.
            ledger.record(replace(revision.at(Stage.SUPERSEDED), attempts=0))
        else:
            ledger.drop(revision)


def taken_up(desired: Sequence[Desired], ledger: Ledger, *, retry_all: bool) -> list[Revision]:
    """Return the wanted revisions that the ledger does not know as they stand now."""
    retry = {each.deployment_id for each in desired} if retry_all else ledger.retries()
    return take_up(desired, ledger.revisions(), retry=retry)


def with_changes(revisions: Sequence[Revision], changed: Sequence[Revision]) -> list[Revision]:
    """Return `revisions` with those of `changed` in place of what is known of them, new ones last."""
    return list({each.key: each for each in (*revisions, *changed)}.values())


def observe(runtimes: Mapping[str, Runtime]) -> tuple[Observed | None, float | None]:
    """Return what runs, and when to look again; (None, seconds) when an engine does not answer."""
    found: dict[tuple[str, str], ObservedComponent] = {}
    try:
        for runtime in runtimes.values():
            found.update(runtime.observe())
    except EngineError as error:
        log.warning(str(error))
        return None, ENGINE_SECONDS
    return found, None


def release(desired: Sequence[Desired], kept: Kept, tools: Tools) -> None:
    """Have the runtimes drop what no remembered revision needs, if one was forgotten since the last time.

    While a document is lost nobody knows what it needs, and everything stays.
    """
    if not tools.ledger.release_is_due:
        return
    readable = {**kept, **{each.key: each for each in desired if each.document is not None}}
    lost = {each.key for each in desired if each.refusal is not None and each.refusal.code == NOT_AT_HAND}
    keys = [each.key for each in tools.ledger.revisions()]
    wanted = {each.key for each in desired}
    if lost.intersection(keys) or any(key not in readable and key not in wanted for key in keys):
        return
    components: dict[str, list[Component]] = {profile: [] for profile in tools.runtimes}
    for key in keys:
        document = readable[key].document if key in readable else None
        if document is not None:
            needed = components_of(readable[key], tools.paths, tools.telemetry)
            components.setdefault(document.spec.deployment_profile.type, []).extend(needed)
    try:
        for profile, runtime in tools.runtimes.items():
            runtime.release(components[profile])
    except ComponentError as error:
        log.warning(f"what is not needed any more could not be removed yet: {error}")
        return
    tools.ledger.released()
