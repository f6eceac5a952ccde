"""What is in force on a site: its file good, broken, gone or half written, and what is suggested."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.agent.consent.hold import Subject, Terms, hold
from edgewright.agent.site import in_force as sites
from edgewright.agent.site.in_force import GOOD, POLICY_EVENT, SUGGESTION, look, take_in
from edgewright.agent.state.store import Store
from edgewright.protocol.calendar import HOUR
from edgewright.protocol.consent import Kind
from edgewright.protocol.policy import Layer, Policy, layered, may_apply


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = 1_800_000_000.0
CAREFUL = "apply: {approval: required, windows: [Sat 02:00-05:00]}\n"


class Device:
    """A state directory, and a policy file at the usual place."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "policy.yaml"
        self.store = Store(str(directory / "state.db"))

    def write(self, text: str | bytes, *, age: float = HOUR) -> None:
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(self.file, (NOW - age, NOW - age))

    def take_in(self) -> sites.Site:
        return take_in(self.store, now=NOW)

    @property
    def events(self) -> list[str]:
        return [each.message for each in reversed(self.store.events(100)) if each.kind == POLICY_EVENT]


@pytest.fixture
def device(tmp_path, monkeypatch):
    device = Device(tmp_path)
    monkeypatch.setattr(sites, "DEFAULT_POLICY", str(device.file))
    monkeypatch.delenv(sites.ENVIRONMENT, raising=False)
    yield device
    device.store.close()


def test_without_a_file_the_defaults_are_in_force_and_nothing_is_told(device):
    site = device.take_in()
    assert site.policy == Policy()
    assert site.is_known
    assert site.windows(NOW) is None
    assert device.events == []


@pytest.mark.requirement("S-25", "S-29")
def test_the_file_is_in_force_and_every_line_knows_that_it_is_local(device):
    device.write(CAREFUL)
    site = device.take_in()
    assert site.policy.apply.approval == "required"
    assert site.origins["apply.windows"] == "local"
    assert site.origins["repair"] == "default"
    assert device.events == ["the policy file was taken up"]


def test_a_change_is_taken_up_by_the_next_round_and_told_once(device):
    device.write("repair: report-only")
    device.take_in()
    device.write("repair: automatic")
    assert device.take_in().policy.repair == device.take_in().policy.repair == "automatic"
    assert device.events == ["the policy file was taken up", "the policy file was changed and taken up"]


BROKEN = [
    pytest.param(
        "apply: {approval: maybe}", "policy.yaml:1: $.apply.approval: expected automatic", id="wrong"
    ),
    pytest.param("apply: {", "line 2", id="no YAML"),
    pytest.param("", "is empty", id="empty, as after a power cut"),
    pytest.param(b"\0" * 100, "policy.yaml", id="zeros, as after a power cut"),
    pytest.param(b"# \xff", "UTF-8", id="not UTF-8"),
    pytest.param("# x\n" * 30_000, "larger than", id="too large"),
]


@pytest.mark.parametrize(("text", "told"), BROKEN)
def test_a_broken_file_keeps_the_old_policy_in_force_and_is_told_once(device, text, told):
    device.write(CAREFUL)
    device.take_in()
    device.write(text)
    for _ in range(3):
        site = device.take_in()
        assert site.policy.apply.approval == "required"
        assert site.is_known
        assert told in site.problem
    assert len(device.events) == 2
    assert told in device.events[-1]
    device.write(CAREFUL)
    assert device.take_in().problem == ""
    assert device.events[-1] == "the policy is in order again"


@pytest.mark.parametrize(("text", "told"), BROKEN)
def test_a_file_that_was_never_good_lets_nobody_guess_what_is_allowed(device, text, told):
    device.write(text)
    site = device.take_in()
    assert not site.is_known
    assert told in site.unknown
    assert site.policy == Policy()


def test_a_file_that_cannot_be_read_is_not_one_that_is_gone(device):
    device.write(CAREFUL)
    device.take_in()
    device.file.unlink()
    device.file.mkdir()
    site = device.take_in()
    assert site.policy.apply.approval == "required"
    assert "policy.yaml" in site.problem


def test_a_pipe_in_its_place_stops_nobody(device):
    os.mkfifo(device.file)
    assert "is no regular file" in device.take_in().problem


def test_a_file_that_was_deleted_is_no_policy_any_more(device):
    device.write(CAREFUL)
    device.take_in()
    device.file.unlink()
    assert device.take_in().policy == Policy()
    assert device.events[-1] == "the policy file is gone: this site has no policy of its own now"


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_file_that_is_named_and_not_there_is_a_mistake(device, monkeypatch, how):
    named = "/nowhere/policy.yaml"
    if how == "environment":
        monkeypatch.setenv(sites.ENVIRONMENT, named)
    site = take_in(device.store, named if how == "option" else None, now=NOW)
    assert not site.is_known
    assert site.problem == "/nowhere/policy.yaml: no such file"


def test_a_file_that_is_just_being_written_counts_when_it_is_left_alone(device):
    device.write(CAREFUL)
    device.take_in()
    device.write("# half of what will be writ", age=0.5)
    site = device.take_in()
    assert site.policy.apply.approval == "required"
    assert site.again == sites.SETTLED_SECONDS
    assert site.problem == ""
    device.write("repair: report-only")
    assert device.take_in().policy.repair == "report-only"


def test_a_first_file_that_is_just_being_written_holds_everything_until_it_is_read(device):
    device.write(CAREFUL, age=0.5)
    site = device.take_in()
    assert not site.is_known
    assert site.again is not None
    assert device.events == []


def test_a_file_where_there_was_none_holds_everything_from_its_first_moment(device):
    assert device.take_in().policy == Policy()
    device.write(CAREFUL, age=0.5)
    site = device.take_in()
    assert not site.is_known
    assert "just been written" in site.unknown
    assert site.again == sites.SETTLED_SECONDS
    device.write(CAREFUL)
    assert device.take_in().policy.apply.approval == "required"


def test_a_file_written_in_the_future_of_a_wrong_clock_counts(device):
    device.write(CAREFUL, age=-50 * 365 * 24 * HOUR)
    assert device.take_in().policy.apply.approval == "required"


@pytest.mark.requirement("S-25")
def test_what_the_site_says_outranks_what_the_fleet_manager_suggests(device):
    device.store.set_meta(SUGGESTION, "polling: {rate: 5m}\nrepair: report-only")
    device.write("polling: {rate: 10s}")
    site = device.take_in()
    assert site.policy.polling.rate.seconds == 10
    assert site.policy.repair == "report-only"
    assert site.origins["repair"] == "suggested"


def test_a_suggestion_that_is_broken_is_left_out_and_told(device):
    device.store.set_meta(SUGGESTION, "repair: perhaps")
    device.write("polling: {rate: 10s}")
    site = device.take_in()
    assert site.policy.polling.rate.seconds == 10
    assert site.is_known
    assert site.problem.startswith("the fleet manager's suggested policy:1: $.repair")
    assert device.events[-1] == site.problem


def test_a_suggestion_is_no_stand_in_for_a_file_that_was_never_good(device):
    device.store.set_meta(SUGGESTION, "repair: report-only")
    device.write("apply: {")
    assert device.take_in().policy == Policy()


def test_looking_writes_nothing(device):
    device.write(CAREFUL)
    assert look(device.store).policy.apply.approval == "required"
    assert device.store.meta(GOOD) is None
    assert device.events == []


def test_fetching_beforehand_is_allowed_as_the_policy_says(device):
    for prefetch, expected in (("always", None), ("in-window", 0), ("[Sun 02:00-05:00]", 24 * HOUR)):
        device.write(f"apply: {{windows: [Sat 02:00-05:00], prefetch: {prefetch}}}")
        site = device.take_in()
        windows, fetching = site.windows(NOW), site.prefetch(NOW)
        assert windows is not None
        assert fetching is None if expected is None else fetching[0][0] - windows[0][0] == expected


WINDOWS = st.lists(
    st.sampled_from(
        [
            "Sun 02:00-05:00 Europe/Berlin",
            "Sun 02:00-02:30 Europe/Berlin",
            "Sat 22:00-03:30 America/New_York",
            "daily 01:45-02:15 Australia/Lord_Howe",
            "Fri 18:00 - Mon 06:00 America/Santiago",
            "2027-10-31 02:30 .. 2027-11-01 Europe/Berlin",
        ]
    ),
    min_size=1,
    max_size=3,
)
NIGHTS = [
    moment("2027-03-27T20:00"),
    moment("2027-10-30T20:00"),
    moment("2027-04-03T10:00"),
    moment("2027-03-14T00:00"),
]


@pytest.mark.requirement("S-29")
@settings(max_examples=30, deadline=None)
@given(WINDOWS, st.sampled_from(NIGHTS), st.integers(0, 359))
def test_changes_begin_exactly_when_the_policy_says_in_every_night_of_the_year(windows, night, shift):
    held = layered([Layer(origin="local", plain={"apply": {"windows": windows}})])
    site = sites.Site(policy=held.policy, origins=held.origins)
    subject = Subject(deployment_id="a", name="a", kind=Kind.UPDATE, digest="sha256:a")
    for now in (*range(int(night), int(night + 12 * HOUR), 300), night + shift * 24 * HOUR + shift * 1000):
        kept_back = hold(subject, Terms(windows=site.windows(now)), None, now)
        assert (kept_back is None) is may_apply(held.policy, now)
        if kept_back is not None and kept_back.until is not None:
            assert may_apply(held.policy, kept_back.until)
            assert not may_apply(held.policy, kept_back.until - 1)
