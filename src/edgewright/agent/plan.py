"""Plan: what to do so that this device runs what is wanted. Pure, and made anew in every round.

Three things are compared: what the accepted manifest wants, what is remembered, and what was observed.
A state already reached needs nothing (spec: DS-18).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from edgewright.agent.desired import NOT_AT_HAND, REFUSALS, Desired
from edgewright.agent.revisions import Failure, Progress, Revision, Stage
from edgewright.agent.runtimes import Health, ObservedComponent
from edgewright.protocol.status import State

Observed = Mapping[tuple[str, str], ObservedComponent]
"""(deployment id, component name) to what was found running."""


@dataclass(frozen=True, slots=True)
class Install:
    """Bring a revision up; what runs of another revision of the deployment gives way to it.

    `dropped` are components of other revisions that this one does not have, last one first; they are
    removed when the new revision runs, not before: it may still fail.
    """

    desired: Desired
    revision: Revision
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Repair:
    """Put back those components (`broken`) of an installed revision that do not run as they should."""

    desired: Desired
    revision: Revision
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a deployment off this device; `names` are its components, last one first.

    `revision` is the one to report about, already with the version of the manifest that dropped it
    (spec: OP-19).
    """

    revision: Revision
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Report that a deployment cannot run here; whatever runs of it stays."""

    desired: Desired
    revision: Revision
    failure: Failure


@dataclass(frozen=True, slots=True)
class Wait:
    """A deployment cannot be looked after now; the next round tries again."""

    desired: Desired
    reason: str


Action = Install | Repair | Remove | Refuse | Wait


def plan(
    desired: Sequence[Desired],
    revisions: Sequence[Revision],
    observed: Observed | None,
    *,
    version: int,
    retry_failed: bool = False,
) -> list[Action]:
    """Return the actions in their order: removals, then the manifest's order.

    `revisions` knows every wanted one (`desired.take_up`); `version` is that of the accepted manifest.
    `observed` is None when the engine could not be asked: then nothing counts as broken or left over.
    `retry_failed` gives revisions that failed another try.
    """
    wanted = {each.deployment_id for each in desired}
    known = {revision.key: revision for revision in revisions}
    actions: list[Action] = list(_removals(wanted, revisions, observed or {}, version))
    for each in desired:
        action = _next(each, known[each.key], revisions, observed, retry_failed)
        if action is not None:
            actions.append(action)
    return actions


def _removals(
    wanted: Collection[str], revisions: Sequence[Revision], observed: Observed, version: int
) -> list[Remove]:
    deployments = dict.fromkeys([each.deployment_id for each in revisions] + [key[0] for key in observed])
    return [
        _removal(
            deployment_id,
            [each for each in revisions if each.deployment_id == deployment_id],
            observed,
            version,
        )
        for deployment_id in deployments
        if deployment_id not in wanted
    ]


def _removal(deployment_id: str, revisions: Sequence[Revision], observed: Observed, version: int) -> Remove:
    names = _all_names(deployment_id, revisions, observed)
    going = next((each for each in revisions if each.stage is Stage.REMOVING), None)
    if going is not None:
        return Remove(replace(going, failure=None), names)
    last = next((each for each in revisions if each.stage is not Stage.SUPERSEDED), None)
    components = last.components if last is not None else ()
    revision = Revision(
        deployment_id=deployment_id,
        digest=last.digest if last is not None else "",
        stage=Stage.REMOVING,
        adopted=version,
        name=last.name if last is not None else deployment_id,
        components=tuple(
            Progress(name=name, state=State.REMOVING)
            for name in ([each.name for each in components] or list(reversed(names)))
        ),
    )
    return Remove(revision, names)


def _all_names(deployment_id: str, revisions: Sequence[Revision], observed: Observed) -> tuple[str, ...]:
    """Return every component name the deployment is known to have had here, last one first."""
    remembered = [progress.name for each in revisions for progress in each.components]
    found = [name for owner, name in observed if owner == deployment_id]
    return tuple(reversed(dict.fromkeys(remembered + found)))


def _next(
    desired: Desired,
    revision: Revision,
    revisions: Sequence[Revision],
    observed: Observed | None,
    retry_failed: bool,
) -> Action | None:
    """Return what is to be done next about one wanted deployment, None when it is as it should be."""
    if desired.refusal is not None and (not revision.verified or desired.document is None):
        return _refuse(desired, revision, desired.refusal)
    broken = _broken(desired, observed)
    if revision.stage is Stage.INSTALLED or (revision.stage is Stage.FAILED and revision.verified):
        if revision.stage is Stage.FAILED and observed is not None:
            broken = broken or desired.component_names
        return Repair(desired, revision, broken) if broken else None
    if revision.stage is Stage.FAILED and not retry_failed and not _was_refused(revision):
        return None
    others = [each for each in revisions if each.deployment_id == desired.deployment_id]
    names = _all_names(desired.deployment_id, others, observed or {})
    return Install(desired, revision, tuple(name for name in names if name not in desired.component_names))


def _refuse(desired: Desired, revision: Revision, failure: Failure) -> Action | None:
    if failure.code == NOT_AT_HAND:
        return Wait(desired, failure.message)
    if revision.stage is Stage.FAILED and revision.failure == failure:
        return None
    return Refuse(desired, revision, failure)


def _was_refused(revision: Revision) -> bool:
    """Whether it failed for a reason that is decided anew in every round, and is gone now."""
    return revision.failure is not None and revision.failure.code in REFUSALS


def _broken(desired: Desired, observed: Observed | None) -> tuple[str, ...]:
    """Return the components that are not up in the wanted revision; none where nobody could look."""
    if observed is None:
        return ()
    return tuple(
        name
        for name in desired.component_names
        if not _is_up(observed.get((desired.deployment_id, name)), desired.digest)
    )


def _is_up(component: ObservedComponent | None, digest: str) -> bool:
    if component is None or component.revision != digest:
        return False
    return component.health in {Health.RUNNING, Health.STARTING}
