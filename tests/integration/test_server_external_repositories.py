"""Repositories on Git servers of somebody else's: what is pushed and read there, and what people do there."""

import hashlib
import hmac
import json
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.certificates import Authority
from support.external_scene import Scene, give, upload
from support.foreign_client import ForeignClient
from support.git_backend import GitBackend
from support.git_servers import Nginx, Sshd
from support.operating import assert_problem
from support.processes import own_environment, wait_until
from support.proxies import ConnectProxy
from support.server_process import Answer, ServerProcess

SECRET = "s3cret-of-the-git-server"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("external") / "server") as running:
        upload(running)
        yield running


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("example.org")


@pytest.fixture
def backend(tmp_path: Path, authority: Authority) -> Iterator[GitBackend]:
    with GitBackend(tmp_path / "git", authority) as running:
        yield running


@pytest.fixture
def scene(server: ServerProcess, backend: GitBackend, tmp_path: Path, unique: str) -> Scene:
    return Scene.create(server, backend, tmp_path, unique)


@pytest.mark.requirement("S-18", "S-20", "GR-5", "GR-6", "GR-18", "GR-19")
def test_what_a_device_is_to_have_is_pushed_signed_and_as_the_api_serves_it(scene: Scene) -> None:
    manifest = json.loads(scene.file("manifest.json"))
    document = scene.backend.git("show", f"desired:{scene.document}", at=scene.backend.path(scene.device))
    digest = hashlib.sha256(f"{document}\n".encode()).hexdigest()
    assert manifest["deployments"][0]["digest"] == f"sha256:{digest}"
    assert scene.verified(scene.head())
    before = scene.head()
    scene.operator.request("PUT", f"/deployments/{scene.deployment}", {"parameters": {"greeting": "moin"}})
    wait_until(lambda: scene.head() != before, what="the change was pushed")
    assert scene.values()["greeting"] == "moin"
    assert scene.backend.git("rev-parse", "desired~1", at=scene.backend.path(scene.device)) == before


@pytest.mark.requirement("S-18", "GR-36")
def test_what_the_device_pushes_is_read_and_counts_as_contact(scene: Scene) -> None:
    device = scene.person("machine", "Device")
    device.git("checkout", "-q", "--orphan", "current")
    device.git("rm", "-q", "-r", "-f", ".")
    status = {
        "apiVersion": "v1",
        "kind": "DeploymentStatus",
        "deploymentId": scene.deployment,
        "adoptedManifestVersion": 2,
        "status": {"state": "installed"},
        "components": [{"name": "app", "state": "installed"}],
    }
    device.change({f"status/{scene.deployment}.json": json.dumps(status)})
    device.git("push", "-q", "origin", "HEAD:current")
    shown = scene.look()
    assert (shown["problem"], shown["current_commit"]) == (None, scene.head("current"))
    history = scene.operator.get(f"/deployments/{scene.deployment}/history")
    assert "installed" in json.dumps(history)


@pytest.mark.requirement("S-18", "S-26", "GR-46")
@pytest.mark.parametrize("is_signed", [False, True])
def test_what_a_person_may_change_is_taken_in_and_signed_on_top(scene: Scene, is_signed: bool) -> None:
    person = scene.person()
    options: tuple[str, ...] = ()
    if is_signed:
        key = scene.folder / "ada-key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        person.git("config", "gpg.format", "ssh")
        person.git("config", "user.signingKey", str(key))
        options = ("-S",)
    document = person.read(scene.document).replace("value: hello", "value: moin")
    policy = "polling:\n  rate: 7m\n"
    commit = person.change(
        {scene.document: document, "policy.yaml": policy, "README.md": "For Ada\n"}, "Greet", *options
    )
    person.push()
    shown = scene.look()
    assert (shown["problem"], shown["refused"]) == (None, None)
    assert scene.values()["greeting"] == "moin"
    assert scene.file("README.md") == "For Ada"
    assert scene.backend.git("rev-parse", "desired~1", at=scene.backend.path(scene.device)) == commit
    assert scene.verified(scene.head())
    assert scene.message().startswith(f"Taken in: {commit} by Ada Lovelace <ada@example.org>: policy.yaml;")
    assert scene.operator.get(f"/devices/{scene.device}/policy")["by"] == "Ada Lovelace <ada@example.org>"
    revisions = scene.operator.get(f"/deployments/{scene.deployment}/revisions")
    assert revisions["items"][0]["by"] == "Ada Lovelace <ada@example.org>"
    assert scene.audit("take in commit")[0]["details"]["commit"] == commit


@pytest.mark.requirement("S-18", "GR-47")
@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param({"manifest.json": "{}"}, "manifest.json is written by the fleet manager", id="manifest"),
        pytest.param(
            {"manifest.json": '{"manifestVersion": 999999999, "bundle": null, "deployments": []}'},
            "manifest.json is written by the fleet manager",
            id="a manifest far ahead",
        ),
        pytest.param({"signers": None}, "signers is written by the fleet manager", id="signers"),
        pytest.param({"DOCUMENT": ("plant 4", "plant 5")}, "cannot be changed any more", id="immutable"),
        pytest.param(
            {"DOCUMENT": ("value: hello", f"value: {'x' * 30}")}, "parameters.greeting", id="a value too long"
        ),
        pytest.param({"DOCUMENT": ("compose", "helm")}, "nothing but values", id="another profile"),
        pytest.param({"policy.yaml": "polling: 3"}, "policy.yaml", id="policy"),
    ],
)
def test_what_a_person_may_not_change_is_put_right_with_the_reason(
    scene: Scene, files: Mapping[str, Any], told: str
) -> None:
    before, person = scene.files(), scene.person()
    document, manifest = scene.file(scene.document), scene.file("manifest.json")
    changes: dict[str, str | None] = {"README.md": "goes with it"}
    for path, content in files.items():
        if isinstance(content, tuple):
            changes[scene.document] = person.read(scene.document).replace(*content)
        else:
            changes[path] = content
    commit = person.change(changes)
    person.push()
    shown = scene.look()
    assert (shown["problem"], told in shown["refused"]) == (None, True), shown
    assert scene.message().startswith(f"Refused: {commit} by Ada Lovelace <ada@example.org>: ")
    assert told in scene.message()
    assert (scene.files(), scene.file(scene.document)) == (before, document)
    assert scene.file("manifest.json") == manifest
    assert scene.verified(scene.head())
    assert told in scene.audit("refuse commit")[0]["details"]["reason"]
    person.pull()
    person.change({"README.md": "alone it is fine"})
    person.push()
    assert scene.look()["refused"] is None
    assert scene.file("README.md") == "alone it is fine"


@pytest.mark.requirement("S-18", "GR-45")
def test_a_person_who_is_quicker_is_built_upon(scene: Scene) -> None:
    person = scene.person()
    commit = person.change({"README.md": "quick"})
    scene.backend.before_push = person.push
    scene.operator.request("PUT", f"/deployments/{scene.deployment}", {"parameters": {"greeting": "moin"}})
    wait_until(lambda: "README.md" in scene.files() and scene.values()["greeting"] == "moin", what="settled")
    assert scene.backend.git("rev-parse", "desired~1", at=scene.backend.path(scene.device)) == commit
    assert scene.verified(scene.head())


@pytest.mark.requirement("S-18", "GR-18", "GR-45")
def test_a_branch_that_was_rewound_or_removed_is_pushed_again(scene: Scene) -> None:
    scene.operator.request("PUT", f"/deployments/{scene.deployment}", {"parameters": {"greeting": "moin"}})
    scene.look()
    ours, person = scene.head(), scene.person()
    person.git("reset", "-q", "--hard", "HEAD~1")
    person.push("--force")
    assert scene.look()["problem"] is None
    assert scene.head() == ours
    assert len(scene.audit("branch rewound")) == 1
    scene.backend.git("update-ref", "-d", "refs/heads/desired", at=scene.backend.path(scene.device))
    assert scene.look()["problem"] is None
    assert scene.head() == ours
    assert len(scene.audit("branch removed")) == 1


@pytest.mark.requirement("S-18", "GR-45")
@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_rewritten_branch_is_told_and_left_until_a_person_decides(scene: Scene, is_replaced: bool) -> None:
    ours, person = scene.head(), scene.person()
    person.change({"README.md": "mine"}, "rewritten", "--amend")
    person.push("--force")
    theirs = scene.head()
    looked = scene.look()
    told = looked["problem"]
    assert looked["rewritten"]
    assert "somebody rewrote it" in told
    assert f"edgewright repository restore {scene.device}" in told
    assert scene.head() == theirs
    shown = scene.operator.post(f"{scene.path}/restore", {"replace": is_replaced})
    assert (shown["problem"], shown["rewritten"]) == (None, False)
    parents = scene.backend.git(
        "log", "-1", "--format=%P", "desired", at=scene.backend.path(scene.device)
    ).split()
    assert (scene.head() == ours) if is_replaced else (parents == [ours, theirs])
    assert scene.verified(scene.head())
    assert "README.md" not in scene.files()
    assert scene.look()["problem"] is None
    again = scene.operator.request("POST", f"{scene.path}/restore", {})
    assert_problem(again, 409, "was not rewritten")


@pytest.mark.requirement("S-18", "GR-18", "GR-45")
def test_a_merge_that_puts_ours_aside_is_answered_by_a_commit_that_devices_can_follow(scene: Scene) -> None:
    person = scene.person()
    person.change({"README.md": "mine"})
    scene.operator.request("PUT", f"/deployments/{scene.deployment}", {"parameters": {"greeting": "moin"}})
    scene.look()
    ours = scene.head()
    person.git("fetch", "-q", "origin", "desired")
    person.git("merge", "-q", "--no-ff", "-m", "merged", "FETCH_HEAD")
    person.push()
    theirs = scene.head()
    assert scene.look()["problem"] is None
    path = scene.backend.git("rev-list", "--first-parent", "desired", at=scene.backend.path(scene.device))
    assert ours in path.split()
    assert theirs not in path.split()
    assert scene.verified(scene.head())
    assert "rebase onto that instead" in scene.audit("refuse commit")[0]["details"]["reason"]


@pytest.mark.requirement("S-18")
def test_a_server_that_stopped_in_between_takes_nothing_in_twice(scene: Scene) -> None:
    person = scene.person()
    person.change({scene.document: person.read(scene.document).replace("value: hello", "value: moin")})
    person.push()
    killed = threading.Event()

    def kill() -> None:
        scene.server.kill()
        killed.set()

    scene.backend.before_push = kill
    with pytest.raises((HTTPException, OSError)):
        scene.look()
    assert killed.wait(30)
    scene.server.start()
    wait_until(lambda: scene.look()["problem"] is None and scene.verified(scene.head()), what="settled")
    assert scene.values()["greeting"] == "moin"
    assert len(scene.audit("take in commit")) == 1


@pytest.mark.requirement("S-22", "S-18")
def test_an_access_that_does_not_work_is_refused_and_nothing_is_stored(
    scene: Scene, unique: str, authority: Authority
) -> None:
    operator, backend = scene.operator, scene.backend
    backend.needs = f"Bearer {SECRET}"
    before = operator.get(scene.path)
    url = scene.backend.url(scene.device)
    wrong = give(operator, scene.device, url, backend.ca, {"how": "bearer", "token": "wrong"})
    assert_problem(wrong, 422, "does not know these credentials (401, reading)")
    nowhere = give(
        operator, scene.device, backend.url("nothing"), backend.ca, {"how": "bearer", "token": SECRET}
    )
    assert_problem(nowhere, 422, "there is no such repository")
    other = Authority.create("example.net").pem.decode()
    foreign = give(operator, scene.device, url, other, {"how": "bearer", "token": SECRET})
    assert_problem(foreign, 422, "certificate")
    plain = give(operator, scene.device, url.replace("https", "http"), backend.ca)
    assert_problem(plain, 422, "http:// is not spoken")
    inside = give(operator, scene.device, url.replace("//", "//a:hunter2@"), backend.ca)
    assert_problem(inside, 422, "credentials do not belong into the address")
    assert "hunter2" not in inside.body.decode()
    assert operator.get(scene.path) | {"checked": None, "problem": None} == before | {"checked": None}


@pytest.mark.requirement("S-22")
def test_credentials_are_kept_for_the_server_alone_and_never_shown(scene: Scene) -> None:
    backend = scene.backend
    backend.needs = f"Bearer {SECRET}"
    url = backend.url(scene.device)
    answer = give(scene.operator, scene.device, url, backend.ca, {"how": "bearer", "token": SECRET})
    assert (answer.status, answer.json["credentials"], answer.json["problem"]) == (200, "bearer", None), (
        answer
    )
    file = scene.server.data / "repositories" / f"{scene.device}.credentials"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert SECRET in file.read_text()
    shown = scene.operator.request("GET", scene.path).body + answer.body
    audit = scene.operator.request("GET", "/audit?limit=100").body
    assert SECRET.encode() not in shown + audit + scene.server.output.encode()
    again = scene.operator.request("PUT", scene.path, {"url": url, "ca": backend.ca, "minutes": 60})
    assert (again.status, again.json["minutes"], again.json["problem"]) == (200, 60, None), again
    assert not list((scene.server.data / "repositories").glob(".access-*"))


@pytest.mark.requirement("S-18")
def test_a_git_server_that_wants_to_be_left_alone_is(scene: Scene) -> None:
    scene.backend.answers = (429, {"retry-after": "3600"})
    assert "429" in scene.look()["problem"]
    asked = len(scene.backend.requests)
    assert "wants to be left alone for 3600 s" in scene.look()["problem"]
    assert len(scene.backend.requests) == asked


@pytest.mark.requirement("S-22")
def test_credentials_that_are_kept_are_shown_to_no_other_server(scene: Scene) -> None:
    backend = scene.backend
    backend.needs = f"Bearer {SECRET}"
    url = backend.url(scene.device)
    give(scene.operator, scene.device, url, backend.ca, {"how": "bearer", "token": SECRET})
    asked = len(backend.requests)
    for other in (url.replace("127.0.0.1", "localhost"), "https://git.example/other.git"):
        moved = scene.operator.request("PUT", scene.path, {"url": other, "ca": backend.ca})
        assert_problem(moved, 422, "are needed again: those that are kept were given for another server")
    assert len(backend.requests) == asked
    assert scene.operator.get(scene.path)["url"] == url


def through(scene: Scene, proxy: str) -> Answer:
    settings = {
        "url": scene.backend.url(scene.device),
        "ca": scene.backend.ca,
        "credentials": {"how": "none"},
    }
    return scene.operator.request("PUT", scene.path, {**settings, "proxy": proxy})


@pytest.mark.requirement("S-22")
@pytest.mark.parametrize("password", [None, "a@b:c/d %"], ids=["open", "with-a-password"])
def test_a_git_server_behind_a_proxy_is_pushed_to_and_asked(scene: Scene, password: str | None) -> None:
    user = "" if password is None else f"site:{quote(password, safe='')}@"
    with ConnectProxy(credentials=None if password is None else f"site:{password}") as proxy:
        place = proxy.url.rpartition("@")[2].removeprefix("http://")
        answer = through(scene, f"http://{user}{place}")
        assert (answer.status, answer.json["proxy"]) == (200, f"http://{place}"), answer
        before, asked = scene.head(), len(proxy.asked)
        scene.operator.request(
            "PUT", f"/deployments/{scene.deployment}", {"parameters": {"greeting": "moin"}}
        )
        wait_until(lambda: scene.head() != before, what="the change was pushed")
        assert scene.look()["problem"] is None
        assert len(proxy.asked) > asked
        shown = scene.operator.request("GET", scene.path).body + scene.operator.request("GET", "/audit").body
        for secret in (user.rpartition(":")[2].rstrip("@"), password or ""):
            assert len(secret) < 4 or secret not in shown.decode() + scene.server.output


@pytest.mark.requirement("S-22")
@pytest.mark.parametrize(
    "proxy",
    ["https://proxy.example:3128", "http://proxy.example", "socks5://proxy.example:1080", "proxy:3128"],
)
def test_a_proxy_that_cannot_be_used_is_refused_in_words(scene: Scene, proxy: str) -> None:
    assert_problem(through(scene, proxy), 422, "http://")


@pytest.mark.requirement("S-18", "S-22")
@pytest.mark.parametrize("way", ["seconds", "date"])
def test_a_proxy_that_wants_to_be_left_alone_is(scene: Scene, way: str) -> None:
    now = datetime.now(UTC)
    until = "3600" if way == "seconds" else format_datetime(now + timedelta(hours=1), usegmt=True)
    with ConnectProxy() as proxy:
        assert through(scene, proxy.url).status == 200
        proxy.answer = f"503 Busy\r\nDate: {format_datetime(now, usegmt=True)}\r\nRetry-After: {until}"
        assert "503" in scene.look()["problem"]
        asked = len(proxy.asked)
        assert re.search(r"wants to be left alone for 3\d{3} s", scene.look()["problem"])
        assert len(proxy.asked) == asked


@pytest.mark.requirement("S-22")
def test_a_proxy_that_takes_other_credentials_is_named_without_them(scene: Scene) -> None:
    with ConnectProxy(credentials="site:right-password") as proxy:
        wrong = through(scene, proxy.url.replace("right", "wrong"))
        assert_problem(wrong, 422, "other credentials than those it was shown (407)")
        assert "wrong-password" not in wrong.body.decode() + scene.server.output


def hook(scene: Scene, body: bytes, headers: Mapping[str, str], device: str | None = None) -> Answer:
    return scene.operator.request(
        "POST", f"/git/hooks/{device or scene.device}", body=body, prefix="", token="", headers=headers
    )


@pytest.mark.requirement("S-18")
@pytest.mark.parametrize(
    "kind", ["x-hub-signature-256", "x-gitea-signature", "x-gitlab-token", "Authorization"]
)
def test_a_webhook_has_the_repository_looked_at(scene: Scene, kind: str) -> None:
    made = scene.operator.post(f"{scene.path}/webhook")
    assert made["url"] == f"{scene.server.web_url}/git/hooks/{scene.device}"
    body, secret = b'{"ref": "refs/heads/desired"}', made["secret"]
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    shown = {
        "x-hub-signature-256": f"sha256={signature}",
        "x-gitea-signature": signature,
        "x-gitlab-token": secret,
        "Authorization": f"Bearer {secret}",
    }[kind]
    person = scene.person()
    person.change({"README.md": "hello"})
    person.push()
    before = scene.head()
    answer = hook(scene, body, {"Authorization": "", kind: shown})
    assert (answer.status, answer.json) == (202, {"accepted": True}), answer
    wait_until(lambda: scene.head() != before, what="the commit was taken in")
    assert "Taken in" in scene.message()


@pytest.mark.requirement("S-18")
def test_a_webhook_without_the_right_secret_does_nothing_and_is_slowed_down(scene: Scene) -> None:
    secret = scene.operator.post(f"{scene.path}/webhook")["secret"]
    scene.operator.post(f"{scene.path}/webhook")
    signature = hmac.new(b"", b"x", hashlib.sha256).hexdigest()
    for headers in (
        {},
        {"x-gitlab-token": secret},
        {"x-gitlab-token": ""},
        {"x-gitea-signature": signature},
        {"x-hub-signature-256": "sha256=é".encode().decode("latin-1")},
    ):
        answer = hook(scene, b"x", {"Authorization": "", **headers})
        assert_problem(answer, 401, "does not show the secret")
    assert hook(scene, b"x", {"Authorization": "", "x-gitlab-token": "x"}).status == 429
    unknown = hook(scene, b"x", {"Authorization": "", "x-gitlab-token": "x"}, device="nobody")
    assert_problem(unknown, 401, "does not show the secret of this repository's webhook")


def check(at: Path, *words: str, data: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "edgewright.cli.main", "repository", "check", *words],
        cwd=at,
        input=data,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.requirement("S-18")
def test_a_person_learns_beforehand_what_would_be_refused(scene: Scene) -> None:
    person = scene.person()
    start = scene.head()
    fine = person.change({"README.md": "hello"})
    wrong = person.change({"manifest.json": "{}"})
    person.git("checkout", "-q", "origin/desired", "--", "manifest.json")
    mended = person.change({"b.md": "x"})
    done = check(person.folder, "origin/desired", "HEAD")
    assert done.returncode == 1, done.stderr
    author = "Ada Lovelace <ada@example.org>"
    told = done.stdout.splitlines()
    assert told[0] == f"fine: {fine[:12]} by {author}: README.md"
    assert told[1].startswith(
        f"refused: {wrong[:12]} by {author}: manifest.json is written by the fleet manager"
    )
    assert told[2] == f"fine: {mended[:12]} by {author}: b.md"
    assert check(person.folder, "origin/desired", fine).returncode == 0
    gone_back = check(person.folder, "HEAD", "origin/desired")
    assert (gone_back.returncode, gone_back.stdout) == (0, ""), "what the fleet manager signed is fine"
    rewritten = check(person.folder, fine, person.change({"a": "b"}, "other", "--amend"))
    assert rewritten.returncode == 1
    nothing = check(person.folder, "nonsense", "HEAD")
    assert "nonsense: there is no such commit here" in nothing.stderr
    outside = check(scene.folder, start, start)
    assert "not in a clone" in outside.stderr


@pytest.mark.requirement("S-18")
def test_as_a_hook_it_tells_the_reason_and_lets_the_fleet_manager_through(scene: Scene) -> None:
    hook_file = scene.backend.path(scene.device) / "hooks" / "pre-receive"
    hook_file.parent.mkdir(exist_ok=True)
    hook_file.write_text(f"#!/bin/sh\nexec {sys.executable} -m edgewright.cli.main repository check\n")
    hook_file.chmod(0o755)
    person = scene.person()
    person.change({"signers": "mallory"})
    with pytest.raises(AssertionError, match="signers is written by the fleet manager alone"):
        person.push()
    person.git("reset", "-q", "--hard", "origin/desired")
    person.change({"README.md": "hello"})
    person.push()
    assert scene.look()["problem"] is None
    assert "README.md" in scene.files()
    assert scene.verified(scene.head())


def seen_outside(secret: str) -> list[str]:
    """Return which processes show a secret in their arguments or their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                content = (process / name).read_bytes()
            except OSError:
                continue  # it has ended, or is somebody else's
            if secret.encode() in content:
                found.append(f"{process.name} {name}")
    return found


@pytest.mark.requirement("S-22")
def test_secrets_are_in_no_argument_and_no_environment_while_git_runs(scene: Scene) -> None:
    backend = scene.backend
    backend.needs = f"Bearer {SECRET}"
    url = backend.url(scene.device)
    give(scene.operator, scene.device, url, backend.ca, {"how": "bearer", "token": SECRET})
    before, seen = scene.head(), []
    running: list[str] = []

    def watch() -> None:
        running.extend(str(path) for path in (scene.server.data / "repositories").glob(".access-*"))
        seen.extend(seen_outside(SECRET))

    backend.before_push = watch
    scene.operator.request("PUT", f"/deployments/{scene.deployment}", {"parameters": {"greeting": "moin"}})
    wait_until(lambda: scene.head() != before, what="the change was pushed")
    assert (len(running), seen) == (1, [])


@pytest.mark.requirement("S-22", "S-18")
@pytest.mark.parametrize("kind", ["none", "basic", "bearer", "certificate", "ssh"])
def test_git_servers_of_others_are_pushed_to_with_each_kind_of_credentials(
    server: ServerProcess, authority: Authority, tmp_path: Path, unique: str, kind: str
) -> None:
    operator = server.operator
    token = operator.post("/enrollments", {"name": unique})["token"]
    with ForeignClient.enrolled(token, tmp_path / "device"):
        pass
    repositories = tmp_path / "git"
    bare = repositories / f"{unique}.git"
    environment = own_environment(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null")
    make = ["git", "init", "-q", "--bare", "-b", "desired", str(bare)]
    subprocess.run(make, check=True, env=environment)
    with Sshd(repositories) if kind == "ssh" else Nginx(repositories, authority) as running:
        access = running.access(unique) if isinstance(running, Sshd) else running.access(kind, unique)
        words = ["--no-credentials", *access.words] if kind == "none" else access.words
        command = [sys.executable, "-m", "edgewright.cli.main", "repository", "external", unique]
        command += ["--context", str(server.data / "operator.json"), "--url", access.url, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert not [secret for secret in access.secrets if secret in done.stdout + server.output]
        pushed = ["git", "--git-dir", str(bare), "show", "desired:manifest.json"]
        shown = subprocess.run(pushed, capture_output=True, check=True, env=environment).stdout
        assert json.loads(shown)["manifestVersion"] == 1
        heads = operator.post(f"/devices/{unique}/repository/external/look")
        assert heads["problem"] is None


@pytest.fixture
def looker(scene: Scene) -> Path:
    """The context of a program that may only read."""
    context = json.loads((scene.server.data / "operator.json").read_text())
    made = scene.operator.post("/tokens", {"name": f"hook of {scene.device}", "role": "viewer"})
    path = scene.folder / "looker.json"
    path.write_text(json.dumps(context | {"token": made["token"]}))
    return path


@pytest.mark.requirement("S-18")
def test_the_fleet_manager_is_asked_what_it_alone_knows_and_keeps_nothing(scene: Scene, looker: Path) -> None:
    person, before = scene.person(), scene.operator.get(scene.path)
    document = person.read(scene.document)
    person.change({scene.document: document.replace("value: hello", f"value: {'x' * 30}")}, "too long")
    person.change({scene.document: document.replace("plant 4", "plant 5")}, "immutable")
    person.change({scene.document: document.replace("value: hello", "value: moin"), "README.md": "x"}, "fine")
    person.change({"a b.md": "x"}, "a bad name")
    alone = check(person.folder, "origin/desired", "HEAD")
    assert [line.split(":")[0] for line in alone.stdout.splitlines()][:4] == ["fine"] * 3 + ["refused"]
    assert "--device DEVICE asks the fleet" in alone.stdout
    asked = ("--device", scene.device, "--context", str(looker))
    done = check(person.folder, "origin/desired", "HEAD", *asked)
    assert done.returncode == 1, done.stderr
    told = done.stdout.splitlines()
    assert [line.split(":")[0] for line in told] == ["refused", "refused", "fine", "refused"], told
    assert "parameters.greeting" in told[0]
    assert "cannot be changed any more" in told[1]
    assert "a b.md" in told[3]
    shown = check(person.folder, "origin/desired", "HEAD", *asked, "-o", "json")
    assert [one["is_fine"] for one in json.loads(shown.stdout)] == [False, False, True, False]
    assert scene.values()["greeting"] == "hello"
    assert scene.operator.get(scene.path) == before
    assert scene.audit("take in commit") == scene.audit("refuse commit") == []
    # What it said is what it does.
    person.push()
    scene.look()
    said = scene.message()
    assert said.count("Refused: ") == 3
    assert all(line.partition("<ada@example.org>: ")[2] in said for line in told), (told, said)
    assert scene.values() == {"greeting": "moin", "site": "plant 4"}


@pytest.mark.requirement("S-18")
def test_a_hook_that_asks_tells_whoever_pushes_what_the_application_does_not_take(
    scene: Scene, looker: Path
) -> None:
    hook_file = scene.backend.path(scene.device) / "hooks" / "pre-receive"
    hook_file.parent.mkdir(exist_ok=True)
    command = f"{sys.executable} -m edgewright.cli.main repository check"
    hook_file.write_text(f"#!/bin/sh\nexec {command} --device {scene.device} --context {looker}\n")
    hook_file.chmod(0o755)
    person = scene.person()
    document = person.read(scene.document)
    person.change({scene.document: document.replace("value: hello", f"value: {'x' * 30}")})
    with pytest.raises(AssertionError, match=r"refused: .*parameters\.greeting"):
        person.push()
    person.git("reset", "-q", "--hard", "origin/desired")
    person.change({scene.document: document.replace("value: hello", "value: moin")})
    person.push()
    assert scene.look()["refused"] is None
    assert scene.values()["greeting"] == "moin"


@pytest.mark.requirement("S-18")
def test_what_cannot_be_judged_is_said_by_name(scene: Scene, looker: Path) -> None:
    path = f"{scene.path}/check"
    file = {"mode": "100644", "id": "0" * 40, "size": 3}
    commit = {"id": "1" * 40, "name": "Ada", "email": "", "files": {"policy.yaml": file}}
    unknown = scene.operator.request("POST", path, {"base": "2" * 40, "commits": [commit]})
    assert_problem(unknown, 409, "edgewright repository look")
    bare = scene.operator.request("POST", path, {"base": scene.head(), "commits": [commit]})
    assert_problem(bare, 422, "policy.yaml: expected its content, of 3 bytes")
    person = scene.person()
    without = check(person.folder, "HEAD", "HEAD", "--context", str(looker))
    assert "--device is needed" in without.stderr
    person.change({"README.md": "x"})
    words = ("origin/desired", "HEAD", "--context", str(looker), "--device", "nobody-here")
    stranger = check(person.folder, *words)
    assert (stranger.returncode, "nobody-here" in stranger.stderr) == (2, True), stranger
