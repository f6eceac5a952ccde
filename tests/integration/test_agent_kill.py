"""Killing the agent is a normal event: wherever it hits, the device ends where the manifest says."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import ForeignServer, deployment_yaml
from support.kill_rig import has_ended
from support.processes import wait_until

IDS = [f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "1234"]
ROUNDS_KILLED = 25


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


def parameters(text):
    return {"word": {"value": text, "targets": [{"pointer": "WORD", "components": ["web", "db"]}]}}


def settled(server, version):
    """Whether the last word about every deployment is what the manifest of `version` wants."""
    for deployment_id in IDS:
        reports = server.statuses(deployment_id)
        wanted = "installed" if deployment_id in server.documents else "removed"
        if not reports and wanted == "removed":
            continue  # it came and went between two rounds
        if not reports or reports[-1]["status"]["state"] != wanted:
            return False
        if wanted == "installed" and reports[-1]["adoptedManifestVersion"] != version:
            return False
    return True


@pytest.mark.requirement("DS-16", "DS-23", "OP-17", "ST-1", "S-7")
def test_rounds_killed_at_random_instants_converge_all_the_same(agent, server):
    chance = random.Random(20261123)
    agent.trouble(slow=0.02)
    server.deploy(*(deployment_yaml(each, components=["db", "web"]) for each in IDS))
    for number in range(ROUNDS_KILLED):
        wanted = chance.sample(IDS, chance.randint(0, len(IDS)))
        server.documents = {
            each: deployment_yaml(each, components=["db", "web"], parameters=parameters(f"{number}"))
            for each in wanted
        }
        version = server.publish()
        agent.start(poll=0.1)
        enough = len(agent.calls) + chance.randint(1, 16)
        wait_until(
            lambda enough=enough, version=version: len(agent.calls) >= enough or settled(server, version),
            what="a round has come far enough, or has nothing left to do",
        )
        time.sleep(chance.uniform(0, 0.03))  # between two calls, too
        kill_everything(agent)
    agent.trouble()
    server.documents = {
        each: deployment_yaml(each, components=["web", "db"], parameters=parameters("last"))
        for each in IDS[:2]
    }
    version = server.publish()
    with agent.running():
        server.wait_for(lambda: settled(server, version), "everything is where it should be", seconds=60)
    assert set(agent.installed) == {(each, name) for each in IDS[:2] for name in ("db", "web")}
    assert {about["environment"]["WORD"] for about in agent.installed.values()} == {"last"}
    assert [each["stage"] for each in agent.status()["deployments"]] == ["installed"] * 2
    assert len(list((agent.state / "objects" / "sha256").iterdir())) == 2


def kill_everything(agent):
    """Kill the watch and whatever round it left, as a power cut would."""
    agent.kill()
    for pid in running_rounds(agent):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not running_rounds(agent), what="the round is gone")


def running_rounds(agent):
    """The processes of rounds over this device."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            ours = b"round" in words and str(agent.device).encode() in words
            if ours and not has_ended(int(process.name)):
                found.append(int(process.name))
    return found


def test_a_round_outlives_a_killed_watch_and_the_next_watch_waits_for_it(agent, server):
    agent.trouble(slow=0.5)
    server.deploy(deployment_yaml(IDS[0]))
    agent.start()
    server.wait_for_state(IDS[0], "installing")
    agent.kill()
    with agent.running():
        server.wait_for_state(IDS[0], "installed")
    assert ["apply", IDS[0], "web"] in agent.calls


def test_stopping_the_watch_ends_the_round_and_what_it_started(agent, server):
    agent.trouble(child=True)
    server.deploy(deployment_yaml(IDS[0]))
    agent.start()
    wait_until((agent.device / "child").exists, what="the round has started a program")
    child = int((agent.device / "child").read_text())
    assert running_rounds(agent)
    agent.stop()
    assert running_rounds(agent) == []
    wait_until(lambda: has_ended(child), what="the program is gone")


def test_what_a_killed_round_left_running_is_ended_too(agent, server):
    server.deploy(deployment_yaml(IDS[0]))
    agent.trouble(child=True)
    agent.start()
    wait_until((agent.device / "child").exists, what="the round has started a program")
    child = int((agent.device / "child").read_text())
    agent.trouble()
    for pid in running_rounds(agent):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: has_ended(child), what="the program is gone")
    server.wait_for_state(IDS[0], "installed")
    agent.stop()


def test_a_round_that_breaks_is_followed_by_another(agent, server):
    server.deploy(deployment_yaml(IDS[0]))
    agent.trouble(child=True)
    agent.start()
    wait_until((agent.device / "child").exists, what="a round is at work")
    agent.trouble()
    for pid in running_rounds(agent):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.wait_for_state(IDS[0], "installed")
    agent.stop()
    assert "was killed by signal 9" in agent.log.read_text()


@pytest.mark.requirement("DS-12", "DS-18")
def test_a_damaged_database_is_moved_aside_and_the_device_finds_itself_again(agent, server):
    version = server.deploy(deployment_yaml(IDS[0]))
    with agent.running():
        server.wait_for_state(IDS[0], "installed", version=version)
    for ending in ("-wal", "-shm"):
        (agent.state / f"state.db{ending}").unlink(missing_ok=True)
    (agent.state / "state.db").write_bytes(b"this is no database" * 500)
    reports = len(server.statuses(IDS[0]))
    with agent.running():
        server.wait_for(lambda: len(server.statuses(IDS[0])) > reports, "a report after the damage")
        server.wait_for_state(IDS[0], "installed", version=version)
    assert (agent.state / "state.db.damaged-1").exists()
    assert "damaged" in agent.log.read_text()
