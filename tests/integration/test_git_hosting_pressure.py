"""The Git listener under pressure: many at once, large requests, and clients that go away in the middle."""

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.hosted import PASSWORD, Git, Said, Scene, basic, opened, unbroken
from support.processes import own_environment, wait_until
from support.server_process import ServerProcess

DEVICES, CLONES_EACH = 5, 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with unbroken(tmp_path_factory.mktemp("pressure") / "server") as running:
        yield running


@pytest.fixture
def scene(server: ServerProcess, tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    """A device of its own for each test."""
    return opened(server, f"edge-{abs(hash(request.node.nodeid)):x}", tmp_path)


def at_work(server: ServerProcess) -> list[int]:
    """Return the processes of Git's that the server has at work in the repositories."""
    root = server.data / "repositories"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(root):
                found.append(int(process.name))
    return found


def left_over(scene: Scene) -> list[Path]:
    """Return locks and half-received objects in the repository, and answers half made beside it."""
    names = ("*.lock", "tmp_objdir*", "incoming-*", "tmp_pack*")
    found = [path for name in names for path in scene.bare.folder.rglob(name)]
    return [*found, *scene.bare.folder.parent.glob("tmp*")]


@contextmanager
def begun(git: Git, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start git, with what it starts in a group of its own; what is left at the end is killed."""
    settings = [word for name, value in git.settings.items() for word in ("-c", f"{name}={value}")]
    with subprocess.Popen(
        ["git", *settings, *words],
        cwd=git.folder,
        env=own_environment(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL=os.devnull, GIT_TERMINAL_PROMPT="0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_a_client_that_goes_away_in_a_clone_leaves_nothing_behind(scene: Scene) -> None:
    head = scene.bare.good("rev-parse", "refs/heads/desired")
    # Whoever opens this waits until somebody writes: the fetch goes on until its end is wanted.
    stored = scene.bare.folder / "objects" / head[:2] / head[2:]
    aside = stored.with_suffix(".aside")
    stored.rename(aside)
    os.mkfifo(stored)
    with begun(scene.git(), "clone", scene.url, "cut-off"):
        wait_until(lambda: at_work(scene.server), what="no git began to answer")
    wait_until(lambda: not at_work(scene.server), what="git goes on for nobody")
    aside.replace(stored)
    wait_until(lambda: not left_over(scene), what="something is left of the clone")
    scene.git().good("clone", "--quiet", scene.url, "whole")


def test_a_client_that_goes_away_in_a_push_leaves_nothing_behind(scene: Scene) -> None:
    work = scene.work()
    head = work.commit({"status/a.json": "{}", "status/noise.json": os.urandom(500_000)})
    hook = scene.server.data / "repositories" / "hooks" / "pre-receive"
    usual, waiting = hook.read_bytes(), scene.folder / "waiting"
    hook.write_text(f"#!/bin/sh\necho $$ > '{waiting}'\nsleep 600\n")
    try:
        with begun(work, "push", "--quiet", "origin", "current"):
            wait_until(waiting.exists, what="the push was not judged")
    finally:
        hook.write_bytes(usual)
    wait_until(lambda: not at_work(scene.server), what="git goes on for nobody")
    wait_until(lambda: not left_over(scene), what="something is left of the push")
    assert scene.current == ""
    work.good("push", "--quiet", "origin", "current")
    assert scene.current == head


def test_many_clone_and_push_at_once(server: ServerProcess, tmp_path: Path) -> None:
    scenes = [opened(server, f"many-{number}", tmp_path / str(number)) for number in range(DEVICES)]
    works = [scene.work(basic(scene.name, PASSWORD)) for scene in scenes]
    for work in works:
        work.commit({"status/a.json": "{}"})

    def ask(number: int) -> Said:
        scene = scenes[number % DEVICES]
        if number < DEVICES:
            return works[number].run("push", "--quiet", "origin", "current")
        return scene.git().run("clone", "--quiet", scene.url, f"clone-{number}")

    with ThreadPoolExecutor(DEVICES * CLONES_EACH) as pool:
        said = list(pool.map(ask, range(DEVICES * CLONES_EACH)))
    assert [one.text for one in said if one.code] == []
    assert [scene.current != "" for scene in scenes] == [True] * DEVICES


def traced(git: Git, *words: str | Path) -> str:
    """Return what git says of its own requests, which have to succeed."""
    return git.good("-c", "alias.t=!GIT_CURL_VERBOSE=1 git", "t", *words)


def test_what_git_packs_to_ask_for_is_unpacked(scene: Scene) -> None:
    work = scene.work()
    tree = scene.bare.empty_tree()
    for version in ("0", "2"):
        work.good("checkout", "--quiet", "--orphan", f"lonely-{version}")
        for number in range(60):
            work.good("commit", "--quiet", "--allow-empty", "-m", f"not there {number}")
        # As long as nothing is known to both, git asks with more each time.
        for ref in work.good("for-each-ref", "--format=%(refname)").splitlines():
            if ref != f"refs/heads/lonely-{version}":
                work.good("update-ref", "-d", ref)
        head = scene.bare.good("commit-tree", "-m", version, "-p", "refs/heads/desired", tree)
        scene.bare.good("update-ref", "refs/heads/desired", head)
        said = traced(work, "-c", f"protocol.version={version}", "fetch", "origin", "desired")
        assert "content-encoding: gzip" in said.lower(), version
        assert work.good("rev-parse", "FETCH_HEAD") == head


def test_a_push_larger_than_git_s_buffer_comes_in_chunks(scene: Scene) -> None:
    work = scene.work()
    head = work.commit({f"status/{number}.json": os.urandom(900_000) for number in range(4)})
    said = traced(work, "-c", "http.postBuffer=65536", "push", "origin", "current")
    assert "transfer-encoding: chunked" in said.lower()
    assert scene.current == head


def test_a_push_that_is_too_large_is_refused_in_words(scene: Scene) -> None:
    work = scene.work()
    work.commit({f"status/{number}.json": os.urandom(900_000) for number in range(21)})
    for buffer in (65536, 64 * 1024 * 1024):  # in chunks without end, then with its length told before
        said = work.run("-c", f"http.postBuffer={buffer}", "push", "origin", "current")
        assert said.code != 0
        assert "413" in said.text
    assert scene.current == ""
    assert left_over(scene) == []
