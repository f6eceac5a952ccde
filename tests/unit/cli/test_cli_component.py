"""What makes a folder a Compose component, and what is published of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.cli.component import checked_component, default_name, version_reference
from edgewright.cli.compose_check import check_component
from edgewright.cli.compose_config import needed_variables
from edgewright.cli.errors import UsageError
from edgewright.cli.folder import read_folder
from edgewright.cli.publishing import component_artefact
from edgewright.protocol import yaml
from edgewright.protocol.archive import compose_root, read_archive
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.oci import parse_manifest

GOOD = "services: {web: {image: 'example/web:1.0.0'}}"


def findings(compose: str, **files: str) -> list[tuple[str, bool]]:
    """Return (path, fatal) of what is found in a component of these files."""
    found = check_component(
        {"compose.yaml": compose.encode(), **{name: text.encode() for name, text in files.items()}},
        source="c",
    )
    return [(finding.path, finding.fatal) for finding in found]


@pytest.mark.requirement("CMP-5", "CMP-7", "CMP-8")
@pytest.mark.parametrize(
    ("compose", "expected"),
    [
        pytest.param(GOOD, [], id="an image is all it takes"),
        pytest.param("- a", [("$", True)], id="not a mapping"),
        pytest.param("", [("$", True)], id="an empty file"),
        pytest.param("services: {}", [("$.services", True)], id="no service"),
        pytest.param("services: {web: 5}", [("$.services.web", True)], id="a service that is no mapping"),
        pytest.param("services: {web: {build: .}}", [("$.services.web.image", True)], id="built here"),
        pytest.param(
            "services: {web: {image: nginx}}",
            [("$.services.web.image", False)],
            id="an image without version",
        ),
        pytest.param(
            "services: {web: {image: 'host:5000/nginx'}}",
            [("$.services.web.image", False)],
            id="a port is no version",
        ),
        pytest.param("services: {web: {image: 'nginx@sha256:ab'}}", [], id="an image by digest"),
        pytest.param(
            "services: {web: {image: 'a:1', env_file: there}, b: {image: 'a:1', env_file: [./there]}}",
            [],
            id="env_file in the folder",
        ),
        pytest.param(
            "services: {web: {image: 'a:1', env_file: [{path: gone}, {path: no, required: false}]}}",
            [("$.services.web.env_file[0].path", True)],
            id="env_file that is missing",
        ),
        pytest.param(
            "services: {web: {image: 'a:1', env_file: ../there}}",
            [("$.services.web.env_file", True)],
            id="env_file outside",
        ),
        pytest.param(
            "services: {web: {image: 'a:1', env_file: /etc/passwd}}",
            [("$.services.web.env_file", True)],
            id="env_file absolute",
        ),
        pytest.param(
            "services: {web: {image: 'a:1', env_file: '${NAME}.env'}}",
            [("$.services.web.env_file", False)],
            id="env_file by variable",
        ),
        pytest.param(
            f"{GOOD}\nconfigs: {{a: {{file: there}}, b: {{file: gone}}, c: {{content: x}}}}",
            [("$.configs.b.file", True)],
            id="configs by file",
        ),
        pytest.param(
            f"{GOOD}\nsecrets: {{a: {{file: there}}, b: {{file: ./gone}}}}",
            [("$.secrets.a.file", False)],
            id="a secret that would be published",
        ),
        pytest.param(
            "services: {web: {image: 'a:1', volumes: ['./there:/x', './gone:/y', 'named:/z', '/host:/h']}}",
            [("$.services.web.volumes[0]", False)],
            id="a bind mount of the folder",
        ),
        pytest.param(f"{GOOD}\ninclude: [gone.yaml]", [("$.include[0]", True)], id="include that is missing"),
        pytest.param(
            "x-base: &base {image: 'a:1'}\nservices: {web: {<<: *base}, b: {<<: [*base]}}",
            [],
            id="merge keys are carried out",
        ),
        pytest.param(
            "services: {web: {extends: {file: gone.yaml, service: x}}}",
            [("$.services.web.extends.file", True)],
            id="extends a file that is missing",
        ),
    ],
)
def test_what_is_wrong_with_a_component_is_named_with_its_place(compose, expected):
    assert findings(compose, there="x") == expected


@pytest.mark.requirement("CMP-5")
@pytest.mark.parametrize("name", ["compose.yml", "docker-compose.yaml", "docker-compose.yml"])
def test_no_other_spelling_of_the_file_is_valid(name):
    (finding,) = check_component({name: GOOD.encode()}, source="c")
    assert finding.fatal
    assert name in finding.message


def test_a_compose_file_that_does_not_parse_is_named_with_its_line():
    with pytest.raises(DocumentError, match=r"c/compose\.yaml"):
        check_component({"compose.yaml": b"services: [\n"}, source="c")


@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_whatever_a_service_is_the_check_answers(service):
    document = {"services": {"web": service}, "configs": service, "secrets": service, "include": service}
    assert check_component({"compose.yaml": yaml.dump(document)}, source="c") is not None


@pytest.mark.parametrize(
    "compose",
    [
        pytest.param(b"a: \xff", id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b"x" * (1 << 20) + b"x", id="too large"),
    ],
)
def test_a_hostile_compose_file_is_refused(compose):
    with pytest.raises(DocumentError):
        check_component({"compose.yaml": compose}, source="c")


def test_merges_of_merges_cost_no_more_than_they_say():
    """Older YAML libraries repeat what is merged at every level, newer ones do not: either has to end."""
    levels = "".join(
        f"a{level}: &a{level} {{<<: [{','.join([f'*a{level - 1}'] * 10)}]}}\n" for level in range(1, 9)
    )
    bomb = "a0: &a0 {" + ",".join(f"k{key}: 1" for key in range(10)) + "}\n" + levels
    try:
        result = check_component({"compose.yaml": bomb.encode()}, source="c")
    except DocumentError:
        return
    assert len(repr(result)) < 10_000


FILES = {"compose.yaml": (GOOD.encode(), 0o644), "bin/run": (b"#!/bin/sh\n", 0o755)}


@pytest.mark.requirement("CMP-3", "CMP-4", "CMP-5")
def test_a_component_is_one_layer_with_one_folder_and_the_annotations():
    artefact = component_artefact(
        FILES, name="web", version="1.0.0", about={"org.opencontainers.image.title": "Web"}
    )
    manifest = parse_manifest(artefact.manifest)
    (layer,) = manifest.layers
    assert manifest.artifact_type == "application/vnd.org.margo.component.compose+json"
    assert manifest.annotations == {"org.opencontainers.image.title": "Web"}
    assert layer.media_type == "application/vnd.org.margo.component.compose.tar+gzip"
    assert layer.annotations["org.margo.component.type"] == "compose"
    assert layer.annotations["org.margo.component.version"] == "1.0.0"
    archive = read_archive(artefact.blobs[1], source="web")
    assert compose_root(archive) == "web"
    assert sorted(archive.entries) == ["web/bin/run", "web/compose.yaml"]


def test_the_same_folder_gives_the_same_artefact():
    first, again = (component_artefact(FILES, name="web", version="1.0.0", about={}) for _ in range(2))
    assert first == again


@pytest.mark.requirement("PKG-1")
@pytest.mark.parametrize("text", ["oci://h/web:1.0.0", "oci://h:5000/a/web:1.0.0-rc.1_build.5"])
def test_a_version_is_semver_with_an_underscore_for_the_plus(text):
    assert str(version_reference(text)) == text


@pytest.mark.requirement("PKG-1")
@pytest.mark.parametrize(
    "text",
    ["oci://h/web", "oci://h/web:latest", "oci://h/web:v1.0.0", "h:/x", "oci://h/web@sha256:" + "0" * 64],
)
def test_what_is_no_version_is_refused(text):
    with pytest.raises(DocumentError):
        version_reference(text)


@pytest.mark.parametrize(
    ("folder", "name"), [("web", "web"), ("My Shop_2", "my-shop-2"), ("___", "component")]
)
def test_a_component_is_named_like_its_folder(folder, name, tmp_path):
    assert default_name(tmp_path / folder) == name


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a: $NAME", ["NAME"]),
        ("a: ${NAME} ${OTHER}", ["NAME", "OTHER"]),
        ("a: ${NAME:?say so} ${B?}", ["B", "NAME"]),
        ("a: ${NAME:-x} ${NAME-x} ${NAME:+x}", []),
        ("a: $$NAME $${NAME}", []),
    ],
)
def test_variables_without_a_default_are_found(text, names):
    assert needed_variables(text) == names


@pytest.fixture(autouse=True)
def no_compose_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program is run here; tests/integration asks the real one."""
    monkeypatch.setattr("edgewright.cli.compose_config.check_by_compose", lambda _folder: [])


def component_folder(path: Path) -> Path:
    path.mkdir()
    (path / "compose.yaml").write_text(GOOD)
    return path


def test_a_good_folder_is_read_whole(tmp_path):
    folder = component_folder(tmp_path / "web")
    (folder / "run").write_text("x")
    (folder / "run").chmod(0o755)
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("x")
    assert checked_component(folder) == {"compose.yaml": (GOOD.encode(), 0o644), "run": (b"x", 0o755)}


def test_what_is_wrong_is_refused_in_one_error(tmp_path):
    folder = component_folder(tmp_path / "web")
    (folder / "compose.yaml").write_text("services: {a: {}, b: {}}")
    with pytest.raises(UsageError, match=r"services\.a\.image.*\n.*services\.b\.image"):
        checked_component(folder)


def test_a_warning_does_not_stop_it(tmp_path, capsys):
    folder = component_folder(tmp_path / "web")
    (folder / "compose.yaml").write_text("services: {a: {image: nginx}}")
    assert checked_component(folder)
    assert "warning" in capsys.readouterr().err


def test_a_link_inside_the_folder_is_read_as_its_file(tmp_path):
    folder = component_folder(tmp_path / "web")
    (folder / "alias").symlink_to("compose.yaml")
    assert read_folder(folder)["alias"] == (GOOD.encode(), 0o644)


@pytest.mark.requirement("CMP-9")
@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "gone", "folder"])
def test_a_link_that_cannot_travel_is_refused(target, tmp_path):
    folder = component_folder(tmp_path / "web")
    (tmp_path / "outside").write_text("x")
    (folder / "folder").mkdir()
    (folder / "alias").symlink_to(target)
    with pytest.raises(UsageError, match="alias"):
        read_folder(folder)


@pytest.mark.parametrize("name", ["gone", "file"])
def test_what_is_no_folder_is_refused(name, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="folder"):
        read_folder(tmp_path / name)
