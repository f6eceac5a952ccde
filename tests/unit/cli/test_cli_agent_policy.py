"""`edgewright agent policy`: what a person reads before and after a policy is put in force."""

import io
import json
import sys
from pathlib import Path

import pytest

from edgewright.agent.state.store import Store
from edgewright.cli.main import guarded
from edgewright.cli.main import run as run_command

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples" / "policies").glob("*.yaml"))
AT = "2026-11-26T12:00Z"
FULL = """\
timeZone: Europe/Berlin
polling: {rate: 5m, periods: [Mon-Fri 06:00-22:00]}
downtime: [2026-12-24 12:00 .. 2027-01-02 06:00]
apply: {approval: required, windows: [Sun 02:00-05:00]}
"""


@pytest.fixture
def run(capsys):
    def run(*words: str) -> tuple[int, str]:
        code = guarded(lambda: run_command(["agent", "policy", *words]))
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(FULL)
    return file


@pytest.mark.requirement("S-25", "OFF-2", "OFF-3", "OFF-4")
def test_check_says_in_words_what_the_policy_means_and_what_it_brings(run, file):
    code, told = run("check", str(file), "--at", AT)
    assert code == 0
    for words in (
        f"{file} is in order.",
        "asked for news every 5 min, but only",
        "Monday to Friday from 06:00 to 22:00 (Europe/Berlin).",
        "Each change waits until somebody on site has approved it.",
        "now                    Thu 26 Nov 2026 22:00  now - 26 Nov 21:00",
        "Fri 27 Nov 2026 06:00  Fri 27 Nov 2026 22:00  27 Nov 05:00 - 21:00",
        "Thu 24 Dec 2026 12:00  Sat 02 Jan 2027 06:00  24 Dec 11:00 - 02 Jan 05:00",
        "Sun 28 Mar 2027, Europe/Berlin: forward from 02:00 to 03:00",
        "apply.windows: 'Sun 02:00-05:00 Europe/Berlin' lasts 2 h, not 3 h",
    ):
        assert words in told


def test_an_empty_file_is_as_wrong_as_it_is_for_the_agent(run, file):
    file.write_text("\n")
    code, told = run("check", str(file))
    assert code == 2
    assert "is empty; to have no policy, delete it or say so in a comment" in told


def test_programs_get_the_same_as_values(run, file):
    code, told = run("check", str(file), "--at", AT, "--json")
    facts = json.loads(told)
    assert code == 0
    assert facts["policy"]["polling"]["rate"] == "5m"
    assert facts["next"]["polling"][1] == {
        "from": "2026-11-27T05:00:00+00:00",
        "to": "2026-11-27T21:00:00+00:00",
    }
    assert facts["clock_changes"][0]["seconds"] == 7200
    assert facts["doubts"] == []


def test_a_mistake_is_told_with_file_line_and_path(run, file):
    file.write_text("polling:\n  rate: 60s\n  periods:\n  - Mo-Fr 06:00-22:00\n")
    code, told = run("check", str(file))
    assert code == 2
    assert told == (
        f"edgewright: error: {file}:4: $.polling.periods[0]: 'Mo' is no day;"
        " the days are Mon, Tue, Wed, Thu, Fri, Sat, Sun and daily\n"
    )


def test_check_reads_standard_input(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"repair: report-only")))
    code, told = run("check", "-")
    assert code == 0
    assert "What stops running is reported and not touched." in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "/nowhere.yaml"], "/nowhere.yaml: no such file"),
        (["check", "/"], "Is a directory"),
        (["check", "--at", "soon", "/"], "'soon' is no moment"),
        (["show", "--state", "/nowhere"], "no agent has been at work here"),
    ],
)
def test_what_cannot_be_done_is_told(run, words, told):
    code, said = run(*words)
    assert code == 2
    assert told in said


def test_show_tells_what_is_in_force_and_who_said_each_line(run, file, tmp_path):
    store = Store(str(tmp_path / "state.db"))
    store.set_meta("policy.suggested", "repair: report-only\npolling: {rate: 1s}")
    store.close()
    code, told = run("show", "--state", str(tmp_path), "--policy", str(file))
    lines = [line.split(maxsplit=2) for line in told.splitlines()]
    assert code == 0
    assert ["polling.rate", "local", "5m"] in lines
    assert ["repair", "suggested", "report-only"] in lines
    assert ["rollback.keep", "default", "2"] in lines
    _, told = run("show", "--state", str(tmp_path), "--policy", str(file), "--json")
    facts = json.loads(told)
    assert facts["origins"]["repair"] == "suggested"
    assert facts["in_force"]["repair"] == "report-only"


def test_show_tells_what_is_wrong(run, file, tmp_path):
    Store(str(tmp_path / "state.db")).close()
    file.write_text("repair: perhaps")
    code, told = run("show", "--state", str(tmp_path), "--policy", str(file))
    assert code == 0
    assert "$.repair: expected automatic or report-only" in " ".join(told.split())
    assert "No change begins until this is put right." in told


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_in_order_raises_no_doubt_and_fits_a_terminal(run, example):
    code, told = run("check", str(example), "--at", AT)
    assert code == 0, told
    assert "Is that meant?" not in told
    assert [line for line in told.splitlines()[1:] if len(line) > 80] == []


def test_there_are_examples():
    assert len(EXAMPLES) >= 5
