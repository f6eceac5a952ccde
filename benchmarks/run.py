"""Measures what is promised and prints it beside the goals; `make bench` runs it.

    python benchmarks/run.py [--polls 10000] [--keep]

With --keep the figures replace benchmarks/results/latest.json, whose history is the project's.
Nothing here passes or fails: figures are for people to judge.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

TOP = Path(__file__).parents[1]
sys.path.insert(0, str(TOP / "tests"))

import repository  # noqa: E402
import sync  # noqa: E402
import watch  # noqa: E402
from measure import make_interpreter, median_of  # noqa: E402

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure we hold ourselves to: wanted at most `goal`, never more than `limit`."""

    figure: str
    text: str
    goal: float
    limit: float | None


GOALS = (
    Goal(figure="watch_pss_mib", text="watch, idle PSS, nothing shared (MiB)", goal=20, limit=24),
    Goal(figure="watch_anonymous_mib", text="watch, idle anonymous memory (MiB)", goal=9, limit=12.5),
    Goal(
        figure="watch_pss_over_tls_mib",
        text="watch, PSS over Python with one TLS context (MiB)",
        goal=5,
        limit=9,
    ),
    Goal(
        figure="watch_growth_kib",
        text="watch, growth over the last nine tenths of polls (KiB)",
        goal=0,
        limit=64,
    ),
    Goal(figure="watch_cpu_per_poll_ms", text="watch, CPU per poll, kept-alive (ms)", goal=0.2, limit=0.5),
    Goal(figure="watch_bytes_per_poll", text="watch, unchanged poll (bytes)", goal=300, limit=None),
    Goal(figure="git_watch_pss_mib", text="watch by Git, idle PSS, nothing shared (MiB)", goal=20, limit=24),
    Goal(
        figure="git_watch_growth_kib",
        text="watch by Git, growth over the last nine tenths (KiB)",
        goal=0,
        limit=64,
    ),
    Goal(figure="git_watch_cpu_per_poll_ms", text="watch by Git, CPU per poll (ms)", goal=0.4, limit=1.0),
    Goal(figure="git_watch_bytes_per_poll", text="watch by Git, the same (bytes)", goal=900, limit=None),
    Goal(figure="watch_first_304_ms", text="watch, start to first 304, warm (ms)", goal=60, limit=120),
    Goal(figure="sync_cpu_ms", text="a whole sync cycle without a change (ms CPU)", goal=60, limit=120),
    Goal(figure="wheel_mib", text="agent wheel (MiB)", goal=0.3, limit=None),
)


def wheel_mib() -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, TOP]
        subprocess.run(command, check=True)
        return next(Path(folder).glob("*.whl")).stat().st_size / 1024**2


def measure_all(polls: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as folder:
        directory = Path(folder)
        interpreter = make_interpreter(directory / "python")

        runs = itertools.count()

        def fresh() -> Path:
            made = directory / f"run-{next(runs)}"
            made.mkdir()
            return made

        figures = watch.measure(interpreter, fresh(), polls=polls)
        figures |= repository.measure(interpreter, fresh(), polls=polls)
        figures["watch_first_304_ms"] = median_of(11, lambda: watch.first_answer_ms(interpreter, fresh()))
        figures["sync_cpu_ms"] = sync.cpu_ms(fresh())
        figures["wheel_mib"] = wheel_mib()
        return figures


def table(figures: dict[str, float]) -> str:
    lines = [f"{'figure':<58} {'measured':>9} {'goal':>7} {'never over':>10}"]
    for goal in GOALS:
        value = figures[goal.figure]
        limit = f"{goal.limit:g}" if goal.limit is not None else ""
        mark = (
            ""
            if value <= goal.goal
            else " (over)"
            if goal.limit is not None and value > goal.limit
            else " (near)"
        )
        lines.append(f"{goal.text:<58} {value:>9.2f} {goal.goal:>7g} {limit:>10}{mark}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--polls", type=int, default=10_000)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/latest.json")
    arguments = parser.parse_args()
    figures = measure_all(arguments.polls)
    print(table(figures))
    if arguments.keep:
        described = {
            "at": datetime.now(UTC).date().isoformat(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "polls": arguments.polls,
            "figures": {name: round(value, 3) for name, value in figures.items()},
        }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "latest.json").write_text(json.dumps(described, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
