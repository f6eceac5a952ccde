"""Damage and long silence, with real watches and rounds: what is known stays known, what runs goes on."""

import json
import signal
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from edgewright.agent.paths import Paths
from edgewright.agent.state.locks import holder
from edgewright.agent.state.outbox import Outbox
from support.agent_rig import AgentRig
from support.certificates import Authority
from support.cut_filesystem import CutFilesystem, why_not
from support.fixtures import unavailable
from support.foreign_server import ForeignServer, deployment_yaml
from support.processes import wait_until

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


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


def applied(agent):
    return [call for call in agent.calls if call[0] == "apply"]


def rounds(agent):
    return sum(call == ["observe"] for call in agent.calls)


def wait_for_marks(agent, count):
    """Wait until a round has ended that knew `count` installed revisions, and no others."""

    def marked():
        marks = [mark.read_bytes() for mark in (agent.state / "projects").glob("*/*/.revision")]
        return len(marks) == count and all(b'"stage":"installed"' in mark for mark in marks)

    wait_until(marked, what=f"{count} marks")


def wait_for_rounds(agent):
    """Wait until no round is at work: one goes on alone when the watch is gone, and uses what it finds."""
    wait_until(lambda: holder(Paths(str(agent.state)).round_lock) is None, what="no round is at work")


def events(agent, kind):
    """What was recorded; nothing while there is no database."""
    address = f"file:{agent.state}/state.db?mode=ro"
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(address, uri=True)) as database:
        return [row[0] for row in database.execute("SELECT message FROM events WHERE kind = ?", (kind,))]
    return []


def overwrite(file):
    for suffix in ("-wal", "-shm"):
        file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)
    file.write_bytes(b"\x55" * 20_000)


def delete(file):
    for suffix in ("", "-wal", "-shm"):
        file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)


def truncate(file):
    for suffix in ("-wal", "-shm"):
        file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)
    file.write_bytes(file.read_bytes()[:6000])


# --- damage ----------------------------------------------------------------------------------------


@pytest.mark.requirement("DS-12", "DS-16", "ST-21", "S-7")
@pytest.mark.parametrize("damage", [overwrite, delete, truncate])
def test_after_a_lost_database_nothing_is_started_again_and_nothing_older_accepted(agent, server, damage):
    installed = server.deploy(deployment_yaml(ONE, components=["db", "web"]))
    with agent.running():
        server.wait_for_state(ONE, "installed", version=installed)
        version = server.deploy(deployment_yaml(TWO))
        server.wait_for_state(TWO, "installed", version=version)
        wait_for_marks(agent, 2)
    before, reports = applied(agent), len(server.statuses(ONE))
    damage(agent.state / "state.db")
    server.stop()
    agent.start()
    wait_until(lambda: "known again from their files: app" in agent.log.read_text(), what="it is rebuilt")
    agent.stop()
    facts = agent.status()
    assert facts["manifest"]["version"] == version
    assert [each["stage"] for each in facts["deployments"]] == ["installed", "installed"]
    assert any("state database was" in message for message in events(agent, "state"))
    # Whoever answers now counts from an older version.
    server.start(server_port(agent))
    server.documents = {}
    server.publish(1)
    with agent.running():
        wait_until(lambda: events(agent, "security"), what="the older manifest is refused")
        server.wait_for(lambda: len(server.statuses(ONE)) > reports, "the state is reported again")
    assert server.statuses(ONE)[-1]["status"]["state"] == "installed"
    assert server.statuses(ONE)[-1]["adoptedManifestVersion"] == version
    assert applied(agent) == before
    assert set(agent.installed) == {(ONE, "db"), (ONE, "web"), (TWO, "web")}


def server_port(agent):
    url = json.loads((agent.state / "identity" / "current" / "server.json").read_text())["url"]
    return int(url.rpartition(":")[2])


@pytest.mark.requirement("DS-12", "S-7")
@pytest.mark.parametrize("damage", [overwrite, delete])
def test_a_watch_at_work_finds_out_and_goes_on_with_the_new_database(agent, server, damage):
    server.deploy(deployment_yaml(ONE))
    agent.start()
    server.wait_for_state(ONE, "installed")
    wait_for_marks(agent, 1)
    before = applied(agent)
    damage(agent.state / "state.db")
    assert agent.round().wait(60) in (0, 1, 75)  # as one would that an event starts
    wait_until(lambda: "starting over" in agent.log.read_text(), what="the watch finds out")
    version = server.deploy(deployment_yaml(TWO))
    server.wait_for_state(TWO, "installed", version=version)
    agent.stop()
    assert [call for call in applied(agent) if ONE in call] == before
    assert agent.status()["manifest"]["version"] == version


@pytest.mark.requirement("OP-16", "DS-12")
def test_a_person_lets_an_older_manifest_in_even_after_the_database_was_lost(agent, server):
    server.deploy(deployment_yaml(ONE))
    server.deploy(deployment_yaml(ONE))
    with agent.running():
        server.wait_for_state(ONE, "installed", version=3)
    delete(agent.state / "state.db")
    server.documents = {TWO: deployment_yaml(TWO)}
    server.publish(2)
    with agent.running():
        wait_until(lambda: events(agent, "security"), what="it is refused")
    assert agent.command("reset-version").returncode == 0
    with agent.running():
        server.wait_for_state(TWO, "installed", version=2)
        server.publish(1)
        wait_until(lambda: len(events(agent, "security")) > 2, what="the check holds again")


def test_lost_documents_come_back_without_the_network(agent, server):
    server.deploy(deployment_yaml(ONE))
    with agent.running():
        server.wait_for_state(ONE, "installed")
        wait_for_marks(agent, 1)
    wait_for_rounds(agent)
    revision = next((agent.state / "objects" / "sha256").iterdir())
    revision.write_bytes(b"rotten")
    server.stop()
    (agent.device / "installed" / f"{ONE}.web.json").unlink()
    assert agent.round().wait(60) == 0
    assert set(agent.installed) == {(ONE, "web")}
    assert any("taken up from their copies" in message for message in events(agent, "state"))


# --- silence ---------------------------------------------------------------------------------------


@pytest.mark.requirement("OFF-8", "ST-1", "ST-21", "S-7", "S-21")
def test_a_reboot_without_a_server_starts_everything_and_tells_it_in_order_afterwards(agent, server):
    first = server.deploy(deployment_yaml(ONE, components=["db", "web"]))
    with agent.running():
        server.wait_for_state(ONE, "installed", version=first)
        second = server.deploy(deployment_yaml(TWO))
        server.wait_for_state(TWO, "installed", version=second)
        wait_until(lambda: agent.status()["contact"]["reports_waiting"] == 0, what="all is sent")
    port, sent = server.port, {each: len(server.statuses(each)) for each in (ONE, TWO)}
    server.stop()
    boots = 3
    for boot in range(1, boots + 1):
        for file in (agent.device / "installed").iterdir():
            file.unlink()
        agent.start()
        wait_until(lambda: len(agent.installed) == 3, what="everything runs again")
        wait_until(
            lambda boot=boot: [waiting(agent, each).count("installed") for each in (ONE, TWO)] == [boot] * 2,
            what="that is to be told",
        )
        agent.stop()
    assert {each["stage"] for each in agent.status()["deployments"]} == {"installed"}
    before = applied(agent)
    assert agent.status()["contact"]["reports_waiting"] > 0
    server.start(port)
    with agent.running():
        wait_until(lambda: agent.status()["contact"]["reports_waiting"] == 0, what="all is sent")
        server.wait_for_polls(3)
    assert applied(agent) == before
    for deployment_id, version in ((ONE, first), (TWO, second)):
        reports = server.statuses(deployment_id)[sent[deployment_id] :]
        states = [each["status"]["state"] for each in reports]
        assert states.count("installed") == boots, states
        assert states[-1] == "installed"
        assert {each["adoptedManifestVersion"] for each in reports} <= {version, second}
        assert all(one != other for one, other in pairwise(reports))


def waiting(agent, deployment_id):
    """The states of a deployment that are still to be told, in order."""
    with closing(agent.store()) as store:
        reports = [each for each in Outbox(store).waiting(1000) if each.path.endswith("/status")]
    return [json.loads(each.body)["status"]["state"] for each in reports if deployment_id in each.path]


def test_the_last_contact_is_true_within_a_poll(agent, server):
    with agent.running():
        server.wait_for_polls(2)
        before = datetime.now(UTC) - timedelta(seconds=1)
        server.wait_for_polls(2)
        wait_until(lambda: last_contact(agent) >= before, what="status tells the newest contact")
    noted = last_contact(agent)
    assert noted >= before
    with closing(sqlite3.connect(agent.state / "state.db")) as database:
        # The end of the watch is noted where it survives the machine.
        (text,) = database.execute("SELECT value FROM meta WHERE name = 'contact.last'").fetchone()
    assert datetime.fromtimestamp(int(text), UTC) >= before - timedelta(seconds=1)


def last_contact(agent):
    return datetime.fromisoformat(agent.status()["contact"]["last"])


# --- looking through -------------------------------------------------------------------------------


@pytest.fixture
def without_engine(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text(f"engine: {{socket: {tmp_path}/nothing.sock}}\n")
    return ("--config", str(config))


def test_verify_finds_and_mends_what_is_damaged(agent, server, without_engine):
    server.deploy(deployment_yaml(ONE, profile="helm"))
    assert agent.command("sync", *without_engine).returncode == 0
    done = agent.command("verify", *without_engine)
    assert (done.returncode, done.stdout) == (0, "everything is whole\n")

    document = next((agent.state / "objects" / "sha256").iterdir())
    document.write_bytes(b"rotten")
    (agent.state / "accepted").write_bytes(b"rotten")
    done = agent.command("verify", *without_engine)
    assert done.returncode == 1
    assert "document" in done.stdout
    assert "copy of the manifest" in done.stdout
    done = agent.command("verify", "--mend", *without_engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert agent.command("verify", *without_engine).returncode == 0

    overwrite(agent.state / "state.db")
    done = agent.command("verify", "--json", *without_engine)
    assert done.returncode == 1
    assert [each["part"] for each in json.loads(done.stdout)] == ["database"]
    assert not list(agent.state.glob("state.db.damaged-*"))
    done = agent.command("verify", "--mend", *without_engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a new one is in its place" in done.stdout
    assert agent.status()["manifest"]["version"] == 2


def test_verify_says_what_it_could_not_mend(agent, server, without_engine):
    server.deploy(deployment_yaml(ONE, profile="helm"))
    assert agent.command("sync", *without_engine).returncode == 0
    next((agent.state / "objects" / "sha256").iterdir()).unlink()
    next((agent.state / "projects").glob("*/*/.document")).unlink()  # and its copy
    server.stop()
    done = agent.command("verify", "--mend", *without_engine)
    assert done.returncode == 1
    assert "connection refused" in done.stdout
    assert "Traceback" not in done.stderr


def test_verify_is_for_devices_that_have_an_agent(tmp_path, authority):
    done = AgentRig(tmp_path, authority).command("verify")
    assert done.returncode == 2
    assert "edgewright agent enroll" in done.stderr


def test_an_agent_started_on_a_full_disk_goes_to_work_once_there_is_room(tmp_path, authority, server):
    if (reason := why_not()) is not None:
        unavailable(reason)
    rig = AgentRig(tmp_path, authority)
    disk = CutFilesystem.make(tmp_path / "image", rig.state)
    with disk.mounted():
        rig.enroll(server.url)
        with rig.running():
            server.wait_for_polls(1)
        disk.fill()
        server.deploy(deployment_yaml(ONE))
        with rig.running():
            wait_until(lambda: "waiting until there is room" in rig.log.read_text(), what="it waits")
            assert "no room on the disk" in rig.command("status").stderr
            disk.free()
            server.wait_for_state(ONE, "installed")


@pytest.mark.requirement("S-7", "S-21", "OFF-8")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_after_a_reboot_on_a_full_disk_what_was_installed_runs_again(tmp_path, authority, server, how):
    if (reason := why_not()) is not None:
        unavailable(reason)
    rig = AgentRig(tmp_path, authority)
    disk = CutFilesystem.make(tmp_path / "image", rig.state, mebibytes=48)
    with disk.mounted():
        rig.enroll(server.url)
        server.deploy(deployment_yaml(ONE))
        rig.start()
        server.wait_for_state(ONE, "installed")
        wait_until((rig.state / "reserve").exists, what="room is kept back")
        getattr(rig, how)()
        wait_for_rounds(rig)
        disk.fill()
        (rig.device / "installed" / f"{ONE}.web.json").unlink()
        with rig.running():
            wait_until(lambda: (ONE, "web") in rig.installed, what="it runs again")
            assert not (rig.state / "reserve").exists()
            disk.free()
            assert rig.process is not None
            rig.process.send_signal(signal.SIGHUP)
            wait_until((rig.state / "reserve").exists, what="room is kept back again")
