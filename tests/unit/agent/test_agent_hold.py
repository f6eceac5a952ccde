"""May this begin now? And what becomes of what a person said: tables, and what holds for all of them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.consent.approvals import Approval
from edgewright.agent.consent.hold import Held, Interval, Subject, Terms, hold, hold_fetch
from edgewright.agent.consent.settle import Scene, settled, still_counts
from edgewright.agent.consent.wishes import OVERRIDE_SECONDS, Override, Pause
from edgewright.agent.state.revisions import Failure, Progress, Revision, Stage
from edgewright.protocol.consent import Kind, Reason, Verdict
from edgewright.protocol.status import State

pytestmark = pytest.mark.requirement("S-24")

ID = "11111111-1111-4111-8111-111111111111"
V1, V2, V3 = ("sha256:" + each * 64 for each in "123")
NOW = 1_700_000_000.0  # 2023-11-14 22:13 UTC
HOUR = 3600.0
OPEN: Interval = (NOW - HOUR, NOW + HOUR)
LATER: Interval = (NOW + 10 * HOUR, NOW + 11 * HOUR)
LONG: Interval = (NOW + 20 * HOUR, NOW + 30 * HOUR)


def subject(**changes: Any) -> Subject:
    facts: dict[str, Any] = {"deployment_id": ID, "name": "shop", "kind": Kind.UPDATE, "digest": V2}
    return Subject(**{**facts, **changes})


def approval(verdict: Verdict = Verdict.ASKED, **changes: Any) -> Approval:
    facts: dict[str, Any] = {
        "number": 3,
        "deployment_id": ID,
        "name": "shop",
        "kind": Kind.UPDATE,
        "digest": V2,
        "asked": NOW - HOUR,
        "valid_seconds": 2 * HOUR,
        "summary": {},
        "verdict": verdict,
        "by": "" if verdict is Verdict.ASKED else "Ada",
    }
    if verdict is Verdict.APPROVED:
        facts |= {"decided": NOW - HOUR, "expires": NOW + HOUR}
    if verdict is Verdict.POSTPONED:
        facts |= {"decided": NOW - HOUR, "until": NOW + HOUR}
    return Approval(**{**facts, **changes})


PAUSE = Pause(by="Ada", reason="audit day", since=NOW - HOUR)
REQUIRED = Terms(approval=True)


@pytest.mark.parametrize(
    ("terms", "given_approval"),
    [
        pytest.param(Terms(), None, id="nothing is laid down"),
        pytest.param(Terms(), approval(Verdict.REJECTED), id="no approval is needed any more"),
        pytest.param(Terms(windows=[OPEN]), None, id="the window is open"),
        pytest.param(Terms(windows=[(NOW, NOW + 1)]), None, id="the window opens this moment"),
        pytest.param(REQUIRED, approval(Verdict.APPROVED), id="approved"),
        pytest.param(Terms(distrust="it is 1970"), None, id="nothing depends on the clock"),
        pytest.param(
            replace(REQUIRED, distrust="it is 1970"),
            approval(Verdict.APPROVED, expires=NOW - 1),
            id="a clock that is not trusted lets nothing expire",
        ),
        pytest.param(Terms(pause=replace(PAUSE, until=NOW)), None, id="the pause is over"),
        pytest.param(Terms(windows=[OPEN], prefetch=[LATER]), None, id="what it needs is fetched elsewhere"),
    ],
)
def test_it_may_begin(terms: Terms, given_approval: Approval | None) -> None:
    assert hold(subject(), terms, given_approval, NOW) is None


@pytest.mark.parametrize(
    ("terms", "given_approval", "held"),
    [
        pytest.param(
            Terms(problem="policy.yaml:3: no", pause=PAUSE),
            None,
            Held(
                reason=Reason.POLICY,
                message="the site's policy cannot be read, and there was none before: policy.yaml:3: no",
            ),
            id="no policy",
        ),
        pytest.param(
            Terms(pause=PAUSE, approval=True),
            None,
            Held(reason=Reason.PAUSED, message="Ada paused all changes: audit day"),
            id="paused",
        ),
        pytest.param(
            Terms(pause=replace(PAUSE, reason="", until=NOW + HOUR)),
            None,
            Held(
                reason=Reason.PAUSED,
                message="Ada paused all changes until 2023-11-14 23:13 UTC",
                until=NOW + HOUR,
            ),
            id="paused for an hour",
        ),
        pytest.param(
            Terms(pause=replace(PAUSE, until=NOW - HOUR), distrust="it is 2040"),
            None,
            Held(
                reason=Reason.PAUSED,
                message="Ada paused all changes until 2023-11-14 21:13 UTC: audit day",
                until=NOW - HOUR,
            ),
            id="a clock that is not trusted ends no pause",
        ),
        pytest.param(
            REQUIRED,
            approval(),
            Held(
                reason=Reason.APPROVAL,
                message="the update needs the approval of somebody on site"
                " (approval 3, asked 2023-11-14 21:13 UTC)",
                approval=3,
            ),
            id="asked",
        ),
        pytest.param(
            replace(REQUIRED, windows=[LATER]),
            approval(Verdict.POSTPONED, reason="shift"),
            Held(
                reason=Reason.POSTPONED,
                message="Ada postponed the update until 2023-11-14 23:13 UTC (approval 3): shift",
                until=NOW + HOUR,
                approval=3,
            ),
            id="postponed",
        ),
        pytest.param(
            REQUIRED,
            approval(Verdict.REJECTED, reason="too risky"),
            Held(
                reason=Reason.REJECTED,
                message="Ada rejected the update (approval 3): too risky",
                approval=3,
            ),
            id="rejected",
        ),
        pytest.param(
            Terms(windows=[OPEN], distrust="it is 1970"),
            None,
            Held(
                reason=Reason.CLOCK,
                message="the clock of this device is not trusted (it is 1970), so no maintenance window is"
                " known to be open",
            ),
            id="a clock that is not trusted opens no window",
        ),
        pytest.param(
            Terms(windows=[LATER, LONG]),
            None,
            Held(
                reason=Reason.WINDOW,
                message="the update may begin in the maintenance window that opens 2023-11-15 08:13 UTC",
                until=LATER[0],
            ),
            id="outside the window",
        ),
        pytest.param(
            Terms(windows=[(NOW - HOUR, NOW)]),
            None,
            Held(
                reason=Reason.WINDOW,
                message="the policy has no maintenance window within a year;"
                " 'edgewright agent apply-now' lets it begin in spite of that",
            ),
            id="the last window has closed",
        ),
    ],
)
def test_it_may_not_begin(terms: Terms, given_approval: Approval | None, held: Held) -> None:
    assert hold(subject(), terms, given_approval, NOW) == held


@pytest.mark.parametrize(
    ("seconds", "windows", "reason", "until"),
    [
        pytest.param(HOUR, [OPEN, LATER], None, None, id="just long enough"),
        pytest.param(HOUR + 1, [OPEN, LATER, LONG], Reason.TOO_LONG, LONG[0], id="the next long one"),
        pytest.param(HOUR + 1, [LATER, LONG], Reason.TOO_LONG, LONG[0], id="the next one is too short"),
        pytest.param(HOUR / 2, [LATER, LONG], Reason.WINDOW, LATER[0], id="the next one is long enough"),
        pytest.param(99 * HOUR, [OPEN, LONG], Reason.TOO_LONG, None, id="none is ever long enough"),
    ],
)
def test_what_would_not_be_done_in_time_waits_for_a_window_that_is_long_enough(
    seconds: float, windows: list[Interval], reason: Reason | None, until: float | None
) -> None:
    held = hold(subject(seconds=seconds), Terms(windows=windows), None, NOW)
    assert (None if held is None else (held.reason, held.until)) == (
        None if reason is None else (reason, until)
    )
    if held is not None and until is None:
        assert held.message == (
            "the update took 5940 minutes the last time, and no maintenance window is that long;"
            " 'edgewright agent apply-now' lets it begin in spite of that"
        )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(approval(Verdict.APPROVED, digest=V3), id="another digest"),
        pytest.param(approval(Verdict.APPROVED, kind=Kind.REMOVE), id="its removal"),
        pytest.param(approval(Verdict.APPROVED, deployment_id=ID[::-1]), id="another deployment"),
        pytest.param(approval(Verdict.APPROVED, expires=NOW), id="expired"),
    ],
)
def test_an_approval_of_something_else_lets_nothing_through(other: Approval) -> None:
    held = hold(subject(), REQUIRED, other, NOW)
    assert held is not None
    assert held.reason is Reason.APPROVAL


@pytest.mark.parametrize(
    ("terms", "given_approval", "reason", "until"),
    [
        pytest.param(Terms(), None, None, None, id="always"),
        pytest.param(replace(REQUIRED, windows=[LATER]), approval(), None, None, id="while it waits"),
        pytest.param(Terms(prefetch=[OPEN]), None, None, None, id="in its time"),
        pytest.param(Terms(prefetch=[LATER]), None, Reason.WINDOW, LATER[0], id="not in its time"),
        pytest.param(Terms(prefetch=[]), None, Reason.WINDOW, None, id="never"),
        pytest.param(Terms(prefetch=[OPEN], distrust="it is 1970"), None, Reason.CLOCK, None, id="no clock"),
        pytest.param(Terms(distrust="it is 1970"), None, None, None, id="always, by any clock"),
        pytest.param(Terms(pause=PAUSE), None, Reason.PAUSED, None, id="paused"),
        pytest.param(REQUIRED, approval(Verdict.REJECTED), Reason.REJECTED, None, id="rejected"),
        pytest.param(Terms(problem="broken"), None, Reason.POLICY, None, id="no policy"),
    ],
)
def test_when_what_it_needs_may_be_fetched(
    terms: Terms, given_approval: Approval | None, reason: Reason | None, until: float | None
) -> None:
    held = hold_fetch(subject(), terms, given_approval, NOW)
    assert (held and held.reason, held and held.until) == (reason, until)


@st.composite
def windows_in_order(draw: st.DrawFn) -> list[Interval]:
    bounds = draw(st.lists(st.integers(-50, 50), unique=True, max_size=12).map(sorted))
    return [(NOW + start, NOW + end) for start, end in zip(bounds[::2], bounds[1::2], strict=False)]


@given(windows=windows_in_order(), seconds=st.none() | st.integers(0, 60), now=st.integers(-60, 60))
def test_what_begins_ends_in_a_window_and_what_waits_waits_no_longer_than_it_must(
    windows: list[Interval], seconds: int | None, now: int
) -> None:
    moment, needed = NOW + now, float(seconds or 0)

    def fits(begin: float) -> bool:
        return any(start <= begin < end and begin + needed <= end for start, end in windows)

    held = hold(subject(seconds=seconds), Terms(windows=windows), None, moment)
    if held is None:
        assert fits(moment)
    elif held.until is None:
        assert not any(fits(NOW + each) for each in range(now, 61))
    else:
        assert fits(held.until)
        assert not any(fits(NOW + each) for each in range(now, int(held.until - NOW)))
        assert hold(subject(seconds=seconds), Terms(windows=windows), None, held.until) is None


# --- what becomes of what a person said ------------------------------------------------------------


def revision(digest: str, stage: Stage, **changes: Any) -> Revision:
    components = (Progress(name="web", state=State.PENDING),)
    facts: dict[str, Any] = {"adopted": 1, "name": "shop", "components": components}
    return Revision(deployment_id=ID, digest=digest, stage=stage, **{**facts, **changes})


RUNS = revision(V1, Stage.INSTALLED, verified=1)
REFUSED = Failure(code="deployment.constraints-unmet", message="too small")
UPDATE = Scene(wanted={ID: V2}, revisions=(RUNS, revision(V2, Stage.READY)), removals={})
REMOVAL = Scene(wanted={}, revisions=(RUNS,), removals={ID: V1})


def staged(stage: Stage, **changes: Any) -> Scene:
    return replace(UPDATE, revisions=(RUNS, revision(V2, stage, **changes)))


@pytest.mark.parametrize(
    ("scene", "terms", "before", "verdict"),
    [
        (UPDATE, REQUIRED, approval(), Verdict.ASKED),
        (UPDATE, REQUIRED, approval(Verdict.APPROVED), Verdict.APPROVED),
        (UPDATE, REQUIRED, approval(Verdict.REJECTED), Verdict.REJECTED),
        (UPDATE, REQUIRED, approval(Verdict.POSTPONED), Verdict.POSTPONED),
        (UPDATE, REQUIRED, approval(Verdict.POSTPONED, until=NOW), Verdict.ASKED),
        (UPDATE, replace(REQUIRED, distrust="?"), approval(Verdict.POSTPONED, until=NOW), Verdict.POSTPONED),
        (UPDATE, REQUIRED, approval(Verdict.APPROVED, expires=NOW), Verdict.EXPIRED),
        (UPDATE, replace(REQUIRED, distrust="?"), approval(Verdict.APPROVED, expires=NOW), Verdict.APPROVED),
        (UPDATE, Terms(), approval(), Verdict.VOID),
        (UPDATE, Terms(problem="broken"), approval(), Verdict.ASKED),
        (UPDATE, REQUIRED, approval(digest=V3), Verdict.VOID),
        (UPDATE, REQUIRED, approval(Verdict.APPROVED, digest=V3), Verdict.VOID),
        (REMOVAL, REQUIRED, approval(Verdict.APPROVED), Verdict.VOID),
        (replace(UPDATE, revisions=(RUNS,)), REQUIRED, approval(Verdict.APPROVED), Verdict.APPROVED),
        (staged(Stage.FAILED, failure=REFUSED), REQUIRED, approval(Verdict.APPROVED), Verdict.APPROVED),
        (staged(Stage.APPLYING), REQUIRED, approval(Verdict.APPROVED), Verdict.USED),
        (staged(Stage.APPLYING), REQUIRED, approval(), Verdict.VOID),
        (staged(Stage.INSTALLED, verified=2), REQUIRED, approval(Verdict.APPROVED), Verdict.USED),
        (staged(Stage.ROLLED_BACK), REQUIRED, approval(Verdict.APPROVED), Verdict.USED),
        (REMOVAL, REQUIRED, approval(kind=Kind.REMOVE, digest=V1), Verdict.ASKED),
        (REMOVAL, REQUIRED, approval(Verdict.APPROVED, kind=Kind.REMOVE, digest=V1), Verdict.APPROVED),
        (REMOVAL, REQUIRED, approval(Verdict.APPROVED, kind=Kind.REMOVE, digest=V2), Verdict.VOID),
        (UPDATE, REQUIRED, approval(Verdict.APPROVED, kind=Kind.REMOVE, digest=V1), Verdict.VOID),
        (
            replace(REMOVAL, revisions=(replace(RUNS, stage=Stage.REMOVING),)),
            REQUIRED,
            approval(Verdict.APPROVED, kind=Kind.REMOVE, digest=V1),
            Verdict.USED,
        ),
        (
            Scene(wanted={}, revisions=(), removals={}),
            REQUIRED,
            approval(Verdict.APPROVED, kind=Kind.REMOVE, digest=V1),
            Verdict.USED,
        ),
    ],
)
def test_what_becomes_of_an_approval(scene: Scene, terms: Terms, before: Approval, verdict: Verdict) -> None:
    assert settled(before, scene, terms, NOW).verdict is verdict


def test_an_approval_by_a_clock_that_was_ahead_lasts_no_longer_than_others() -> None:
    ahead = approval(Verdict.APPROVED, decided=NOW + 1000 * HOUR, expires=NOW + 1002 * HOUR)
    after = settled(ahead, UPDATE, REQUIRED, NOW)
    assert (after.verdict, after.decided, after.expires) == (Verdict.APPROVED, NOW, NOW + 2 * HOUR)


def override(**changes: Any) -> Override:
    facts: dict[str, Any] = {"deployment_id": ID, "kind": Kind.UPDATE, "digest": V2, "at": NOW}
    return Override(by="Ada", via="page", reason="leak", **{**facts, **changes})


@pytest.mark.parametrize(
    ("scene", "given_override", "counts"),
    [
        pytest.param(UPDATE, override(), True, id="it waits"),
        pytest.param(UPDATE, override(digest=V3), False, id="something else is wanted"),
        pytest.param(staged(Stage.VERIFYING), override(), False, id="it has begun"),
        pytest.param(UPDATE, override(at=NOW - OVERRIDE_SECONDS), False, id="it was long ago"),
        pytest.param(REMOVAL, override(kind=Kind.REMOVE, digest=V1), True, id="a removal"),
        pytest.param(REMOVAL, override(kind=Kind.REMOVE, digest=V2), False, id="something else runs"),
    ],
)
def test_whether_an_override_still_counts(scene: Scene, given_override: Override, counts: bool) -> None:
    assert still_counts(given_override, scene, REQUIRED, NOW) is counts
