"""What the machine gives: the smallest limit counts."""

from pathlib import Path

import pytest

from edgewright.server.machine import memory_bytes


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param({"system.slice/server.service": "1048576", "": "max"}, 1 << 20, id="the service's own"),
        pytest.param({"system.slice/server.service": "max", "system.slice": "4096"}, 4096, id="above it"),
        pytest.param({"": "8192"}, 8192, id="the container's"),
    ],
)
def test_the_smallest_limit_of_the_group_and_those_above_counts(
    tmp_path: Path, limits: dict[str, str], expected: int
) -> None:
    groups, own = tmp_path / "cgroup", tmp_path / "own"
    (groups / "system.slice" / "server.service").mkdir(parents=True)
    own.write_text("0::/system.slice/server.service\n")
    for name, limit in limits.items():
        (groups / name / "memory.max").write_text(f"{limit}\n")
    assert memory_bytes(groups, own) == expected


def test_without_control_groups_it_is_the_machine_s(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path / "none", tmp_path / "nothing") > 1 << 26
