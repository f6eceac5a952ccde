"""The whole way by Git: our server, its repositories or those of others, a real agent, containers on Docker.

Whatever a person does here is done by the documented commands.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.certificates import Authority
from support.engines import Engine
from support.fleet import Application, Device, Fleet
from support.git_fleet import CURRENT, DESIRED, GitFleet
from support.git_servers import USERNAME, Nginx
from support.images import RegistryAccess, web_image
from support.processes import own_environment, wait_until
from support.server_process import ServerProcess
from support.testbed import Testbed

GOOD, NEW, BAD = "1.0.0", "2.0.0", "3.0.0"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ServerProcess.create(tmp_path / "server", hosts_repositories=True) as server:
        made = Fleet(tmp_path, server)
        yield made
        made.clean()


@pytest.fixture
def device(fleet: Fleet, docker_engine: Engine, unique: str) -> Device:
    return fleet.enroll(unique, docker_engine)


@pytest.fixture
def published(
    fleet: Fleet, registry: RegistryAccess, testbed: Testbed, push_image: Callable[..., str], unique: str
) -> str:
    """Publish three versions of an application, the last of which does not come up; return its name."""
    for version in (GOOD, NEW, BAD):
        image = push_image(web_image(Path(testbed.busybox), page=f"page {version}"), version)
        broken = {"command": ["sh", "-c", "echo no licence; exit 3"]} if version == BAD else {}
        service = {"image": image, "ports": ["127.0.0.1::8080"], "stop_grace_period": "0s", **broken}
        fleet.publish(
            Application(
                name=unique,
                registry=registry,
                components={
                    "app": {
                        "services": {"app": {**service, "volumes": ["kept:/data"]}},
                        "volumes": {"kept": {}},
                    }
                },
                parameters={"greeting": ("hello", "GREETING", ("app",))},
                version=version,
                timeout="0m3s" if version == BAD else "1m0s",
            )
        )
    return unique


def agent(device: Device, *words: str) -> str:
    """Run `edgewright agent WORDS`, which has to succeed; return what it printed."""
    done = subprocess.run(
        device.agent(*words), capture_output=True, text=True, env=own_environment(), check=False, timeout=120
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}\n{device.log.read_text()[-3000:]}"
    return done.stdout


def status(device: Device) -> Any:
    return json.loads(agent(device, "status", "--json"))


def by_git(fleet: Fleet, device: Device) -> GitFleet:
    """Give the device a repository that our server hosts and let it use that; return a look into it."""
    fleet.cli("repository", "create", device.name)
    wait_until(
        lambda: fleet.server.operator.get(f"/devices/{device.name}/repository")["desired_commit"],
        what="the repository was written",
    )
    agent(device, "transport", "git")
    return GitFleet(fleet.server.data / "repositories" / f"{device.name}.git", None)


def identities(device: Device, deployment: str) -> dict[str, str]:
    """Return the containers of a deployment and when each was started."""
    return {
        name: f"{each['Id']} {each['State']['StartedAt']}"
        for name, each in device.containers(deployment).items()
    }


def overall(history: list[dict[str, Any]]) -> list[str]:
    states = [one["state"] for one in history]
    return [state for place, state in enumerate(states) if place == 0 or states[place - 1] != state]


@pytest.mark.requirement("S-1", "S-18", "S-19", "S-20", "S-22", "S-30", "GR-5", "GR-6", "GR-31", "GR-35")
def test_the_main_job_by_a_repository_that_our_server_hosts(fleet: Fleet, device: Device, published: str):
    with device.running():
        wait_until(
            lambda: fleet.server.operator.get(f"/devices/{device.name}")["devices"], what="capabilities"
        )
    repository = by_git(fleet, device)
    with device.running():
        deployment = fleet.deploy(device, f"{published}@{GOOD}", greeting="good morning")
        fleet.converge(deployment)
        assert device.get(deployment, "app", "/") == f"page {GOOD}"
        assert device.environment(deployment, "app")["GREETING"] == "good morning"
        assert device.get(deployment, "app", "/cgi-bin/data?first") == "first\n"

        fleet.cli("deployment", "change", deployment, "--version", NEW, "--wait")
        assert device.get(deployment, "app", "/") == f"page {NEW}"

        # A version that does not come up is taken back, and both sides say so.
        fleet.cli("deployment", "change", deployment, "--version", BAD)
        fleet.wait_for(deployment, "failed", reason="no licence")
        wait_until(lambda: device.containers(deployment), what="the version before runs again")
        assert device.get(deployment, "app", "/") == f"page {NEW}"
        assert device.get(deployment, "app", "/cgi-bin/data") == "first\n"
        fleet.cli("deployment", "change", deployment, "--version", NEW, "--wait")

        facts = status(device)
        assert str(repository.head(DESIRED)) in json.dumps(facts)

        fleet.cli("deployment", "delete", deployment, "--wait")
        assert device.leftovers(deployment) == []

    history = fleet.history(deployment)
    told = overall(history)
    assert told[:3] == ["pending", "installing", "installed"]
    assert told[-2:] == ["removing", "removed"]
    assert "failed" in told
    # What the API shows is what the device committed, report by report.
    committed = [each["status"]["state"] for each in repository.statuses(deployment)]
    assert [one["state"] for one in history] == committed
    assert repository.adopted()["refused"] is None


@pytest.mark.requirement("S-29", "S-20")
def test_an_approval_is_asked_for_given_and_seen_by_git(fleet: Fleet, device: Device, published: str):
    with device.running():
        wait_until(
            lambda: fleet.server.operator.get(f"/devices/{device.name}")["devices"], what="capabilities"
        )
    by_git(fleet, device)
    device.policy = device.state.with_suffix(".policy.yaml")
    device.policy.write_text("apply: {approval: required}\n")
    with device.running():
        # At once: a policy that is just being written lets nothing through either.
        deployment = fleet.deploy(device, f"{published}@{GOOD}")
        fleet.wait_for(deployment, "pending", reason="approval")
        assert device.containers(deployment) == {}
        agent(device, "approvals", "approve", "1", "--by", "Kim", "--reason", "between two shifts")
        fleet.converge(deployment)
        assert device.get(deployment, "app", "/") == f"page {GOOD}"
        told = wait_until(
            lambda: "Kim" in json.dumps(fleet.server.operator.get(f"/devices/{device.name}")),
            what="the server shows who approved",
        )
        assert told


@pytest.mark.requirement("GR-52", "S-4")
def test_a_device_moves_between_the_transports_without_a_container_restarted(
    fleet: Fleet, device: Device, published: str
):
    with device.running():
        deployment = fleet.deploy(device, f"{published}@{GOOD}")
        fleet.converge(deployment)
        before = identities(device, deployment)
        revision = status(device)["manifest"]["version"]

        # While it runs: the watch is told by the command.
        repository = by_git(fleet, device)
        wait_until(repository.adopted, what="the device reports by git", seconds=60)
        assert status(device)["manifest"]["version"] == revision
        other = fleet.deploy(device, f"{published}@{NEW}")
        fleet.converge(other)
        assert identities(device, deployment) == before
        between = identities(device, other)

        agent(device, "transport", "api")
        fleet.cli("deployment", "change", other, "--set", "greeting=by the API", "--wait")
        assert device.environment(other, "app")["GREETING"] == "by the API"
        assert identities(device, deployment) == before

        agent(device, "transport", "git")
        fleet.cli("deployment", "change", other, "--set", "greeting=by Git", "--wait")
        assert device.environment(other, "app")["GREETING"] == "by Git"
        assert identities(device, deployment) == before
        assert identities(device, other) != between
        told = json.dumps(status(device)["events"])
        assert "refused" not in told, told
    for one in (deployment, other):
        assert "failed" not in overall(fleet.history(one))
        assert overall(fleet.history(one))[-1] == "installed"


def tell_of_pushes(repository: Path, fleet: Fleet, device: Device) -> None:
    """Have the Git server tell our server whenever somebody pushed, by a hook as a person would write one."""
    made = fleet.ask("repository", "webhook", device.name)
    told = f"""
import ssl, urllib.request
authority = ssl.create_default_context(cafile={str(fleet.server.data / "identity" / "web-ca.pem")!r})
request = urllib.request.Request({made["url"]!r}, b"{{}}", {{"Authorization": "Bearer {made["secret"]}"}})
assert urllib.request.urlopen(request, context=authority, timeout=30).status == 202
"""
    hook = repository / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nexec {sys.executable} -I -c {shlex.quote(told)} >&2\n")
    hook.chmod(0o755)


@pytest.mark.requirement("S-18", "S-22", "GR-45")
def test_a_repository_on_a_git_server_of_others(tmp_path: Path, fleet: Fleet, device: Device, published: str):
    authority = Authority.create("git.example")
    outside = GitFleet.create(tmp_path / "repositories" / f"{device.name}.git", None)
    with Nginx(tmp_path / "repositories", authority) as nginx, device.running():
        wait_until(
            lambda: fleet.server.operator.get(f"/devices/{device.name}")["devices"], what="capabilities"
        )
        ca, password = tmp_path / "git-ca.pem", tmp_path / "git-password"
        ca.write_bytes(authority.pem)
        password.write_text("correct:horse battery")
        password.chmod(0o600)
        shown = ["--username", USERNAME, "--password-file", str(password), "--ca", str(ca)]
        url = nginx.url("basic", device.name)
        fleet.cli("repository", "external", device.name, "--url", url, "--minutes", "60", *shown)
        tell_of_pushes(outside.repository, fleet, device)
        wait_until(lambda: outside.head(DESIRED), what="desired was pushed", seconds=60)
        agent(device, "transport", "git", *shown)
        deployment = fleet.deploy(device, f"{published}@{GOOD}")
        fleet.converge(deployment)
        assert device.get(deployment, "app", "/") == f"page {GOOD}"
        committed = [each["status"]["state"] for each in outside.statuses(deployment)]
        assert [one["state"] for one in fleet.history(deployment)] == committed
        assert outside.head(CURRENT) is not None

        # A commit by hand that says too much is answered on the branch, and changes nothing on the device.
        before = identities(device, deployment)
        hand = outside.commit({"manifest.json": b"{}"}, signed=False, author="kim", message="shortcut")
        fleet.cli("repository", "look", device.name)
        wait_until(lambda: outside.head(DESIRED) != hand, what="the server's answer on top", seconds=60)
        message = outside.git("log", "-1", "--format=%B", DESIRED).decode()
        assert message.startswith(f"Refused: {hand}")
        assert "kim" in message
        assert outside.history(DESIRED)[-2] == hand
        fleet.cli("deployment", "delete", deployment, "--wait")
        assert before


@pytest.mark.requirement("S-18", "S-20", "S-21", "GR-49", "GR-50")
def test_a_site_without_a_link_lives_on_bundles(tmp_path: Path, fleet: Fleet, device: Device, published: str):
    with device.running():
        wait_until(
            lambda: fleet.server.operator.get(f"/devices/{device.name}")["devices"], what="capabilities"
        )
    by_git(fleet, device)
    deployment = fleet.deploy(device, f"{published}@{GOOD}")
    fleet.server.operator.get("/repositories")
    desired, current = tmp_path / "desired.bundle", tmp_path / "current.bundle"

    def bundled() -> bool:
        fleet.cli("repository", "bundle", device.name, str(desired))
        listing = subprocess.run(
            ["git", "bundle", "list-heads", str(desired)], capture_output=True, text=True, check=False
        )
        head = GitFleet(fleet.server.data / "repositories" / f"{device.name}.git", None)
        return deployment in "".join(head.paths(DESIRED)) and DESIRED in listing.stdout

    wait_until(bundled, what="a bundle with the deployment")
    fleet.cli("repository", "bundle", device.name, str(desired))
    fleet.server.stop()

    agent(device, "bundle", "import", str(desired))
    with device.running():
        wait_until(lambda: device.containers(deployment), what="the application runs", seconds=120)
        assert device.get(deployment, "app", "/") == f"page {GOOD}"
        wait_until(
            lambda: any(
                each["id"] == deployment and each["state"] == "installed"
                for each in status(device)["deployments"]
            ),
            what="the device says installed",
            seconds=60,
        )
        agent(device, "bundle", "export", str(current))
    fleet.server.start()
    fleet.cli("repository", "read", device.name, str(current))
    assert overall(fleet.history(deployment))[-1] == "installed"


@pytest.mark.requirement("GR-28", "S-21")
def test_a_server_and_an_agent_that_are_killed_go_on_where_they_were(
    fleet: Fleet, device: Device, published: str
):
    with device.running():
        wait_until(
            lambda: fleet.server.operator.get(f"/devices/{device.name}")["devices"], what="capabilities"
        )
    repository = by_git(fleet, device)
    device.start()
    deployment = fleet.deploy(device, f"{published}@{GOOD}")
    fleet.converge(deployment)
    for number in range(4):
        fleet.cli("deployment", "change", deployment, "--set", f"greeting=round {number}")
        if number % 2:
            fleet.server.kill()
            fleet.server.start()
        device.kill()
        device.start()
    fleet.converge(deployment)
    assert device.environment(deployment, "app")["GREETING"] == "round 3"
    assert repository.git("fsck", "--no-dangling") is not None
    wait_until(
        lambda: repository.adopted()["commit"] == repository.head(DESIRED), what="the last commit taken up"
    )
    assert repository.adopted()["refused"] is None
    fleet.cli("deployment", "delete", deployment, "--wait")
    assert overall(fleet.history(deployment))[-1] == "removed"
    device.stop()
