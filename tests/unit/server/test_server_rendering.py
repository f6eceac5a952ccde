"""The document a device gets, compared with what the author wrote (spec: section 11)."""

import copy
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol import yaml
from edgewright.protocol.deployment import ApplicationDeployment, component_environment
from edgewright.protocol.description import ApplicationDescription
from edgewright.protocol.errors import DocumentError
from edgewright.server.domain.rendering import (
    check_name,
    default_name,
    namespace_of,
    render_deployment,
    render_document,
)
from edgewright.server.errors import InvalidError

ID = "00000000-0000-4000-8000-000000000001"
COMPOSE = {
    "type": "compose",
    "id": "compose",
    "x-acme-extensions": {"line": 4},
    "components": [
        {
            "name": "db",
            "x-acme-extensions": {"disk": "fast"},
            "properties": {"repository": "oci://r.test/db", "revision": "1.0.0", "timeout": "5m0s"},
        },
        {
            "name": "web",
            "properties": {"repository": "oci://r.test/web", "revision": "2.0.0", "wait": False},
        },
    ],
    "deviceConstraints": {
        "capacityRequirements": {"cpu": {"cores": 1.5, "architectures": ["amd64"]}, "memory": "64Mi"},
        "eligibilityRules": [],
        "acmeHint": "members of a later version stay",
    },
}
DESCRIPTION: dict[str, Any] = {
    "apiVersion": "v1",
    "id": "shop",
    "x-acme-extensions": {"root": "for the fleet manager alone"},
    "metadata": {"name": "Shop", "version": "1", "catalog": {"organization": [{"name": "E"}]}},
    "deploymentProfiles": [
        {
            "type": "helm",
            "id": "helm",
            "components": [
                {"name": "chart", "properties": {"repository": "oci://r.test/chart", "revision": "1.0.0"}}
            ],
        },
        COMPOSE,
    ],
    "parameters": {
        "greeting": {
            "value": "hello",
            "targets": [
                {"pointer": "settings.greeting", "components": ["chart"]},
                {"pointer": "GREETING", "components": ["web", "db", "chart"]},
            ],
        },
    },
}


def render(plain: dict[str, Any] = DESCRIPTION, **values: Any) -> bytes:
    text = yaml.dump(plain)
    description = ApplicationDescription.parse(text)
    profile = description.profile("compose")
    assert profile is not None
    deployment = render_deployment(
        description, profile, values, deployment_id=ID, device_id="edge", name="shop"
    )
    return render_document(deployment, "compose", text)


@pytest.mark.requirement("PKG-2", "AD-2", "AD-10", "AD-11", "EXT-3", "PAR-1")
def test_a_device_gets_one_profile_as_the_author_wrote_it() -> None:
    document = yaml.load(render(greeting="hi"), source="document")
    assert document == {
        "id": ID,
        "metadata": {"name": "shop", "namespace": "shop", "deviceId": "edge"},
        "spec": {
            "applicationId": "shop",
            "deploymentProfile": {
                "type": "compose",
                "x-acme-extensions": COMPOSE["x-acme-extensions"],
                "components": COMPOSE["components"],
                "deviceConstraints": COMPOSE["deviceConstraints"],
            },
            "parameters": {
                "greeting": {
                    "value": "hi",
                    "targets": [{"pointer": "GREETING", "components": ["web", "db"]}],
                }
            },
        },
    }


@pytest.mark.requirement("DS-22")
def test_the_same_wish_renders_the_same_bytes() -> None:
    assert render(greeting="hi") == render(greeting="hi") != render(greeting="ho")


@pytest.mark.requirement("AD-7", "OP-36")
@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\x00")) | st.integers() | st.booleans())
def test_values_reach_the_device_as_they_were_given(value: str | int | bool) -> None:
    deployment = ApplicationDeployment.parse(render(greeting=value))
    got = deployment.spec.parameters["greeting"].value
    assert (got, type(got)) == (value, type(value))
    assert set(component_environment(deployment, "web")) == {"GREETING"}


def test_what_no_device_could_take_is_not_rendered() -> None:
    broken = copy.deepcopy(DESCRIPTION)
    broken["parameters"]["greeting"]["targets"][1]["pointer"] = "NOT A NAME"
    with pytest.raises(DocumentError, match="pointer"):
        render(broken, greeting="hi")


@pytest.mark.parametrize("name", ["shop", "a", "a-1", "a" * 53])
def test_usable_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a b", "a" * 54, "ä", "a\n"])
def test_names_nobody_can_use(name: str) -> None:
    with pytest.raises(InvalidError, match="name"):
        check_name(name)


@given(application=st.from_regex(r"[a-z0-9-]{1,200}", fullmatch=True), key=st.uuids(version=4))
def test_names_made_for_any_application_are_usable(application: str, key: uuid.UUID) -> None:
    name = default_name(application, str(key))
    assert check_name(name) == name
    assert name.endswith(str(key)[:8])
    namespace = namespace_of(application)
    assert 0 < len(namespace) <= 63
    assert namespace.strip("-") == namespace
