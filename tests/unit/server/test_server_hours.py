"""Hours in blocks are the hours of the policy, wherever one looks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.policy import Policy, may_poll, next_poll, polling
from edgewright.server.domain.hours import BLOCK, Hours

YEAR, DAY = 1_767_225_600.0, 86400.0  # 2026-01-01 UTC
POLICIES: list[dict[str, Any]] = [
    {},
    {"polling": {"periods": ["Mon-Fri 06:00-22:00 Europe/Berlin"]}},
    {"polling": {"periods": ["daily 22:00-04:00 Europe/Berlin"]}},
    {"downtime": ["2026-02-01 12:00 .. 2026-04-02 06:00 Europe/Berlin"]},
    {"polling": {"periods": ["2026-03-01 00:00 .. 2026-03-02 00:00 UTC"]}},
    {"polling": {"periods": ["daily 00:00-24:00 UTC"]}},
]
moments = st.floats(min_value=YEAR, max_value=YEAR + 366 * DAY) | st.integers(0, 45).map(
    lambda number: float((YEAR // BLOCK + number) * BLOCK)
)


@given(plain=st.sampled_from(POLICIES), start=moments, length=st.floats(min_value=0, max_value=40 * DAY))
def test_hours_are_those_of_the_policy(plain: dict[str, Any], start: float, length: float) -> None:
    policy = Policy.from_plain(plain)
    assert Hours(policy).between(start, start + length) == tuple(
        (first, last) for first, last in polling(policy, start, start + length) if first < last
    )


@given(plain=st.sampled_from(POLICIES), now=moments)
def test_they_open_when_the_policy_says(plain: dict[str, Any], now: float) -> None:
    policy = Policy.from_plain(plain)
    hours = Hours(policy)
    assert (hours.opens(now) == now) == may_poll(policy, now)
    assert hours.opens(now) == hours.opens(now)
    if next_poll(policy, now) is not None:
        assert hours.opens(now) == next_poll(policy, now)


@pytest.mark.parametrize("plain", POLICIES)
def test_not_everything_is_kept_for_ever(plain: dict[str, Any]) -> None:
    hours = Hours(Policy.from_plain(plain))
    before = hours.opens(YEAR)
    for number in range(300):
        hours.opens(YEAR + number * BLOCK)
    assert hours.opens(YEAR) == before
    assert len(hours._blocks) + len(hours._beyond) <= 128
