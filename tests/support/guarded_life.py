"""The same life of a device as in the model, at a site that wants to be asked before anything changes.

A person approves, postpones, rejects, pauses, overrides, at random; so do the fleet manager and the hardware.
What was agreed to is remembered here independently of the agent, and compared in the instant a change begins:
it is this very digest, nothing is paused, the window is open. Of what is held nothing is touched.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from edgewright.agent.consent.approvals import ApprovalError, Approvals
from edgewright.agent.consent.gate import Gate
from edgewright.agent.consent.holds import Holds
from edgewright.agent.consent.settle import Scene
from edgewright.agent.consent.wishes import WishError, Wishes
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.revisions import BEGUN, Revision, Stage
from edgewright.agent.state.store import Store
from edgewright.protocol.consent import Kind, Verdict
from support.bench import Crash, Fuse
from support.device_life import DOCUMENTS, SHAPES, DeviceLife, names_of

DAY, HOUR = 86400.0, 3600.0
OPENS, CLOSES = 2 * HOUR, 5 * HOUR
POLICIES = {
    (asks, night): f"apply: {{approval: {'required' if asks else 'automatic'}, approvalValid: 2d"
    + (", windows: ['daily 02:00-05:00 UTC']" if night else "")
    + "}"
    for asks in (True, False)
    for night in (True, False)
}
SHAPE = st.integers(0, len(SHAPES) - 1)
Change = tuple[str, str, bool]
"""Deployment id, digest, whether it is a removal."""


class GuardedLife(DeviceLife):
    """`agreed` maps changes to when they were approved, `urgent` are to begin in spite of everything.

    `settled` is the manifest by which consent was looked at last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.has_begun, self.asks, self.night = False, True, False
        self.agreed: dict[Change, float] = {}
        self.urgent: set[Change] = set()
        self.paused_until: float | None = None
        self.settled = 0

    # --- what people do ------------------------------------------------------------------------------

    @rule(asks=st.booleans(), night=st.booleans())
    def write_a_policy(self, asks: bool, night: bool) -> None:
        self.asks, self.night = asks, night

    @rule(
        verdict=st.sampled_from([Verdict.APPROVED, Verdict.APPROVED, Verdict.POSTPONED, Verdict.REJECTED]),
        data=st.data(),
    )
    def decide(self, verdict: Verdict, data: st.DataObject) -> None:
        with self._store() as store:
            approvals = Approvals(store, lambda: self.bench.now)
            known = approvals.all()
            if not known:
                return
            chosen = data.draw(st.sampled_from(known))
            with suppress(ApprovalError):
                until = self.bench.now + DAY
                approvals.decide(chosen.number, verdict, by="Ada", via="page", reason="so", until=until)
                change = (chosen.deployment_id, chosen.digest, chosen.kind is Kind.REMOVE)
                if verdict is Verdict.APPROVED:
                    self.agreed[change] = self.bench.now
                else:
                    self.agreed.pop(change, None)

    @rule(deployment_id=st.sampled_from(sorted(DOCUMENTS)), shape=SHAPE, fails=st.booleans())
    def agree_to_a_change(self, deployment_id: str, shape: int, fails: bool) -> None:
        self.want(deployment_id, shape)
        self.do_a_round(retry=False)
        self.agree_to_everything()
        if fails:
            digest = self.wanted[deployment_id]
            self.arrange_a_failure(("verify", "exits"), names_of(digest)[0], digest)
        self.do_a_round(retry=False)
        if fails:
            self.do_a_round(retry=True)  # what was agreed to once does not count for another try

    @rule(deployment_id=st.sampled_from(sorted(DOCUMENTS)), first=SHAPE, second=SHAPE, urgent=st.booleans())
    def change_its_mind_after_consent(
        self, deployment_id: str, first: int, second: int, urgent: bool
    ) -> None:
        """What was agreed to, or wished, is wanted no more, and then again."""
        self.want(deployment_id, first)
        self.do_a_round(retry=False)
        if urgent:
            self._override(deployment_id)
        else:
            self.agree_to_everything()
        for shape in (second, first):
            self.want(deployment_id, shape)
            self.do_a_round(retry=False)

    @rule()
    def agree_to_everything(self) -> None:
        self._agree()

    def _agree(self) -> bool:
        """Approve what is not approved; return whether there was anything."""
        with self._store() as store:
            approvals = Approvals(store, lambda: self.bench.now)
            asked = [each for each in approvals.open() if each.verdict is not Verdict.APPROVED]
            for each in asked:
                approvals.decide(each.number, Verdict.APPROVED, by="Ada", via="page")
                self.agreed[each.deployment_id, each.digest, each.kind is Kind.REMOVE] = self.bench.now
        return bool(asked)

    @rule()
    def wait_for_the_window(self) -> None:
        self.bench.now += (OPENS - self.bench.now) % DAY + 60.0

    @rule(data=st.data())
    def override(self, data: st.DataObject) -> None:
        with self._store() as store:
            held = Holds(store).held()
        if held:
            self._override(data.draw(st.sampled_from(held)).deployment_id)

    def _override(self, deployment_id: str) -> None:
        with self._store() as store, suppress(WishError, ApprovalError):
            wishes = Wishes(store, lambda: self.bench.now)
            given = wishes.override(deployment_id, by="Bob", via="page", reason="leak")
            self.urgent.add((deployment_id, given.digest, given.is_removal))

    @rule(hours=st.none() | st.integers(1, 48))
    def pause(self, hours: int | None) -> None:
        until = None if hours is None else self.bench.now + hours * HOUR
        with self._store() as store:
            Wishes(store, lambda: self.bench.now).pause(by="Ada", via="page", reason="", until=until)
        self.paused_until = float("inf") if until is None else until

    @precondition(lambda self: self.paused_until is not None)
    @rule()
    def resume(self) -> None:
        with self._store() as store, suppress(WishError):
            Wishes(store).resume(by="Ada", via="page")
        self.paused_until = None

    @rule(hours=st.integers(1, 30))
    def wait_for_hours(self, hours: int) -> None:
        self.bench.now += hours * HOUR

    # --- what always holds ---------------------------------------------------------------------------

    def _round(self, *, retry: bool = False, fuse: Fuse | None = None) -> float | None:
        self.bench.policy = POLICIES[self.asks, self.night] if self.has_begun else None
        sound, before = self._sound(), len(self.runtime.calls)
        self._forget_what_is_not_wanted()
        with self._guarded():
            again = super()._round(retry=retry, fuse=fuse)
        self.has_begun = True  # the first round installs what the life begins with
        self._forget_what_is_not_wanted()
        calls = self.runtime.calls[before:]
        touched = {owner for what, owner, _ in calls if what in {"apply", "remove", "snapshot"}}
        with self._store() as store:
            held = {each.deployment_id for each in Holds(store).held()}
        if fuse is None:
            assert not touched & held & sound, "something that is held was touched"
        return again

    def _sound(self) -> set[str]:
        """Return the deployments of which a revision runs whole, whatever is wanted."""
        return {
            each.deployment_id
            for each in self.bench.revisions()
            if each.stage is Stage.INSTALLED
            and not each.leaving
            and {name for owner, name in self.runtime.installed if owner == each.deployment_id}
            == set(names_of(each.digest))
            and not any(owner == each.deployment_id for owner, _ in self.runtime.unseen)
            and all(
                self.runtime.runs(each.deployment_id, name, each.digest) for name in names_of(each.digest)
            )
        }

    def _forget_what_is_not_wanted(self) -> None:
        """Consent is about what was wanted; a manifest that was never accepted was never seen.

        Nor was one whose only round was killed before it looked at consent: nobody was told of it.
        """
        current = self.manifests[self.settled]

        def is_wanted(change: Change) -> bool:
            deployment_id, digest, is_removal = change
            return deployment_id not in current if is_removal else current.get(deployment_id) == digest

        self.agreed = {change: at for change, at in self.agreed.items() if is_wanted(change)}
        self.urgent = {change for change in self.urgent if is_wanted(change)}

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            begin, write, settle = Ledger.begin, Ledger._write, Gate.settle

            def guarded_begin(ledger: Ledger, revision: Revision) -> None:
                siblings = ledger.of(revision.deployment_id)
                before = next((each.stage for each in siblings if each.digest == revision.digest), None)
                returns = self.witness.proved.get(revision.deployment_id) == revision.digest
                with self._used_up_if_done():
                    is_change = revision.stage in BEGUN  # a removal is checked where it is written
                    if is_change and before not in BEGUN and not returns:
                        self._check((revision.deployment_id, revision.digest, False))
                    begin(ledger, revision)

            def guarded_write(ledger: Ledger, revision: Revision, **how: Any) -> bool:
                with self._used_up_if_done():
                    if revision.stage is Stage.REMOVING:
                        self._check_removal(revision.deployment_id, ledger.of(revision.deployment_id))
                    return write(ledger, revision, **how)

            def watched_settle(gate: Gate, scene: Scene) -> None:
                settle(gate, scene)
                accepted = gate._store.accepted()
                assert accepted is not None
                assert accepted.version is not None
                self.settled = accepted.version
                was_over = self.paused_until is not None and self.paused_until <= self.bench.now
                if was_over and Wishes(gate._store).paused() is None:
                    self.paused_until = None  # also for a clock that goes back later

            patch.setattr(Gate, "settle", watched_settle)
            patch.setattr(Ledger, "begin", guarded_begin)
            patch.setattr(Ledger, "_write", guarded_write)
            yield

    @contextmanager
    def _used_up_if_done(self) -> Iterator[None]:
        agreed, urgent = dict(self.agreed), set(self.urgent)
        try:
            yield
        except Crash:  # the step was not completed
            self.agreed, self.urgent = agreed, urgent
            raise

    def _check_removal(self, deployment_id: str, siblings: tuple[Revision, ...]) -> None:
        if any(each.stage is Stage.REMOVING for each in siblings):
            return  # it has begun
        runs = self.witness.proved.get(deployment_id)
        if runs is not None:
            self._check((deployment_id, runs, True))

    def _check(self, change: Change) -> None:
        """What begins was agreed to, now; and that was used up by it."""
        if change in self.urgent:
            self.urgent.discard(change)
            self.agreed.pop(change, None)
            return
        assert self.paused_until is None or self.bench.now >= self.paused_until, "it was paused"
        assert not self.night or OPENS <= self.bench.now % DAY < CLOSES, "the window is closed"
        agreed = self.agreed.pop(change, None)
        if self.asks and self.has_begun:
            assert agreed is not None, f"nobody agreed to {change}"

    # --- how it ends ---------------------------------------------------------------------------------

    def check_convergence(self) -> None:
        """Once everybody agrees to everything, it comes to the same end as where nobody is asked."""
        self.resume_for_good()
        with self._agreeing():
            super().check_convergence()

    def resume_for_good(self) -> None:
        self.paused_until = None
        with self._store() as store, suppress(WishError):
            Wishes(store).resume(by="Ada", via="page")

    @contextmanager
    def _agreeing(self) -> Iterator[None]:
        """Approve after every round what it asked for, and come back at once for that."""
        once: Callable[..., float | None] = self._round

        def round_and_approve(**how: Any) -> float | None:
            again = once(**how)
            return 0.0 if self._agree() else again

        self._round = round_and_approve  # type: ignore[method-assign]
        yield

    @contextmanager
    def _store(self) -> Iterator[Store]:
        store = Store(self.bench.paths.database)
        try:
            yield store
        finally:
            store.close()
