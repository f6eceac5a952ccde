"""The file that says which fleet manager is meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.cli.context import context_path, load_context, parse_context, save_context
from edgewright.cli.errors import UsageError
from edgewright.protocol.errors import DocumentError

GOOD = {"url": "https://wfm.example:8443", "token": "t", "ca": "-----BEGIN"}


@pytest.mark.parametrize(
    ("given", "environment", "path"),
    [
        ("/a", {"EDGEWRIGHT_CONTEXT": "/b", "HOME": "/h"}, "/a"),
        (None, {"EDGEWRIGHT_CONTEXT": "/b", "HOME": "/h"}, "/b"),
        (None, {"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/edgewright/context.json"),
        (None, {"HOME": "/h"}, "/h/.config/edgewright/context.json"),
    ],
)
def test_the_nearest_choice_wins(given, environment, path):
    assert context_path(given, environment) == Path(path)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"url": 5}, "$.url"),
        ({"url": "wfm.example"}, "$.url"),
        ({"token": None}, "$.token"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change, where):
    with pytest.raises(DocumentError) as caught:
        parse_context(json.dumps(GOOD | change).encode(), Path("operator.json"))
    assert caught.value.path == where
    assert caught.value.source == "operator.json"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_what_is_no_context_is_refused(data):
    with pytest.raises(DocumentError):
        parse_context(data, Path("operator.json"))


def test_no_file_says_how_to_get_one(tmp_path):
    with pytest.raises(UsageError, match="edgewright login"):
        load_context(tmp_path / "context.json")


def test_a_saved_context_is_read_by_nobody_else(tmp_path):
    path = tmp_path / "new" / "context.json"
    save_context(json.dumps(GOOD).encode(), path)
    assert load_context(path).token == "t"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
