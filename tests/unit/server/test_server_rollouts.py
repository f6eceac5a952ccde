"""Rollouts over a store: what is written at each step, what people do, and what a restart finds."""

import asyncio
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.status import DeploymentStatus
from edgewright.server.domain.assignments import parse_spec
from edgewright.server.domain.rollouts import RolloutState, StepState
from edgewright.server.errors import ConflictError, InvalidError, NotFoundError
from edgewright.server.fleet import assignments, membership, reports, rollouts
from edgewright.server.store import rollouts as kept
from edgewright.server.store.assignments import AssignmentRecord
from edgewright.server.store.database import Database
from support.fleet_store import (
    NOW,
    Step,
    add_device,
    description,
    heard_of,
    make_store,
    roll_out,
    rows,
    run,
)

WHO = "operator ada"
NAMES = tuple(f"edge-{number}" for number in range(1, 7))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two versions of a package and six devices, to be copied."""
    path = tmp_path_factory.mktemp("rollouts") / "fleet.db"
    make_store(path, {name: {"place": name} for name in NAMES}, [description(), description("2.0.0")])
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(template, tmp_path))


def put(version: str = "1.0.0", *, target: Any = None, **strategy: Any) -> Step:
    async def step(connection: AsyncConnection) -> AssignmentRecord:
        plain = {"version": version, "target": target or {"all": True}, "strategy": strategy}
        prepared = await assignments.prepare(connection, "shop", "shop", parse_spec(plain))
        return await assignments.put(connection, prepared, actor=WHO, now=NOW)

    return step


def report(state: str, *names: str, code: str = "") -> Step:
    """Have devices say how it stands with what they are to have now, or were to have last."""

    async def step(connection: AsyncConnection) -> None:
        query = (
            "SELECT id, client_id, changed_version FROM deployments d WHERE position ="
            " (SELECT max(position) FROM deployments o WHERE o.client_id = d.client_id)"
        )
        for row in await connection.exec_driver_sql(query):
            if row.client_id in names:
                error = {"code": code, "source": "component", "message": f"{code} happened"} if code else {}
                body = status(row.id, state, row.changed_version, error)
                document = DeploymentStatus.parse(body, source="status")
                await reports.record_status(connection, row.client_id, row.id, document, body, now=NOW)

    return step


def status(deployment_id: str, state: str, version: int, error: dict[str, str]) -> bytes:
    plain = {
        "apiVersion": "v1",
        "deploymentId": deployment_id,
        "adoptedManifestVersion": version,
        "status": {"state": state} | ({"error": error} if error else {}),
        "components": [{"name": "app", "state": state}],
    }
    return json.dumps(plain).encode()


def go_on(*, later: timedelta = timedelta(), absent: tuple[str, ...] = ()) -> Step:
    heard = heard_of(*(name for name in NAMES if name not in absent), now=NOW + later)
    return lambda connection: roll_out(connection, heard)


def act(verb: str, *devices: str, reason: str = "") -> Step:
    async def step(connection: AsyncConnection) -> Any:
        (rollout_id,) = (await newest(connection))[:1]
        return await rollouts.act(
            connection, rollout_id, verb, devices=devices or None, reason=reason, actor=WHO, now=NOW
        )

    return step


async def newest(connection: AsyncConnection) -> list[str]:
    return [one.id for one in await kept.every(connection)]


def steps(path: Path, revision: int = 1) -> dict[str, str]:
    query = (
        "SELECT s.client_id, s.state FROM rollout_steps s JOIN rollouts r ON r.id = s.rollout_id"
        " WHERE r.revision = ? ORDER BY s.batch, s.client_id"
    )
    return dict(rows(path, query, revision))  # type: ignore[arg-type]


def state(path: Path, revision: int = 1) -> str:
    ((found,),) = rows(path, "SELECT state FROM rollouts WHERE revision = ?", revision)
    return str(found)


def given(path: Path) -> dict[str, str]:
    """Return which version each device is told to have."""
    query = "SELECT client_id, version FROM deployments WHERE deleted IS NULL ORDER BY client_id"
    return dict(rows(path, query))  # type: ignore[arg-type]


def happened(path: Path) -> list[tuple[str, str]]:
    return rows(path, "SELECT what, message FROM rollout_events ORDER BY id")  # type: ignore[return-value]


def test_batches_follow_each_other_as_devices_report(path: Path) -> None:
    run(path, put(canary=1, batches=[3]), go_on())
    assert given(path) == {"edge-1": "1.0.0"}
    run(path, report("installing", "edge-1"), go_on())
    assert len(given(path)) == 1
    run(path, report("installed", "edge-1"), go_on())
    assert list(given(path)) == ["edge-1", "edge-2", "edge-3", "edge-4"]
    run(path, report("installed", *NAMES[:4]), go_on())
    assert len(given(path)) == 6
    run(path, report("installed", *NAMES), go_on())
    assert state(path) == "done"
    assert set(steps(path).values()) == {"done"}
    assert happened(path) == [
        ("started", "Revision 1 of shop: 6 devices in 3 batches"),
        ("batch", "Batch 1 is over: 1 done"),
        ("batch", "Batch 2 is over: 3 done"),
        ("done", "Done: 6 done"),
    ]


def test_a_failure_stops_it_and_says_what_the_device_said(path: Path) -> None:
    run(path, put(batches=[2]), go_on(), report("failed", "edge-2", code="image.missing"), go_on())
    assert state(path) == "stopped"
    assert given(path).keys() == {"edge-1", "edge-2"}
    told = dict(happened(path))
    assert told["device-failed"] == "edge-2 failed: image.missing happened"
    assert "1 of 2 devices of batch 1 failed" in told["stopped"]


def test_going_on_after_a_stop_accepts_the_failure(path: Path) -> None:
    run(path, put(batches=[2]), go_on(), report("failed", "edge-2", code="x"), go_on())
    run(path, act("resume", reason="known"), report("installed", "edge-1"), go_on())
    assert state(path) == "running"
    assert len(given(path)) == 4


def test_trying_again_gives_the_device_a_document_it_has_not_refused(path: Path) -> None:
    run(path, put(batches=[2]), go_on(), report("failed", "edge-2", code="x"), go_on())
    ((before,),) = rows(path, "SELECT digest FROM deployments WHERE client_id = 'edge-2'")
    run(path, act("retry", "edge-2"), go_on())
    ((after, attempt),) = rows(path, "SELECT digest, attempt FROM deployments WHERE client_id = 'edge-2'")
    assert (after != before, attempt) == (True, 1)
    assert steps(path)["edge-2"] == "begun"
    run(path, report("failed", "edge-2", code="x"), go_on(), act("retry"), go_on())
    assert rows(path, "SELECT attempt FROM deployments WHERE client_id = 'edge-2'") == [(2,)]
    run(path, report("installed", "edge-1", "edge-2"), go_on())
    assert state(path) == "running"


def test_looking_again_after_a_retry_changes_nothing(path: Path) -> None:
    run(path, put(), go_on(), report("failed", *NAMES, code="x"), go_on(), act("retry"), go_on())
    before = rows(path, "SELECT client_id, version FROM manifests ORDER BY client_id")
    run(path, go_on(), go_on())
    assert rows(path, "SELECT client_id, version FROM manifests ORDER BY client_id") == before


def test_another_version_is_served_without_a_trace_of_earlier_attempts(path: Path) -> None:
    run(path, put(), go_on(), report("failed", *NAMES, code="x"), go_on(), act("retry"), go_on())
    run(path, put("2.0.0"), go_on())
    bodies = rows(
        path,
        "SELECT t.body FROM documents t JOIN deployments d ON d.id = t.deployment_id AND d.digest = t.digest",
    )
    assert len(bodies) == 6
    assert all(b"attempt" not in body for (body,) in bodies)


def test_a_newer_revision_supersedes_the_rollout_under_way(path: Path) -> None:
    run(path, put(batches=[2]), go_on(), put("2.0.0", batches=[2]), go_on())
    assert (state(path, 1), state(path, 2)) == ("superseded", "running")
    assert set(steps(path, 1).values()) == {"cancelled"}
    assert given(path) == {"edge-1": "2.0.0", "edge-2": "2.0.0"}


def test_devices_that_never_got_it_are_left_alone_when_it_is_cancelled(path: Path) -> None:
    run(path, put(batches=[2]), go_on(), act("cancel", reason="wrong day"), go_on())
    assert state(path) == "cancelled"
    assert len(given(path)) == 2
    run(path, report("installed", "edge-1", "edge-2"))
    run(path, look_at)
    assert steps(path) == dict.fromkeys(NAMES[:2], "done") | dict.fromkeys(NAMES[2:], "cancelled")


async def look_at(connection: AsyncConnection) -> None:
    """Look at rollouts that have ended, as the conductor does."""
    for rollout_id in await kept.watched_ones(connection, NAMES):
        seen = await rollouts.look(connection, rollout_id, heard_of(*NAMES), changed=set(NAMES))
        assert seen is not None
        await rollouts.keep(connection, seen, now=NOW)


def test_a_silent_device_is_left_for_later_and_finds_it_on_its_return(path: Path) -> None:
    away = ("edge-1",)
    run(path, put(batches=[3]), go_on(absent=away))
    assert given(path).keys() == {"edge-2", "edge-3"}
    run(path, report("installed", *NAMES), go_on(absent=away))
    assert len(given(path)) == 2
    run(path, go_on(absent=away, later=timedelta(minutes=61)))
    assert len(given(path)) == 5
    run(path, report("installed", *NAMES), go_on(absent=away, later=timedelta(minutes=62)))
    assert state(path) == "done"
    assert steps(path)["edge-1"] == "late"
    assert len(given(path)) == 6
    run(path, report("installed", "edge-1"), look_at)
    assert steps(path)["edge-1"] == "done"


def test_a_device_that_does_not_fit_has_no_turn_and_says_why(path: Path) -> None:
    run(path, add_device("edge-7", {}))
    run(path, put(target={"devices": ["edge-1", "edge-7"]}), retire("edge-7"), go_on())
    assert steps(path)["edge-7"] == "skipped"
    assert dict(happened(path))["device-skipped"] == "edge-7 is left out: the device is not managed any more"


def retire(name: str) -> Step:
    return lambda connection: membership.retire(connection, name, actor=WHO, now=NOW)


def test_what_a_retired_device_had_is_taken_out_at_once(path: Path) -> None:
    run(path, put(), go_on(), report("installed", *NAMES), go_on(), retire("edge-1"))
    run(path, put(target={"devices": ["edge-2"]}))
    assert "edge-1" not in given(path)


def test_a_removal_is_rolled_out_like_anything_else(path: Path) -> None:
    run(path, put(batches=[3]), *[go_on()], report("installed", *NAMES), go_on())
    run(path, report("installed", *NAMES), go_on())
    run(path, put(target={"devices": ["edge-6"]}, batches=[3]), go_on())
    assert list(given(path)) == ["edge-4", "edge-5", "edge-6"]
    run(path, report("removed", *NAMES[:3]), go_on())
    assert list(given(path)) == ["edge-6"]
    run(path, report("removed", *NAMES[:5]), go_on())
    assert state(path, 2) == "done"


def test_nothing_is_written_that_was_decided_before_a_person_spoke(path: Path) -> None:
    async def race(connection: AsyncConnection) -> None:
        (rollout_id,) = await newest(connection)
        seen = await rollouts.look(connection, rollout_id, heard_of(*NAMES))
        assert seen is not None
        await act("pause")(connection)
        assert not await rollouts.keep(connection, replace(seen, made=seen.made), now=NOW)
        serial = seen.record.serial
        assert not await rollouts.begin(connection, rollout_id, seen.made.begin, serial=serial, now=NOW)

    run(path, put(), race)
    assert given(path) == {}
    assert state(path) == "paused"


def test_what_people_do_is_written_down_with_who_and_why(path: Path) -> None:
    run(path, put(), act("pause", reason="shift change"), act("resume"), act("skip", "edge-1", "edge-2"))
    events = rows(path, "SELECT actor, what, message FROM rollout_events ORDER BY id")[1:]
    assert events == [
        (WHO, "pause", "Paused: shift change"),
        (WHO, "resume", "Resumed"),
        (WHO, "skip", "Left out: edge-1, edge-2"),
    ]
    audited = [action for (action,) in rows(path, "SELECT action FROM audit ORDER BY id")]
    assert audited[-3:] == ["pause rollout", "resume rollout", "skip rollout"]


def test_an_unknown_rollout_and_one_that_is_not_the_newest_are_refused(path: Path) -> None:
    with pytest.raises(NotFoundError, match="no rollout x"):
        run(path, lambda c: rollouts.act(c, "x", "pause", actor=WHO, now=NOW))
    run(path, put(success_threshold=0), go_on(), report("failed", *NAMES, code="x"), go_on())
    assert state(path) == "done"
    (first,) = run(path, newest)[0]
    run(path, put("2.0.0"))
    with pytest.raises(ConflictError, match="revision 2 of shop was rolled out since"):
        run(path, lambda c: rollouts.act(c, first, "retry", actor=WHO, now=NOW))


def test_a_strategy_that_cannot_be_used_makes_no_revision(path: Path) -> None:
    with pytest.raises(InvalidError, match=r"strategy\.batches"):
        run(path, put(batches=[0]))
    assert rows(path, "SELECT * FROM assignments") == []


def test_a_device_never_has_two_turns_at_once_whatever_point_the_server_was_killed_at(path: Path) -> None:
    """Every transaction is a point at which a server can be killed; after each, a fresh one goes on."""
    run(path, put(batches=[2], disruption_budget=1))
    seen_versions: list[int] = []
    for _ in range(40):
        run(path, one_transaction)
        under_way = [name for name, word in steps(path).items() if word == "begun"]
        assert len(under_way) <= 1
        run(path, report("installed", *under_way))
        seen_versions.append(len(given(path)))
    assert seen_versions == sorted(seen_versions)
    assert state(path) == "done"


async def one_transaction(connection: AsyncConnection) -> None:
    """Do what the conductor does in its next transaction, and forget everything after."""
    for rollout_id in await kept.open_ones(connection):
        seen = await rollouts.look(connection, rollout_id, heard_of(*NAMES))
        assert seen is not None
        if seen.has_changes:
            await rollouts.keep(connection, seen, now=NOW)
        elif seen.made.begin:
            serial = seen.record.serial
            await rollouts.begin(connection, rollout_id, seen.made.begin[:1], serial=serial, now=NOW)


def test_what_changed_is_announced_to_those_who_watch(path: Path) -> None:
    heard: list[str] = []

    async def watched() -> None:
        async with Database(path) as database:
            database.when_changed(heard.extend)
            async with database.writing() as connection:
                await put()(connection)
            async with database.writing() as connection:
                await roll_out(connection)

    asyncio.run(watched())
    (rollout_id,) = run(path, newest)[0]
    assert {"rollouts", f"rollout:{rollout_id}", "assignment:shop", "device:edge-1", "deployments"} <= set(
        heard
    )


def test_a_rollout_to_nobody_is_done_at_once(path: Path) -> None:
    run(path, put(target={"selector": "place=nowhere"}), go_on())
    assert state(path) == RolloutState.DONE


def test_one_goes_back_to_what_was_rolled_out_to_its_end_and_said_something_else(path: Path) -> None:
    def back(revision: int) -> Step:
        async def step(connection: AsyncConnection) -> int:
            record = next(one for one in await kept.every(connection) if one.revision == revision)
            return await rollouts.revision_before(connection, record)

        return step

    run(path, put(), go_on(), report("installed", *NAMES), go_on())
    with pytest.raises(ConflictError, match="nothing to go back to before revision 1"):
        run(path, back(1))
    run(path, put("2.0.0", canary=1), put("2.0.0", canary=2), put())
    assert run(path, back(2), back(3)) == [1, 1]
    assert run(path, back(4)) == [3]


def test_a_device_that_the_server_cannot_cope_with_holds_up_nobody_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bring = rollouts.bring

    async def fail_for_one(
        connection: Any, assignment: Any, revision: int, client_id: str, **more: Any
    ) -> Any:
        if client_id == "edge-2":
            raise RuntimeError("never foreseen")
        return await bring(connection, assignment, revision, client_id, **more)

    monkeypatch.setattr(rollouts, "bring", fail_for_one)
    run(path, put(success_threshold=50), go_on())
    assert steps(path)["edge-2"] == "failed"
    assert len(given(path)) == 5
    assert "never foreseen" in caplog.text
    assert dict(happened(path))["device-failed"].endswith("its log says why")


def test_a_device_that_no_longer_fits_at_its_turn_is_left_out_and_keeps_what_it_has(path: Path) -> None:
    run(path, put(batches=[5]), go_on(), add_device("edge-6", {}, supportedDeploymentTypes=["helm"]))
    run(path, report("installed", *NAMES), put("2.0.0", batches=[5]))
    run(path, add_device("edge-6", {}, supportedDeploymentTypes=[]), go_on())
    run(path, report("installed", *NAMES), go_on())
    assert steps(path, 2)["edge-6"] == "skipped"
    told = dict(happened(path))["device-skipped"]
    assert told.startswith("edge-6 is left out: ")


def test_news_of_one_device_does_not_have_all_looked_at_that_are_away(path: Path) -> None:
    run(path, put(), go_on(absent=NAMES[:5]), report("installed", "edge-6"))

    async def begins(connection: AsyncConnection, changed: set[str] | None) -> tuple[str, ...]:
        (rollout_id,) = await newest(connection)
        seen = await rollouts.look(connection, rollout_id, heard_of(*NAMES), changed=changed)
        assert seen is not None
        kept_so_far = {one.client_id: one.step for one in seen.steps}
        after = kept_so_far | {step.client_id: step for step in seen.made.changed}
        return tuple(
            name for name, step in after.items() if step.state is StepState.WAITING and not step.obstacle
        )

    for changed, noticed in ((set(), ()), ({"edge-2"}, ("edge-2",)), (None, NAMES[:5])):
        (found,) = run(path, lambda connection: begins(connection, changed))  # noqa: B023
        assert found == noticed
