"""Keeps count of which requirement is proved by how many passing tests.

A pytest plugin: `@pytest.mark.requirement("DS-12", …)` may only carry ids of
conformance/requirements.toml; with `--record-requirements FILE` the ids of the tests that passed are
written there as JSON. Run as a program it prints the ids with their counts over all such files.
"""

import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

CATALOGUE = Path(__file__).parents[2] / "src" / "edgewright" / "conformance" / "requirements.toml"
RECORDED = pytest.StashKey[Counter[str]]()


def load_catalogue() -> dict[str, str]:
    """Return requirement id → text, in the order of the file."""
    with CATALOGUE.open("rb") as file:
        return {entry["id"]: entry["text"] for entry in tomllib.load(file)["requirement"]}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-requirements", metavar="FILE", help="write the requirements proved to FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECORDED] = Counter()
    config.pluginmanager.register(_Recorder(config), "requirement-recorder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the ids where reports carry them (also from another process); refuse ids nobody defined."""
    known = load_catalogue() if CATALOGUE.exists() else None
    wrong = []
    for item in items:
        carried = {text for marker in item.iter_markers("requirement") for text in marker.args}
        item.user_properties += [("requirement", text) for text in sorted(carried)]
        if known is not None:
            wrong += [f"{item.nodeid}: {text}" for text in sorted(carried - known.keys())]
    if wrong:
        raise pytest.UsageError(f"requirement ids that are not in {CATALOGUE.name}:\n" + "\n".join(wrong))


class _Recorder:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            proved = [str(text) for name, text in report.user_properties if name == "requirement"]
            self._config.stash[RECORDED].update(proved)

    def pytest_sessionfinish(self) -> None:
        target = self._config.getoption("--record-requirements")
        # A worker of pytest-xdist has seen only its own share.
        if target is not None and not hasattr(self._config, "workerinput"):
            path = Path(target)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self._config.stash[RECORDED], indent=2, sort_keys=True) + "\n")


def lines(catalogue: dict[str, str], records: Iterable[Counter[str]]) -> list[str]:
    """Return one line per id: the id, how many passing tests carry it, its text."""
    total = sum(records, Counter[str]())
    width = max(map(len, catalogue), default=0)
    return [f"{name:<{width}} {total[name]:>4}  {text}" for name, text in catalogue.items()]


if __name__ == "__main__":
    found = [Counter(json.loads(Path(name).read_text())) for name in sys.argv[1:]]
    print("\n".join(lines(load_catalogue(), found)))
