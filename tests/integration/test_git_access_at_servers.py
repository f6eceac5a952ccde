"""How a device gets at its repository, tried at Git servers of others: the git program with the files that
`GitAccess` writes for it, with every kind of credentials, right and wrong, and where secrets are meanwhile.
"""

import re
from pathlib import Path

import pytest

from edgewright.agent.git import access as files
from edgewright.agent.git.access import GitAccess
from edgewright.agent.git.configuration import write_git_config
from edgewright.agent.state.durable import write_whole
from edgewright.net.git.program import Git, GitError
from edgewright.net.git.url import RepositoryUrl
from support.certificates import Authority
from support.foreign_server import deployment_yaml
from support.git_fleet import CURRENT, DESIRED, GitFleet, Signer
from support.git_servers import USERNAME, WAYS, Access, Credentials, Nginx, Sshd, opened
from support.hostile_git import Cut, Endless, Garble, HostileGit, Say, endless_pack, packet
from support.secrets import Lookout, files_with

ONE = "11111111-1111-4111-8111-111111111111"
NAME = "edge-01"
OPTIONS = {
    "--password-file": files.PASSWORD,
    "--token-file": files.TOKEN,
    "--certificate": files.CLIENT_CERTIFICATE,
    "--key": files.CLIENT_KEY,
    "--ca": files.AUTHORITY,
    "--ssh-key": files.SSH_KEY,
    "--known-hosts": files.KNOWN_HOSTS,
    "--proxy-password-file": files.PROXY_PASSWORD,
}
KINDS = {
    "--password-file": files.BASIC,
    "--token-file": files.BEARER,
    "--certificate": files.BY_CERTIFICATE,
    "--ssh-key": files.BY_SSH_KEY,
}


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def fleet(tmp_path):
    fleet = GitFleet.create(tmp_path / "repositories" / f"{NAME}.git", Signer.create(tmp_path, "fleet"))
    fleet.deploy(deployment_yaml(ONE))
    return fleet


@pytest.fixture
def nginx(tmp_path, authority):
    (tmp_path / "repositories").mkdir(exist_ok=True)
    with Nginx(tmp_path / "repositories", authority) as server:
        yield server


def device(directory: Path, access: Access) -> tuple[GitAccess, Git]:
    """Return a device's access in `directory`, as enrolment puts it there, and git with it."""
    directory.mkdir()
    told = dict(zip(access.words[::2], access.words[1::2], strict=True))
    for option, name in OPTIONS.items():
        if option in told:
            write_whole(str(directory / name), Path(told[option]).read_bytes())
    kind = next((KINDS[option] for option in told if option in KINDS), files.OPEN)
    made = GitAccess(
        str(directory),
        url=RepositoryUrl(access.url),
        kind=kind,
        username=USERNAME if kind == files.BASIC else "",
        proxy=told.get("--proxy", ""),
    )
    config = str(directory / "git.config")
    write_git_config(made, config)
    git = Git(directory / "repository.git", config=config, seconds=10, write_limit=16 << 20)
    git.make()
    return made, git


def fetch(access: GitAccess, git: Git) -> None:
    git.run("fetch", "--quiet", "--no-tags", "--depth=1", access.url.text, f"{DESIRED}:{DESIRED}")


@pytest.mark.requirement("S-22", "GR-39", "GR-40")
@pytest.mark.parametrize("name", WAYS)
def test_every_server_is_fetched_from_and_pushed_to(tmp_path, authority, fleet, name):
    with opened(name, tmp_path / "repositories", authority, NAME) as shown, Lookout(shown.secrets) as lookout:
        access, git = device(tmp_path / "identity", shown)
        for _ in range(3):
            fetch(access, git)
        assert git.commit_of(DESIRED) == fleet.head()
        assert git.read_blob(DESIRED, "manifest.json", limit=1 << 20) == fleet.manifest()
        report = git.write_commit({"status/one.json": b"{}"}, parent=None, message="report")
        git.set_ref(CURRENT, report)
        git.push(access.url.text, f"{CURRENT}:{CURRENT}")
        # Again, when history here has been cut below what the server has.
        (tmp_path / "identity" / "repository.git" / "shallow").write_text(f"{fleet.head()}\n{report}\n")
        last = git.write_commit({"status/one.json": b"{ }"}, parent=report, message="report")
        git.set_ref(CURRENT, last)
        git.push(access.url.text, f"{CURRENT}:{CURRENT}")
    assert fleet.history(CURRENT) == [report, last]
    assert "git" in lookout.looked_at
    assert lookout.seen == {}
    found = [path for paths in files_with(shown.secrets, tmp_path / "identity").values() for path in paths]
    assert bool(found) == bool(shown.secrets)
    for path in found:
        assert path.stat().st_mode & 0o077 == 0, path


def wrong_ways(nginx: Nginx, authority: Authority) -> dict[str, tuple[Access, str]]:
    """Return, by name, how a device may be told wrong things, and the words it has to find."""
    shown, url = Credentials(nginx.directory / "wrong", authority), nginx.url
    ca, other = shown.ca(), Authority.create("example.net", name="Another Root")
    return {
        "password": (
            Access(url("basic", NAME), (*shown.basic("wrong-pass"), *ca)),
            "401|credentials|let this device in",
        ),
        "token": (
            Access(url("bearer", NAME), (*shown.bearer("wrong-token"), *ca)),
            "401|credentials|let this device in",
        ),
        "no certificate": (Access(url("certificate", NAME), ca), "400|certificate"),
        "foreign certificate": (
            Access(url("certificate", NAME), (*shown.certificate(other.client()), *ca)),
            "400|certificate",
        ),
        "another authority": (Access(url("none", NAME), shown.ca(other)), "certificate"),
        "foreign server": (Access(url("none", NAME, port="foreign"), ca), "certificate"),
        "expired server": (Access(url("none", NAME, port="expired"), ca), "certificate"),
        "no such repository": (Access(url("none", "nobody"), ca), "404|no repository|not found|no such"),
        "moved": (Access(url("moved", NAME), ca), "302|redirect|elsewhere"),
    }


WRONG = (
    "password",
    "token",
    "no certificate",
    "foreign certificate",
    "another authority",
    "foreign server",
    "expired server",
    "no such repository",
    "moved",
)


@pytest.mark.requirement("GR-38", "GR-39", "GR-40")
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_words_without_secrets(tmp_path, fleet, nginx, authority, name):
    shown, words = wrong_ways(nginx, authority)[name]
    access, git = device(tmp_path / "identity", shown)
    with pytest.raises(GitError) as raised:
        fetch(access, git)
    said = str(raised.value)
    assert re.search(words, said, re.IGNORECASE), said
    assert "wrong-" not in said
    assert "\n" not in said
    assert git.commit_of(DESIRED) is None


@pytest.mark.parametrize("name", ["nginx none", "dulwich none"])
def test_nothing_is_forced(tmp_path, authority, fleet, name):
    theirs = fleet.commit({"status/one.json": b"{}"}, branch=CURRENT)
    with opened(name, tmp_path / "repositories", authority, NAME) as shown:
        access, git = device(tmp_path / "identity", shown)
        git.set_ref(CURRENT, git.write_commit({"status/one.json": b"{ }"}, parent=None, message="report"))
        with pytest.raises(GitError) as raised:
            git.push(access.url.text, f"{CURRENT}:{CURRENT}")
    assert raised.value.code == "git.raced"
    assert fleet.head(CURRENT) == theirs


@pytest.mark.requirement("GR-39")
@pytest.mark.parametrize("wrong", ["key", "host"])
def test_what_is_wrong_by_ssh_is_said_in_words(tmp_path, fleet, wrong):
    with Sshd(tmp_path / "repositories") as server:
        access, git = device(tmp_path / "identity", server.access(NAME, **{wrong: "stranger"}))
        with pytest.raises(GitError, match="key" if wrong == "host" else "(?i)permission denied|key|let in"):
            fetch(access, git)


TRICKS = {
    "refused": Say(status=403, body=b"no"),
    "overloaded": Say(status=503, body=b"busy", headers={"Retry-After": "60"}),
    "elsewhere": Say(status=302, headers={"Location": "https://example.org/other.git"}),
    "cut advertisement": Cut("refs"),
    "cut ls-refs": Cut("ls-refs"),
    "cut pack": Cut("fetch"),
    "garbled pack": Garble("fetch"),
    "endless advertisement": Endless("refs", packet("capability-without-end\n")),
    "endless ls-refs": Endless("ls-refs", packet("1" * 40 + " refs/heads/x\n")),
    "endless pack": endless_pack(),
    "endless progress": Endless("fetch", packet(b"\x02" + b"working hard\n" * 2000), after=b"packfile\n"),
}


@pytest.mark.requirement("GR-15")
@pytest.mark.parametrize("name", TRICKS)
def test_a_server_that_lies_costs_little_and_leaves_nothing(tmp_path, authority, fleet, name):
    with HostileGit(tmp_path / "repositories", authority) as server:
        access, git = device(tmp_path / "identity", server.access(NAME))
        server.trick = TRICKS[name]
        with pytest.raises(GitError) as raised:
            fetch(access, git)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 1000
        assert git.commit_of(DESIRED) is None
        server.trick = None
        # What a git that was killed leaves is removed before the next one, as the courier does.
        for left in Path(git.directory).glob("*.lock"):
            left.unlink()
        fetch(access, git)
    assert git.commit_of(DESIRED) == fleet.head()
