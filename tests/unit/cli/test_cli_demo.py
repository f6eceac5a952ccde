"""How the demo is carried through and shown, with steps of the test's own."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from edgewright.cli.demo.conductor import conduct
from edgewright.cli.demo.engines import Leavings
from edgewright.cli.demo.processes import TAIL_COLUMNS, tail
from edgewright.cli.demo.report import Drawn, Lines, Phase
from edgewright.cli.demo.story import STEPS, Step, World
from edgewright.cli.errors import OutcomeError, UsageError
from edgewright.cli.main import run


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; the demo must leave it empty."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def carry_out(*runs: Callable[[World], str]) -> int:
    story = [Step(title=f"step {index}", run=run, logs=("agent",)) for index, run in enumerate(runs)]
    return conduct("auto", None, plain=True, pause=False, story=story)


def fails(_world: World) -> str:
    raise OutcomeError("no engine")


def test_a_demo_that_ends_well_shows_a_table(temporary, capsys):
    assert carry_out(lambda _world: "first", lambda _world: "second") == 0
    table = capsys.readouterr().out.partition("STEP")[2]
    assert "step 0    first" in table
    assert "step 1    second" in table
    assert list(temporary.iterdir()) == []


def test_what_was_started_is_taken_down_last_first(temporary):
    down = []

    def start(name: str) -> Callable[[World], str]:
        def run(world: World) -> str:
            (world.folder / name).write_text("x")
            world.stack.callback(down.append, name)
            return name

        return run

    assert carry_out(start("first"), start("second"), fails, start("never")) == 1
    assert down == ["second", "first"]
    assert list(temporary.iterdir()) == []


def test_a_failure_shows_the_reason_and_the_end_of_the_log(capsys):
    def run(world: World) -> str:
        world.logs["agent"] = world.folder / "agent.log"
        world.logs["agent"].write_text("".join(f"line {number}\n" for number in range(100)))
        raise OutcomeError("no image")

    assert carry_out(run) == 1
    shown = capsys.readouterr()
    assert "FAILED: no image" in shown.out
    assert "error: step 0: no image" in shown.err
    assert "line 99" in shown.err
    assert "line 9\n" not in shown.err


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), PermissionError(13, "Permission denied", "/x")])
def test_no_error_keeps_the_demo_from_being_taken_down(temporary, capsys, error):
    def breaks(world: World) -> str:
        def down() -> None:
            raise error

        world.stack.callback(down)
        raise error

    assert carry_out(breaks) == 1
    shown = capsys.readouterr().err
    assert "clean up" in shown
    assert "Traceback" not in shown
    assert list(temporary.iterdir()) == []


def test_an_interruption_takes_everything_down_and_goes_on(temporary):
    def interrupted(_world: World) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(interrupted)
    assert list(temporary.iterdir()) == []


def test_the_drawing_fits_eighty_columns():
    drawn = Drawn([step.title for step in STEPS])
    drawn.begin(0)
    drawn.done("everything there " * 8)
    drawn.begin(1)
    drawn.detail("half of it")
    drawn.command("edgewright deployment create hello --device demo " * 3)
    shown = io.StringIO()
    Console(width=80, file=shown).print(drawn._draw())
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("half of it" in line for line in lines)
    assert sum(line.startswith("$ ") for line in lines) == 1


def test_every_title_is_shown_whole_at_eighty_columns():
    drawn = Drawn([step.title for step in STEPS])
    shown = io.StringIO()
    Console(width=80, file=shown).print(drawn._draw())
    assert all(step.title in shown.getvalue() for step in STEPS)


def test_plain_lines_say_what_goes_on(capsys):
    lines = Lines(["one"])
    lines.begin(0)
    lines.command("edgewright x")
    lines.detail("half")
    lines.done("all")
    assert lines.rows[0].phase is Phase.DONE
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == ["[1/1] one", "      $ edgewright x", "      half"]
    assert printed[3].startswith("      all (")


def test_leavings_are_counted_in_words():
    nothing = Leavings(containers=(), networks=(), volumes=(), images=())
    some = Leavings(containers=("a", "b"), networks=(), volumes=("v",), images=())
    assert str(nothing) == ""
    assert str(some) == "2 containers, 1 volume"


def test_the_end_of_a_log_is_short(tmp_path):
    (tmp_path / "log").write_text("x" * 10_000 + "\n")
    assert len(tail(tmp_path / "log")) == TAIL_COLUMNS + 1


@pytest.mark.parametrize("text", ["bogus", "tcp://localhost:2375", "unix://docker.sock", ""])
def test_what_names_no_engine_is_refused_before_anything_is_started(text):
    with pytest.raises(UsageError, match="none of auto, docker, podman"):
        run(["demo", "--engine", text])
