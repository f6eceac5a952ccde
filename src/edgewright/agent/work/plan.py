"""Plan: what to do so that this device runs what is wanted. Pure, and made anew in every round.

Three things are compared: what the accepted manifest wants, what is remembered, and what was observed.
A state already reached needs nothing (spec: DS-18).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgewright.agent.backoff import pause
from edgewright.agent.runtimes import Health, ObservedComponent
from edgewright.agent.state.revisions import (
    BEGUN,
    GIVEN_UP,
    WAITING,
    Failure,
    Progress,
    Revision,
    Stage,
    last_good,
    reported,
)
from edgewright.agent.work.desired import NOT_AT_HAND, Desired, was_refused
from edgewright.protocol.status import State

Observed = Mapping[tuple[str, str], ObservedComponent]
"""(deployment id, component name) to what was found running."""
_MANY_TRIES = 8
CALM_SECONDS = 600.0
"""What ran so long after a repair is well again: the next repair is the first one. More than any pause."""


@dataclass(frozen=True, slots=True)
class Install:
    """Bring a revision up; what runs of another revision of the deployment gives way to it.

    `dropped` are components of other revisions that this one does not have, last one first; they are
    removed when the new revision runs, not before: it may still fail. `good` is the revision that runs
    until then, None on a first install; with `may_fall_back` it comes back when this one fails. One that
    `is_return` is the last good one itself, on its way back.
    """

    desired: Desired
    revision: Revision
    dropped: tuple[str, ...] = ()
    good: Desired | None = None
    may_fall_back: bool = False
    is_return: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether the site is not asked any more: what runs is half changed."""
        return self.is_return or self.revision.stage in BEGUN


@dataclass(frozen=True, slots=True)
class Repair:
    """Put back those components (`broken`) of a good revision that do not run as they should.

    `dropped` are components of the deployment that it does not have; they go when it runs. `tries` is the
    number of repairs in a row, this one included.
    """

    desired: Desired
    revision: Revision
    broken: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    tries: int = 1


@dataclass(frozen=True, slots=True)
class RollBack:
    """Let the last good revision run in place of one that failed, or see to it that it still does.

    `names` are the components of the good one to bring up, `dropped` those that only the failed one has.
    """

    desired: Desired
    revision: Revision
    good: Desired
    good_revision: Revision
    names: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Hold:
    """Leave components that stop again and again alone until `seconds` have passed."""

    desired: Desired
    revision: Revision
    names: tuple[str, ...]
    tries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Admit:
    """Tell that components (`names`) of what was given up, and reported as running, do so no more."""

    desired: Desired
    revision: Revision
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """Tell that components (`names`) of what runs have stopped: the site wants that reported, not repaired.

    What runs is `good`, in place of `revision` when that failed.
    """

    desired: Desired
    revision: Revision
    names: tuple[str, ...]
    good: Desired


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a deployment off this device; `names` are its components, last one first.

    `revision` is the one to report about, already with the version of the manifest that dropped it
    (spec: OP-19). `runs` is the digest of what runs of it, empty when the site is not asked: nothing does, or
    the removal has begun. `good` is what can be read of that. `meanwhile` is what keeps it running.
    """

    revision: Revision
    names: tuple[str, ...]
    runs: str = ""
    good: Desired | None = None
    meanwhile: "tuple[Action, ...]" = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Report that a deployment cannot run here; whatever runs of it stays."""

    desired: Desired
    revision: Revision
    failure: Failure


@dataclass(frozen=True, slots=True)
class Wait:
    """A deployment cannot be looked after now; a later round tries again, after as long as after `tries`."""

    desired: Desired
    reason: str
    tries: int = 1


Action = Install | Repair | RollBack | Hold | Admit | Leave | Remove | Refuse | Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a plan starts from, besides what is wanted.

    `revisions` are those remembered, `observed` what was found running, None when the engine could not be
    asked: then nothing counts as broken or left over. `kept` are those remembered
    that can be read and are not wanted now. `now` is unix seconds; `automatic` says whether what failed
    is rolled back, `repairs` whether what stopped is put back.
    """

    revisions: Sequence[Revision]
    observed: Observed | None
    kept: Mapping[tuple[str, str], Desired]
    now: float
    automatic: bool = True
    repairs: bool = True


def plan(desired: Sequence[Desired], found: Found, *, version: int) -> list[Action]:
    """Return the actions in their order: removals, then the manifest's order.

    `found.revisions` knows every wanted one (`desired.take_up`); `version` is that of the accepted manifest.
    """
    wanted = {each.deployment_id for each in desired}
    known = {revision.key: revision for revision in found.revisions}
    actions: list[Action] = list(_removals(wanted, found, version))
    for each in desired:
        actions.extend(_Deployment(each, known[each.key], found).actions())
    return actions


def _removals(wanted: Collection[str], found: Found, version: int) -> Iterator[Remove]:
    observed = found.observed or {}
    deployments = dict.fromkeys(
        [each.deployment_id for each in found.revisions] + [key[0] for key in observed]
    )
    for deployment_id in deployments:
        if deployment_id not in wanted:
            revisions = [each for each in found.revisions if each.deployment_id == deployment_id]
            yield _removal(deployment_id, revisions, found, version)


def _removal(deployment_id: str, revisions: Sequence[Revision], found: Found, version: int) -> Remove:
    observed = found.observed or {}
    names = _all_names(deployment_id, revisions, observed)
    going = next((each for each in revisions if each.stage is Stage.REMOVING), None)
    if going is not None:
        return Remove(replace(going, failure=None), names)
    last = next(iter(reported(revisions)), None)
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
    runs = _what_runs(deployment_id, revisions, observed)
    good = found.kept.get((deployment_id, runs))
    return Remove(revision, names, runs, good, tuple(_meanwhile(revisions, found)))


def _what_runs(deployment_id: str, revisions: Sequence[Revision], observed: Observed) -> str:
    """Return the digest of what runs of a deployment, as well as is known; empty when nothing was begun."""
    good = last_good(revisions)
    if good is not None:
        return good.digest
    begun = [each.digest for each in revisions if each.stage not in WAITING and not was_refused(each)]
    running = [each.revision for (owner, _), each in observed.items() if owner == deployment_id]
    return next(iter([*begun, *running]), "")


def _meanwhile(revisions: Sequence[Revision], found: Found) -> Iterator[Action]:
    """Yield what keeps a deployment as it is while its removal is held: nothing new begins."""
    good = last_good(revisions)
    candidates = [*reported(revisions), *([good] if good is not None else [])]
    for each in candidates:
        desired = found.kept.get(each.key)
        if desired is None:
            continue
        for action in _Deployment(desired, each, found).actions():
            match action:
                case Refuse() | Wait():
                    continue
                case Install() if not action.has_begun:
                    continue
            yield action
        return


def _all_names(deployment_id: str, revisions: Sequence[Revision], observed: Observed) -> tuple[str, ...]:
    """Return every component name the deployment is known to have had here, last one first."""
    remembered = [
        name for each in revisions for name in (*(part.name for part in each.components), *each.leaving)
    ]
    found = [name for owner, name in observed if owner == deployment_id]
    return tuple(reversed(dict.fromkeys(remembered + found)))


class _Deployment:
    """One wanted deployment: its wanted revision, and the last good one where that is another."""

    def __init__(self, desired: Desired, revision: Revision, found: Found) -> None:
        self._desired = desired
        self._revision = revision
        self._found = found
        self._siblings = [each for each in found.revisions if each.deployment_id == desired.deployment_id]
        last = last_good(self._siblings)
        self._is_last_good = last is not None and last.key == revision.key
        self._good = None if self._is_last_good else last
        self._good_desired = None if self._good is None else found.kept.get(self._good.key)

    def actions(self) -> Iterator[Action]:
        """Yield what is to be done about it; nothing when it is as it should be."""
        desired, revision = self._desired, self._revision
        refusal = desired.refusal
        if refusal is not None and (not self._is_last_good or desired.document is None):
            if refusal.code == NOT_AT_HAND:
                yield from self._keep_up()
                yield Wait(desired, refusal.message)
            elif revision.stage not in GIVEN_UP or revision.failure != refusal:
                yield Refuse(desired, revision, refusal)
            else:
                yield from self._fall_back()
        elif self._is_last_good and revision.stage not in WAITING:
            yield from self._repair(desired, revision)
        elif revision.stage in GIVEN_UP and not was_refused(revision):
            yield from self._fall_back()
        else:
            yield from self._keep_up()
            yield self._install()

    def _install(self) -> Install:
        good = self._good
        return Install(
            self._desired,
            self._revision,
            self._others(self._desired),
            self._good_desired,
            self._good_desired is not None
            and (self._found.automatic or (good is not None and good.stage is not Stage.SUPERSEDED)),
            self._is_last_good,
        )

    def _keep_up(self) -> Iterator[Action]:
        """Yield what the last good revision needs while the wanted one has not begun, maybe for months."""
        good, desired = self._good, self._good_desired
        if good is None or desired is None or self._revision.stage not in WAITING:
            return
        if good.stage is not Stage.SUPERSEDED or self._found.automatic:
            yield from self._repair(desired, good)

    def _repair(self, desired: Desired, revision: Revision) -> Iterator[Action]:
        """Yield how to put back what does not run of a good revision."""
        broken = _broken(desired, self._found.observed)
        if broken and not self._found.repairs and revision.stage in {Stage.INSTALLED, Stage.FAILED}:
            yield Leave(desired, revision, broken, desired)
            return
        if not broken and revision.stage is not Stage.INSTALLED and self._found.observed is not None:
            broken = desired.component_names  # whether they are up is to be verified
        strays = self._others(desired, remembered=revision.stage is not Stage.INSTALLED)
        dropped = tuple(dict.fromkeys((*strays, *revision.leaving)))
        if not broken and (not dropped or revision.stage is not Stage.INSTALLED):
            return
        tries = _tries(revision, self._found.now)
        seconds = _seconds_left(revision, tries, self._found.now)
        if seconds > 0 and _broken(desired, self._found.observed):
            yield Hold(desired, revision, broken, tries, seconds)
        else:
            yield Repair(desired, revision, broken, dropped, tries + 1)

    def _fall_back(self) -> Iterator[Action]:
        """Yield how the last good revision comes back, or stays, in place of one that failed."""
        revision, good, desired = self._revision, self._good, self._good_desired
        if good is None or (good.stage is Stage.SUPERSEDED and not self._found.automatic):
            yield from self._admit()
            return
        if desired is None:
            reason = f"the document of revision {good.digest} to go back to is lost"
            yield Wait(self._desired, reason, _MANY_TRIES)
            return
        whole = good.stage is not Stage.INSTALLED
        names = desired.component_names if whole else _broken(desired, self._found.observed)
        dropped = self._others(desired, remembered=whole)
        if revision.stage is Stage.ROLLED_BACK and not names and not dropped:
            return
        if revision.stage is Stage.ROLLING_BACK and not names and self._found.observed is None:
            return  # something of it did not run when last seen, and nobody can look now
        if names and not whole and not self._found.repairs:
            yield Leave(self._desired, revision, names, desired)
            return
        tries = 0 if revision.stage is Stage.FAILED else _tries(revision, self._found.now)
        seconds = _seconds_left(revision, tries, self._found.now)
        if seconds > 0 and names:
            yield Hold(self._desired, revision, names, tries, seconds)
        else:
            yield RollBack(self._desired, revision, desired, good, names, dropped, tries + 1)

    def _admit(self) -> Iterator[Admit]:
        """Yield what has gone down of a revision that nothing is done about: it is left as it failed."""
        broken = _broken(self._desired, self._found.observed)
        told = {each.name for each in self._revision.components if each.state is State.INSTALLED}
        if names := tuple(name for name in broken if name in told):
            yield Admit(self._desired, self._revision, names)

    def _others(self, desired: Desired, *, remembered: bool = True) -> tuple[str, ...]:
        """Return the components of the deployment that `desired` does not have, last one first."""
        siblings = self._siblings if remembered else []
        names = _all_names(desired.deployment_id, siblings, self._found.observed or {})
        return tuple(name for name in names if name not in desired.component_names)


def _tries(revision: Revision, now: float) -> int:
    """Return how many repairs in a row there were; what ran calmly since the last one starts anew."""
    calm = revision.stage in {Stage.INSTALLED, Stage.ROLLED_BACK} and now - revision.changed >= CALM_SECONDS
    return 0 if calm else revision.attempts


def _seconds_left(revision: Revision, tries: int, now: float) -> float:
    """Return how long to wait before the next repair; a clock that was set back makes nobody wait."""
    if not tries or now < revision.changed or revision.stage in BEGUN:
        return 0.0
    return max(0.0, revision.changed + pause(tries, 1.0) - now)


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
