"""The command line's front: what it loads, what it teaches, how every error ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgewright.cli import boundary
from edgewright.cli.arguments import Parser, command, commands, duration, explain, run_command
from edgewright.cli.errors import OutcomeError, RefusedError, UsageError
from edgewright.cli.main import COMMANDS, introduction, run
from edgewright.protocol.errors import ArchiveError, DocumentError, EdgewrightError


def test_alone_it_shows_the_parts_the_commands_and_where_to_begin(capsys):
    assert run([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert "the server" in shown
    assert "the agent" in shown
    assert "edgewright demo" in shown


def test_the_introduction_fits_eighty_columns():
    assert max(map(len, introduction().splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_fits_eighty_columns(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        run([name, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_an_unknown_command_is_answered_with_the_nearest_one():
    with pytest.raises(UsageError, match="did you mean 'deployment'"):
        run(["deploymnet"])


def test_an_unknown_command_near_to_none_is_answered_with_all():
    with pytest.raises(UsageError, match="choose from demo, server"):
        run(["xyzzy"])


def test_starting_up_loads_no_subcommand_and_nothing_heavy():
    """`agent run` passes here on every device before it becomes the watch."""
    program = "import sys, edgewright.cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {name for name in loaded if name.startswith("edgewright")}
    assert ours == {
        "edgewright",
        "edgewright.cli",
        "edgewright.cli.boundary",
        "edgewright.cli.errors",
        "edgewright.cli.main",
        "edgewright.protocol",
        "edgewright.protocol.errors",
    }
    assert not {"msgspec", "yaml", "cryptography", "rich", "argparse", "ssl", "asyncio"} & set(loaded)


def a_parser() -> Parser:
    parser = Parser(prog="edgewright thing")
    group = commands(parser)
    command(group, "list", lambda _args: 0, summary="list them")
    command(group, "show", lambda _args: 7, summary="show one")
    return parser


def test_a_mistyped_subcommand_is_answered_with_the_nearest_one():
    with pytest.raises(UsageError, match="there is no 'lst'; did you mean 'list'"):
        a_parser().parse_args(["lst"])


def test_a_group_without_a_subcommand_shows_its_help():
    with pytest.raises(UsageError, match="show one"):
        run_command(a_parser().parse_args([]))


def test_the_chosen_subcommand_gives_the_exit_code():
    assert run_command(a_parser().parse_args(["show"])) == 7


@pytest.mark.parametrize(
    "message",
    [
        "argument COMMAND: invalid choice: 'shw' (choose from 'list', 'show')",
        "argument COMMAND: invalid choice: 'shw' (choose from list, show)",
    ],
)
def test_the_nearest_choice_is_found_in_every_wording_of_argparse(message):
    assert explain(message) == "argument COMMAND: there is no 'shw'; did you mean 'show'?"


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("12", 12)])
def test_durations_are_read(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 m", "-3", "1d"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(Exception, match="is no duration"):
        duration(text)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(UsageError("no"), 2, id="wrong arguments"),
        pytest.param(DocumentError("no"), 2, id="bad document"),
        pytest.param(ArchiveError("no"), 2, id="hostile archive"),
        pytest.param(RefusedError("no", status=422), 2, id="refused by the server"),
        pytest.param(RefusedError("no", status=500), 1, id="broken server"),
        pytest.param(RefusedError("no", status=503), 2, id="a registry behind the server is down"),
        pytest.param(OutcomeError("no"), 1, id="ended badly"),
        pytest.param(EdgewrightError("no"), 1, id="an error without a code of its own"),
        pytest.param(PermissionError(13, "Permission denied", "/f"), 1, id="the operating system"),
        pytest.param(ZeroDivisionError("bug"), 1, id="a bug"),
        pytest.param(KeyboardInterrupt(), 130, id="Ctrl-C"),
    ],
)
def test_every_error_ends_as_its_exit_code_without_a_traceback(error, code, capsys):
    def call() -> int:
        raise error

    assert boundary.guarded(call) == code
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_is_one_block_that_begins_with_the_program(capsys):
    boundary.show(RefusedError("not that one", status=422, errors=(("parameters.port", "must be a number"),)))
    assert capsys.readouterr().err == (
        "edgewright: error: not that one\n  parameters.port: must be a number\n"
    )


def test_the_traceback_is_shown_when_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("EDGEWRIGHT_DEBUG", "1")
    boundary.show(UsageError("no"))
    assert "UsageError" in capsys.readouterr().err


def test_a_missing_extra_says_what_to_install():
    assert "pip install 'edgewright[server]'" in boundary.describe(
        ModuleNotFoundError("No module named 'litestar'", name="litestar")
    )


def test_a_reader_that_goes_away_is_no_error_to_show():
    program = (
        "import sys; from edgewright.cli.boundary import guarded\n"
        "sys.exit(guarded(lambda: [print('x' * 100) for _ in range(100000)] and 0))"
    )
    with subprocess.Popen(
        [sys.executable, "-I", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
