"""What the demo shows while it runs and at its end: one row per step.

At a terminal the rows are drawn live by rich; anywhere else each step is a line when it begins and
when it ends. Neither decides anything.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from edgewright.cli.output import may_draw, plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class Phase(StrEnum):
    """How far a step is."""

    TO_COME = "to come"
    UNDER_WAY = "under way"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True, kw_only=True)
class Row:
    """One step as it is shown: its title, how far it is, what was seen, and how long it took (seconds)."""

    title: str
    phase: Phase = Phase.TO_COME
    seen: str = ""
    began: float = 0.0
    seconds: float = 0.0


class Report(Protocol):
    """Shows steps one after the other: `begin` with the step's index, then `done` or `failed` for it."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def begin(self, index: int) -> None: ...
    def command(self, text: str) -> None: ...
    def detail(self, text: str) -> None: ...
    def done(self, seen: str) -> None: ...
    def failed(self, message: str) -> None: ...
    def finish(self) -> None: ...


class Lines:
    """A report for logs and pipes: plain lines, and a table at the end."""

    def __init__(self, titles: Sequence[str]) -> None:
        self.rows = [Row(title=title) for title in titles]
        self._row = self.rows[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def begin(self, index: int) -> None:
        """Say that the step `index` begins."""
        self._row = _begin(self.rows[index])
        self._line(f"[{index + 1}/{len(self.rows)}] {self._row.title}")

    def command(self, text: str) -> None:
        """Show the command that is carried out now."""
        self._line(f"      $ {text}")

    def detail(self, text: str) -> None:
        """Say how far the step is."""
        self._line(f"      {text}")

    def done(self, seen: str) -> None:
        """Say that the step ended well, and what was seen."""
        _end(self._row, Phase.DONE, seen)
        self._line(f"      {seen} ({self._row.seconds:.1f} s)")

    def failed(self, message: str) -> None:
        """Say that the step failed, and why."""
        _end(self._row, Phase.FAILED, message)
        self._line(f"      FAILED: {message}")

    def finish(self) -> None:
        """Show all steps as a table."""
        ended = [row for row in self.rows if row.phase in {Phase.DONE, Phase.FAILED}]
        cells = [
            (
                row.title,
                row.seen.partition("\n")[0] if row.phase is Phase.DONE else "FAILED",
                f"{row.seconds:.1f}",
            )
            for row in ended
        ]
        self._line("")
        self._line(plain_table(["step", "what was seen", "seconds"], cells))

    def _line(self, text: str) -> None:
        print(text, flush=True)


class Drawn:
    """A report for terminals: the table fills while the steps run, within 80 columns."""

    def __init__(self, titles: Sequence[str]) -> None:
        self.rows = [Row(title=title) for title in titles]
        self._row = self.rows[0]
        self._command = ""
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.live import Live

        self._live = Live(get_renderable=self._draw, refresh_per_second=10, redirect_stderr=False)
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._command = ""
            self._live.__exit__(kind, error, trace)

    def begin(self, index: int) -> None:
        """Show the step `index` as under way."""
        self._row = _begin(self.rows[index])
        self._command = ""

    def command(self, text: str) -> None:
        """Show the command that is carried out now, below the table."""
        self._command = text

    def detail(self, text: str) -> None:
        """Show how far the step is, where later the result will be."""
        self._row.seen = text

    def done(self, seen: str) -> None:
        """Show the step as done, with what was seen."""
        _end(self._row, Phase.DONE, seen)
        self._command = ""

    def failed(self, message: str) -> None:
        """Show the step as failed, with the first line of the reason."""
        _end(self._row, Phase.FAILED, message.partition("\n")[0])
        self._command = ""

    def finish(self) -> None:
        """The table stays as it was drawn last."""

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0), expand=True)
        table.add_column("", width=1)
        table.add_column("step", no_wrap=True)
        table.add_column("what was seen", ratio=1, overflow="fold")
        table.add_column("sec", justify="right", width=5)
        for row in self.rows:
            match row.phase:
                case Phase.UNDER_WAY:
                    mark: RenderableType = Spinner("dots", style="cyan")
                    shown = f"{time.monotonic() - row.began:.1f}"
                case Phase.DONE:
                    mark, shown = Text("✓", style="green"), f"{row.seconds:.1f}"
                case Phase.FAILED:
                    mark, shown = Text("✗", style="bold red"), f"{row.seconds:.1f}"
                case Phase.TO_COME:
                    mark, shown = Text(" "), ""
            style = "dim" if row.phase is Phase.TO_COME else ""
            aside = "dim" if row.phase is Phase.UNDER_WAY else ""
            table.add_row(
                mark, Text(row.title, style=style), Text(row.seen, style=aside), Text(shown, style="dim")
            )
        if not self._command:
            return table
        return Group(table, Text(f"\n$ {self._command}", style="dim", overflow="ellipsis", no_wrap=True))


def _begin(row: Row) -> Row:
    row.phase, row.began = Phase.UNDER_WAY, time.monotonic()
    return row


def _end(row: Row, phase: Phase, seen: str) -> None:
    row.phase, row.seen, row.seconds = phase, seen, time.monotonic() - row.began


def make_report(titles: Sequence[str], *, plain: bool) -> Report:
    """Return the report that fits where the output goes; `plain` asks for lines at a terminal too."""
    if plain or not may_draw():
        return Lines(titles)
    return Drawn(titles)
