"""A device without a link: what is desired comes in by a file and is judged, reports go out by one."""

import json
import os
import shutil
import threading

import pytest

from edgewright.agent.paths import Paths
from edgewright.agent.state.locks import lock
from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import deployment_yaml
from support.git_fleet import CURRENT, DESIRED, GitFleet, Signer

ONE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def key(tmp_path):
    return Signer.create(tmp_path / "keys", "fleet")


@pytest.fixture
def fleet(tmp_path, key):
    return GitFleet.create(tmp_path / "edge-01.git", key)


@pytest.fixture
def agent(tmp_path, key):
    rig = AgentRig(tmp_path / "agent", Authority.create("example.org"))
    words = ("--git", "none:", "--signers", str(key.signers), "--name", "edge-01")
    done = rig.command("enroll", *words)
    assert done.returncode == 0, done.stderr
    return rig


def document():
    return deployment_yaml(ONE)


def bundle(fleet, path, *words):
    fleet.git("bundle", "create", "--quiet", str(path), *(words or (DESIRED,)))
    return str(path)


def accepted(agent):
    store = agent.store()
    try:
        return store.accepted(), store.received()
    finally:
        store.close()


def settle(agent):
    """Do rounds until nothing is left to do."""
    process = agent.round()
    assert process.wait(60) == 0, agent.log.read_text()


def test_a_bundle_waits_for_a_courier_that_is_on_its_way(agent, fleet, tmp_path):
    fleet.deploy(document())
    way_in = bundle(fleet, tmp_path / "in.bundle")
    held = lock(Paths(str(agent.state)).courier_lock)
    released = threading.Timer(1.0, os.close, [held])
    released.start()
    done = agent.command("bundle", "import", way_in)
    assert done.returncode == 0, done.stderr
    assert not released.is_alive(), "it went ahead while another was at work"
    assert accepted(agent)[1] is not None


@pytest.mark.requirement("S-15")
def test_in_by_a_file_and_out_by_a_file(agent, fleet, tmp_path):
    commit = fleet.deploy(document())
    done = agent.command("bundle", "import", bundle(fleet, tmp_path / "in"))
    assert done.returncode == 0, done.stderr
    assert f"taken in: commit {commit[:12]}" in done.stdout
    settle(agent)
    assert list(agent.installed) == [(ONE, "web")]

    out = tmp_path / "out"
    done = agent.command("bundle", "export", str(out))
    assert done.returncode == 0, done.stderr
    fleet.git("bundle", "verify", str(out))
    fleet.git("fetch", str(out), f"{CURRENT}:{CURRENT}")
    assert json.loads(fleet.read(f"status/{ONE}.json"))["status"]["state"] == "installed"
    assert json.loads(fleet.read("adopted.json"))["commit"] == commit
    assert json.loads(fleet.read("capabilities.json"))["properties"]["id"] == "edge-01"

    again = agent.command("bundle", "import", str(tmp_path / "in"))
    assert again.returncode == 0
    assert "nothing is new" in again.stdout


def test_the_next_bundles_build_on_the_first(agent, fleet, tmp_path):
    first = fleet.deploy(document())
    assert agent.command("bundle", "import", bundle(fleet, tmp_path / "1")).returncode == 0
    settle(agent)
    assert agent.command("bundle", "export", str(tmp_path / "out")).returncode == 0
    fleet.git("fetch", str(tmp_path / "out"), f"{CURRENT}:{CURRENT}")
    told = fleet.head(CURRENT)
    fleet.withdraw(ONE)
    partial = bundle(fleet, tmp_path / "2", f"^{first}", DESIRED)
    done = agent.command("bundle", "import", partial)
    assert done.returncode == 0, done.stderr
    settle(agent)
    assert agent.installed == {}
    assert agent.command("bundle", "export", str(tmp_path / "out")).returncode == 0
    fleet.git("fetch", str(tmp_path / "out"), f"{CURRENT}:{CURRENT}")
    fleet.git("merge-base", "--is-ancestor", told, CURRENT)
    assert json.loads(fleet.read(f"status/{ONE}.json"))["status"]["state"] == "removed"


@pytest.mark.requirement("S-15")
def test_a_bundle_is_trusted_no_more_than_a_connection(agent, fleet, key, tmp_path):
    fleet.deploy(document())
    good = bundle(fleet, tmp_path / "good")
    newer = fleet.withdraw(ONE)
    assert agent.command("bundle", "import", bundle(fleet, tmp_path / "newer")).returncode == 0
    settle(agent)
    stranger = Signer.create(tmp_path / "keys", "stranger")
    forged = fleet.publish(signer=stranger)
    for path, says in ((bundle(fleet, tmp_path / "forged"), "nobody who is trusted"), (good, "rewound")):
        done = agent.command("bundle", "import", path)
        assert done.returncode == 1, done.stdout
        assert says in done.stderr
        assert "nothing was changed" in done.stderr
    assert forged != newer
    manifest, waiting = accepted(agent)
    assert manifest.etag == newer
    assert waiting is None
    status = agent.command("status").stdout
    assert "commit" in status
    assert "was rewound" in " ".join(status.split())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path, fleet: None, "No such file"),
        (lambda path, fleet: path.write_text("nonsense"), "no bundle of Git"),
        (lambda path, fleet: path.write_text("# v2 git bundle\nnonsense\n"), "damaged"),
        (
            lambda path, fleet: fleet.git("bundle", "create", "-q", str(path), "refs/heads/elsewhere"),
            "no branch 'desired' in it",
        ),
    ],
)
def test_what_is_no_bundle_of_a_device_is_refused(agent, fleet, tmp_path, make, says):
    commit = fleet.publish()
    fleet.git("update-ref", "refs/heads/elsewhere", commit)
    path = tmp_path / "file"
    make(path, fleet)
    done = agent.command("bundle", "import", str(path))
    assert done.returncode == 2, done.stdout
    assert says in done.stderr
    assert accepted(agent) == (None, None)


def test_an_export_goes_on_when_what_was_packed_before_is_lost(agent, fleet, tmp_path):
    fleet.deploy(document())
    assert agent.command("bundle", "import", bundle(fleet, tmp_path / "in")).returncode == 0
    settle(agent)
    assert agent.command("bundle", "export", str(tmp_path / "out")).returncode == 0
    shutil.rmtree(agent.state / "export.git")
    done = agent.command("bundle", "export", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    fleet.git("fetch", str(tmp_path / "out"), f"{CURRENT}:{CURRENT}")
    assert json.loads(fleet.read(f"status/{ONE}.json"))["status"]["state"] == "installed"
    assert json.loads(fleet.read("capabilities.json"))["properties"]["id"] == "edge-01"
    missing = agent.command("bundle", "export", str(tmp_path / "nowhere" / "out"))
    assert missing.returncode == 2
    assert "no such folder" in missing.stderr


def test_a_device_without_a_repository_is_told_how_to_get_one(tmp_path):
    authority = Authority.create("example.org")
    rig = AgentRig(tmp_path / "other", authority)
    rig.enroll("https://wfm.example")
    (tmp_path / "b").write_text("# v2 git bundle\n")
    done = rig.command("bundle", "import", str(tmp_path / "b"))
    assert done.returncode == 2
    assert "transport git" in done.stderr
