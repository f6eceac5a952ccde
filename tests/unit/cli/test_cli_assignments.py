"""What `apply --dry-run` tells of an assignment for a large fleet."""

from collections import Counter
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from edgewright.cli.operator_client import Operator
from edgewright.cli.resources.assignments import KIND
from edgewright.cli.resources.documents import Document


class Previewing:
    """A fleet manager that only previews: `actions` maps device to what would happen to it."""

    def __init__(self, actions: dict[str, str]) -> None:
        self._actions = actions

    def post(self, path: str, _value: object) -> dict[str, Any]:
        asked = parse_qs(urlsplit(path).query)
        (action,) = asked.get("action", [""])
        found = [self._planned(name, one) for name, one in self._actions.items() if action in {"", one}]
        items = found[: int(asked["limit"][0])]
        page = {"items": items, "next": None, "total": len(found)}
        return {"counts": dict(Counter(self._actions.values())), "devices": page}

    def _planned(self, name: str, action: str) -> dict[str, Any]:
        reasons = ["has no memory"] if action == "misfit" else []
        versions = {"version_before": None, "version_after": "1.0.0"}
        return {"device": name, "action": action, "parameters": [], "reasons": reasons, **versions}


def preview(actions: dict[str, str]) -> list[str]:
    assert KIND.declared is not None
    assert KIND.declared.preview is not None
    document = Document(kind="Assignment", metadata={"name": "shop"}, spec={}, status={})
    return list(KIND.declared.preview(cast("Operator", Previewing(actions)), document))


def test_a_dry_run_counts_all_devices_also_those_it_does_not_name() -> None:
    told = preview({f"edge-{number:05}": "create" for number in range(10_000)})
    assert told[0] == "10000 to create"
    assert told[1] == "edge-00000: to create 1.0.0"
    assert told[-1] == "... and 9950 more"


def test_a_dry_run_names_devices_that_change_after_thousands_that_do_not() -> None:
    fleet = {f"edge-{number:05}": "unchanged" for number in range(5_000)}
    told = preview(fleet | {"last-1": "create", "last-2": "misfit"})
    assert told == [
        "5000 unchanged, 1 to create, 1 does not fit",
        "last-2: does not fit 1.0.0",
        "    has no memory",
        "last-1: to create 1.0.0",
    ]
