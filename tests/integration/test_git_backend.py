"""How Git is run for a request: in which environment, with which bounds, and until when.

In place of Git there is a script that does what a test is about.
"""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.server.problems import ProblemError
from edgewright.server.repositories import backend
from edgewright.server.repositories.backend import Backend, GitRequest
from edgewright.server.repositories.incoming import GoneError, StalledError
from support import loops
from support.processes import wait_until

ASKED = GitRequest(client_id="edge-01", method="GET", path="/edge-01.git/info/refs", query="service=git-x")
HEAD = r"printf 'Content-Type: text/plain\r\n\r\n'"
Script = Callable[..., Backend]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Make a backend that runs a script of these lines for Git."""

    def make(*lines: str, **more: Any) -> Backend:
        program = tmp_path / "bin" / "git"
        program.parent.mkdir()
        program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        monkeypatch.setenv("SECRET", "of the server")
        return Backend(tmp_path, tmp_path / "hooks", **more)

    return make


class Client:
    """One request as the server sees it; `gone` is when its sender goes away."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.gone = asyncio.Event()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")


def answered(made: Backend, request: GitRequest = ASKED, body: bytes | None = None) -> str:
    async def ask() -> str:
        client = Client()
        if body is None:
            await made.answer(request, None, client.receive, client.send)
        else:
            with tempfile.TemporaryFile() as file:
                file.write(body)
                file.flush()
                await made.answer(request, file, client.receive, client.send)
        assert client.status == 200
        return client.body.decode()

    return loops.run(ask())


@pytest.mark.requirement("S-22")
def test_git_has_an_environment_of_its_own(script: Script, tmp_path: Path) -> None:
    lines = answered(script(HEAD, "env")).splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert "SECRET" not in found
    assert found["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert found["PATH_INFO"] == ASKED.path
    names = {name for name in found if not name.startswith("GIT_CONFIG_")}
    assert names <= {
        *("PATH", "HOME", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"),
        *("GIT_TERMINAL_PROMPT", "GIT_NO_REPLACE_OBJECTS", "GIT_HTTP_EXPORT_ALL", "GIT_PROJECT_ROOT"),
        *("GIT_ATTR_NOSYSTEM", "GIT_OPTIONAL_LOCKS", "GIT_NO_LAZY_FETCH"),
        *("PATH_INFO", "REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE", "REMOTE_USER", "REMOTE_ADDR"),
        *("GATEWAY_INTERFACE", "SERVER_PROTOCOL"),
    }
    settings = [found[f"GIT_CONFIG_KEY_{number}"] for number in range(int(found["GIT_CONFIG_COUNT"]))]
    assert "core.hooksPath" in settings


def test_git_has_bounds(script: Script) -> None:
    said = answered(script(HEAD, "ulimit -v; ulimit -t; ulimit -f"))
    assert [int(line) for line in said.split()] == [1024 * 1024, 60, 640 * 1024 * 2]


def test_git_reads_the_body_to_its_end_and_nothing_without_one(script: Script) -> None:
    made = script(HEAD, "cat")
    assert answered(made) == ""
    assert answered(made, ASKED, b"x" * 300_000) == "x" * 300_000


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        pytest.param(["exit 1"], 500, id="nothing said"),
        pytest.param(["echo no head"], 500, id="no head"),
        pytest.param([r"printf 'Status: 404 Not Found\r\n\r\n'"], 404, id="not found"),
        pytest.param([r"printf 'Status: 403 Forbidden\r\n\r\n'"], 403, id="forbidden"),
        pytest.param([r"printf 'Status: 302 Found\r\nLocation: x\r\n\r\n'"], 500, id="elsewhere"),
        pytest.param(["kill -9 $$"], 500, id="killed"),
    ],
)
def test_a_git_that_does_not_answer_is_a_problem(script: Script, lines: list[str], status: int) -> None:
    with pytest.raises(ProblemError) as raised:
        answered(script(*lines))
    assert raised.value.status == status


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()


async def pids(folder: Path) -> list[int]:
    """Wait for the script and its child to tell who they are."""
    while not (folder / "pids").exists() or len((folder / "pids").read_text().split()) < 2:
        await asyncio.sleep(0)
    return [int(one) for one in (folder / "pids").read_text().split()]


SLEEPS = ("echo $$ >> pids", "(trap '' TERM; sh -c 'echo $PPID >> pids'; sleep 600) & wait")


def test_git_and_its_children_end_when_the_client_goes_away(script: Script, tmp_path: Path) -> None:
    made = script(*SLEEPS)

    async def go_away() -> list[int]:
        client = Client()
        asking = asyncio.create_task(made.answer(ASKED, None, client.receive, client.send))
        found = await pids(tmp_path)
        client.gone.set()
        with pytest.raises(GoneError):
            await asking
        return found

    for pid in loops.run(go_away()):
        wait_until(lambda pid=pid: not is_alive(pid), what=f"{pid} did not end")


def test_git_ends_when_its_time_is_over(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "MOST_SECONDS", 0.1)
    with pytest.raises(ProblemError) as raised:
        answered(script("sleep 600"))
    assert raised.value.status == 500


def test_only_so_many_run_at_once(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "QUEUE_SECONDS", 0.1)
    made = script(*SLEEPS, at_once=1)

    async def ask_twice() -> None:
        client, second = Client(), Client()
        asking = asyncio.create_task(made.answer(ASKED, None, client.receive, client.send))
        await pids(tmp_path)
        with pytest.raises(ProblemError) as raised:
            await made.answer(ASKED, None, second.receive, second.send)
        assert raised.value.status == 503
        client.gone.set()
        with pytest.raises(GoneError):
            await asking

    loops.run(ask_twice())


def test_a_client_that_does_not_read_is_let_go_and_keeps_no_git(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "STALL_SECONDS", 0.1)
    made = script(HEAD, "head -c 1000000 /dev/zero", at_once=1)

    async def ask() -> None:
        reading, client = asyncio.Event(), Client()

        async def send(message: Any) -> None:
            if message.get("body"):
                reading.set()
                await asyncio.Event().wait()

        asking = asyncio.create_task(made.answer(ASKED, None, client.receive, send))
        await reading.wait()
        await made.answer(ASKED, None, client.receive, client.send)
        assert len(client.body) == 1_000_000
        with pytest.raises(StalledError):
            await asking

    loops.run(ask())
