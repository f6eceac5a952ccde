"""`edgewright watch`: follows things until nothing more happens to them by itself."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edgewright.cli.resources.asking import NAMING, add_filters, add_names, asked

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator
    from edgewright.cli.resources.asking import Asked
    from edgewright.cli.resources.kind import Entry, Kind

POLL_SECONDS = 1.0

HELP = f"""\
Follow things, and end when all of them have settled: a deployment that runs or
has failed, a rollout that is over. Exit code 1 when one failed, or --timeout
ran out. Kinds that never settle are followed until Ctrl-C.
{NAMING}

examples: edgewright watch deployments --where application=shop
          edgewright watch device/line-4"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edgewright watch`."""
    from edgewright.cli.arguments import duration

    add_names(parser)
    add_filters(parser)
    parser.add_argument("--timeout", type=duration, metavar="TIME", help="give up after this long, like 5m")
    parser.add_argument(
        "--context", metavar="FILE", help="which fleet manager (default: of 'edgewright login')"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from edgewright.cli.operator import connect

    return follow(connect(args), asked(args), "table", timeout=args.timeout, until_settled=True)


def follow(
    operator: Operator,
    wanted: Sequence[Asked],
    output: str,
    *,
    timeout: float | None,
    until_settled: bool,
) -> int:
    """Print a line for every change; an interruption of the connection is waited out."""
    from edgewright.cli.errors import OutcomeError
    from edgewright.net.http import HttpError

    deadline = None if timeout is None else time.monotonic() + timeout
    lines = Lines(output)
    while True:
        late = deadline is not None and time.monotonic() > deadline
        try:
            found = [(one.kind, one.entries(operator)) for one in wanted]
        except HttpError as error:
            if late or not lines.has_shown or not error.retryable:
                raise
        else:
            lines.show(found)
            if until_settled and _is_over(found):
                return _judge(found)
        if late:
            raise OutcomeError("not all has settled in time; 'edgewright describe' says how it stands")
        time.sleep(POLL_SECONDS)


class Lines:
    """Prints what is new since it looked last, one line per thing, in columns that stay where they are."""

    def __init__(self, output: str) -> None:
        self.has_shown = False
        self._output = output
        self._last: dict[tuple[str, str], tuple[str, ...]] = {}
        self._widths: dict[str, list[int]] = {}

    def show(self, found: Sequence[tuple[Kind, Sequence[Entry]]]) -> None:
        """Print what is new in `found`, and what is gone."""
        now = datetime.now(UTC)
        present = set()
        for kind, entries in found:
            for entry in entries:
                place = kind.name, kind.key(entry)
                present.add(place)
                self._show(kind, entry, place, now)
        for name, key in sorted(set(self._last) - present):
            del self._last[name, key]
            print(f"{name}/{key} is gone", flush=True)
        self.has_shown = True

    def _show(self, kind: Kind, entry: Entry, place: tuple[str, str], now: datetime) -> None:
        from edgewright.cli.resources.tables import columns_of, rows_of

        is_wide = self._output == "wide"
        columns = columns_of(kind, is_wide=is_wide)
        (cells,) = rows_of(columns, [entry], now, is_wide=is_wide)
        # That time passes is no change.
        (timeless,) = rows_of(columns, [entry], datetime(1, 1, 1, tzinfo=UTC), is_wide=is_wide)
        if self._last.get(place) == timeless:
            return
        self._last[place] = timeless
        if self._output == "name":
            print(f"{kind.name}/{kind.key(entry)}", flush=True)
            return
        heads = tuple(column.head.upper() for column in columns)
        if kind.name not in self._widths:
            self._widths[kind.name] = [len(head) for head in heads]
            self._print(kind, heads, cells)
        self._print(kind, cells)

    def _print(self, kind: Kind, cells: Sequence[str], beside: Sequence[str] = ()) -> None:
        widths = self._widths[kind.name]
        for index, cell in enumerate(cells):
            other = beside[index] if beside else ""
            widths[index] = max(widths[index], len(cell), len(other))
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print("  ".join(padded).rstrip(), flush=True)


def _is_over(found: Sequence[tuple[Kind, Sequence[Entry]]]) -> bool:
    return all(kind.settled is not None and all(map(kind.settled, entries)) for kind, entries in found)


def _judge(found: Sequence[tuple[Kind, Sequence[Entry]]]) -> int:
    """Return the exit code, or raise OutcomeError naming what failed."""
    from edgewright.cli.errors import OutcomeError

    failed = [
        f"{kind.name}/{kind.key(entry)} failed"
        for kind, entries in found
        for entry in entries
        if kind.failed is not None and kind.failed(entry)
    ]
    if failed:
        raise OutcomeError("\n  ".join(failed))
    return 0
