"""The policy: what it means at a moment, how layers outrank each other, and what its errors teach."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol import yaml
from edgewright.protocol.calendar import DAY, HOUR
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.policy import (
    DEFAULT,
    LOCAL,
    SUGGESTED,
    Layer,
    Policy,
    layered,
    leaves,
    may_apply,
    may_contact,
    may_poll,
    may_prefetch,
    next_poll,
    next_window,
    parse_layer,
    polling,
)
from edgewright.protocol.spans import parse_span

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "policy.md").read_text()
FULL = b"""\
timeZone: Europe/Berlin
polling:
  rate: 5m
  periods: [Mon-Fri 06:00-22:00]
downtime: ["2026-12-24 12:00 .. 2027-01-02 06:00"]
apply:
  approval: required
  approvalValid: 2d12h
  windows: [Sat 02:00-05:00 America/New_York]
  prefetch: [daily 20:00-23:00]
rollback: {automatic: false, keep: 5}
repair: report-only
report: {rate: off}
"""


def policy(text: str = "") -> Policy:
    return Policy.parse(text.encode(), source="policy.yaml")


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_policy_says_what_it_was_written_to_say():
    read = Policy.parse(FULL, source="policy.yaml")
    assert read.polling.rate.seconds == 300
    assert [str(each) for each in read.polling.periods] == ["Mon-Fri 06:00-22:00 Europe/Berlin"]
    assert [str(each) for each in read.apply.windows] == ["Sat 02:00-05:00 America/New_York"]
    assert read.apply.approval == "required"
    assert read.apply.approval_valid.seconds == 2.5 * DAY
    assert read.rollback.keep == 5
    assert read.report.rate.seconds == float("inf")


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "\ufeff# nothing", "---\n", "polling:\napply:\n  windows:\n"]
)
def test_a_policy_that_says_nothing_is_the_default(text):
    assert policy(text) == Policy()
    assert Policy().polling.rate.seconds == 60
    assert Policy().report.rate.seconds == HOUR


def test_a_policy_written_out_in_full_reads_the_same_again():
    read = Policy.parse(FULL, source="policy.yaml")
    assert Policy.from_plain(read.to_plain()) == read
    assert Policy.parse(yaml.dump(read.to_plain()), source="again") == read


MISTAKES = [
    ("polling:\n  rate: 60", 2, "$.polling.rate", "with its unit, such as 60s"),
    ("polling:\n  rate: 60 ticks", 2, "$.polling.rate", "expected a duration such as 60s"),
    ("polling:\n  rate: 50ms", 2, "$.polling.rate", "from 100ms to ten years"),
    ("polling: 60s", 1, "$.polling", "expected the members rate, periods"),
    ("poling: {}", 1, "$.poling", "did you mean polling?"),
    ("polling:\n  intervall: 60s", 2, "$.polling.intervall", "known are rate, periods"),
    ("\nwindows: []", 2, "$.windows", "it belongs to apply"),
    ("polling:\n  periods: Mon-Fri", 2, "$.polling.periods", "expected a list"),
    ("downtime:\n- daily 01:00-02:00\n- Mo 06:00-07:00", 3, "$.downtime[1]", "'Mo' is no day"),
    ("downtime: [Mon 06:00-12:00, 13:00-17:00]", 1, "$.downtime[1]", "put it in quotes"),
    ("downtime:\n- Mon-Fri: 06:00-07:00", 2, "$.downtime[0]", "expected text such as"),
    ("apply: {approval: maybe}", 1, "$.apply.approval", "expected automatic or required"),
    ("apply:\n  prefetch: never", 2, "$.apply.prefetch", "always, in-window or a list of times"),
    ("apply:\n  prefetch: [Mo]", 2, "$.apply.prefetch[0]", "neither a day nor a time"),
    ("rollback: {keep: -1}", 1, "$.rollback.keep", "a whole number from 0 to 100"),
    ("rollback: {automatic: yes}", 1, "$.rollback.automatic", "expected true or false"),
    ("repair: no", 1, "$.repair", "automatic or report-only"),
    ("report: {rate: never}", 1, "$.report.rate", "or off"),
    ("# zone\ntimeZone: Berlin", 2, "$.timeZone", "did you mean Europe/Berlin?"),
    ("timeZone: 1", 1, "$.timeZone", "the name of a time zone"),
    ("[]", None, "$", "expected members such as polling"),
    ("polling: {rate: 60s}\npolling: {}", None, "$", "line 2, column 1: key 'polling' appears twice"),
    ("polling: {rate: 60s", None, "$", "line 2: did not find expected"),
    ("downtime: [" + ", ".join(["daily"] * 101) + "]", 1, "$.downtime", "at most 100 times"),
]


@pytest.mark.parametrize(("text", "line", "path", "told"), MISTAKES, ids=[text[:40] for text, *_ in MISTAKES])
def test_a_mistake_is_told_with_its_line_its_path_and_what_to_write(text, line, path, told):
    with pytest.raises(DocumentError) as error:
        policy(text)
    assert error.value.path == path
    assert error.value.source == ("policy.yaml" if line is None else f"policy.yaml:{line}")
    assert told in str(error.value)


@pytest.mark.requirement("S-25")
def test_a_later_layer_outranks_an_earlier_one_member_by_member():
    suggested = Layer(origin=SUGGESTED, plain=parse_layer(FULL, source="suggested"))
    local = Layer(
        origin=LOCAL, plain=parse_layer(b"polling: {periods: []}\nrepair: automatic", source="local")
    )
    held = layered([suggested, local])
    assert held.policy.polling.periods == ()
    assert held.policy.polling.rate.seconds == 300
    assert held.policy.repair == "automatic"
    assert held.origins["polling.periods"] == held.origins["repair"] == LOCAL
    assert held.origins["polling.rate"] == held.origins["apply.windows"] == SUGGESTED
    assert layered([]).origins["rollback.keep"] == DEFAULT
    assert set(held.origins) == {path for path, _ in leaves(Policy().to_plain())}


def test_a_zone_set_in_one_layer_changes_no_time_of_another():
    suggested = Layer(origin=SUGGESTED, plain=parse_layer(b"downtime: [daily 01:00-02:00]", source="s"))
    local = Layer(origin=LOCAL, plain=parse_layer(b"timeZone: Asia/Tokyo", source="l"))
    assert [str(each) for each in layered([suggested, local]).policy.downtime] == ["daily 01:00-02:00 UTC"]


members = st.sampled_from(
    [
        "polling: {rate: 7s}", "polling: {periods: [Mon 01:00-02:00]}", "downtime: [Tue]", "downtime: []",
        "apply: {approval: required}", "apply: {windows: [Wed]}", "apply: {prefetch: in-window}",
        "rollback: {keep: 0}", "repair: report-only", "report: {rate: off}", "timeZone: Asia/Tokyo",
    ]
)  # fmt: skip


@given(st.lists(members, max_size=6))
def test_whoever_speaks_last_about_a_member_is_its_origin_and_his_value_holds(texts):
    layers = [
        Layer(origin=str(at), plain=parse_layer(text.encode(), source="s")) for at, text in enumerate(texts)
    ]
    held = layered(layers)
    plain = dict(leaves(held.policy.to_plain()))
    for path, value in plain.items():
        said = [
            (each.origin, dict(leaves(each.plain))[path])
            for each in layers
            if path in dict(leaves(each.plain))
        ]
        origin, expected = said[-1] if said else (DEFAULT, dict(leaves(Policy().to_plain()))[path])
        assert (held.origins[path], value) == (origin, expected)


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23", "S-25")
@pytest.mark.parametrize(
    ("now", "contact", "poll", "then"),
    [
        pytest.param("2026-11-26T12:00", True, True, "2026-11-26T12:00", id="within a period"),
        pytest.param("2026-11-26T22:00", True, False, "2026-11-27T05:00", id="at night"),
        pytest.param("2026-11-27T21:30", True, False, "2026-11-30T05:00", id="at the weekend"),
        pytest.param("2026-12-24T11:00", False, False, "2027-01-04T05:00", id="in downtime, until after it"),
        pytest.param(
            "2027-01-02T05:00", True, False, "2027-01-04T05:00", id="the end of downtime is not within it"
        ),
    ],
)
def test_polling_is_allowed_within_its_periods_and_never_in_downtime(now, contact, poll, then):
    held = Policy.parse(FULL, source="p")
    assert may_contact(held, utc(now)) is contact
    assert may_poll(held, utc(now)) is poll
    assert next_poll(held, utc(now)) == utc(then)


def test_without_periods_polling_is_always_allowed_but_for_downtime():
    held = policy("downtime: [daily 02:00-03:00]")
    assert polling(held, utc("2026-01-01"), utc("2026-01-02")) == (
        (utc("2026-01-01"), utc("2026-01-01T02:00")),
        (utc("2026-01-01T03:00"), utc("2026-01-02")),
    )


def test_a_policy_that_never_polls_again_has_no_next_poll():
    assert next_poll(policy("polling: {periods: [2026-01-01]}"), utc("2026-06-01")) is None


@pytest.mark.requirement("S-29")
def test_changes_begin_in_windows_and_fetching_may_have_times_of_its_own():
    held = Policy.parse(FULL, source="p")
    saturday = utc("2026-11-28T07:00")  # 02:00 in New York
    assert may_apply(held, saturday)
    assert not may_apply(held, saturday - 1)
    assert next_window(held, saturday - DAY) == (saturday, saturday + 3 * HOUR)
    assert next_window(held, saturday + HOUR) == (saturday + HOUR, saturday + 3 * HOUR)
    assert may_prefetch(held, utc("2026-11-28T19:30"))
    assert not may_prefetch(held, saturday)
    assert may_prefetch(policy(), 0)
    inside = policy("apply: {windows: [Sat], prefetch: in-window}")
    assert [may_prefetch(inside, utc(day)) for day in ("2026-11-28", "2026-11-29")] == [True, False]


def test_without_windows_changes_may_begin_at_any_time():
    assert may_apply(policy(), 0)
    assert next_window(policy("apply: {windows: [2026-01-01]}"), utc("2026-06-01")) is None


def test_the_page_shows_a_policy_that_is_one():
    shown = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    assert policy(shown[1]).apply.approval == "required"


def test_the_page_names_every_member_with_its_default():
    for path, value in leaves(Policy().to_plain()):
        row = re.search(rf"^\| `{re.escape(path)}` \| (.*?) \|", PAGE, re.MULTILINE)
        assert row is not None, path
        expected = {"polling.periods": "always", "apply.windows": "always", "downtime": "never"}
        assert row[1].strip("`") == expected.get(path, str(value).lower() if value is True else str(value))


@pytest.mark.parametrize(
    "text",
    re.findall(r"`([^`]+)`", "".join(re.findall(r"^(\| `(?:[A-Z]|daily|2026)[^|]*)\|", PAGE, re.MULTILINE))),
)
def test_every_time_on_the_page_is_understood(text):
    assert parse_span(text)
