"""The name of this agent's containers, and how it comes back when its file is lost."""

import json
from pathlib import Path

import pytest

from edgewright.agent.paths import Paths
from edgewright.agent.runtimes.compose_project import OWNER_LABEL
from edgewright.agent.state.owner import owner_of, restore_owner
from edgewright.agent.state.store import Store


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(str(tmp_path))
    made.make()
    return made


def fetched(paths: Paths, name: str, *, owner: str) -> None:
    directory = Path(paths.component("1" * 8, "sha256:" + "a" * 64, name))
    directory.mkdir(parents=True)
    content = {"services": {name: {"labels": {OWNER_LABEL: owner}}}}
    (directory / "resolved.json").write_text(json.dumps(content))


def restored(paths: Paths) -> tuple[str, list[str]]:
    """Return the name after a restart, and what a person is told."""
    store = Store(paths.database)
    try:
        restore_owner(paths, store)
        messages = [each.message for each in store.events()]
        return owner_of(paths), [each for each in messages if paths.owner in each]
    finally:
        store.close()


def test_it_is_made_once(paths):
    first = restored(paths)
    assert restored(paths) == first
    assert first[1] == []


@pytest.mark.parametrize("left", [None, b"", b"\0" * 13, b"\xff\xfe", b"0123456789ac\n"])
def test_lost_or_damaged_it_comes_from_what_was_fetched_and_is_told(paths, left):
    Path(paths.owner).write_bytes(b"0123456789ab\n")
    fetched(paths, "web", owner="0123456789ab")
    assert restored(paths) == ("0123456789ab", [])
    Path(paths.owner).unlink()
    if left is not None:
        Path(paths.owner).write_bytes(left)
    name, told = restored(paths)
    assert name == "0123456789ab"
    assert len(told) == 1


def test_what_projects_do_not_agree_about_changes_nothing(paths):
    Path(paths.owner).write_bytes(b"0123456789ab\n")
    fetched(paths, "web", owner="0" * 12)
    fetched(paths, "db", owner="1" * 12)
    assert restored(paths) == ("0123456789ab", [])


def test_a_damaged_one_that_nothing_tells_is_made_anew_and_that_is_told(paths):
    Path(paths.owner).write_bytes(b"\xff")
    name, told = restored(paths)
    assert len(name) == 12
    assert "is not known any more" in told[0]
