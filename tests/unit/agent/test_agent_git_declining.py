"""Reports that a Git server declines hold nothing else up, go in order, and are lost only to later ones."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.git.declining import (
    MOST_DECLINED,
    PATIENCE,
    Turn,
    next_reports,
    passed_by,
)
from edgewright.agent.git.notes import Declined
from edgewright.agent.state.outbox import Report

AT_ONCE = 10


@dataclass
class Way:
    """An outbox, and a Git server that takes a push unless it minds one of the reports in it."""

    waiting: list[Report]
    declined: dict[int, Declined] = field(default_factory=dict)
    told: list[Report] = field(default_factory=list)
    given_up: list[Report] = field(default_factory=list)

    def run(self, minds: Callable[[Report], bool]) -> int:
        """Send one courier; return how many of its pushes were declined."""
        turn = Turn(most=AT_ONCE)
        while not turn.is_over:
            reports = next_reports(self.waiting, turn, self.declined)
            if not reports:
                break
            if any(map(minds, reports)):
                turn = turn.after_declined(reports)
                if len(reports) == 1:
                    tries = self.declined.get(reports[0].number, Declined("", "", "", 0)).tries
                    self.declined[reports[0].number] = Declined(reports[0].name, "no", "", tries + 1)
            else:
                passed = passed_by(reports, self.declined)
                self.told += reports
                self.given_up += [each for each in self.waiting if each.number in passed]
                gone = passed | {each.number for each in reports}
                self.waiting = [each for each in self.waiting if each.number not in gone]
                self.declined = {key: each for key, each in self.declined.items() if key not in gone}
                turn = turn.after_taken(AT_ONCE)
        return turn.declined


def reports(names: str) -> list[Report]:
    return [Report(number, name, "", "", b"") for number, name in enumerate(names, 1)]


def numbers(listed: list[Report]) -> list[int]:
    return [each.number for each in listed]


queues = st.text("abcd", max_size=40).map(reports)
minded = st.sets(st.integers(1, 40))


@pytest.mark.requirement("GR-32")
@given(queues, minded, st.integers(0, 6))
def test_the_newest_of_every_name_that_the_server_takes_is_told_in_order_and_no_other_is_lost(
    queue: list[Report], poison: set[int], protected: int
):
    way = Way(list(queue))
    for _ in range(protected):
        assert way.run(lambda _: True) <= MOST_DECLINED
    assert way.told == way.given_up == []
    for _ in range(len(queue) * (PATIENCE + 2)):
        assert way.run(lambda each: each.number in poison) <= MOST_DECLINED

    assert {each.number for each in way.waiting} <= poison
    assert {each.number for each in way.given_up} <= poison
    assert sorted(numbers(way.told + way.given_up + way.waiting)) == numbers(queue)
    for name in "abcd":
        told = [each.number for each in way.told if each.name == name]
        assert told == sorted(told)
        assert all(each.number > max(told, default=0) for each in way.waiting if each.name == name)
        assert all(each.number < max(told, default=0) for each in way.given_up if each.name == name)


@given(queues, st.integers(1, 8))
def test_a_branch_that_was_protected_for_a_while_is_told_everything_in_order(
    queue: list[Report], protected: int
):
    way = Way(list(queue))
    for _ in range(protected):
        way.run(lambda _: True)
    while way.waiting:
        before = len(way.waiting)
        way.run(lambda _: False)
        assert len(way.waiting) < before
    assert way.given_up == []
    for name in "abcd":
        assert [each.number for each in way.told if each.name == name] == [
            each.number for each in queue if each.name == name
        ]


def test_one_that_is_declined_holds_up_none_but_its_own_and_these_not_for_ever():
    way = Way(reports("abacada"))
    way.run(lambda each: each.number == 1)
    assert numbers(way.told) == [2, 4, 6]
    assert numbers(way.waiting) == [1, 3, 5, 7]
    for _ in range(PATIENCE):
        way.run(lambda each: each.number == 1)
    assert numbers(way.told) == [2, 4, 6, 3, 5, 7]
    assert (numbers(way.given_up), way.declined) == ([1], {})


def test_the_last_one_of_its_name_is_kept_and_tried_by_every_courier():
    way = Way(reports("ab"))
    for tries in range(1, 20):
        assert way.run(lambda each: each.name == "a") <= 2
        assert way.declined[1].tries == tries
    assert numbers(way.waiting) == [1]
    way.run(lambda _: False)
    assert numbers(way.told) == [2, 1]
