"""The Git servers that tests use do what they are for, as the `git` program sees them."""

import subprocess

import pytest

from support.certificates import Authority
from support.git_fleet import GitFleet, Signer
from support.git_servers import PASSWORD, TOKEN, USERNAME, Dulwich, Nginx, Sshd
from support.hostile_git import Cut, Garble, HostileGit, Say, refs
from support.processes import own_environment
from support.proxies import ConnectProxy

RESULT = {"Content-Type": "application/x-git-upload-pack-result"}


@pytest.fixture(scope="module")
def authority():
    return Authority.create()


@pytest.fixture
def fleet(tmp_path):
    fleet = GitFleet.create(tmp_path / "repositories" / "edge-01.git", Signer.create(tmp_path, "fleet"))
    fleet.publish()
    return fleet


def git(tmp_path, *words, **variables):
    return subprocess.run(
        ["git", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=own_environment(GIT_CONFIG_GLOBAL="/dev/null", GIT_TERMINAL_PROMPT="0", **variables),
    )


def options(tmp_path, server, authority, kind):
    """Options for git; secrets stand in a file, as tests beside this one look for them in all processes."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.pem)
    words = ["-c", f"http.sslCAInfo={ca}"]
    match kind:
        case "basic":
            told = tmp_path / "credentials"
            told.write_text(f"username={USERNAME}\npassword={PASSWORD}\n")
            words += ["-c", f"credential.helper=!cat {told}; :"]
        case "bearer":
            told = tmp_path / "bearer"
            told.write_text(f"[http]\n\textraHeader = Authorization: Bearer {TOKEN}\n")
            words += ["-c", f"include.path={told}"]
        case "certificate":
            _, certificate, _, key = server.credentials.certificate()
            words += ["-c", f"http.sslCert={certificate}", "-c", f"http.sslKey={key}"]
    return words


def clone_and_push(tmp_path, fleet, words, url, *, shallow=True, **variables):
    """Clone `desired`, and push a commit as `current`."""
    clone = tmp_path / "clone"
    depth = ["--depth", "1"] if shallow else []
    done = git(tmp_path, *words, "clone", "-q", *depth, "-b", "desired", url, str(clone), **variables)
    assert done.returncode == 0, done.stderr
    assert (clone / "manifest.json").read_bytes() == fleet.manifest()
    who = ["-c", "user.name=device", "-c", "user.email=device@example.org"]
    for more in (["checkout", "-q", "--orphan", "current"], ["commit", "-q", "-m", "report"]):
        assert git(clone, *who, *more).returncode == 0
    done = git(clone, *words, "push", "-q", "origin", "current", **variables)
    assert done.returncode == 0, done.stderr
    assert fleet.read("manifest.json") == fleet.manifest()


@pytest.mark.parametrize("kind", ["none", "basic", "bearer", "certificate"])
def test_nginx_lets_the_right_credentials_in_and_no_others(tmp_path, authority, fleet, kind):
    with Nginx(tmp_path / "repositories", authority) as server:
        url = server.url(kind, "edge-01")
        if kind != "none":
            without = git(tmp_path, *options(tmp_path, server, authority, "none"), "ls-remote", url)
            assert without.returncode != 0
        clone_and_push(tmp_path, fleet, options(tmp_path, server, authority, kind), url)


def test_nginx_has_ports_with_wrong_certificates_and_places_that_are_no_repository(
    tmp_path, authority, fleet
):
    with Nginx(tmp_path / "repositories", authority) as server:
        words = options(tmp_path, server, authority, "none")
        for port, complaint in (("expired", "certificate"), ("foreign", "certificate")):
            done = git(tmp_path, *words, "ls-remote", server.url("none", "edge-01", port=port))
            assert complaint in done.stderr
        for place, complaint in (("busy", "503"), ("moved", "")):
            done = git(tmp_path, *words, "ls-remote", server.url(place, "edge-01"))
            assert complaint in done.stderr


@pytest.mark.parametrize("kind", ["none", "basic", "bearer"])
def test_dulwich_serves_with_each_kind(tmp_path, authority, fleet, kind):
    with Dulwich(tmp_path / "repositories", authority) as server:
        words = options(tmp_path, server, authority, kind)
        # It takes nothing from a clone without the whole history.
        clone_and_push(tmp_path, fleet, words, server.url(kind, "edge-01"), shallow=False)
        if kind != "none":
            wrong = options(tmp_path, server, authority, "none")
            assert git(tmp_path, *wrong, "ls-remote", server.url(kind, "edge-01")).returncode != 0


def test_sshd_lets_one_key_in_for_git_alone(tmp_path, fleet):
    with Sshd(tmp_path / "repositories") as server:

        def ssh(key):
            _, secret, _, known = server.access("edge-01", key=key).words
            return (
                f"ssh -F none -i {secret} -o IdentitiesOnly=yes -o BatchMode=yes "
                f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"
            )

        clone_and_push(tmp_path, fleet, [], server.url("edge-01"), GIT_SSH_COMMAND=ssh("device"))
        stranger = git(tmp_path, "ls-remote", server.url("edge-01"), GIT_SSH_COMMAND=ssh("stranger"))
        assert "Permission denied" in stranger.stderr
        shell = [*ssh("device").split(), "-p", str(server.port), f"{server.user}@127.0.0.1", "id"]
        assert subprocess.run(shell, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("credentials", [None, "site:secret"])
def test_the_proxy_lets_through_whom_it_knows(tmp_path, authority, fleet, credentials):
    with (
        Nginx(tmp_path / "repositories", authority) as server,
        ConnectProxy(credentials=credentials) as proxy,
    ):
        words = options(tmp_path, server, authority, "none")
        url = server.url("none", "edge-01")
        clone_and_push(tmp_path, fleet, [*words, "-c", f"http.proxy={proxy.url}"], url)
        assert set(proxy.asked) == {server.ways["web"].host}
        if credentials:
            done = git(
                tmp_path, *words, "-c", f"http.proxy={proxy.url.replace('secret', 'x')}", "ls-remote", url
            )
            assert "407" in done.stderr


def test_the_hostile_server_is_honest_until_it_plays_a_trick(tmp_path, authority, fleet):
    with HostileGit(tmp_path / "repositories", authority) as server:
        access = server.access("edge-01")
        words = ["-c", f"http.sslCAInfo={access.words[1]}"]
        clone_and_push(tmp_path, fleet, words, access.url)
        assert {"refs", "ls-refs", "fetch", "push refs", "push"} == set(server.requests)
        for trick, complaint in (
            (Say(status=429), "429"),
            (Cut("ls-refs"), "RPC failed"),
            (Garble("ls-refs"), "fatal"),
            (Say(body=refs(desired="0" * 39 + "1"), what="ls-refs", headers=RESULT), ""),
        ):
            server.trick = trick
            done = git(tmp_path, *words, "ls-remote", access.url)
            assert complaint in done.stderr, trick
        assert done.stdout == f"{'0' * 39}1\trefs/heads/desired\n"
