"""Whole rounds at a site that wants to be asked: what waits, what goes on meanwhile, what is told of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgewright.agent.consent.approvals import Approval, ApprovalError, Approvals
from edgewright.agent.consent.holds import HeldBack, Holds
from edgewright.agent.consent.safekeeping import restore_word, save_word
from edgewright.agent.consent.wishes import Wishes
from edgewright.agent.runtimes import StorageError
from edgewright.agent.state.revisions import Stage
from edgewright.agent.state.store import CLOCK_TRUST, Store
from edgewright.agent.talk.conversation import SUGGESTED
from edgewright.protocol.consent import Kind, Reason, Verdict
from support.bench import ID, OTHER, Bench
from support.foreign_server import deployment_yaml, digest_of

pytestmark = pytest.mark.requirement("S-25")

ASK = "apply: {approval: required, approvalValid: 7d}"
NIGHT = "apply: {windows: ['daily 02:00-05:00 UTC']}"
DAY = 86400.0
HOUR = 3600.0
MIDNIGHT = 1_699_920_000.0  # 2023-11-14 00:00 UTC


def version(tag: str, deployment_id: str = ID, *components: str) -> bytes:
    return deployment_yaml(
        deployment_id,
        components=list(components or ("web",)),
        parameters={"p": {"value": tag, "targets": [{"pointer": "TAG", "components": ["web"]}]}},
    )


V1, V2, V3 = (version(tag) for tag in ("one", "two", "three"))
D1, D2, D3 = (digest_of(each) for each in (V1, V2, V3))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.now = MIDNIGHT + 12 * HOUR
    bench.receive(V1)
    bench.round()
    assert runs(bench) == D1
    return bench


@contextmanager
def opened(bench: Bench) -> Iterator[Store]:
    store = Store(bench.paths.database)
    yield store
    store.close()


def runs(bench: Bench, deployment_id: str = ID, name: str = "web") -> str | None:
    found = bench.runtime.installed.get((deployment_id, name))
    return None if found is None else found.revision


def touched(bench: Bench, act: Callable[[], object]) -> list[str]:
    before = len(bench.runtime.calls)
    act()
    return [what for what, _, _ in bench.runtime.calls[before:] if what in {"apply", "remove", "snapshot"}]


def held(bench: Bench) -> list[HeldBack]:
    with opened(bench) as store:
        return Holds(store).held()


def approvals(bench: Bench) -> list[Approval]:
    with opened(bench) as store:
        return Approvals(store, lambda: bench.now).all()


def decide(bench: Bench, number: int, verdict: Verdict, **how: Any) -> None:
    with opened(bench) as store:
        Approvals(store, lambda: bench.now).decide(
            number, verdict, **{"by": "Ada", "via": "page", "reason": "because", **how}
        )


def wish(bench: Bench, what: Callable[[Wishes], object]) -> None:
    with opened(bench) as store:
        what(Wishes(store, lambda: bench.now))


def error(bench: Bench) -> tuple[str, str]:
    status = bench.last()["status"]
    return status["state"], status["error"]["code"]


def test_an_update_is_fetched_and_waits_until_somebody_approves_it(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    assert touched(bench, bench.round) == []
    assert runs(bench) == D1
    assert (ID, "web", D2) in bench.runtime.fetched
    assert error(bench) == ("pending", "hold.approval")
    (asked,) = approvals(bench)
    assert (asked.kind, asked.digest, asked.verdict) == (Kind.UPDATE, D2, Verdict.ASKED)
    assert asked.summary["parameters"] == [{"name": "p", "change": "changed", "from": "one", "to": "two"}]
    (waits,) = held(bench)
    assert (waits.reason, waits.approval, waits.digest) == (Reason.APPROVAL, asked.number, D2)

    decide(bench, asked.number, Verdict.APPROVED)
    bench.round()
    assert runs(bench) == D2
    assert bench.last()["status"]["state"] == "installed"
    assert approvals(bench)[0].verdict is Verdict.USED
    assert held(bench) == []


def test_a_first_installation_waits_as_well_and_tells_its_images(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.policy = ASK
    bench.receive(V1)
    bench.round()
    assert runs(bench) is None
    (asked,) = approvals(bench)
    assert asked.kind is Kind.INSTALL
    assert asked.summary["images"] == [
        {"name": "web", "change": "added", "to": ["registry.example/web:1.0.0"]}
    ]
    bench.runtime.fetched.clear()
    bench.runtime.unfetchable.add("web")
    bench.round()
    assert approvals(bench) == [asked]
    bench.runtime.unfetchable.clear()
    bench.round()
    assert error(bench) == ("pending", "hold.approval")


def test_what_waits_is_told_once(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    bench.round()
    reports = bench.reports
    for _ in range(3):
        bench.now += HOUR
        bench.round()
    assert bench.reports == reports
    assert len(approvals(bench)) == 1


def test_an_approval_of_one_digest_lets_no_other_through(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    bench.round()
    decide(bench, 1, Verdict.APPROVED)
    bench.receive(V3)
    bench.round()
    assert runs(bench) == D1
    assert [each.verdict for each in approvals(bench)] == [Verdict.ASKED, Verdict.VOID]

    bench.receive(V2)
    bench.round()
    assert runs(bench) == D1, "a void approval came back"
    assert [(each.digest, each.verdict) for each in approvals(bench)] == [
        (D2, Verdict.ASKED),
        (D3, Verdict.VOID),
        (D2, Verdict.VOID),
    ]


def test_an_approval_serves_once(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    bench.round()
    bench.runtime.refused_revisions.add(D2)
    decide(bench, 1, Verdict.APPROVED)
    bench.round()
    assert runs(bench) == D1, "it was rolled back"
    assert bench.last()["status"]["state"] == "failed"

    bench.runtime.refused_revisions.clear()
    bench.round(retry_failed=True)
    assert runs(bench) == D1
    assert [each.verdict for each in approvals(bench)] == [Verdict.ASKED, Verdict.USED]


def test_what_is_postponed_is_asked_again_when_its_time_has_come(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    bench.round()
    decide(bench, 1, Verdict.POSTPONED, until=bench.now + DAY)
    assert bench.round() == pytest.approx(DAY)
    assert error(bench) == ("pending", "hold.postponed")
    bench.now += DAY
    bench.round()
    assert error(bench) == ("pending", "hold.approval")
    (again,) = approvals(bench)
    assert (again.verdict, again.by) == (Verdict.ASKED, "Ada")


def test_what_is_rejected_stays_away_until_somebody_thinks_again(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    bench.round()
    decide(bench, 1, Verdict.REJECTED, reason="too risky")
    bench.round()
    assert error(bench) == ("pending", "hold.rejected")
    assert "too risky" in bench.last()["status"]["error"]["message"]
    decide(bench, 1, Verdict.APPROVED)
    bench.round()
    assert runs(bench) == D2


def test_an_approval_that_is_not_used_expires_and_is_asked_for_anew(bench: Bench) -> None:
    bench.policy = (
        "apply: {approval: required, approvalValid: 1d, windows: ['2023-12-24 00:00 .. 2023-12-25 00:00']}"
    )
    bench.receive(V2)
    bench.round()
    decide(bench, 1, Verdict.APPROVED)
    assert bench.round() == pytest.approx(DAY), "it has to be looked at when the approval expires"
    assert error(bench) == ("pending", "hold.window")
    bench.now += DAY
    bench.round()
    assert error(bench) == ("pending", "hold.approval")
    assert [each.verdict for each in approvals(bench)] == [Verdict.ASKED, Verdict.EXPIRED]


def test_what_runs_is_repaired_while_its_update_waits(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    bench.round()
    bench.runtime.break_down(ID, "web")
    bench.round()
    assert runs(bench) == D1
    assert bench.runtime.installed[ID, "web"].health == "running"
    assert error(bench) == ("pending", "hold.approval")


@pytest.mark.requirement("S-24")
def test_changes_begin_in_the_window_and_not_before(bench: Bench) -> None:
    bench.policy = NIGHT
    bench.receive(V2)
    assert bench.round() == pytest.approx(14 * HOUR)
    assert runs(bench) == D1
    assert error(bench) == ("pending", "hold.window")
    assert "2023-11-15 02:00 UTC" in bench.last()["status"]["error"]["message"]
    bench.now += 14 * HOUR
    bench.round()
    assert runs(bench) == D2


def test_a_window_that_closed_while_it_was_fetched_is_closed(bench: Bench) -> None:
    bench.policy = NIGHT
    bench.now = MIDNIGHT + 4 * HOUR
    fetch = bench.runtime.fetch

    def slow(component: Any) -> None:
        bench.now += 2 * HOUR
        fetch(component)

    bench.runtime.fetch = slow  # type: ignore[method-assign]
    bench.receive(V2)
    bench.round()
    assert (ID, "web", D2) in bench.runtime.fetched
    assert runs(bench) == D1
    assert error(bench) == ("pending", "hold.window")


@pytest.mark.parametrize("prefetch", ["in-window", "['daily 02:00-05:00 UTC']"])
def test_what_it_needs_is_fetched_when_that_is_allowed(bench: Bench, prefetch: str) -> None:
    bench.policy = f"apply: {{approval: required, windows: ['daily 02:00-05:00 UTC'], prefetch: {prefetch}}}"
    bench.receive(V2)
    assert bench.round() == pytest.approx(14 * HOUR)
    assert (ID, "web", D2) not in bench.runtime.fetched
    bench.now += 14 * HOUR
    bench.round()
    assert (ID, "web", D2) in bench.runtime.fetched
    assert runs(bench) == D1


def test_what_took_too_long_the_last_time_waits_for_a_longer_window(bench: Bench) -> None:
    apply = bench.runtime.apply

    def slow(component: Any) -> None:
        bench.now += 2 * HOUR
        apply(component)

    bench.runtime.apply = slow  # type: ignore[method-assign]
    bench.receive(V2)
    bench.round()
    assert runs(bench) == D2
    bench.policy = "apply: {windows: ['daily 02:00-03:00 UTC', 'Sun 02:00-08:00 UTC']}"
    bench.now = MIDNIGHT + DAY + 2 * HOUR
    bench.receive(V3)
    assert bench.round() == pytest.approx(4 * DAY)
    assert error(bench) == ("pending", "hold.too-long")
    bench.now += 4 * DAY
    bench.round()
    assert runs(bench) == D3


def test_a_clock_that_is_not_trusted_opens_no_window(bench: Bench) -> None:
    bench.policy = NIGHT
    bench.now = MIDNIGHT + 3 * HOUR
    bench.receive(V2)
    with opened(bench) as store:
        store.set_meta(CLOCK_TRUST, "it shows 1970")
    assert bench.round() is None
    assert error(bench) == ("pending", "hold.clock")
    with opened(bench) as store:
        store.set_meta(CLOCK_TRUST, "")
    bench.round()
    assert runs(bench) == D2


def test_nothing_begins_while_the_policy_was_never_good(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.policy = "apply: {approval: maybe}"
    bench.receive(V1)
    bench.round()
    assert runs(bench) is None
    assert (ID, "web", D1) not in bench.runtime.fetched
    assert error(bench) == ("pending", "hold.policy")
    assert "$.apply.approval" in bench.last()["status"]["error"]["message"]
    bench.policy = "apply: {approval: automatic}"
    bench.round()
    assert runs(bench) == D1


def test_a_pause_holds_everything_but_what_runs(bench: Bench) -> None:
    wish(bench, lambda wishes: wishes.pause(by="Ada", via="page", reason="audit", until=bench.now + DAY))
    bench.receive(V2)
    assert bench.round() == pytest.approx(DAY)
    assert (ID, "web", D2) not in bench.runtime.fetched
    assert error(bench) == ("pending", "hold.paused")
    bench.runtime.break_down(ID, "web")
    bench.round()
    assert bench.runtime.installed[ID, "web"].health == "running"
    bench.now += DAY
    bench.round()
    assert runs(bench) == D2
    with opened(bench) as store:
        assert Wishes(store).paused() is None


def test_an_override_lets_one_digest_through_everything(bench: Bench) -> None:
    bench.policy = "apply: {approval: required, windows: ['daily 02:00-05:00 UTC']}"
    wish(bench, lambda wishes: wishes.pause(by="Ada", via="page", reason="audit"))
    bench.receive(V2)
    bench.round()
    assert error(bench) == ("pending", "hold.paused")
    wish(bench, lambda wishes: wishes.override(ID, by="Bob", via="page", reason="leak"))
    bench.round()
    assert runs(bench) == D2
    bench.receive(V3)
    bench.round()
    assert runs(bench) == D2
    with opened(bench) as store:
        assert Wishes(store).overrides() == []


def test_an_override_of_one_digest_lets_no_other_through(bench: Bench) -> None:
    bench.policy = NIGHT
    bench.receive(V2)
    bench.round()
    wish(bench, lambda wishes: wishes.override(ID, by="Bob", via="page", reason="leak"))
    bench.receive(V3)
    bench.round()
    bench.receive(V2)
    bench.round()
    assert runs(bench) == D1


def test_a_held_removal_leaves_what_runs_as_it_is_and_repairs_it(bench: Bench) -> None:
    bench.policy = ASK
    reports = bench.reports
    bench.receive()
    assert touched(bench, bench.round) == []
    (asked,) = approvals(bench)
    assert (asked.kind, asked.digest) == (Kind.REMOVE, D1)
    assert [each.kind for each in held(bench)] == [Kind.REMOVE]
    assert bench.reports == reports, "it runs as it did"
    bench.runtime.break_down(ID, "web")
    bench.round()
    assert bench.runtime.installed[ID, "web"].health == "running"
    assert bench.last()["status"]["state"] == "installed"

    decide(bench, asked.number, Verdict.APPROVED)
    bench.round()
    assert runs(bench) is None
    assert bench.last()["status"]["state"] == "removed"
    assert approvals(bench)[0].verdict is Verdict.USED
    assert held(bench) == []


def test_a_removal_that_is_not_wanted_any_more_is_not_asked_about(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive()
    bench.round()
    decide(bench, 1, Verdict.APPROVED)
    bench.receive(V1)
    bench.round()
    assert runs(bench) == D1
    assert bench.last()["status"]["state"] == "installed"
    assert approvals(bench)[0].verdict is Verdict.VOID
    bench.receive()
    bench.round()
    assert runs(bench) == D1


def test_what_is_wanted_again_in_the_middle_of_its_removal_is_asked_about_like_a_first_installation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(deployment_id: str, name: str, directory: str | None = None) -> None:
        raise StorageError("arranged", component=name)

    bench.policy = ASK
    bench.receive(V2)
    bench.round()  # an update is asked about, which then is dropped with all the rest
    bench.receive()
    bench.round()
    decide(bench, approvals(bench)[0].number, Verdict.APPROVED)
    monkeypatch.setattr(bench.runtime, "remove", stuck)
    bench.round()
    assert bench.last()["status"]["state"] == "removing"
    for document in (V1, V3):
        bench.receive(document)
        assert touched(bench, bench.round) == []
        assert error(bench) == ("pending", "hold.approval")
        assert approvals(bench)[0].kind is Kind.INSTALL


def test_what_never_began_is_dropped_without_being_asked_about(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V1, version("one", OTHER))
    bench.round()
    bench.receive(V1)
    bench.round()
    assert held(bench) == []
    assert [each.verdict for each in approvals(bench)] == [Verdict.VOID]
    assert bench.last(OTHER)["status"]["state"] == "removed"


def test_what_has_begun_goes_on_when_the_window_is_closed(bench: Bench) -> None:
    bench.now = MIDNIGHT + 3 * HOUR
    bench.policy = NIGHT
    bench.receive(V2)
    bench.runtime.disk_full = False
    apply = bench.runtime.apply
    down = True

    def interrupted(component: Any) -> None:
        if down:
            bench.runtime.engine_down = True
        apply(component)

    bench.runtime.apply = interrupted  # type: ignore[method-assign]
    bench.round()
    assert bench.revisions()[-1].stage is Stage.APPLYING
    down = bench.runtime.engine_down = False
    bench.now += 12 * HOUR
    bench.round()
    assert runs(bench) == D2


def test_the_last_good_revision_comes_back_without_being_asked_about(bench: Bench) -> None:
    bench.receive(V2)
    bench.runtime.refused_revisions.add(D2)
    apply = bench.runtime.apply

    def interrupted(component: Any) -> None:
        apply(component)
        bench.runtime.engine_down = True

    bench.runtime.apply = interrupted  # type: ignore[method-assign]
    bench.round()
    bench.runtime.engine_down = False
    bench.runtime.apply = apply  # type: ignore[method-assign]
    bench.policy = ASK
    bench.receive(V1)
    bench.round()
    assert runs(bench) == D1
    assert approvals(bench) == []


def test_one_that_waits_keeps_no_other_from_its_change(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2, version("one", OTHER))
    bench.round()
    by_kind = {each.kind: each.number for each in approvals(bench)}
    decide(bench, by_kind[Kind.INSTALL], Verdict.APPROVED)
    bench.round()
    assert (runs(bench), runs(bench, OTHER)) == (D1, digest_of(version("one", OTHER)))


def test_no_approval_is_needed_any_more_when_the_policy_says_so(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    bench.round()
    bench.policy = "apply: {approval: automatic}"
    bench.round()
    assert runs(bench) == D2
    assert approvals(bench)[0].verdict is Verdict.VOID


def test_a_lost_database_lets_nothing_through(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    bench.round()
    decide(bench, 1, Verdict.APPROVED)
    Path(bench.paths.database).unlink()
    bench.round()
    assert runs(bench) == D1
    assert [each.verdict for each in approvals(bench)] == [Verdict.ASKED]


def test_a_lost_database_ends_no_pause_and_forgets_no_policy(bench: Bench) -> None:
    bench.policy = NIGHT
    bench.round()
    wish(bench, lambda wishes: wishes.pause(by="Ada", via="page", reason="audit"))
    with opened(bench) as store:
        store.set_meta(SUGGESTED, "repair: report-only")
    bench.policy = "apply: {windows: ['nonsense']}"
    bench.round()
    Path(bench.paths.database).unlink()
    bench.receive(V2)
    bench.round()
    assert runs(bench) == D1
    assert error(bench) == ("pending", "hold.paused")
    wish(bench, lambda wishes: wishes.resume(by="Ada", via="page"))
    bench.round()
    assert error(bench) == ("pending", "hold.window")
    assert bench.site_report["policy"]["inForce"]["repair"] == "report-only"


def test_a_damaged_copy_of_what_the_site_said_is_as_good_as_none(bench: Bench) -> None:
    wish(bench, lambda wishes: wishes.pause(by="Ada", via="page", reason="audit"))
    bench.round()
    Path(bench.paths.site_word).write_bytes(b"sha256:0\n{}")
    Path(bench.paths.database).unlink()
    bench.round()
    with opened(bench) as store:
        assert Wishes(store).paused() is None


def test_what_another_fleet_manager_suggested_does_not_come_back(bench: Bench, tmp_path: Path) -> None:
    with opened(bench) as store:
        store.set_meta(SUGGESTED, "repair: report-only")
        save_word(bench.paths.site_word, store, "somebody else")
        store.set_meta(SUGGESTED, "")
        assert restore_word(bench.paths.site_word, store, "me")
        assert store.meta(SUGGESTED) == ""
    assert not restore_word(str(tmp_path / "none"), store, "me")


def test_what_stops_is_reported_and_left_when_the_site_repairs_itself(bench: Bench) -> None:
    bench.policy = "repair: report-only"
    bench.runtime.break_down(ID, "web")
    assert touched(bench, bench.round) == []
    assert error(bench) == ("failed", "repair.report-only")
    reports = bench.reports
    assert touched(bench, bench.round) == []
    assert bench.reports == reports
    bench.policy = "repair: automatic"
    bench.round()
    assert bench.last()["status"]["state"] == "installed"


def test_what_runs_in_place_of_what_failed_is_left_as_well(bench: Bench) -> None:
    bench.policy = "repair: report-only"
    bench.runtime.refused_revisions.add(D2)
    bench.receive(V2)
    bench.round()
    assert "is running again" in bench.last()["status"]["error"]["message"]
    bench.runtime.lose(ID, "web")
    assert touched(bench, bench.round) == []
    message = bench.last()["status"]["error"]["message"]
    assert "to run in its place and does not: web not running" in message
    reports = bench.reports
    bench.round()
    assert bench.reports == reports


def test_the_site_report_tells_all_of_it_and_only_news(bench: Bench) -> None:
    bench.policy = "apply: {approval: required, windows: ['daily 02:00-05:00 UTC']}"
    bench.receive(V2)
    bench.round()
    decide(bench, 1, Verdict.POSTPONED, until=bench.now + DAY, by="Ada", reason="shift")
    wish(bench, lambda wishes: wishes.pause(by="Bob", via="command line", reason="audit"))
    bench.round()
    report = bench.site_report
    assert report["deviceId"] == "edge-01"
    assert report["policy"]["inForce"]["apply"]["approval"] == "required"
    assert report["policy"]["origins"]["apply.approval"] == "local"
    assert report["policy"]["origins"]["apply.prefetch"] == "default"
    assert report["paused"] == {"by": "Bob", "reason": "audit", "since": "2023-11-14T12:00:00Z"}
    (waits,) = report["holds"]
    assert (waits["reason"], waits["kind"], waits["digest"]) == ("paused", "update", D2)
    (asked,) = report["approvals"]
    assert (asked["verdict"], asked["by"], asked["until"]) == ("postponed", "Ada", "2023-11-15T12:00:00Z")
    assert asked["summary"]["to"] == D2
    assert [each["who"] for each in report["audit"]] == ["Bob", "Ada"]

    told = bench.told
    bench.now += HOUR
    bench.round()
    assert (bench.site_report, bench.told) == (report, told)


def test_a_report_that_would_be_too_large_leaves_out_summaries(bench: Bench) -> None:
    bench.policy = ASK
    bench.receive(V2)
    bench.round()
    large = {"parameters": [{"name": f"p{each}", "change": "added", "to": "x" * 200} for each in range(100)]}
    with opened(bench) as store:
        log = Approvals(store, lambda: bench.now)
        for _ in range(15):
            gone = log.ask(
                deployment_id=ID, name="app", kind=Kind.UPDATE, digest=D3, summary=large, valid_seconds=1.0
            )
            store.connection.execute("UPDATE approvals SET verdict = 'void' WHERE number = ?", (gone.number,))
    bench.round()
    (asked, *closed) = bench.site_report["approvals"]
    assert asked["summary"]["to"] == D2
    assert [each.get("summary", {}) for each in closed] == [{}] * 15


def test_a_window_that_opened_while_the_round_was_at_work_is_not_missed(bench: Bench) -> None:
    bench.policy = NIGHT
    bench.now = MIDNIGHT + 2 * HOUR - 10
    is_ready = bench.runtime.is_ready

    def slow(component: Any) -> bool:
        if component.revision == D1:  # what runs is looked after last
            bench.now += 20
        return is_ready(component)

    bench.runtime.is_ready = slow  # type: ignore[method-assign]
    bench.receive(V2)
    assert bench.round() == 0.0
    assert runs(bench) == D1
    bench.round()
    assert runs(bench) == D2


@pytest.mark.parametrize("is_removal", [False, True])
def test_what_has_begun_is_decided_about_no_more_and_waits_for_nobody(bench: Bench, is_removal: bool) -> None:
    bench.policy = ASK
    if is_removal:
        bench.receive()
    else:
        bench.receive(V2)
    bench.round()
    (asked,) = approvals(bench)
    decide(bench, asked.number, Verdict.APPROVED)
    seen: list[tuple[Verdict, int]] = []

    def slow(do: Callable[..., Any]) -> Callable[..., Any]:
        def look_meanwhile(*arguments: Any) -> Any:
            with pytest.raises(ApprovalError, match="is used"):
                decide(bench, asked.number, Verdict.REJECTED)
            seen.append((approvals(bench)[0].verdict, len(held(bench))))
            return do(*arguments)

        return look_meanwhile

    name = "remove" if is_removal else "apply"
    setattr(bench.runtime, name, slow(getattr(bench.runtime, name)))
    bench.round()
    assert seen == [(Verdict.USED, 0)]
    assert runs(bench) == (None if is_removal else D2)
