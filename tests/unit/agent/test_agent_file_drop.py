"""Approvals by files: questions come out, answers go in, and nothing hostile does any harm."""

import grp
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from edgewright.agent.consent.answers import AnswerError, is_answer, parse_answer
from edgewright.agent.consent.approvals import Approval, Approvals
from edgewright.agent.consent.audit import Audit
from edgewright.agent.consent.file_drop import SETTLED_SECONDS, FileDrop
from edgewright.agent.state.store import Store
from edgewright.protocol.consent import Kind, Verdict

pytestmark = pytest.mark.requirement("S-25")

ID = "11111111-1111-4111-8111-111111111111"
DIGEST = "sha256:" + "a1" * 32
NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
WRITTEN = NOW - 60
GOOD = f"by: Ada\nreason: fine\ndigest: {DIGEST}\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(str(tmp_path / "state.db"))
    yield store
    store.close()


@pytest.fixture
def drop(store: Store, tmp_path: Path) -> FileDrop:
    return FileDrop(
        path=str(tmp_path / "drop"),
        store=store,
        approvals=Approvals(store, lambda: NOW),
        device_id="edge-01",
        zone=UTC,
    )


def ask(drop: FileDrop, name: str = "shop") -> Approval:
    summary = {"components": [{"name": "web", "change": "changed", "from": "1.2.0", "to": "1.3.0"}]}
    approval = drop.approvals.ask(
        deployment_id=ID, name=name, kind=Kind.UPDATE, digest=DIGEST, summary=summary, valid_seconds=1e6
    )
    drop.put_out()
    return approval


def put(drop: FileDrop, name: str, text: str | bytes = GOOD, at: float = WRITTEN) -> Path:
    path = Path(drop.path, name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (at, at))
    return path


def verdict(drop: FileDrop, number: int = 1) -> Verdict:
    return drop.approvals.get(number).verdict


def names(drop: FileDrop, below: str = "") -> list[str]:
    return sorted(each.name for each in Path(drop.path, below).iterdir())


def test_nothing_is_made_while_nothing_is_asked(drop: FileDrop) -> None:
    drop.put_out()
    assert drop.take_in(NOW) is None
    assert not Path(drop.path).exists()


def test_a_question_tells_what_would_change_and_how_to_answer(drop: FileDrop) -> None:
    ask(drop)
    text = Path(drop.path, "001-shop.txt").read_text()
    assert text.startswith(
        "Approval 1: the update of shop to a1a1a1a1a1a1\non device edge-01; asked 2023-11-14"
    )
    assert "    web: 1.2.0 → 1.3.0\n" in text
    assert f"    digest: {DIGEST}\n" in text
    plain = json.loads(Path(drop.path, "001-shop.json").read_text())
    assert (plain["number"], plain["verdict"], plain["summary"]["components"][0]["to"]) == (
        1,
        "asked",
        "1.3.0",
    )


@pytest.mark.parametrize(
    ("name", "text", "outcome"),
    [
        pytest.param("1.approve", GOOD, Verdict.APPROVED, id="approved"),
        pytest.param("001.REJECT", GOOD, Verdict.REJECTED, id="rejected, in capitals"),
        pytest.param(
            "001.postpone.txt",
            b"\xef\xbb\xbfBy: Ada\r\nUntil: 2023-11-16 06:00\r\nDigest: A1A1A1A1A1A1\r\n",
            Verdict.POSTPONED,
            id="postponed, with an editor of Windows",
        ),
        pytest.param(
            "1.approve", f"# {GOOD}by: Ada\n\ndigest: {DIGEST}".encode("utf-16"), Verdict.ASKED, id="not so"
        ),
    ],
)
def test_an_answer_is_taken_in_and_put_away(
    drop: FileDrop, name: str, text: str | bytes, outcome: Verdict
) -> None:
    ask(drop)
    put(drop, name, text)
    assert drop.take_in(NOW) is None
    assert verdict(drop) is outcome
    assert name not in names(drop)
    (done,) = names(drop, "done")
    told = Path(drop.path, "done", done).read_text(errors="replace").splitlines()[0]
    assert told.startswith("2023-11-14 22:13 UTC: ")
    assert (outcome in told) or "refused: " in told


def test_the_same_answer_given_again_later_decides_again(drop: FileDrop) -> None:
    ask(drop)
    for minute, name, outcome in (
        (50, "1.approve", Verdict.APPROVED),
        (40, "1.reject", Verdict.REJECTED),
        (30, "1.approve", Verdict.APPROVED),
    ):
        put(drop, name, at=NOW - 60 * minute)
        drop.take_in(NOW)
        assert verdict(drop) is outcome
    assert len(names(drop, "done")) == 3


def test_questions_of_a_database_that_was_lost_are_taken_back_and_those_of_others_are_not(
    drop: FileDrop, store: Store
) -> None:
    ask(drop)
    put(drop, "003-notes.json", "[]")
    put(drop, "004-press.json", '{"deviceId": "edge-02"}')
    store.connection.execute("DELETE FROM approvals")
    drop.put_out()
    assert names(drop) == ["003-notes.json", "004-press.json"]


def test_a_long_question_is_written_once(drop: FileDrop) -> None:
    approval = ask(drop)
    changed = {"name": "p" * 200, "change": "changed", "from": "a" * 200, "to": "b" * 200}
    drop.approvals.describe(approval.number, {"parameters": [changed] * 100})
    drop.put_out()
    before = Path(drop.path, "001-shop.json").stat()
    assert before.st_size > 16 << 10
    drop.put_out()
    assert Path(drop.path, "001-shop.json").stat() == before


def test_of_several_answers_the_one_written_last_counts(drop: FileDrop) -> None:
    ask(drop)
    put(drop, "1.reject", at=NOW - 120)
    put(drop, "1.approve", at=NOW - 60)
    drop.take_in(NOW)
    assert verdict(drop) is Verdict.APPROVED


def test_who_decided_by_file_is_in_the_audit_log(drop: FileDrop, store: Store) -> None:
    ask(drop)
    put(drop, "1.approve")
    drop.take_in(NOW)
    (entry,) = Audit(store).entries()
    assert (entry.who, entry.via, entry.uid, entry.reason) == ("Ada", "file", os.getuid(), "fine")


def test_an_answer_that_is_being_written_waits_a_moment(drop: FileDrop) -> None:
    ask(drop)
    put(drop, "1.approve", at=NOW)
    assert drop.take_in(NOW) == SETTLED_SECONDS
    assert verdict(drop) is Verdict.ASKED
    assert drop.take_in(NOW + SETTLED_SECONDS) is None
    assert verdict(drop) is Verdict.APPROVED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("by: Ada\n", "'digest: …' is missing", id="no digest"),
        pytest.param("by: Ada\ndigest: sha256:a1a1\n", "'digest: …' is missing", id="too short a digest"),
        pytest.param("by: Ada\ndigest: " + "b2" * 32, "is about sha256:a1", id="another digest"),
        pytest.param(f"digest: {DIGEST}", "'by: …'", id="nobody"),
        pytest.param(f"{GOOD}by: Bob", "two lines with by:", id="twice"),
        pytest.param(f"{GOOD}password: x", "expected lines with", id="something else"),
        pytest.param(b"\xff\xfeb", "no text", id="no text"),
        pytest.param(b"\x80by: Ada", "no text", id="no UTF-8"),
    ],
)
def test_an_answer_that_is_none_decides_nothing_and_is_told(
    drop: FileDrop, store: Store, text: str | bytes, words: str
) -> None:
    ask(drop)
    put(drop, "1.approve", text)
    drop.take_in(NOW)
    assert verdict(drop) is Verdict.ASKED
    (event,) = store.events()
    assert words in event.message
    assert "1.approve" not in names(drop)


def test_a_postponement_without_a_time_is_refused(drop: FileDrop, store: Store) -> None:
    ask(drop)
    put(drop, "1.postpone")
    put(drop, "01.postpone", f"{GOOD}until: some day")
    drop.take_in(NOW)
    assert verdict(drop) is Verdict.ASKED
    assert [each.message.partition("refused: ")[2][:12] for each in store.events()] == [
        "a postponeme",
        "until: 'some",
    ]


def test_hostile_files_are_left_alone_and_told_once(drop: FileDrop, store: Store, tmp_path: Path) -> None:
    ask(drop)
    secret = tmp_path / "secret"
    secret.write_text(GOOD)
    Path(drop.path, "1.approve").symlink_to(secret)
    Path(drop.path, "01.approve").hardlink_to(secret)
    os.mkfifo(Path(drop.path, "001.approve"))
    Path(drop.path, "0001.approve").mkdir()
    put(drop, "00001.approve", b"x" * 100_000)
    put(drop, "notes.txt", "nothing of ours")
    put(drop, "0.approve")
    for _ in range(2):
        assert drop.take_in(NOW) is None
    assert verdict(drop) is Verdict.ASKED
    assert secret.read_text() == GOOD
    assert len(store.events()) == 5
    assert "notes.txt" in names(drop)


def test_a_link_in_the_place_of_a_question_is_not_written_through(drop: FileDrop, tmp_path: Path) -> None:
    ask(drop)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("001-shop.txt", ".001-shop.txt.new"):
        Path(drop.path, name).unlink(missing_ok=True)
        Path(drop.path, name).symlink_to(victim)
    Path(drop.path, "done").symlink_to(tmp_path)
    put(drop, "1.approve")
    drop.put_out()
    drop.take_in(NOW)
    assert victim.read_text() == "mine"
    assert not Path(drop.path, "001-shop.txt").is_symlink()
    assert verdict(drop) is Verdict.APPROVED
    assert "1.approve" not in names(drop)
    assert not list(tmp_path.glob("1.approve*"))


def test_an_answer_on_a_stick_that_cannot_be_written_to_counts_once(
    drop: FileDrop, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(drop)
    put(drop, "1.approve")

    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    for call in ("mkdir", "unlink", "replace"):
        monkeypatch.setattr(os, call, read_only)
    for _ in range(3):
        drop.take_in(NOW)
    assert verdict(drop) is Verdict.APPROVED
    assert len(Audit(store).entries()) == 1


def test_questions_that_do_not_stand_any_more_are_taken_back(drop: FileDrop) -> None:
    approval = ask(drop, "../shop of Ada")
    assert names(drop) == ["001-shop-of-Ada.json", "001-shop-of-Ada.txt"]
    drop.store.connection.execute(
        "UPDATE approvals SET verdict = 'void' WHERE number = ?", (approval.number,)
    )
    put(drop, "001-mine.txt", "somebody's notes")
    drop.put_out()
    assert names(drop) == ["001-mine.txt"]


def test_a_directory_that_cannot_be_made_is_told_once(drop: FileDrop, store: Store) -> None:
    Path(drop.path).write_text("in the way")
    ask(drop)
    drop.put_out()
    assert len(store.events()) == 1


@pytest.mark.parametrize("name", ["approve", "1.approved", "1.approve.txt.exe", "-1.approve", "../1.approve"])
def test_other_names_are_no_answers(name: str) -> None:
    assert not is_answer(name)
    with pytest.raises(AnswerError):
        parse_answer(name, GOOD.encode(), now=NOW, zone=UTC)


def test_the_members_of_a_group_may_answer(drop: FileDrop) -> None:
    own = grp.getgrgid(os.getgid()).gr_name
    ask(replace(drop, group=own))
    assert stat.S_IMODE(Path(drop.path).stat().st_mode) == 0o2770


def test_a_group_that_is_not_there_is_told(drop: FileDrop, store: Store) -> None:
    ask(replace(drop, group="no-such-group-here"))
    assert [each.message.partition(": ")[2] for each in store.events()] == [
        "there is no group no-such-group-here on this machine"
    ]
    assert stat.S_IMODE(Path(drop.path).stat().st_mode) == 0o700
