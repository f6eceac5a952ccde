"""Assignments become deployments: what was shown beforehand, once, and nothing else (spec: MAT-2, CFG-3)."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol import yaml
from edgewright.server.domain.assignments import parse_spec
from edgewright.server.domain.fitting import Fit, Misfit
from edgewright.server.errors import ConflictError, InvalidError, NotFoundError
from edgewright.server.fleet import assignments, catalogue, deploying, membership, placing
from edgewright.server.fleet.placing import Action, MisfitError, Plan
from edgewright.server.store.assignments import AssignmentRecord
from support.fleet_store import (
    NOW,
    Step,
    add_device,
    add_package,
    description,
    make_store,
    roll_out,
    rows,
    run,
)

DEVICES = {
    "b1": {"site": "berlin", "line": 1},
    "b2": {"site": "berlin", "line": 2},
    "p1": {"site": "paris", "spare": True},
}
WHO = "operator ada"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two versions of a package and three devices, to be copied."""
    path = tmp_path_factory.mktemp("placing") / "fleet.db"
    newer = description("2.0.0")
    newer["parameters"]["greeting"]["value"] = "good day"
    newer["parameters"]["site"]["value"] = "unknown"
    make_store(path, DEVICES, [description(), newer])
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(template, tmp_path))


def spec(**members: Any) -> dict[str, Any]:
    return {"version": "1.0.0", "target": {"all": True}, **members}


def put(name: str = "shop", **members: Any) -> Step:
    async def step(connection: AsyncConnection) -> tuple[AssignmentRecord, Plan]:
        prepared = await assignments.prepare(connection, name, "shop", parse_spec(spec(**members)))
        record = await assignments.put(connection, prepared, actor=WHO, now=NOW)
        await roll_out(connection)
        return record, prepared.plan

    return step


def show(**members: Any) -> Step:
    """Only look."""

    async def step(connection: AsyncConnection) -> Plan:
        prepared = await assignments.prepare(connection, "shop", "shop", parse_spec(spec(**members)))
        return prepared.plan

    return step


async def delete(connection: AsyncConnection) -> AssignmentRecord:
    prepared = await assignments.prepare_deletion(connection, "shop")
    record = await assignments.delete(connection, prepared, actor=WHO, now=NOW)
    await roll_out(connection)
    return record


def revert(number: int) -> Step:
    async def step(connection: AsyncConnection) -> AssignmentRecord:
        prepared = await assignments.prepare_revert(connection, "shop", number)
        record = await assignments.put(connection, prepared, actor=WHO, now=NOW)
        await roll_out(connection)
        return record

    return step


def actions(plan: Plan) -> dict[str, str]:
    return {one.client_id: one.action.value for one in plan.devices}


def served(path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return version and values that each device is told to have, by client id."""
    query = (
        "SELECT d.client_id, d.version, t.body FROM deployments d JOIN documents t"
        " ON t.deployment_id = d.id AND t.digest = d.digest WHERE d.deleted IS NULL"
    )
    found = {}
    for client_id, version, body in rows(path, query):
        parameters = yaml.load(body, source="document")["spec"]["parameters"]
        found[client_id] = (version, {name: one["value"] for name, one in parameters.items()})
    return found


DEFAULTS = {"greeting": "hello", "interval": 30, "mode": "slow", "sensors": ["a"]}


@pytest.mark.requirement("CFG-1", "MAT-2", "AD-1")
def test_every_selected_device_gets_its_own_values(path: Path) -> None:
    _, plan = run(
        path,
        put(
            target={"selector": "site in (berlin, paris)"},
            parameters={"interval": 5, "site": "plant"},
            groups=[{"selector": "line=2", "parameters": {"interval": 7}}],
            devices={"p1": {"sensors": ["b", "c"], "interval": None}},
        ),
    )[0]
    assert actions(plan) == {"b1": "create", "b2": "create", "p1": "create"}
    assert served(path) == {
        "b1": ("1.0.0", {**DEFAULTS, "interval": 5, "site": "plant"}),
        "b2": ("1.0.0", {**DEFAULTS, "interval": 7, "site": "plant"}),
        "p1": ("1.0.0", {**DEFAULTS, "sensors": ["b", "c"], "site": "plant"}),
    }
    assert rows(path, "SELECT DISTINCT name FROM deployments") == [("shop",)]


def test_looking_changes_nothing_and_says_what_would_change(path: Path) -> None:
    run(path, put(parameters={"interval": 5}))
    before = served(path)
    (plan,) = run(
        path,
        show(
            version="2.0.0",
            target={"devices": ["b1", "p1"]},
            parameters={"interval": 5},
            devices={"p1": {"mode": "fast"}},
        ),
    )
    assert actions(plan) == {"b1": "change", "b2": "remove", "p1": "change"}
    assert dict(plan.counts) == {"create": 0, "change": 2, "remove": 1, "unchanged": 0, "misfit": 0}
    (last,) = [one for one in plan.devices if one.client_id == "p1"]
    assert (last.before.version, last.before.profile_id) == ("1.0.0", "compose")
    assert [(one.name, one.before, one.after, one.origin.kind.value) for one in last.parameter_changes()] == [
        ("greeting", "hello", "good day", "package"),
        ("mode", "slow", "fast", "device"),
        ("site", None, "unknown", "package"),
    ]
    assert served(path) == before


@pytest.mark.requirement("MAT-2", "MAT-4")
def test_a_device_that_does_not_fit_is_left_out_with_the_reason(path: Path) -> None:
    constrained = description("3.0.0")
    constrained["deploymentProfiles"][0]["deviceConstraints"] = {
        "capacityRequirements": {"memory": "6Gi"},
        "eligibilityRules": [
            {"labelSelector": {"matchExpressions": [{"key": "site", "operator": "In", "values": ["berlin"]}]}}
        ],
    }

    _, _, (record, plan) = run(
        path,
        add_package(constrained),
        add_device("b1", {"site": "berlin"}, memory="1Gi"),
        put(version="3.0.0"),
    )
    assert actions(plan) == {"b1": "misfit", "b2": "create", "p1": "misfit"}
    reasons = {one.client_id: [r.message for r in one.misfit.reasons] for one in plan.of(Action.MISFIT)}
    assert reasons["b1"] == [
        "compose: memory: 6Gi needed, 1Gi offered",
        "helm: b1 supports compose, not helm",
    ]
    assert "label site: In berlin does not hold, it is paris" in reasons["p1"][0]
    assert set(served(path)) == {"b2"}
    with pytest.raises(MisfitError, match="6Gi needed"):
        run(path, lambda c: placing.bring(c, record, 1, "b1", actor=WHO, now=NOW))


def test_bringing_again_changes_nothing(path: Path) -> None:
    ((record, _),) = run(path, put(parameters={"interval": 5}))
    before = rows(path, "SELECT client_id, version, etag FROM manifests ORDER BY client_id")
    run(path, *(lambda c, i=i: placing.bring(c, record, 1, i, actor=WHO, now=NOW) for i in DEVICES))
    assert rows(path, "SELECT client_id, version, etag FROM manifests ORDER BY client_id") == before
    ((again, plan),) = run(path, put(parameters={"interval": 5}))
    assert (again.revision, set(actions(plan).values())) == (1, {"unchanged"})


def test_bringing_one_device_touches_no_other(path: Path) -> None:
    async def only_one(connection: AsyncConnection) -> Any:
        record = await assignments.assignment_named(connection, "shop")
        await placing.bring(connection, record, 1, "p1", actor=WHO, now=NOW)

    run(path, put(target={"devices": []}), put(parameters={"interval": 9}), revert(1), put(version="2.0.0"))
    assert {version for version, _ in served(path).values()} == {"2.0.0"}
    run(path, only_one)
    assert set(served(path)) == {"b1", "b2"}


@pytest.mark.requirement("DS-7", "DS-9")
def test_going_back_is_a_new_revision_with_the_same_deployments(path: Path) -> None:
    run(path, put(parameters={"interval": 5}))
    first = (served(path), rows(path, "SELECT id FROM deployments ORDER BY id"))
    run(path, put(parameters={"interval": 6}))
    (record,) = run(path, revert(1))
    assert record.revision == 3
    assert (served(path), rows(path, "SELECT id FROM deployments ORDER BY id")) == first
    assert rows(path, "SELECT DISTINCT version FROM manifests") == [(4,)]
    assert rows(path, "SELECT number, reason FROM assignment_revisions ORDER BY number") == [
        (1, ""),
        (2, ""),
        (3, "back to revision 1"),
    ]
    with pytest.raises(NotFoundError, match="revisions 1 to 3, not 9"):
        run(path, revert(9))


def test_what_is_no_longer_selected_is_removed(path: Path) -> None:
    run(path, put(), put(target={"selector": "site=berlin"}))
    assert set(served(path)) == {"b1", "b2"}


def test_deleting_removes_everywhere_and_frees_the_name(path: Path) -> None:
    run(path, put(), delete)
    assert served(path) == {}
    assert rows(path, "SELECT count(*) FROM deployments WHERE deleted IS NOT NULL") == [(3,)]
    run(path, put(target={"devices": ["b1"]}))
    assert rows(path, "SELECT name, client_id FROM deployments WHERE deleted IS NULL") == [("shop", "b1")]


def test_a_package_that_an_assignment_wants_stays_and_one_that_is_gone_hinders_no_deletion(
    path: Path,
) -> None:
    def remove(version: str) -> Step:
        return lambda c: catalogue.remove_package(c, "shop", version, actor=WHO, now=NOW)

    run(path, put(target={"selector": "site=rome"}))
    with pytest.raises(ConflictError, match="1 assignments, among them the assignment 'shop'"):
        run(path, remove("1.0.0"))
    run(path, put(version="2.0.0", target={"selector": "site=rome"}), remove("1.0.0"))
    with pytest.raises(InvalidError, match=r"as 2\.0\.0, not as 1\.0\.0"):
        run(path, revert(1))
    run(path, delete, remove("2.0.0"))


@pytest.mark.requirement("CFG-2", "CFG-4", "CFG-5")
@pytest.mark.parametrize(
    ("members", "faults"),
    [
        pytest.param(
            {
                "parameters": {"interval": 0, "colour": 1},
                "groups": [{"selector": "spare", "parameters": {"mode": "warp"}}],
                "devices": {"b1": {"sensors": ["z"], "greeting": ""}},
            },
            {
                "parameters.interval": "at least 1",
                "parameters.colour": "no such parameter",
                "groups[0].parameters.mode": "'warp' is none of slow, fast",
                "devices.b1.sensors": "'z' is none of",
                "devices.b1.greeting": "a value is needed",
            },
            id="every layer",
        ),
        pytest.param({"version": "9"}, {"version": "not as 9"}, id="version"),
        pytest.param({"profile": "native"}, {"profile": "'native' is none of compose, helm"}, id="profile"),
        pytest.param(
            {"target": {"devices": ["b1", "x9"]}, "devices": {"y9": {}}},
            {"target.devices[1]": "no device 'x9'", "devices.y9": "no device 'y9'"},
            id="devices",
        ),
    ],
)
def test_all_faults_are_told_with_their_paths_and_nothing_is_left(
    path: Path, members: dict[str, Any], faults: dict[str, str]
) -> None:
    with pytest.raises(InvalidError) as caught:
        run(path, put(**members))
    told = {fault.field: fault.message for fault in caught.value.faults}
    assert told.keys() == faults.keys()
    for field, message in faults.items():
        assert message in told[field]
    assert rows(path, "SELECT * FROM assignments") == []


@pytest.mark.requirement("CFG-3")
def test_an_immutable_value_stays_and_asking_for_another_says_on_which_devices(path: Path) -> None:
    run(path, put(parameters={"site": "north"}))
    with pytest.raises(InvalidError) as caught:
        run(path, put(groups=[{"selector": "site=berlin", "parameters": {"site": "south"}}]))
    (fault,) = caught.value.faults
    assert fault.field == "groups[0].parameters.site"
    assert "cannot be changed any more" in fault.message
    assert "(on b1, b2)" in fault.message
    ((_, plan),) = run(path, put(version="2.0.0", parameters={"interval": 4}))
    assert {values["site"] for _, values in served(path).values()} == {"north"}
    assert {one.after.values["site"].origin.kind.value for one in plan.devices} == {"installed"}
    ((_, plan),) = run(path, put(version="2.0.0", parameters={"interval": 4}))
    assert set(actions(plan).values()) == {"unchanged"}


@pytest.mark.requirement("CFG-2")
def test_a_value_that_is_missing_on_some_devices_names_them(path: Path) -> None:
    strict = description("4.0.0")
    strict["configuration"]["schema"][4] = {"name": "site", "dataType": "string"}

    run(path, add_package(strict))
    groups = [{"selector": "site=berlin", "parameters": {"site": "north"}}]
    with pytest.raises(InvalidError, match=r"parameters.site: a value is needed \(on p1\)"):
        run(path, put(version="4.0.0", groups=groups))
    run(path, put(version="4.0.0", groups=groups, devices={"p1": {"site": "west"}}))
    assert {values["site"] for _, values in served(path).values()} == {"north", "west"}


def test_deployments_of_an_assignment_are_not_changed_one_by_one(path: Path) -> None:
    run(path, put())
    (deployment_id,) = rows(path, "SELECT id FROM deployments WHERE client_id = 'b1'")[0]
    wish = deploying.Change(parameters={"interval": 3})
    for step in (
        lambda c: deploying.change(c, deployment_id, wish, actor=WHO, now=NOW),
        lambda c: deploying.delete(c, deployment_id, actor=WHO, now=NOW),
        lambda c: deploying.revert(c, deployment_id, 1, actor=WHO, now=NOW),
    ):
        with pytest.raises(ConflictError, match=r"assignment 'shop'.*devices\.b1"):
            run(path, step)


def test_a_name_that_is_taken_on_a_device_gets_an_addition(path: Path) -> None:
    wish = deploying.Wish(application="shop", version="1.0.0", client_id="b1", name="shop", parameters={})

    async def make(connection: AsyncConnection) -> None:
        number = "00000000-0000-4000-8000-000000000001"
        await deploying.create(connection, wish, deployment_id=number, actor=WHO, now=NOW)

    run(path, make, put(target={"devices": ["b1"]}))
    names = [name for (name,) in rows(path, "SELECT name FROM deployments ORDER BY position")]
    assert names[0] == "shop"
    assert names[1].startswith("shop-")


def test_an_assignment_keeps_its_application(path: Path) -> None:
    async def other(connection: AsyncConnection) -> None:
        await assignments.prepare(connection, "shop", "camera", parse_spec(spec()))

    run(path, put())
    with pytest.raises(ConflictError, match="is about shop"):
        run(path, other)
    with pytest.raises(InvalidError, match="lower-case"):
        run(path, put(name="Not a name"))


def test_who_looked_before_somebody_else_changed_it_has_to_look_again(path: Path) -> None:
    async def overtaken(connection: AsyncConnection) -> None:
        prepared = await assignments.prepare(connection, "shop", "shop", parse_spec(spec(version="2.0.0")))
        await put(parameters={"interval": 8})(connection)
        await assignments.put(connection, prepared, actor=WHO, now=NOW)

    run(path, put())
    with pytest.raises(ConflictError, match="changed by somebody else"):
        run(path, overtaken)


def test_retired_devices_are_not_given_anything(path: Path) -> None:
    def retire(name: str) -> Step:
        return lambda c: membership.retire(c, name, actor=WHO, now=NOW)

    _, (_, plan) = run(path, retire("p1"), put())
    assert actions(plan) == {"b1": "create", "b2": "create"}
    _, plan = run(path, retire("b1"), show(target={"devices": ["b1", "b2", "p1"]}, version="2.0.0"))
    assert actions(plan) == {"b1": "misfit", "b2": "change", "p1": "misfit"}


def test_wanted_says_for_every_selected_device_how_or_why_not(path: Path) -> None:
    async def look(connection: AsyncConnection) -> dict[str, Fit | Misfit]:
        record = await assignments.assignment_named(connection, "shop")
        return await placing.wanted(connection, record, parse_spec(spec(target={"devices": ["b1", "b2"]})))

    *_, found = run(path, put(), add_device("b2", {}, supportedDeploymentTypes=["custom"]), look)
    assert isinstance(found["b1"], Fit)
    assert (found["b1"].device_id, found["b1"].profile_id) == ("b1", "compose")
    assert isinstance(found["b2"], Misfit)
    assert "supports custom, not helm" in found["b2"].reasons[1].message


def test_the_audit_says_what_an_assignment_was_and_became(path: Path) -> None:
    run(path, put(), put(parameters={"interval": 5}), delete)
    found = rows(path, "SELECT action, before, after FROM audit WHERE subject = 'shop' ORDER BY id")
    first = {"version": "1.0.0", "target": {"all": True}}
    second = {**first, "parameters": {"interval": 5}}
    assert [(action, *map(_loaded, said)) for action, *said in found] == [
        ("create assignment", None, first),
        ("change assignment", first, second),
        ("delete assignment", second, None),
    ]


def _loaded(text: str | None) -> Any:
    return None if text is None else json.loads(text)
