"""What an assignment says: read strictly, written back the same, values in layers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.server.domain.assignments import (
    Devices,
    Matching,
    OriginKind,
    choose,
    layers,
    matching_groups,
    parse_spec,
    render_spec,
    selects,
)
from edgewright.server.errors import InvalidError


def spec(**members: Any) -> dict[str, Any]:
    return {"version": "1.0.0", "target": {"all": True}, **members}


names = st.text("abcdefgh", min_size=1, max_size=6)
scalars = (
    st.text(max_size=8)
    | st.booleans()
    | st.integers(-1000, 1000)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.dictionaries(names, st.none() | scalars | st.lists(scalars, max_size=3), max_size=3)
selectors = st.sampled_from(["site=berlin", "line in (1, 2)", "!spare, site!=x", "spare"])
targets = (
    st.just({"all": True})
    | st.builds(lambda text: {"selector": text}, selectors)
    | st.builds(lambda ids: {"devices": ids}, st.lists(names, unique=True, max_size=4))
)
specs = st.fixed_dictionaries(
    {"version": st.text("0123456789.", min_size=1), "target": targets},
    optional={
        "profile": names,
        "parameters": values,
        "groups": st.lists(
            st.builds(lambda text, given: {"selector": text, "parameters": given}, selectors, values),
            max_size=3,
        ),
        "devices": st.dictionaries(names, values, max_size=3),
        "strategy": st.just({"batches": [1, "50%"]}),
    },
)


@given(specs)
def test_what_is_written_is_read_as_the_same(plain: dict[str, Any]) -> None:
    parsed = parse_spec(plain)
    assert parse_spec(render_spec(parsed)) == parsed
    said = {key: value for key, value in plain.items() if value}
    assert {key: value for key, value in render_spec(parsed).items() if value} == said


@pytest.mark.parametrize(
    ("plain", "field", "message"),
    [
        pytest.param({"target": {"all": True}}, "", "version", id="no version"),
        pytest.param(spec(colour="red"), "", "colour", id="unknown member"),
        pytest.param(spec(target={}), "target", "exactly one", id="no target"),
        pytest.param(spec(target={"all": True, "devices": []}), "target", "exactly one", id="two targets"),
        pytest.param(spec(target={"all": False}), "target", "exactly one", id="not all"),
        pytest.param(spec(target={"selector": " "}), "target.selector", "all: true", id="empty selector"),
        pytest.param(spec(target={"selector": "a ="}), None, "", id="value may be empty"),
        pytest.param(spec(target={"selector": "=a"}), "target.selector", "not understood", id="no key"),
        pytest.param(
            spec(groups=[{"selector": "", "parameters": {}}]),
            "groups[0].selector",
            "under parameters",
            id="group",
        ),
        pytest.param(spec(parameters={"a": 1, "b": {}}), "parameters.b", "object", id="value is an object"),
        pytest.param(
            spec(devices={"one": {"a": 1}, "two": {"b": [[]]}}), "devices.two.b", "array", id="nested array"
        ),
        pytest.param(
            spec(groups=[{"selector": "a", "parameters": {"x": {"y": 1}}}]),
            "groups[0].parameters.x",
            "object",
            id="value in a group",
        ),
        pytest.param([], "", "object", id="no object"),
    ],
)
def test_every_fault_is_told_with_its_path(plain: Any, field: str | None, message: str) -> None:
    if field is None:
        parse_spec(plain)
        return
    with pytest.raises(InvalidError) as caught:
        parse_spec(plain)
    (fault,) = caught.value.faults
    assert (fault.field, message in fault.message) == (field, True), fault


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidError) as caught:
        parse_spec(spec(target={"selector": "?"}, groups=[{"selector": "((", "parameters": {}}]))
    assert [fault.field for fault in caught.value.faults] == ["target.selector", "groups[0].selector"]


@pytest.mark.requirement("CFG-1")
def test_single_devices_outrank_groups_and_later_groups_outrank_earlier_ones() -> None:
    parsed = parse_spec(
        spec(
            parameters={"a": "all", "b": "all", "c": "all", "d": "all"},
            groups=[
                {"selector": "site=berlin", "parameters": {"b": "berlin", "c": "berlin", "d": None}},
                {"selector": "site=paris", "parameters": {"a": "paris"}},
                {"selector": "line=1", "parameters": {"c": "line"}},
            ],
            devices={"edge": {"a": "edge"}, "other": {"b": "other"}},
        )
    )
    groups = matching_groups(parsed, {"site": "berlin", "line": "1"})
    chosen = choose(layers(parsed, "edge", groups))
    assert {name: (one.value, one.origin.kind, one.origin.path) for name, one in chosen.items()} == {
        "a": ("edge", OriginKind.DEVICE, "devices.edge"),
        "b": ("berlin", OriginKind.GROUP, "groups[0].parameters"),
        "c": ("line", OriginKind.GROUP, "groups[2].parameters"),
    }


def test_a_target_selects_by_name_or_by_label() -> None:
    named = parse_spec(spec(target={"devices": ["a", "b", "a"]})).target
    assert named == Devices(("a", "b"))
    assert selects(named, "a", {})
    assert not selects(named, "c", {})
    matching = parse_spec(spec(target={"selector": "site=berlin"})).target
    assert isinstance(matching, Matching)
    assert selects(matching, "c", {"site": "berlin"})
    assert not selects(matching, "a", {})
    assert selects(parse_spec(spec()).target, "anything", {})
