"""What a device keeps to get at its Git repository, and what it makes of it for the git program."""

import base64
import json
import shlex
import stat
import subprocess

import pytest

from edgewright.agent.git.access import (
    AUTHORITY,
    BASIC,
    BEARER,
    BY_CERTIFICATE,
    BY_SSH_KEY,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    OPEN,
    PASSWORD,
    PROXY_PASSWORD,
    TOKEN,
    AccessError,
    GitAccess,
)
from edgewright.agent.git.configuration import write_git_config
from edgewright.agent.paths import Paths
from edgewright.agent.talk.session import Identity, NoSvidError, NotEnrolledError, Session
from edgewright.net.git.url import RepositoryUrl, RepositoryUrlError
from edgewright.protocol.errors import IdentityError
from support.certificates import Authority

URL = "https://git.example:8443/devices/edge-01.git"


def access(directory, *, url=URL, kind=OPEN, files=None, **more):
    for name, text in (files or {}).items():
        (directory / name).write_text(text)
    made = GitAccess(str(directory), url=RepositoryUrl(url), kind=kind, **more)
    (directory / "git.json").write_bytes(made.render())
    loaded = GitAccess.load(str(directory))
    assert loaded is not None
    return loaded


def git_config(made, directory):
    """Return what git itself reads in the configuration: name to value."""
    path = directory / "config"
    write_git_config(made, str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = subprocess.run(
        ["git", "config", "--file", path, "--null", "--list"], check=True, capture_output=True, text=True
    ).stdout
    return dict(each.split("\n", 1) for each in told.split("\0") if each)


def asked(path, url, name):
    """Return what git would use for a request to `url`; empty when nothing."""
    told = subprocess.run(
        ["git", "config", "--file", path, "--get-urlmatch", f"http.{name}", url],
        check=False,
        capture_output=True,
        text=True,
    )
    return told.stdout.strip()


@pytest.mark.parametrize(
    ("text", "scheme", "user", "host", "port", "path"),
    [
        (URL, "https", "", "git.example", 8443, "/devices/edge-01.git"),
        ("https://[fd00::1]/a.git", "https", "", "fd00::1", 0, "/a.git"),
        ("ssh://git@git.example:2222/~/a.git", "ssh", "git", "git.example", 2222, "/~/a.git"),
        ("git@git.example:group/a.git", "ssh", "git", "git.example", 0, "group/a.git"),
        ("file:///srv/git/a.git", "file", "", "", 0, "/srv/git/a.git"),
        ("/srv/git/a b.git", "file", "", "", 0, "/srv/git/a b.git"),
        ("none:", "none", "", "", 0, ""),
    ],
)
def test_addresses_are_taken_apart(text, scheme, user, host, port, path):
    url = RepositoryUrl(text)
    assert (url.scheme, url.user, url.host, url.port, url.path) == (scheme, user, host, port, path)
    assert str(url) == text


@pytest.mark.requirement("S-22")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://git.example/a.git",
        "git://git.example/a.git",
        "ftp://git.example/a.git",
        "ext::sh -c 'touch /tmp/x'",
        "ext::sh%20-c%20touch",
        "https://git.example",
        "https://git.example:99999/a.git",
        "https://git.example/a.git?token=1",
        "https://git example/a.git",
        "https://git.example/a\n.git",
        "https://-oProxyCommand=x/a.git",
        "ssh://-oProxyCommand=touch/a.git",
        "ssh://git@-oProxyCommand=touch/a.git",
        "-oProxyCommand=touch:a.git",
        "git@host:-a",
        "--upload-pack=touch",
        "relative/path",
        "file://host/a.git",
        "file:///a\n.git",
        "none",
    ],
)
def test_an_address_that_could_do_harm_is_refused(text):
    with pytest.raises(RepositoryUrlError):
        RepositoryUrl(text)


@pytest.mark.parametrize("scheme", ["https", "ssh", "http"])
def test_a_password_in_an_address_is_refused_and_not_repeated(scheme):
    with pytest.raises(RepositoryUrlError) as caught:
        RepositoryUrl(f"{scheme}://user:sesame@git.example/a.git")
    assert "sesame" not in str(caught.value)
    assert "file" in str(caught.value)


def test_basic_goes_to_the_repository_alone(tmp_path):
    made = access(tmp_path, kind=BASIC, username="edge-01", files={PASSWORD: 'pä"ss\\#;\n'})
    config = git_config(made, tmp_path)
    expected = base64.b64encode('edge-01:pä"ss\\#;'.encode()).decode()
    assert config[f"http.{URL}.extraheader"] == f"Authorization: Basic {expected}"
    assert made.authorization() == f"Basic {expected}"
    path = tmp_path / "config"
    assert asked(path, URL, "extraHeader")
    assert not asked(path, "https://git.example:8443/devices/edge-02.git", "extraHeader")
    assert not asked(path, "https://elsewhere.example/devices/edge-01.git", "extraHeader")
    assert not asked(path, URL.replace("https", "http"), "extraHeader")


def test_bearer_and_own_authority(tmp_path):
    made = access(tmp_path, kind=BEARER, files={TOKEN: "tok-123456\n", AUTHORITY: "pem"})
    config = git_config(made, tmp_path)
    assert config[f"http.{URL}.extraheader"] == "Authorization: Bearer tok-123456"
    assert config[f"http.{URL}.sslcainfo"] == made.authority == str(tmp_path / AUTHORITY)
    assert config[f"http.{URL}.sslverify"] == "true"
    assert config[f"http.{URL}.proxy"] == ""


def test_the_svid_is_shown_where_there_is_no_certificate_for_this_alone(tmp_path):
    made = access(tmp_path, kind=BY_CERTIFICATE)
    assert made.certificate == (str(tmp_path / "svid.pem"), str(tmp_path / "key.pem"))
    (tmp_path / CLIENT_CERTIFICATE).write_text("pem")
    assert made.certificate == (str(tmp_path / CLIENT_CERTIFICATE), str(tmp_path / CLIENT_KEY))
    config = git_config(made, tmp_path)
    assert config[f"http.{URL}.sslcert"] == str(tmp_path / CLIENT_CERTIFICATE)
    assert config[f"http.{URL}.sslkey"] == str(tmp_path / CLIENT_KEY)


def test_a_proxy_with_a_password(tmp_path):
    made = access(tmp_path, proxy="http://site@proxy.example:3128", files={PROXY_PASSWORD: "a@b:c/d"})
    config = git_config(made, tmp_path)
    assert config[f"http.{URL}.proxy"] == "http://site:a%40b%3Ac%2Fd@proxy.example:3128"
    assert made.proxy_url == "http://proxy.example:3128"
    assert made.proxy_authorization() == "Basic " + base64.b64encode(b"site:a@b:c/d").decode()
    assert "a@b" not in (tmp_path / "git.json").read_text()


def test_ssh_is_started_with_our_key_and_known_hosts_alone(tmp_path):
    odd = tmp_path / 'it\'s 100% "odd"'
    odd.mkdir()
    made = access(odd, url="git@git.example:a.git", kind=BY_SSH_KEY)
    line = git_config(made, tmp_path)["core.sshcommand"]
    words = shlex.split(line)
    assert words[:4] == ["ssh", "-F", "/dev/null", "-i"]
    assert words[4] == str(odd / "git-ssh-key").replace("%", "%%")
    assert "StrictHostKeyChecking=yes" in words
    assert "IdentityAgent=none" in words


def test_a_local_repository_of_somebody_else_may_be_read(tmp_path):
    config = git_config(access(tmp_path, url="file:///srv/git/a.git"), tmp_path)
    assert config == {"safe.directory": "/srv/git/a.git"}


def test_secrets_are_taken_out_of_texts(tmp_path):
    made = access(
        tmp_path,
        kind=BASIC,
        username="edge-01",
        proxy="http://site@proxy.example:3128",
        files={PASSWORD: "open sesame", PROXY_PASSWORD: "let me through"},
    )
    said = f"open sesame, {made.authorization()}, let%20me%20through, {made.proxy_authorization()}: denied"
    told = made.redact(said)
    assert told == "…, Basic …, …, Basic …: denied"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"url": "https://h/a"}', "damaged"),
        ('{"url": "http://h/a", "auth": {"kind": "none"}}', "http://"),
        ('{"url": "https://h/a", "auth": {"kind": "magic"}}', "magic"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, text, says):
    (tmp_path / "git.json").write_text(text)
    with pytest.raises(AccessError, match=r"git\.json") as caught:
        GitAccess.load(str(tmp_path))
    assert says in str(caught.value)


def test_a_missing_secret_is_named(tmp_path):
    made = access(tmp_path, kind=BEARER)
    with pytest.raises(AccessError, match=TOKEN):
        made.authorization()
    assert made.redact("nothing to hide") == "nothing to hide"


def test_without_a_repository_there_is_no_access(tmp_path):
    assert GitAccess.load(str(tmp_path)) is None


def write_identity(directory, *, svid=True, settings=None, git=True):
    directory.mkdir(parents=True, exist_ok=True)
    if svid:
        authority = Authority.create("example.org")
        files = authority.client("main", "edge-01").write(directory)
        files.certificate.replace(directory / "svid.pem")
        files.key.replace(directory / "key.pem")
        (directory / "anchors.pem").write_text("anchors")
    (directory / "server.json").write_text(json.dumps({"device_id": "edge-01", **(settings or {})}))
    if git:
        access(directory)
    return directory


CLIENT = "spiffe://example.org/margo/wfm/main/client/edge-01"


@pytest.mark.parametrize(
    ("svid", "settings", "git", "transport", "relation"),
    [
        pytest.param(True, {"url": "https://w"}, False, "api", CLIENT, id="API alone, as it ever was"),
        pytest.param(True, {"url": "https://w", "transport": "git"}, True, "git", CLIENT, id="moved to Git"),
        pytest.param(
            True, {"url": "https://w", "transport": "api"}, True, "api", CLIENT, id="moved back to the API"
        ),
        pytest.param(False, {"transport": "git"}, True, "git", f"git:{URL}", id="Git alone"),
        pytest.param(
            False, {"transport": "git", "client": CLIENT}, True, "git", CLIENT, id="Git alone, with its name"
        ),
    ],
)
def test_the_relation_is_the_client_id_wherever_one_is_known(
    tmp_path, svid, settings, git, transport, relation
):
    identity = Identity(str(write_identity(tmp_path / "id", svid=svid, settings=settings, git=git)))
    assert identity.transport == transport
    assert identity.relation == relation
    assert (identity.server is not None) == svid
    assert (identity.not_after > 0) == svid


@pytest.mark.parametrize(
    ("svid", "settings", "git", "error"),
    [
        pytest.param(False, {}, True, NotEnrolledError, id="API without an SVID"),
        pytest.param(True, {"transport": "git"}, False, IdentityError, id="Git without a repository"),
        pytest.param(True, {"transport": "pigeon"}, True, IdentityError, id="unknown transport"),
    ],
)
def test_an_identity_that_is_not_whole_is_refused(tmp_path, svid, settings, git, error):
    directory = write_identity(tmp_path / "id", svid=svid, settings=settings, git=git)
    with pytest.raises(error):
        Identity(str(directory))


def test_the_api_cannot_be_asked_without_an_svid(tmp_path):
    paths = Paths(str(tmp_path))
    write_identity(tmp_path / "identity" / "current", svid=False, settings={"transport": "git"})
    with pytest.raises(NoSvidError, match="enroll TOKEN --replace"):
        Session(paths).request("GET", "/")


def test_a_session_sees_that_the_transport_changed(tmp_path):
    directory = tmp_path / "identity" / "current"
    write_identity(directory, settings={"url": "https://w"})
    session = Session(Paths(str(tmp_path)))
    assert session.identity.transport == "api"
    (directory / "new").write_text(
        json.dumps({"device_id": "edge-01", "url": "https://w", "transport": "git"})
    )
    (directory / "new").replace(directory / "server.json")
    assert session.identity.transport == "git"
