"""The page of the kill matrix names every failpoint, and none of its cells came to another end."""

from pathlib import Path

from edgewright.agent.failpoints import NAMES
from support.kill_table import CELLS, REACHED, render

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "kill-matrix.md"


def test_every_point_is_passed_by_some_phase():
    assert {point for points in REACHED.values() for point in points} == set(NAMES)


def test_the_page_is_that_of_a_run_in_which_every_cell_ended_the_same():
    assert PAGE.read_text() == render(dict.fromkeys(CELLS, True))


def test_a_cell_that_differs_is_seen_on_the_page_and_one_that_was_not_tried_too():
    results = dict.fromkeys(CELLS, True)
    results["update", "fetch.done", "power"] = False
    del results["removal", "remove.done", "engine"]
    lines = {line.split("`")[1]: line for line in render(results).splitlines() if line.startswith("| `")}
    assert lines["fetch.done"].endswith("| same | **differs** | same | same | same |")
    assert lines["remove.done"].endswith("| same | same | same | not tried | same |")
