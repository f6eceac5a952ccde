"""How `edgewright` reads its arguments: argparse, with errors as values of ours and a nearest guess.

Every subcommand module has the same shape: `HELP`, `configure(parser)`, `run(args) -> int`.
A module with subcommands of its own adds them with `commands` and `command`, and its `run` is
`run_command`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import NoReturn

from edgewright.cli.errors import UsageError

_CHOICE = re.compile(r"invalid choice: '?(?P<given>[^']*?)'? \(choose from (?P<choices>.+)\)")


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks and indents of a description, and folds the lines that are too long."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = super()._fill_text(text, width, indent).splitlines()
        return "\n".join(_folded(line, width + 2) for line in lines)


def _folded(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    import textwrap

    margin = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line, width, initial_indent="", subsequent_indent=margin)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises `UsageError` instead of ending the process."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("formatter_class", Formatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with `message`, the nearest choice if one was mistyped, and where help is."""
        raise UsageError(f"{explain(message)}\nTry '{self.prog} --help'.")


def explain(message: str) -> str:
    """Return argparse's `message`, with a mistyped command's list of choices replaced by the nearest one."""
    found = _CHOICE.search(message)
    if found is None:
        return message
    choices = [choice.strip(" '") for choice in found["choices"].split(",")]
    return f"{message[: found.start()]}{unknown(found['given'], choices)}"


def unknown(given: str, choices: list[str]) -> str:
    """Return the sentence for a word that is none of `choices`: with the nearest, or with all of them."""
    from difflib import get_close_matches

    near = get_close_matches(given, choices, n=1, cutoff=0.5)
    if near:
        return f"there is no '{given}'; did you mean '{near[0]}'?"
    return f"there is no '{given}'; choose from {', '.join(choices)}"


Run = Callable[[argparse.Namespace], int]


def commands(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Give `parser` subcommands; without one it is a usage error that shows the help."""

    def show_help(_args: argparse.Namespace) -> int:
        raise UsageError(f"which one?\n\n{parser.format_help().rstrip()}")

    parser.set_defaults(command=show_help)
    return parser.add_subparsers(metavar="COMMAND", title="commands")


def command(
    group: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Run,
    *,
    summary: str,
    more: str = "",
) -> argparse.ArgumentParser:
    """Add the subcommand `name` to `group`; `run` carries it out, `more` is help below the summary."""
    description = f"{summary[0].upper()}{summary[1:]}." + (f"\n\n{more.strip()}" if more else "")
    parser = group.add_parser(name, help=summary, description=description)
    parser.set_defaults(command=run)
    return parser


def run_command(args: argparse.Namespace) -> int:
    """Carry out the subcommand that `args` chose."""
    chosen: Run = args.command
    return chosen(args)


def duration(text: str) -> float:
    """Return the seconds that `text` says: `90s`, `5m`, `1h30m` or a plain number of seconds."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    if found is None or not any(found.groups()):
        raise argparse.ArgumentTypeError(f"'{text}' is no duration; write it like 90s, 5m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(hours * 3600 + minutes * 60 + seconds)
