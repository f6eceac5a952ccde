"""Bring about what is wanted: observe, plan, carry out, and roll back what failed in the same round."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgewright.agent import log
from edgewright.agent.backoff import jitter, pause
from edgewright.agent.consent.settle import Scene
from edgewright.agent.runtimes import Component, ComponentError, EngineError, ObservedComponent, Runtime
from edgewright.agent.state.ledger import Key, Ledger
from edgewright.agent.state.objects import Objects
from edgewright.agent.state.retention import drop_snapshots
from edgewright.agent.state.revisions import BEGUN, GIVEN_UP, Revision, Stage
from edgewright.agent.work.apply import carry_out
from edgewright.agent.work.desired import (
    NOT_AT_HAND,
    Desired,
    Host,
    components_of,
    load_kept,
    overtaken,
    take_up,
)
from edgewright.agent.work.plan import (
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
from edgewright.agent.work.removal import may_begin
from edgewright.agent.work.tools import Tools

ENGINE_SECONDS = 60.0
"""How often to look again for an engine that is not there."""
Kept = Mapping[Key, Desired]
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
    turn = turned(wanted.desired, ledger, retry_all=retry_all)
    revisions = turn.over(ledger.revisions())
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
    unseen = set() if delay is None else turn.doubtful
    ledger.take_up(
        turn.changed,
        overtaken=[each for each in turn.overtaken if each.key not in unseen],
        in_doubt={*_in_doubt(actions), *unseen},
    )
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


@dataclass(frozen=True, slots=True)
class Turn:
    """What to remember otherwise because of what is wanted: `overtaken` is forgotten, in the same step.

    Killed between the two, a deployment that is not wanted any more by then would be one nobody knows of,
    and never reported as removed.
    """

    overtaken: Sequence[Revision]
    changed: Sequence[Revision]

    def over(self, revisions: Iterable[Revision]) -> list[Revision]:
        """Return `revisions` as they are after it, new ones last."""
        gone = {each.key for each in self.overtaken}
        known = {each.key: each for each in revisions if each.key not in gone}
        return list({**known, **{each.key: each for each in self.changed}}.values())

    @property
    def doubtful(self) -> set[Key]:
        """The keys of what counts as installed and did not run when last seen, and of what it stands in for.

        Wanted itself, it is reported once somebody can look; that it is in doubt is not forgotten before.
        """
        back = {each.key for each in self.overtaken if each.stage is Stage.ROLLING_BACK}
        deployment_ids = {deployment_id for deployment_id, _ in back}
        return back | {
            each.key
            for each in self.changed
            if each.stage is Stage.INSTALLED and each.deployment_id in deployment_ids
        }


def turned(desired: Sequence[Desired], ledger: Ledger, *, retry_all: bool) -> Turn:
    """Return how what the ledger knows changes so that it knows every wanted revision as it stands now.

    Of those that were overtaken good ones stay known, to fall back to.
    """
    known = ledger.revisions()
    left = overtaken(desired, known)
    # How often it was tried to fetch it says nothing about repairing it.
    kept = [replace(each.at(Stage.SUPERSEDED), attempts=0) for each in left if each.verified]
    behind = Turn([each for each in left if not each.verified], kept)
    retry = {each.deployment_id for each in desired} if retry_all else ledger.retries()
    changed = take_up(desired, behind.over(known), retry=retry)
    # What stood in for one that goes is what is reported from now on, known to be wanted already or not.
    given_up = {each.deployment_id for each in left if each.stage in GIVEN_UP}
    wanted = {each.key for each in desired if each.deployment_id in given_up}
    standing = [each for each in known if each.stage is Stage.INSTALLED and each.key in wanted]
    return replace(behind, changed=Turn((), changed).over([*kept, *standing]))


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
