import contextlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.protocol.conversion import member
from edgewright.protocol.documents import Document, ExtensiblePart, Part
from edgewright.protocol.errors import DocumentError, MalformedDocumentError
from edgewright.protocol.json import dump as dump_json
from edgewright.protocol.json import load as load_json


class Item(ExtensiblePart, frozen=True, kw_only=True):
    item_name: str


class Sample(Document, ExtensiblePart, frozen=True, kw_only=True):
    extension_places: ClassVar = ((), ("itemList", "*"))

    free_form: Mapping[str, Item] = msgspec.field(default_factory=dict)
    item_list: tuple[Item, ...] = ()
    amount: float | None = None


class Inner(Part, frozen=True, kw_only=True):
    by_name: Mapping[str, Mapping[str, int]]


class Nested(Document, frozen=True, kw_only=True):
    is_yaml: ClassVar = True

    inner: tuple[Inner, ...]


def parse(value, cls=Sample):
    return cls.parse(json.dumps(value).encode(), source="sample.json")


@pytest.mark.requirement("EXT-2")
def test_unknown_members_are_ignored():
    assert parse({"unknown": {"deep": [1]}, "itemList": [{"itemName": "a", "more": 1}]}) == parse(
        {"itemList": [{"itemName": "a"}]}
    )


@pytest.mark.requirement("EXT-1", "EXT-2", "EXT-3", "AD-10")
def test_extensions_are_kept_where_they_stood_and_written_there_again():
    value = {
        "x-acme-extensions": {"root": True},
        "itemList": [{"itemName": "a", "x-acme-v2-extensions": {"deep": {"list": [1, 2.5, None]}}}],
    }
    document = parse(value)
    assert document.extensions == {"x-acme-extensions": {"root": True}}
    assert document.item_list[0].extensions == {"x-acme-v2-extensions": {"deep": {"list": [1, 2.5, None]}}}
    assert json.loads(document.render()) == value


@pytest.mark.parametrize(
    "name", ["x-Acme-extensions", "x--extensions", "x-acme", "x-1-extensions", "extensions"]
)
@pytest.mark.requirement("EXT-1")
def test_other_names_are_unknown_members_not_extensions(name):
    assert parse({name: {"a": 1}}) == parse({})


def test_the_inner_name_of_extensions_cannot_be_given_from_outside():
    assert parse({"x-*-extensions": {"x-a-extensions": {}}, "x-b-extensions": {}}).extensions == {
        "x-b-extensions": {}
    }


def test_free_form_names_that_look_like_extensions_stay_names():
    value = {"freeForm": {"x-a-extensions": {"itemName": "a"}}}
    assert json.loads(parse(value).render()) == value


def test_parsing_leaves_the_given_value_alone():
    plain: dict[str, Any] = {"x-a-extensions": {}, "itemList": [{"itemName": "a", "x-b-extensions": {}}]}
    before = json.dumps(plain)
    Sample.from_plain(plain).to_plain()["itemList"][0].clear()
    assert json.dumps(plain) == before


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        ([], "$", "expected object, got array"),
        ({"itemList": {}}, "$.itemList", "expected array, got object"),
        ({"itemList": [{"itemName": "a"}, {}]}, "$.itemList[1].itemName", "is required"),
        ({"itemList": [{"itemName": 1}]}, "$.itemList[0].itemName", "expected str, got int"),
        (
            {"freeForm": {"good": {"itemName": "a"}, "bad": {"itemName": 1}}},
            "$.freeForm.bad.itemName",
            "expected str",
        ),
        ({"freeForm": {"odd key": {}}}, '$.freeForm["odd key"].itemName', "is required"),
    ],
)
def test_errors_name_the_exact_path_in_wire_names(value, path, says):
    with pytest.raises(DocumentError) as caught:
        parse(value)
    assert caught.value.path == path
    assert says in caught.value.detail
    assert caught.value.source == "sample.json"
    assert str(caught.value).startswith(f"sample.json: {path}: ")
    assert caught.value.problems == ((path, caught.value.detail),)
    assert not isinstance(caught.value, MalformedDocumentError)


def test_two_nested_names_are_both_found():
    with pytest.raises(DocumentError) as caught:
        Nested.parse(
            b"inner:\n  - byName: {}\n  - byName:\n      a: {b: 1}\n      c: {d: 2, e: x}\n", source="n.yaml"
        )
    assert caught.value.path == "$.inner[1].byName.c.e"


@pytest.mark.requirement("CAP-6")
@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", "line 1, column 1", id="empty"),
        pytest.param(b"{", "not JSON", id="cut"),
        pytest.param(b'{"a": 1, "a": 2}', "member 'a' appears twice", id="duplicate member"),
        pytest.param(b'{"a": NaN}', "NaN", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "Infinity", id="infinity"),
        pytest.param(b'{"a": 1e999}', "too large", id="beyond doubles"),
        pytest.param(b'{"a": ' + b"9" * 301 + b"}", "digits", id="too many digits"),
        pytest.param(b"[" * 100_000, "deep", id="deep"),
        pytest.param(b"[" * 65 + b"]" * 65, "nested deeper than 64", id="just too deep"),
        pytest.param(b'"\xff"', "UTF-8", id="not UTF-8"),
        pytest.param(rb'"\ud800"', "UTF-8", id="lone surrogate"),
        pytest.param('{"a": 1}'.encode("utf-16"), "UTF-8", id="UTF-16"),
    ],
)
def test_bytes_that_are_no_json_are_malformed(data, says):
    with pytest.raises(MalformedDocumentError) as caught:
        load_json(data, source="body")
    assert says in caught.value.detail


def test_depth_within_the_limit_is_read():
    assert load_json(b"[" * 64 + b"]" * 64, source="body")


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**64), 2**64),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=20,
)


@pytest.mark.requirement("DS-22", "OP-15")
@given(json_values)
def test_json_is_written_stably_and_reads_back_equal(value):
    data = dump_json(value)
    assert load_json(data, source="x") == value
    assert dump_json(load_json(data, source="x")) == data


@pytest.mark.requirement("DS-22")
def test_json_is_sorted_compact_and_without_points_in_whole_numbers():
    assert dump_json({"b": 4.0, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":4}'.encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused_with_our_error(data):
    with contextlib.suppress(MalformedDocumentError):
        load_json(data, source="x")


def test_paths_quote_names_that_would_read_as_paths():
    assert member("$.a", "b-c_1") == "$.a.b-c_1"
    assert member("$.a", "b.c[0]") == '$.a["b.c[0]"]'
