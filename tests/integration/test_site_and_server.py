"""One site and its fleet manager, both real: what is suggested takes force, and what is in force is shown."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import own_environment, start, stop, tail, wait_until
from support.server_process import ServerProcess

EDGEWRIGHT = (sys.executable, "-m", "edgewright.cli.main")


class Site:
    """A device that runs an agent and no engine; its policy file may be changed meanwhile."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        self.name = "line-4"
        self.policy = folder / "policy.yaml"
        self._folder = folder
        self._server = server
        self._environment = own_environment()
        token = server.operator.post("/enrollments", {"name": self.name})["token"]
        self._run("agent", "enroll", token, "--state", str(folder / "state"))
        command = [*EDGEWRIGHT, "agent", "run", "--state", str(folder / "state"), "--poll", "200ms"]
        self._process = start(
            [*command, "--policy", str(self.policy)], log=folder / "log", environment=self._environment
        )

    def stop(self) -> None:
        stop(self._process)

    def _run(self, *words: str) -> None:
        done = subprocess.run([*EDGEWRIGHT, *words], capture_output=True, env=self._environment, check=False)
        assert done.returncode == 0, done.stderr

    def shown(self) -> Any:
        """What the fleet manager shows of it."""
        return self._server.operator.get(f"/devices/{self.name}")

    def until(self, path: str, value: Any, origin: str) -> Any:
        """Wait until the fleet manager shows that `path` of the policy is `value`, said by `origin`."""

        def look() -> Any:
            device = self.shown()
            site = device["site"]
            if site is None or site["origins"].get(path) != origin:
                return None
            found: Any = site["policy"]
            for name in path.split("."):
                found = found[name]
            return device if found == value else None

        return wait_until(look, what=f"{path} is not {value} by {origin}: {self.log()}", seconds=60)

    def log(self) -> str:
        return f"{json.dumps(self.shown(), indent=1)}\n{tail(self._folder / 'log', 30)}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path / "server") as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, server: ServerProcess) -> Iterator[Site]:
    (tmp_path / "policy.yaml").write_text("apply: {approvalValid: 3d}\n")
    one = Site(tmp_path, server)
    yield one
    one.stop()


def suggest(server: ServerProcess, path: str, text: str) -> None:
    answer = server.operator.request("PUT", path, body=text.encode(), media_type="application/yaml")
    assert answer.status in {200, 201}, answer.body


@pytest.mark.requirement("OFF-2", "OFF-3", "S-23", "S-24", "S-27")
def test_what_is_suggested_takes_force_where_the_site_says_nothing_else(
    server: ServerProcess, site: Site
) -> None:
    device = site.until("apply.approvalValid", "3d", "local")
    assert device["contact"]["state"] == "in-contact"
    assert device["site"]["policy"]["apply"]["approval"] == "automatic"

    suggest(server, "/policy", "apply: {approval: required, approvalValid: 9d}\n")
    device = site.until("apply.approval", "required", "suggested")
    assert device["site"]["policy"]["apply"]["approvalValid"] == "3d", "the site's own file outranks it"

    suggest(server, f"/devices/{site.name}/policy", "report: {rate: 2h}\n")
    site.until("apply.approval", "automatic", "default")
    site.until("report.rate", "2h", "suggested")

    server.operator.delete(f"/devices/{site.name}/policy")
    site.until("apply.approval", "required", "suggested")
    server.operator.delete("/policy")
    site.until("apply.approval", "automatic", "default")

    # A file that cannot be read changes nothing, and both ends say so.
    site.policy.write_text("apply: {approval: perhaps}\n")

    def problem() -> Any:
        return site.shown()["site"]["policy_problem"]

    assert "apply.approval" in wait_until(problem, what="the mistake is not reported", seconds=60)
    assert site.shown()["site"]["policy"]["apply"]["approvalValid"] == "3d"

    # From here on it does not poll for decades, and nobody calls it lost. It may still report, and did.
    site.policy.write_text("polling: {periods: ['2090-01-01 00:00 .. 2091-01-01 00:00']}\n")

    def contact() -> Any:
        return site.shown()["contact"]["state"] == "planned-silence"

    wait_until(contact, what="the polling periods were not announced", seconds=60)
