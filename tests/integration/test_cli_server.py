"""The operator's commands against a real server, as separate processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewright.cli.demo.hello_files import HELLO
from support.server_process import ServerProcess

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("cli") / "server") as running:
        yield running


@pytest.fixture
def edgewright(tmp_path: Path) -> Run:
    """Run `edgewright WORDS` as a person with a home of their own."""

    def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgewright.cli.main", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )

    return call


@pytest.fixture
def operator(edgewright: Run, server: ServerProcess) -> Run:
    """The same, logged in to the server."""
    done = edgewright("login", server.data / "operator.json")
    assert done.returncode == 0, done.stderr
    return edgewright


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_login_keeps_the_context_for_this_user_alone(operator, tmp_path):
    kept = tmp_path / ".config" / "edgewright" / "context.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert operator("device", "list").returncode == 0


def test_a_wrong_token_is_not_kept(edgewright, server, tmp_path):
    context = json.loads((server.data / "operator.json").read_text()) | {"token": "wrong"}
    (tmp_path / "operator.json").write_text(json.dumps(context))
    done = edgewright("login", tmp_path / "operator.json")
    assert done.returncode == 2
    assert "does not accept this token" in done.stderr
    assert not (tmp_path / ".config").exists()


def test_a_server_with_another_authority_is_not_talked_to(edgewright, server, tmp_path):
    other = ServerProcess.create(tmp_path / "other")
    context = json.loads((other.data / "operator.json").read_text()) | {"url": server.web_url}
    (tmp_path / "operator.json").write_text(json.dumps(context))
    done = edgewright("login", tmp_path / "operator.json")
    assert done.returncode == 2
    assert "certificate" in done.stderr


def test_without_a_login_every_command_says_how(edgewright):
    done = edgewright("device", "list")
    assert done.returncode == 2
    assert "edgewright login" in done.stderr


def test_a_package_goes_in_is_shown_and_is_deleted(operator):
    assert operator("package", "import", HELLO / "1.0.0" / "package").stdout == "imported hello 1.0.0\n"
    assert "hello-compose" in operator("package", "show", "hello@1.0.0").stdout
    assert [one["version"] for one in answer(operator("package", "list", "-o", "json"))] == ["1.0.0"]
    assert operator("package", "delete", "hello@1.0.0").returncode == 0
    assert "No packages yet" in operator("package", "list").stdout


def test_a_registry_the_server_cannot_reach_is_not_a_failure_of_the_server(operator, own_registry):
    own_registry.stop()
    done = operator("package", "import", f"oci://{own_registry.host}/hello:1.0.0")
    assert done.returncode == 2
    assert own_registry.host in done.stderr


def test_a_token_is_printed_alone_and_listed_without_itself(operator):
    done = operator("enrollment", "create", "line-1")
    assert done.stdout.startswith("ewt1.")
    assert done.stdout.count("\n") == 1
    listed = operator("enrollment", "list").stdout
    assert "line-1" in listed
    assert "ewt1." not in listed


@pytest.mark.parametrize(
    "words",
    [
        ("enrollment", "create", "not a name/.."),
        ("enrollment", "create", "line-1", "--valid", "soon"),
        ("device", "show", "line-9"),
        ("device", "retire", "line-9"),
        ("package", "show", "nothing"),
        ("package", "delete", "nothing@1.0.0"),
        ("deployment", "create", "nothing", "--device", "line-1"),
        ("deployment", "delete", "nothing"),
        ("deployment", "show", "nothing"),
        ("deployment", "watch", "nothing"),
        ("device", "list", "--output", "xml"),
        ("device", "lst"),
    ],
)
def test_what_cannot_be_done_is_one_block_and_exit_code_2(operator, words):
    done = operator(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("edgewright: error: ")
    assert "Traceback" not in done.stderr


def test_a_server_that_is_gone_is_named(operator, server):
    server.stop()
    try:
        done = operator("device", "list")
    finally:
        server.start()
    assert done.returncode == 2
    assert server.web_url.removeprefix("https://") in done.stderr
