"""Things of one kind as a table: narrow enough for 80 columns, all there is with `-o wide`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewright.cli.resources.kind import Column, Entry, Kind

# What a terminal of 80 columns has room for in a cell; `-o wide` shows all of it.
_MOST = 60


def columns_of(kind: Kind, *, is_wide: bool) -> list[Column]:
    """Return the columns that are shown."""
    return [column for column in kind.columns if is_wide or not column.wide]


def rows_of(
    columns: Sequence[Column], entries: Sequence[Entry], now: datetime, *, is_wide: bool
) -> list[tuple[str, ...]]:
    """Return the cells of every entry."""
    return [tuple(_cell(column.text(entry, now), is_wide) for column in columns) for entry in entries]


def print_entries(kind: Kind, entries: Sequence[Entry], now: datetime, *, is_wide: bool) -> None:
    """Print the table, or what to do when it is empty."""
    from edgewright.cli.output import print_table

    columns = columns_of(kind, is_wide=is_wide)
    rows = rows_of(columns, entries, now, is_wide=is_wide)
    print_table([column.head for column in columns], rows, empty=kind.empty)


def _cell(text: str, is_wide: bool) -> str:
    line = " ".join(text.split())
    return line if is_wide or len(line) <= _MOST else f"{line[: _MOST - 3]}..."
