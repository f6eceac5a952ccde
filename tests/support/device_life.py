"""Rounds in any order over a runtime that fails, an engine that goes away, and a process that is killed.

Hypothesis plays the fleet manager, the hardware and a careless person; after every step it is checked that
nothing foreign was touched, that the last good revision can still be started, that at most one revision
counts as installed, and that each report was true at the moment it was made. At the end all trouble stops:
a bounded number of rounds then has to reach what is wanted, or the last good revision with the failure told.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgewright.agent.runtimes import (
    ApplyError,
    ApplyTimeoutError,
    Component,
    ComponentError,
    ComponentInvalidError,
    CrashLoopError,
    FetchedWrongError,
    FetchError,
    Health,
    ObservedComponent,
    StorageError,
    StorageFullError,
)
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.revisions import BEGUN, GIVEN_UP, HELD, WAITING, Revision, Stage
from edgewright.agent.state.store import Manifest, Store, _Transaction
from edgewright.protocol.deployment import ApplicationDeployment
from support.bench import ID, OTHER, Bench, Crash, Fuse, with_fuse
from support.fake_runtime import FakeRuntime
from support.foreign_server import deployment_yaml, digest_of

SEVERITY = ("failed", "removing", "installing", "pending", "removed", "installed")  # spec: ST-3, OP-1
SHAPES: tuple[Mapping[str, Any], ...] = (
    {"components": ["web"]},
    {"components": ["db", "web"]},
    {"components": ["web", "more"]},
    {"components": ["db", "more", "web"], "name": "renamed"},
    {
        "components": ["web"],
        "parameters": {"p": {"value": "x", "targets": [{"pointer": "P", "components": ["web"]}]}},
    },
)
DOCUMENTS = {key: tuple(deployment_yaml(key, **shape) for shape in SHAPES) for key in (ID, OTHER)}
BY_DIGEST = {digest_of(data): data for documents in DOCUMENTS.values() for data in documents}
FAULTS: Mapping[str, Mapping[str, type[ComponentError]]] = {
    "fetch": {
        "unreachable": FetchError,
        "tampered": FetchedWrongError,
        "no-room": StorageFullError,
        "invalid": ComponentInvalidError,
    },
    "apply": {"refused": ApplyError, "no-room-left": StorageFullError, "read-only": StorageError},
    "verify": {"exits": ApplyError, "hangs": ApplyTimeoutError, "loops": CrashLoopError},
    "remove": {"stuck": StorageError},
}
KINDS = [(call, kind) for call, kinds in FAULTS.items() for kind in kinds]
NAMES = ("db", "more", "web")
ROUNDS_TO_CONVERGE = 12


def names_of(digest: str) -> tuple[str, ...]:
    """Return the components of one of the documents."""
    document = ApplicationDeployment.parse(BY_DIGEST[digest])
    return tuple(each.name for each in document.spec.deployment_profile.components)


@dataclass
class UnreliableRuntime(FakeRuntime):
    """Fails as told by `faults`, (call, component name, revision or "" for removals) to error class.

    `lost` are copies that vanished by somebody else's hand, `unseen` components that changed by it since the
    runtime was last observed. After every call `looked` is asked whether all is well.
    """

    faults: dict[tuple[str, str, str], type[ComponentError]] = field(default_factory=dict)
    lost: set[tuple[str, str, str]] = field(default_factory=set)
    unseen: set[tuple[str, str]] = field(default_factory=set)
    halfway: Callable[[], None] = lambda: None
    looked: Callable[[], None] = lambda: None

    def observe(self) -> Mapping[tuple[str, str], ObservedComponent]:
        found = super().observe()
        self.unseen.clear()
        return found

    def fetch(self, component: Component) -> None:
        if not self.is_ready(component):
            self._fail("fetch", component)
        super().fetch(component)
        self.lost.discard((*component.key, component.revision))

    def apply(self, component: Component) -> None:
        self._need_engine()
        if component.key in self.installed:
            stopped = replace(self.installed[component.key], revision="", health=Health.STOPPED)
            self.installed[component.key] = stopped
        self.halfway()
        self._fail("apply", component)
        super().apply(component)
        if ("verify", component.name, component.revision) in self.faults:
            self.break_down(*component.key)

    def verify(self, component: Component) -> None:
        self._fail("verify", component)
        super().verify(component)

    def remove(self, deployment_id: str, name: str, directory: str | None = None) -> None:
        self._need_engine()
        if error := self.faults.get(("remove", name, "")):
            raise error("arranged", component=name)
        super().remove(deployment_id, name, directory)

    def _fail(self, call: str, component: Component) -> None:
        self._need_engine()
        if error := self.faults.get((call, component.name, component.revision)):
            raise error("arranged", component=component.name)

    def _called(self, what: str, deployment_id: str, name: str) -> None:
        super()._called(what, deployment_id, name)
        assert deployment_id in {"", *DOCUMENTS}, f"{what} of foreign {deployment_id}"
        assert name in {"", *NAMES}
        self.looked()

    def runs(self, deployment_id: str, name: str, digest: str) -> bool:
        """Whether the component runs well in that revision, as far as anybody could know."""
        found = self.installed.get((deployment_id, name))
        well = found is not None and found.revision == digest and found.health is Health.RUNNING
        return well or (deployment_id, name) in self.unseen


class Witness:
    """Sees each thing the agent writes down at the moment it does, and compares it with what is so."""

    def __init__(self, runtime: UnreliableRuntime, manifests: Mapping[int, Mapping[str, str]]) -> None:
        self.runtime = runtime
        self.manifests = manifests
        self.proved: dict[str, str] = {}  # deployment id to the digest that came up whole last
        self.begun: dict[str, list[str]] = {}  # and to those that were begun, repaired or came back, in order
        self.current = 0  # the manifest that was accepted last
        self.accepted = 0  # and the one by which the agent looked at its revisions last
        self.taken_up = {0}  # the manifests that the agent has remembered what they want of
        self._subject: Revision | None = None
        runtime.looked = self.check_copies

    @contextmanager
    def watching(self) -> Iterator[pytest.MonkeyPatch]:
        with pytest.MonkeyPatch.context() as patch:
            write, queue, commit, begin = Ledger._write, Outbox.queue, Ledger.commit, Ledger.begin
            roll_back, take_up, drop = Ledger.roll_back, Ledger.take_up, Ledger.drop
            enter, leave, accept = _Transaction.__enter__, _Transaction.__exit__, Store.put_accepted
            before: tuple[dict[str, str], dict[str, list[str]]] = {}, {}

            def watched_enter(transaction: _Transaction) -> None:
                nonlocal before
                enter(transaction)
                if transaction._outermost:
                    before = deepcopy((self.proved, self.begun))

            def watched_leave(transaction: _Transaction, kind: Any, *rest: object) -> None:
                leave(transaction, kind, *rest)
                if transaction._outermost and kind is not None:
                    self.proved, self.begun = before  # the step was not completed

            def watched_write(ledger: Ledger, revision: Revision, **how: Any) -> bool:
                self._subject = revision
                siblings = {each.digest: each.stage for each in ledger.of(revision.deployment_id)}
                if revision.stage in BEGUN and siblings.get(revision.digest) not in BEGUN:
                    self.has_begun(revision)
                elif revision.stage in {Stage.REMOVING, Stage.REMOVED}:
                    self.proved.pop(revision.deployment_id, None)
                    self.begun.pop(revision.deployment_id, None)
                return write(ledger, revision, **how)

            def watched_queue(outbox: Outbox, name: str, method: str, path: str, body: bytes) -> bool:
                if name.startswith("status/") and self._subject is not None:
                    self.check_report(self._subject, json.loads(body))
                return queue(outbox, name, method, path, body)

            def watched_begin(ledger: Ledger, revision: Revision) -> None:
                begin(ledger, revision)
                if revision.stage in BEGUN:
                    self.has_begun(revision)

            def watched_drop(ledger: Ledger, revision: Revision) -> None:
                drop(ledger, revision)
                known = self.begun.get(revision.deployment_id, [])
                if revision.digest in known:
                    known.remove(revision.digest)

            def watched_commit(ledger: Ledger, revision: Revision, *, keep: int) -> Revision:
                self.check_whole(revision)
                done = commit(ledger, revision, keep=keep)
                self.proved[revision.deployment_id] = revision.digest
                self.has_begun(revision)
                return done

            def watched_roll_back(ledger: Ledger, revision: Revision, good: Revision) -> None:
                self.check_whole(good)
                known = self.proved.get(good.deployment_id)
                assert known in {None, good.digest}, "rolled back to something else than the last good one"
                roll_back(ledger, revision, good)
                self.has_begun(good)

            def watched_accept(store: Store, manifest: Manifest) -> None:
                accept(store, manifest)  # also from its copy, where the process died before the last step
                assert manifest.version is not None
                self.current = manifest.version

            def watched_take_up(ledger: Ledger, revisions: Any, **how: Any) -> None:
                accepted = ledger._store.accepted()
                assert accepted is not None
                assert accepted.version is not None
                self.accepted = accepted.version
                take_up(ledger, revisions, **how)
                self.taken_up.add(self.accepted)

            patch.setattr(_Transaction, "__enter__", watched_enter)
            patch.setattr(_Transaction, "__exit__", watched_leave)
            patch.setattr(Store, "put_accepted", watched_accept)
            patch.setattr(Ledger, "_write", watched_write)
            patch.setattr(Outbox, "queue", watched_queue)
            patch.setattr(Ledger, "begin", watched_begin)
            patch.setattr(Ledger, "drop", watched_drop)
            patch.setattr(Ledger, "commit", watched_commit)
            patch.setattr(Ledger, "roll_back", watched_roll_back)
            patch.setattr(Ledger, "take_up", watched_take_up)
            yield patch

    def has_begun(self, revision: Revision) -> None:
        known = self.begun.setdefault(revision.deployment_id, [])
        if revision.digest in known:
            known.remove(revision.digest)
        known.append(revision.digest)

    def check_copies(self) -> None:
        """What the last good revision is started from is here, but for what somebody else took away."""
        held = self.runtime.fetched | self.runtime.lost
        for deployment_id, digest in self.proved.items():
            for name in names_of(digest):
                assert (deployment_id, name, digest) in held, f"the copy of {name} was released"

    def check_whole(self, revision: Revision) -> None:
        for name in names_of(revision.digest):
            assert self.runtime.runs(revision.deployment_id, name, revision.digest), f"{name} does not run"

    def check_report(self, subject: Revision, body: Mapping[str, Any]) -> None:
        states = [each["state"] for each in body["components"]]
        status = body["status"]
        assert status["state"] == min(states, key=SEVERITY.index)
        deployment_id = subject.deployment_id
        for each in body["components"]:
            if each["state"] == "installed":
                assert self.runtime.runs(deployment_id, each["name"], subject.digest), f"{body}: it is not"
            elif each["state"] == "removed":
                assert (deployment_id, each["name"]) not in self.runtime.installed, f"{body}: it is not"
        if status["state"] == "failed":
            assert status["error"]["code"]
            assert status["error"]["source"]
            self.check_message(deployment_id, status["error"]["message"])
        self.check_version(subject, body["adoptedManifestVersion"])

    def check_message(self, deployment_id: str, message: str) -> None:
        if message.endswith(("is running again", "is still running")):
            digest = next(each for each in BY_DIGEST if f"revision {each[7:19]} " in message)
            for name in names_of(digest):
                assert self.runtime.runs(deployment_id, name, digest), f"{message}: {name} does not"

    def check_version(self, subject: Revision, adopted: int) -> None:
        """It is that of the newest manifest with the revision that is held (spec: ST-21 to ST-24).

        While one waits, that is the one begun last of those that are not forgotten.
        """
        deployment_id, stage = subject.deployment_id, subject.stage
        current = self.manifests[self.accepted]
        if stage in {Stage.REMOVING, Stage.REMOVED}:
            assert deployment_id not in self.manifests[adopted]
            return
        if stage in HELD and current.get(deployment_id) == subject.digest:
            assert adopted == self.accepted
            return
        assert stage in HELD | WAITING
        begun = self.begun.get(deployment_id) if stage in WAITING else None
        held = begun[-1] if begun else subject.digest
        known = self.taken_up | {self.accepted}
        right = max(number for number in known if self.manifests[number].get(deployment_id) == held)
        assert adopted == right, f"{stage}: {adopted} is not {right}"


class DeviceLife(RuleBasedStateMachine):
    """One device, two deployments, five documents for each."""

    @initialize(shapes=st.lists(st.integers(0, len(SHAPES) - 1), max_size=2))
    def start(self, shapes: list[int]) -> None:
        """Begin with as many deployments installed."""
        self.directory = Path(tempfile.mkdtemp(prefix="edgewright-model-"))
        self.foreign = self.directory / "foreign"
        self.foreign.write_text("somebody else's")
        self.bench = Bench(self.directory / "state")
        self.runtime = UnreliableRuntime()
        self.bench.runtime = self.runtime
        self.manifests: dict[int, dict[str, str]] = {0: {}}
        self.wanted: dict[str, str] = {}
        self.witness = Witness(self.runtime, self.manifests)
        self.again: float | None = 0.0
        for deployment_id, shape in zip(DOCUMENTS, shapes, strict=False):
            self.want(deployment_id, shape)
        self.do_a_round(retry=False)

    # --- what the fleet manager does -----------------------------------------------------------------

    @rule(deployment_id=st.sampled_from(sorted(DOCUMENTS)), shape=st.integers(0, len(SHAPES) - 1))
    def want(self, deployment_id: str, shape: int) -> None:
        self.wanted[deployment_id] = digest_of(DOCUMENTS[deployment_id][shape])
        self._serve()

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        del self.wanted[data.draw(st.sampled_from(sorted(self.wanted)))]
        self._serve()

    @rule()
    def say_the_same_in_a_new_manifest(self) -> None:
        self._serve()

    @rule(reachable=st.booleans())
    def connect(self, reachable: bool) -> None:
        self.bench.session.reachable = reachable

    # --- what breaks ---------------------------------------------------------------------------------

    @rule(
        kind=st.sampled_from(KINDS),
        name=st.sampled_from(NAMES),
        digest=st.sampled_from(sorted(BY_DIGEST)),
    )
    def arrange_a_failure(self, kind: tuple[str, str], name: str, digest: str) -> None:
        call, word = kind
        self.runtime.faults[call, name, "" if call == "remove" else digest] = FAULTS[call][word]

    @precondition(lambda self: self.wanted)
    @rule(kind=st.sampled_from(KINDS), data=st.data())
    def arrange_a_failure_of_what_is_wanted(self, kind: tuple[str, str], data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(sorted(self.wanted.values())))
        self.arrange_a_failure(kind, data.draw(st.sampled_from(names_of(digest))), digest)

    @precondition(lambda self: self.runtime.faults)
    @rule(data=st.data())
    def end_a_failure(self, data: st.DataObject) -> None:
        del self.runtime.faults[data.draw(st.sampled_from(sorted(self.runtime.faults)))]

    @rule(down=st.booleans())
    def switch_the_engine(self, down: bool) -> None:
        self.runtime.engine_down = down

    @precondition(lambda self: self.runtime.installed)
    @rule(how=st.sampled_from(["dies", "loops", "is removed"]), data=st.data())
    def break_a_component(self, how: str, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.runtime.installed)))
        act = {
            "dies": self.runtime.break_down,
            "loops": self.runtime.crash_loop,
            "is removed": self.runtime.lose,
        }
        act[how](*key)
        self.runtime.unseen.add(key)

    @precondition(lambda self: self.runtime.fetched)
    @rule(data=st.data())
    def lose_a_copy(self, data: st.DataObject) -> None:
        """An image or a project directory is deleted by hand."""
        entry = data.draw(st.sampled_from(sorted(self.runtime.fetched)))
        self.runtime.fetched.discard(entry)
        self.runtime.lost.add(entry)

    @rule(seconds=st.sampled_from([1.0, 60.0, 700.0, 90_000.0, -3600.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.bench.now += seconds

    # --- what the agent does -------------------------------------------------------------------------

    @rule(retry=st.booleans())
    def do_a_round(self, retry: bool) -> None:
        self.again = self._round(retry=retry)

    @rule(
        deployment_id=st.sampled_from(sorted(DOCUMENTS)),
        shape=st.integers(0, len(SHAPES) - 1),
        kind=st.sampled_from([kind for kind in KINDS if kind[0] in {"apply", "verify"}]),
        at=st.none() | st.integers(1, 80),
        data=st.data(),
    )
    def try_what_does_not_come_up(
        self, deployment_id: str, shape: int, kind: tuple[str, str], at: int | None, data: st.DataObject
    ) -> None:
        self.want(deployment_id, shape)
        digest = self.wanted[deployment_id]
        self.arrange_a_failure(kind, data.draw(st.sampled_from(names_of(digest))), digest)
        self._round(fuse=None if at is None else Fuse(at))

    @rule(at=st.integers(1, 80))
    def be_killed_in_a_round(self, at: int) -> None:
        self._round(fuse=Fuse(at))

    # --- what always holds ---------------------------------------------------------------------------

    @invariant()
    def what_is_foreign_stays(self) -> None:
        assert self.foreign.read_text() == "somebody else's"

    @invariant()
    def the_last_good_revision_can_be_started(self) -> None:
        self.witness.check_copies()

    @invariant()
    def at_most_one_revision_is_installed(self) -> None:
        installed = [each.deployment_id for each in self.bench.revisions() if each.stage is Stage.INSTALLED]
        assert len(installed) == len(set(installed))

    def teardown(self) -> None:
        try:
            self.check_convergence()
        finally:
            shutil.rmtree(self.directory)

    def check_convergence(self) -> None:
        """When all failures stop, so does the work, and everything is as it should be."""
        self.runtime.faults.clear()
        self.runtime.engine_down = False
        self.bench.session.reachable = True
        self.again, rounds = 0.0, 0
        while self.again is not None:
            self.bench.now += self.again
            self.again = self._round()
            rounds += 1
            assert rounds <= ROUNDS_TO_CONVERGE, f"still at work after {rounds} rounds"
        for deployment_id in DOCUMENTS:
            self._check_end(deployment_id)
        reports, calls = self.bench.reports, len(self.runtime.calls)
        self._round()
        assert self.bench.reports == reports
        assert {what for what, _, _ in self.runtime.calls[calls:]} <= {"check"}, (
            "there was still something to do"
        )

    def _check_end(self, deployment_id: str) -> None:
        running = {
            name: each.revision
            for (owner, name), each in self.runtime.installed.items()
            if owner == deployment_id
        }
        statuses = [body for path, body in self.bench.reports if path.endswith(f"/{deployment_id}/status")]
        wanted, good = self.wanted.get(deployment_id), self.witness.proved.get(deployment_id)
        if wanted is None:
            assert running == {}
            assert not statuses or statuses[-1]["status"]["state"] == "removed"
            return
        assert statuses[-1]["adoptedManifestVersion"] == self.bench.version
        stage = next(each.stage for each in self.bench.revisions() if each.key == (deployment_id, wanted))
        if stage in GIVEN_UP:
            assert statuses[-1]["status"]["state"] == "failed"
            if good is None:
                return  # a first install that failed is left as it is
            assert stage is Stage.ROLLED_BACK
            expected = good
        else:
            assert stage is Stage.INSTALLED
            assert statuses[-1]["status"]["state"] == "installed"
            expected = wanted
        assert running == dict.fromkeys(names_of(expected), expected)
        assert all(self.runtime.runs(deployment_id, name, expected) for name in running)

    def _serve(self) -> None:
        version = self.bench.receive(*(BY_DIGEST[digest] for digest in self.wanted.values()))
        self.manifests[version] = dict(self.wanted)

    def _round(self, *, retry: bool = False, fuse: Fuse | None = None) -> float | None:
        # Which manifest is accepted in the end, and tells what is right, is known only then.
        wishes = {} if retry else {n: each for n, each in self.manifests.items() if n >= self.witness.current}
        calm = {version: self._calm(wanted) for version, wanted in wishes.items()}
        before = len(self.runtime.calls)
        unseen = set(self.runtime.unseen)
        with self.witness.watching() as patch:
            if fuse is not None:
                patch.setattr(self.runtime, "halfway", fuse.burn)
                with_fuse(patch, self.bench, fuse)
            try:
                return self.bench.round(retry_failed=retry)
            except Crash:
                self.runtime.unseen |= unseen  # what it saw died with it
                return 0.0
            finally:
                touched = {
                    owner
                    for what, owner, _ in self.runtime.calls[before:]
                    if what in {"apply", "remove", "snapshot"}
                }
                assert not touched & calm.get(self.witness.current, set()), "something healthy was touched"

    def _calm(self, manifest: Mapping[str, str]) -> set[str]:
        """Return the deployments of which the revision that is right by `manifest` runs: leave them alone."""
        known = {each.key: each for each in self.bench.revisions()}
        calm = set()
        for key, revision in known.items():
            deployment_id, digest = key
            wanted = known.get((deployment_id, manifest.get(deployment_id, "")))
            running = {name for owner, name in self.runtime.installed if owner == deployment_id}
            if (
                revision.stage is Stage.INSTALLED
                and not revision.leaving
                and (wanted is revision or (wanted is not None and wanted.stage is Stage.ROLLED_BACK))
                and running == set(names_of(digest))
                and not any((deployment_id, name) in self.runtime.unseen for name in running)
                and all(self.runtime.runs(deployment_id, name, digest) for name in running)
            ):
                calm.add(deployment_id)
        return calm
