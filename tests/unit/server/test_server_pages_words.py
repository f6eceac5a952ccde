"""The words, times and navigation of the pages."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from edgewright.protocol.status import State
from edgewright.server.domain.contact import Contact
from edgewright.server.domain.roles import Role
from edgewright.server.domain.truth import Truth
from edgewright.server.web.moments import exact, iso, relative
from edgewright.server.web.navigation import NAVIGATION
from edgewright.server.web.pages import STATIC
from edgewright.server.web.words import WORDS, Tone, word

NOW = datetime(2026, 11, 26, 21, 42, 36, tzinfo=UTC)
AREAS = [area for group in NAVIGATION for area in group.areas]


@pytest.mark.parametrize("state", [*Truth, *Contact, *State, *Role])
def test_every_state_there_is_has_a_word_of_its_own(state):
    assert state in WORDS


def test_no_state_is_told_by_its_colour_alone():
    drawn = {(shown.icon, shown.text) for shown in WORDS.values()}
    assert all(icon and text for icon, text in drawn)


def test_every_icon_is_in_the_file_of_icons():
    there = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "vendor/lucide.svg").read_text()))
    templates = "".join(path.read_text() for path in (STATIC.parent / "templates").rglob("*.html"))
    asked = {shown.icon for shown in WORDS.values()} | {area.icon for area in AREAS}
    asked |= set(re.findall(r"""(?:ui\.icon|[^_]icon)\(["']([^"']+)["']""", templates))
    asked |= set(re.findall(r"""\bicon=["']([^"']+)["']""", templates))
    assert asked - there == set()


def test_an_unknown_state_is_shown_as_it_is():
    shown = word("some-new_state")
    assert (shown.text, shown.tone) == ("Some new state", Tone.QUIET)


@pytest.mark.parametrize(
    ("distance", "past", "future"),
    [
        (timedelta(seconds=0), "just now", "just now"),
        (timedelta(seconds=44), "just now", "in a moment"),
        (timedelta(seconds=45), "1 min ago", "in 1 min"),
        (timedelta(minutes=59), "59 min ago", "in 59 min"),
        (timedelta(minutes=60), "1 h ago", "in 1 h"),
        (timedelta(hours=23), "23 h ago", "in 23 h"),
        (timedelta(days=1), "1 day ago", "in 1 day"),
        (timedelta(days=29), "29 days ago", "in 29 days"),
        (timedelta(days=30), "27 Oct 2026", "26 Dec 2026"),
    ],
)
def test_times_are_said_as_people_say_them(distance, past, future):
    assert relative(NOW - distance, NOW) == past
    assert relative(NOW + distance, NOW) == future


def test_times_are_shown_in_utc_whatever_zone_they_come_in():
    there = NOW.astimezone(timezone(timedelta(hours=9)))
    assert exact(there) == "2026-11-26 21:42:36 UTC"
    assert iso(there) == "2026-11-26T21:42:36Z"


def test_keys_of_the_navigation_lead_to_one_place_each():
    keys = [area.keys for area in AREAS]
    assert len(keys) == len(set(keys))
    assert all(re.fullmatch("[a-z]", key) for key in keys)


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/fleet", "Devices"),
        ("/devices/edge-01", "Devices"),
        ("/deploy", "Deployments"),
        ("/deployments/7", "Deployments"),
        ("/packages/a/1.0", "Packages"),
    ],
)
def test_a_page_belongs_to_one_area(path, title):
    assert [area.title for area in AREAS if area.holds(path)] == [title]
