"""Room that is kept back for a full disk: made where there is plenty, given up once."""

import errno
import os
import sqlite3
from types import SimpleNamespace

import pytest

from edgewright.agent.state import reserve


@pytest.fixture
def room(monkeypatch):
    """Set how many bytes are free."""

    def has(free):
        monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=free, f_frsize=1))

    return has


def test_room_is_kept_back_once_where_there_is_plenty(tmp_path, room):
    room(reserve.PLENTY_BYTES)
    reserve.keep_back(str(tmp_path))
    kept = tmp_path / "reserve"
    assert kept.stat().st_blocks * 512 >= reserve.BYTES
    before = kept.stat().st_ino
    reserve.keep_back(str(tmp_path))
    assert kept.stat().st_ino == before


def test_none_is_kept_back_where_there_is_little(tmp_path, room):
    room(reserve.PLENTY_BYTES - 1)
    reserve.keep_back(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_kept_back_leaves_nothing_behind(tmp_path, room, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    room(reserve.PLENTY_BYTES)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    reserve.keep_back(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert "no room can be kept back" in capsys.readouterr().err


def test_it_is_given_up_once_and_that_is_said(tmp_path, room, capsys):
    room(reserve.PLENTY_BYTES)
    reserve.keep_back(str(tmp_path))
    assert reserve.give_up(str(tmp_path))
    assert "the disk is full" in capsys.readouterr().err
    assert not reserve.give_up(str(tmp_path))


def sqlite_error(kind, code):
    error = kind("arranged")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "free", "full"),
    [
        pytest.param(OSError(errno.ENOSPC, ""), 1 << 30, True, id="no space"),
        pytest.param(OSError(errno.EDQUOT, ""), 1 << 30, True, id="quota"),
        pytest.param(OSError(errno.EIO, ""), 0, False, id="another trouble of the disk"),
        pytest.param(sqlite_error(sqlite3.OperationalError, 13), 1 << 30, True, id="the database says so"),
        pytest.param(sqlite_error(sqlite3.OperationalError, 10), 100, True, id="it cannot be opened"),
        pytest.param(sqlite_error(sqlite3.OperationalError, 10), 1 << 30, False, id="for another reason"),
        pytest.param(sqlite_error(sqlite3.DatabaseError, 11), 0, False, id="it is damaged"),
    ],
)
def test_a_full_disk_is_told_from_other_trouble(tmp_path, room, error, free, full):
    room(free)
    assert reserve.says_full(error, str(tmp_path)) is full
