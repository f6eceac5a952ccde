"""Who may wait to be let in, how often they ask, and what of their words is kept (docs/decisions/0021)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.enrollment import fingerprint_of, in_groups
from edgewright.server.domain import admission
from edgewright.server.domain.admission import Asking, Crowd, ask_again_after, harmless, name_fault, refusal

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("waiting", "near", "told"),
    [
        (0, 0, None),
        (199, 49, None),
        (200, 0, "200 devices wait already"),
        (60, 50, "50 devices from this address"),
    ],
)
def test_the_queue_has_an_end_and_one_address_cannot_fill_it(
    waiting: int, near: int, told: str | None
) -> None:
    found = refusal(Crowd(waiting=waiting, from_place=near))
    assert (found is None) == (told is None)
    assert told is None or told in (found or "")


def test_the_fingerprint_is_the_first_eighty_bits_in_groups() -> None:
    digest = "sha256:3f9a01bc77de40a19c3d" + "0" * 44
    assert in_groups(fingerprint_of(digest)) == "3f9a 01bc 77de 40a1 9c3d"


@given(st.text())
def test_what_a_device_says_of_itself_is_short_and_plain(text: str) -> None:
    kept = harmless(text)
    assert len(kept) <= 64
    assert kept.isascii()
    assert not set(kept) & set("<>&\"'\x1b\r\n\t ")
    assert harmless(kept) == kept.replace(" ", "?")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ä", "a" * 129, "<b>", "a\u202eb", "a\nb"])
def test_a_name_that_no_device_can_have_is_told(name: str) -> None:
    assert name_fault(name)


@pytest.mark.parametrize("name", ["line-4", "a" * 128, "A_1.b"])
def test_a_name_that_a_device_can_have_is_taken(name: str) -> None:
    assert name_fault(name) is None


def test_it_is_asked_soon_at_first_and_more_rarely_later() -> None:
    waits = [ask_again_after(timedelta(minutes=minutes)) for minutes in (0, 9, 11, 119, 121, 10_000)]
    assert waits == sorted(waits)
    assert waits[0] < 5
    assert waits[-1] == 60


def test_who_asks_too_often_waits_and_nobody_else_does() -> None:
    asking = Asking()
    waits = [asking.wait("192.0.2.1", now=NOW) for _ in range(300)]
    assert waits[:200] == [0] * 200
    assert all(waits[200:])
    assert asking.wait("192.0.2.2", now=NOW) == 0
    assert asking.wait("192.0.2.1", now=NOW + timedelta(seconds=1)) == 0


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    asking = Asking()
    waits = [asking.wait(f"2001:db8::{number:x}", now=NOW) for number in range(300)]
    assert all(waits[200:])


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    asking = Asking()
    for _ in range(200):
        asking.wait("192.0.2.1", now=NOW)
    assert asking.wait("192.0.2.1", now=NOW - timedelta(hours=1)) > 0


def test_only_so_many_addresses_are_remembered() -> None:
    asking = Asking(most=10)
    for number in range(100):
        asking.wait(f"192.0.2.{number}", now=NOW)
    assert len(asking._left) == 10
    assert admission.MOST_FROM_ONE_PLACE < admission.MOST_WAITING
