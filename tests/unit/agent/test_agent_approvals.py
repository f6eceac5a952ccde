"""Approvals, wishes, what is held and the audit log, as the commands of a person see them."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewright.agent.consent import approvals as approvals_module
from edgewright.agent.consent.approvals import Approval, ApprovalError, Approvals, UnknownApprovalError
from edgewright.agent.consent.audit import KEPT, Audit
from edgewright.agent.consent.holds import HeldBack, Holds
from edgewright.agent.consent.wishes import RETRY, WishError, Wishes
from edgewright.agent.state.store import Store
from edgewright.protocol.consent import Kind, Reason, Verdict

ID = "11111111-1111-4111-8111-111111111111"
V1, V2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64
NOW = 1_700_000_000.0
DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(str(tmp_path / "state.db"))
    yield store
    store.close()


def ask(store: Store, **changes: Any) -> Approval:
    facts: dict[str, Any] = {
        "deployment_id": ID,
        "name": "shop",
        "kind": Kind.UPDATE,
        "digest": V2,
        "summary": {"components": []},
        "valid_seconds": 7 * DAY,
    }
    return Approvals(store, lambda: NOW).ask(**{**facts, **changes})


def at(store: Store, now: float = NOW + 60) -> Approvals:
    return Approvals(store, lambda: now)


def held(**changes: Any) -> HeldBack:
    facts: dict[str, Any] = {
        "deployment_id": ID,
        "name": "shop",
        "kind": Kind.UPDATE,
        "digest": V2,
        "reason": Reason.WINDOW,
        "message": "the window opens later",
        "since": NOW,
    }
    return HeldBack(**{**facts, **changes})


def test_what_was_asked_is_open_until_it_does_not_stand_any_more(store: Store) -> None:
    asked = ask(store)
    assert at(store).open() == [asked]
    assert (asked.verdict, asked.asked, asked.is_standing) == (Verdict.ASKED, NOW, True)
    assert asked.subject == "the update of shop to 222222222222"


@pytest.mark.parametrize("verdict", [Verdict.APPROVED, Verdict.POSTPONED, Verdict.REJECTED])
def test_a_decision_tells_who_took_it_when_and_why(store: Store, verdict: Verdict) -> None:
    number = ask(store).number
    decided = at(store).decide(
        number, verdict, by="Ada", via="page", reason="shift", until=NOW + DAY, uid=1000, digest=V2
    )
    assert at(store).get(number) == decided
    assert (decided.verdict, decided.by, decided.via, decided.reason) == (verdict, "Ada", "page", "shift")
    assert decided.decided == NOW + 60
    assert decided.until == (NOW + DAY if verdict is Verdict.POSTPONED else None)
    assert decided.expires == (NOW + 60 + 7 * DAY if verdict is Verdict.APPROVED else None)
    (entry,) = Audit(store).entries()
    assert entry.what == f"{verdict} the update of shop to 222222222222 (approval 1)"
    assert (entry.who, entry.via, entry.uid, entry.reason, entry.at) == (
        "Ada",
        "page",
        1000,
        "shift",
        NOW + 60,
    )


def test_a_person_may_think_again(store: Store) -> None:
    number = ask(store).number
    at(store).decide(number, Verdict.REJECTED, by="Ada", via="page", reason="not in this shift")
    again = at(store).decide(number, Verdict.APPROVED, by="Bob", via="command line")
    assert (again.verdict, again.by, again.reason) == (Verdict.APPROVED, "Bob", "")


@pytest.mark.parametrize(
    ("verdict", "changes", "words"),
    [
        pytest.param(Verdict.USED, {}, "nothing a person decides", id="no decision"),
        pytest.param(Verdict.APPROVED, {"by": " "}, "needs the name", id="nobody"),
        pytest.param(Verdict.REJECTED, {"reason": ""}, "needs a reason", id="no reason"),
        pytest.param(Verdict.POSTPONED, {}, "needs a time", id="no time"),
        pytest.param(Verdict.POSTPONED, {"until": NOW}, "needs a time", id="a time that is over"),
        pytest.param(Verdict.APPROVED, {"digest": V1}, "look at it again", id="another digest"),
    ],
)
def test_a_decision_that_cannot_be_taken_changes_nothing(
    store: Store, verdict: Verdict, changes: dict[str, Any], words: str
) -> None:
    asked = ask(store)
    with pytest.raises(ApprovalError, match=words):
        at(store).decide(asked.number, verdict, **{"by": "Ada", "via": "page", "reason": "r", **changes})
    assert at(store).open() == [asked]
    assert Audit(store).entries() == []


@pytest.mark.parametrize("verdict", [Verdict.VOID, Verdict.USED, Verdict.EXPIRED])
def test_what_does_not_stand_any_more_cannot_be_approved(store: Store, verdict: Verdict) -> None:
    asked = ask(store)
    store.connection.execute("UPDATE approvals SET verdict = ?", (verdict,))
    with pytest.raises(ApprovalError, match=f"approval 1 is {verdict}"):
        at(store).decide(asked.number, Verdict.APPROVED, by="Ada", via="page")
    assert at(store).open() == []


def test_an_unknown_number_is_told(store: Store) -> None:
    with pytest.raises(UnknownApprovalError, match="no approval 7"):
        at(store).get(7)


def test_only_the_last_ones_that_do_not_stand_are_remembered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals_module, "KEPT", 2)
    standing = ask(store)
    for _ in range(4):
        number = ask(store).number
        store.connection.execute("UPDATE approvals SET verdict = 'void' WHERE number = ?", (number,))
    last = ask(store)
    assert [each.number for each in at(store).all()] == [last.number, 5, 4, standing.number]


def test_the_audit_log_is_bounded_and_its_numbers_outlive_the_database(store: Store) -> None:
    log = Audit(store, lambda: NOW)
    for number in range(KEPT + 5):
        log.record(who="Ada", via="page", what=f"did {number}")
    entries = log.entries(KEPT + 100)
    assert len(entries) == KEPT
    assert entries[0].what == f"did {KEPT + 4}"
    assert entries[-1].number > NOW - 1


def test_a_pause_lasts_until_somebody_resumes(store: Store) -> None:
    wishes = Wishes(store, lambda: NOW)
    assert wishes.paused() is None
    paused = wishes.pause(by="Ada", via="page", reason="audit day", until=NOW + DAY)
    assert Wishes(store).paused() == paused
    wishes.resume(by="Bob", via="command line")
    assert wishes.paused() is None
    assert [each.what for each in Audit(store).entries()] == ["resumed all changes", "paused all changes"]
    with pytest.raises(WishError, match="nothing is paused"):
        wishes.resume(by="Bob", via="command line")


def test_nobody_waits_for_a_moment_that_no_calendar_knows(store: Store) -> None:
    number = ask(store).number
    end = 253_402_318_740.0  # 9999-12-31 23:59 in New York
    with pytest.raises(ApprovalError, match="no calendar"):
        Approvals(store, lambda: NOW).decide(
            number, Verdict.POSTPONED, by="Ada", via="file", reason="", until=end
        )
    with pytest.raises(WishError, match="needs an end"):
        Wishes(store, lambda: NOW).pause(by="Ada", via="page", reason="", until=end)


def test_a_pause_without_a_future_is_refused(store: Store) -> None:
    with pytest.raises(WishError, match="to come"):
        Wishes(store, lambda: NOW).pause(by="Ada", via="page", reason="", until=NOW)


def test_an_override_is_about_the_digest_that_is_held(store: Store) -> None:
    approval = ask(store)
    Holds(store).replace([held(approval=approval.number)])
    override = Wishes(store, lambda: NOW).override(ID.upper(), by="Ada", via="page", reason="leak")
    assert (override.deployment_id, override.digest) == (ID, V2)
    assert Wishes(store).overrides() == [override]
    assert at(store).get(approval.number).verdict is Verdict.APPROVED
    whats = [each.what for each in Audit(store).entries()]
    assert "let the update of shop (sha256:222222222222) begin in spite of: the window opens later" in whats


@pytest.mark.parametrize(
    ("deployment_id", "reason", "words"),
    [
        pytest.param("22222222-2222-4222-8222-222222222222", "leak", "nothing of deployment", id="not held"),
        pytest.param(ID, "", "needs a reason", id="no reason"),
    ],
)
def test_an_override_of_nothing_or_for_nothing_is_refused(
    store: Store, deployment_id: str, reason: str, words: str
) -> None:
    Holds(store).replace([held()])
    with pytest.raises(WishError, match=words):
        Wishes(store).override(deployment_id, by="Ada", via="page", reason=reason)
    assert Wishes(store).overrides() == []


@pytest.mark.parametrize(
    "wish",
    [
        lambda wishes: wishes.pause(by="", via="page", reason=""),
        lambda wishes: wishes.resume(by="", via="page"),
        lambda wishes: wishes.override(ID, by="", via="page", reason="r"),
        lambda wishes: wishes.retry([ID], by="", via="page"),
        lambda wishes: wishes.reset_version(by="", via="page"),
    ],
)
def test_nobody_wishes_nothing(store: Store, wish: Callable[[Wishes], object]) -> None:
    with pytest.raises(WishError, match="needs the name"):
        wish(Wishes(store))


def test_another_try_and_a_forgotten_version_are_written_down(store: Store) -> None:
    wishes = Wishes(store)
    wishes.retry([ID], by="Ada", via="command line")
    wishes.reset_version(by="Ada", via="command line", reason="new server")
    assert store.meta(RETRY + ID) == "wished"
    assert [each.what for each in Audit(store).entries()] == [
        "made the device forget the manifest version",
        f"wished another try of deployment {ID}",
    ]


def test_what_is_held_is_written_once(store: Store) -> None:
    holds = Holds(store)
    holds.replace([held()])
    changes = store.connection.total_changes
    holds.replace([held()])
    assert store.connection.total_changes == changes
    assert holds.held() == [held()]
    holds.replace([])
    assert holds.held() == []


def test_a_database_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = str(tmp_path / "state.db")
    Store(path).close()
    with sqlite3.connect(path) as database:
        for table in ("approvals", "overrides", "holds", "audit", "durations"):
            database.execute(f"DROP TABLE {table}")
        database.execute("ALTER TABLE revisions DROP COLUMN begun")
        database.execute("PRAGMA user_version = 2")
    database.close()
    store = Store(path)
    assert ask(store).number == 1
    Wishes(store).pause(by="Ada", via="page", reason="")
    assert Holds(store).held() == []
    store.close()
