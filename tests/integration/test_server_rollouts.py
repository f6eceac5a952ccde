"""Rollouts on a real server: devices report, people steer, the server is killed, and it goes on."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store import clients
from support.fleet_store import description, make_store, rows, run
from support.foreign_client import ForeignClient
from support.operating import assert_problem
from support.processes import wait_until
from support.rollout_scene import (
    NAMES,
    add_packages,
    answer,
    failure,
    given,
    put,
    six_devices,
    state_of,
    until_given,
    until_state,
    wanted,
)
from support.server_process import OperatorClient, ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path / "server") as running:
        add_packages(running)
        yield running


@pytest.fixture
def devices(server: ServerProcess, tmp_path: Path) -> Iterator[Mapping[str, ForeignClient]]:
    with six_devices(server, tmp_path) as found:
        yield found


@pytest.mark.requirement("S-16", "S-18")
def test_a_canary_goes_first_and_a_person_lets_the_others_follow(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    rollout = put(operator, canary=1, batches=["50%"], pause_after="first")
    assert given(devices) == ["edge-1"]
    answer(devices, "installed", "edge-1")
    shown = until_state(operator, rollout, "paused")
    assert shown["standing"] == "Paused: batch 1 is over: 1 done; batch 2 comes next"
    resumed = operator.post(f"/rollouts/{rollout['id']}/resume", {"reason": "looks well"})
    assert resumed["state"] == "running"
    until_given(devices, *NAMES[:4])
    answer(devices, "installed", *NAMES[:4])
    until_given(devices, *NAMES)
    answer(devices, "installed", *NAMES)
    shown = until_state(operator, rollout, "done")
    assert shown["counts"] == {"done": 6}
    assert [batch["counts"] for batch in shown["progress"]] == [{"done": 1}, {"done": 3}, {"done": 2}]
    told = [one["what"] for one in operator.items(f"/rollouts/{rollout['id']}/events")]
    assert told == ["done", "batch", "resume", "paused", "batch", "started"]


def test_a_failure_stops_it_and_what_failed_can_be_tried_again(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    rollout = put(operator, batches=[2])
    until_given(devices, "edge-1", "edge-2")
    ((_, before),) = wanted(devices["edge-2"])
    answer(devices, "failed", "edge-2", **failure("image.missing"))
    shown = until_state(operator, rollout, "stopped")
    assert "1 of 2 devices of batch 1 failed" in shown["standing"]
    (step,) = operator.items(f"/rollouts/{rollout['id']}/steps?state=failed")
    assert (step["device"], step["message"]) == ("edge-2", "image.missing happened")
    operator.post(f"/rollouts/{rollout['id']}/retry", {"devices": ["edge-2"]})
    wait_until(lambda: wanted(devices["edge-2"])[0][1] > before, what="edge-2 was not asked again")
    answer(devices, "installed", "edge-1", "edge-2")
    until_given(devices, *NAMES[:4])


def test_what_went_wrong_is_taken_back_everywhere(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    first = put(operator)
    answer(devices, "installed", *NAMES)
    until_state(operator, first, "done")
    second = put(operator, "2.0.0", batches=[2], on_error="revert")
    wait_until(lambda: len(versions(operator, "2.0.0")) == 2, what="the first batch was not given it")
    answer(devices, "failed", "edge-1", **failure("broken"))
    until_state(operator, second, "superseded")
    wait_until(lambda: len(versions(operator, "1.0.0")) == 6, what="it was not taken back")
    third = operator.items("/rollouts?assignment=shop")[0]
    assert (third["revision"], third["devices"], third["by"]) == (3, 2, "server")
    why = "back to revision 1: 1 of 2 devices of batch 1 failed"
    assert operator.get("/assignments/shop")["reason"].startswith(why)
    answer(devices, "installed", *NAMES)
    until_state(operator, third, "done")


def versions(operator: OperatorClient, version: str) -> list[str]:
    found = operator.items(f"/deployments?assignment=shop&version={version}")
    return [one["device"] for one in found]


def test_a_first_revision_that_fails_cannot_be_taken_back_and_says_so(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    rollout = put(operator, batches=[1], on_error="revert")
    answer(devices, "failed", "edge-1", **failure("broken"))
    until_state(operator, rollout, "stopped")
    events = f"/rollouts/{rollout['id']}/events"
    told = wait_until(
        lambda: [one["message"] for one in operator.items(events) if one["what"] == "not-reverted"],
        what="nobody was told",
    )
    assert told == ["Could not be reverted: there is nothing to go back to before revision 1"]
    restart(server, devices)
    body = {"application": "shop", "version": "1.0.0", "target": {"devices": ["edge-6"]}}
    server.operator.put("/assignments/other", body)  # is answered when all rollouts were looked at
    again = [one["what"] for one in server.operator.items(events)]
    assert again.count("not-reverted") == 1


def test_a_removal_that_fails_leaves_a_new_assignment_of_the_same_name_alone(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    first = put(operator, on_error="revert")
    answer(devices, "installed", *NAMES)
    until_state(operator, first, "done")
    gone = {name: [one for one, _ in wanted(device)] for name, device in devices.items()}
    operator.delete("/assignments/shop")
    until_given(devices)
    removal = operator.items("/rollouts?assignment=shop")[0]
    for target in (["edge-5"], ["edge-6"]):
        body = {"application": "shop", "version": "1.0.0", "target": {"devices": target}}
        operator.put("/assignments/shop", body)
    version = devices["edge-1"].poll().json["manifestVersion"]
    (deployment,) = gone["edge-1"]
    devices["edge-1"].report_status(deployment, "failed", version, **failure("stuck"))
    until_state(operator, removal, "stopped")
    events = f"/rollouts/{removal['id']}/events"
    told = wait_until(
        lambda: [one["message"] for one in operator.items(events) if one["what"] == "not-reverted"],
        what="nobody was told",
    )
    assert told == ["Could not be reverted: shop was deleted, and a removal is not taken back"]
    assert operator.get("/assignments/shop")["target"] == {"devices": ["edge-6"]}


@pytest.mark.requirement("S-16")
def test_a_server_that_is_killed_again_and_again_goes_on_where_it_stood(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    """Killed without warning after every word of a device; never is more under way than the budget lets."""
    operator = server.operator
    rollout = put(operator, batches=[2], disruption_budget=1)
    done: list[str] = []
    for name in NAMES:
        wait_until(lambda: name in given(devices), what=f"{name} was not given it")  # noqa: B023
        assert given(devices) == sorted([*done, name])
        answer(devices, "installing", name)
        restart(server, devices)
        answer(devices, "installed", name)
        restart(server, devices)
        done.append(name)
    shown = until_state(server.operator, rollout, "done")
    assert shown["counts"] == {"done": 6}
    told = [one["what"] for one in server.operator.items(f"/rollouts/{rollout['id']}/events")]
    assert told == ["done", "batch", "batch", "started"]


def restart(server: ServerProcess, devices: Mapping[str, ForeignClient]) -> None:
    server.kill()
    server.start()
    for device in devices.values():
        device.close()


def test_a_newer_revision_takes_the_place_of_the_one_under_way(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    first = put(operator, batches=[2])
    second = put(operator, "2.0.0", batches=[3])
    assert state_of(operator, first) == "superseded"
    assert [one["id"] for one in operator.items("/rollouts?state=running")] == [second["id"]]
    until_given(devices, *NAMES[:3])
    answer(devices, "installed", *NAMES[:3])
    until_given(devices, *NAMES)


def test_people_steer_it_and_what_makes_no_sense_is_refused(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    rollout = put(operator, batches=[1])
    path = f"/rollouts/{rollout['id']}"
    tag = operator.request("GET", path).headers["etag"]
    assert operator.post(f"{path}/pause", {"reason": "lunch"})["standing"] == "Paused: by a person: lunch"
    assert_problem(operator.request("POST", f"{path}/pause", {}), 409, "only a running one")
    stale = operator.request("POST", f"{path}/resume", {}, headers={"If-Match": tag})
    assert_problem(stale, 412, "changed since")
    answer(devices, "installed", "edge-1")
    operator.post(f"{path}/skip", {"devices": ["edge-2"]})
    unknown = operator.request("POST", f"{path}/skip", {"devices": ["nobody"]})
    assert_problem(unknown, 422, "'nobody' is no device of this rollout")
    assert_problem(operator.request("POST", f"{path}/retry", {}), 409, "no device of this rollout has failed")
    assert given(devices) == ["edge-1"]
    operator.post(f"{path}/proceed", {})
    until_given(devices, "edge-1", *NAMES[2:])
    operator.post(f"{path}/cancel", {"reason": "enough"})
    assert_problem(operator.request("POST", f"{path}/proceed", {}), 409, "has ended")
    assert_problem(operator.request("POST", "/rollouts/x/pause", {}), 404, "no rollout x is known")
    page = operator.get(f"{path}/steps?limit=2")
    assert (len(page["items"]), page["total"]) == (2, 6)
    rest = operator.get(f"{path}/steps?limit=10&after={page['next']}")
    assert [one["device"] for one in [*page["items"], *rest["items"]]] == list(NAMES)
    (skipped,) = operator.items(f"{path}/steps?state=skipped")
    assert (skipped["device"], skipped["message"]) == ("edge-2", "by a person")
    assert [one["id"] for one in operator.items("/rollouts?device=edge-3")] == [rollout["id"]]


def test_a_device_that_waits_for_approval_is_told_of(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    rollout = put(operator, canary=1)
    pending = {"code": "hold.approval", "source": "edgewright", "message": "waits for a person on site"}
    answer(devices, "pending", "edge-1", status={"state": "pending", "error": pending})
    path = f"/rollouts/{rollout['id']}"
    held = wait_until(lambda: operator.items(f"{path}/steps?state=begun"), what="nothing begun")[0]
    wait_until(
        lambda: "1 waiting for approval on site" in operator.get(path)["standing"],
        what="the rollout does not say whom it waits for",
    )
    held = operator.items(f"{path}/steps?state=begun")[0]
    assert (held["obstacle"], held["message"]) == ("approval", "waits for a person on site")


@pytest.mark.requirement("S-16", "DS-7")
def test_a_server_killed_while_it_gives_devices_their_turn_gives_each_exactly_one(tmp_path: Path) -> None:
    """Killed in the midst of giving out, again and again: no device is left out, none is told twice."""
    server = ServerProcess.create(tmp_path / "server")
    database = server.data / "edgewright.db"
    names = [f"edge-{number:03}" for number in range(80)]
    make_store(database, {name: {} for name in names}, [description()])
    run(database, lambda connection: just_heard_of(connection, names))
    with server, ThreadPoolExecutor() as beside:
        body = {"application": "shop", "version": "1.0.0", "target": {"all": True}}
        asked = beside.submit(server.operator.request, "PUT", "/assignments/shop", body)
        begun = kills = 0
        while begun < len(names):
            begun = wait_until(lambda: more_than(database, begun), what="it does not go on")  # noqa: B023
            server.kill()
            kills += 1
            server.start()
        with suppress(OSError, HTTPException):
            asked.result()  # most likely its server was killed before it answered
        assert kills > 1
        (shown,) = server.operator.items("/rollouts")
        assert (shown["state"], shown["counts"]) == ("running", {"begun": 80})
    assert rows(database, "SELECT client_id, count(*) FROM deployments GROUP BY client_id") == [
        (name, 1) for name in names
    ]
    assert {version for (version,) in rows(database, "SELECT version FROM manifests")} == {2}


def more_than(database: Path, begun: int) -> int | None:
    """Return how many devices have been given it, if those are more than `begun`."""
    ((found,),) = rows(database, _BEGUN)
    return int(found) if found > begun else None


_BEGUN = "SELECT count(*) FROM rollout_steps WHERE state = 'begun'"


async def just_heard_of(connection: AsyncConnection, names: list[str]) -> None:
    await clients.save_contacts(connection, dict.fromkeys(names, datetime.now(UTC)))
