"""Examples in the description of the API: every one is what its type says."""

from __future__ import annotations

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
