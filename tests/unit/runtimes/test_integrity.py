"""Hashes of fetched files: any change is found and named."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.agent.runtimes.files import is_full_disk, tells_of_full_disk, write_whole
from edgewright.agent.runtimes.integrity import file_damage, hash_files

NAMES = ("project", "resolved.json")


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    (tmp_path / "project/conf").mkdir(parents=True)
    (tmp_path / "project/empty").mkdir()
    (tmp_path / "project/conf/app.conf").write_text("colour = blue")
    (tmp_path / "project/link").symlink_to("conf/app.conf")
    (tmp_path / "resolved.json").write_text("{}")
    return tmp_path


def test_untouched_files_are_whole(fetched: Path):
    assert file_damage(str(fetched), hash_files(str(fetched), NAMES)) is None


def _relink(fetched: Path) -> None:
    (fetched / "project/link").unlink()
    (fetched / "project/link").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda home: (home / "resolved.json").write_text("[]"), "resolved.json"),
        (lambda home: (home / "resolved.json").write_text(""), "resolved.json"),
        (lambda home: (home / "project/conf/app.conf").unlink(), "project/conf/app.conf"),
        (lambda home: (home / "project/empty").rmdir(), "project/empty/"),
        (_relink, "project/link"),
    ],
)
def test_a_change_is_found_and_named(fetched: Path, change: Callable[[Path], object], named: str):
    expected = hash_files(str(fetched), NAMES)
    change(fetched)
    found = file_damage(str(fetched), expected)
    assert found is not None
    assert found.startswith(f"{named}: ")


def test_files_that_came_besides_are_no_damage(fetched: Path):
    expected = hash_files(str(fetched), NAMES)
    (fetched / "project/written-by-a-container").write_text("data")
    assert file_damage(str(fetched), expected) is None


def test_a_write_that_fails_leaves_nothing_beside_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "file"
    write_whole(str(path), b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_whole(str(path), b"new")
    assert is_full_disk(caught.value)
    assert tells_of_full_disk(f"write /var/lib/x: {caught.value.strerror}")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"
