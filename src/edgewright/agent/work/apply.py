"""Apply and verify: carry out one action, component by component, remembering every step.

Everything a revision needs is fetched before anything that runs is touched. Then the site is asked whether it
may begin: until then it waits, ready. A component is up when its
runtime says so (spec: CMP-2); with `wait: false` the next one does not wait for it, but the deployment is
installed only when all are up (spec: AD-3, AD-4, OP-35).

Killed anywhere, the next round finds in the ledger where it stood and repeats from there: every call of a
runtime may be repeated.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from edgewright.agent import log
from edgewright.agent.consent.hold import Held, Subject
from edgewright.agent.consent.summary import summarise
from edgewright.agent.failpoints import hit
from edgewright.agent.runtimes import Component, ComponentError, EngineError, OccupiedError
from edgewright.agent.state.revisions import BEGUN, WAITING, WORDS, Failure, Revision, Stage
from edgewright.agent.work.desired import Desired, components_of
from edgewright.agent.work.plan import (
    Action,
    Admit,
    Hold,
    Install,
    Leave,
    Refuse,
    Remove,
    Repair,
    RollBack,
    Wait,
)
from edgewright.agent.work.removal import remove
from edgewright.agent.work.rollback import hold_back, leave, roll_back
from edgewright.agent.work.tools import Tools, bring_here, images_of, restore_volumes
from edgewright.protocol.consent import Kind
from edgewright.protocol.status import State

_STOPPED = Failure(
    code="component.stopped",
    message="it does not run any more; as the deployment had failed before, nothing is done about it until"
    " its document changes or a person has it tried again ('edgewright agent retry')",
)
PATIENCE = 5
"""Tries of a revision that was begun and meets what may pass, before the last good one comes back instead."""


def carry_out(action: Action, tools: Tools) -> int:
    """Carry out `action`; return how many tries in a row it has taken without success, 0 for done.

    Done is also what failed for good. What failed for now is to be tried again, later each time.
    """
    match action:
        case Install(desired, revision):
            return _Course(desired, revision, tools).install(action)
        case Repair(desired, revision):
            return _Course(desired, revision, tools).repair(action)
        case RollBack():
            return roll_back(action, tools)
        case Hold():
            return hold_back(action, tools)
        case Admit(desired, revision, names):
            log.warning(f"deployment {desired.name}: {', '.join(names)} stopped, and it was given up before")
            for name in names:
                revision = revision.with_component(name, State.FAILED, _STOPPED)
            tools.ledger.record(revision)
            return 0
        case Leave():
            return leave(action, tools)
        case Remove():
            return remove(action, tools)
        case Refuse(desired, revision, failure):
            log.warning(f"deployment {desired.name} cannot run here: {failure.message}")
            components = tuple(
                replace(each, failure=failure) for each in revision.at(Stage.FAILED).components
            )
            tools.ledger.record(replace(revision.at(Stage.FAILED), components=components, failure=failure))
            return 0
        case Wait(desired, reason, tries):
            log.warning(f"deployment {desired.name} waits: {reason}")
            return tries
        case _:
            assert_never(action)


def _subject(action: Install) -> Subject:
    """Return what the site is asked about."""
    return Subject(
        deployment_id=action.desired.deployment_id,
        name=action.desired.name,
        kind=Kind.INSTALL if action.good is None else Kind.UPDATE,
        digest=action.desired.digest,
    )


class _Course:
    """One revision on its way; `_revision` is how it stands, written down at each step."""

    def __init__(self, desired: Desired, revision: Revision, tools: Tools) -> None:
        assert desired.document is not None  # noqa: S101 - refused documents are not planned for
        self._desired = desired
        self._revision = revision
        self._tools = tools
        self._runtime = tools.runtime_of(desired)
        self._components = components_of(desired, tools.paths, tools.telemetry)
        self._replaced: dict[str, Component] = {}
        self._may_fall_back = False
        self._kind: Kind = Kind.INSTALL
        self._started: float | None = None

    def install(self, action: Install) -> int:
        """Bring the whole revision up, as soon as the site lets it begin."""
        held = self._held(action)
        if held is not None and not self._tools.gate.may_fetch(_subject(action)):
            return self._wait(held)
        self._may_fall_back = action.may_fall_back
        if action.good is not None:
            replaced = components_of(action.good, self._tools.paths, self._tools.telemetry)
            self._replaced = {each.name: each for each in replaced}
        if not self._fetch(is_held=held is not None):
            return self._outcome()
        if (held := self._held(action)) is not None:  # asked again: fetching may have taken hours
            return self._wait(held)
        log.info(f"deployment {self._desired.name}: installing {self._desired.digest[:19]}")
        if action.revision.stage not in BEGUN:  # else what is left of it says nothing about the whole
            self._kind, self._started = _subject(action).kind, self._tools.durations.start()
        first = self._components[0].name
        begun = self._revision.at(Stage.APPLYING, State.PENDING).with_component(first, State.INSTALLING)
        # What it took to fetch it says nothing about how it will come up.
        attempts = begun.attempts if action.revision.stage in BEGUN else 0
        self._revision = replace(begun, leaving=action.dropped, attempts=attempts)
        self._tools.ledger.begin(self._revision)
        if not action.has_begun:
            self._tools.gate.begun(_subject(action))
        hit("apply.begun")
        return self._bring_up(self._components)

    def _held(self, action: Install) -> Held | None:
        """Return why the revision may not begin; what has begun is not asked about."""
        if action.has_begun:
            return None
        return self._tools.gate.hold(
            _subject(action),
            lambda: summarise(
                action.good,
                action.desired,
                running=images_of(action.good, self._tools),
                coming=images_of(action.desired, self._tools),
            ),
        )

    def _wait(self, held: Held) -> int:
        """Report what is waited for; return 0: when it is over is known elsewhere, or nowhere."""
        stage = self._revision.stage if self._revision.stage in WAITING else Stage.ACCEPTED
        failure = Failure(code=held.reason.code, message=held.message)
        if failure != self._revision.failure:
            log.info(f"deployment {self._desired.name} waits: {held.message}")
        self._write(replace(self._revision.at(stage), failure=failure))
        return 0

    def _fetch(self, *, is_held: bool) -> bool:
        """Bring all that is missing here; a revision killed while it was applied has it all already.

        One that is held has it already as well, nearly always, and goes on being reported as it is.
        """
        begun = self._revision.stage in BEGUN
        if is_held and self._revision.stage is Stage.READY:
            self._revision = self._revision.at(Stage.READY)
        elif not begun:
            again = self._revision.stage is Stage.FETCHING
            self._revision = self._revision.at(Stage.FETCHING)
            if not again:  # else the last obstacle stays reported until it is known to be gone
                self._write(self._revision)
            hit("fetch.begun")
        else:
            # What had come up before may be down by now: all of it is being applied again.
            self._revision = self._revision.at(self._revision.stage)
        if not self._each(self._components, self._bring_here):
            return False
        if not begun:
            self._revision = self._revision.at(Stage.READY)
            if not is_held:
                self._write(self._revision)
            hit("fetch.done")
        return True

    def repair(self, action: Repair) -> int:
        """Bring up those components that are not, or did not come up last time; the others are left alone."""
        self._revision = replace(self._revision, leaving=action.dropped)
        if not action.broken:
            return self._drop()
        log.warning(f"deployment {self._desired.name}: {', '.join(action.broken)} not running, repairing")
        failed = {each.name for each in self._revision.components if each.state is State.FAILED}
        components = [each for each in self._components if each.name in failed.union(action.broken)]
        self._revision = replace(
            self._revision, stage=Stage.APPLYING, failure=None, attempts=action.tries - 1
        )
        for each in components:
            self._revision = self._revision.with_component(each.name, State.INSTALLING)
        self._tools.ledger.repair(self._revision)
        if not self._each(components, self._bring_here):
            return self._outcome()
        return self._bring_up(components, attempts=action.tries)

    def _bring_here(self, component: Component) -> None:
        bring_here(component, self._runtime)
        hit("fetch.component")

    def _bring_up(self, components: Sequence[Component], *, attempts: int = 0) -> int:
        """Start and verify `components`; `attempts` are remembered when all came up."""
        unverified: list[Component] = []
        for component in components:
            if not self._attempt(component, self._start):
                break
            unverified.append(component)
            if component.wait:
                if not self._attempt(component, self._verify):
                    unverified.remove(component)
                    break
                unverified.remove(component)
                self._revision = self._revision.with_component(component.name, State.INSTALLED)
        else:
            if unverified:
                self._write(replace(self._revision, stage=Stage.VERIFYING))
        # After a failure too: what was started and not waited for has an outcome to report.
        for component in unverified:
            if self._attempt(component, self._verify):
                self._revision = self._revision.with_component(component.name, State.INSTALLED)
        return self._outcome(attempts)

    def _start(self, component: Component) -> None:
        self._write(self._revision.with_component(component.name, State.INSTALLING))
        hit("apply.component.begun")
        old = self._replaced.get(component.name)
        if old is not None and (component.snapshot_volumes or old.snapshot_volumes):
            directory = self._tools.paths.snapshot(old.deployment_id, old.revision, old.name)
            self._runtime.snapshot(old, directory)
        restore_volumes(component, self._runtime, self._tools.paths)
        try:
            self._runtime.apply(component)
        except OccupiedError as error:
            if not self._make_way(component, error):
                raise
            self._runtime.apply(component)
        hit("apply.component.started")

    def _make_way(self, component: Component, error: OccupiedError) -> bool:
        """Stop what this revision replaces or drops later on, as a port may move; tell if there is any."""
        names = [each.name for each in self._components]
        later = names[names.index(component.name) + 1 :]
        going = [*self._revision.leaving, *(name for name in later if name in self._replaced)]
        if going:
            log.warning(f"deployment {self._desired.name}: {error}; stopping {', '.join(going)} first")
        for name in going:
            self._runtime.stop(self._desired.deployment_id, name)
        return bool(going)

    def _verify(self, component: Component) -> None:
        self._runtime.verify(component)
        hit("apply.component.verified")

    def _drop(self) -> int:
        """Remove what the revision, which runs, does not have; return 1 when something is left of it."""
        for name in self._revision.leaving:
            try:
                self._runtime.remove(self._desired.deployment_id, name)
            except ComponentError as error:
                log.warning(f"deployment {self._desired.name}: {error}")
                return 1
        if self._revision.leaving:
            self._write(replace(self._revision, leaving=()))
        return 0

    def _each(self, components: Sequence[Component], step: Callable[[Component], None]) -> bool:
        """Do `step` for all components, also after one failed: the report names every obstacle."""
        outcomes = [self._attempt(component, step) for component in components]
        return all(outcomes)

    def _attempt(self, component: Component, step: Callable[[Component], None]) -> bool:
        try:
            step(component)
        except ComponentError as error:
            self._fail(component.name, error)
            return False
        return True

    def _fail(self, name: str, error: ComponentError) -> None:
        """Note a failure; what may succeed later is as far as it was."""
        failure = Failure.of(error)
        log.warning(f"deployment {self._desired.name}: {error}")
        state = WORDS[self._revision.stage] if error.retryable else State.FAILED
        self._revision = self._revision.with_component(name, state, failure)
        self._revision = replace(self._revision, failure=self._revision.failure or failure)

    def _outcome(self, attempts_when_well: int = 0) -> int:
        """Write down how it ended; return the number of tries so far when it is to be tried again."""
        revision = self._revision
        if revision.failure is None:
            log.info(f"deployment {self._desired.name}: installed")
            done = replace(revision.at(Stage.INSTALLED), attempts=attempts_when_well)
            hit("commit.before")
            self._revision = self._tools.ledger.commit(done, keep=self._tools.keep)
            hit("commit.after")
            if self._started is not None:
                self._tools.durations.note(done.deployment_id, self._kind, self._started)
            return self._drop()
        attempts = revision.attempts + 1
        self._revision = revision = replace(revision, attempts=attempts)
        self._lose_patience()
        final = next((each for each in self._revision.components if each.state is State.FAILED), None)
        if final is None:
            self._write(revision)
            return attempts
        self._write(replace(self._revision, stage=Stage.FAILED, failure=final.failure))
        return attempts if revision.verified else 0

    def _lose_patience(self) -> None:
        """Count an obstacle as a failure that did not pass while half a revision was running.

        Without an engine nothing else could run either.
        """
        revision = self._revision
        if revision.stage not in BEGUN or not self._may_fall_back or revision.attempts < PATIENCE:
            return
        for each in revision.components:
            if each.failure is not None and each.failure.code != EngineError.code:
                self._revision = self._revision.with_component(each.name, State.FAILED, each.failure)

    def _write(self, revision: Revision) -> None:
        self._revision = revision
        self._tools.ledger.record(revision)
