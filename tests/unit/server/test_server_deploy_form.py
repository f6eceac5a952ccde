"""The form made from a package: what it asks, what it reads, and that nothing gets lost in it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.datastructures import FormMultiDict

from edgewright.protocol import yaml
from edgewright.protocol.description import ApplicationDescription
from edgewright.server.domain.assignments import AssignmentSpec, parse_spec
from edgewright.server.errors import Fault
from edgewright.server.web.deploy_form import (
    Asked,
    Typed,
    fields_of,
    read_form,
    sections_of,
    spec_from,
    typed_from,
)
from support.fleet_store import description

NAMES = ("greeting", "interval", "mode", "sensors", "site", "free", "flags", "ratio", "on")


def shop() -> ApplicationDescription:
    """A package with a parameter of every kind, three of them without a setting."""
    document = description()
    target = {"targets": [{"pointer": "X", "components": ["app", "chart"]}]}
    document["parameters"] |= {
        "free": {"value": "as you like", **target},
        "flags": {"value": ["x"], **target},
        "on": {"value": True, **target},
        "ratio": target,
        "elsewhere": {"value": "1", "targets": []},
    }
    document["configuration"]["sections"].append(
        {
            "name": "More",
            "settings": [
                {"parameter": "ratio", "name": "Ratio", "description": "How much of it.", "schema": "ratio"}
            ],
        }
    )
    document["configuration"]["schema"].append(
        {"name": "ratio", "dataType": "double", "minValue": 0, "maxValue": 1, "maxPrecision": 2}
    )
    return ApplicationDescription.parse(yaml.dump(document))


SHOP = shop()


def asked() -> dict[str, Asked]:
    return {one.parameter: one for section in sections_of(SHOP) for one in section.fields}


def form(typed: Typed) -> FormMultiDict:
    """Return what a browser sends of the form."""
    kinds = asked()
    fields: list[tuple[str, str]] = [
        ("application", typed.application),
        ("version", typed.version),
        ("profile", typed.profile),
        ("where", typed.where),
        ("selector", typed.selector),
        ("strategy", typed.strategy),
        *(("device", name) for name in typed.devices),
        *((f"s.{name}", text) for name, text in typed.fine.items()),
    ]
    for layer in typed.layers:
        if layer.key != "all":
            fields += [("layer", layer.key), (f"{layer.key}.name", layer.name)]
        for name, kind in kinds.items():
            texts = layer.texts.get(name, [])
            if kind.kind == "choices":
                fields += [(f"v.{layer.key}.{name}", text) for text in texts]
            else:
                text = layer.line(name) if kind.kind == "list" else layer.text(name)
                fields.append((f"v.{layer.key}.{name}", text))
        fields += [(f"e.{layer.key}.{name}", "true") for name in layer.empty]
        fields += [(f"n.{layer.key}.{name}", "true") for name in layer.dropped]
    return FormMultiDict(fields)


def said(typed: Typed) -> AssignmentSpec:
    spec, faults = spec_from(read_form(form(typed)), SHOP)
    assert faults == []
    assert spec is not None
    return spec


layer = st.fixed_dictionaries(
    {},
    optional={
        "greeting": st.none() | st.sampled_from(["hi", "a, b", "[1]", "true", "5"]),
        "interval": st.none() | st.integers(1, 3600),
        "mode": st.sampled_from(["slow", "fast"]),
        "sensors": st.lists(st.sampled_from(["a", "b", "c"]), unique=True),
        "site": st.sampled_from(["north", ""]),
        "free": st.sampled_from(["x", "1", "", "a,b"]),
        "flags": st.lists(st.sampled_from(["x", "y, z", "[", "w"]), min_size=1, max_size=3),
        "on": st.booleans(),
        "ratio": st.sampled_from([0.25, 0.5, 1.0]),
    },
)
specs = st.fixed_dictionaries(
    {
        "version": st.just("1.0.0"),
        "target": st.sampled_from(
            [{"all": True}, {"selector": "site in (a, b), !spare"}, {"devices": ["edge-01", "edge-02"]}]
        ),
    },
    optional={
        "profile": st.just("compose"),
        "parameters": layer,
        "groups": st.lists(
            st.builds(
                lambda name, values: {"selector": name, "parameters": values},
                st.sampled_from(["a=b", "line in (1, 2)", "!x"]),
                layer,
            ),
            max_size=3,
        ),
        "devices": st.dictionaries(st.sampled_from(["edge-01", "edge.2", "z"]), layer, max_size=2),
        "strategy": st.sampled_from(
            [
                {},
                {"canary": 1},
                {"canary": "10%", "batches": [1, "20%", "site in (a, b)"], "pause_after": [1, 3]},
                {"soak": "10m", "max_failures": 2, "on_error": "revert", "disruption_budget": 5},
            ]
        ),
    },
)


@pytest.mark.requirement("CFG-1", "CFG-5")
@settings(max_examples=200)
@given(specs)
def test_what_an_assignment_says_comes_through_the_form_unchanged(plain: dict[str, Any]) -> None:
    spec = parse_spec(plain)
    assert said(typed_from("shop", spec)) == spec


@pytest.mark.requirement("CFG-1")
def test_every_parameter_that_has_a_use_is_asked_for_in_the_order_of_the_sections() -> None:
    assert [(section.name, [one.parameter for one in section.fields]) for section in sections_of(SHOP)] == [
        ("General", ["greeting", "interval", "mode", "sensors", "site"]),
        ("More", ["ratio"]),
        ("Other parameters", ["free", "flags", "on"]),
    ]


@pytest.mark.requirement("CFG-1", "CFG-2", "CFG-3")
@pytest.mark.parametrize(
    ("parameter", "kind", "default", "help_text"),
    [
        ("greeting", "text", "hello", "Text of at most 20 characters."),
        ("interval", "number", "30", "A whole number from 1 to 3600."),
        ("mode", "choice", "slow", ""),
        ("sensors", "choices", "a", ""),
        ("site", "text", None, "Text."),
        (
            "ratio",
            "number",
            None,
            "How much of it. A number from 0 to 1, with at most 2 digits after the point.",
        ),
        ("free", "text", "as you like", ""),
        ("flags", "list", "x", ""),
        ("on", "choice", "true", ""),
    ],
)
def test_each_kind_is_asked_for_in_its_own_way(
    parameter: str, kind: str, default: str | None, help_text: str
) -> None:
    one = asked()[parameter]
    assert (one.kind, one.default, one.help) == (kind, default, help_text)
    assert one.is_immutable == (parameter == "site")
    assert one.is_needed == (parameter == "ratio")


@pytest.mark.requirement("CFG-2")
@given(st.sampled_from(NAMES), st.text(max_size=40))
def test_whatever_is_typed_is_a_value_or_a_fault_beside_its_field(name: str, text: str) -> None:
    fields = [("version", "1.0.0"), ("where", "all"), (f"v.all.{name}", text)]
    spec, faults = spec_from(read_form(FormMultiDict(fields)), SHOP)
    assert {fault.field for fault in faults} <= {f"v.all.{name}"}
    if text == "":
        assert (spec and spec.parameters, faults) == ({}, [])
    elif not faults:
        assert spec is not None
        assert set(spec.parameters) == {name}


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        pytest.param({"where": "devices"}, ("devices", "at least one"), id="no device"),
        pytest.param({"where": "selector"}, ("selector", "which labels"), id="no labels"),
        pytest.param({"where": "selector", "selector": "=x"}, ("selector", "not understood"), id="labels"),
        pytest.param({"where": "all", "layer": "g0"}, ("g0.name", "is empty"), id="group without labels"),
        pytest.param({"where": "all", "layer": "d0"}, ("d0.name", "which device"), id="nameless device"),
    ],
)
def test_what_is_missing_is_told_at_its_field(fields: dict[str, str], fault: tuple[str, str]) -> None:
    _, faults = spec_from(read_form(FormMultiDict({"version": "1.0.0", **fields})), SHOP)
    assert [(one.field, fault[1] in one.message) for one in faults] == [(fault[0], True)], faults


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("parameters.a.b", "v.all.a.b"),
        ("groups[0].parameters.x", "v.g4.x"),
        ("groups[0].selector", "g4.name"),
        ("devices.edge.2.x", "v.d1.x"),
        ("devices.edge.2", "d1.name"),
        ("target.devices[3]", "devices"),
        ("target.selector", "selector"),
        ("strategy.batches[1]", "s.batches"),
        ("version", "version"),
    ],
)
def test_faults_of_an_assignment_are_told_at_the_fields_they_are_about(path: str, field: str) -> None:
    typed = read_form(
        FormMultiDict([("layer", "g4"), ("g4.name", "a=b"), ("layer", "d1"), ("d1.name", "edge.2")])
    )
    assert [one.field for one in fields_of(typed, [Fault(field=path, message="wrong")])] == [field]
