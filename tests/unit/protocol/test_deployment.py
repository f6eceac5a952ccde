from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol import yaml
from edgewright.protocol.deployment import (
    ApplicationDeployment,
    component_environment,
    timeout_of,
)
from edgewright.protocol.errors import DocumentError
from edgewright.protocol.profiles import ProfileType
from edgewright.protocol.values import value_text


def component(name="web", **properties):
    return {
        "name": name,
        "properties": {"repository": "oci://registry.example/compose/web", "revision": "1.0.0"} | properties,
    }


def parameter(value, pointer="NAME", components=("web",)):
    return {"value": value, "targets": [{"pointer": pointer, "components": list(components)}]}


def deployment(*components, profile=None, parameters=None, spec=None, metadata=None, **changes):
    return {
        "id": "a3e2f5dc-912e-494f-8395-52cf3769bc06",
        "metadata": {"name": "hello", "namespace": "margo", "deviceId": "edge-01"} | (metadata or {}),
        "spec": {
            "applicationId": "hello",
            "deploymentProfile": {"type": "compose", "components": list(components or [component()])}
            | (profile or {}),
            "parameters": parameters or {},
        }
        | (spec or {}),
    } | changes


def parse(value):
    return ApplicationDeployment.parse(yaml.dump(value), source="deployment")


def test_defaults_are_those_of_the_specification():
    profile = parse(deployment()).spec.deployment_profile
    assert profile.type is ProfileType.COMPOSE
    assert profile.components[0].properties.wait is True
    assert profile.components[0].properties.timeout is None
    assert profile.device_constraints is None


@pytest.mark.requirement("OP-3", "OP-4", "OP-27", "VER-4")
def test_what_other_managers_leave_out_or_add_is_no_error():
    value = deployment(apiVersion="application.margo.org/v1alpha1", kind="ApplicationDeployment")
    value["metadata"]["annotations"] = {"id": "x"}
    del value["spec"]["parameters"]
    assert parse(value) == parse(deployment())


@pytest.mark.requirement("OP-5")
@pytest.mark.parametrize("kind", ["helm", "compose", "custom"])
def test_the_three_profile_types_are_read(kind):
    assert parse(deployment(profile={"type": kind})).spec.deployment_profile.type == kind


@pytest.mark.requirement("AD-9", "AD-10", "EXT-1", "EXT-2", "EXT-3")
def test_extensions_of_spec_profile_and_component_come_out_as_they_went_in():
    value = deployment(
        component() | {"x-acme-extensions": {"a": [1, {"b": None}]}},
        component("other") | {"x-acme-extensions": {"c": "yes"}},
        profile={"x-acme-extensions": {"d": 1.5}},
        spec={"x-acme-extensions": {"e": {}}},
    )
    rendered = yaml.load(parse(value).render(), source="rendered")
    for place in (lambda v: v["spec"], lambda v: v["spec"]["deploymentProfile"]):
        assert place(rendered)["x-acme-extensions"] == place(value)["x-acme-extensions"]
    components = rendered["spec"]["deploymentProfile"]["components"]
    assert [each["x-acme-extensions"] for each in components] == [{"a": [1, {"b": None}]}, {"c": "yes"}]


@pytest.mark.requirement("AD-3")
def test_components_keep_their_order():
    names = ["zeta", "alpha", "mid"]
    parsed = parse(deployment(*map(component, names)))
    assert [each.name for each in parsed.spec.deployment_profile.components] == names
    again = ApplicationDeployment.parse(parsed.render())
    assert [each.name for each in again.spec.deployment_profile.components] == names


@pytest.mark.requirement("AD-11")
def test_constraints_are_carried_as_they_are():
    constraints = {
        "capacityRequirements": {
            "cpu": {"cores": 2, "architectures": ["amd64", "riscv64"]},
            "memory": "1024Mi",
            "storage": "10Gi",
        },
        "eligibilityRules": [
            {
                "propertySelector": {
                    "matchExpressions": [
                        {
                            "key": "/peripherals",
                            "operator": "ContainsAny",
                            "itemSelector": {
                                "matchExpressions": [{"key": "/type", "operator": "In", "values": ["gpu"]}]
                            },
                        }
                    ]
                },
                "labelSelector": {"matchExpressions": [{"key": "zone", "operator": "Gt", "values": [1.5]}]},
            }
        ],
    }
    rendered = yaml.load(parse(deployment(profile={"deviceConstraints": constraints})).render(), source="r")
    assert rendered["spec"]["deploymentProfile"]["deviceConstraints"] == constraints


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param(deployment(id="not-a-uuid"), "$.id", id="no UUID"),
        pytest.param(deployment(metadata={"deviceId": "a b"}), "$.metadata.deviceId", id="device id"),
        pytest.param(deployment(metadata={"deviceId": "g/*/x"}), "$.metadata.deviceId", id="star inside"),
        pytest.param(deployment(metadata={"name": ""}), "$.metadata.name", id="empty name"),
        pytest.param(deployment(spec={"applicationId": "A.b"}), "$.spec.applicationId", id="application id"),
        pytest.param(
            deployment(spec={"applicationId": "a" * 201}), "$.spec.applicationId", id="201 characters"
        ),
        pytest.param(deployment(profile={"type": "helm.v3"}), "$.spec.deploymentProfile.type", id="old type"),
        pytest.param(
            deployment(component(repository="https://x/y.tgz")),
            "$.spec.deploymentProfile.components[0].properties.repository",
            id="no OCI reference",
        ),
        pytest.param(
            deployment(component(revision="1.0.0+build")),
            "$.spec.deploymentProfile.components[0].properties.revision",
            id="plus in a tag",
        ),
        pytest.param(
            deployment(component(revision=1.0)),
            "$.spec.deploymentProfile.components[0].properties.revision",
            id="revision as a number",
        ),
        pytest.param(
            deployment(component(timeout="90s")),
            "$.spec.deploymentProfile.components[0].properties.timeout",
            id="timeout",
        ),
        pytest.param(
            deployment(component(wait="true")),
            "$.spec.deploymentProfile.components[0].properties.wait",
            id="wait as text",
        ),
        pytest.param(
            deployment(component("../../etc")),
            "$.spec.deploymentProfile.components[0].name",
            id="climbing name",
        ),
        pytest.param(
            deployment(component("--help")),
            "$.spec.deploymentProfile.components[0].name",
            id="option as name",
        ),
        pytest.param(
            deployment(component(), component()),
            "$.spec.deploymentProfile.components[1].name",
            id="name twice",
        ),
        pytest.param(
            deployment(parameters={"a": parameter(None)}), "$.spec.parameters.a.value", id="null as value"
        ),
        pytest.param(
            deployment(parameters={"a": parameter({"b": 1})}),
            "$.spec.parameters.a.value",
            id="object as value",
        ),
        pytest.param(
            deployment(parameters={"a": parameter("x", "A=B")}),
            "$.spec.parameters.a.targets[0].pointer",
            id="equals sign in a variable",
        ),
        pytest.param(
            deployment(parameters={"a b": parameter("x\0")}),
            '$.spec.parameters["a b"].value',
            id="NUL in a value",
        ),
        pytest.param(
            deployment(
                profile={
                    "deviceConstraints": {
                        "eligibilityRules": [
                            {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}
                        ]
                    }
                }
            ),
            "$.spec.deploymentProfile.deviceConstraints.eligibilityRules[0].labelSelector.matchExpressions[0].values",
            id="constraint without values",
        ),
    ],
)
def test_unusable_deployments_are_refused_with_their_path(value, path):
    with pytest.raises(DocumentError) as caught:
        parse(value)
    assert caught.value.path == path


@pytest.mark.requirement("GW-8")
@pytest.mark.parametrize("device", ["edge-01", "gateway-01/edge-01", "gateway-01/*"])
def test_devices_are_named_with_their_gateway_or_left_to_it(device):
    assert parse(deployment(metadata={"deviceId": device})).metadata.device_id == device


@pytest.mark.requirement("AD-7")
def test_each_component_gets_the_variables_aimed_at_it():
    parsed = parse(
        deployment(
            component("web"),
            component("db"),
            parameters={
                "greeting": parameter("Hello, $WORLD", "GREETING"),
                "shared": parameter(5, "PORT", ["web", "db"]),
                "later": parameter("wins", "GREETING", ["web"]),
                "elsewhere": parameter(True, "A", ["other"]),
            },
        )
    )
    assert component_environment(parsed, "web") == {"GREETING": "wins", "PORT": "5"}
    assert component_environment(parsed, "db") == {"PORT": "5"}


@pytest.mark.requirement("AD-8")
def test_parameters_that_match_nothing_are_ignored():
    parsed = parse(deployment(parameters={"unknown": parameter("x", "A", ["nothing"])}))
    assert component_environment(parsed, "web") == {}


def test_helm_pointers_are_no_variable_names():
    parse(deployment(profile={"type": "helm"}, parameters={"a": parameter("x", "a.b[0].c=d")}))


@pytest.mark.requirement("AD-7", "PAR-3")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("120", "120"),
        ("", ""),
        ("a b $c", "a b $c"),
        (True, "true"),
        (False, "false"),
        (120, "120"),
        (-1, "-1"),
        (0.1, "0.1"),
        (2.0, "2"),
        (1e22, "1e+22"),
        (("a", "b"), "a,b"),
        ((1, 2.5, True), "1,2.5,true"),
        ((), ""),
    ],
)
def test_values_become_text(value, text):
    assert value_text(value) == text


@pytest.mark.requirement("AD-5")
@given(st.integers(0, 999_999), st.integers(0, 999_999))
def test_timeouts_are_minutes_and_seconds(minutes, seconds):
    assert timeout_of(f"{minutes}m{seconds}s") == timedelta(minutes=minutes, seconds=seconds)


@pytest.mark.requirement("AD-5")
@pytest.mark.parametrize("text", ["", "8m", "30s", "1h0m0s", "-1m0s", "1.5m0s", "8m30s ", "٣m0s"])
def test_other_timeouts_are_refused(text):
    with pytest.raises(ValueError, match="minutes and seconds"):
        timeout_of(text)


scalars = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.dictionaries(st.text(min_size=1), st.one_of(scalars, st.lists(scalars, max_size=3)), max_size=5))
def test_rendering_is_stable_and_loses_nothing(values):
    parsed = parse(deployment(parameters={name: parameter(value) for name, value in values.items()}))
    data = parsed.render()
    again = ApplicationDeployment.parse(data)
    assert again == parsed
    assert again.render() == data
    assert {
        name: list(each.value) if isinstance(each.value, tuple) else each.value
        for name, each in again.spec.parameters.items()
    } == values
