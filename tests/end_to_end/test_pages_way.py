"""The whole way by the pages alone: a device comes in, an application runs on it, changes, fails and goes.

On the server's side everything is done in a browser; on the device's side by the two commands that a page
shows, and by what somebody on site types to approve. Containers are real.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from support.browser import Visitor, visit
from support.engines import Engine
from support.fleet import Application, Device, Fleet
from support.images import RegistryAccess, web_image
from support.processes import wait_until
from support.server_process import ServerProcess
from support.testbed import Testbed

PATIENCE_MS = 60_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path / "server") as server:
        yield server


@pytest.fixture
def fleet(tmp_path: Path, server: ServerProcess) -> Iterator[Fleet]:
    made = Fleet(tmp_path, server)
    yield made
    made.clean()


@pytest.fixture
def ada(chromium: Browser, server: ServerProcess) -> Iterator[Visitor]:
    made = visit(chromium, server, "admin", width=1280)
    made.context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def web(testbed: Testbed, push_image: Callable[..., str]) -> Callable[[str], str]:
    """Push an image whose page is the given text; return its reference."""
    return lambda page: push_image(web_image(Path(testbed.busybox), page=page), page)


class Story:
    """One application on its way, told in what Ada does on the pages."""

    def __init__(self, ada: Visitor, device: Device, registry: RegistryAccess, name: str) -> None:
        self.ada = ada
        self.page = ada.page
        self.device = device
        self.registry = registry
        self.name = name

    def application(self, version: str, image: str, **more: Any) -> Application:
        service = {"image": image, "ports": ["127.0.0.1::8080"], "stop_grace_period": "0s", **more}
        return Application(
            name=self.name,
            registry=self.registry,
            components={"front": {"services": {"front": service}}},
            parameters={"greeting": ("hello", "GREETING", ("front",))},
            version=version,
            timeout="0m20s",
        )

    def take(self, version: str) -> None:
        """Take one version into the catalogue."""
        self.ada.go("/packages")
        self.page.get_by_role("link", name=re.compile("Add packages|Upload a package")).first.click()
        reference = f"oci://{self.registry.host}/{self.name}/package:{version}"
        self.page.get_by_label("Reference").fill(reference)
        self.page.get_by_role("button", name="Import").click()
        expect(self.page.get_by_role("heading", level=1)).to_contain_text(self.name)

    def confirm(self, *, looks: bool = True) -> None:
        """Look at what will happen, and have it happen."""
        if looks:
            self.page.get_by_role("button", name="Preview").last.click()
        expect(self.page.get_by_role("heading", name="What will happen")).to_be_visible()
        self.page.get_by_role("button", name=re.compile("(Deploy to|Change) 1 device")).click()

    def open(self) -> None:
        """Open the page of what was deployed."""
        self.ada.go("/deployments")
        self.page.locator("main").get_by_role("link", name=self.name).first.click()
        expect(self.page.get_by_role("heading", name=self.name, level=1)).to_be_visible()

    def update(self) -> None:
        """Have the newest version there is."""
        self.open()
        self.page.get_by_role("link", name="Look at the update").click()
        self.confirm()

    def suggest(self, policy: str, *, until: str) -> None:
        """Suggest a policy to all sites, and wait until the device says that it is in force."""
        self.ada.go("/policies")
        self.page.get_by_label("policy.yaml").fill(policy)
        self.page.get_by_role("button", name="Suggest to all devices").click()
        expect(self.page.locator("#notice")).to_be_visible()
        self.ada.go(f"/devices/{self.device.name}")
        said = "Each change waits" if until == "required" else "Changes begin as soon as they are known"
        expect(self.page.get_by_text(said).first).to_be_visible()

    def state(self) -> Locator:
        """The one word about the device on its page, which stays open."""
        return self.page.locator("#live .badge").first

    def watch(self, word: str) -> None:
        """Have the device's page open until it says `word`, without a reload."""
        if not self.page.url.endswith(f"/devices/{self.device.name}"):
            self.ada.go(f"/devices/{self.device.name}")
        expect(self.state()).to_contain_text(word)

    def deployment(self, server: ServerProcess) -> str:
        listed = server.operator.get(f"/devices/{self.device.name}")["deployments"]
        return str(listed[0]["id"])


@pytest.mark.requirement("S-1", "S-8", "S-14", "S-15", "S-17", "S-27")
def test_somebody_who_has_only_a_browser_brings_an_application_to_a_device_and_takes_it_away(
    fleet: Fleet,
    server: ServerProcess,
    ada: Visitor,
    docker_engine: Engine,
    registry: RegistryAccess,
    unique: str,
    web: Callable[[str], str],
    tmp_path: Path,
) -> None:
    device = Device(tmp_path, unique, docker_engine)
    fleet.devices.append(device)
    story = Story(ada, device, registry, unique)
    page = ada.page
    good = [story.application(version, web(f"front-{version}")) for version in ("1.0.0", "2.0.0")]
    broken = story.application("3.0.0", web("front-3.0.0"), command=["sh", "-c", "exit 7"])
    for one in (*good, broken):
        fleet.publish_only(one)

    # A device comes in.
    ada.go("/")
    ada.picture("way-1-first-steps")
    page.get_by_role("link", name="Add a device").click()
    page.get_by_label("Name").fill(device.name)
    page.get_by_role("button", name="Make an invitation").click()
    command = page.get_by_text("edgewright agent enroll ewt1.").text_content() or ""
    fleet.at(device, *command.split()[2:])
    expect(page.locator("#invitations").get_by_text("Used")).to_be_visible()
    device.start()

    # An application comes into the catalogue, and on the device.
    story.take("1.0.0")
    ada.picture("way-2-package")
    ada.go("/")
    page.get_by_role("link", name="Deploy", exact=True).click()
    expect(page.get_by_role("heading", name=f"Deploy {unique}")).to_be_visible()
    page.get_by_label(re.compile(f"^{device.name}")).check()
    page.get_by_label(re.compile("greeting")).fill("good; $(morning) 'all'")
    ada.picture("way-3-deploy")
    story.confirm()
    story.watch("Up to date")
    ada.picture("way-4-up-to-date")
    deployment = story.deployment(server)
    fleet.remember(device, deployment)
    assert device.get(deployment, "front", "/") == "front-1.0.0"
    assert device.environment(deployment, "front")["GREETING"] == "good; $(morning) 'all'"

    # The site wants to be asked; a newer version waits for it.
    story.suggest("apply: {approval: required}", until="required")
    story.take("2.0.0")
    story.update()
    story.watch("Waiting for approval on site")
    ada.picture("way-5-waiting")
    assert device.get(deployment, "front", "/") == "front-1.0.0"
    fleet.at(device, "approvals", "approve", "1", "--reason", "agreed in the shift meeting")
    story.watch("Up to date")
    expect(page.get_by_text("agreed in the shift meeting").first).to_be_visible()
    ada.picture("way-6-updated")
    assert device.get(deployment, "front", "/") == "front-2.0.0"
    assert device.environment(deployment, "front")["GREETING"] == "good; $(morning) 'all'"

    # One that does not work is said to have failed, and what ran before runs.
    story.suggest("apply: {approval: automatic}", until="automatic")
    story.take("3.0.0")
    story.update()
    story.watch("Failed")
    ada.picture("way-7-failed")
    expect(page.get_by_text(re.compile("exit.* 7")).first).to_be_visible()
    wait_until(
        lambda: (
            "front" in device.containers(deployment) and device.get(deployment, "front", "/") == "front-2.0.0"
        ),
        what="the last good version did not come back",
    )

    # Back to what was good, as a new revision.
    story.open()
    page.get_by_role("listitem").filter(has_text="Revision 2: 2.0.0").get_by_role("link").click()
    story.confirm(looks=False)
    story.watch("Up to date")
    ada.picture("way-8-reverted")
    assert device.get(deployment, "front", "/") == "front-2.0.0"

    # And away.
    story.open()
    page.get_by_role("button", name="Delete…").click()
    ada.picture("way-9-delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete and remove").click()
    story.watch("Nothing deployed")
    ada.picture("way-10-removed")
    assert device.leftovers(deployment) == []
    assert ada.complaints == []
