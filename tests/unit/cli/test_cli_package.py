"""An application package as a folder, and what a registry gets of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.agent.settings import Settings
from edgewright.cli.component import checked_component
from edgewright.cli.demo.hello_files import HELLO, VERSIONS, copy_for
from edgewright.cli.errors import UsageError
from edgewright.cli.main import run
from edgewright.cli.packages import (
    compose_components,
    package_archive,
    package_artefact,
    package_reference,
    read_package,
)
from edgewright.protocol.archive import read_archive
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.oci import parse_manifest

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("name", ["settings", "camera"])
def test_the_other_examples_are_good_packages(name):
    assert read_package(EXAMPLES / name / "package").title == f"{name} 1.0.0"


def test_the_example_settings_fit_the_agent():
    settings = Settings.load(str(EXAMPLES / "camera" / "agent.yaml"))
    assert settings.capabilities.labels == {"example.org/hall": "2"}


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """The example's package 1.0.0, to be changed by a test."""
    copy_for("registry.example:5000", tmp_path)
    return tmp_path / "1.0.0" / "package"


def change(folder: Path, old: str, new: str) -> None:
    """Replace `old` in the package's margo.yaml."""
    text = (folder / "margo.yaml").read_text()
    assert old in text
    (folder / "margo.yaml").write_text(text.replace(old, new))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_example_is_a_good_package(version):
    package = read_package(HELLO / version / "package")
    assert package.title == f"hello {version}"
    assert [component.name for component in compose_components(package)] == ["sensor", "greeter"]


@pytest.mark.parametrize(
    "folder", [*sorted(HELLO.glob("*/components/*")), EXAMPLES / "settings/components/show"]
)
def test_the_examples_components_are_good(folder, capsys, monkeypatch):
    monkeypatch.setattr("edgewright.cli.compose_config.check_by_compose", lambda _folder: [])
    assert checked_component(folder)
    assert capsys.readouterr().err == ""


def test_the_copy_names_the_registry_at_hand(hello):
    components = compose_components(read_package(hello))
    assert components[0].properties.repository == "oci://registry.example:5000/hello/components/sensor"
    compose = hello.parent / "components" / "sensor" / "compose.yaml"
    assert "registry.example:5000/hello/sensor:1.0.0" in compose.read_text()


@pytest.mark.requirement("REG-2", "REG-3", "REG-4", "REG-5")
def test_a_package_is_published_as_the_specification_says(hello):
    artefact = package_artefact(read_package(hello))
    plain = json.loads(artefact.manifest)
    assert plain["artifactType"] == "application/vnd.margo.app.v1+json"
    assert plain["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert plain["config"]["data"] == "e30="
    layers = parse_manifest(artefact.manifest).layers
    assert layers[0].media_type == "application/vnd.margo.app.description.v1+yaml"
    assert {layer.media_type: layer.annotations["org.margo.app.resource"] for layer in layers[1:]} == {
        "application/vnd.margo.app.icon.v1+svg": "icon",
        "application/vnd.margo.app.descriptionFile.v1+md": "descriptionFile",
        "application/vnd.margo.app.licenseFile.v1+txt": "licenseFile",
        "application/vnd.margo.app.releaseNotes.v1+md": "releaseNotes",
    }
    assert artefact.blobs[1] == (hello / "margo.yaml").read_bytes()


def test_the_archive_for_the_server_holds_the_folder(hello):
    archive = read_archive(package_archive(read_package(hello)), source="hello")
    assert "margo.yaml" in archive.entries
    assert "resources/icon.svg" in archive.entries


@pytest.mark.requirement("REG-6")
@pytest.mark.parametrize("text", ["oci://h:5000/hello", "oci://h:5000/hello:1.0.0"])
def test_a_packages_tag_is_its_version(hello, text):
    assert str(package_reference(text, read_package(hello))) == "oci://h:5000/hello:1.0.0"


@pytest.mark.requirement("REG-6")
@pytest.mark.parametrize("text", ["oci://h/hello:2.0.0", "oci://h/hello@sha256:" + "0" * 64])
def test_any_other_tag_is_refused(hello, text):
    with pytest.raises(UsageError, match=r"which is 1\.0\.0 here"):
        package_reference(text, read_package(hello))


def test_a_folder_without_a_description_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"there is no margo\.yaml"):
        read_package(tmp_path)


def test_a_resource_that_is_missing_is_named(hello):
    (hello / "resources" / "icon.svg").unlink()
    with pytest.raises(UsageError, match=r"application\.icon: there is no file 'resources/icon\.svg'"):
        read_package(hello)


@pytest.mark.requirement("CFG-2")
def test_a_default_against_the_packages_own_rules_is_named(hello):
    change(hello, "value: teal", "value: pink")
    with pytest.raises(UsageError, match=r"\$\.parameters\.colour\.value"):
        read_package(hello)


@pytest.mark.requirement("VER-2", "PKG-6")
def test_another_api_version_is_refused(hello):
    change(hello, "apiVersion: v1", "apiVersion: v9")
    with pytest.raises(DocumentError, match=r"margo\.yaml: \$\.apiVersion"):
        read_package(hello)


def test_check_says_what_the_package_is(capsys):
    assert run(["package", "check", str(HELLO / "1.0.0" / "package")]) == 0
    printed = capsys.readouterr().out
    assert "hello 1.0.0" in printed
    assert "hello-compose (compose)" in printed


@pytest.mark.parametrize("words", [["package", "check"], ["component", "check"]])
def test_check_of_what_is_not_there_is_refused(words, tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        run([*words, str(tmp_path / "gone")])
