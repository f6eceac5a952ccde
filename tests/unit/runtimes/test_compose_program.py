"""Running the Compose program: what its end says, and what it says nothing about."""

from pathlib import Path

import pytest

from edgewright.agent.runtimes import ProgramKilledError
from edgewright.agent.runtimes.compose_program import ComposeProgram


def program(tmp_path: Path, script: str) -> ComposeProgram:
    path = tmp_path / "compose"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return ComposeProgram(path=str(path), version="2.0.0")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param(
            "kill -9 $$", "killed by signal 9 (by a person, or because memory ran out)", id="killed"
        ),
        pytest.param("kill -11 $$", "killed by signal 11", id="crashed"),
        pytest.param("exit 130", "was asked to end", id="ended"),
    ],
)
def test_a_program_that_was_ended_from_outside_tells_nothing_about_the_component(
    tmp_path: Path, script: str, words: str
):
    with pytest.raises(ProgramKilledError) as caught:
        program(tmp_path, script).run(["up"], environment={}, timeout=10)
    assert words in str(caught.value)
    assert caught.value.retryable


def test_a_program_that_fails_by_itself_is_taken_at_its_word(tmp_path: Path):
    done = program(tmp_path, "echo no such thing >&2; exit 1").run(["up"], environment={}, timeout=10)
    assert (done.code, done.reason) == (1, "no such thing")


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        pytest.param("error during connect: Post: EOF", True, id="cut"),
        pytest.param("Cannot connect to the Docker daemon at unix:///x.sock.", True, id="gone"),
        pytest.param("Error response from daemon: error during connect: EOF", False, id="the engine's own"),
        pytest.param("service a failed to build: unexpected EOF", False, id="another's"),
    ],
)
def test_an_engine_that_went_away_is_told_from_one_that_refuses(tmp_path: Path, said: str, lost: bool):
    script = f"echo ' Container a  Creating' >&2; echo '{said}' >&2; exit 1"
    done = program(tmp_path, script).run(["up"], environment={}, timeout=10)
    assert done.lost_engine is lost
