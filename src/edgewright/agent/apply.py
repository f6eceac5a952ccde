"""Apply and verify: carry out one action, component by component, remembering every step.

Everything a revision needs is fetched before anything that runs is touched. A component is up when its
runtime says so (spec: CMP-2); with `wait: false` the next one does not wait for it, but the deployment is
installed only when all are up (spec: AD-3, AD-4, OP-35).

Killed anywhere, the next round finds in the ledger where it stood and repeats from there: every call of a
runtime may be repeated.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from edgewright.agent import log
from edgewright.agent.desired import Desired, components_of
from edgewright.agent.failpoints import hit
from edgewright.agent.ledger import Ledger
from edgewright.agent.paths import Paths
from edgewright.agent.plan import Action, Install, Refuse, Remove, Repair, Wait
from edgewright.agent.revisions import Failure, Revision, Stage
from edgewright.agent.runtimes import Component, ComponentError, Runtime
from edgewright.protocol.status import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What carrying out an action needs; `runtimes` by profile, `telemetry` variables for OBS-8."""

    runtimes: Mapping[str, Runtime]
    ledger: Ledger
    paths: Paths
    telemetry: Mapping[str, str]


def carry_out(action: Action, tools: Tools) -> int:
    """Carry out `action`; return how many tries in a row it has taken without success, 0 for done.

    Done is also what failed for good. What failed for now is to be tried again, later each time.
    """
    match action:
        case Install(desired, revision, dropped):
            return _Course(desired, revision, tools).install(dropped)
        case Repair(desired, revision, broken):
            return _Course(desired, revision, tools).repair(broken)
        case Remove(revision, names):
            return _remove(revision, names, tools)
        case Refuse(desired, revision, failure):
            log.warning(f"deployment {desired.name} cannot run here: {failure.message}")
            components = tuple(
                replace(each, failure=failure) for each in revision.at(Stage.FAILED).components
            )
            tools.ledger.record(
                replace(
                    revision.at(Stage.FAILED), components=components, failure=failure, adopted=desired.version
                )
            )
            return 0
        case Wait(desired, reason):
            log.warning(f"deployment {desired.name} waits: {reason}")
            return 1
        case _:
            assert_never(action)


class _Course:
    """One revision on its way; `_revision` is how it stands, written down at each step."""

    def __init__(self, desired: Desired, revision: Revision, tools: Tools) -> None:
        assert desired.document is not None  # noqa: S101 - refused documents are not planned for
        self._desired = desired
        self._revision = revision
        self._tools = tools
        self._runtime = tools.runtimes[desired.document.spec.deployment_profile.type]
        self._components = components_of(desired, tools.paths, tools.telemetry)

    def install(self, dropped: Sequence[str]) -> int:
        """Bring the whole revision up."""
        log.info(f"deployment {self._desired.name}: installing {self._desired.digest[:19]}")
        again = self._revision.stage is Stage.FETCHING
        self._revision = self._revision.at(Stage.FETCHING)
        if not again:  # else the last obstacle stays reported until it is known to be gone
            self._write(self._revision)
        hit("fetch.begun")
        if not self._each(self._components, self._fetch):
            return self._outcome()
        self._write(self._revision.at(Stage.READY))
        hit("fetch.done")
        first = self._components[0].name
        begun = self._revision.at(Stage.APPLYING, State.PENDING).with_component(first, State.INSTALLING)
        self._revision = replace(begun, adopted=self._desired.version)
        self._tools.ledger.begin(self._revision)
        hit("apply.begun")
        return self._bring_up(self._components, dropped)

    def repair(self, broken: Sequence[str]) -> int:
        """Bring up those components that are not; the others are left alone."""
        log.warning(f"deployment {self._desired.name}: {', '.join(broken)} not running, repairing")
        components = [each for each in self._components if each.name in broken]
        self._revision = replace(self._revision, stage=Stage.APPLYING, failure=None)
        for each in components:
            self._revision = self._revision.with_component(each.name, State.INSTALLING)
        self._write(self._revision)
        if not self._each(components, self._fetch):
            return self._outcome()
        return self._bring_up(components, ())

    def _bring_up(self, components: Sequence[Component], dropped: Sequence[str]) -> int:
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
        if self._revision.failure is None:
            self._remove_dropped(dropped)
        return self._outcome()

    def _fetch(self, component: Component) -> None:
        self._runtime.fetch(component)
        hit("fetch.component")

    def _start(self, component: Component) -> None:
        self._write(self._revision.with_component(component.name, State.INSTALLING))
        hit("apply.component.begun")
        self._runtime.apply(component)
        hit("apply.component.started")

    def _verify(self, component: Component) -> None:
        self._runtime.verify(component)
        hit("apply.component.verified")

    def _remove_dropped(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                self._runtime.remove(self._desired.deployment_id, name)
            except ComponentError as error:
                self._fail(name, error)

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
        """Note a failure; what may succeed later is pending."""
        failure = Failure.of(error)
        log.warning(f"deployment {self._desired.name}: {error}")
        state = State.PENDING if error.retryable else State.FAILED
        self._revision = self._revision.with_component(name, state, failure)
        self._revision = replace(self._revision, failure=self._revision.failure or failure)

    def _outcome(self) -> int:
        """Write down how it ended; return the number of tries so far when it is to be tried again."""
        revision = self._revision
        if revision.failure is None:
            log.info(f"deployment {self._desired.name}: installed")
            done = replace(revision.at(Stage.INSTALLED), verified=True, attempts=0)
            hit("commit.before")
            self._tools.ledger.commit(done)
            hit("commit.after")
            _delete_other_revisions(done, self._tools.paths)
            return 0
        attempts = revision.attempts + 1
        final = next((each.failure for each in revision.components if each.state is State.FAILED), None)
        if final is not None:
            revision = replace(revision, stage=Stage.FAILED, failure=final, attempts=attempts)
            self._write(replace(revision, adopted=self._desired.version))
            return attempts if revision.verified else 0
        self._write(replace(revision, attempts=attempts))
        return attempts

    def _write(self, revision: Revision) -> None:
        self._revision = revision
        self._tools.ledger.record(revision)


def _remove(revision: Revision, names: Sequence[str], tools: Tools) -> int:
    """Remove a deployment's components, last one first, and forget it; nothing of it stays on disk."""
    log.info(f"deployment {revision.name}: removing")
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


def _delete_other_revisions(revision: Revision, paths: Paths) -> None:
    """Delete what runtimes materialised of the deployment's other revisions."""
    directory = paths.deployment(revision.deployment_id)
    kept = os.path.basename(paths.revision(*revision.key))
    if not os.path.isdir(directory):
        return
    for name in os.listdir(directory):
        if name != kept:
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)
