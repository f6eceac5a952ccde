"""What a policy brings, in words and in times: what a plant engineer reads before putting it in force."""

from datetime import UTC, datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.calendar import DAY, HOUR, Weekly, intervals
from edgewright.protocol.durations import length
from edgewright.protocol.outlook import clock_changes, coming, doubts, wall_at
from edgewright.protocol.policy import HORIZON, Policy, polling
from edgewright.protocol.policy_words import in_words, span_in_words
from edgewright.protocol.spans import parse_span


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = utc("2026-11-26T12:00")


def policy(text: str, *, zone: str = "Europe/Berlin") -> Policy:
    return Policy.parse(f"timeZone: {zone}\n{text}".encode(), source="policy.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mon-Fri 06:00-22:00", "Monday to Friday from 06:00 to 22:00 (UTC)"),
        ("Fri-Mon", "Friday to Monday, all day (UTC)"),
        ("Sat,Sun 02:00-05:00", "on Saturday and Sunday from 02:00 to 05:00 (UTC)"),
        ("Mon,Wed,Fri 02:00-05:00", "on Monday, Wednesday and Friday from 02:00 to 05:00 (UTC)"),
        ("Mon-Wed,Fri 22:00-24:00", "Monday to Wednesday and Friday from 22:00 to 24:00 (UTC)"),
        ("daily 02:00-05:00", "every day from 02:00 to 05:00 (UTC)"),
        ("Sat 06:00-08:00,12:00-13:00", "on Saturday from 06:00 to 08:00 and from 12:00 to 13:00 (UTC)"),
        ("Sat,Sun 22:00-04:00", "on Saturday and Sunday from 22:00 to 04:00 the next day (UTC)"),
        ("Sat 22:00-04:00", "from Saturday 22:00 to Sunday 04:00 (UTC)"),
        ("Fri 18:00 - Mon 06:00", "from Friday 18:00 to Monday 06:00 (UTC)"),
        ("Fri 18:00 - Sun 24:00", "from Friday 18:00 to Sunday 24:00 (UTC)"),
        ("2026-12-24 12:00 .. 2027-01-02 06:00", "from Thu 24 Dec 2026 12:00 to Sat 02 Jan 2027 06:00 (UTC)"),
    ],
)
def test_a_span_reads_like_a_sentence(text, words):
    assert span_in_words(parse_span(text)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.5, "0.5 s"), (60, "60 s"), (90, "90 s"), (300, "5 min"), (5400, "1 h 30 min"), (7 * DAY, "7 days")],
)
def test_lengths_are_told_in_the_units_people_use(seconds, words):
    assert length(seconds) == words


def test_every_topic_says_something_of_every_policy():
    for text in (
        "",
        "polling: {periods: [Mon]}\ndowntime: [Tue]\napply: {approval: required, windows: [Wed]}",
        "apply: {approval: required, prefetch: [Thu]}",
        "apply: {prefetch: in-window}\nrollback: {automatic: false, keep: 0}\nreport: {rate: off}",
        "repair: report-only",
        "apply: {prefetch: in-window, windows: [Sat]}\nrollback: {keep: 1}",
    ):
        topics = dict(in_words(policy(text)))
        assert list(topics) == [
            "polling",
            "downtime",
            "changes",
            "fetching",
            "failures",
            "repairs",
            "reports",
        ]
        assert all(sentences[-1].endswith(".") for sentences in topics.values())


def test_words_say_what_the_policy_says():
    words = dict(in_words(policy("polling: {rate: 5m, periods: [Mon-Fri 06:00-22:00, Sat 08:00-12:00]}")))
    assert words["polling"] == (
        "The fleet manager is asked for news every 5 min, but only",
        "Monday to Friday from 06:00 to 22:00,\nand on Saturday from 08:00 to 12:00 (Europe/Berlin).",
    )


def test_what_comes_next_begins_now_where_it_is_open_and_leaves_out_downtime():
    soon = coming(
        policy("polling: {periods: [daily 06:00-22:00]}\ndowntime: [2026-11-26 14:00-15:00]"), NOW, 3
    )
    assert soon["polling"] == (
        (NOW, utc("2026-11-26T13:00")),
        (utc("2026-11-26T14:00"), utc("2026-11-26T21:00")),
        (utc("2026-11-27T05:00"), utc("2026-11-27T21:00")),
    )
    assert soon["downtime"] == ((utc("2026-11-26T13:00"), utc("2026-11-26T14:00")),)


def test_what_is_always_open_has_no_end():
    always = ((NOW, inf),)
    soon = coming(policy("apply: {windows: [daily]}"), NOW, 3)
    assert soon == {"polling": always, "apply.windows": always}


def test_nights_on_which_a_window_is_longer_shorter_or_missing_are_told():
    changes = clock_changes(
        policy("apply: {windows: [Sun 02:00-05:00, Sun 02:00-03:00, Sat 02:00-05:00]}"), NOW
    )
    assert [(each.at, str(each.span)[:15], each.seconds, each.usual) for each in changes] == [
        (utc("2027-03-28T01:00"), "Sun 02:00-05:00", 2 * HOUR, 3 * HOUR),
        (utc("2027-03-28T01:00"), "Sun 02:00-03:00", 0, HOUR),
        (utc("2027-10-31T01:00"), "Sun 02:00-05:00", 4 * HOUR, 3 * HOUR),
        (utc("2027-10-31T01:00"), "Sun 02:00-03:00", 2 * HOUR, HOUR),
    ]
    assert wall_at(changes[0]) == ("02:00", "03:00")
    assert wall_at(changes[-1]) == ("03:00", "02:00")


def test_a_date_that_is_skipped_or_comes_twice_is_told():
    text = (
        "downtime: [2027-03-28 02:30 .. 2027-03-29 00:00, 2027-10-30 .. 2027-10-31, 2027-10-31 01:00-02:30]"
    )
    changes = clock_changes(policy(text), NOW)
    assert [(str(each.span)[:16], each.by, each.seconds) for each in changes] == [
        ("2027-03-28 02:30", HOUR, None),
        ("2027-10-31 01:00", -HOUR, None),
    ]


@given(st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago"]), st.integers(0, 6), st.integers(0, 95), st.integers(1, 90))  # noqa: E501  # fmt: skip
def test_the_length_told_for_a_night_is_the_length_it_has(zone, day, begin, quarters):
    times = ((begin * 900, (begin + quarters) * 900),)
    span = Weekly(text="", zone=zone, days=(day,), times=times)
    read = Policy.from_plain({"apply": {"windows": []}})
    changes = clock_changes(type(read)(apply=type(read.apply)(windows=(span,))), NOW)
    for change in changes:
        near = intervals([span], change.at - 7 * DAY + HOUR * 24, change.at + 6 * DAY)
        around = [each for each in near if each[0] - HOUR * 2 <= change.at <= each[1] + HOUR * 2]
        assert sum(end - start for start, end in around) == change.seconds


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("downtime: [2026-01-01]", "downtime[0] '2026-01-01 Europe/Berlin' is over."),
        ("polling: {periods: [2026-01-01]}", "not asked at all within 400 days"),
        ("downtime: [daily]", "not asked at all within 400 days: the downtime does not end"),
        ("apply: {windows: [2029-01-01]}", "No change can begin within 400 days"),
        ("apply: {windows: [2029-01-01]}", "does not come within 400 days"),
        ("apply: {windows: [Sat, Sun 22:00-04:00]}", "apply.windows[0] is the whole day"),
        (
            "apply: {approval: required, approvalValid: 1d, windows: [Sat]}",
            "Windows are up to 6 days 1 h apart",
        ),
    ],
)
def test_what_may_not_be_meant_is_asked_about(text, told):
    assert any(told in remark for remark in doubts(policy(text), NOW))


def test_times_in_utc_are_asked_about():
    assert any("in UTC" in remark for remark in doubts(policy("downtime: [Sat]", zone="UTC"), NOW))


@pytest.mark.parametrize("text", ["", "polling: {periods: [Mon-Fri 06:00-22:00]}", "apply: {approval: required, windows: [Sat]}"])  # noqa: E501  # fmt: skip
def test_a_plain_policy_raises_no_doubt(text):
    assert doubts(policy(text), NOW) == ()


def test_polling_that_is_told_is_polling_that_happens():
    read = policy(
        "polling: {periods: [Mon-Fri 06:00-22:00]}\ndowntime: [2026-12-24 12:00 .. 2027-01-02 06:00]"
    )
    assert coming(read, NOW, 200)["polling"] == polling(read, NOW, NOW + HORIZON)[:200]


def test_what_goes_on_beyond_the_horizon_ends_when_it_ends():
    far = coming(policy("downtime: [2027-06-01 .. 2029-05-31]"), NOW, 5)
    assert far["downtime"] == ((utc("2027-05-31T22:00"), utc("2029-05-31T22:00")),)
