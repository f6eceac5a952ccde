"""In contact, silent as planned, or silent: over nights, weekends, summer time, downtime and restarts."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.protocol.policy import Policy, may_poll
from edgewright.server.domain.contact import (
    LATE_SECONDS,
    RETURN_SECONDS,
    UNKNOWN_SECONDS,
    Contact,
    ContactState,
    Why,
    announced,
    contact,
)

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
PATIENCE = 2 * 60 + LATE_SECONDS  # of a device that polls once a minute

ALWAYS: dict[str, Any] = {}
DAYTIME = {"polling": {"periods": ["daily 06:00-22:00 Europe/Berlin"]}}
WORKDAYS = {"polling": {"periods": ["Mon-Fri 06:00-22:00 Europe/Berlin"]}}
NIGHT = {"polling": {"periods": ["daily 22:00-04:00 Europe/Berlin"]}}
SKIPPED_HOUR = {"polling": {"periods": ["daily 02:00-03:00 Europe/Berlin"]}}
HOLIDAYS = {"downtime": ["2026-12-24 12:00 .. 2027-01-02 06:00 Europe/Berlin"]}
TWO_MINUTES = {"polling": {"periods": ["daily 02:00-02:02 Europe/Berlin"]}}
RARE = {"polling": {"rate": "7d", "periods": ["daily 02:00-04:00 Europe/Berlin"]}}
NEVER_AGAIN = {"polling": {"periods": ["2026-01-01 00:00 .. 2026-02-01 00:00 Europe/Berlin"]}}


def at(text: str, *, fold: int = 0) -> float:
    """Return the instant of a wall time in Berlin, such as `2026-11-23 06:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def state(
    policy: dict[str, Any] | None, last: float | None, now: float, *, trusted: bool = True, **more: Any
) -> ContactState:
    known = None if policy is None else Policy.from_plain(policy)
    return contact(last, announced(known, is_clock_trusted=trusted), now, **more)


IN_CONTACT, SILENT = Contact.IN_CONTACT, Contact.SILENT
PLANNED, EXPECTED = Contact.PLANNED_SILENCE, Contact.EXPECTED


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23")
@pytest.mark.parametrize(
    ("policy", "last", "now", "word", "moment"),
    [
        # Always: since when it is overdue.
        (ALWAYS, "2026-11-23 12:00:00", "2026-11-23 12:00:00", IN_CONTACT, None),
        (ALWAYS, "2026-11-23 12:00:00", "2026-11-23 12:03:29", IN_CONTACT, None),
        (ALWAYS, "2026-11-23 12:00:00", "2026-11-23 12:03:30", SILENT, "2026-11-23 12:03:30"),
        (ALWAYS, "2026-11-23 12:00:00", "2027-11-23 12:00:00", SILENT, "2026-11-23 12:03:30"),
        (ALWAYS, "2026-11-23 12:00:10", "2026-11-23 12:00:00", IN_CONTACT, None),
        # A night: what it still owed at 22:00 it owes from 06:00 on.
        (DAYTIME, "2026-11-23 21:59:30", "2026-11-23 21:59:59", IN_CONTACT, None),
        (DAYTIME, "2026-11-23 21:59:30", "2026-11-23 22:00:00", PLANNED, "2026-11-24 06:00"),
        (DAYTIME, "2026-11-23 21:59:30", "2026-11-24 03:00:00", PLANNED, "2026-11-24 06:00"),
        (DAYTIME, "2026-11-23 21:59:30", "2026-11-24 05:59:59", PLANNED, "2026-11-24 06:00"),
        (DAYTIME, "2026-11-23 21:59:30", "2026-11-24 06:00:00", EXPECTED, "2026-11-24 06:03:00"),
        (DAYTIME, "2026-11-23 21:59:30", "2026-11-24 06:02:59", EXPECTED, "2026-11-24 06:03:00"),
        (DAYTIME, "2026-11-23 21:59:30", "2026-11-24 06:03:00", SILENT, "2026-11-24 06:03:00"),
        (DAYTIME, "2026-11-24 06:00:20", "2026-11-24 06:00:30", IN_CONTACT, None),
        # It posted something at night, which is no poll and promises none.
        (DAYTIME, "2026-11-24 02:59:59", "2026-11-24 03:00:00", PLANNED, "2026-11-24 06:00"),
        (DAYTIME, "2026-11-24 05:59:59", "2026-11-24 06:00:30", IN_CONTACT, None),
        # One that went silent by day is silent at night as well, and the next day, and the next year.
        (DAYTIME, "2026-11-23 18:00:00", "2026-11-24 03:00:00", SILENT, "2026-11-23 18:03:30"),
        (DAYTIME, "2026-11-23 18:00:00", "2026-11-25 03:00:00", SILENT, "2026-11-23 18:03:30"),
        (DAYTIME, "2026-11-23 18:00:00", "2027-12-25 03:00:00", SILENT, "2026-11-23 18:03:30"),
        # A weekend.
        (WORKDAYS, "2026-11-20 21:59:30", "2026-11-22 12:00:00", PLANNED, "2026-11-23 06:00"),
        (WORKDAYS, "2026-11-20 21:59:30", "2026-11-23 06:02:00", EXPECTED, "2026-11-23 06:03:00"),
        (WORKDAYS, "2026-11-20 21:59:30", "2026-11-23 08:00:00", SILENT, "2026-11-23 06:03:00"),
        # A period over midnight.
        (NIGHT, "2026-11-23 23:59:00", "2026-11-24 00:01:00", IN_CONTACT, None),
        (NIGHT, "2026-11-24 03:59:00", "2026-11-24 12:00:00", PLANNED, "2026-11-24 22:00"),
        # The night that loses an hour (02:00 to 03:00 are not on the wall), and the one that has it twice.
        (NIGHT, "2026-03-29 01:59:00", "2026-03-29 03:01:00", IN_CONTACT, None),
        (NIGHT, "2026-03-29 01:00:00", "2026-03-29 04:30:00", SILENT, "2026-03-29 01:03:30"),
        (SKIPPED_HOUR, "2026-03-28 02:59:30", "2026-03-29 12:00:00", PLANNED, "2026-03-30 02:00"),
        (SKIPPED_HOUR, "2026-03-28 02:59:30", "2026-03-30 02:01:00", EXPECTED, "2026-03-30 02:03:00"),
        (SKIPPED_HOUR, "2026-10-24 02:59:30", "2026-10-25 02:03:00", SILENT, "2026-10-25 02:03:00"),
        (DAYTIME, "2026-03-28 21:59:30", "2026-03-29 05:59:00", PLANNED, "2026-03-29 06:00"),
        (DAYTIME, "2026-10-24 21:59:30", "2026-10-25 05:59:00", PLANNED, "2026-10-25 06:00"),
        # Downtime over the holidays.
        (HOLIDAYS, "2026-12-24 11:59:30", "2026-12-24 12:00:00", PLANNED, "2027-01-02 06:00"),
        (HOLIDAYS, "2026-12-24 11:59:30", "2027-01-01 00:00:00", PLANNED, "2027-01-02 06:00"),
        (HOLIDAYS, "2026-12-24 11:59:30", "2027-01-02 06:01:00", EXPECTED, "2027-01-02 06:03:00"),
        (HOLIDAYS, "2026-12-24 11:59:30", "2027-01-02 06:04:00", SILENT, "2027-01-02 06:03:00"),
        (HOLIDAYS, "2026-12-23 12:00:00", "2026-12-28 12:00:00", SILENT, "2026-12-23 12:03:30"),
        # Periods shorter than patience: missing two of them is too many.
        (TWO_MINUTES, "2026-11-23 02:01:00", "2026-11-23 12:00:00", PLANNED, "2026-11-24 02:00"),
        (TWO_MINUTES, "2026-11-23 02:01:59", "2026-11-24 02:01:00", EXPECTED, "2026-11-25 02:01:29"),
        (TWO_MINUTES, "2026-11-23 12:00:00", "2026-11-24 12:00:00", PLANNED, "2026-11-25 02:00"),
        (TWO_MINUTES, "2026-11-23 12:00:00", "2026-11-26 12:00:00", SILENT, "2026-11-25 02:01:30"),
        # A device that polls once a week is not missed every night.
        (RARE, "2026-11-02 03:00:00", "2026-11-10 03:00:00", IN_CONTACT, None),
        (RARE, "2026-11-02 03:00:00", "2026-11-10 12:00:00", PLANNED, "2026-11-11 02:00"),
        (RARE, "2026-11-02 03:00:00", "2026-11-20 12:00:00", SILENT, "2026-11-16 04:00"),
        # Periods that never come again.
        (NEVER_AGAIN, "2026-01-31 23:59:30", "2026-11-23 12:00:00", PLANNED, None),
    ],
)
def test_the_word_and_its_moment(
    policy: dict[str, Any], last: str, now: str, word: Contact, moment: str | None
) -> None:
    found = state(policy, at(last), at(now))
    shown = found.since if word is SILENT else found.until
    assert found.word is word
    if word is IN_CONTACT:
        assert (found.since, found.until) == (None, None)
    if moment is not None:
        assert shown == at(moment)


def test_the_hour_that_comes_twice_is_open_twice() -> None:
    once, twice = at("2026-10-25 02:30"), at("2026-10-25 02:30", fold=1)
    assert twice - once == HOUR
    assert state(SKIPPED_HOUR, twice - 30, twice).word is IN_CONTACT
    assert state(SKIPPED_HOUR, once - 30, twice).word is SILENT
    assert state(SKIPPED_HOUR, twice + 29 * MINUTE, at("2026-10-25 03:00")).word is PLANNED


@pytest.mark.parametrize(
    ("policy", "now", "why"),
    [
        (DAYTIME, "2026-11-24 03:00", Why.PERIODS),
        (HOLIDAYS, "2026-12-25 03:00", Why.DOWNTIME),
        (DAYTIME | HOLIDAYS, "2026-12-25 03:00", Why.DOWNTIME),
        (DAYTIME | HOLIDAYS, "2026-11-25 03:00", Why.PERIODS),
    ],
)
def test_planned_silence_has_a_reason(policy: dict[str, Any], now: str, why: Why) -> None:
    assert state(policy, at(now), at(now)).why is why


def test_downtime_that_ends_at_night_lasts_until_the_morning() -> None:
    policy = DAYTIME | {"downtime": ["2026-12-24 12:00 .. 2027-01-02 02:00 Europe/Berlin"]}
    found = state(policy, at("2026-12-24 11:59:30"), at("2026-12-25 12:00"))
    assert (found.word, found.until) == (PLANNED, at("2027-01-02 06:00"))


def test_who_was_never_heard_of_is_not_silent() -> None:
    assert state(ALWAYS, None, at("2026-11-23 12:00")) == ContactState(word=Contact.NEVER)


def test_who_announced_nothing_gets_more_patience_and_no_night() -> None:
    last = at("2026-11-23 23:00")
    assert state(None, last, last + UNKNOWN_SECONDS - 1).word is IN_CONTACT
    found = state(None, last, last + UNKNOWN_SECONDS)
    assert (found.word, found.since) == (SILENT, last + UNKNOWN_SECONDS)


@pytest.mark.requirement("S-24")
@pytest.mark.parametrize("policy", [DAYTIME, HOLIDAYS])
def test_a_device_that_mistrusts_its_clock_is_silent_by_nobody_s_plan(policy: dict[str, Any]) -> None:
    now = at("2026-12-25 03:00")
    assert state(policy, now - HOUR, now, trusted=False).word is SILENT
    assert state(policy, now - MINUTE, now, trusted=False).word is IN_CONTACT


def test_a_slower_device_gets_more_time() -> None:
    policy = {"polling": {"rate": "1h"}}
    last = at("2026-11-23 12:00")
    assert state(policy, last, last + 2 * HOUR).word is IN_CONTACT
    assert state(policy, last, last + 2 * HOUR + LATE_SECONDS).word is SILENT


# --- when nobody listened here ---------------------------------------------------------------------------


def test_after_a_restart_nobody_is_silent_who_could_not_be_heard() -> None:
    stopped, started = at("2026-11-23 12:00"), at("2026-11-23 15:00")
    last = stopped - 30
    after = {"deaf": [(stopped, started)]}
    due = started + RETURN_SECONDS + PATIENCE - 30
    assert state(ALWAYS, last, started, **after) == ContactState(word=EXPECTED, until=due)
    assert state(ALWAYS, last, due - 1, **after).word is EXPECTED
    assert state(ALWAYS, last, due, **after) == ContactState(word=SILENT, since=due)
    assert state(ALWAYS, started + 1, started + 2, **after).word is IN_CONTACT


def test_who_was_silent_before_a_restart_still_is() -> None:
    stopped, started = at("2026-11-23 12:00"), at("2026-11-23 15:00")
    last = stopped - HOUR
    found = state(ALWAYS, last, started + 1, deaf=[(stopped, started)])
    assert found == ContactState(word=SILENT, since=last + PATIENCE)


def test_many_restarts_add_up_and_may_overlap_with_their_patience() -> None:
    now = at("2026-11-23 12:00")
    deaf = [(now + 20 * number, now + 20 * number + 10) for number in range(20)]
    found = state(ALWAYS, now - 1, now + 400, deaf=deaf)
    assert found == ContactState(word=EXPECTED, until=deaf[-1][1] + RETURN_SECONDS + PATIENCE - 1)


def test_a_period_in_which_nobody_listened_was_not_missed() -> None:
    heard = at("2026-11-23 02:01:30")
    deaf = [(at(f"2026-11-{day} 01:00"), at(f"2026-11-{day} 03:00")) for day in (24, 25, 26)]
    assert state(TWO_MINUTES, heard, at("2026-11-26 12:00"), deaf=deaf).word is PLANNED
    assert state(TWO_MINUTES, heard, at("2026-11-28 12:00"), deaf=deaf).word is SILENT


# --- always ----------------------------------------------------------------------------------------------

YEAR = at("2026-01-01 00:00")
moments = st.floats(min_value=YEAR, max_value=YEAR + 366 * DAY)
policies = st.sampled_from([ALWAYS, DAYTIME, WORKDAYS, NIGHT, SKIPPED_HOUR, HOLIDAYS, TWO_MINUTES, RARE])


@settings(deadline=None)  # a policy is worked out once, which takes long, and then kept
@given(policy=policies, last=moments, now=moments)
def test_whatever_happens_the_word_is_true(policy: dict[str, Any], last: float, now: float) -> None:
    found = state(policy, last, now)
    known = Policy.from_plain(policy)
    patience = announced(known, is_clock_trusted=True).patience
    match found.word:
        case Contact.IN_CONTACT:
            assert now - last < patience
            assert may_poll(known, now)
        case Contact.PLANNED_SILENCE:
            assert not may_poll(known, now)
            assert found.until is None or (found.until > now and may_poll(known, found.until))
        case Contact.EXPECTED:
            assert may_poll(known, now)
            assert found.until is None or found.until > now
        case Contact.SILENT:
            assert found.since is not None
            assert last < found.since <= now
            assert now - last >= patience


@given(
    policy=policies, last=moments, later=st.floats(min_value=0, max_value=30 * DAY), more=st.floats(0, DAY)
)
def test_once_silent_only_a_word_of_its_own_ends_it(
    policy: dict[str, Any], last: float, later: float, more: float
) -> None:
    found = state(policy, last, last + later)
    if found.word is SILENT:
        assert state(policy, last, last + later + more) == found


@given(policy=policies, last=moments)
def test_who_polls_on_time_is_never_silent(policy: dict[str, Any], last: float) -> None:
    known = Policy.from_plain(policy)
    rate = known.polling.rate.seconds
    if may_poll(known, last):
        assert state(policy, last, last + rate).word is not SILENT


@pytest.mark.requirement("OFF-2", "S-23")
@pytest.mark.parametrize(
    ("policy", "broke", "now", "word", "why"),
    [
        pytest.param(ALWAYS, None, "12:00:30", IN_CONTACT, None, id="it waits for news"),
        pytest.param(ALWAYS, "12:00:30", "12:00:49", IN_CONTACT, None, id="it may be back in a moment"),
        pytest.param(ALWAYS, "12:00:30", "12:00:50", EXPECTED, Why.CUT, id="it is not back"),
        pytest.param(ALWAYS, "12:00:30", "12:03:29", EXPECTED, Why.CUT, id="its time is not over"),
        pytest.param(ALWAYS, "12:00:30", "12:03:30", SILENT, None, id="its time is over"),
        pytest.param(DAYTIME, "21:59:59", "22:00:30", PLANNED, Why.PERIODS, id="its day was over"),
    ],
)
def test_a_device_whose_waiting_poll_broke_is_expected_and_not_believed(
    policy: dict[str, Any], broke: str | None, now: str, word: Contact, why: Why | None
) -> None:
    day = "2026-11-23 "
    last = at(day + ("21:59:30" if policy is DAYTIME else "12:00:00"))
    found = state(policy, last, at(day + now), cut=None if broke is None else at(day + broke))
    assert (found.word, found.why) == (word, why)
    if word is EXPECTED:
        assert found.until == last + PATIENCE
