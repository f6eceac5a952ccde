"""Deploying in a browser: from an empty list to a device that is told, and on to updates and removal."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from playwright.sync_api import Browser, expect

from support.browser import Visitor, visit
from support.fleet_store import description
from support.foreign_client import ForeignClient, capabilities
from support.operating import tar_of, upload
from support.processes import wait_until
from support.server_process import ServerProcess

pytest_plugins = ("support.browser",)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path / "server") as running:
        offer(running, "1.0.0")
        yield running


def offer(server: ServerProcess, version: str, **members: Any) -> None:
    document = yaml.safe_dump(description(version, **members)).encode()
    assert upload(server.operator, tar_of({"margo.yaml": document})).status == 201


def enrolled(server: ServerProcess, name: str, folder: Path, **labels: str) -> ForeignClient:
    token = server.operator.post("/enrollments", {"name": name})["token"]
    device = ForeignClient.enrolled(token, folder / name)
    assert device.report_capabilities(name, {**capabilities(name), "labels": labels}).status < 300
    return device


def told(device: ForeignClient) -> dict[str, Any] | None:
    """Return the values the one deployment of a device has, None while there is none."""
    references = device.poll().json["deployments"]
    if not references:
        return None
    document = yaml.safe_load(device.request("GET", references[0]["url"]).body)
    return {name: one["value"] for name, one in document["spec"]["parameters"].items()}


@pytest.fixture
def ada(chromium: Browser, server: ServerProcess) -> Iterator[Visitor]:
    visitor = visit(chromium, server, "operator")
    yield visitor
    visitor.close()


DEFAULTS = {"greeting": "hello", "interval": 30, "mode": "slow", "sensors": ["a"]}


@pytest.mark.requirement("CFG-1", "S-15", "S-16")
def test_one_package_and_one_device_take_three_clicks(
    server: ServerProcess, ada: Visitor, tmp_path: Path
) -> None:
    with enrolled(server, "edge-01", tmp_path) as device:
        ada.go("/deployments")
        ada.page.get_by_role("link", name="Deploy an application").first.click()
        expect(ada.page.locator("#check")).to_contain_text("1 fit")
        ada.picture("deploy-form")
        assert ada.faults() == []
        ada.page.locator(".deploy-bar").get_by_role("button", name="Preview").click()
        expect(ada.page.get_by_role("heading", name="What will happen")).to_be_visible()
        ada.picture("deploy-preview")
        assert ada.faults() == []
        assert server.operator.items("/assignments") == []
        ada.page.get_by_role("button", name="Deploy to 1 device").click()
        expect(ada.page.locator("#notice")).to_contain_text("shop is on its way to 1 device.")
        assert wait_until(lambda: told(device), what="the deployment") == DEFAULTS
        expect(ada.page.locator("#devices")).to_contain_text("Waiting for the device")
        (made,) = server.operator.items("/deployments")
        device.report_status(made["id"], "installed", made["manifest_version"])
        expect(ada.page.locator("#devices")).to_contain_text("Up to date")
        ada.picture("assignment")
        assert ada.faults() == []
    assert ada.complaints == []


@pytest.mark.requirement("CFG-2")
def test_faults_are_shown_beside_the_field_while_typing_and_what_was_typed_stays(
    server: ServerProcess, ada: Visitor, tmp_path: Path
) -> None:
    with enrolled(server, "edge-01", tmp_path):
        ada.go("/deploy")
        greeting = ada.page.get_by_label("Greeting")
        greeting.fill("far too long a greeting for anybody")
        fault = ada.page.get_by_text("takes at most 20 characters")
        expect(fault.first).to_be_visible()
        ada.page.locator(".deploy-bar").get_by_role("button", name="Preview").click()
        expect(ada.page.get_by_text("One thing has to be mended")).to_be_visible()
        expect(greeting).to_have_value("far too long a greeting for anybody")
        ada.picture("deploy-faults")
        greeting.fill("hi")
        expect(ada.page.locator("#check")).to_contain_text("1 fit")
        assert server.operator.items("/assignments") == []


@pytest.mark.requirement("CFG-1", "CFG-5", "MAT-2")
def test_values_for_groups_and_devices_an_update_and_the_way_back(
    server: ServerProcess, ada: Visitor, tmp_path: Path
) -> None:
    page = ada.page
    north = enrolled(server, "north-1", tmp_path, site="north")
    south = enrolled(server, "south-1", tmp_path, site="south")
    with north, south:
        ada.go("/deploy?application=shop")
        page.get_by_label("All devices", exact=True).check()
        page.get_by_role("button", name="Values for a group").click()
        group = page.locator("#g0")
        group.get_by_label("Devices with these labels").fill("site=north")
        group.get_by_label("Interval").fill("5")
        group.get_by_label("b", exact=True).check()
        group.get_by_label("c", exact=True).check()
        page.get_by_role("button", name="Values for one device").click()
        single = page.locator("#d0")
        single.get_by_label("Device", exact=True).fill("south-1")
        single.get_by_label("Mode").select_option("fast")
        ada.picture("deploy-groups")
        page.locator(".deploy-bar").get_by_role("button", name="Preview").click()
        page.get_by_role("button", name="Back to the form").click()
        expect(page.locator("#g0").get_by_label("Interval")).to_have_value("5")
        page.locator(".deploy-bar").get_by_role("button", name="Preview").click()
        page.get_by_label("Why").fill("line 4 is new")
        page.get_by_role("button", name="Deploy to 2 devices").click()
        wait_until(lambda: told(north) == {**DEFAULTS, "interval": 5, "sensors": ["b", "c"]}, what="north")
        wait_until(lambda: told(south) == {**DEFAULTS, "mode": "fast"}, what="south")

        offer(server, "2.0.0")
        page.get_by_role("link", name="Look at the update").click()
        page.locator(".deploy-bar").get_by_role("button", name="Preview").click()
        expect(page.locator("#to-change")).to_contain_text("1.0.0")
        page.get_by_role("button", name="Change 2 devices").click()
        expect(page.locator("#notice")).to_contain_text("on its way to 2 devices")
        assert server.operator.get("/assignments/shop")["version"] == "2.0.0"

        page.get_by_role("link", name="Go back to this").click()
        expect(page.locator("#to-change")).to_contain_text("2.0.0")
        page.get_by_role("button", name="Change 2 devices").click()
        expect(page.locator("#history")).to_contain_text("Revision 3: 1.0.0")
        ada.picture("assignment-history")

        page.get_by_role("button", name="Delete…").click()
        page.get_by_role("button", name="Delete and remove").click()
        expect(page.locator("#notice")).to_contain_text("it is being removed from 2 devices")
        wait_until(lambda: told(north) is None, what="the removal")
    assert ada.complaints == []


def test_who_was_overtaken_is_told_and_changes_nothing(
    server: ServerProcess, ada: Visitor, tmp_path: Path
) -> None:
    wish = {"application": "shop", "version": "1.0.0", "target": {"all": True}}
    server.operator.put("/assignments/shop", wish)
    ada.go("/deploy?assignment=shop")
    ada.page.get_by_label("Greeting").fill("hey")
    ada.page.locator(".deploy-bar").get_by_role("button", name="Preview").click()
    server.operator.put("/assignments/shop", {**wish, "parameters": {"mode": "fast"}})
    ada.page.get_by_role("button", name="Save").click()
    expect(ada.page.locator("main")).to_contain_text("was changed by somebody else")
    assert server.operator.get("/assignments/shop")["spec"]["parameters"] == {"mode": "fast"}


def test_a_single_deployment_is_shown_reverted_and_removed(
    server: ServerProcess, ada: Visitor, tmp_path: Path
) -> None:
    page = ada.page
    with enrolled(server, "edge-01", tmp_path) as device:
        wish = {"application": "shop", "version": "1.0.0", "device": "edge-01", "name": "solo"}
        path = f"/deployments/{server.operator.post('/deployments', wish)['id']}"
        server.operator.put(path, {"parameters": {"interval": 3}})
        error = {"code": "E1", "source": "app", "message": "no disk"}
        device.report_status(
            path.rsplit("/", 1)[1],
            "failed",
            3,
            components=[{"name": "app", "state": "failed", "error": error}],
        )
        ada.go("/deployments")
        page.get_by_role("link", name="solo").click()
        expect(page.locator("#components")).to_contain_text("no disk")
        ada.picture("deployment")
        assert ada.faults() == []
        page.get_by_role("button", name="Go back to this…").click()
        page.get_by_role("button", name="Go back", exact=True).click()
        expect(page.locator("#notice")).to_contain_text("what revision 1 was")
        assert told(device) == DEFAULTS
        page.get_by_role("button", name="Remove…").click()
        page.get_by_role("button", name="Remove", exact=True).click()
        wait_until(lambda: told(device) is None, what="the removal")
    assert ada.complaints == []


@pytest.mark.requirement("CFG-1", "CFG-3")
def test_a_single_deployment_is_changed_by_the_form_and_preview_that_assignments_have(
    server: ServerProcess, ada: Visitor, tmp_path: Path
) -> None:
    page = ada.page
    with enrolled(server, "edge-01", tmp_path) as device:
        wish = {"application": "shop", "version": "1.0.0", "device": "edge-01", "name": "solo"}
        wish["parameters"] = {"greeting": "hi", "site": "north"}
        path = f"/deployments/{server.operator.post('/deployments', wish)['id']}"
        offer(server, "2.0.0")
        ada.go(path)
        page.get_by_role("link", name="Look at the update").click()
        expect(page.get_by_role("heading", name="Change solo on edge-01")).to_be_visible()
        expect(page.get_by_label("Version")).to_have_value("2.0.0")
        expect(page.get_by_label("All devices")).to_have_count(0)
        page.get_by_label("Site").fill("south")
        page.get_by_label("Greeting").fill("")
        preview = page.locator(".deploy-bar").get_by_role("button", name="Preview")
        preview.click()
        expect(page.get_by_text("it was installed with 'north'").first).to_be_visible()
        ada.picture("deployment-change")
        assert ada.faults() == []
        page.get_by_label("Site").fill("north")
        page.get_by_label("Interval").fill("7")
        preview.click()
        expect(page.locator("#to-change")).to_contain_text("hi hello from the package")
        page.get_by_role("button", name="Back to the form").click()
        expect(page.get_by_label("Interval")).to_have_value("7")
        preview.click()
        ada.picture("deployment-change-preview")
        assert ada.faults() == []
        page.get_by_label("Why").fill("faster")
        page.get_by_role("button", name="Change 1 device").click()
        expect(page.locator("#notice")).to_contain_text("The change of solo is on its way to edge-01.")
        expect(page.locator("#history")).to_contain_text("faster")
        assert told(device) == {**DEFAULTS, "interval": 7, "site": "north"}
        assert server.operator.items("/assignments") == []

        page.get_by_role("link", name="Change", exact=True).click()
        preview.click()
        server.operator.put(path, {"parameters": {"mode": "fast"}})
        page.get_by_role("button", name="Save").click()
        expect(page.locator("main")).to_contain_text("was changed by somebody else")
        assert server.operator.get(path)["parameters"] == {"interval": 7, "mode": "fast", "site": "north"}
    assert [one for one in ada.complaints if "409" not in one and "422" not in one] == []


ODD: dict[str, Any] = {
    "lines": "a\n b \n",
    "blanks": " x ",
    "eight": "007",
    "untyped": 5,
    "untyped-text": "5",
    "big": 2**63 - 1,
    "whole": 5.0,
    "tiny": 1e-300,
    "text-options": 2,
    "many-options": [1, 3],
    "commas": ["a,b", "", "[c]", "d\ne"],
    "numbers": [1, 2],
    "no": False,
    "emptied": "",
    "none": [],
    "helm-only": "kept",
}


def odd_package() -> dict[str, Any]:
    """A package with a parameter for every kind of value, some without a schema."""
    types = {
        "lines": {"dataType": "string"},
        "blanks": {"dataType": "string"},
        "eight": {"dataType": "string", "minLength": 3},
        "big": {"dataType": "integer"},
        "whole": {"dataType": "double", "minValue": 0},
        "tiny": {"dataType": "double"},
        "text-options": {"dataType": "integer", "options": ["1", "2"]},
        "many-options": {"dataType": "array[integer]", "multiselect": True, "options": ["1", "2", "3"]},
        "commas": {"dataType": "array[string]"},
        "numbers": {"dataType": "array[integer]"},
        "no": {"dataType": "boolean"},
        "emptied": {"dataType": "integer", "allowEmpty": True},
        "none": {"dataType": "array[string]", "allowEmpty": True},
    }
    settings = [{"parameter": name, "name": f"The {name}", "schema": name} for name in types]
    return {
        "parameters": {
            name: {"targets": [{"pointer": "P", "components": ["chart" if name == "helm-only" else "app"]}]}
            for name in ODD
        },
        "configuration": {
            "sections": [{"name": "All", "settings": settings}],
            "schema": [{"name": name, **rules} for name, rules in types.items()],
        },
    }


def test_whoever_leaves_values_as_they_are_in_the_form_changes_none_of_them(
    server: ServerProcess, ada: Visitor, tmp_path: Path
) -> None:
    page = ada.page
    with enrolled(server, "edge-01", tmp_path):
        offer(server, "3.0.0", **odd_package())
        wish = {"version": "3.0.0", "profile": "compose", "parameters": ODD}
        wish |= {"groups": [{"selector": "x=y", "parameters": ODD}], "devices": {"edge-01": ODD}}
        server.operator.put(
            "/assignments/odd", {"application": "shop", "target": {"devices": ["edge-01"]}, **wish}
        )
        single = {"application": "shop", "version": "3.0.0", "device": "edge-01", "parameters": ODD}
        made = server.operator.post("/deployments", single)
        for path in ("/deploy?assignment=odd", f"/deploy?deployment={made['id']}"):
            ada.go(path)
            page.locator(".deploy-bar").get_by_role("button", name="Preview").click()
            expect(page.locator("#to-unchanged")).to_contain_text("as they are")
            page.get_by_role("button", name="Back to the form").click()
            page.locator(".deploy-bar").get_by_role("button", name="Preview").click()
            page.get_by_role("button", name="Save").click()
            expect(page.locator("#notice")).to_contain_text("Nothing changed")
        assert json.dumps(server.operator.get(f"/deployments/{made['id']}")["parameters"]) == json.dumps(
            dict(sorted(ODD.items()))
        )
    assert ada.complaints == []


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_the_pages_fit_every_width(
    chromium: Browser, server: ServerProcess, tmp_path: Path, width: int
) -> None:
    wish = {
        "application": "shop",
        "version": "1.0.0",
        "target": {"all": True},
        "groups": [{"selector": "site in (a, b)", "parameters": {"interval": 4}}],
    }
    visitor = visit(chromium, server, "operator", width=width)
    with enrolled(server, "a-device-with-quite-a-long-name-" + "x" * 30, tmp_path, site="a"):
        server.operator.put("/assignments/shop", wish)
        one = wait_until(lambda: next(iter(server.operator.items("/deployments")), None), what="a deployment")
        for number, path in enumerate(
            (
                "/deployments",
                "/deploy",
                "/deploy?assignment=shop",
                "/assignments/shop",
                f"/deployments/{one['id']}",
            )
        ):
            visitor.go(path)
            assert visitor.wrong(f"deploying-{number}") == [], path
    visitor.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"step": "confirm", "spec": "{", "name": "x", "application": "shop"},
        {"step": "confirm", "spec": "[]", "name": "x", "application": "shop"},
        {
            "step": "confirm",
            "spec": '{"version": "1.0.0", "target": {"all": true}}',
            "name": "../x",
            "application": "shop",
        },
        {"step": "back", "spec": "null"},
        {"step": "preview", "application": "<script>", "version": "1"},
        {"step": "drop-", "application": "shop", "layer": "q", "v.all.": "x", "v.g0.interval": "1"},
        {"step": "add-group", "application": "shop", "version": "none", "layer": ["g0", "g0", "gx"]},
        {"application": "shop", "version": "1.0.0", "where": "all", "v.all.interval": "1e999"},
    ],
)
def test_what_no_page_of_ours_sends_is_answered_and_changes_nothing(
    server: ServerProcess, fields: dict[str, Any]
) -> None:
    answer = server.operator.request(
        "POST",
        "/deploy",
        body=urlencode(fields, doseq=True).encode(),
        media_type="application/x-www-form-urlencoded",
        prefix="",
        headers={"Accept": "text/html"},
    )
    assert answer.status in {200, 409, 422}, answer
    assert b"<script>" not in answer.body.replace(b"<script src", b"")
    assert server.operator.items("/assignments") == []


def test_viewers_see_and_cannot_change(chromium: Browser, server: ServerProcess) -> None:
    wish = {"application": "shop", "version": "1.0.0", "target": {"all": True}}
    server.operator.put("/assignments/shop", wish)
    visitor = visit(chromium, server, "viewer")
    visitor.go("/assignments/shop")
    expect(visitor.page.get_by_role("link", name="Change")).to_have_count(0)
    assert visitor.go("/deploy").status == 403
    visitor.close()


def test_everything_works_without_scripts(chromium: Browser, server: ServerProcess, tmp_path: Path) -> None:
    visitor = visit(chromium, server, "operator", scripts=False)
    page = visitor.page
    with enrolled(server, "edge-01", tmp_path) as device:
        visitor.go("/deploy")
        page.get_by_role("button", name="Values for one device").click()
        page.locator("#d0").get_by_label("Device", exact=True).fill("edge-01")
        page.locator("#d0").get_by_label("Interval").fill("8")
        page.locator(".deploy-bar").get_by_role("button", name="Preview").click()
        page.get_by_role("button", name="Deploy to 1 device").click()
        wait_until(lambda: told(device) == {**DEFAULTS, "interval": 8}, what="the deployment")
    assert json.dumps(visitor.complaints) == "[]"
    visitor.close()


@pytest.mark.requirement("ST-25")
def test_what_is_deleted_is_shown_until_the_device_says_that_it_is_gone(
    server: ServerProcess, ada: Visitor, tmp_path: Path
) -> None:
    wish = {"application": "shop", "version": "1.0.0", "target": {"devices": ["edge-01"]}}
    with enrolled(server, "edge-01", tmp_path) as device:
        server.operator.put("/assignments/shop", wish)
        wait_until(lambda: told(device), what="the deployment")
        (made,) = server.operator.items("/deployments")
        device.report_status(made["id"], "installed", made["manifest_version"])
        assert server.operator.get("/devices/edge-01")["state"] == "converged"
        server.operator.delete("/assignments/shop")
        # Nothing was said to the device yet: it is not at it.
        removing = wait_until(
            lambda: [one for one in server.operator.items("/deployments") if one["deleted"]],
            what="the removal",
        )
        assert server.operator.get("/devices/edge-01")["state"] == "behind"
        ada.go("/deployments")
        row = ada.page.locator("#assignments tbody tr")
        expect(row).to_contain_text("deleted, and not gone everywhere yet")
        expect(row).to_contain_text("1 removing")
        version = removing[0]["manifest_version"]
        device.report_status(made["id"], "removing", version)
        assert server.operator.get("/devices/edge-01")["state"] == "taking-up"
        device.report_status(made["id"], "removed", version)
        expect(ada.page.get_by_text("Nothing is deployed yet")).to_be_visible()
        ada.go("/assignments/shop")
        expect(ada.page.get_by_text("what it brought is gone from all devices")).to_be_visible()
