"""A device without a link: what is desired comes in by a file and is judged, reports go out by one."""

import json
import os
import shutil
import threading

import pytest

from edgewright.agent.locks import lock
from edgewright.agent.paths import Paths
from support.agent_rig import AgentRig
from support.certificates import Authority
from support.foreign_server import deployment_yaml
from support.git_repositories import DeviceRepository, SigningKey

ONE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def key(tmp_path):
    return SigningKey(tmp_path / "keys")


@pytest.fixture
def repository(tmp_path, key):
    return DeviceRepository(tmp_path / "edge-01.git", key)


@pytest.fixture
def agent(tmp_path, key):
    rig = AgentRig(tmp_path / "agent", Authority.create("example.org"))
    words = ("--git", "none:", "--signers", str(key.signers), "--name", "edge-01")
    done = rig.command("enroll", *words)
    assert done.returncode == 0, done.stderr
    return rig


def document():
    return deployment_yaml(ONE)


def bundle(repository, path, *words):
    repository.git("bundle", "create", "--quiet", str(path), *(words or ("refs/heads/desired",)))
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


def test_a_bundle_waits_for_a_courier_that_is_on_its_way(agent, repository, tmp_path):
    repository.desire(1, document())
    way_in = bundle(repository, tmp_path / "in.bundle")
    held = lock(Paths(str(agent.state)).courier_lock)
    released = threading.Timer(1.0, os.close, [held])
    released.start()
    done = agent.command("bundle", "import", way_in)
    assert done.returncode == 0, done.stderr
    assert not released.is_alive(), "it went ahead while another was at work"
    assert accepted(agent)[1] is not None


@pytest.mark.requirement("S-15")
def test_in_by_a_file_and_out_by_a_file(agent, repository, tmp_path):
    commit = repository.desire(1, document())
    done = agent.command("bundle", "import", bundle(repository, tmp_path / "in"))
    assert done.returncode == 0, done.stderr
    assert f"taken in: commit {commit[:12]}" in done.stdout
    settle(agent)
    assert list(agent.installed) == [(ONE, "web")]

    out = tmp_path / "out"
    done = agent.command("bundle", "export", str(out))
    assert done.returncode == 0, done.stderr
    repository.git("bundle", "verify", str(out))
    repository.git("fetch", str(out), "refs/heads/current:refs/heads/current")
    assert json.loads(repository.read(f"status/{ONE}.json"))["status"]["state"] == "installed"
    assert json.loads(repository.read("adopted.json"))["commit"] == commit
    assert json.loads(repository.read("capabilities.json"))["properties"]["id"] == "edge-01"

    again = agent.command("bundle", "import", str(tmp_path / "in"))
    assert again.returncode == 0
    assert "nothing is new" in again.stdout


def test_the_next_bundles_build_on_the_first(agent, repository, tmp_path):
    first = repository.desire(1, document())
    assert agent.command("bundle", "import", bundle(repository, tmp_path / "1")).returncode == 0
    settle(agent)
    assert agent.command("bundle", "export", str(tmp_path / "out")).returncode == 0
    repository.git("fetch", str(tmp_path / "out"), "refs/heads/current:refs/heads/current")
    told = repository.head("current")
    repository.desire(2)
    partial = bundle(repository, tmp_path / "2", f"^{first}", "refs/heads/desired")
    done = agent.command("bundle", "import", partial)
    assert done.returncode == 0, done.stderr
    settle(agent)
    assert agent.installed == {}
    assert agent.command("bundle", "export", str(tmp_path / "out")).returncode == 0
    repository.git("fetch", str(tmp_path / "out"), "refs/heads/current:refs/heads/current")
    repository.git("merge-base", "--is-ancestor", told, "refs/heads/current")
    assert json.loads(repository.read(f"status/{ONE}.json"))["status"]["state"] == "removed"


@pytest.mark.requirement("S-15")
def test_a_bundle_is_trusted_no_more_than_a_connection(agent, repository, key, tmp_path):
    repository.desire(1, document())
    good = bundle(repository, tmp_path / "good")
    newer = repository.desire(2)
    assert agent.command("bundle", "import", bundle(repository, tmp_path / "newer")).returncode == 0
    settle(agent)
    stranger = SigningKey(tmp_path / "keys", "stranger")
    forged = repository.desire(3, key=stranger)
    for path, says in ((bundle(repository, tmp_path / "forged"), "nobody who is trusted"), (good, "rewound")):
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
        (lambda path, repository: None, "No such file"),
        (lambda path, repository: path.write_text("nonsense"), "no bundle of Git"),
        (lambda path, repository: path.write_text("# v2 git bundle\nnonsense\n"), "damaged"),
        (
            lambda path, repository: repository.git(
                "bundle", "create", "-q", str(path), "refs/heads/elsewhere"
            ),
            "no branch 'desired' in it",
        ),
    ],
)
def test_what_is_no_bundle_of_a_device_is_refused(agent, repository, tmp_path, make, says):
    commit = repository.desire(1)
    repository.git("update-ref", "refs/heads/elsewhere", commit)
    path = tmp_path / "file"
    make(path, repository)
    done = agent.command("bundle", "import", str(path))
    assert done.returncode == 2, done.stdout
    assert says in done.stderr
    assert accepted(agent) == (None, None)


def test_an_export_goes_on_when_what_was_packed_before_is_lost(agent, repository, tmp_path):
    repository.desire(1, document())
    assert agent.command("bundle", "import", bundle(repository, tmp_path / "in")).returncode == 0
    settle(agent)
    assert agent.command("bundle", "export", str(tmp_path / "out")).returncode == 0
    shutil.rmtree(agent.state / "export.git")
    done = agent.command("bundle", "export", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    repository.git("fetch", str(tmp_path / "out"), "refs/heads/current:refs/heads/current")
    assert json.loads(repository.read(f"status/{ONE}.json"))["status"]["state"] == "installed"
    assert json.loads(repository.read("capabilities.json"))["properties"]["id"] == "edge-01"
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
