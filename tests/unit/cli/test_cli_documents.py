"""Documents: what is printed is no change when applied; what is written is judged before anything is done."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.cli.errors import UsageError
from edgewright.cli.resources.applying import Step, declared_of, difference, wanted_in
from edgewright.cli.resources.documents import parse, read_files, render
from edgewright.cli.resources.kind import Standing
from edgewright.cli.resources.registry import KINDS, kind_called
from edgewright.protocol import yaml
from edgewright.protocol.errors import DocumentError

MOMENT = "2026-11-26T10:42:00Z"
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
scalars = (
    names | st.integers(-(2**53), 2**53) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.dictionaries(names, scalars | st.lists(scalars, max_size=3), max_size=4)
layers = st.dictionaries(names, values, max_size=3)


def deployments() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "id": st.uuids().map(str),
            "name": names,
            "device": names,
            "device_id": names,
            "application": names,
            "version": names,
            "profile": names,
            "parameters": values,
            "state": st.just("converged"),
            "deleted": st.none(),
        }
    )


def assignments() -> st.SearchStrategy[dict[str, Any]]:
    target = st.one_of(
        st.fixed_dictionaries({"devices": st.lists(names, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"selector": names}),
        st.just({"all": True}),
    )
    groups = st.lists(st.fixed_dictionaries({"selector": names, "parameters": values}), max_size=2)
    spec = st.fixed_dictionaries(
        {"version": names, "target": target},
        optional={"profile": names, "parameters": values, "groups": groups, "devices": layers},
    )
    return st.fixed_dictionaries(
        {"name": names, "application": names, "spec": spec, "revision": st.integers(1)}
    )


def sources() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": names,
            "kind": st.sampled_from(["registry", "folder"]),
            "location": names,
            "repositories": st.lists(names, max_size=3),
            "every_minutes": st.none() | st.integers(1, 10_000),
            "plain_http": st.booleans(),
            "ca": st.none() | names,
            "prune": st.booleans(),
            "credentials": st.just("password"),
        }
    )


def users() -> st.SearchStrategy[dict[str, Any]]:
    role, state = st.sampled_from(["viewer", "admin"]), st.sampled_from(["active", "disabled"])
    return st.fixed_dictionaries({"name": names, "role": role, "state": state})


def devices() -> st.SearchStrategy[dict[str, Any]]:
    labels = st.dictionaries(names, names, max_size=4)
    return st.fixed_dictionaries({"client_id": names, "own_labels": labels, "state": st.just("converged")})


def packages() -> st.SearchStrategy[dict[str, Any]]:
    source = st.just("upload") | st.just("oci://registry.example/shop:1")
    return st.fixed_dictionaries({"id": names, "version": names, "name": names, "source": source})


def policies() -> st.SearchStrategy[dict[str, Any]]:
    plain = st.fixed_dictionaries(
        {}, optional={"polling": st.just({"rate": "60s"}), "report": st.just({"rate": "5m"})}
    )
    text = plain.map(lambda one: "# by hand\n" + yaml.dump(one).decode())
    stamp = {"tag": st.just("abc"), "suggested": st.just(MOMENT), "by": names}
    return st.fixed_dictionaries({"device": st.none() | names, "text": text, **stamp})


SHOWN = {
    "deployment": deployments(),
    "assignment": assignments(),
    "source": sources(),
    "user": users(),
    "device": devices(),
    "package": packages(),
    "policy": policies(),
}


def test_every_kind_that_can_be_applied_is_tried():
    assert set(SHOWN) == {name for name in KINDS if kind_called(name).declared is not None}


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("output", ["yaml", "json"])
@given(data=st.data())
def test_what_is_shown_is_no_change_when_it_is_applied(name, output, data):
    kind = kind_called(name)
    entry = data.draw(SHOWN[name])
    printed = render([kind.document(entry)], output, is_list=False)
    (read,) = parse(printed.encode(), "here")
    standing = Standing(entry=entry, tag=None, document=kind.document(entry))
    assert declared_of(kind).change(read, standing) is None
    assert read.wish() == kind.document(entry).wish()


@given(data=st.data())
def test_a_deployment_becomes_what_its_document_says(data):
    kind = kind_called("deployment")
    before, wanted = data.draw(deployments()), data.draw(values)
    document = kind.document({**before, "parameters": wanted})
    standing = Standing(entry=before, tag=None, document=kind.document(before))
    change = declared_of(kind).change(document, standing)
    if change is None:
        assert wanted == before["parameters"]
        return
    sent = change.value["parameters"]
    after = {name: value for name, value in {**before["parameters"], **sent}.items() if value is not None}
    assert after == wanted
    step = Step(document=document, kind=kind, standing=standing, change=change)
    assert wanted_in(step).spec["parameters"] == wanted
    assert any(line.startswith(("+ ", "- ")) for line in difference(step))


def test_a_file_may_hold_several_documents_and_a_list_of_them(tmp_path):
    one = {"apiVersion": "edgewright.io/v1", "kind": "Device", "metadata": {"name": "a"}}
    listed = {"apiVersion": "edgewright.io/v1", "kind": "List", "items": [one | {"metadata": {"name": "b"}}]}
    (tmp_path / "x.yaml").write_text(f"---\n{json.dumps(one)}\n---\n# nothing\n---\n{json.dumps(listed)}\n")
    assert [document.name for document in read_files([str(tmp_path)])] == ["a", "b"]


def test_two_documents_for_one_thing_are_refused_with_both_places(tmp_path):
    text = "apiVersion: edgewright.io/v1\nkind: Device\nmetadata: {name: a}\n"
    (tmp_path / "x.yaml").write_text(text)
    (tmp_path / "y.yaml").write_text(text)
    with pytest.raises(DocumentError, match=r"y\.yaml.*device/a is in .*x\.yaml as well"):
        read_files([str(tmp_path)])


def test_a_second_document_is_named_by_its_line(tmp_path):
    text = "apiVersion: edgewright.io/v1\nkind: Device\nmetadata: {name: a}\n---\nkind: x\n"
    with pytest.raises(DocumentError, match=r"here, line 4"):
        list(parse(text.encode(), "here"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n"])
def test_a_file_with_nothing_in_it_is_said(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UsageError, match="there is nothing in it"):
        read_files([str(tmp_path / "x.yaml")])


def test_a_folder_without_documents_is_said(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(UsageError, match="no file"):
        read_files([str(tmp_path)])
