"""What the server writes into a device's repository, looked at with Git itself."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.protocol.repository import DESIRED
from edgewright.server.domain.manifests import build_manifest
from edgewright.server.repositories import writing
from edgewright.server.repositories.bare import Bare, RepositoryError
from edgewright.server.repositories.objects import parse_commit
from edgewright.server.repositories.signing import NAME, SigningKeys
from edgewright.server.repositories.writing import AheadError, Content, Written

FIRST, SECOND = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
POLICY = b"polling: {rate: 5m}\n"


def content(version: int, documents: dict[str, bytes], policy: bytes | None = None) -> Content:
    built = build_manifest(version, documents)
    return Content(
        version=version,
        etag=built.digest,
        manifest=built.body,
        documents=documents,
        policy=policy,
        policy_tag="none" if policy is None else "tag",
        names={FIRST: "shop", SECOND: "till"},
    )


class Desk:
    """A server's keys and one repository, with Git to look at it."""

    def __init__(self, folder: Path) -> None:
        (folder / "identity").mkdir()
        self.folder = folder
        self.keys = SigningKeys(folder / "identity", "main@example.org")
        self.bare = Bare(folder / "repositories" / "edge-01.git")
        self.seconds = 1_700_000_000

    def write(self, content: Content, **more: object) -> Written:
        self.seconds += 1
        return writing.write(self.bare, content, self.keys, seconds=self.seconds, **more)  # type: ignore[arg-type]

    def git(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Eve",
            "GIT_AUTHOR_EMAIL": "eve@example.org",
            "GIT_COMMITTER_NAME": "Eve",
            "GIT_COMMITTER_EMAIL": "eve@example.org",
        }
        command = ["git", f"--git-dir={self.bare.path}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def files(self, commit: str = DESIRED) -> dict[str, bytes]:
        listed = self.git("ls-tree", "-r", "-z", "--name-only", commit).decode().split("\0")
        return {path: self.git("cat-file", "blob", f"{commit}:{path}") for path in listed if path}

    def verified(self, commit: str, signers: bytes) -> bool:
        path = self.folder / "signers"
        path.write_bytes(signers)
        command = ["git", f"--git-dir={self.bare.path}", "-c", "gpg.format=ssh"]
        command += ["-c", f"gpg.ssh.allowedSignersFile={path}", "verify-commit", commit]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def by_hand(self, path: str, body: bytes, *, mode: str = "100644") -> str:
        """Commit one changed file on top of `desired`, as a person does, unsigned."""
        index = self.folder / "index"
        os.environ["GIT_INDEX_FILE"] = str(index)
        blob = self.git("hash-object", "-w", "--stdin", stdin=body).decode().strip()
        listed = self.git("ls-tree", "-r", DESIRED).decode().splitlines()
        lines = [line for line in listed if not line.endswith(f"\t{path}")]
        roots = [line for line in lines if "/" not in line.partition("\t")[2]]
        entries: dict[str, list[str]] = {}
        for line in [*lines, f"{mode} blob {blob}\t{path}"]:
            head, _, name = line.partition("\t")
            folder, slash, rest = name.rpartition("/")
            if slash:
                entries.setdefault(folder, []).append(f"{head}\t{rest}")
        if "/" not in path:
            roots.append(f"{mode} blob {blob}\t{path}")
        for folder, inside in entries.items():
            tree = self.git("mktree", stdin="\n".join(inside).encode() + b"\n").decode().strip()
            roots.append(f"040000 tree {tree}\t{folder}")
        tree = self.git("mktree", stdin="\n".join(roots).encode() + b"\n").decode().strip()
        parent = self.git("rev-parse", DESIRED).decode().strip()
        commit = self.git("commit-tree", tree, "-p", parent, "-m", "by hand").decode().strip()
        self.git("update-ref", DESIRED, commit)
        return commit


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.requirement("GR-5", "GR-6", "GR-9", "GR-19", "S-18")
def test_the_first_commit_has_exactly_the_bytes_of_the_api_and_git_finds_it_well_signed(desk: Desk) -> None:
    wanted = content(1, {FIRST: b"a: 1\r\n", SECOND: b"b: 2"}, POLICY)
    written = desk.write(wanted)
    assert desk.files() == {
        ".gitattributes": b"* -text\n",
        "manifest.json": wanted.manifest,
        f"deployments/{FIRST}.yaml": b"a: 1\r\n",
        f"deployments/{SECOND}.yaml": b"b: 2",
        "policy.yaml": POLICY,
        "signers": desk.keys.signers,
    }
    assert written.is_new
    assert desk.bare.branch(DESIRED) == written.commit
    assert desk.verified(written.commit, desk.keys.signers)
    assert not desk.verified(written.commit, SigningKeys(desk.folder, "main@example.org").signers)
    desk.git("fsck", "--strict", "--full")


def test_writing_the_same_again_changes_nothing_wherever_it_was_cut_off(desk: Desk) -> None:
    first = desk.write(content(1, {FIRST: b"a"}))
    again = desk.write(content(1, {FIRST: b"a"}))
    assert (again.commit, again.is_new) == (first.commit, False)
    desk.git("gc", "--prune=now", "--quiet")
    assert not (desk.bare.path / DESIRED).exists()
    packed = desk.write(content(1, {FIRST: b"a"}))
    assert (packed.commit, packed.is_new) == (first.commit, False)


@pytest.mark.requirement("GR-17", "GR-18")
def test_every_change_is_one_commit_on_top_that_tells_people_what_changed(desk: Desk) -> None:
    desk.write(content(1, {}))
    desk.write(content(2, {FIRST: b"a"}))
    desk.write(content(3, {FIRST: b"b", SECOND: b"c"}, POLICY))
    desk.write(content(3, {FIRST: b"b", SECOND: b"c"}))
    last = desk.write(content(4, {SECOND: b"c"}))
    subjects = desk.git("log", "--reverse", "--first-parent", "--format=%s", DESIRED).decode().splitlines()
    assert subjects == [
        "Desired state 1",
        "Desired state 2: add shop",
        "Desired state 3",
        "Desired state 3: suggest no policy",
        f"Desired state 4: remove deployment {FIRST}",
    ]
    body = desk.git("log", "-1", "--format=%b", f"{DESIRED}~2").decode()
    assert body.strip().splitlines() == ["- Add till", "- Change shop", "- Suggest policy tag"]
    assert sorted(desk.files()) == [
        ".gitattributes",
        f"deployments/{SECOND}.yaml",
        "manifest.json",
        "signers",
    ]
    assert desk.git("log", "-1", "--format=%an <%ae> %at", last.commit).decode().strip() == (
        f"Edgewright <main@example.org> {desk.seconds}"
    )


def test_files_of_people_stay_and_an_unsigned_head_gets_a_signed_commit_on_top(desk: Desk) -> None:
    desk.write(content(1, {FIRST: b"a"}))
    by_hand = desk.by_hand("README.md", b"read me")
    written = desk.write(content(1, {FIRST: b"a"}))
    assert written.is_new
    assert desk.git("rev-parse", f"{written.commit}^").decode().strip() == by_hand
    assert desk.files()["README.md"] == b"read me"
    assert desk.verified(written.commit, desk.keys.signers)
    assert not desk.write(content(1, {FIRST: b"a"})).is_new


@pytest.mark.requirement("GR-45")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("manifest.json", b"{}"),
        (f"deployments/{FIRST}.yaml", b"hostile"),
        (f"deployments/{SECOND}.yaml", b"more"),
        ("policy.yaml", b"polling: {rate: 1s}\n"),
        (".gitattributes", b"* text\n"),
    ],
)
def test_what_somebody_changed_by_hand_is_put_right_on_top(desk: Desk, path: str, body: bytes) -> None:
    first = desk.write(content(1, {FIRST: b"a"}))
    before = desk.files()
    desk.by_hand(path, body)
    written = desk.write(content(1, {FIRST: b"a"}))
    assert desk.files() == before
    assert desk.git("merge-base", "--is-ancestor", first.commit, written.commit) == b""


def test_signers_put_there_by_hand_are_not_what_chooses_the_key_where_the_caller_knows_better(
    desk: Desk,
) -> None:
    desk.write(content(1, {}))
    desk.by_hand("signers", b"eve ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGV2ZQ\n")
    with pytest.raises(RepositoryError, match=r"git-signing-key.*backup"):
        desk.write(content(1, {}))
    written = desk.write(content(1, {}), trusting=desk.keys.signers)
    assert desk.files()["signers"] == desk.keys.signers
    assert desk.verified(written.commit, desk.keys.signers)


def test_a_symbolic_link_or_submodule_on_the_head_goes(desk: Desk) -> None:
    desk.write(content(1, {}))
    desk.by_hand("link", b"/etc/passwd", mode="120000")
    desk.write(content(1, {}))
    assert "link" not in desk.files()


@pytest.mark.requirement("GR-24")
@pytest.mark.parametrize("version", [1, 2])
def test_a_repository_that_is_further_than_this_server_is_never_set_back(desk: Desk, version: int) -> None:
    ahead = desk.write(content(2, {FIRST: b"new"}))
    with pytest.raises(AheadError) as raised:
        desk.write(content(version, {FIRST: b"old"}))
    assert raised.value.version == 2
    assert desk.bare.branch(DESIRED) == ahead.commit
    written = desk.write(content(1_700_000_000, {FIRST: b"old"}))
    assert desk.git("rev-parse", f"{written.commit}^").decode().strip() == ahead.commit


@pytest.mark.requirement("GR-26")
def test_a_replaced_key_is_told_of_by_a_commit_of_the_old_one_and_signs_from_then_on(desk: Desk) -> None:
    old_signers = desk.keys.signers
    first = desk.write(content(1, {FIRST: b"a"}))
    new = desk.keys.replace()
    new_signers = desk.keys.signers
    written = desk.write(content(2, {FIRST: b"b"}))
    telling = desk.git("rev-parse", f"{written.commit}^").decode().strip()
    assert desk.git("rev-parse", f"{telling}^").decode().strip() == first.commit
    assert (desk.verified(telling, old_signers), desk.verified(telling, new_signers)) == (True, False)
    assert desk.files(telling)["signers"] == new_signers
    assert (desk.verified(written.commit, old_signers), desk.verified(written.commit, new_signers)) == (
        False,
        True,
    )
    assert written.signer == new.fingerprint
    assert not desk.write(content(2, {FIRST: b"b"})).is_new


def test_a_repository_whose_keys_are_gone_is_told_of_and_left_alone(desk: Desk) -> None:
    first = desk.write(content(1, {}))
    (desk.folder / "identity" / NAME).unlink()
    with pytest.raises(RepositoryError, match=r"git-signing-key.*backup"):
        desk.write(content(2, {}))
    assert desk.bare.branch(DESIRED) == first.commit


def test_a_branch_that_moved_meanwhile_is_not_overwritten(desk: Desk) -> None:
    first = desk.write(content(1, {}))
    second = desk.write(content(2, {}))
    with pytest.raises(RepositoryError, match="moved by somebody else"):
        desk.write(content(3, {}), onto=first.commit)
    assert desk.bare.branch(DESIRED) == second.commit


def test_a_lock_left_by_a_power_cut_is_told_of_and_removed_once_it_is_old(desk: Desk) -> None:
    desk.write(content(1, {}))
    lock = desk.bare.path / f"{DESIRED}.lock"
    lock.touch()
    for _ in range(2):
        with pytest.raises(RepositoryError, match=r"desired\.lock"):
            desk.write(content(2, {}))
    os.utime(lock, (1, 1))
    with pytest.raises(RepositoryError, match=r"desired\.lock"):
        desk.write(content(2, {}))
    assert desk.write(content(2, {})).is_new


def test_a_folder_that_is_half_made_or_half_deleted_is_made_anew(desk: Desk) -> None:
    (desk.bare.path / "objects").mkdir(parents=True)
    desk.write(content(1, {}))
    desk.git("fsck", "--strict")
    desk.bare.delete()
    assert not desk.bare.path.exists()
    desk.bare.delete()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda good: replace(good, policy=b"x" * 65_537), "policy.yaml has 65537 bytes"),
        (
            lambda good: replace(good, documents={FIRST: b"x" * 1_048_577}),
            f"deployments/{FIRST}.yaml has 1048577 bytes",
        ),
        (lambda good: replace(good, manifest=b"x" * 4_194_305), "manifest.json has 4194305 bytes"),
        (
            lambda good: replace(good, documents=dict.fromkeys(map(str, range(10_000)), b"")),
            "10000 deployments are too many",
        ),
    ],
)
def test_what_no_device_would_take_up_is_refused_by_name(desk: Desk, changed, said: str) -> None:
    with pytest.raises(RepositoryError, match=said):
        desk.write(changed(content(1, {})))
    assert not desk.bare.exists


@pytest.mark.parametrize("damage", ["tree", "commit"])
def test_a_damaged_repository_is_told_of_with_its_place(desk: Desk, damage: str) -> None:
    written = desk.write(content(1, {}))
    name = written.commit if damage == "commit" else desk.git("rev-parse", f"{DESIRED}^{{tree}}").decode()
    (desk.bare.path / "objects" / name[:2] / name.strip()[2:]).unlink()
    with pytest.raises(Exception, match=f"lacks the object {name.strip()}"):
        desk.write(content(2, {}))


def test_own_signatures_are_known_and_those_of_others_are_not(desk: Desk) -> None:
    written = desk.write(content(1, {}))
    body = desk.git("cat-file", "commit", written.commit)
    assert desk.keys.has_signed(parse_commit(body))
    assert not desk.keys.has_signed(parse_commit(body.replace(b"Desired state 1", b"Desired state 9")))
    assert not desk.keys.has_signed(parse_commit(body.replace(b"gpgsig", b"gpgsix")))
    other = SigningKeys(desk.folder, "main@example.org")
    assert not other.has_signed(parse_commit(body))
    by_hand = desk.by_hand("README.md", b"")
    assert not desk.keys.has_signed(parse_commit(desk.git("cat-file", "commit", by_hand)))
