"""The pages of packages and sources in a real browser: whole tasks, every width, light and dark."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from support.browser import WIDTHS, visit
from support.packages import describing, write_package
from support.processes import wait_until
from support.server_process import ServerProcess

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4"/></svg>'
README = b"# Pump watch\n\nWatches **pumps**.\n\n| What | How often |\n|---|--:|\n| pressure | 10 s |\n"
ROLES = {
    "icon": "icon.svg",
    "descriptionFile": "README.md",
    "releaseNotes": "notes.md",
    "licenseFile": "LICENSE",
}
FILES = {"icon.svg": SVG, "README.md": README, "notes.md": b"- faster", "LICENSE": b"free\n" * 50}
PAGES = (
    "/packages",
    "/packages?tag=pumps",
    "/packages?q=nothing-of-that-name",
    "/packages/pump-watch",
    "/packages/pump-watch/1.1.0",
    "/packages/pump-watch/1.1.0/devices",
    "/packages/plain/1.0.0",
    "/add-packages",
    "/sources",
    "/sources/new",
    "/sources/vendor",
    "/sources/vendor/edit",
    "/sources/gone",
)


def rich(version: str) -> bytes:
    """Return a description with all that one can have."""
    made: dict[str, Any] = json.loads(describing("pump-watch", version, files=ROLES))
    made["metadata"]["name"] = "Pump watch"
    made["metadata"]["description"] = "Watches pumps and says when one is about to fail."
    made["metadata"]["catalog"]["application"] |= {
        "tagline": "Knows before the pump does",
        "tags": ["pumps", "predictive"],
        "site": "https://pumps.example/a/very/long/address/that/has/no/place/to/break/in/it",
    }
    made["metadata"]["catalog"]["author"] = [{"name": "Ada", "email": "ada@example.org"}]
    made["deploymentProfiles"][0]["deviceConstraints"] = {
        "capacityRequirements": {"cpu": {"cores": 2, "architectures": ["amd64"]}, "memory": "512Mi"},
        "eligibilityRules": [
            {
                "labelSelector": {
                    "matchExpressions": [{"key": "site", "operator": "In", "values": ["berlin", "bonn"]}]
                }
            }
        ],
    }
    made["parameters"] = {"rate": {"value": 10, "targets": [{"pointer": "RATE", "components": ["app"]}]}}
    made["configuration"] = {
        "sections": [
            {
                "name": "Measuring",
                "settings": [
                    {
                        "parameter": "rate",
                        "name": "Rate",
                        "description": "Seconds",
                        "schema": "n",
                        "immutable": True,
                    }
                ],
            }
        ],
        "schema": [{"name": "n", "dataType": "integer"}],
    }
    return json.dumps(made).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("packages")
    for version in ("1.0.0", "1.1.0", "2.0.0-rc.1"):
        write_package(made / f"pump-{version}", rich(version), FILES)
    write_package(made / "plain", describing("plain"))
    write_package(made / "bad", b"apiVersion: v1\nid: Not An Id\n")
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[ServerProcess]:
    with ServerProcess.create(tmp_path_factory.mktemp("catalogue-pages") / "server") as running:
        add = running.operator
        add.post(
            "/sources", {"name": "vendor", "kind": "folder", "location": str(folder), "every_minutes": None}
        )
        add.post(
            "/sources",
            {"name": "gone", "kind": "registry", "location": "127.0.0.1:1", "repositories": ["a/*"]},
        )
        for name in ("vendor", "gone"):
            wait_until(
                lambda name=name: add.get(f"/sources/{name}")["status"]["ended"],  # type: ignore[misc]
                what=f"{name} was not looked through",
            )
        yield running


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_for_everybody_at_every_width(
    chromium: Browser, server: ServerProcess, width: int
) -> None:
    ada = visit(chromium, server, "admin", width=width)
    told: list[str] = []
    for path in PAGES:
        assert ada.go(path).status == 200, path
        name = f"catalogue{path.replace('/', '-').partition('?')[0]}"
        told += [f"{path}: {one}" for one in ada.wrong(name, keyboard=width == 1280)]
    ada.close()
    assert told == []


def test_a_source_is_added_and_what_it_finds_appears_by_itself(
    chromium: Browser, server: ServerProcess, folder: Path, unique: str, tmp_path: Path
) -> None:
    write_package(tmp_path / "shop", describing(unique))
    ada = visit(chromium, server, "admin")
    ada.go("/sources/new")
    ada.page.get_by_label("Name", exact=True).first.fill(unique)
    ada.page.get_by_label("A folder on the server's disk").check()
    expect(ada.page.get_by_label("Host")).to_be_hidden()
    ada.page.get_by_label("Folder", exact=True).fill(str(tmp_path))
    ada.page.get_by_role("button", name="Add and look through it").click()
    expect(ada.page).to_have_url(f"{server.web_url}/sources/{unique}")
    # No reload from here on: the page follows by itself.
    expect(ada.page.get_by_role("link", name=f"{unique} 1.0.0")).to_be_visible()
    write_package(tmp_path / "more", describing(f"{unique}-more"))
    server.operator.post(f"/sources/{unique}/look")
    expect(ada.page.get_by_role("link", name=f"{unique}-more 1.0.0")).to_be_visible()
    assert ada.complaints == []
    ada.close()


def test_a_package_is_uploaded_and_removed_with_the_mouse_alone(
    chromium: Browser, server: ServerProcess, unique: str, tmp_path: Path
) -> None:
    import shutil

    write_package(tmp_path / "work" / "shop", describing(unique))
    archive = shutil.make_archive(str(tmp_path / "shop"), "zip", tmp_path / "work", "shop")
    ada = visit(chromium, server, "operator")
    ada.go("/packages")
    ada.page.get_by_role("link", name="Add packages").click()
    ada.page.locator("input[type=file]").set_input_files(archive)
    ada.page.get_by_role("button", name="Upload").click()
    expect(ada.page.get_by_role("heading", level=1)).to_have_text(f"{unique.title()} 1.0.0")
    ada.page.get_by_role("button", name="Remove…").click()
    ada.page.get_by_role("button", name="Remove it").click()
    expect(ada.page.get_by_role("status").first).to_contain_text("is removed from the catalogue")
    assert ada.complaints == []
    ada.close()


def test_pages_work_without_scripts(chromium: Browser, server: ServerProcess) -> None:
    ada = visit(chromium, server, "operator", scripts=False)
    ada.go("/packages/pump-watch/1.1.0")
    ada.page.get_by_role("link", name="Show which devices it fits").click()
    expect(ada.page.get_by_text("No device has reported itself yet.")).to_be_visible()
    ada.close()
