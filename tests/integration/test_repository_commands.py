"""`edgewright repository …` at a real server: what each command says and how it ends."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.certificates import Authority
from support.external_scene import Scene, upload
from support.git_backend import GitBackend
from support.processes import own_environment
from support.server_process import ServerProcess


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("commands")
    with (
        ServerProcess.create(folder / "server") as server,
        GitBackend(folder / "git", Authority.create("example.org")) as backend,
    ):
        upload(server)
        server.operator.post("/enrollments", {"name": "invited"})
        yield Scene.create(server, backend, folder, "line-4")


def run(scene: Scene, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "edgewright.cli.main", "repository", *words],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=own_environment(EDGEWRIGHT_CONTEXT=str(scene.server.data / "operator.json"), COLUMNS="80"),
    )


COMMANDS = (
    "create", "delete", "credentials", "bundle", "read", "signers", "rotate-signer", "external", "status",
    "look", "webhook", "restore", "check",
)  # fmt: skip


@pytest.mark.requirement("S-18")
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_in_80_columns(scene: Scene, command: str) -> None:
    done = run(scene, command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: edgewright repository {command}")
    assert max(map(len, done.stdout.splitlines())) <= 80, done.stdout


@pytest.mark.requirement("S-18")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("status", "nobody"), "nobody"),
        (("look", "nobody"), "nobody"),
        (("webhook", "nobody"), "nobody"),
        (("restore", "nobody"), "nobody"),
        (("create", "nobody"), "nobody"),
        (("delete", "nobody"), "nobody"),
        (("credentials", "nobody"), "nobody"),
        (("bundle", "nobody", "-"), "nobody"),
        (("restore", "line-4"), "was not rewritten"),
        (("bundle", "line-4", "-", "--since", "HEAD"), "40 lower-case hex digits"),
        (("bundle", "line-4", "/"), "/"),
        (("read", "line-4", "/"), "/"),
        (("read", "line-4", "/nonexistent"), "/nonexistent"),
        (("external", "line-4", "--minutes", "0"), "minutes"),
        (("external", "line-4", "--url", ""), "url"),
        (("external", "line-4", "--username", "x"), "--password-file is needed"),
        (("external", "line-4", "--token-file", "/"), "/: Is a directory"),
        (("external", "line-4", "--token-file", "/nonexistent"), "/nonexistent: No such file"),
        (("external", "line-4", "--no-credentials", "--token-file", "x"), "of one kind"),
        (("check", "HEAD"), "both OLD and NEW are needed"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(scene: Scene, words: tuple[str, ...], told: str) -> None:
    before = scene.operator.get(scene.path)
    done = run(scene, *words)
    assert done.returncode in {1, 2, 3}, done
    assert told in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    after = scene.operator.get(scene.path)
    assert after | {"checked": None} == before | {"checked": None}


@pytest.mark.requirement("S-18")
@pytest.mark.parametrize("content", [b"\xff\xfe", b"t0ken\x00x"], ids=["not text", "a zero byte"])
def test_a_secret_that_cannot_be_one_is_refused_and_not_shown(scene: Scene, content: bytes) -> None:
    file = scene.folder / "token"
    file.write_bytes(content)
    done = run(scene, "external", "line-4", "--token-file", str(file))
    assert done.returncode != 0
    assert "t0ken" not in done.stderr + done.stdout


@pytest.mark.requirement("S-18", "S-22")
@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\r\n", b"\xef\xbb\xbfs3cret\n"])
def test_a_secret_is_what_was_meant_whatever_editor_wrote_it(scene: Scene, content: bytes) -> None:
    file = scene.folder / "secret"
    file.write_bytes(content)
    scene.backend.needs = "Bearer s3cret"
    try:
        done = run(scene, "external", "line-4", "--token-file", str(file), "-o", "json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["credentials"] == "bearer"
    finally:
        scene.backend.needs = None


@pytest.mark.requirement("S-18")
def test_what_is_shown_is_for_people_and_for_programs(scene: Scene, tmp_path: Path) -> None:
    for words in (("status", "line-4"), ("look", "line-4")):
        shown = run(scene, *words)
        assert (shown.returncode, scene.head() in shown.stdout) == (0, True), shown
        assert json.loads(run(scene, *words, "-o", "json").stdout)["device"] == "line-4"
        assert "device: line-4" in run(scene, *words, "-o", "yaml").stdout
    made = json.loads(run(scene, "webhook", "line-4", "-o", "json").stdout)
    assert made["url"].endswith("/git/hooks/line-4")
    signers = tmp_path / "signers"
    signers.write_text(run(scene, "signers").stdout)
    assert 'namespaces="git"' in signers.read_text()
    bundle = run(scene, "bundle", "line-4", str(tmp_path / "out.bundle"))
    assert bundle.returncode == 0, bundle.stderr
    assert (tmp_path / "out.bundle").read_bytes().startswith(b"# v")
