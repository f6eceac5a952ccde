"""Where branches stand, read from Git's own files: whatever is in them, a commit, nothing, or our error."""

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewright.protocol.repository import CURRENT, DESIRED
from edgewright.server.repositories.bare import Bare, RepositoryError
from edgewright.server.repositories.receiving import RefusedError, check_move, entries_of
from edgewright.server.repositories.refs import Refs, RefTable

ONE, TWO = "1" * 40, "2" * 40
OLD = time.time() - 3600
commits = st.text("0123456789abcdef", min_size=40, max_size=40)
on_disk = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = Bare(tmp_path / "edge-01.git")
    made.create()
    return made.path


def stand(path: Path, text: bytes) -> None:
    """Write a file as if long ago, so that it may be remembered."""
    path.write_bytes(text)
    os.utime(path, (OLD, OLD))
    os.utime(path.parent, (OLD, OLD))


def test_there_is_no_repository_where_there_is_none(tmp_path: Path, repository: Path):
    refs = Refs(tmp_path)
    (tmp_path / "file.git").write_text("")
    assert refs.of("edge-02") is None
    assert refs.of("file") is None
    assert refs.of("edge-01") == RefTable(None, None)
    assert refs.path_of("edge-01") == repository


def test_the_file_of_a_branch_counts_before_what_is_packed(tmp_path: Path, repository: Path):
    (repository / "packed-refs").write_text(
        f"# pack-refs with: peeled fully-peeled sorted\n{ONE} {CURRENT}\n{ONE} {DESIRED}\n"
        f"{TWO} refs/tags/v1\n^{TWO}\n"
    )
    assert Refs(tmp_path).of("edge-01") == RefTable(ONE, ONE)
    (repository / DESIRED).write_text(f"{TWO}\n")
    assert Refs(tmp_path).of("edge-01") == RefTable(TWO, ONE)
    assert RefTable(TWO, ONE).listed() == [(CURRENT, ONE), (DESIRED, TWO)]


def test_a_branch_that_moved_is_seen_whatever_was_remembered(tmp_path: Path, repository: Path):
    refs = Refs(tmp_path)
    stand(repository / DESIRED, f"{ONE}\n".encode())
    assert refs.of("edge-01") == RefTable(ONE, None)
    Bare(repository).move(DESIRED, TWO, expected=ONE)
    assert refs.of("edge-01") == RefTable(TWO, None)
    stand(repository / "packed-refs", f"{TWO} {DESIRED}\n".encode())
    (repository / DESIRED).unlink()
    assert refs.of("edge-01") == RefTable(TWO, None)
    Bare(repository).delete()
    assert refs.of("edge-01") is None


@on_disk
@given(content=st.binary(max_size=120) | commits.map(lambda each: f"{each}\n".encode()))
def test_a_file_of_a_branch_tells_a_commit_or_is_an_error_of_ours(
    content: bytes, tmp_path: Path, repository: Path
):
    (repository / DESIRED).write_bytes(content)
    try:
        table = Refs(tmp_path).of("edge-01")
    except RepositoryError:
        assert not re.fullmatch(rb"[0-9a-f]{40}\n", content)
    else:
        assert table is not None
        assert table.desired == content.decode("ascii").strip()
        assert re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", table.desired)


@on_disk
@given(st.lists(st.tuples(commits | st.text(max_size=50), st.sampled_from([DESIRED, CURRENT, "refs/x", ""]))))
def test_what_is_packed_tells_commits_alone(tmp_path: Path, repository: Path, lines: list[tuple[str, str]]):
    text = "".join(f"{commit} {name}\n" for commit, name in lines)
    (repository / "packed-refs").write_bytes(text.encode("utf-8", "replace"))
    try:
        table = Refs(tmp_path).of("edge-01")
    except RepositoryError:
        return
    assert table is not None
    for name, commit in table.listed():
        assert re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit)
        assert f"{commit} {name}" in text


@pytest.mark.requirement("GR-42")
@given(st.text(), commits, commits | st.just("0" * 40))
def test_a_push_moves_no_branch_but_the_devices_and_deletes_none(name: str, old: str, new: str):
    if name == CURRENT and new.strip("0"):
        return  # whether it builds on what is there is Git's to say
    with pytest.raises(RefusedError):
        check_move(old, new, name)


@pytest.mark.requirement("GR-42")
@pytest.mark.parametrize(
    "name", [DESIRED, "refs/heads/CURRENT", f"{CURRENT}/x", f"{CURRENT} ", "HEAD", "refs/tags/current", ""]
)
def test_names_that_are_nearly_the_devices_branch_are_not(name: str):
    with pytest.raises(RefusedError, match="nothing else"):
        check_move("0" * 40, ONE, name)


@given(st.binary(max_size=300))
def test_a_tree_of_any_bytes_is_read_or_refused(tree: bytes):
    try:
        entries = list(entries_of(tree))
    except ValueError:
        return  # which the hook tells of, and lets nothing pass
    told = b"".join(
        mode + b" " + name.encode("utf-8", "surrogateescape") + b"\0" + bytes.fromhex(item)
        for mode, name, item in entries
    )
    assert told == tree
