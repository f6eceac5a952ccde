"""The watch as a process: what it loads, how it starts, stops and is nudged; the commands beside it."""

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.agent.paths import Paths
from edgewright.agent.state.locks import holder
from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import ForeignServer, deployment_yaml
from support.processes import wait_until

ONE = "11111111-1111-4111-8111-111111111111"

# Everything of ours that stays in memory. A module more is a decision (docs/decisions/0003), not an accident.
OURS = {
    "edgewright",
    "edgewright.agent",
    "edgewright.agent.backoff",
    "edgewright.agent.clock",
    "edgewright.agent.failpoints",
    "edgewright.agent.log",
    "edgewright.agent.paths",
    "edgewright.agent.resident",
    "edgewright.agent.resident.child",
    "edgewright.agent.resident.doors",
    "edgewright.agent.resident.engine_events",
    "edgewright.agent.resident.notices",
    "edgewright.agent.resident.rounds",
    "edgewright.agent.state",
    "edgewright.agent.state.durable",
    "edgewright.agent.state.locks",
    "edgewright.agent.state.mirror",
    "edgewright.agent.state.outbox",
    "edgewright.agent.state.reserve",
    "edgewright.agent.state.store",
    "edgewright.agent.talk",
    "edgewright.agent.talk.answers",
    "edgewright.agent.talk.channel",
    "edgewright.agent.talk.contact",
    "edgewright.agent.talk.conversation",
    "edgewright.agent.talk.hours",
    "edgewright.agent.talk.manners",
    "edgewright.agent.talk.repeats",
    "edgewright.agent.talk.session",
    "edgewright.agent.talk.timetable",
    "edgewright.agent.talk.transports",
    "edgewright.agent.watch",
    "edgewright.net",
    "edgewright.net.http",
    "edgewright.net.tls",
    "edgewright.net.wire",
    "edgewright.protocol",
    "edgewright.protocol.digests",
    "edgewright.protocol.errors",
    "edgewright.protocol.spiffe",
    "edgewright.protocol.svid",
}
# And of the two ways to its fleet manager the one this device uses.
API = {
    "edgewright.agent.talk.link",
    "edgewright.agent.sinks",
    "edgewright.agent.sinks.api",
    "edgewright.agent.sources",
    "edgewright.agent.sources.api",
    "edgewright.protocol.media_types",
}
GIT = {
    "edgewright.agent.git",
    "edgewright.agent.git.access",
    "edgewright.agent.git.head",
    "edgewright.agent.git.notes",
    "edgewright.agent.talk.git_link",
    "edgewright.net.git",
    "edgewright.net.git.url",
    "edgewright.net.git.wire",
    "edgewright.protocol.repository",
}
# Of the standard library; underscored ones and those of Python's own start are not listed.
LIBRARY = {
    "array",
    "base64",
    "binascii",
    "bisect",
    "collections",
    "contextlib",
    "copyreg",
    "datetime",
    "enum",
    "errno",
    "fcntl",
    "functools",
    "hashlib",
    "itertools",
    "json",
    "keyword",
    "math",
    "operator",
    "re",
    "reprlib",
    "select",
    "selectors",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "stat",
    "struct",
    "types",
    "warnings",
    "zlib",
}


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def server(authority):
    with ForeignServer(authority) as server:
        yield server


@pytest.fixture
def agent(tmp_path, authority, server):
    rig = AgentRig(tmp_path, authority)
    rig.enroll(server.url)
    return rig


def loaded(statement):
    """The modules an isolated interpreter has after `statement` that it has not without."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.requirement("S-12")
@pytest.mark.parametrize(
    ("way", "of_it"),
    [
        pytest.param("edgewright.agent.talk.link", API, id="the device API"),
        pytest.param("edgewright.agent.talk.git_link, edgewright.agent.git.head", GIT, id="a Git repository"),
    ],
)
def test_the_watch_loads_only_what_is_named_here(way, of_it):
    modules = loaded(f"import edgewright.agent.watch, {way}")
    assert {name for name in modules if name.startswith("edgewright")} == OURS | of_it
    library = {name.partition(".")[0] for name in modules if not name.startswith(("edgewright", "_"))}
    assert library <= LIBRARY, library - LIBRARY


@pytest.mark.requirement("S-12")
def test_talking_loads_nothing_more(agent, server, tmp_path):
    """What a poll, a post and a new manifest import on top would stay as well."""
    program = f"""
import sys
from edgewright.agent.talk.link import Link
from edgewright.agent.paths import Paths
from edgewright.agent.talk.session import Session
from edgewright.agent.state.store import Store
import edgewright.agent.watch
paths = Paths({str(agent.state)!r})
store = Store(paths.database)
link = Link(Session.polite(paths, store), store)
link.greet()
link.outbox.queue("capabilities", "PUT", "/api/v1/capabilities/edge-01", b"{{}}")
before = set(sys.modules)
assert link.post() and link.poll(1.0)
print(*(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_command_run_imports_nothing_it_leaves_behind_and_becomes_the_watch():
    modules = loaded("import edgewright.cli.main, edgewright.cli.agent")
    heavy = {"msgspec", "yaml", "cryptography", "rich", "asyncio"}
    assert modules.isdisjoint(heavy)


@pytest.mark.requirement("S-6", "S-2", "DS-1")
def test_the_real_command_runs_the_real_round_and_ends_with_sigterm(agent, server, tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text(f"engine: {{socket: {tmp_path}/nothing.sock}}\n")
    server.deploy(deployment_yaml(ONE))
    command = [Path(sys.executable).with_name("edgewright"), "agent", "run"]
    with agent.log.open("ab") as log:
        process = subprocess.Popen(
            [*command, "--state", str(agent.state), "--config", str(config), "--poll", "200ms"], stderr=log
        )
    try:
        server.wait_for(
            lambda: any("error" in each["status"] for each in server.statuses(ONE)), "the engine is missed"
        )
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    assert code == 0, agent.log.read_text()
    report = server.statuses(ONE)[-1]
    assert report["status"]["state"] == "pending"
    assert report["status"]["error"]["code"] == "engine.unavailable"
    assert str(tmp_path) in report["status"]["error"]["message"]
    assert "Traceback" not in agent.log.read_text()
    # A device without an engine hosts nothing, and says so.
    assert set(server.requests[0].json()["properties"]) == {"id", "vendor", "modelNumber", "serialNumber"}


def test_sighup_polls_at_once(agent, server):
    agent.start(poll=3600)
    server.wait_for_polls(1)
    server.deploy(deployment_yaml(ONE))
    agent.process.send_signal(signal.SIGHUP)
    server.wait_for_state(ONE, "installed")
    agent.stop()


def test_who_is_woken_while_it_starts_hears_it_later(agent, server):
    with agent.running():
        server.wait_for_polls(1)
    server.deploy(deployment_yaml(ONE))
    busy = sqlite3.connect(Paths(str(agent.state)).database, isolation_level=None)
    busy.execute("PRAGMA locking_mode = EXCLUSIVE")
    busy.execute("BEGIN EXCLUSIVE")
    agent.start()
    lock = Paths(str(agent.state)).watch_lock
    wait_until(lambda: holder(lock) == agent.process.pid, what="the watch holds its lock")
    agent.process.send_signal(signal.SIGUSR1)
    agent.process.send_signal(signal.SIGHUP)
    busy.close()
    server.wait_for_state(ONE, "installed")
    agent.stop()


def test_one_state_directory_has_one_agent(agent, server):
    with agent.running():
        server.wait_for_polls(1)
        second = agent.command("run")
        once = agent.command("sync")
    assert second.returncode == once.returncode == 2
    assert "is at work already" in second.stderr
    assert "is at work already" in once.stderr


def test_an_agent_that_is_not_enrolled_says_what_to_do(tmp_path, authority):
    agent = AgentRig(tmp_path, authority)
    for word in ("status", "run", "sync", "reconcile"):
        done = agent.command(word)
        assert done.returncode == 2, word
        assert "edgewright agent enroll" in done.stderr
        assert "Traceback" not in done.stderr
    assert "edgewright agent enroll" in agent.command("status").stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("poll: {rate: 60s}", "policy.yaml", id="what belongs into the policy"),
        pytest.param("polls: {}", "polls", id="unknown member"),
        pytest.param("capabilities: {memory: 5 apples}", "$.capabilities.memory", id="no quantity"),
        pytest.param("a: [", "line 2", id="no YAML"),
        pytest.param("registries: here.yaml", "$.registries", id="relative path"),
    ],
)
def test_settings_that_are_wrong_are_told_with_file_and_place(agent, tmp_path, text, words):
    config = tmp_path / "agent.yaml"
    config.write_text(text)
    for command in ("run", "sync", "reconcile", "capabilities"):
        done = agent.command(command, "--config", str(config))
        assert done.returncode == 2, (command, done.stderr)
        assert str(config) in done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.requirement("S-7", "DS-18")
def test_sync_takes_a_change_up_in_one_turn(agent, server, tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text(f"engine: {{socket: {tmp_path}/nothing.sock}}\n")
    server.deploy(deployment_yaml(ONE, profile="helm"))
    done = agent.command("sync", "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert server.states(ONE)[-1] == "failed"
    assert agent.status()["manifest"]["version"] == 2


def test_sync_without_a_fleet_manager_ends_with_one(agent, server):
    server.stop()
    done = agent.command("sync")
    assert done.returncode == 1
    assert "connection refused" in done.stderr


def test_status_tells_how_the_device_stands(agent, server):
    version = server.deploy(deployment_yaml(ONE, name="shop"))
    with agent.running():
        server.wait_for_state(ONE, "installed")
        wait_until(lambda: agent.status()["contact"]["reports_waiting"] == 0, what="all is sent")
        facts = agent.status()
        assert facts["running"] == agent.process.pid
    assert facts["identity"]["device_id"] == "edge-01"
    assert facts["manifest"]["version"] == version
    assert [(each["name"], each["state"]) for each in facts["deployments"]] == [("shop", "installed")]
    assert facts["contact"]["problem"] is None
    shown = agent.command("status").stdout
    assert "shop" in shown
    assert "installed" in shown


@pytest.mark.requirement("CAP-7", "S-14")
def test_capabilities_shows_what_is_reported(agent, tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("deviceId: line/7\ncapabilities: {vendor: Maker, labels: {example.org/hall: 3}}\n")
    done = agent.command("capabilities", "--config", str(config))
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["properties"]["id"] == "line/7"
    assert shown["properties"]["vendor"] == "Maker"
    assert shown["labels"] == {"example.org/hall": 3}


def test_the_state_is_readable_by_its_owner_alone(agent, server):
    with agent.running():
        server.wait_for_polls(1)
    assert agent.state.stat().st_mode & 0o077 == 0
    assert (agent.state / "identity" / "current" / "key.pem").stat().st_mode & 0o077 == 0
    assert (agent.state / "state.db").stat().st_mode & 0o077 == 0
