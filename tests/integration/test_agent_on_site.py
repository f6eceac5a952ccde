"""People on site and a running agent: what they decide, by socket, command or page, happens at once."""

import http.client
import os
import re
import socket
import stat
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from edgewright.agent.on_site.control_client import ask
from edgewright.agent.page import password
from edgewright.agent.paths import Paths
from support.agent_rig import AgentRig
from support.certificates import Authority, trust_bundle
from support.foreign_server import ForeignServer, deployment_yaml

ONE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def server(authority):
    with ForeignServer(authority) as server:
        yield server


@pytest.fixture
def agent(tmp_path, authority, server, monkeypatch):
    policy = tmp_path / "policy.yaml"
    policy.write_text("apply: {approval: required}\n")
    monkeypatch.setenv("EDGEWRIGHT_POLICY", str(policy))
    rig = AgentRig(tmp_path, authority)
    rig.enroll(server.url)
    return rig


def waiting(server):
    server.wait_for(
        lambda: any(
            each["status"].get("error", {}).get("code") == "hold.approval" for each in server.statuses(ONE)
        ),
        "an approval is waited for",
    )


@pytest.mark.requirement("S-29")
def test_an_approval_given_at_the_terminal_lets_the_change_begin_at_once(agent, server):
    server.deploy(deployment_yaml(ONE, components=["web"]))
    with agent.running():
        waiting(server)
        assert agent.installed == {}
        (listed,) = ask(Paths(str(agent.state)), {"do": "approvals"})["approvals"]
        done = agent.command("approvals", "approve", str(listed["number"]), "--by", "Ada")
        assert done.returncode == 0, done.stderr
        assert "at once" in done.stdout
        server.wait_for_state(ONE, "installed")
    assert set(agent.installed) == {(ONE, "web")}
    audit = agent.status()["audit"]
    assert any(each["who"] == "Ada" and each["via"] == "command line" for each in audit)


@pytest.mark.requirement("S-29")
def test_nothing_begins_while_changes_are_paused_and_an_override_lets_one_begin(agent, server):
    with agent.running():
        assert agent.command("pause", "--by", "Ada", "--reason", "audit").returncode == 0
        server.deploy(deployment_yaml(ONE, components=["web"]))
        server.wait_for(
            lambda: any(
                each["status"].get("error", {}).get("code") == "hold.paused" for each in server.statuses(ONE)
            ),
            "the pause is reported",
        )
        assert agent.installed == {}
        done = agent.command("apply-now", ONE, "--by", "Ada", "--reason", "line stands still")
        assert done.returncode == 0, done.stderr
        server.wait_for_state(ONE, "installed")
    assert agent.status()["paused"]["by"] == "Ada"


class Page:
    """The local page, asked without a browser."""

    def __init__(self, at):
        self.at = str(at)
        self.cookie = ""

    def ask(self, method, path, **form):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(self.at)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": self.cookie}
        try:
            connection.request(method, path, urllib.parse.urlencode(form) if form else None, headers)
            response = connection.getresponse()
            self.cookie = (response.getheader("Set-Cookie") or self.cookie).partition(";")[0]
            return response.read().decode()
        finally:
            connection.close()


@pytest.mark.requirement("S-29")
def test_an_approval_given_on_the_page_lets_the_change_begin_at_once(agent, server, tmp_path):
    server.deploy(deployment_yaml(ONE, components=["web"]))
    made = password.make(Paths(str(agent.state)))
    page = Page(tmp_path / "page.sock")
    with agent.running("--page", f"unix:{page.at}"):
        waiting(server)
        page.ask("POST", "/login", name="Grace", password=made)
        shown = page.ask("GET", "/")
        form = re.search(r'action="(/approvals/\d+)".*?name="token" value="([^"]+)"', shown, re.DOTALL)
        page.ask("POST", form[1], token=form[2], by="Grace", verdict="approved")
        server.wait_for_state(ONE, "installed")
    assert any(each["who"] == "Grace" and each["via"] == "page" for each in agent.status()["audit"])


def test_asking_the_fleet_manager_at_once_needs_nobody_to_wait(agent, server):
    with agent.running(poll=3600.0):
        server.wait_for_polls(1)
        before = len(server.polls())
        assert agent.command("poll", "--by", "Ada").returncode == 0
        server.wait_for(lambda: len(server.polls()) > before, "a poll long before its time")


def test_enrolling_makes_the_password_of_a_page_that_is_set_up_once(agent, server, tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("page: {listen: 'unix:/run/edgewright/page.sock'}\n")
    files = agent.authority.client(client="edge-01").write(tmp_path / "again")
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(trust_bundle(agent.authority))
    words = ["--svid", str(files.certificate), "--key", str(files.key), "--trust-bundle", str(bundle)]
    words += ["--server", server.url, "--replace", "--config", str(config)]
    first, again = agent.command("enroll", *words), agent.command("enroll", *words)
    made = re.search(r"password of the local page, shown only now: (\S+)", first.stdout)
    assert password.load(Paths(str(agent.state))).accepts(made[1])
    assert again.returncode == 0, again.stderr
    assert "password" not in again.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make /run/edgewright")
def test_the_real_command_opens_the_sockets_its_settings_name(agent, server, tmp_path):
    config = tmp_path / "agent.yaml"
    page = tmp_path / "page.sock"
    config.write_text(f"page: {{listen: 'unix:{page}'}}\ncontrol: {{group: root}}\n")
    command = [Path(sys.executable).with_name("edgewright"), "agent", "run", "--state", agent.state]
    with agent.log.open("ab") as log:
        process = subprocess.Popen([*command, "--config", config], stderr=log)
    try:
        server.wait_for_polls(1)
        control = Path(Paths(str(agent.state)).control_sockets[1])
        assert [stat.S_IMODE(each.stat().st_mode) for each in (page, control)] == [0o660, 0o660]
        assert ask(Paths(str(agent.state)), {"do": "status"})["running"] == process.pid
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0
