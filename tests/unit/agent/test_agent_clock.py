"""Whether a clock is believed: a table, and what is kept of it over restarts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent import clock as clocks
from edgewright.agent.clock import CLOCK_LATEST, CLOCK_TRUST, SYSTEM, distrust
from edgewright.agent.state.store import STATE, Store
from edgewright.agent.talk.hours import Hours
from edgewright.agent.talk.manners import QUIET, Manners, QuietError
from edgewright.net.http import Response
from support.fake_clock import FakeClock, unix

NOW = unix("2026-05-04T12:00:00")
DAY = 86_400.0


@pytest.mark.requirement("S-24")
@pytest.mark.parametrize(
    ("now", "latest", "expected", "reason"),
    [
        pytest.param(NOW, 0, None, "", id="nothing is known"),
        pytest.param(NOW, NOW, None, "", id="as late as it ever was"),
        pytest.param(NOW, NOW + 29, None, "", id="a little earlier is no jump"),
        pytest.param(NOW, NOW + 31, None, "before 2026-05-04 12:00 UTC", id="earlier than it was"),
        pytest.param(1e6, NOW, None, "before 2026-05-04", id="1970"),
        pytest.param(NOW, 0, 0, "", id="as the fleet manager says"),
        pytest.param(NOW, 0, 299, "", id="about as it says"),
        pytest.param(NOW, 0, 301, "5 minutes behind", id="behind"),
        pytest.param(NOW, 0, -3 * 3600, "3 hours ahead", id="ahead"),
        pytest.param(NOW, 0, -2000 * DAY, "2000 days ahead", id="years ahead"),
        pytest.param(NOW, NOW + 900 * DAY, 0, "", id="who knows outranks what was written down"),
        pytest.param(1e6, NOW, 0, "", id="also in 1970"),
    ],
)
def test_when_a_clock_is_not_believed(now, latest, expected, reason):
    offset = now - 1000.0
    said = distrust(now, offset, latest=latest, expected=None if expected is None else offset + expected)
    assert (reason in said) if reason else said == ""


@given(st.floats(0, 4e9), st.floats(0, 4e9), st.none() | st.floats(-4e9, 4e9))
def test_there_is_always_an_answer(now, latest, off):
    assert isinstance(distrust(now, now, latest=latest, expected=None if off is None else now + off), str)


@pytest.fixture
def clock():
    return FakeClock("2026-05-04T12:00:00")


@pytest.fixture
def store(tmp_path, clock):
    store = Store(str(tmp_path / "state.db"), clock.time)
    yield store
    store.close()


def trusted(store, clock):
    return clocks.assess(store, clock).trusted


def test_what_happened_is_a_time_that_was_reached(store, clock):
    store.record(STATE, "something")
    clock.set("2026-05-04T11:00:00")
    assert not trusted(store, clock)
    clock.set("2026-05-04T13:00:00")
    assert trusted(store, clock)


def test_what_happens_by_a_clock_nobody_believes_is_none(store, clock):
    clocks.told(store, clock, clock.true)
    clock.set("2036-01-01T00:00:00")
    clocks.announce(store, clocks.assess(store, clock))
    store.record(STATE, "something")
    assert float(store.meta(CLOCK_LATEST) or 0) < unix("2027-01-01T00:00:00")
    assert "ahead" in store.meta(CLOCK_TRUST)


def test_what_is_expected_is_carried_by_the_monotonic_clock_until_the_machine_restarts(store, clock):
    clocks.told(store, clock, clock.true)
    clock.forward(DAY)
    assert trusted(store, clock)
    clock.set("2026-05-05T18:00:00")
    assert not trusted(store, clock)
    clock.reboot()
    assert trusted(store, clock)
    clock.set("2026-05-05T18:00:00")
    assert trusted(store, clock), "nobody has told since the restart"


def test_hardly_anything_is_written_for_it(store, clock):
    def written():
        return store.connection.total_changes

    clocks.told(store, clock, clock.true)
    clocks.keep(store, clock, clocks.assess(store, clock))
    before = written()
    for _ in range(60):
        clock.forward(60)
        clocks.told(store, clock, clock.true - 3)
        clocks.keep(store, clock, clocks.assess(store, clock))
    assert written() - before <= 1


def test_a_person_outranks_the_fleet_manager_until_the_clock_is_set_again(store, clock):
    clocks.told(store, clock, clock.true)
    clock.set("2026-06-01T00:00:00")
    clocks.accept(store, clock)
    clocks.told(store, clock, clock.true)
    assert trusted(store, clock)
    clock.set()
    assert not trusted(store, clock)
    clocks.told(store, clock, clock.true)
    assert trusted(store, clock)


def test_who_we_are_tells_how_late_it_is_at_least(store, clock):
    clocks.raise_latest(store, clock.true + DAY)
    assert not trusted(store, clock)
    clocks.raise_latest(store, clock.true - DAY)
    assert not trusted(store, clock)


def test_the_machines_own_clock_waits_until_a_deadline_or_until_something_is_ready():
    import os
    import select

    ours, theirs = os.pipe()
    poller = select.poll()
    poller.register(ours, select.POLLIN)
    assert SYSTEM.wait(poller, SYSTEM.monotonic() + 0.01) == []
    os.write(theirs, b"x")
    assert SYSTEM.wait(poller, float("inf")) == [(ours, select.POLLIN)]
    os.close(ours)
    os.close(theirs)
    assert SYSTEM.boot


# --- manners -----------------------------------------------------------------------------------------


def busy(seconds, status=503, **headers):
    return Response(status, "Busy", {"retry-after": str(seconds), **headers}, b"")


@pytest.fixture
def manners(store, clock):
    return Manners(store, clock, Hours(store, clock))


@pytest.mark.requirement("RT-4")
@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        pytest.param(busy(60), 60, id="busy"),
        pytest.param(busy(60, 429), 60, id="too many"),
        pytest.param(busy(60, 500), 0, id="this request alone"),
        pytest.param(busy(60, 404), 0, id="not found"),
        pytest.param(Response(503, "Busy", {}, b""), 0, id="no wait asked for"),
        pytest.param(Response(503, "Busy", {}, b'{"retryAfterSeconds": 30}'), 30, id="in the body"),
        pytest.param(busy("Mon, 04 May 2026 12:10:00 GMT"), 600, id="a date"),
        pytest.param(
            busy("Mon, 04 May 2026 12:10:00 GMT", date="Mon, 04 May 2026 12:09:00 GMT"),
            60,
            id="a date, by the clock of who says it",
        ),
    ],
)
def test_which_answers_ask_everybody_to_wait(manners, response, seconds):
    manners.heard(response)
    assert manners.quiet_seconds() == pytest.approx(seconds, abs=0.01)


def test_the_longest_wait_counts(manners, clock):
    manners.heard(busy(600))
    manners.heard(busy(5))
    clock.forward(590)
    with pytest.raises(QuietError, match="10 s are left"):
        manners.before()
    clock.forward(11)
    manners.before()


def test_another_process_is_told_as_well(manners, tmp_path, clock):
    manners.heard(busy(600))
    other = Store(str(tmp_path / "state.db"))
    with pytest.raises(QuietError):
        Manners(other, clock, Hours(other, clock)).before()
    other.close()


def test_a_wait_is_not_made_longer_by_restarts(manners, store, clock):
    manners.heard(busy(600))
    for _ in range(20):
        clock.reboot(off=60)
        left = manners.quiet_seconds()
    assert left == 0


def test_what_was_kept_may_be_forgotten(manners, store):
    manners.heard(busy(600))
    manners.forget()
    manners.before()
    assert store.meta(QUIET) == ""
