"""What commands print, for people and for programs."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edgewright.cli.output import (
    ago,
    folded_table,
    moment,
    plain_table,
    print_facts,
    print_table,
    print_value,
    rich_table,
    shorten,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, "never"),
        ("2026-11-23T11:59:48Z", "12 s ago"),
        ("2026-11-23T11:59:48+00:00", "12 s ago"),
        ("2026-11-23T11:55:00", "5 min ago"),
        ("2026-11-23T12:55:00+01:00", "5 min ago"),
        ("2026-11-23T09:00:00Z", "3 h ago"),
        ("2026-11-11T12:00:00Z", "12 days ago"),
        ("2026-11-23T12:00:30Z", "just now"),
        ("2026-11-24T12:00:00Z", "in 24 h"),
        ("soon", "soon"),
    ],
)
def test_times_read_as_people_say_them(moment, text):
    assert ago(moment, NOW) == text


@given(st.integers(min_value=0, max_value=10**9))
def test_every_age_has_a_short_name(seconds):
    assert len(ago((NOW - timedelta(seconds=seconds)).isoformat(), NOW)) <= 16


@given(st.lists(st.uuids().map(str), min_size=1, unique=True))
def test_a_shortened_id_still_names_one(identifiers):
    for identifier in identifiers:
        short = shorten(identifier, identifiers)
        assert [other for other in identifiers if other.startswith(short)] == [identifier]


def test_ids_that_begin_alike_are_shown_longer():
    assert shorten("aaaaaaaa-1", ["aaaaaaaa-1", "aaaaaaaa-2"]) == "aaaaaaaa-1"
    assert shorten("aaaaaaaa-1", ["aaaaaaaa-1", "bbbbbbbb-2"]) == "aaaaaaaa"


def test_a_plain_table_is_aligned_and_uncut():
    assert plain_table(["name", "state"], [("line-4-with-a-long-name", "failed"), ("b", "ok")]) == (
        "NAME                     STATE\nline-4-with-a-long-name  failed\nb                        ok"
    )


def test_an_empty_table_says_what_to_do(capsys):
    print_table(["name"], [], empty="No devices yet; 'edgewright enrollment create' invites one.")
    assert "invites one" in capsys.readouterr().out


def test_a_drawn_table_stays_within_the_terminal():
    drawn = io.StringIO()
    Console(width=60, file=drawn).print(rich_table(["a", "b"], [("x" * 70, "converged")]))
    assert all(len(line.rstrip()) <= 60 for line in drawn.getvalue().splitlines())


def test_facts_without_text_are_left_out(capsys):
    print_facts([("name", "n"), ("error", ""), ("state", "a\nb")])
    assert capsys.readouterr().out == "name   n\nstate  a\n       b\n"


def test_json_is_for_programs(capsys):
    print_value({"name": "Öl", "values": [1, None]}, "json")
    assert json.loads(capsys.readouterr().out) == {"name": "Öl", "values": [1, None]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-24T08:39:43.183510Z", "2026-11-24 08:39 UTC"),
        ("2026-11-24T08:39:43+01:00", "2026-11-24 07:39 UTC"),
        (None, ""),
        ("soon", "soon"),
    ],
)
def test_moments_are_shown_to_the_minute(text, shown):
    assert moment(text) == shown


def test_without_rich_a_terminal_gets_plain_tables(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("edgewright.cli.output.find_spec", lambda _name: None)
    print_table(["a"], [("b",)], empty="")
    assert capsys.readouterr().out == "A\nb\n"


LONG = "component web: service main ended with exit code 3; revision 4f2a90c1be77 is running again"


@pytest.mark.parametrize("id_", ["4b597923", "4b597923-1b54-413e-8109-a7815f8ce0e9"])
def test_a_table_at_a_terminal_is_never_wider_than_that(id_: str):
    rows = [("press", id_, "failed", LONG), ("web", id_, "installed", "")]
    drawn = folded_table(["deployment", "id", "state", "error"], rows, 72)
    assert max(map(len, drawn.splitlines())) <= 72
    assert " ".join(drawn.split()).replace("ERROR ", "").count("web") == 2
    words = " ".join(drawn.split())
    assert all(word in words for word in LONG.split())
    assert drawn.splitlines()[-1].startswith("web ")
