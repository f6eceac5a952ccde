"""What is planned: tables of cases, and what holds for every plan."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.runtimes import Health, ObservedComponent
from edgewright.agent.state.revisions import Failure, Progress, Revision, Stage
from edgewright.agent.work.desired import NOT_AT_HAND, Desired
from edgewright.agent.work.plan import (
    CALM_SECONDS,
    Found,
    Hold,
    Install,
    Refuse,
    Remove,
    Repair,
    RollBack,
    Wait,
    plan,
)
from edgewright.protocol.deployment import ApplicationDeployment
from edgewright.protocol.status import State

ID = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
FAILURE = Failure(code="apply.failed", message="it did not come up")
UNMET = Failure(code="deployment.constraints-unmet", message="no")


def document(components=("web",), deployment_id=ID):
    return ApplicationDeployment.from_plain(
        {
            "id": deployment_id,
            "metadata": {"name": "app", "namespace": "margo", "deviceId": "edge-01"},
            "spec": {
                "applicationId": "app",
                "deploymentProfile": {
                    "type": "compose",
                    "components": [
                        {"name": name, "properties": {"repository": "oci://r/x", "revision": "1.0.0"}}
                        for name in components
                    ],
                },
            },
        }
    )


def desired(digest=A, components=("web",), deployment_id=ID, refusal=None, version=7):
    return Desired(
        deployment_id=deployment_id,
        digest=digest,
        version=version,
        document=document(components, deployment_id),
        refusal=refusal,
    )


def revision(stage, digest=A, components=("web",), deployment_id=ID, **other):
    made = Revision(
        deployment_id=deployment_id,
        digest=digest,
        stage=stage,
        adopted=3,
        name="app",
        components=tuple(Progress(name=name, state=State.PENDING) for name in components),
        verified=int(stage is Stage.INSTALLED),
    )
    return replace(made, **other)


def observed(digest=A, health=Health.RUNNING, components=("web",), deployment_id=ID):
    return {
        (deployment_id, name): ObservedComponent(
            deployment_id=deployment_id, name=name, revision=digest, health=health
        )
        for name in components
    }


def found(known, running, *, kept=(), now=0.0, automatic=True):
    return Found(
        revisions=known,
        observed=running,
        kept={each.key: each for each in kept},
        now=now,
        automatic=automatic,
    )


WANTED = desired()
INSTALLED = revision(Stage.INSTALLED)
FAILED = revision(Stage.FAILED, failure=FAILURE)


@pytest.mark.requirement("DS-18")
@pytest.mark.parametrize(
    ("wanted", "known", "running", "actions"),
    [
        pytest.param([], [], {}, [], id="nothing wanted, nothing there"),
        pytest.param([WANTED], [INSTALLED], observed(), [], id="a state reached needs nothing"),
        pytest.param(
            [WANTED],
            [revision(Stage.ACCEPTED)],
            {},
            [Install(WANTED, revision(Stage.ACCEPTED))],
            id="what is new is installed",
        ),
        *[
            pytest.param(
                [WANTED],
                [revision(stage)],
                observed(),
                [Install(WANTED, revision(stage))],
                id=f"killed while {stage}, it goes on",
            )
            for stage in (Stage.FETCHING, Stage.READY, Stage.APPLYING, Stage.VERIFYING)
        ],
        pytest.param(
            [WANTED],
            [revision(Stage.INSTALLED, digest=B, components=("old", "web")), revision(Stage.ACCEPTED)],
            observed(B, components=("old", "web")),
            [Install(WANTED, revision(Stage.ACCEPTED), ("old",))],
            id="an update knows what it drops",
        ),
        pytest.param([WANTED], [FAILED], {}, [], id="what failed is left alone"),
        pytest.param(
            [WANTED],
            [INSTALLED],
            {},
            [Repair(WANTED, INSTALLED, ("web",))],
            id="what vanished is repaired",
        ),
        *[
            pytest.param(
                [WANTED],
                [INSTALLED],
                observed(health=health),
                [Repair(WANTED, INSTALLED, ("web",))],
                id=f"what is {health} is repaired",
            )
            for health in (Health.STOPPED, Health.FAILED, Health.MISSING)
        ],
        pytest.param(
            [WANTED], [INSTALLED], observed(health=Health.STARTING), [], id="starting is left in peace"
        ),
        pytest.param(
            [WANTED],
            [INSTALLED],
            observed(B),
            [Repair(WANTED, INSTALLED, ("web",))],
            id="another revision running is repaired",
        ),
        pytest.param([WANTED], [INSTALLED], None, [], id="nobody could look: nothing is broken"),
        pytest.param(
            [WANTED],
            [revision(Stage.FAILED, failure=UNMET)],
            {},
            [Install(WANTED, revision(Stage.FAILED, failure=UNMET))],
            id="what was refused is tried once the reason is gone",
        ),
        pytest.param(
            [desired(refusal=UNMET)],
            [revision(Stage.ACCEPTED)],
            {},
            [Refuse(desired(refusal=UNMET), revision(Stage.ACCEPTED), UNMET)],
            id="what cannot run here is refused",
        ),
        pytest.param(
            [desired(refusal=UNMET)],
            [revision(Stage.FAILED, failure=UNMET)],
            {},
            [],
            id="what was refused is refused once",
        ),
        pytest.param(
            [desired(refusal=UNMET)], [INSTALLED], observed(), [], id="what runs is not stopped by a refusal"
        ),
        pytest.param(
            [desired(refusal=Failure(code=NOT_AT_HAND, message="lost"))],
            [INSTALLED],
            observed(),
            [],
            id="what runs does not need its document",
        ),
        pytest.param(
            [desired(refusal=Failure(code=NOT_AT_HAND, message="lost"))],
            [revision(Stage.ACCEPTED)],
            {},
            [Wait(desired(refusal=Failure(code=NOT_AT_HAND, message="lost")), "lost")],
            id="a lost document is waited for",
        ),
    ],
)
def test_plan(wanted, known, running, actions):
    assert plan(wanted, found(known, running), version=7) == actions


@pytest.mark.requirement("OP-19", "ST-21")
def test_a_removal_reports_the_version_that_dropped_it_and_goes_backwards():
    known = revision(Stage.INSTALLED, components=("db", "web"))
    (action,) = plan([], found([known], observed(components=("db", "web", "stray"))), version=9)
    assert isinstance(action, Remove)
    assert action.revision.adopted == 9
    assert action.names == ("stray", "web", "db")
    assert [each.name for each in action.revision.components] == ["db", "web"]


def test_a_removal_begun_keeps_the_version_it_was_begun_with():
    known = revision(Stage.REMOVING, failure=FAILURE)
    (action,) = plan([], found([known], {}), version=9)
    assert isinstance(action, Remove)
    assert action.revision == replace(known, failure=None)


def test_what_runs_and_nobody_remembers_is_removed():
    (action,) = plan([], found([], observed(deployment_id=OTHER)), version=9)
    assert isinstance(action, Remove)
    assert action.revision.deployment_id == OTHER
    assert action.names == ("web",)


def test_removals_come_first_then_the_order_of_the_manifest():
    wanted = [desired(), desired(deployment_id=OTHER)]
    known = [
        revision(Stage.ACCEPTED, deployment_id=OTHER),
        revision(Stage.ACCEPTED),
        revision(Stage.INSTALLED, deployment_id="33333333-3333-4333-8333-333333333333"),
    ]
    actions = plan(wanted, found(known, {}), version=7)
    assert [type(action) for action in actions] == [Remove, Install, Install]
    assert [action.desired.deployment_id for action in actions[1:]] == [ID, OTHER]


stages = st.sampled_from([stage for stage in Stage if stage not in {Stage.REMOVED, Stage.SUPERSEDED}])
healths = st.none() | st.sampled_from(list(Health))


@pytest.mark.requirement("DS-18", "DS-19")
@given(st.lists(st.tuples(st.booleans(), stages, healths), max_size=5))
def test_only_what_the_manifest_leaves_out_is_removed_and_all_of_that(cases):
    wanted, known, running, gone = [], [], {}, set()
    for number, (is_wanted, stage, health) in enumerate(cases):
        deployment_id = f"{number:08d}-1111-4111-8111-111111111111"
        known.append(revision(stage, deployment_id=deployment_id))
        if is_wanted:
            wanted.append(desired(deployment_id=deployment_id))
        else:
            gone.add(deployment_id)
        if health is not None:
            running |= observed(health=health, deployment_id=deployment_id)
    actions = plan(wanted, found(known, running), version=7)
    removed = [action.revision.deployment_id for action in actions if isinstance(action, Remove)]
    assert sorted(removed) == sorted(gone)
    touched = [action.desired.deployment_id for action in actions if not isinstance(action, Remove)]
    assert len(touched) == len(set(touched))


# --- an update and what it may fall back to -----------------------------------------------------------

GOOD = desired(digest=B, components=("old", "web"), version=3)
RUNNING = observed(B, components=("old", "web"))
LATER = 1000.0


def good(stage, **other):
    return revision(stage, digest=B, components=("old", "web"), verified=1, **other)


def wanted_revision(stage, **other):
    return revision(stage, components=("web", "new"), **other)


UPDATE = desired(components=("web", "new"))


@pytest.mark.parametrize(
    ("known", "running", "expected"),
    [
        pytest.param(
            [good(Stage.SUPERSEDED), wanted_revision(Stage.FAILED, failure=FAILURE)],
            observed(A, components=("web", "new")),
            [(RollBack, ("old", "web"), ("new",))],
            id="what failed is rolled back whole",
        ),
        pytest.param(
            [good(Stage.SUPERSEDED), wanted_revision(Stage.ROLLING_BACK, failure=FAILURE)],
            RUNNING,
            [(RollBack, ("old", "web"), ("new",))],
            id="killed on the way back, it goes on",
        ),
        pytest.param(
            [good(Stage.SUPERSEDED), wanted_revision(Stage.ROLLING_BACK, failure=FAILURE)],
            None,
            [(RollBack, ("old", "web"), ("new",))],
            id="nobody could look: the way back is tried",
        ),
        pytest.param(
            [good(Stage.INSTALLED), wanted_revision(Stage.FAILED, failure=FAILURE)],
            RUNNING,
            [(RollBack, (), ())],
            id="what failed before it was begun leaves the rest alone",
        ),
        pytest.param(
            [good(Stage.INSTALLED), wanted_revision(Stage.ROLLED_BACK, failure=FAILURE)],
            RUNNING,
            [],
            id="what was rolled back is left alone",
        ),
        pytest.param(
            [good(Stage.INSTALLED), wanted_revision(Stage.ROLLED_BACK, failure=FAILURE)],
            None,
            [],
            id="and nobody could look",
        ),
        pytest.param(
            [good(Stage.INSTALLED), wanted_revision(Stage.ROLLED_BACK, failure=FAILURE)],
            observed(B, components=("old",)),
            [(RollBack, ("web",), ())],
            id="what runs in its place is repaired",
        ),
        pytest.param(
            [good(Stage.INSTALLED), wanted_revision(Stage.FETCHING)],
            observed(B, components=("old",)),
            [(Repair, ("web",), ()), (Install, (), ("old",))],
            id="what runs is repaired before what may take for ever",
        ),
        pytest.param(
            [good(Stage.INSTALLED), wanted_revision(Stage.FETCHING)],
            RUNNING,
            [(Install, (), ("old",))],
            id="what runs is left alone",
        ),
        pytest.param(
            [good(Stage.SUPERSEDED), wanted_revision(Stage.APPLYING)],
            observed(A),
            [(Install, (), ("old",))],
            id="what was begun goes on",
        ),
    ],
)
def test_plan_of_an_update(known, running, expected):
    actions = plan([UPDATE], found(known, running, kept=[GOOD], now=LATER), version=7)
    assert [shape(action) for action in actions] == expected


def shape(action):
    """An action in short: what it is, what it brings up, what it takes away."""
    names = {Repair: "broken", RollBack: "names", Hold: "names"}.get(type(action))
    return type(action), getattr(action, names) if names else (), getattr(action, "dropped", ())


@pytest.mark.parametrize(
    ("stage", "kinds"), [(Stage.SUPERSEDED, []), (Stage.INSTALLED, [RollBack])], ids=["begun", "not begun"]
)
def test_without_automatic_roll_back_what_was_begun_stays_as_it_is(stage, kinds):
    known = [good(stage), wanted_revision(Stage.FAILED, failure=FAILURE)]
    actions = plan([UPDATE], found(known, RUNNING, kept=[GOOD], automatic=False), version=7)
    assert [type(action) for action in actions] == kinds


def test_a_lost_document_of_the_last_good_revision_is_waited_for_and_no_older_one_is_taken():
    oldest = revision(Stage.SUPERSEDED, digest="sha256:" + "c" * 64, verified=1)
    known = [oldest, good(Stage.SUPERSEDED), wanted_revision(Stage.FAILED, failure=FAILURE)]
    known[1] = replace(known[1], verified=2)
    (action,) = plan([UPDATE], found(known, {}), version=7)
    assert isinstance(action, Wait)


@given(st.integers(1, 12), st.integers(0, 1200))
def test_a_repair_waits_for_its_time_and_never_longer_than_the_longest_pause(tries, passed):
    known = replace(INSTALLED, attempts=tries, changed=LATER)
    (action,) = plan([WANTED], found([known], {}, now=LATER + passed), version=7)
    if passed >= CALM_SECONDS:
        assert isinstance(action, Repair)
        assert action.tries == 1
    elif isinstance(action, Hold):
        assert 0 < action.seconds <= 300 - passed
    else:
        assert isinstance(action, Repair)
        assert action.tries == tries + 1
        assert passed >= min(2**tries, 300)


every_stage = st.sampled_from([stage for stage in Stage if stage is not Stage.REMOVED])
somebody_looked = st.none() | st.dictionaries(
    st.sampled_from(["old", "web", "new"]), st.tuples(st.sampled_from([A, B]), st.sampled_from(list(Health)))
)


@given(every_stage, st.sampled_from([Stage.SUPERSEDED, Stage.INSTALLED, Stage.FAILED]), somebody_looked)
def test_whatever_was_found_the_last_good_revision_is_never_taken_away(stage, good_stage, looked):
    """Only what it does not have may go, and only its failed successor's or when it is left for good."""
    running = None
    if looked is not None:
        running = {
            (ID, name): ObservedComponent(deployment_id=ID, name=name, revision=digest, health=health)
            for name, (digest, health) in looked.items()
        }
    known = [good(good_stage), wanted_revision(stage, failure=FAILURE)]
    for action in plan([UPDATE], found(known, running, kept=[GOOD], now=LATER), version=7):
        assert not isinstance(action, Remove)
        if isinstance(action, RollBack) or (isinstance(action, Repair) and action.desired == GOOD):
            assert not set(action.dropped) & {"old", "web"}
        if isinstance(action, Install):
            assert action.desired == UPDATE
            assert action.good == GOOD
            assert stage not in {Stage.FAILED, Stage.ROLLING_BACK, Stage.ROLLED_BACK}
