"""What commands print: tables for people, JSON or YAML for programs.

At a terminal a table is drawn by rich and never wider than the terminal; anywhere else it is plain
aligned text, so that nothing is cut. Programs get times as ISO 8601, people get "12 s ago".
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.table import Table

FORMATS = ("table", "json", "yaml")
_NARROWEST = 24  # columns in which a sentence can still be read
SHORT = 8  # characters of an id that a table shows, if they tell it from the others


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the option `-o table|json|yaml`."""
    told = "table (default), json or yaml"
    parser.add_argument("-o", "--output", choices=FORMATS, default="table", metavar="FORMAT", help=told)


def print_value(value: object, output: str) -> None:
    """Print `value`, made of plain lists, mappings and scalars, as `output` json or yaml says."""
    from edgewright.protocol import yaml

    if output == "json":
        print(yaml.dump_json(value, indent=2))
    else:
        sys.stdout.write(yaml.dump(value).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print `rows` under `columns`; `empty` says what to do when there are none."""
    listed = [tuple(row) for row in rows]
    if not listed:
        print(empty)
    elif may_draw():
        from rich.console import Console

        Console(highlight=False).print(rich_table(columns, listed))
    else:
        print(plain_table(columns, listed))


def may_draw() -> bool:
    """Return whether output goes to a terminal and rich is installed, which a device need not have."""
    return sys.stdout.isatty() and find_spec("rich") is not None


def rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a borderless rich table; states are coloured, long cells are folded."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return table


STYLES = {
    "converged": "green",
    "installed": "green",
    "failed": "bold red",
    "waiting": "yellow",
    "behind": "yellow",
    "waiting-for-approval": "yellow",
    "held": "yellow",
    "taking-up": "cyan",
    "installing": "cyan",
    "pending": "yellow",
    "removing": "cyan",
    "removed": "dim",
    "in-contact": "green",
    "planned-silence": "dim",
    "expected": "yellow",
    "silent": "bold red",
}


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the table as text: columns aligned, two blanks between them, no trailing blanks."""
    lines = [tuple(column.upper() for column in columns), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    padded = (zip(line, widths, strict=True) for line in lines)
    return "\n".join("  ".join(cell.ljust(width) for cell, width in line).rstrip() for line in padded)


def print_plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table where rich is not to be had: on a device. A terminal's width is kept to."""
    if sys.stdout.isatty():
        print(folded_table(columns, rows, get_terminal_size().columns))
    else:
        print(plain_table(columns, rows))


def folded_table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Return the table with its last column folded to `width`; below its row where that is too narrow."""
    heads = plain_table(columns[:-1], [row[:-1] for row in rows]).splitlines()
    start = max(map(len, heads)) + 2
    beside = width - start >= _NARROWEST
    indent = " " * (start if beside else 4)
    lines = []
    lasts = [columns[-1].upper() if beside else "", *(row[-1] for row in rows)]
    for head, last in zip(heads, lasts, strict=True):
        folded = [
            piece
            for line in last.splitlines()
            for piece in wrap(line, max(width - len(indent), _NARROWEST), break_on_hyphens=False)
        ]
        lines.append(head.ljust(start) + folded.pop(0) if beside and folded else head)
        lines += [indent + piece for piece in folded]
    return "\n".join(lines)


def print_facts(facts: Iterable[tuple[str, str]], *, file: TextIO | None = None) -> None:
    """Print (name, text) pairs one per line, the texts aligned; a pair without text is left out."""
    known = [(name, text) for name, text in facts if text]
    width = max((len(name) for name, _ in known), default=0)
    for name, text in known:
        indented = text.replace("\n", "\n" + " " * (width + 2))
        print(f"{name.ljust(width)}  {indented}", file=file or sys.stdout)


def shorten(identifier: str, others: Iterable[str]) -> str:
    """Return the first characters of `identifier`, at least eight, that none of `others` begins with."""
    rivals = [other for other in others if other != identifier]
    length = SHORT
    while length < len(identifier) and any(other.startswith(identifier[:length]) for other in rivals):
        length += 1
    return identifier[:length]


def ago(moment: str | None, now: datetime) -> str:
    """Return how long before `now` the ISO 8601 `moment` was: `12 s ago`; `never` for None.

    Anything that is not such a moment is returned as it is.
    """
    if moment is None:
        return "never"
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    seconds = int((now - then).total_seconds())
    if -60 < seconds < 1:
        return "just now"
    if seconds < 0:
        return f"in {span(-seconds)}"
    return f"{span(seconds)} ago"


def moment(text: str | None) -> str:
    """Return the ISO 8601 moment `text` to the minute, in UTC; "" for None, other text as it is."""
    if text is None:
        return ""
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return text
    return then.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def span(seconds: int) -> str:
    """Return a length of time in its largest fitting unit: `90 s`, `5 min`, `3 h`, `12 days`."""
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 120 * 60:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} days"
