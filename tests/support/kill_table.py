"""The kill matrix as a table: the points that each phase passes, and the page made of what a run came to.

As a pytest plugin it writes the page docs/reference/kill-matrix.md: `--kill-matrix FILE`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from edgewright.agent.failpoints import COURIER, NAMES

CAUSES: Final = {
    "kill": "`kill -9`",
    "power": "power cut",
    "disk": "disk full",
    "engine": "engine gone",
    "network": "network gone",
}
_TAKEN_UP: Final = (
    "manifest.received",
    "round.spawned",
    "round.begun",
    "round.introduced",
    "accept.fetched",
    "accept.committed",
)
_BROUGHT: Final = (
    "fetch.begun",
    "fetch.component",
    "fetch.done",
    "apply.begun",
    "apply.component.begun",
    "apply.component.started",
    "apply.component.verified",
)
_COMMITTED: Final = ("commit.before", "commit.after")
_TOLD: Final = ("round.done", "report.queued", "report.sending", "report.delivered", "report.sent")
REACHED: Final[Mapping[str, tuple[str, ...]]] = {
    "installation": (*_TAKEN_UP, *_BROUGHT, *_COMMITTED, *_TOLD),
    "update": (*_TAKEN_UP, *_BROUGHT, *_COMMITTED, *_TOLD),
    "roll-back": (
        *_TAKEN_UP,
        *_BROUGHT,
        *(name for name in NAMES if name.startswith("rollback.")),
        *_TOLD,
    ),
    "removal": (*_TAKEN_UP, *(name for name in NAMES if name.startswith("remove.")), *_TOLD),
}
"""The points that each phase of the matrix's scenario passes; in `roll-back` an update fails."""
Cell = tuple[str, str, str]
"""Phase, point, cause."""
CELLS: Final[tuple[Cell, ...]] = tuple(
    (phase, point, cause) for phase, points in REACHED.items() for point in points for cause in CAUSES
)


_PAGE: Final = """\
# Kill matrix

Where the agent can be stopped, and what becomes of it. Each point is a place in its work at which a test
stops it (`edgewright/agent/failpoints.py`), during the installation of a deployment, an update, an update
that fails and is rolled back, and a removal:

- **`kill -9`**: the watch and the round are killed.
- **power cut**: the same, and all that was not synced to disk is lost.
- **disk full**: there is no room left where the agent keeps its state.
- **engine gone**: no container engine answers.
- **network gone**: neither the fleet manager nor the registry can be reached.

Then the cause is removed and the agent started again. *Same* means: it came to the same end as an agent that
nobody disturbed (what runs and what it wrote, what the agent knows and keeps, the last reports the fleet
manager got), and nothing was started more than once.

Every `make test` tries all of it with one deployment. This page is written by `make nightly`, which tries it
with several deployments too, and every point with real containers.

"""
_COURIER: Final = """
## The courier

A device that lives by Git has one more process, which goes to its repository and ends. Every `make test`
kills it at each of its points (`kill -9`). The next one takes up the same commit, no report is lost or told
twice, and no lock is left in the device's copy of the repository.

| point | what is true there |
|---|---|
"""


def render(results: Mapping[Cell, bool]) -> str:
    """Return the page for `results`: whether a cell ended the same; a cell left out was not tried."""
    head = ["point", "what is true there", "during", *CAUSES.values()]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for point, meaning in NAMES.items():
        phases = [phase for phase, points in REACHED.items() if point in points]
        words = [_word([results.get((phase, point, cause)) for phase in phases]) for cause in CAUSES]
        lines.append(f"| `{point}` | {meaning} | {', '.join(phases)} | {' | '.join(words)} |")
    courier = [f"| `{point}` | {meaning} |" for point, meaning in COURIER.items()]
    return _PAGE + "\n".join(lines) + "\n" + _COURIER + "\n".join(courier) + "\n"


def _word(ended_same: list[bool | None]) -> str:
    if False in ended_same:
        return "**differs**"
    return "not tried" if None in ended_same else "same"


class _Recorder:
    def __init__(self, page: Path) -> None:
        self._page = page
        self._results: dict[Cell, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == "kill_cell" and (report.when == "call" or report.failed):
                phase, point, cause = str(value).split("/")
                cell = (phase, point, cause)
                self._results[cell] = report.passed and self._results.get(cell, True)

    def pytest_sessionfinish(self) -> None:
        self._page.write_text(render(self._results))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-matrix", metavar="FILE", help="write the kill matrix's results as a page")


def pytest_configure(config: pytest.Config) -> None:
    page = config.getoption("--kill-matrix")
    if page and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(Path(page)))
