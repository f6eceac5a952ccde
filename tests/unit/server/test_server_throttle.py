"""Passwords may be tried ever more slowly, by each stranger for himself, and never not at all."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edgewright.server.domain.throttle import ACCOUNT, ADDRESS, FORGET, PAIR, Throttle

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NONE = timedelta(0)


def tries(throttle: Throttle, account: str, address: str, *, until: datetime, now: datetime = NOW) -> int:
    """Return how many attempts somebody makes until then who tries again as soon as possible."""
    count = 0
    while now < until:
        wait = throttle.attempt(account, address, now=now)
        count += wait <= NONE
        now += max(wait, SECOND / 100)
    return count


def test_a_few_mistakes_cost_nothing() -> None:
    throttle = Throttle()
    assert [throttle.attempt("ada", "10.0.0.1", now=NOW) for _ in range(PAIR.free)] == [NONE] * PAIR.free
    assert throttle.attempt("ada", "10.0.0.1", now=NOW) == SECOND
    assert throttle.attempt("ada", "10.0.0.1", now=NOW + SECOND) == NONE
    assert throttle.attempt("ada", "10.0.0.1", now=NOW + SECOND) == 2 * SECOND


def test_one_stranger_tries_a_few_passwords_in_a_day() -> None:
    assert tries(Throttle(), "ada", "10.0.0.1", until=NOW + timedelta(days=1)) < 200


def test_many_names_from_one_address_are_slowed_as_well() -> None:
    throttle = Throttle()
    waits = [throttle.attempt(f"user-{number}", "10.0.0.1", now=NOW) for number in range(ADDRESS.free + 1)]
    assert waits == [NONE] * ADDRESS.free + [SECOND]
    assert throttle.attempt("user-0", "10.0.0.2", now=NOW) == NONE


def test_many_addresses_at_one_account_are_slowed_by_seconds_only() -> None:
    throttle = Throttle()
    for number in range(10_000):
        throttle.attempt("ada", f"10.1.{number // 250}.{number % 250}", now=NOW + number * SECOND)
    wait = throttle.attempt("ada", "192.0.2.7", now=NOW + 10_000 * SECOND)
    assert NONE <= wait <= ACCOUNT.longest


def test_strangers_do_not_keep_a_person_out_where_she_has_signed_in_before() -> None:
    throttle = Throttle()
    throttle.attempt("ada", "192.0.2.7", now=NOW)
    throttle.succeeded("ada", "192.0.2.7")
    for number in range(1_000):
        throttle.attempt("ada", f"10.1.{number // 250}.{number % 250}", now=NOW)
    assert throttle.attempt("ada", "192.0.2.7", now=NOW) == NONE


def test_signing_in_forgives_the_own_mistakes_and_nobody_elses() -> None:
    throttle = Throttle()
    for _ in range(PAIR.free):
        throttle.attempt("ada", "10.0.0.1", now=NOW)
        throttle.attempt("bo", "10.0.0.1", now=NOW)
    throttle.succeeded("ada", "10.0.0.1")
    assert throttle.attempt("ada", "10.0.0.1", now=NOW) == NONE
    assert throttle.attempt("bo", "10.0.0.1", now=NOW) > NONE


def test_many_attempts_at_once_count_as_many() -> None:
    throttle = Throttle()
    let_through = [throttle.attempt("ada", "10.0.0.1", now=NOW) <= NONE for _ in range(100)]
    assert sum(let_through) == PAIR.free


def test_an_hour_later_all_is_forgotten() -> None:
    throttle = Throttle()
    tries(throttle, "ada", "10.0.0.1", until=NOW + timedelta(hours=2))
    assert throttle.attempt("ada", "10.0.0.1", now=NOW + timedelta(hours=2) + FORGET) == NONE


def test_one_network_of_ipv6_is_one_address() -> None:
    throttle = Throttle()
    for number in range(PAIR.free):
        throttle.attempt("ada", f"2001:db8::{number:x}", now=NOW)
    assert throttle.attempt("ada", "2001:db8::ffff%eth0", now=NOW) > NONE
    assert throttle.attempt("ada", "2001:db8:0:1::1", now=NOW) == NONE


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.booleans()), max_size=60))
def test_no_wait_is_longer_than_what_is_promised_and_memory_is_bounded(
    steps: list[tuple[str, str, bool]],
) -> None:
    throttle = Throttle(most=4)
    for account, address, succeeds in steps:
        wait = throttle.attempt(account, address, now=NOW)
        assert wait <= max(PAIR.longest, ADDRESS.longest, ACCOUNT.longest)
        if wait <= NONE and succeeds:
            throttle.succeeded(account, address)
    assert len(throttle._counts) <= 4
    assert len(throttle._homes) <= 4
