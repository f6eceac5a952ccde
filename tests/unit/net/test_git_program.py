"""The git program as both ends run it: what it may do, and what is read out of a repository."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgewright.net.git.program import Git, GitError, UntrustedError, error_of, parse_tree, printable


@pytest.fixture
def git(tmp_path: Path) -> Git:
    made = Git(tmp_path / "repository.git")
    made.make()
    return made


def signing_key(directory: Path, name: str) -> Path:
    key = directory / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True, timeout=60
    )
    return key


def allow(directory: Path, *keys: Path) -> Path:
    path = directory / "allowed"
    path.write_text("".join(f"{key.name} {key.with_suffix('.pub').read_text()}" for key in keys))
    return path


def test_a_new_repository_is_one_to_git_and_for_its_owner_alone(git: Git) -> None:
    assert git.run("rev-parse", "--is-bare-repository") == b"true\n"
    assert git.run("fsck") == b""
    assert Path(git.directory).stat().st_mode & 0o077 == 0
    assert git.commit_of("refs/heads/desired") is None


def test_what_is_written_is_read_again(git: Git) -> None:
    first = git.write_commit(
        {"a.txt": b"one", "folder/b": b"\0\r\n"}, parent=None, message="First", author="Ada <ada@x>", at=7
    )
    second = git.write_commit({"a.txt": None, "c": b""}, parent=first, message="Second\n\nWhy.")
    git.set_ref("refs/heads/desired", second)

    assert git.commit_of("refs/heads/desired") == second
    tree = git.read_tree(second, most=10, depth=4)
    assert {path: (each.kind, each.size) for path, each in tree.items()} == {
        "c": ("blob", 0),
        "folder": ("tree", 0),
        "folder/b": ("blob", 3),
    }
    assert git.read_blob(second, "folder/b", limit=3) == b"\0\r\n"
    assert git.read_blob(second, "folder", limit=3) is None
    assert git.read_blob(second, "a.txt", limit=3) is None
    commit = git.read_commit(second)
    assert (commit.parents, commit.message) == ((first,), "Second\n\nWhy.")
    assert (git.read_commit(first).author, git.read_commit(first).at) == ("Ada <ada@x>", 7)


def test_the_same_content_at_the_same_time_is_the_same_commit(git: Git) -> None:
    first, again = (git.write_commit({"a": b"1"}, parent=None, message="m", at=1) for _ in range(2))
    assert first == again
    assert not list(Path(git.directory).glob("writing-*"))


def test_a_file_over_the_limit_is_not_read(git: Git) -> None:
    commit = git.write_commit({"a": b"x" * 101}, parent=None, message="m")
    with pytest.raises(GitError, match="101 bytes, at most 100") as caught:
        git.read_blob(commit, "a", limit=100)
    assert caught.value.code == "git.too-large"


def test_a_tree_of_too_many_entries_or_too_deep_is_refused(git: Git) -> None:
    commit = git.write_commit({f"f/{n}": b"" for n in range(9)}, parent=None, message="m")
    with pytest.raises(GitError, match="more than 9"):
        git.read_tree(commit, most=9, depth=4)
    deep = git.write_commit({"a/b/c/d/e": b""}, parent=None, message="m")
    assert "a/b/c/d/e" in git.read_tree(deep, most=10, depth=5)
    with pytest.raises(GitError, match="more than 4 deep"):
        git.read_tree(deep, most=10, depth=4)


def test_a_tree_that_repeats_itself_a_million_times_costs_nothing(git: Git) -> None:
    blob = git.run("hash-object", "-w", "--stdin", stdin=b"").decode().strip()
    lines = "".join(f"100644 blob {blob}\t{n}\n" for n in range(100))
    tree = git.run("mktree", stdin=lines.encode()).decode().strip()
    for _ in range(3):
        lines = "".join(f"040000 tree {tree}\t{n}\n" for n in range(100))
        tree = git.run("mktree", stdin=lines.encode()).decode().strip()
    commit = git.run("commit-tree", tree, stdin=b"m", settings=["user.name=a", "user.email=a"])
    with pytest.raises(GitError, match="more than 10000"):
        git.read_tree(commit.decode().strip(), most=10_000, depth=4)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"100644 a\0" + b"1" * 20 + b"100644 a\0" + b"2" * 20, "twice", id="a name twice"),
        pytest.param(b"100644 b\0" + b"1" * 20 + b"100644 a\0" + b"2" * 20, "wrong place", id="out of order"),
        pytest.param(b"100644 a\0" + b"1" * 20 + b"40000 a\0" + b"2" * 20, "twice", id="a file and a folder"),
        pytest.param(b"100644 a\0" + b"1" * 19, "damaged", id="cut off"),
        pytest.param(b"100644", "damaged", id="without a name"),
        pytest.param(b" a\0" + b"1" * 20, "damaged", id="without a mode"),
    ],
)
def test_a_damaged_tree_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(GitError, match=words):
        parse_tree(data, "f/", 20)


def test_first_parents_lead_from_the_older_to_the_newer_commit(git: Git) -> None:
    a = git.write_commit({"a": b"1"}, parent=None, message="a")
    b = git.write_commit({"a": b"2"}, parent=a, message="b")
    c = git.write_commit({"a": b"3"}, parent=b, message="c")
    other = git.write_commit({"a": b"4"}, parent=None, message="other")
    assert git.first_parents(a, c) == [b, c]
    assert git.first_parents(c, c) == []
    assert git.first_parents(c, a) is None
    assert git.first_parents(other, c) is None
    assert git.first_parents(a, c, most=1) is None
    assert git.is_ancestor(a, c)
    assert not git.is_ancestor(other, c)


def test_a_commit_that_takes_ours_in_from_the_side_does_not_follow_it(git: Git) -> None:
    ours = git.write_commit({"a": b"1"}, parent=None, message="ours")
    theirs = git.write_commit({"a": b"2"}, parent=None, message="theirs")
    tree = git.read_commit(theirs).tree
    who = ["user.name=a", "user.email=a"]
    merge = git.run("commit-tree", tree, "-p", theirs, "-p", ours, stdin=b"m", settings=who).decode().strip()
    assert git.is_ancestor(ours, merge)
    assert git.first_parents(ours, merge) is None
    assert git.first_parents(theirs, merge) == [merge]


def test_who_signed_a_commit_is_told_by_the_list_of_signers_alone(git: Git, tmp_path: Path) -> None:
    ours, theirs = signing_key(tmp_path, "ours"), signing_key(tmp_path, "theirs")
    allowed = allow(tmp_path, ours)
    signed = git.write_commit({"a": b"1"}, parent=None, message="m", sign_with=ours)
    assert git.signer_of(signed, allowed) == "ours"

    foreign = git.write_commit({"a": b"1"}, parent=None, message="m", sign_with=theirs)
    with pytest.raises(UntrustedError, match="signed by nobody who is trusted"):
        git.signer_of(foreign, allowed)
    plain = git.write_commit({"a": b"1"}, parent=None, message="m")
    with pytest.raises(UntrustedError, match="is not signed"):
        git.signer_of(plain, allowed)


def test_a_signature_over_something_else_is_not_good(git: Git, tmp_path: Path) -> None:
    key = signing_key(tmp_path, "ours")
    signed = git.write_commit({"a": b"1"}, parent=None, message="m", sign_with=key)
    data = git.run("cat-file", "commit", signed).replace(b"\n\nm", b"\n\nn")
    forged = git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=data).decode().strip()
    with pytest.raises(UntrustedError, match="not good"):
        git.signer_of(forged, allow(tmp_path, key))


def test_a_signature_made_for_another_purpose_is_not_good(git: Git, tmp_path: Path) -> None:
    key = signing_key(tmp_path, "ours")
    plain = git.write_commit({"a": b"1"}, parent=None, message="m")
    data = git.run("cat-file", "commit", plain)
    made = subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", key],
        input=data, capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    head, _, message = data.partition(b"\n\n")
    armored = b"\n ".join(made.strip().split(b"\n"))
    data = head + b"\ngpgsig " + armored + b"\n\n" + message
    forged = git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=data).decode().strip()
    with pytest.raises(UntrustedError):
        git.signer_of(forged, allow(tmp_path, key))


def test_another_kind_of_signature_does_not_count_and_starts_no_program(git: Git, tmp_path: Path) -> None:
    plain = git.write_commit({"a": b"1"}, parent=None, message="m")
    head, _, message = git.run("cat-file", "commit", plain).partition(b"\n\n")
    sig = b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----"
    signed = git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=head + sig + b"\n\n" + message)
    with pytest.raises(UntrustedError, match="another kind"):
        git.signer_of(signed.decode().strip(), allow(tmp_path, signing_key(tmp_path, "ours")))


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put a program of another's in the place of git."""
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / "git"
    path.write_text(f"#!{sys.executable} -I\n{text}")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")


def test_the_program_sees_nothing_of_our_environment(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_SSL_CAINFO", "/elsewhere")
    monkeypatch.setenv("SECRET", "do not tell")
    program(tmp_path, monkeypatch, "import os; print(*os.environ)")
    told = git.run("version").decode().split()
    assert "SECRET" not in told
    assert "GIT_SSL_CAINFO" not in told
    assert {"GIT_CONFIG_NOSYSTEM", "GIT_TERMINAL_PROMPT", "GIT_ALLOW_PROTOCOL"} <= set(told)


def test_who_does_not_end_is_ended_with_all_it_started(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        f"import os,time\nos.fork()\nopen({str(tmp_path)!r} + f'/{{os.getpid()}}.pid', 'w')\ntime.sleep(600)"
    )
    program(tmp_path, monkeypatch, text)
    with pytest.raises(GitError, match="not done after") as caught:
        git.run("version", seconds=1.5)
    assert caught.value.retryable
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while any(_lives(pid) for pid in pids) and time.monotonic() < deadline:
        os.sched_yield()
    assert not any(_lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_who_says_more_than_is_accepted_is_ended(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "while True: print('x' * 65536)")
    small = Git(git.directory, output_limit=1000)
    with pytest.raises(GitError, match="more than 1000 bytes"):
        small.run("version")


def test_who_reports_progress_without_end_is_ended(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "import sys\nwhile True: sys.stderr.write('remote: working hard' * 999)")
    with pytest.raises(GitError, match="bytes of progress") as caught:
        git.run("version")
    assert caught.value.code == "git.too-large"


def test_who_reads_nothing_of_what_it_is_handed_holds_nobody_up(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, "print('done')")
    assert git.run("version", stdin=b"x" * 5_000_000) == b"done\n"


def test_a_fetch_of_more_than_may_be_written_is_refused(git: Git, tmp_path: Path) -> None:
    big = git.write_commit({"big": os.urandom(3_000_000)}, parent=None, message="m")
    git.set_ref("refs/heads/desired", big)
    here = Git(tmp_path / "here.git", write_limit=1_000_000)
    here.make()
    with pytest.raises(GitError) as caught:
        here.run("fetch", "-q", f"file://{git.directory}", "refs/heads/desired:refs/heads/desired")
    assert caught.value.code == "git.too-large"
    assert here.commit_of("refs/heads/desired") is None


def test_a_program_that_is_not_installed_is_named(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GitError, match=r"git is needed .* apt-get install git"):
        git.run("version")


@pytest.mark.parametrize(
    ("said", "code", "retryable"),
    [
        ("fatal: Authentication failed for 'https://u:pw@host/x'", "git.denied", False),
        ("fatal: unable to access: The requested URL returned error: 403", "git.denied", False),
        ("fatal: unable to access: The requested URL returned error: 503", "git.unreachable", True),
        ("fatal: Could not resolve host: x", "git.unreachable", True),
        ("fatal: server certificate verification failed.", "git.wrong-server", False),
        ("Host key verification failed.", "git.wrong-server", False),
        ("fatal: couldn't find remote ref refs/heads/desired", "git.no-branch", False),
        ("fatal: repository 'https://host/x' not found", "git.not-found", False),
        ("error: unable to write file: No space left on device", "git.disk-full", True),
        (" ! [rejected] a -> b (fetch first)", "git.raced", True),
        (" ! [remote rejected] a -> b (pre-receive hook declined)", "git.declined", False),
        (
            "remote: permission denied, tls\n ! [remote rejected] a -> b (pre-receive hook declined)",
            "git.declined",
            False,
        ),
        (
            "remote: fatal: No space left on device\n ! [remote rejected] a -> b (unpacker error)",
            "git.declined",
            False,
        ),
        (" ! [remote rejected] a -> b (protected branch hook declined)", "git.declined", False),
        (" ! [remote rejected] a -> b (failed to update ref)", "git.raced", True),
        (
            "error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\n"
            "send-pack: unexpected disconnect while reading sideband packet",
            "git.declined",
            False,
        ),
        ("error: object 12: treeNotSorted; fatal: fsck error in packed object", "git.refused", False),
        ("fatal: what nobody knows", "git.failed", False),
    ],
)
def test_an_error_says_what_it_means_for_whoever_tries_again(said: str, code: str, retryable: bool) -> None:
    error = error_of(("fetch",), 128, said.encode())
    assert (error.code, error.retryable) == (code, retryable)
    assert "pw" not in str(error)


def test_what_a_server_says_is_told_as_one_line_without_controls() -> None:
    told = printable("remote: \x1b[31mred\x07\r\nhint: no\nAuthorization: Bearer abc.def\n" + "x" * 5000)
    assert told.startswith("…")
    assert len(told) <= 601
    assert printable("a\x1b[2Jb\n\nc") == "a [2Jb; c"
    assert "abc" not in printable("Authorization: Basic abc=")
