"""The whole way by the pages alone: a device, an application on it, an update that somebody on site approves,
one that breaks, back to what it was, and gone.

Outside of the browser only that is done which is done on the device itself, and by the application's author.
"""

import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import Visitor, visit
from support.engines import Engine
from support.fleet import EDGEWRIGHT, Application, Device, Fleet
from support.images import RegistryAccess, web_image
from support.people import PASSWORD
from support.processes import own_environment, wait_until
from support.server_process import ServerProcess
from support.testbed import Testbed

SETTLED_MS = 120_000


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ServerProcess.create(tmp_path / "server") as server:
        made = Fleet(tmp_path, server)
        yield made
        made.clean()


@pytest.fixture
def ada(chromium: Browser, fleet: Fleet) -> Iterator[Visitor]:
    visitor = visit(chromium, fleet.server, "operator")
    yield visitor
    assert visitor.complaints == []
    visitor.close()


@pytest.fixture
def page(testbed: Testbed, push_image: Callable[..., str]) -> Callable[[str], str]:
    """Push an image whose page is the given text; return its reference."""
    return lambda text: push_image(web_image(Path(testbed.busybox), page=text), text)


def application(registry: RegistryAccess, name: str, image: str, version: str, **service: Any) -> Application:
    usual = {"image": image, "ports": ["127.0.0.1::8080"], "stop_grace_period": "0s"}
    return Application(
        name=name,
        registry=registry,
        components={"app": {"services": {"app": {**usual, **service}}}},
        parameters={"greeting": ("hello", "GREETING", ("app",))},
        version=version,
        timeout="0m20s",
    )


def publish(folder: Path, made: Application) -> tuple[Path, str]:
    """Do what the author does; return the package packed as a file, and where the registry has it."""
    package, components = made.write(folder / made.version)
    where = f"oci://{made.registry.host}/{made.name}/package"
    command = [*EDGEWRIGHT, "package", "publish", str(package), where, "--components", str(components)]
    done = subprocess.run(command, capture_output=True, text=True, env=own_environment(), check=False)
    assert done.returncode == 0, done.stderr
    packed = folder / f"{made.name}-{made.version}.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(package, arcname=".")
    return packed, f"{where}:{made.version}"


def button(page: Page, name: str | re.Pattern[str]) -> Any:
    return page.get_by_role("button", name=name)


def invite(ada: Visitor, name: str) -> str:
    """Invite a device, and return the command that the page says to run on it."""
    ada.go("/")
    ada.picture("way-1-first-steps")
    ada.go("/enrollments")
    ada.page.get_by_label("Name", exact=True).fill(name)
    button(ada.page, "Make an invitation").click()
    command = ada.page.get_by_text(re.compile(r"^edgewright agent enroll \S+$"))
    expect(command).to_be_visible()
    ada.picture("way-2-invited")
    return command.inner_text()


def enroll(fleet: Fleet, folder: Path, name: str, command: str, engine: Engine) -> Device:
    """Do on the device what the page says."""
    device = Device(folder, name, engine)
    words = command.split()
    assert words[:3] == ["edgewright", "agent", "enroll"]
    done = subprocess.run(
        device.agent(*words[2:]), capture_output=True, text=True, env=own_environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    fleet.devices.append(device)
    return device


def change(ada: Visitor, assignment: str, version: str) -> None:
    """Give an assignment another version, by its form."""
    ada.go(f"/assignments/{assignment}")
    ada.page.get_by_role("link", name="Change").click()
    ada.page.get_by_label("Version", exact=True).select_option(version)
    button(ada.page, "Preview").click()
    expect(ada.page.get_by_role("heading", name="What will happen")).to_be_visible()
    ada.picture(f"way-preview-{version}")
    button(ada.page, "Change 1 device").click()
    ada.page.wait_for_url(re.compile(r"/(assignments|rollouts)/"))


def see(ada: Visitor, device: str, text: str | re.Pattern[str]) -> None:
    """Wait, on the open page of a device and without loading it anew, until it says `text`."""
    expect(ada.page.locator("#live").get_by_text(text).first).to_be_visible(timeout=SETTLED_MS)


@pytest.mark.requirement("S-1", "S-8", "S-14", "S-15", "S-16", "S-17", "S-18", "S-24", "S-25")
def test_everything_is_done_on_the_pages_and_arrives_on_the_device(
    fleet, ada, page, docker_engine, registry, unique, tmp_path
):
    policy = tmp_path / "policy.yaml"
    policy.write_text("apply: {approval: automatic}\n")
    device = enroll(fleet, tmp_path, unique, invite(ada, unique), docker_engine)
    device.policy = policy
    with device.running():
        see(ada, unique, "Used")

        first = application(registry, unique, page("one"), "1.0.0")
        packed, _ = publish(tmp_path / "author", first)
        ada.go("/packages")
        ada.page.get_by_role("link", name=re.compile("Add")).first.click()
        ada.page.get_by_label("Package", exact=True).set_input_files(packed)
        button(ada.page, "Upload").click()
        expect(ada.page.get_by_role("heading", name=unique).first).to_be_visible()
        ada.picture("way-3-package")

        ada.go(f"/devices/{unique}")
        see(ada, unique, "In contact")
        ada.page.get_by_role("link", name="Deploy", exact=True).click()
        ada.page.get_by_label("greeting").first.fill("from the page")
        ada.picture("way-4-deploy")
        button(ada.page, "Preview").click()
        expect(ada.page.get_by_role("heading", name="What will happen")).to_be_visible()
        ada.picture("way-5-preview")
        button(ada.page, "Deploy to 1 device").click()
        ada.page.wait_for_url(re.compile(r"/(assignments|rollouts)/"))
        ada.go(f"/devices/{unique}")
        see(ada, unique, "All that is to run here is installed")
        ada.picture("way-6-installed")
        made = fleet.server.operator.get("/deployments")["items"][0]
        fleet._made.append((device, made["id"]))
        assert device.get(made["id"], "app", "/") == "one"
        assert device.environment(made["id"], "app")["GREETING"] == "from the page"
        assignment = fleet.server.operator.get("/assignments")["items"][0]["name"]

        # Somebody on site wants to be asked from now on; another version comes from the registry.
        policy.write_text("apply: {approval: required}\n")
        _, reference = publish(
            tmp_path / "author", replace(application(registry, unique, page("two"), "2.0.0"))
        )
        ada.go("/add-packages")
        ada.page.get_by_label("Reference", exact=True).fill(reference)
        button(ada.page, "Import").click()
        expect(ada.page.get_by_text("2.0.0").first).to_be_visible()
        wait_until(
            lambda: (
                fleet.server.operator.get(f"/devices/{unique}")["site"]["policy"]["apply"]["approval"]
                == "required"
            ),
            what="the site's policy is not known",
        )
        change(ada, assignment, "2.0.0")
        ada.go(f"/devices/{unique}")
        see(ada, unique, "Waiting for approval")
        ada.picture("way-7-waiting-for-approval")
        assert device.get(made["id"], "app", "/") == "one"
        words = device.agent("approvals", "approve", "1", "--by", "Kim", "--reason", "between two shifts")
        done = subprocess.run(words, capture_output=True, text=True, env=own_environment(), check=False)
        assert done.returncode == 0, done.stderr
        see(ada, unique, "All that is to run here is installed")
        see(ada, unique, re.compile("Kim"))
        ada.picture("way-8-approved")
        assert device.get(made["id"], "app", "/") == "two"
        policy.write_text("apply: {approval: automatic}\n")
        wait_until(
            lambda: (
                fleet.server.operator.get(f"/devices/{unique}")["site"]["policy"]["apply"]["approval"]
                == "automatic"
            ),
            what="the site's policy is not known",
        )

        # A version that exits: what worked runs again, and the page says both.
        _, reference = publish(
            tmp_path / "author",
            application(
                registry, unique, page("three"), "3.0.0", command=["sh", "-c", "echo no licence; exit 3"]
            ),
        )
        ada.go("/add-packages")
        ada.page.get_by_label("Reference", exact=True).fill(reference)
        button(ada.page, "Import").click()
        change(ada, assignment, "3.0.0")
        ada.go(f"/devices/{unique}")
        see(ada, unique, re.compile("no licence"))
        see(ada, unique, re.compile("is running again"))
        ada.picture("way-9-failed")
        assert device.get(made["id"], "app", "/") == "two"

        # Back to the revision before, and then away with it.
        ada.go(f"/assignments/{assignment}")
        ada.page.get_by_role("link", name="Go back to this").first.click()
        button(ada.page, re.compile("Change 1 device|Go back|Deploy")).first.click()
        ada.go(f"/devices/{unique}")
        see(ada, unique, "All that is to run here is installed")
        assert device.get(made["id"], "app", "/") == "two"
        ada.go(f"/assignments/{assignment}")
        button(ada.page, "Delete…").click()
        ada.picture("way-10-delete")
        button(ada.page, "Delete and remove").click()
        ada.go(f"/devices/{unique}")
        see(ada, unique, "Nothing is deployed here")
        ada.picture("way-11-removed")
        wait_until(lambda: device.leftovers(made["id"]) == [], what="something is left on the device")


def test_the_first_administrator_signs_in_with_the_password_that_is_printed_once(chromium, tmp_path):
    words = [
        *EDGEWRIGHT,
        "server",
        "init",
        "--data",
        str(tmp_path / "server"),
        "--trust-domain",
        "plant.example",
    ]
    done = subprocess.run(
        [*words, "--host", "127.0.0.1", "--device-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        env=own_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"as 'admin' with the password (\S+)", done.stdout)
    assert found is not None, done.stdout
    with ServerProcess(tmp_path / "server") as server:
        somebody = visit(chromium, server, None)
        somebody.go("/")
        for password in ("wrong", found[1]):
            somebody.page.get_by_label("Name", exact=True).fill("admin")
            somebody.page.get_by_label("Password", exact=True).fill(password)
            button(somebody.page, "Sign in").click()
        somebody.page.wait_for_url("**/account/password**")
        for field in somebody.page.locator("input[type=password]").all():
            asked = field.get_attribute("name")
            field.fill(found[1] if asked == "password" else PASSWORD)
        somebody.page.locator("main").get_by_role("button").first.click()
        expect(somebody.page.get_by_role("heading", name="Welcome")).to_be_visible()
        somebody.close()
