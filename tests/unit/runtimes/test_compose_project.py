import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.agent.runtimes import Component, ComponentInvalidError
from edgewright.agent.runtimes.compose_project import (
    PROBE_KEY,
    Project,
    authored_environment,
    build_project,
    check_environment,
    check_files,
    interpolated_names,
    parameter_file,
    probe_file,
    project_name,
    read_configuration,
    secret_parameters,
)


def component(environment: Mapping[str, str] | None = None, *, name: str = "web") -> Component:
    return Component(
        deployment_id="d1",
        revision="sha256:1",
        name=name,
        repository="oci://r/a",
        version="1.0.0",
        environment=environment or {},
        directory="/projects/d1/1/web",
    )


def project(
    services: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    *,
    authored: Mapping[str, Mapping[str, object]] | None = None,
    **rest: object,
) -> Project:
    configuration = {"name": "x", "services": services, **rest}
    return build_project(configuration, authored or {}, component(environment), owner="me")


def document(made: Project) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(made.document)
    return content


# --- names ----------------------------------------------------------------------------------------------


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_project_name_is_one_that_compose_takes(deployment_id: str, name: str):
    made = project_name(deployment_id, name)
    assert len(made) <= 60
    assert made.startswith("ew-")
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    assert made == project_name(deployment_id, name)


def test_projects_of_different_components_never_share_a_name():
    names = {project_name(deployment, name) for deployment in "ab" for name in ("web", "Web", "we/b", "we.b")}
    assert len(names) == 8


@pytest.mark.parametrize(
    "environment", [{"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "x\0y"}, {"A": "\ud800"}, {"\udfff": "x"}]
)
def test_what_no_process_can_have_in_its_environment_is_refused(environment: dict[str, str]):
    with pytest.raises(ComponentInvalidError, match="parameter"):
        check_environment(environment)


def test_some_parameters_reach_containers_only():
    names = ["A", "_a1", "with-dash", "1a", "COMPOSE_FILE", "compose_file", "DOCKER_HOST", "CTRL", "ä"]
    environment = dict.fromkeys(names, "x") | {"CTRL": "\x1b"}
    assert interpolated_names(environment) == ["A", "DOCKER_HOST", "_a1"]


# --- what the program reads and says --------------------------------------------------------------------


@given(
    st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text(max_size=40), max_size=5)
)
def test_a_parameter_file_has_one_line_for_each_parameter(environment: dict[str, str]):
    names = interpolated_names(environment)
    lines = parameter_file(environment).decode("utf-8", "surrogatepass").split("\n") if names else [""]
    assert [line.partition("=")[0] for line in lines[:-1]] == names
    assert lines[-1] == ""


def test_a_parameter_file_escapes_what_the_program_would_take_for_its_own():
    assert parameter_file({"A": 'a"b\\c$d\ne'}) == b'A="a\\"b\\\\c\\$d\\ne"\n'


def configuration_with(probe: Mapping[str, str], *, dollar: str = "a$$b") -> bytes:
    told = {"services": {"a": {"image": "x$$y"}}, PROBE_KEY: {"dollar": dollar, "parameters": probe}}
    return json.dumps(told).encode()


def test_a_configuration_is_read_whether_the_program_doubles_dollars_or_not():
    doubled = read_configuration(configuration_with({"A": "$$1"}), {"A": "$1"})
    plain = read_configuration(configuration_with({"A": "$1"}, dollar="a$b"), {"A": "$1"})
    assert doubled["services"]["a"]["image"] == "x$y"
    assert plain["services"]["a"]["image"] == "x$$y"
    assert PROBE_KEY not in doubled


def test_a_parameter_that_did_not_get_through_is_named():
    with pytest.raises(ComponentInvalidError, match="parameter A: this Compose program cannot carry"):
        read_configuration(configuration_with({"A": "other"}), {"A": "value"})


def test_the_probe_asks_for_every_parameter():
    probe = json.loads(probe_file({"A": "x", "with-dash": "y"}))
    assert probe[PROBE_KEY]["parameters"] == {"A": "${A}"}


def test_the_authors_environment_is_read_service_by_service():
    told = {"services": {"a": {"environment": {"A": "${B}"}}, "b": {}}}
    assert authored_environment(told) == {"a": {"A": "${B}"}, "b": {}}


# --- what runs ------------------------------------------------------------------------------------------


@pytest.mark.requirement("AD-7")
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param(None, "parameter", id="not mentioned"),
        pytest.param({"A": "constant"}, "parameter", id="a constant is a default"),
        pytest.param({"A": "costs $$5"}, "parameter", id="a dollar is no variable"),
        pytest.param({"A": None}, "parameter", id="passed on"),
        pytest.param({"A": 5}, "parameter", id="a number"),
        pytest.param({"A": "x-${A}"}, "resolved", id="composed from variables"),
        pytest.param({"A": "$OTHER"}, "resolved", id="taken from another variable"),
    ],
)
def test_a_parameter_is_injected_unless_the_author_composed_the_variable(
    written: dict[str, object] | None, expected: str
):
    made = project(
        {"s": {"image": "i", "environment": {"A": "resolved", "B": "kept"}}},
        {"A": "parameter"},
        authored={"s": written or {}},
    )
    assert document(made)["services"]["s"]["environment"] == {"A": expected, "B": "kept"}


def test_everything_of_ours_is_labelled_and_nothing_of_others():
    made = project(
        {"s": {"image": "i", "labels": {"theirs": "1"}}},
        networks={"default": {"name": "n"}, "out": {"external": True, "name": "o"}},
        volumes={"v": None, "shared": {"external": True}},
    )
    ours = {
        "io.edgewright.owner": "me",
        "io.edgewright.deployment": "d1",
        "io.edgewright.component": "web",
    }
    content = document(made)
    assert content["services"]["s"]["labels"] == ours | {"theirs": "1"}
    assert content["networks"] == {
        "default": {"name": "n", "labels": ours},
        "out": {"external": True, "name": "o"},
    }
    assert content["volumes"] == {"v": {"labels": ours}, "shared": {"external": True}}


def test_labels_do_not_change_with_the_revision():
    first, second = component(), Component(**{**_fields(component()), "revision": "sha256:2"})
    configuration = {"services": {"s": {"image": "i"}}}
    assert (
        build_project(configuration, {}, first, owner="me").document
        == build_project(configuration, {}, second, owner="me").document
    )


def _fields(value: Component) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def test_nothing_is_built_pulled_or_chosen_by_profile_when_it_starts():
    made = project({"s": {"image": "i", "build": ".", "profiles": ["x"], "pull_policy": "always"}})
    assert document(made)["services"]["s"] == {
        "image": "i",
        "environment": {},
        "labels": document(made)["services"]["s"]["labels"],
        "pull_policy": "never",
    }
    assert made.images == {"s": ("i", None, "always")}


@pytest.mark.parametrize(
    ("service", "count"), [({}, 1), ({"scale": 0}, 0), ({"deploy": {"replicas": 3}}, 3), ({"deploy": {}}, 1)]
)
def test_how_many_containers_a_service_has(service: dict[str, Any], count: int):
    assert project({"s": {"image": "i", **service}}).services == {"s": count}


def test_services_that_end_by_themselves_are_those_whose_author_says_so():
    made = project(
        {
            "init": {"image": "i"},
            "job": {"image": "i", "restart": "no"},
            "retry": {"image": "i", "restart": "on-failure"},
            "web": {"image": "i", "depends_on": {"init": {"condition": "service_completed_successfully"}}},
        }
    )
    assert made.once == {"init", "job"}
    assert document(made)["services"]["job"]["labels"]["io.edgewright.once"] == "true"


def label_of(config: dict[str, Any], environment: dict[str, str] | None = None) -> str | None:
    made = project(
        {"s": {"image": "i", "configs": [{"source": "c"}]}}, environment, configs={"c": config, "other": {}}
    )
    label: str | None = document(made)["services"]["s"]["labels"].get("io.edgewright.files")
    return label


def test_a_service_is_made_anew_for_other_configs_and_secrets():
    labels = {
        label_of({"file": "/p/1/a"}),
        label_of({"file": "/p/2/a"}),
        label_of({"content": "a"}),
        label_of({"content": "b"}),
        label_of({"environment": "A"}, {"A": "1"}),
        label_of({"environment": "A"}, {"A": "2"}),
    }
    assert len(labels) == 6
    assert label_of({"content": "a"}) == label_of({"content": "a"})
    assert label_of({"external": True}) is None


@pytest.mark.parametrize(
    ("services", "words"), [({}, "no service"), ({"s": {"build": "."}}, "service s: it has no image")]
)
def test_what_cannot_run_is_refused(services: dict[str, Any], words: str):
    with pytest.raises(ComponentInvalidError, match=words):
        project(services)


def naming(path: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the places where a Compose file may name `path` as a file of its package."""
    return [
        ({}, {"services": {"s": {"env_file": [{"path": path}]}}}),
        ({}, {"services": {"s": {"env_file": [path]}}}),
        ({"configs": {"c": {"file": path}}}, {}),
    ]


@pytest.mark.parametrize(
    "path", ["/p/settings.env", "/p/conf/${STAGE}.env", "/p/${STAGE:-test}.env", "/p/..env"]
)
def test_files_of_the_package_may_be_named(path: str):
    for configuration, uninterpolated in naming(path):
        check_files(configuration, uninterpolated, home="/p")


@pytest.mark.requirement("CMP-7")
@pytest.mark.parametrize(
    "path",
    [
        "/etc/shadow",
        "/p",
        "/p2/settings.env",
        "/p/../etc/shadow",
        "${FILE}",
        "/p/${X:-../../etc/shadow}",
        "/p/${X:-..}/${Y:-..}/etc/shadow",
    ],
)
def test_files_of_others_may_not(path: str):
    for configuration, uninterpolated in naming(path):
        with pytest.raises(ComponentInvalidError, match="not in the package"):
            check_files(configuration, uninterpolated, home="/p")


def test_secrets_take_their_parameters_but_no_settings():
    secrets = {"a": {"environment": "KEY"}, "b": {"file": "x"}, "c": {"environment": "GONE"}}
    assert secret_parameters({"secrets": secrets}, {"KEY": "1", "OTHER": "2"}) == {"KEY": "1"}
    with pytest.raises(ComponentInvalidError, match="DOCKER_HOST"):
        secret_parameters({"secrets": {"a": {"environment": "DOCKER_HOST"}}}, {})


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_dollars_are_doubled_in_values_so_that_they_are_read_as_they_are(text: str):
    made = project({"s": {"image": "i", "command": [text]}})
    assert document(made)["services"]["s"]["command"] == [text.replace("$", "$$")]
