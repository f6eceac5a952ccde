"""The pages of rollouts in a real browser: watch one arrive, stop, go on, and be taken back."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from support.browser import WIDTHS, visit
from support.foreign_client import ForeignClient
from support.people import sign_in
from support.rollout_scene import (
    NAMES,
    add_packages,
    answer,
    failure,
    given,
    put,
    six_devices,
    until_given,
    until_state,
)
from support.server_process import ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path / "server") as running:
        add_packages(running)
        yield running


@pytest.fixture
def devices(server: ServerProcess, tmp_path: Path) -> Iterator[Mapping[str, ForeignClient]]:
    with six_devices(server, tmp_path) as found:
        yield found


@pytest.fixture
def somebody(chromium: Any, server: ServerProcess) -> Iterator[Any]:
    """Opens windows and closes them again."""
    opened = []

    def open_window(*arguments: Any, **more: Any) -> Any:
        opened.append(visit(chromium, server, *arguments, **more))
        return opened[-1]

    yield open_window
    for one in opened:
        one.close()


def until_told(visitor: Any, words: str) -> None:
    """Wait until the page says of the rollout as a whole."""
    visitor.page.locator("#standing", has_text=words).wait_for()


def test_without_rollouts_the_page_says_what_to_do(somebody: Any) -> None:
    ada = somebody("operator")
    ada.go("/rollouts")
    ada.page.get_by_role("heading", name="No rollouts yet").wait_for()
    expect(ada.page.get_by_role("link", name="Deploy an application")).to_be_visible()
    assert ada.complaints == []


@pytest.mark.requirement("S-16", "S-17")
def test_a_rollout_is_watched_and_steered_without_reloading(
    somebody: Any, server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    rollout = put(server.operator, canary=1, batches=[2], pause_after="first")
    ada = somebody("operator")
    ada.go("/rollouts")
    ada.page.get_by_role("link", name="shop, revision 1").click()
    until_told(ada, "Batch 1 of 4: 1 device is under way")
    ada.picture("rollout-canary")
    answer(devices, "installed", "edge-1")
    until_told(ada, "Paused: batch 1 is over: 1 done; batch 2 comes next")
    ada.page.get_by_role("button", name="Resume").click()
    ada.page.get_by_text("It goes on.").wait_for()
    until_given(devices, *NAMES[:3])
    answer(devices, "failed", "edge-2", **failure("image.missing"))
    until_told(ada, "Stopped: 1 of 2 devices of batch 2 failed")
    ada.page.get_by_text("edge-2 failed: image.missing happened").wait_for()
    ada.picture("rollout-stopped")
    ada.page.locator("#step-edge-2").get_by_role("button", name="Try again").click()
    ada.page.get_by_text("edge-2: To be tried again.").wait_for()
    answer(devices, "installed", "edge-2", "edge-3")
    until_given(devices, *NAMES[:5])
    ada.page.get_by_role("button", name="Pause…").click()
    ada.page.locator("#reason-pause").fill("lunch")
    ada.page.get_by_role("button", name="Pause", exact=True).click()
    until_told(ada, "Paused: by a person: lunch")
    ada.page.get_by_role("button", name="Resume").click()
    until_told(ada, "under way")
    answer(devices, "installed", *NAMES[:5])
    until_given(devices, *NAMES)
    answer(devices, "installed", "edge-6")
    until_told(ada, "Done: 6 done")
    ada.picture("rollout-done")
    assert until_state(server.operator, rollout, "done")["counts"] == {"done": 6}
    assert ada.complaints == []


def test_what_was_rolled_out_is_taken_back_by_one_button(
    somebody: Any, server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    first = put(server.operator)
    answer(devices, "installed", *NAMES)
    until_state(server.operator, first, "done")
    second = put(server.operator, "2.0.0", batches=[3])
    ada = somebody("operator")
    ada.go(f"/rollouts/{second['id']}")
    ada.page.get_by_role("button", name="Go back…").click()
    ada.page.get_by_role("button", name="Go back", exact=True).click()
    ada.page.get_by_role("heading", name="shop, revision 3").wait_for()
    ada.page.get_by_text("shop goes back to what revision 1 says.").wait_for()
    ada.go(f"/rollouts/{second['id']}")
    ada.page.get_by_text("Revision 3 was rolled out since.").wait_for()
    expect(ada.page.get_by_role("button", name="Pause…")).to_have_count(0)
    assert ada.complaints == []


def test_who_may_only_look_sees_all_and_changes_nothing(
    somebody: Any, server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    rollout = put(server.operator, batches=[2])
    visitor = somebody("viewer")
    visitor.go(f"/rollouts/{rollout['id']}")
    until_told(visitor, "Batch 1 of 3: 2 devices are under way")
    expect(visitor.page.locator("main").get_by_role("button", name="Pause…")).to_have_count(0)
    expect(visitor.page.locator("main").get_by_role("button", name="Leave out")).to_have_count(0)
    visitor.go("/devices/edge-6")
    visitor.page.locator("#rollouts").get_by_role("link", name="shop, revision 1").click()
    visitor.page.locator("#step-edge-6").get_by_text("Planned").wait_for()
    assert visitor.complaints == []
    victor = sign_in(server, "viewer")
    victor.get(f"/rollouts/{rollout['id']}")
    assert victor.post(f"/rollouts/{rollout['id']}/pause", {}).status == 403
    assert given(devices) == ["edge-1", "edge-2"]


def test_what_makes_no_sense_is_said_on_the_page(
    server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    rollout = put(server.operator, batches=[2])
    ada = sign_in(server, "operator")
    path = f"/rollouts/{rollout['id']}"
    ada.get(path)
    assert ada.post(f"{path}/resume", {}).status == 303
    assert "only a paused or stopped one can be resumed" in ada.get(path).body.decode()
    assert ada.post(f"{path}/skip", {"device": "<nobody>"}).status == 303
    assert "&lt;nobody&gt;&#39; is no device of this rollout" in ada.get(path).body.decode()
    assert ada.post(f"{path}/revert", {}).status == 303
    assert "there is nothing to go back to before revision 1" in ada.get(path).body.decode()
    assert ada.post(f"{path}/explode", {}).status == 404
    assert ada.get("/rollouts/none").status == 404
    assert ada.get(f"{path}/events").status == 200
    assert ada.get(f"{path}/events?after=%21").status == 422
    assert ada.get("/rollouts?state=done").status == 200


@pytest.mark.requirement("S-17")
def test_the_pages_of_rollouts_are_for_everybody(
    somebody: Any, server: ServerProcess, devices: Mapping[str, ForeignClient]
) -> None:
    rollout = put(server.operator, batches=[2], success_threshold=50)
    answer(devices, "failed", "edge-1", **failure("image.missing"))
    answer(devices, "installed", "edge-2")
    until_given(devices, *NAMES[:4])
    server.operator.post(f"/rollouts/{rollout['id']}/skip", {"devices": ["edge-6"]})
    for width in WIDTHS:
        ada = somebody("operator", width=width)
        for name, path in (("list", "/rollouts"), ("one", f"/rollouts/{rollout['id']}")):
            ada.go(path)
            ada.page.get_by_role("heading", level=1).wait_for()
            assert ada.wrong(f"rollouts-{name}", keyboard=width == 1280) == [], (width, path)
        ada.close()
