"""The description of the API: every example is what its type says, every route is in the reference."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from edgewright.server.operator_api.examples import EXAMPLES, example_of
from edgewright.server.operator_api.routes import HANDLERS
from edgewright.server.operator_api.schema import kinds_of

KINDS = {str(kind): kind for handler in HANDLERS for kind in kinds_of(handler)}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_an_example_is_what_its_type_says(name):
    shown = example_of(KINDS[name])
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(shown)), KINDS[name]) is not None


def test_examples_that_are_written_out_are_of_types_there_are():
    known = {getattr(kind, "__name__", "") for kind in KINDS.values()}
    assert set(EXAMPLES) <= known


def test_the_reference_names_every_route():
    text = (Path(__file__).parents[3] / "docs" / "reference" / "operator-api.md").read_text()
    told = {re.sub(r"{\w+}", "{}", path) for path in re.findall(r"(?<=[ `])(/[a-z][\w/{}-]*)", text)}
    there = {re.sub(r"{\w+:\w+}", "{}", path) for handler in HANDLERS for path in handler.paths}
    assert sorted(there - told) == []
