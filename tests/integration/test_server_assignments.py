"""Assignments as a program sees them: look first, put, watch, go back, delete."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.fleet_store import description
from support.foreign_client import ForeignClient, capabilities
from support.operating import assert_problem, tar_of, upload
from support.processes import wait_until
from support.server_process import OperatorClient, ServerProcess

SITES = {"north-1": "north", "north-2": "north", "south-1": "south"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server with two versions of a package."""
    with ServerProcess.create(tmp_path / "server") as running:
        for version in ("1.0.0", "2.0.0"):
            document = yaml.safe_dump(description(version)).encode()
            assert upload(running.operator, tar_of({"margo.yaml": document})).status == 201
        yield running


@pytest.fixture
def devices(server: ServerProcess, tmp_path: Path) -> Iterator[Mapping[str, ForeignClient]]:
    """Three enrolled devices, labelled by site, that reported their capabilities."""
    with ExitStack() as stack:
        found = {}
        for name, site in SITES.items():
            found[name] = stack.enter_context(enrolled(server.operator, name, tmp_path))
            report(found[name], name, site)
        yield found


def enrolled(operator: OperatorClient, name: str, folder: Path) -> ForeignClient:
    return ForeignClient.enrolled(operator.post("/enrollments", {"name": name})["token"], folder / name)


def report(device: ForeignClient, name: str, site: str) -> None:
    assert device.report_capabilities(name, {**capabilities(name), "labels": {"site": site}}).status < 300


def body(**members: Any) -> dict[str, Any]:
    return {"application": "shop", "version": "1.0.0", "target": {"selector": "site=north"}, **members}


def wanted(device: ForeignClient) -> dict[str, Any]:
    """Return version and values of what the device is told to have, by deployment name."""
    found = {}
    for reference in device.poll().json["deployments"]:
        document = yaml.safe_load(device.request("GET", reference["url"]).body)
        found[document["metadata"]["name"]] = {
            name: one["value"] for name, one in document["spec"]["parameters"].items()
        }
    return found


def comes(device: ForeignClient, expected: dict[str, Any]) -> None:
    """Wait until the device is told to have this: rollouts take their own time."""
    wait_until(lambda: wanted(device) == expected, what=f"a desired state of {expected}")


DEFAULTS = {"greeting": "hello", "interval": 30, "mode": "slow", "sensors": ["a"]}


@pytest.mark.requirement("CFG-1", "CFG-2", "MAT-2", "S-15", "S-18")
def test_an_assignment_reaches_the_devices_it_selects_with_their_values(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    wish = body(
        parameters={"interval": 5},
        groups=[{"selector": "site=north", "parameters": {"mode": "fast"}}],
        devices={"north-2": {"interval": 9}},
    )
    shown = operator.post("/assignments/shop/preview", wish)
    assert shown["counts"] == {"create": 2, "change": 0, "remove": 0, "unchanged": 0, "misfit": 0}
    assert [one["device"] for one in shown["devices"]["items"]] == ["north-1", "north-2"]
    assert operator.items("/assignments") == []
    made = operator.request("PUT", "/assignments/shop", wish)
    assert made.status == 201, made.body
    comes(devices["north-1"], {"shop": {**DEFAULTS, "interval": 5, "mode": "fast"}})
    comes(devices["north-2"], {"shop": {**DEFAULTS, "interval": 9, "mode": "fast"}})
    assert wanted(devices["south-1"]) == {}
    (listed,) = operator.items("/assignments")
    assert (listed["revision"], listed["deployments"]) == (1, {"waiting": 2})
    assert {one["device"]: one["assignment"] for one in operator.items("/deployments?assignment=shop")} == {
        "north-1": "shop",
        "north-2": "shop",
    }
    again = operator.request("PUT", "/assignments/shop", wish)
    assert (again.status, again.json["revision"]) == (200, 1)
    assert again.json["spec"] == {key: value for key, value in wish.items() if key != "application"}


@pytest.mark.requirement("DS-7", "DS-9")
def test_an_assignment_goes_back_and_away(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    operator.put("/assignments/shop", body(reason="first try"))
    operator.put("/assignments/shop", body(version="2.0.0", parameters={"interval": 7}))
    comes(devices["north-1"], {"shop": {**DEFAULTS, "interval": 7}})
    comes(devices["north-2"], {"shop": {**DEFAULTS, "interval": 7}})
    seen = operator.post(
        "/assignments/shop/preview?action=change", body(version="2.0.0", parameters={"interval": 8})
    )
    first = seen["devices"]["items"][0]
    assert (first["version_before"], first["version_after"]) == ("2.0.0", "2.0.0")
    assert first["parameters"] == [
        {
            "name": "interval",
            "before": 7,
            "after": 8,
            "origin": {"kind": "all", "path": "parameters", "name": ""},
        }
    ]
    assert operator.post("/assignments/shop/revert", {"revision": 1})["revision"] == 3
    comes(devices["north-1"], {"shop": DEFAULTS})
    told = [(one["number"], one["reason"]) for one in operator.items("/assignments/shop/revisions")]
    assert told == [(3, "back to revision 1"), (2, ""), (1, "first try")]
    gone = operator.delete("/assignments/shop")
    assert gone["deleted"] is not None
    comes(devices["north-1"], {})
    assert_problem(operator.request("GET", "/assignments/shop"), 404, "no assignment 'shop'")


def test_what_belongs_to_an_assignment_is_changed_there(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    operator.put("/assignments/shop", body())
    one = wait_until(
        lambda: next(iter(operator.items("/deployments?assignment=shop")), None), what="a deployment"
    )
    path = f"/deployments/{one['id']}"
    for method, suffix, value in (
        ("PUT", "", {}),
        ("DELETE", "", None),
        ("POST", "/revert", {"revision": 1}),
    ):
        assert_problem(operator.request(method, path + suffix, value), 409, "the assignment 'shop'")
    assert_problem(operator.request("DELETE", "/packages/shop/1.0.0"), 409)


@pytest.mark.parametrize(
    ("value", "status", "told"),
    [
        pytest.param({}, 422, '"application"', id="empty"),
        pytest.param([], 422, "expected an object", id="array"),
        pytest.param(body(version="7"), 422, "shop is here as 1.0.0, 2.0.0, not as 7", id="version"),
        pytest.param(body(application="nope"), 422, "no package 'nope'", id="application"),
        pytest.param(body(parameters={"interval": "5"}), 422, '"parameters.interval"', id="type"),
        pytest.param(body(target={"devices": ["x"]}), 422, '"target.devices[0]"', id="device"),
        pytest.param(body(colour=1), 422, "colour", id="member"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(
    server: ServerProcess, value: Any, status: int, told: str
) -> None:
    for method, path in (("PUT", "/assignments/shop"), ("POST", "/assignments/shop/preview")):
        assert_problem(server.operator.request(method, path, value), status, told)


def test_nobody_overwrites_a_change_they_have_not_seen(server: ServerProcess) -> None:
    operator = server.operator
    first = operator.request("PUT", "/assignments/shop", body())
    read = operator.request("GET", "/assignments/shop")
    seen = {"If-Match": read.headers["etag"]}
    assert first.headers["etag"] == read.headers["etag"]
    operator.put("/assignments/shop", body(version="2.0.0"))
    assert_problem(operator.request("PUT", "/assignments/shop", body(), headers=seen), 412)
    assert_problem(operator.request("DELETE", "/assignments/shop", headers=seen), 412)
    present = {"If-Match": operator.request("GET", "/assignments/shop").headers["etag"]}
    assert operator.request("PUT", "/assignments/shop", body(), headers=present).status == 200


@pytest.mark.requirement("DS-7", "CFG-3")
def test_a_single_deployment_keeps_its_revisions_and_goes_back(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    operator = server.operator
    wish = {"application": "shop", "version": "1.0.0", "device": "south-1", "name": "solo"}
    path = f"/deployments/{operator.post('/deployments', wish)['id']}"
    operator.put(path, {"version": "2.0.0", "parameters": {"interval": 3}})
    operator.put(path, {"parameters": {"mode": "fast"}})
    back = operator.post(f"{path}/revert", {"revision": 1})
    assert (back["version"], back["parameters"], back["manifest_version"]) == ("1.0.0", {}, 5)
    assert wanted(devices["south-1"]) == {"solo": DEFAULTS}
    known = operator.items(f"{path}/revisions")
    assert [(one["number"], one["version"], one["parameters"], one["reason"]) for one in known] == [
        (4, "1.0.0", {}, "back to revision 1"),
        (3, "2.0.0", {"interval": 3, "mode": "fast"}, ""),
        (2, "2.0.0", {"interval": 3}, ""),
        (1, "1.0.0", {}, ""),
    ]
    assert_problem(
        operator.request("POST", f"{path}/revert", {"revision": 9}), 404, "can go back to 1, 2, 3, 4"
    )


@pytest.mark.requirement("S-15")
def test_devices_that_begin_or_cease_to_be_selected_are_brought_along(
    server: ServerProcess, devices: Mapping[str, ForeignClient], tmp_path: Path
) -> None:
    operator = server.operator
    operator.put("/assignments/shop", body(target={"selector": "tier=gold"}, parameters={"interval": 4}))
    wait_until(lambda: operator.items("/rollouts")[0]["state"] == "done", what="the end of the rollout")
    operator.request("PATCH", "/devices/south-1", {"labels": {"tier": "gold"}})
    comes(devices["south-1"], {"shop": {**DEFAULTS, "interval": 4}})
    with enrolled(operator, "late", tmp_path) as late:
        assert (
            late.report_capabilities("late", {**capabilities("late"), "labels": {"tier": "gold"}}).status
            < 300
        )
        comes(late, {"shop": {**DEFAULTS, "interval": 4}})
    operator.request("PATCH", "/devices/south-1", {"labels": {"tier": None}})
    comes(devices["south-1"], {})
    assert wanted(devices["north-1"]) == {}


def test_who_comes_during_a_rollout_gets_what_was_rolled_out_to_its_end(
    server: ServerProcess, devices: Mapping[str, ForeignClient], tmp_path: Path
) -> None:
    operator = server.operator
    operator.put("/assignments/shop", body())
    for name in ("north-1", "north-2"):
        comes(devices[name], {"shop": DEFAULTS})
    for one in operator.items("/deployments"):
        devices[one["device"]].report_status(one["id"], "installed", one["manifest_version"])
    wait_until(lambda: operator.items("/rollouts")[0]["state"] == "done", what="the end of the rollout")
    operator.put("/assignments/shop", body(parameters={"interval": 6}, strategy={"canary": 1}))
    with enrolled(operator, "north-3", tmp_path) as late:
        report(late, "north-3", "north")
        comes(late, {"shop": DEFAULTS})
        for one in operator.items("/deployments"):
            devices.get(one["device"], late).report_status(one["id"], "installed", one["manifest_version"])
        wait_until(
            lambda: all(
                one["parameters"] == {"interval": 6}
                for one in operator.items("/deployments")
                if one["device"] != "north-3"
            ),
            what="the second batch",
        )
        for one in operator.items("/deployments"):
            devices.get(one["device"], late).report_status(one["id"], "installed", one["manifest_version"])
        comes(late, {"shop": {**DEFAULTS, "interval": 6}})
