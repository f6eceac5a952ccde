"""Enrolment with a Git repository: what is wrong is named, what is right is tried and installed."""

import json
import stat
import subprocess

import pytest

from edgewright.agent.git.access import GitAccess
from edgewright.agent.talk.session import Identity
from support.agent_rig import AgentRig
from support.certificates import EXPIRED, Authority
from support.git_fleet import CURRENT, GitFleet, Signer

PASSWORD = "open sesame: now"


@pytest.fixture
def authority():
    return Authority.create("example.org")


@pytest.fixture
def agent(tmp_path, authority):
    return AgentRig(tmp_path / "agent", authority)


@pytest.fixture
def key(tmp_path):
    return Signer.create(tmp_path / "keys", "fleet")


@pytest.fixture
def fleet(tmp_path, key):
    return GitFleet.create(tmp_path / "edge-01.git", key)


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def identity_of(agent):
    return Identity(str(agent.state / "identity" / "current"))


def enroll(agent, key, url, *words):
    return agent.command(
        "enroll", "--git", str(url), "--signers", str(key.signers), "--name", "line-4", *words
    )


@pytest.mark.requirement("S-20")
def test_a_device_is_enrolled_with_a_repository_alone(agent, key, fleet):
    commit = fleet.publish()
    done = enroll(agent, key, fleet.repository)
    assert done.returncode == 0, done.stderr
    assert f"branch 'desired' is at {commit[:12]}" in done.stdout
    identity = identity_of(agent)
    assert (identity.transport, identity.device_id) == ("git", "line-4")
    assert identity.relation == f"git:{fleet.repository}"
    assert fleet.head(CURRENT) is None  # trying to write has written nothing
    status = agent.status()["identity"]
    assert (status["transport"], status["repository"]) == ("git", str(fleet.repository))
    told = agent.command("status").stdout
    assert str(fleet.repository) in told


@pytest.mark.requirement("S-22")
def test_credentials_are_copied_for_the_agents_user_alone(agent, key, file, tmp_path):
    source = file("password", PASSWORD + "\n")
    done = enroll(
        agent,
        key,
        "https://git.example/a.git",
        "--username",
        "edge-01",
        "--password-file",
        source,
        "--offline",
    )
    assert done.returncode == 0, done.stderr
    assert "not tried" in done.stdout
    directory = (agent.state / "identity" / "current").resolve()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert set(modes) == {"git.json", "git-password", "server.json", "signers"}
    assert set(modes.values()) == {0o600}
    access = GitAccess.load(str(directory))
    assert access is not None
    assert (access.kind, access.username) == ("basic", "edge-01")
    assert PASSWORD not in (directory / "git.json").read_text()
    shown = agent.command("transport")
    assert "basic, as edge-01" in shown.stdout
    assert PASSWORD not in shown.stdout + json.dumps(agent.status()) + done.stdout


def test_the_name_by_which_a_fleet_manager_knows_the_device_is_kept(agent, key, fleet):
    client = "spiffe://example.org/margo/wfm/main/client/edge-07"
    done = agent.command(
        "enroll", "--git", str(fleet.repository), "--signers", str(key.signers), "--client", client
    )
    assert done.returncode == 0, done.stderr
    assert identity_of(agent).relation == client
    assert identity_of(agent).device_id == "edge-07"


def test_what_comes_by_bundles_alone_is_not_asked(agent, key):
    done = enroll(agent, key, "none:")
    assert done.returncode == 0, done.stderr
    assert "bundle import" in done.stdout


@pytest.mark.parametrize(
    ("url", "words", "says"),
    [
        pytest.param("http://git.example/a.git", [], "http:// is not spoken", id="http"),
        pytest.param("https://u:sesame@git.example/a.git", [], "credentials do not belong", id="in the URL"),
        pytest.param(
            "https://h/a", ["--username", "u"], "--password-file FILE go together", id="no password"
        ),
        pytest.param("https://h/a", ["--password-file", "EMPTY"], "--username NAME", id="no user name"),
        pytest.param(
            "https://h/a", ["--username", "u", "--password-file", "EMPTY"], "EMPTY: it is empty", id="empty"
        ),
        pytest.param(
            "https://h/a", ["--username", "u:v", "--password-file", "EMPTY"], "no ':'", id="colon in the name"
        ),
        pytest.param("https://h/a", ["--token-file", "TWO"], "TWO: expected one line", id="two lines"),
        pytest.param("https://h/a", ["--token-file", "BLANK"], "BLANK: a token has no blanks", id="blanks"),
        pytest.param("https://h/a", ["--token-file", "GONE"], "GONE: No such file", id="no such file"),
        pytest.param(
            "https://h/a",
            ["--token-file", "EMPTY", "--username", "u"],
            "one way to be let in is enough",
            id="two ways",
        ),
        pytest.param("https://h/a", ["--certificate", "EMPTY"], "--key FILE go together", id="no key"),
        pytest.param("https://h/a", ["--ca", "EMPTY"], "EMPTY", id="no authority"),
        pytest.param("https://h/a", ["--ssh-key", "EMPTY"], "for addresses of ssh", id="ssh key for https"),
        pytest.param("git@h:a", [], "--ssh-key FILE and --known-hosts FILE", id="ssh without a key"),
        pytest.param("git@h:a", ["--ssh-key", "EMPTY"], "expected a private key of ssh", id="no ssh key"),
        pytest.param("git@h:a", ["--token-file", "EMPTY"], "let in by --ssh-key alone", id="token for ssh"),
        pytest.param("/srv/a", ["--token-file", "EMPTY"], "on this device", id="token for a path"),
        pytest.param("https://h/a", ["--proxy", "socks5://p:1"], "expected http://", id="another proxy"),
        pytest.param(
            "https://h/a", ["--proxy", "http://u:sesame@p:1"], "--proxy-password-file", id="proxy password"
        ),
        pytest.param("https://h/a", ["--proxy", "http://u@p:1"], "go together", id="proxy user alone"),
        pytest.param("git@h:a", ["--proxy", "http://p:1"], "only that goes through", id="proxy for ssh"),
        pytest.param("https://h/a", ["--minutes", "0"], "from 1 to 1440", id="no time"),
        pytest.param("https://h/a", ["--server", "https://w"], "not together with --git", id="both at once"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(agent, key, tmp_path, file, url, words, says):
    for name, text in (("EMPTY", "\n"), ("TWO", "a\nb\n"), ("BLANK", "a b\n")):
        file(name, text)
    files = {"EMPTY", "TWO", "BLANK", "GONE"}
    done = enroll(agent, key, url, *(str(tmp_path / word) if word in files else word for word in words))
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "sesame" not in done.stderr
    assert not (agent.state / "identity" / "current").exists()


def test_keys_that_a_device_could_not_use_are_refused(agent, key, tmp_path, authority, file):
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked], check=True)
    hosts = file("hosts", "git.example " + " ".join(key.line.split()[2:]) + "\n")
    for path, says in ((locked, "has a passphrase"), (tmp_path / "locked.pub", "this is the public half")):
        done = enroll(agent, key, "git@git.example:a", "--ssh-key", str(path), "--known-hosts", hosts)
        assert done.returncode == 2
        assert says in done.stderr
    old = authority.client(client="edge-01", **EXPIRED).write(tmp_path / "old")
    done = enroll(agent, key, "https://h/a", "--certificate", str(old.certificate), "--key", str(old.key))
    assert "expired" in done.stderr
    own, other = (authority.client(client=name).write(tmp_path / name) for name in ("one", "two"))
    done = enroll(agent, key, "https://h/a", "--certificate", str(own.certificate), "--key", str(other.key))
    assert "not the key of the certificate" in done.stderr
    assert not (agent.state / "identity" / "current").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# nobody\n", "names nobody"),
        ("fleet\n", "line 1: expected"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZ\n", "no principal before the key"),
        ("fleet ssh-ed25519 AAAAnonsense\n", "line 1: this is no public key"),
        ("fleet cert-authority KEY\n", "certificates of SSH are not used"),
        ("x" * 70_000, "larger than 65536"),
    ],
)
def test_signers_that_could_never_sign_are_refused(agent, key, fleet, file, text, says):
    public = " ".join(key.line.split()[2:])
    signers = file("signers", text.replace("KEY", public))
    done = agent.command("enroll", "--git", str(fleet.repository), "--signers", signers, "--name", "x")
    assert done.returncode == 2
    assert says in done.stderr
    without = agent.command("enroll", "--git", str(fleet.repository), "--name", "x")
    assert "--signers FILE is missing" in without.stderr


def test_a_repository_that_does_not_answer_leaves_the_device_as_it_was(agent, key, fleet, tmp_path):
    done = enroll(agent, key, tmp_path / "nowhere.git")
    assert done.returncode == 2
    assert "there is no such repository" in done.stderr
    assert "nothing was changed" in done.stderr
    assert list((agent.state / "identity").iterdir()) == []
    assert enroll(agent, key, fleet.repository).returncode == 0
    again = enroll(agent, key, fleet.repository)
    assert again.returncode == 2
    assert "--replace" in again.stderr
    assert enroll(agent, key, tmp_path / "nowhere.git", "--replace").returncode == 2
    assert identity_of(agent).relation == f"git:{fleet.repository}"


@pytest.mark.requirement("S-22")
def test_a_new_password_is_for_the_same_server_alone(agent, key, file):
    first, second = file("first", "the first one"), file("second", "the second one")
    url = "https://git.example/a.git"
    words = ("--username", "edge-01", "--password-file", first, "--offline")
    assert enroll(agent, key, url, *words).returncode == 0
    done = agent.command("transport", "git", "--password-file", second, "--username", "edge-01", "--offline")
    assert done.returncode == 0, done.stderr
    current = agent.state / "identity" / "current"
    assert (current / "git-password").read_text() == "the second one"
    assert (current / "signers").read_text() == key.line
    # What was for that server is shown to no other.
    moved = agent.command("transport", "git", "--git", "https://elsewhere.example/a.git", "--offline")
    assert moved.returncode == 0, moved.stderr
    assert not (current / "git-password").exists()
    assert (current / "signers").read_text() == key.line


def test_transport_without_anything_to_move_to_says_so(agent, key, fleet):
    done = agent.command("transport")
    assert "not enrolled" in done.stderr
    assert enroll(agent, key, fleet.repository).returncode == 0
    done = agent.command("transport", "api")
    assert done.returncode == 2
    assert "enroll TOKEN --replace" in done.stderr
    done = agent.command("transport", "api", "--username", "x")
    assert "only together with 'transport git'" in done.stderr
