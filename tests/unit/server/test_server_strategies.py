"""How devices are put into batches, and what a strategy may say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.durations import Duration
from edgewright.server.domain.labels import Selector
from edgewright.server.domain.strategies import (
    Candidate,
    OnError,
    PauseAfter,
    Share,
    Strategy,
    Then,
    in_batches,
)
from edgewright.server.errors import InvalidError

BERLIN = Selector.parse("site=berlin")
LAB = Selector.parse("site=lab")


def devices(count: int, **labels: str) -> list[Candidate]:
    return [Candidate(client_id=f"edge-{number:02}", labels=labels) for number in range(count)]


@pytest.mark.parametrize(
    ("strategy", "sizes"),
    [
        pytest.param(Strategy(), [10], id="nothing said is all at once"),
        pytest.param(Strategy(canary=Share(1)), [1, 9], id="a canary, then all"),
        pytest.param(Strategy(batches=(Share(4),)), [4, 4, 2], id="the last size is repeated"),
        pytest.param(
            Strategy(batches=(Share(1), Share(30, is_percent=True))),
            [1, 3, 3, 3],
            id="percents are of all devices",
        ),
        pytest.param(Strategy(batches=(Share(1, is_percent=True),)), [1] * 10, id="a share is never none"),
        pytest.param(Strategy(batches=(LAB,)), [10], id="a selector that matches none makes no batch"),
        pytest.param(Strategy(batches=(BERLIN, Share(2))), [10], id="a selector takes all that match"),
        pytest.param(Strategy(batches=(Share(2), LAB)), [2, 8], id="who is left comes last, in one batch"),
        pytest.param(Strategy(batches=(Share(99),)), [10], id="a batch larger than the fleet"),
    ],
)
def test_devices_are_put_into_batches(strategy: Strategy, sizes: list[int]) -> None:
    assert [len(batch) for batch in in_batches(strategy, devices(10, site="berlin"))] == sizes


def test_a_rollout_for_nobody_has_no_batches() -> None:
    assert in_batches(Strategy(canary=Share(1)), []) == []


def test_selectors_take_in_the_order_written_whatever_their_place_in_the_alphabet() -> None:
    mixed = [
        Candidate(client_id="a", labels={"site": "berlin"}),
        Candidate(client_id="b", labels={"site": "lab"}),
        Candidate(client_id="c"),
    ]
    assert in_batches(Strategy(batches=(LAB, BERLIN)), mixed) == [["b"], ["a"], ["c"]]


def test_the_canary_is_a_device_that_can_be_reached() -> None:
    fleet = [Candidate(client_id="a", is_reachable=False), Candidate(client_id="b")]
    assert in_batches(Strategy(canary=Share(1)), fleet) == [["b"], ["a"]]


shares = st.one_of(
    st.builds(Share, st.integers(1, 50)),
    st.builds(Share, st.integers(1, 100), is_percent=st.just(True)),
)
batch = st.one_of(shares, st.sampled_from([BERLIN, LAB]))
durations = st.sampled_from(["1s", "5m", "1h30m", "7d"]).map(Duration)
strategies = st.builds(
    Strategy,
    canary=st.none() | batch,
    batches=st.lists(batch, max_size=4).map(tuple),
    pause_after=st.sampled_from(list(PauseAfter))
    | st.lists(st.integers(1, 9), min_size=1, unique=True).map(lambda found: tuple(sorted(found))),
    success_threshold=st.integers(0, 100),
    max_failures=st.none() | st.integers(0, 20),
    disruption_budget=st.none() | shares,
    soak=st.none() | durations,
    timeout=durations,
    patience=durations,
    absent=st.sampled_from(list(Then)),
    on_error=st.sampled_from(list(OnError)),
)
fleets = st.lists(
    st.builds(
        Candidate,
        client_id=st.text("abc", min_size=1, max_size=4),
        labels=st.sampled_from([{}, {"site": "berlin"}, {"site": "lab"}]),
        is_reachable=st.booleans(),
    ),
    unique_by=lambda one: one.client_id,
    max_size=30,
)


@given(strategies, fleets)
def test_every_device_is_in_exactly_one_batch_and_no_batch_is_empty(
    strategy: Strategy, fleet: list[Candidate]
) -> None:
    planned = in_batches(strategy, fleet)
    assert all(planned)
    assert sorted(name for one in planned for name in one) == sorted(one.client_id for one in fleet)


@given(strategies)
def test_a_strategy_is_read_back_as_it_was_written(strategy: Strategy) -> None:
    assert Strategy.from_plain(json.loads(json.dumps(strategy.to_plain()))) == strategy


def test_what_is_not_said_is_the_default_and_is_not_written() -> None:
    assert Strategy.from_plain({}) == Strategy()
    assert Strategy().to_plain() == {}


def test_a_batch_may_be_written_as_text() -> None:
    read = Strategy.from_plain({"batches": [1, "2", "10%", "site=berlin"], "canary": "1"})
    assert read.batches == (Share(1), Share(2), Share(10, is_percent=True), BERLIN)
    assert read.canary == Share(1)


@pytest.mark.parametrize(
    ("plain", "field", "word"),
    [
        ({"batch": [1]}, "strategy.batch", "batches"),
        ({"batches": "1"}, "strategy.batches", "list"),
        ({"batches": [1, 0]}, "strategy.batches", "[1]: expected at least 1"),
        ({"batches": ["101%"]}, "strategy.batches", "[0]: expected 1% to 100%"),
        ({"batches": [True]}, "strategy.batches", "[0]: expected a number"),
        ({"batches": [1] * 101}, "strategy.batches", "at most 100"),
        ({"canary": "si te"}, "strategy.canary", "not understood"),
        ({"pause_after": "sometimes"}, "strategy.pause_after", "never, first, every"),
        ({"pause_after": [0]}, "strategy.pause_after", "from 1"),
        ({"success_threshold": 101}, "strategy.success_threshold", "0 to 100"),
        ({"max_failures": -1}, "strategy.max_failures", "from 0"),
        ({"disruption_budget": "site=lab"}, "strategy.disruption_budget", "percentage"),
        ({"soak": 10}, "strategy.soak", "duration"),
        ({"timeout": "soon"}, "strategy.timeout", "duration"),
        ({"absent": "panic"}, "strategy.absent", "go-on, wait, fail"),
        ({"on_error": "ignore"}, "strategy.on_error", "stop, continue, revert"),
    ],
)
def test_a_wrong_strategy_is_told_by_its_path(plain: dict[str, object], field: str, word: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Strategy.from_plain(plain)
    (fault,) = caught.value.faults
    assert fault.field == field
    assert word in fault.message


def test_all_faults_of_a_strategy_are_told_at_once() -> None:
    with pytest.raises(InvalidError) as caught:
        Strategy.from_plain({"soak": "x", "absent": "x", "batches": [-1]})
    assert [fault.field for fault in caught.value.faults] == [
        "strategy.soak",
        "strategy.absent",
        "strategy.batches",
    ]


def test_something_else_than_an_object_is_no_strategy() -> None:
    with pytest.raises(InvalidError, match="expected an object"):
        Strategy.from_plain(["all"])


@given(st.integers(0, 100), st.integers(1, 1000))
def test_the_threshold_allows_no_more_failures_than_it_says(threshold: int, members: int) -> None:
    allowed = Strategy(success_threshold=threshold).allowed_failures(members)
    assert (members - allowed) * 100 >= threshold * members
