"""What is chosen, default, refused, and what may not change (spec: 15.3, CFG-2 to CFG-5)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.description import ApplicationDescription
from edgewright.protocol.values import Value
from edgewright.server.domain.parameters import changed_choice, effective_values
from edgewright.server.errors import InvalidError


def application(**defaults: Any) -> ApplicationDescription:
    """An application with a Helm and a Compose profile and these parameters:

    `poll` (integer, 30 to 360, default 60), `site` (text, immutable, may be empty), `name` (text, needed),
    `chart` (only for Helm), `free` (no setting). `defaults` replace default values.
    """

    def parameter(name: str, *components: str, value: Any = None) -> dict[str, Any]:
        default = defaults.get(name, value)
        targets = [{"pointer": name.upper(), "components": list(components)}]
        return {"targets": targets, **({} if default is None else {"value": default})}

    def component(name: str) -> dict[str, Any]:
        return {"name": name, "properties": {"repository": "oci://r.test/a", "revision": "1.0.0"}}

    def setting(name: str, schema: str, **more: Any) -> dict[str, Any]:
        return {"parameter": name, "name": name, "schema": schema, **more}

    return ApplicationDescription.from_plain(
        {
            "apiVersion": "v1",
            "id": "shop",
            "metadata": {"name": "Shop", "version": "1", "catalog": {"organization": [{"name": "E"}]}},
            "deploymentProfiles": [
                {"id": "compose", "type": "compose", "components": [component("web"), component("db")]},
                {"id": "helm", "type": "helm", "components": [component("release")]},
            ],
            "parameters": {
                "poll": parameter("poll", "web", "release", value=60),
                "site": parameter("site", "web"),
                "name": parameter("name", "db"),
                "chart": parameter("chart", "release"),
                "free": parameter("free", "web", value=True),
            },
            "configuration": {
                "sections": [
                    {
                        "name": "All",
                        "settings": [
                            setting("poll", "poll"),
                            setting("site", "optional", immutable=True),
                            setting("name", "needed"),
                            setting("chart", "needed"),
                        ],
                    }
                ],
                "schema": [
                    {"name": "poll", "dataType": "integer", "minValue": 30, "maxValue": 360},
                    {"name": "optional", "dataType": "string", "allowEmpty": True},
                    {"name": "needed", "dataType": "string"},
                ],
            },
        }
    )


def values(chosen: dict[str, Value], profile_id: str = "compose", **defaults: Any) -> dict[str, Value]:
    description = application(**defaults)
    profile = description.profile(profile_id)
    assert profile is not None
    return effective_values(description, profile, chosen)


def faults(chosen: dict[str, Value], **defaults: Any) -> dict[str, str]:
    with pytest.raises(InvalidError) as error:
        values(chosen, **defaults)
    return {fault.field: fault.message for fault in error.value.faults}


@pytest.mark.requirement("CFG-1", "PAR-1")
def test_defaults_fill_what_was_not_chosen_and_other_profiles_do_not_matter() -> None:
    assert values({"name": "n"}) == {"poll": 60, "name": "n", "free": True}
    assert values({"chart": "c"}, "helm") == {"poll": 60, "chart": "c"}


@pytest.mark.requirement("CFG-2", "CFG-4")
@pytest.mark.parametrize(
    ("chosen", "field", "told"),
    [
        pytest.param({}, "parameters.name", "a value is needed", id="needed and nowhere given"),
        pytest.param({"name": ""}, "parameters.name", "a value is needed", id="needed and empty"),
        pytest.param({"name": "n", "poll": 10}, "parameters.poll", "at least 30", id="too small"),
        pytest.param({"name": "n", "poll": "60"}, "parameters.poll", "expected integer", id="wrong type"),
        pytest.param({"name": "n", "poll": True}, "parameters.poll", "expected integer", id="no number"),
        pytest.param({"name": "n", "poll": (60,)}, "parameters.poll", "single value", id="an array"),
        pytest.param({"name": "n", "colour": 1}, "parameters.colour", "no such parameter", id="unknown"),
        pytest.param({"name": "n", "site": ()}, "parameters.site", "single value", id="empty array for text"),
        pytest.param({"name": "n", "free": 10**300}, "parameters.free", "300 digits", id="too many digits"),
        pytest.param({"name": "n", "free": "a\0"}, "parameters.free", "NUL", id="what no variable can be"),
        pytest.param(
            {"name": "n", "free": ("",) * 60_000}, "parameters.free", "all values together", id="too many"
        ),
        pytest.param({"name": "n" * 600_000}, "parameters.name", "more than 512 KiB", id="too long"),
        pytest.param({"name": "n", "chart": 4}, "parameters.chart", "expected string", id="other profile"),
    ],
)
def test_what_breaks_a_rule_is_named(chosen: dict[str, Value], field: str, told: str) -> None:
    found = faults(chosen)
    assert list(found) == [field]
    assert told in found[field]


def test_all_faults_are_told_at_once() -> None:
    assert set(faults({"poll": 10, "colour": 1})) == {
        "parameters.poll",
        "parameters.colour",
        "parameters.name",
    }


@pytest.mark.requirement("CFG-2")
def test_a_default_that_breaks_its_own_rule_is_not_deployed() -> None:
    assert list(faults({"name": "n"}, poll=5)) == ["parameters.poll"]


def change(
    chosen: dict[str, Value], given: dict[str, Value | None], installed: dict[str, Value], **defaults: Any
) -> dict[str, Value]:
    return changed_choice(application(**defaults), chosen, given, installed)


def test_a_change_names_only_what_it_changes() -> None:
    installed: dict[str, Value] = {"poll": 90, "name": "n"}
    assert change({"name": "n", "poll": 90}, {"poll": 120}, installed) == {"name": "n", "poll": 120}
    assert change({"name": "n", "poll": 90}, {"poll": None}, installed) == {"name": "n"}


@pytest.mark.requirement("CFG-3")
@pytest.mark.parametrize("given", ["south", None], ids=["another value", "back to the default"])
def test_an_immutable_parameter_cannot_be_changed(given: str | None) -> None:
    with pytest.raises(InvalidError, match="cannot be changed"):
        change({"site": "north"}, {"site": given}, {"site": "north"})


@pytest.mark.requirement("CFG-3")
def test_an_immutable_parameter_may_be_said_again_or_said_first() -> None:
    assert change({"site": "north"}, {"site": "north"}, {"site": "north"}) == {"site": "north"}
    assert change({}, {"site": "north"}, {}) == {"site": "north"}


@pytest.mark.requirement("CFG-3")
def test_a_new_default_does_not_reach_an_immutable_parameter_that_is_installed() -> None:
    assert change({}, {}, {"site": "old default"}, site="new default") == {"site": "old default"}


names = st.sampled_from(["poll", "site", "name", "free"])


@given(st.dictionaries(names, st.none() | st.text() | st.integers()))
def test_an_empty_change_of_what_was_accepted_is_none(given: dict[str, Value | None]) -> None:
    try:
        choice = change({}, given, {})
        installed = values(choice)
    except InvalidError:
        return
    assert change(choice, {}, installed) == choice
