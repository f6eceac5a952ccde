"""Publishing from the command line: to a real registry, open or with TLS and a password."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.cli.demo.hello_files import copy_for
from edgewright.net.oci import RegistryClient, RegistryNotFoundError
from edgewright.protocol.archive import compose_root, read_archive
from edgewright.protocol.oci import parse_manifest
from support.images import RegistryAccess

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def edgewright(tmp_path: Path) -> Run:
    """Run `edgewright WORDS` as a person without settings of their own."""

    def call(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgewright.cli.main", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | environment,
        )

    return call


@pytest.fixture
def component(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "compose.yaml").write_text("services: {web: {image: 'localhost:5000/web:1.0.0'}}\n")
    return folder


@pytest.fixture
def hello(tmp_path: Path, registry: RegistryAccess, unique: str) -> Path:
    """The example's version 1.0.0 under a name of this test's own; package and components."""
    copy_for(f"{registry.host}/{unique}", tmp_path / "hello")
    return tmp_path / "hello" / "1.0.0"


@pytest.mark.requirement("CMP-3", "CMP-4", "CMP-5", "REG-1")
def test_a_published_component_is_what_a_device_expects(edgewright, component, registry, unique):
    done = edgewright("component", "publish", component, f"oci://{registry.host}/{unique}/web:1.2.3")
    assert done.returncode == 0, done.stderr
    with RegistryClient(registry.host) as client:
        manifest = parse_manifest(client.manifest(f"{unique}/web", "1.2.3").data)
        (layer,) = manifest.layers
        archive = read_archive(client.blob(f"{unique}/web", layer.digest, limit=1 << 20), source="web")
    assert compose_root(archive) == "web"
    assert layer.annotations["org.margo.component.version"] == "1.2.3"


def test_publishing_again_changes_nothing(edgewright, component, registry, unique):
    reference = f"oci://{registry.host}/{unique}/web:1.0.0"
    first = edgewright("component", "publish", component, reference)
    again = edgewright("component", "publish", component, reference)
    assert again.returncode == 0
    assert "was there already" in again.stdout
    assert first.stdout.splitlines()[1] == again.stdout.splitlines()[1]


def test_other_content_under_a_published_version_is_refused_unless_asked_for(
    edgewright, component, registry, unique
):
    reference = f"oci://{registry.host}/{unique}/web:1.0.0"
    edgewright("component", "publish", component, reference)
    (component / "more").write_text("x")
    refused = edgewright("component", "publish", component, reference)
    assert refused.returncode == 2
    assert "--replace" in refused.stderr
    assert edgewright("component", "publish", component, reference, "--replace").returncode == 0


@pytest.mark.requirement("CMP-5")
def test_the_compose_program_has_its_say_before_publishing(edgewright, component, testbed):
    compose = next(iter(testbed.engines.values())).compose
    (component / "compose.yaml").write_text("services: {web: {image: 'a:1', imgae: b}}\n")
    path = f"{Path(compose).parent}:{os.environ['PATH']}"
    wrong = edgewright("component", "check", component, PATH=path)
    assert wrong.returncode == 2
    assert "imgae" in wrong.stderr
    (component / "compose.yaml").write_text("services: {web: {image: 'a:1', ports: ['$PORT:soon']}}\n")
    doubtful = edgewright("component", "check", component, PATH=path)
    assert doubtful.returncode == 0
    assert "warning" in doubtful.stderr


@pytest.mark.requirement("REG-2", "REG-6")
def test_a_package_is_published_with_its_components(edgewright, hello, registry, unique):
    target = f"oci://{registry.host}/{unique}/hello/package"
    words = ("package", "publish", hello / "package", target, "--components", hello / "components")
    done = edgewright(*words)
    assert done.returncode == 0, done.stderr
    with RegistryClient(registry.host) as client:
        assert client.tags(f"{unique}/hello/package") == ["1.0.0"]
        assert client.tags(f"{unique}/hello/components/sensor") == ["1.0.0"]
        assert client.tags(f"{unique}/hello/components/greeter") == ["1.0.0"]


def test_nothing_is_published_while_a_component_is_missing_or_wrong(edgewright, hello, registry, unique):
    (hello / "components" / "greeter" / "compose.yaml").write_text("services: {}\n")
    target = f"oci://{registry.host}/{unique}/hello/package"
    words = ("package", "publish", hello / "package", target, "--components", hello / "components")
    wrong = edgewright(*words)
    assert wrong.returncode == 2
    assert "greeter/compose.yaml: $.services" in wrong.stderr
    (hello / "components" / "greeter" / "compose.yaml").unlink()
    (hello / "components" / "greeter").rmdir()
    missing = edgewright(*words)
    assert missing.returncode == 2
    assert "component greeter" in missing.stderr
    with RegistryClient(registry.host) as client, pytest.raises(RegistryNotFoundError):
        client.tags(f"{unique}/hello/components/sensor")


@pytest.mark.requirement("REG-8")
def test_a_private_registry_is_reached_by_its_settings(
    edgewright, component, secured_registry, unique, tmp_path
):
    host = secured_registry.host
    (tmp_path / "password").write_text(f"{secured_registry.password}\n")
    settings = {"ca": secured_registry.ca, "username": secured_registry.username, "password_file": "password"}
    (tmp_path / "registries.yaml").write_text(json.dumps({"hosts": {host: settings}}))
    words = ("component", "publish", component, f"oci://{host}/{unique}/web:1.0.0")
    unknown = edgewright(*words)
    assert unknown.returncode == 2
    assert host in unknown.stderr
    done = edgewright(*words, "--registries", tmp_path / "registries.yaml")
    assert done.returncode == 0, done.stderr
    usual = tmp_path / ".config" / "edgewright"
    usual.mkdir(parents=True)
    (usual / "registries.yaml").write_text(json.dumps({"hosts": {host: {**settings, "password_file": None}}}))
    (usual / "registries.yaml").write_text((tmp_path / "registries.yaml").read_text())
    (usual / "password").write_text((tmp_path / "password").read_text())
    assert "was there already" in edgewright(*words).stdout


def test_a_registry_that_is_down_is_said_in_one_line(edgewright, component, own_registry):
    own_registry.stop()
    done = edgewright("component", "publish", component, f"oci://{own_registry.host}/web:1.0.0")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert own_registry.host in done.stderr


@pytest.mark.parametrize("command", ["demo images", "component publish", "package publish"])
def test_settings_that_are_not_there_are_named(edgewright, command, component, tmp_path):
    arguments = {
        "demo images": ["localhost:1"],
        "component publish": [component, "oci://localhost:1/x:1.0.0"],
        "package publish": [component, "oci://localhost:1/x"],
    }[command]
    done = edgewright(*command.split(), *arguments, "--registries", tmp_path / "gone.yaml")
    assert done.returncode == 2
