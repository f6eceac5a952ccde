"""Rollouts as people read them: strategies as sentences, batches as pictures."""

import pytest

from edgewright.server.domain.rollouts import Obstacle, Rollout, RolloutState, Step, StepState
from edgewright.server.domain.strategies import Strategy
from edgewright.server.web.rollout_words import MOST_CELLS, batches_shown, step_word, strategy_words
from edgewright.server.web.words import WORDS


def rollout(batch: int, batches: int, state: RolloutState = RolloutState.RUNNING) -> Rollout:
    return Rollout(state=state, strategy=Strategy(), batch=batch, batches=batches)


def steps(batches: int, each: int = 2) -> list[Step]:
    return [
        Step(client_id=f"edge-{batch}-{one}", batch=batch)
        for batch in range(1, batches + 1)
        for one in range(each)
    ]


@pytest.mark.parametrize(
    ("plain", "name", "words"),
    [
        ({}, "Batches", "all at once"),
        ({"canary": 1}, "Batches", "1 as canary; all at once"),
        ({"canary": 1, "batches": [5, "25%"]}, "Batches", "1 as canary; 5; 25 % (10); and so on"),
        ({"batches": ["site=lab"]}, "Batches", "those with site=lab; then the rest at once"),
        ({"pause_after": "first"}, "Asks a person", "after the first batch"),
        ({"pause_after": "every"}, "Asks a person", "after every batch"),
        ({"pause_after": [1, 3]}, "Asks a person", "after batch 1, 3"),
        ({"soak": "30m"}, "Stays well for", "30m before the next batch"),
        ({"disruption_budget": "10%"}, "Disruption budget", "4 under way or failed at once"),
        ({}, "Failures", "stops if less than 100 % of a batch do well"),
        (
            {"success_threshold": 90, "max_failures": 3, "on_error": "revert"},
            "Failures",
            "goes back to the revision before if less than 90 % of a batch do well, or more than 3 in all",
        ),
        ({"on_error": "continue"}, "Failures", "do not stop it"),
        ({}, "Absent or held devices", "goes on without them after 1h"),
        ({"absent": "wait"}, "Absent or held devices", "stands still until they are there"),
        ({"absent": "fail", "patience": "5m"}, "Absent or held devices", "counts them as failed after 5m"),
        ({"timeout": "2h"}, "A device may take", "2h"),
    ],
)
def test_a_strategy_is_told_in_words(plain: dict[str, object], name: str, words: str) -> None:
    assert dict(strategy_words(Strategy.from_plain(plain), 40))[name] == words


def test_every_state_of_a_step_has_a_word_and_a_sign_of_its_own() -> None:
    shown = {step_word(Step(client_id="a", batch=1, state=state)) for state in StepState}
    shown |= {
        step_word(Step(client_id="a", batch=1, state=StepState.BEGUN, obstacle=obstacle))
        for obstacle in Obstacle
    }
    assert shown <= WORDS.keys()
    assert len({(WORDS[word].icon, WORDS[word].tone) for word in shown}) == len(shown)


def test_batches_near_the_present_one_are_shown_by_themselves_and_far_ones_together() -> None:
    shown = batches_shown(rollout(20, 40), steps(40))
    assert [one.title for one in shown] == [
        "Batches 1 to 15",
        *(f"Batch {number}" for number in range(16, 27)),
        "Batches 27 to 40",
    ]
    assert [one.place for one in shown if one.title == "Batch 20"] == ["present"]
    assert sum(sum(one.counts.values()) for one in shown) == 80


def test_a_batch_of_very_many_is_shown_as_shares_and_not_as_signs() -> None:
    (few,) = batches_shown(rollout(1, 1), steps(1, MOST_CELLS))
    (many,) = batches_shown(rollout(1, 1), steps(1, MOST_CELLS + 1))
    assert len(few.cells) == MOST_CELLS
    assert (many.cells, many.counts) == ((), {"planned": MOST_CELLS + 1})


def test_devices_that_cannot_have_it_are_told_apart() -> None:
    misfit = Step(client_id="small", batch=0, state=StepState.SKIPPED, message="supports helm, not compose")
    shown = batches_shown(rollout(1, 1), [misfit, *steps(1)])
    assert [one.title for one in shown] == ["Batch 1", "Cannot have it"]
    assert shown[-1].cells == (("small", "skipped", "supports helm, not compose"),)


def test_a_rollout_that_is_done_has_no_present_batch() -> None:
    assert {one.place for one in batches_shown(rollout(2, 2, RolloutState.DONE), steps(2))} == {"past"}
