"""What may happen next in a rollout, case by case; and what never happens, whatever devices do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.protocol.durations import Duration
from edgewright.server.domain.contact import Contact
from edgewright.server.domain.rollout_actions import cancel, pause, proceed, resume, retry, skip, supersede
from edgewright.server.domain.rollout_progress import Advance, advance, begun
from edgewright.server.domain.rollouts import (
    ENDED,
    FOLLOWS,
    Observed,
    Obstacle,
    Rollout,
    RolloutState,
    Step,
    StepState,
    room,
    standing,
)
from edgewright.server.domain.strategies import OnError, PauseAfter, Share, Strategy, Then
from edgewright.server.domain.truth import Truth
from edgewright.server.errors import ConflictError, InvalidError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=1)
LONG_AGO = NOW - timedelta(hours=2)
HERE = Observed(contact=Contact.IN_CONTACT)
AWAY = Observed(contact=Contact.SILENT)


def rollout(**members: object) -> Rollout:
    return replace(
        Rollout(state=RolloutState.RUNNING, strategy=Strategy(), batch=1, batches=1),
        **members,  # type: ignore[arg-type]
    )


def waiting(name: str = "a", batch: int = 1, **members: object) -> Step:
    return replace(Step(client_id=name, batch=batch), **members)  # type: ignore[arg-type]


def under_way(name: str = "a", batch: int = 1, **members: object) -> Step:
    return waiting(name, batch, **{"state": StepState.BEGUN, "begun": EARLIER, "since": EARLIER, **members})


def done(name: str = "a", batch: int = 1, **members: object) -> Step:
    return under_way(name, batch, **{"state": StepState.DONE, "ended": EARLIER, **members})


def failed(name: str = "a", batch: int = 1, **members: object) -> Step:
    return done(name, batch, **{"state": StepState.FAILED, "message": "no image", **members})


def seen(truth: Truth | None, contact: Contact | None = Contact.IN_CONTACT, message: str = "") -> Observed:
    return Observed(contact=contact, truth=truth, message=message)


@pytest.mark.parametrize(
    ("step", "word", "state", "obstacle"),
    [
        pytest.param(under_way(), seen(Truth.CONVERGED), StepState.DONE, "", id="converged is done"),
        pytest.param(under_way(), seen(Truth.REMOVED), StepState.DONE, "", id="removed is done"),
        pytest.param(under_way(), seen(None), StepState.DONE, "", id="nothing there is done"),
        pytest.param(under_way(), seen(Truth.FAILED), StepState.FAILED, "", id="failed is failed"),
        pytest.param(under_way(), seen(Truth.WAITING), StepState.BEGUN, "", id="not heard of yet"),
        pytest.param(under_way(), seen(Truth.TAKING_UP), StepState.BEGUN, "", id="taking it up"),
        pytest.param(under_way(), seen(Truth.BEHIND), StepState.BEGUN, "", id="still has the old one"),
        pytest.param(
            under_way(), seen(Truth.WAITING_FOR_APPROVAL), StepState.BEGUN, "approval", id="a person decides"
        ),
        pytest.param(under_way(), seen(Truth.HELD), StepState.BEGUN, "held", id="the window is shut"),
        pytest.param(
            under_way(), seen(Truth.BEHIND, Contact.SILENT), StepState.BEGUN, "silent", id="it went silent"
        ),
        pytest.param(
            under_way(),
            seen(Truth.BEHIND, Contact.PLANNED_SILENCE),
            StepState.BEGUN,
            "planned-silence",
            id="it sleeps by its policy",
        ),
        pytest.param(
            under_way(),
            seen(Truth.CONVERGED, Contact.SILENT),
            StepState.DONE,
            "",
            id="silent after it was done",
        ),
        pytest.param(under_way(), seen(Truth.BEHIND, None), StepState.SKIPPED, "", id="it was retired"),
        pytest.param(done(), seen(Truth.CONVERGED), StepState.DONE, "", id="done stays done"),
        pytest.param(done(), seen(Truth.TAKING_UP), StepState.DONE, "", id="done and repairing is done"),
        pytest.param(done(), seen(Truth.FAILED), StepState.FAILED, "", id="done and then failed"),
        pytest.param(failed(), seen(Truth.CONVERGED), StepState.DONE, "", id="failed and then well"),
        pytest.param(failed(), seen(Truth.TAKING_UP), StepState.FAILED, "", id="failed, trying still"),
        pytest.param(
            under_way(state=StepState.LATE), seen(Truth.CONVERGED), StepState.DONE, "", id="late, then done"
        ),
        pytest.param(
            under_way(state=StepState.LATE), seen(Truth.FAILED), StepState.FAILED, "", id="late, then failed"
        ),
        pytest.param(
            waiting(state=StepState.SKIPPED),
            seen(Truth.FAILED),
            StepState.SKIPPED,
            "",
            id="left out for good",
        ),
        pytest.param(waiting(), AWAY, StepState.WAITING, "silent", id="silent when its turn comes"),
        pytest.param(
            waiting(),
            Observed(contact=Contact.NEVER),
            StepState.WAITING,
            "silent",
            id="never heard of when its turn comes",
        ),
        pytest.param(
            waiting(obstacle=Obstacle.SILENT, since=EARLIER), HERE, StepState.WAITING, "", id="back"
        ),
        pytest.param(
            waiting(batch=2), AWAY, StepState.WAITING, "", id="silence does not matter before the turn"
        ),
    ],
)
def test_what_becomes_of_a_device(step: Step, word: Observed, state: StepState, obstacle: str) -> None:
    after = changed(advance(rollout(batches=2), [step, under_way("other")], {"a": word}, NOW), step)
    assert (after.state, after.obstacle) == (state, obstacle)


def changed(made: Advance, step: Step) -> Step:
    return next((one for one in made.changed if one.client_id == step.client_id), step)


OLD = {"begun": LONG_AGO, "since": LONG_AGO}


@pytest.mark.parametrize(
    ("step", "absent", "state"),
    [
        pytest.param(under_way(**OLD), Then.GO_ON, StepState.FAILED, id="working for too long"),
        pytest.param(
            under_way(**OLD), Then.WAIT, StepState.FAILED, id="working for too long, whatever absent"
        ),
        pytest.param(under_way(begun=LONG_AGO), Then.GO_ON, StepState.BEGUN, id="working since lately"),
        pytest.param(under_way(obstacle=Obstacle.HELD, **OLD), Then.GO_ON, StepState.LATE, id="held: go on"),
        pytest.param(under_way(obstacle=Obstacle.HELD, **OLD), Then.WAIT, StepState.BEGUN, id="held: wait"),
        pytest.param(under_way(obstacle=Obstacle.HELD, **OLD), Then.FAIL, StepState.FAILED, id="held: fail"),
        pytest.param(
            under_way(obstacle=Obstacle.SILENT, begun=LONG_AGO),
            Then.GO_ON,
            StepState.LATE,
            id="silent again and again",
        ),
        pytest.param(
            waiting(obstacle=Obstacle.SILENT, since=LONG_AGO), Then.GO_ON, StepState.LATE, id="away: go on"
        ),
        pytest.param(
            waiting(obstacle=Obstacle.SILENT, since=LONG_AGO), Then.WAIT, StepState.WAITING, id="away: wait"
        ),
        pytest.param(
            waiting(obstacle=Obstacle.SILENT, since=LONG_AGO), Then.FAIL, StepState.FAILED, id="away: fail"
        ),
        pytest.param(
            waiting(obstacle=Obstacle.SILENT, since=EARLIER),
            Then.GO_ON,
            StepState.WAITING,
            id="away for little",
        ),
        pytest.param(
            under_way(state=StepState.LATE, **OLD),
            Then.GO_ON,
            StepState.FAILED,
            id="late, then works too long",
        ),
    ],
)
def test_time_ends_the_waiting_for_a_device(step: Step, absent: Then, state: StepState) -> None:
    strategy = Strategy(absent=absent, success_threshold=0)
    assert changed(advance(rollout(strategy=strategy), [step], {}, NOW), step).state is state


def test_nothing_begins_that_was_not_looked_at() -> None:
    assert advance(rollout(), [waiting("a"), waiting("b")], {"b": HERE}, NOW).begin == ("b",)


def test_a_device_that_sleeps_by_its_policy_is_given_it_to_find_on_waking() -> None:
    asleep = Observed(contact=Contact.PLANNED_SILENCE)
    assert advance(rollout(), [waiting()], {"a": asleep}, NOW).begin == ("a",)


def test_batches_begin_in_order() -> None:
    steps = [waiting("a", 2), waiting("b", 1)]
    everybody = {"a": HERE, "b": HERE}
    assert advance(rollout(batches=2), steps, everybody, NOW).begin == ("b",)
    made = advance(rollout(batches=2), [waiting("a", 2), done("b", 1)], everybody, NOW)
    assert (made.rollout.batch, made.begin) == (2, ("a",))
    assert [event.message for event in made.events] == ["Batch 1 is over: 1 done"]


@pytest.mark.parametrize(
    ("budget", "steps", "begin"),
    [
        pytest.param(Share(2), [waiting("a"), waiting("b"), waiting("c")], ("a", "b"), id="as many as fit"),
        pytest.param(
            Share(2), [under_way("a"), waiting("b"), waiting("c")], ("b",), id="who is under way counts"
        ),
        pytest.param(Share(1), [failed("a"), waiting("b")], (), id="who failed counts"),
        pytest.param(
            Share(1),
            [failed("a", is_accepted=True), waiting("b")],
            ("b",),
            id="a failure that was accepted does not",
        ),
        pytest.param(Share(1), [done("a"), waiting("b")], ("b",), id="who is done does not"),
        pytest.param(
            Share(1),
            [under_way("a", state=StepState.LATE), waiting("b")],
            (),
            id="a late one that works on it counts",
        ),
        pytest.param(
            Share(1),
            [under_way("a", state=StepState.LATE, obstacle=Obstacle.HELD), waiting("b")],
            ("b",),
            id="a late one that is held does not",
        ),
        pytest.param(
            Share(50, is_percent=True), [waiting(name) for name in "abcd"], ("a", "b"), id="percent"
        ),
    ],
)
def test_no_more_begin_than_the_budget_lets(budget: Share, steps: list[Step], begin: tuple[str, ...]) -> None:
    strategy = Strategy(disruption_budget=budget, on_error=OnError.CONTINUE)
    everybody = {step.client_id: HERE for step in steps if not step.is_given}
    assert advance(rollout(strategy=strategy), steps, everybody, NOW).begin == begin


@pytest.mark.parametrize(
    ("strategy", "steps", "stops"),
    [
        pytest.param(
            Strategy(), [failed("a"), waiting("b")], "1 of 2 devices of batch 1", id="nobody may fail"
        ),
        pytest.param(Strategy(success_threshold=50), [failed("a"), waiting("b")], None, id="half may fail"),
        pytest.param(
            Strategy(success_threshold=50),
            [failed("a"), failed("b"), waiting("c")],
            "at most 1",
            id="told at once",
        ),
        pytest.param(
            Strategy(success_threshold=50, max_failures=0),
            [failed("a"), waiting("b")],
            "in all",
            id="none in all",
        ),
        pytest.param(
            Strategy(on_error=OnError.CONTINUE, max_failures=0), [failed("a"), waiting("b")], None, id="go on"
        ),
        pytest.param(
            Strategy(), [failed("a", is_accepted=True), waiting("b")], None, id="accepted by a person"
        ),
        pytest.param(
            Strategy(success_threshold=50),
            [failed("a"), waiting("b", state=StepState.SKIPPED)],
            "1 of 1",
            id="who was left out is not counted",
        ),
    ],
)
def test_too_many_failures_stop_it(strategy: Strategy, steps: list[Step], stops: str | None) -> None:
    made = advance(
        rollout(strategy=strategy), steps, {step.client_id: HERE for step in steps if not step.is_given}, NOW
    )
    if stops is None:
        assert made.rollout.state in {RolloutState.RUNNING, RolloutState.DONE}
    else:
        assert made.rollout.state is RolloutState.STOPPED
        assert stops in made.rollout.message
        assert made.begin == ()


def test_a_failure_found_while_paused_stops_it_as_well() -> None:
    made = advance(rollout(state=RolloutState.PAUSED), [done()], {"a": seen(Truth.FAILED)}, NOW)
    assert made.rollout.state is RolloutState.STOPPED


def test_reverting_is_asked_for_until_it_is_done() -> None:
    strategy = Strategy(on_error=OnError.REVERT)
    made = advance(rollout(strategy=strategy), [failed(), waiting("b")], {}, NOW)
    assert made.reverts
    assert advance(made.rollout, [failed(), waiting("b")], {}, NOW).reverts
    superseded, _ = supersede(made.rollout, [failed(), waiting("b")], NOW, by=2)
    assert not advance(superseded, [failed()], {}, NOW).reverts


def test_a_batch_has_to_stay_well_for_a_while() -> None:
    soaking = rollout(strategy=Strategy(soak=Duration("10m")), batches=2)
    steps = [done("a", 1), waiting("b", 2)]
    made = advance(soaking, steps, {"b": HERE}, NOW)
    assert (made.rollout.batch, made.begin, made.wake) == (1, (), EARLIER + timedelta(minutes=10))
    made = advance(soaking, steps, {"b": HERE}, EARLIER + timedelta(minutes=10))
    assert (made.rollout.batch, made.begin) == (2, ("b",))


def test_a_device_that_fails_while_its_batch_soaks_stops_it() -> None:
    soaking = rollout(strategy=Strategy(soak=Duration("10m")), batches=2)
    made = advance(soaking, [done("a", 1), waiting("b", 2)], {"a": seen(Truth.FAILED)}, NOW)
    assert made.rollout.state is RolloutState.STOPPED


def test_a_person_is_asked_after_a_batch_and_the_next_one_begins_when_they_resume() -> None:
    asking = rollout(strategy=Strategy(pause_after=PauseAfter.FIRST), batches=2)
    steps = [done("a", 1), waiting("b", 2)]
    made = advance(asking, steps, {"b": HERE}, NOW)
    assert (made.rollout.state, made.begin) == (RolloutState.PAUSED, ())
    assert standing(made.rollout, steps, NOW) == "Paused: batch 1 is over: 1 done; batch 2 comes next"
    resumed, _ = resume(made.rollout, steps)
    assert advance(resumed, steps, {"b": HERE}, NOW).begin == ("b",)


def test_a_canary_that_nobody_could_reach_proves_nothing() -> None:
    absent = waiting("a", 1, state=StepState.LATE, obstacle=Obstacle.SILENT)
    made = advance(rollout(batches=2), [absent, waiting("b", 2)], {"b": HERE}, NOW)
    assert made.rollout.state is RolloutState.PAUSED
    assert "none of the devices of batch 1 could take it up yet" in made.rollout.message


def test_it_ends_when_every_device_is_settled() -> None:
    steps = [done("a"), failed("b", is_accepted=True), under_way("c", state=StepState.LATE)]
    made = advance(rollout(), steps, {}, NOW)
    assert made.rollout.state is RolloutState.DONE
    assert made.rollout.message == "1 done, 1 failed, 1 late"


def test_the_absent_are_given_it_at_the_end_to_find_it_on_their_return() -> None:
    absent = waiting("b", state=StepState.LATE, obstacle=Obstacle.SILENT)
    made = advance(rollout(), [done("a"), absent], {}, NOW)
    assert (made.rollout.state, made.begin) == (RolloutState.RUNNING, ("b",))
    given = begun(absent, NOW)
    assert given.state is StepState.LATE
    assert advance(rollout(), [done("a"), given], {}, NOW).rollout.state is RolloutState.DONE


def test_an_absent_device_that_is_back_has_its_turn_within_the_budget() -> None:
    strategy = Strategy(disruption_budget=Share(1), on_error=OnError.CONTINUE)
    back = waiting("b", 1, state=StepState.LATE, obstacle=Obstacle.SILENT)
    steps = [under_way("a", 2), back]
    made = advance(rollout(strategy=strategy, batch=2, batches=2), steps, {"b": HERE}, NOW)
    assert (made.begin, changed(made, back).obstacle) == ((), Obstacle.NONE)
    steps = [done("a", 2), changed(made, back)]
    assert advance(rollout(strategy=strategy, batch=2, batches=2), steps, {"b": HERE}, NOW).begin == ("b",)


def test_a_rollout_for_nobody_is_done() -> None:
    made = advance(rollout(batches=0), [], {}, NOW)
    assert (made.rollout.state, made.rollout.message) == (RolloutState.DONE, "no devices")


@pytest.mark.parametrize("state", sorted(ENDED))
def test_nothing_changes_in_a_rollout_that_has_ended(state: RolloutState) -> None:
    made = advance(rollout(state=state), [done("a"), waiting("b")], {"a": seen(Truth.FAILED), "b": HERE}, NOW)
    assert made == Advance(rollout=rollout(state=state))


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([under_way("a")], "Batch 1 of 1: 1 device is under way"),
        (
            [under_way("a", obstacle=Obstacle.APPROVAL), under_way("b", obstacle=Obstacle.SILENT)],
            "Batch 1 of 1: 2 devices are under way (1 silent, 1 waiting for approval on site)",
        ),
        ([waiting("a", obstacle=Obstacle.SILENT, since=NOW)], "Batch 1 of 1: 1 whose turn it is is silent"),
        (
            [failed("a"), failed("b"), waiting("c")],
            "Batch 1 of 1: 1 more waits for the disruption budget of 2,"
            " and 2 failed: retry or leave out those",
        ),
        ([waiting("a"), waiting("b")], "Batch 1 of 1: 2 next"),
        (
            [done("a"), waiting("b", 2)],
            "Batch 1 of 1 has to stay well for 10m, until 2026-11-23 12:09:00 UTC",
        ),
    ],
)
def test_it_says_why_it_stands_still(steps: list[Step], words: str) -> None:
    strategy = Strategy(disruption_budget=Share(2), soak=Duration("10m"), on_error=OnError.CONTINUE)
    assert standing(rollout(strategy=strategy), steps, NOW) == words


# What people do


def test_what_was_paused_can_be_resumed_and_nothing_else() -> None:
    paused, _ = pause(rollout(), reason="shift change")
    assert paused.message == "by a person: shift change"
    assert resume(paused, [])[0].state is RolloutState.RUNNING
    with pytest.raises(ConflictError, match="only a running one"):
        pause(paused)
    with pytest.raises(ConflictError, match="only a paused or stopped"):
        resume(rollout(), [])


def test_resuming_accepts_the_failures_so_far_and_no_later_one() -> None:
    stopped = rollout(state=RolloutState.STOPPED)
    resumed, accepted = resume(stopped, [failed("a"), waiting("b")])
    assert [step.is_accepted for step in accepted] == [True]
    made = advance(resumed, [*accepted, waiting("b")], {"b": HERE}, NOW)
    assert made.begin == ("b",)
    made = advance(made.rollout, [*accepted, begun(waiting("b"), NOW)], {"b": seen(Truth.FAILED)}, NOW)
    assert made.rollout.state is RolloutState.STOPPED


def test_going_on_to_all_begins_every_batch_within_the_budget() -> None:
    strategy = Strategy(
        disruption_budget=Share(2), pause_after=PauseAfter.EVERY, soak=Duration("1h"), batches=(Share(1),)
    )
    steps = [done("a", 1), waiting("b", 2), waiting("c", 3), waiting("d", 4)]
    forward, _ = proceed(rollout(strategy=strategy, batches=4, state=RolloutState.PAUSED), steps)
    assert advance(forward, steps, dict.fromkeys("bcd", HERE), NOW).begin == ("b", "c")


def test_cancelling_leaves_everything_as_it_is() -> None:
    steps = [done("a"), under_way("b"), waiting("c"), waiting("d", state=StepState.LATE)]
    ended, changes = cancel(rollout(), steps, NOW)
    assert ended.state is RolloutState.CANCELLED
    assert [(step.client_id, step.state) for step in changes] == [
        ("c", StepState.CANCELLED),
        ("d", StepState.CANCELLED),
    ]
    with pytest.raises(ConflictError, match="has ended"):
        cancel(ended, steps, NOW)


def test_a_newer_revision_takes_the_place_of_a_rollout() -> None:
    ended, changes = supersede(rollout(), [under_way("a"), waiting("b"), done("c")], NOW, by=3)
    assert (ended.state, ended.message) == (RolloutState.SUPERSEDED, "revision 3 is rolled out instead")
    assert [step.client_id for step in changes] == ["a", "b"]


def test_what_had_ended_stays_as_it_was_when_a_newer_revision_comes() -> None:
    late = under_way("a", state=StepState.LATE)
    ended, (step,) = supersede(rollout(state=RolloutState.DONE), [late, done("b")], NOW, by=3)
    assert (ended.state, step.state) == (RolloutState.DONE, StepState.CANCELLED)


def test_who_was_late_is_done_when_it_comes_after_the_end() -> None:
    late = under_way("a", state=StepState.LATE, obstacle=Obstacle.SILENT)
    over = rollout(state=RolloutState.DONE)
    assert changed(advance(over, [late], {"a": seen(Truth.CONVERGED)}, NOW), late).state is StepState.DONE
    made = advance(over, [late], {"a": seen(Truth.FAILED)}, NOW)
    assert (changed(made, late).state, made.rollout) == (StepState.FAILED, over)


def test_a_device_that_is_left_out_holds_nobody_up() -> None:
    _, (step,) = skip(rollout(), [under_way("a")], ["a"], NOW, reason="spare")
    assert (step.state, step.message) == (StepState.SKIPPED, "by a person: spare")
    assert advance(rollout(), [step], {}, NOW).rollout.state is RolloutState.DONE


@pytest.mark.parametrize("states", [StepState.DONE, StepState.SKIPPED, StepState.CANCELLED])
def test_what_is_over_cannot_be_left_out(states: StepState) -> None:
    with pytest.raises(ConflictError, match=f"is {states}"):
        skip(rollout(), [waiting(state=states)], ["a"], NOW)


def test_a_device_of_another_rollout_is_named_as_wrong() -> None:
    with pytest.raises(InvalidError, match="'z' is no device of this rollout"):
        skip(rollout(), [waiting()], ["z"], NOW)
    with pytest.raises(InvalidError, match="name at least one"):
        skip(rollout(), [waiting()], [], NOW)


def test_failed_devices_are_tried_again() -> None:
    stopped = rollout(state=RolloutState.STOPPED)
    again, (step,) = retry(stopped, [failed("a"), done("b")], None)
    assert (again.state, step.state, step.is_given) == (RolloutState.RUNNING, StepState.WAITING, False)
    assert advance(again, [step, done("b")], {"a": HERE}, NOW).begin == ("a",)


def test_retrying_in_a_paused_rollout_does_not_resume_it() -> None:
    assert retry(rollout(state=RolloutState.PAUSED), [failed()], ["a"])[0].state is RolloutState.PAUSED


def test_only_failures_can_be_tried_again() -> None:
    with pytest.raises(ConflictError, match="only a failed one"):
        retry(rollout(), [done()], ["a"])
    with pytest.raises(ConflictError, match="no device of this rollout has failed"):
        retry(rollout(), [done()], None)
    with pytest.raises(ConflictError, match="cannot be taken up"):
        retry(rollout(state=RolloutState.SUPERSEDED), [failed()], None)


def test_a_device_that_was_away_too_long_takes_nothing_of_the_budget() -> None:
    away = Step(client_id="a", batch=1, state=StepState.FAILED, message="silent for more than 1h", ended=NOW)
    strict = Strategy(disruption_budget=Share(1), success_threshold=0, absent=Then.FAIL)
    going = rollout(strategy=strict)
    assert advance(going, [away, Step(client_id="b", batch=1)], {"a": HERE, "b": HERE}, NOW).begin == ("b",)


# What never happens


@dataclass
class Fleet:
    """A rollout with devices that do as they are told by a script; every look is checked."""

    rollout: Rollout
    steps: list[Step]
    now: datetime = NOW
    truths: dict[str, Truth] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)

    def look(self) -> Advance:
        seen = {
            step.client_id: Observed(
                contact=self.contacts.get(step.client_id, Contact.IN_CONTACT),
                truth=self.truths.get(step.client_id, Truth.BEHIND),
            )
            for step in self.steps
        }
        before = self.steps
        made = advance(self.rollout, before, seen, self.now)
        by_id = {step.client_id: step for step in made.changed}
        self.steps = [by_id.get(step.client_id, step) for step in before]
        for old, new in zip(before, self.steps, strict=True):
            assert new.state is old.state or new.state in FOLLOWS[old.state], (old, new)
        self.check(made, before)
        self.rollout = made.rollout
        for name in made.begin:
            self.steps = [begun(step, self.now) if step.client_id == name else step for step in self.steps]
            self.truths.setdefault(name, Truth.BEHIND)
        return made

    def check(self, made: Advance, before: Sequence[Step]) -> None:
        # A device that is not there cannot be disturbed: its turn costs nothing of the budget.
        absent = {Contact.SILENT, Contact.NEVER}
        reachable = [name for name in made.begin if self.contacts.get(name) not in absent]
        assert len(reachable) <= max(0, room(made.rollout, self.steps))
        steps = {step.client_id: step for step in self.steps}
        for name in made.begin:
            assert made.rollout.state is RolloutState.RUNNING
            assert steps[name].batch <= made.rollout.batch
            assert not steps[name].is_given
        assert made.rollout.batch >= self.rollout.batch
        earlier = [step for step in self.steps if step.batch < made.rollout.batch]
        if made.rollout.batch > self.rollout.batch:
            assert not any(step.is_open for step in earlier)
        if made.rollout.state is RolloutState.DONE:
            assert not any(step.is_open for step in self.steps)
        if made.wake is not None:
            assert made.wake > self.now


small = st.sampled_from(["1m", "10m", "1h"]).map(Duration)
sharing = st.builds(Share, st.integers(1, 5)) | st.builds(
    Share, st.integers(1, 100), is_percent=st.just(True)
)
careful = st.builds(
    Strategy,
    batches=st.just((Share(2),)),
    pause_after=st.sampled_from(list(PauseAfter)),
    success_threshold=st.sampled_from([0, 50, 100]),
    max_failures=st.none() | st.integers(0, 3),
    disruption_budget=st.none() | sharing,
    soak=st.none() | small,
    timeout=small,
    patience=small,
    absent=st.sampled_from(list(Then)),
    on_error=st.sampled_from(list(OnError)),
)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("truth"), st.integers(0, 7), st.sampled_from(list(Truth))),
        st.tuples(st.just("contact"), st.integers(0, 7), st.sampled_from(list(Contact))),
        st.tuples(st.just("time"), st.integers(1, 90), st.none()),
        st.tuples(
            st.sampled_from(["pause", "resume", "proceed", "skip", "retry"]), st.integers(0, 7), st.none()
        ),
    ),
    max_size=40,
)


def fleet_of(strategy: Strategy, size: int) -> Fleet:
    steps = [Step(client_id=f"edge-{number}", batch=number // 2 + 1) for number in range(size)]
    return Fleet(
        Rollout(state=RolloutState.RUNNING, strategy=strategy, batch=1, batches=(size + 1) // 2), steps
    )


def happen(fleet: Fleet, kind: str, number: int, word: object) -> None:
    step = fleet.steps[number % len(fleet.steps)]
    if isinstance(word, Truth):
        fleet.truths[step.client_id] = word
    elif isinstance(word, Contact):
        fleet.contacts[step.client_id] = word
    elif kind == "time":
        fleet.now += timedelta(minutes=number)
    else:
        act(fleet, kind, step.client_id)


def act(fleet: Fleet, kind: str, name: str) -> None:
    acts = {
        "pause": lambda: pause(fleet.rollout),
        "resume": lambda: resume(fleet.rollout, fleet.steps),
        "proceed": lambda: proceed(fleet.rollout, fleet.steps),
        "skip": lambda: skip(fleet.rollout, fleet.steps, [name], fleet.now),
        "retry": lambda: retry(fleet.rollout, fleet.steps, [name]),
    }
    try:
        fleet.rollout, changes = acts[kind]()
    except ConflictError:
        return
    by_id: Mapping[str, Step] = {step.client_id: step for step in changes}
    fleet.steps = [by_id.get(step.client_id, step) for step in fleet.steps]
    if kind == "retry":
        fleet.truths.pop(name, None)


@settings(max_examples=300, deadline=None)
@given(careful, st.integers(1, 8), happenings)
def test_whatever_happens_the_rules_hold(
    strategy: Strategy, size: int, script: list[tuple[str, int, object]]
) -> None:
    fleet = fleet_of(strategy, size)
    fleet.look()
    for kind, number, word in script:
        happen(fleet, kind, number, word)
        fleet.look()


@settings(max_examples=200, deadline=None)
@given(careful, st.integers(1, 8), happenings)
def test_once_devices_are_well_and_people_say_go_on_it_ends(
    strategy: Strategy, size: int, script: list[tuple[str, int, object]]
) -> None:
    fleet = fleet_of(strategy, size)
    for kind, number, word in script:
        happen(fleet, kind, number, word)
        fleet.look()
    fleet.contacts = {}
    for _ in range(30):
        fleet.truths = {step.client_id: Truth.CONVERGED for step in fleet.steps}
        fleet.now += timedelta(hours=1)
        fleet.look()
        act(fleet, "resume", "")
    assert fleet.rollout.state is RolloutState.DONE
    assert all(step.state in {StepState.DONE, StepState.SKIPPED, StepState.FAILED} for step in fleet.steps)


@settings(max_examples=200, deadline=None)
@given(
    careful.filter(lambda one: one.absent is not Then.WAIT),
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from(list(Truth)), st.sampled_from(list(Contact))), min_size=8, max_size=8),
)
def test_absent_and_held_devices_do_not_block_for_ever(
    strategy: Strategy, size: int, words: list[tuple[Truth, Contact]]
) -> None:
    fleet = fleet_of(replace(strategy, disruption_budget=None, on_error=OnError.CONTINUE), size)
    for step, (truth, contact) in zip(fleet.steps, words, strict=False):
        fleet.truths[step.client_id], fleet.contacts[step.client_id] = truth, contact
    for _ in range(100):
        fleet.now += timedelta(minutes=30)
        fleet.look()
        act(fleet, "resume", "")
    assert fleet.rollout.state is RolloutState.DONE
