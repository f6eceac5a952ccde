"""What completes the words of a command line: read from the parsers themselves, so that it is never behind.

The scripts of `edgewright completion` run `edgewright __complete -- WORDS`; the last word is the one being
typed. Each line of the answer is a candidate, with a tab and what it is behind it where that is known; the
one line `:files` leaves it to the shell, which knows files best.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgewright.cli.operator_client import Operator

FILES = ":files"
# A person waits for the key they pressed.
ASK_SECONDS = 2.0
_MOST_NAMES = 200
# What stands for a name of a kind, wherever a command says so in its usage.
_NAMED = {
    "DEVICE": "device",
    "D": "device",
    "DEPLOYMENT": "deployment",
    "ID[@VERSION]": "package",
    "ID@VERSION": "package",
    "APP[@VERSION]": "package",
    "ROLLOUT": "rollout",
    "USER": "user",
    "TOKEN": "token",
    "ASSIGNMENT": "assignment",
}
_FILES = ("FILE", "FOLDER", "DIR")

Candidate = tuple[str, str]


def complete(words: Sequence[str], commands: dict[str, tuple[str, str]]) -> list[Candidate]:
    """Return what the last of `words` could become, each with what it is."""
    if not words:
        words = [""]
    if len(words) == 1:
        return _beginning(words[0], ((name, summary) for name, (_, summary) in commands.items()))
    if words[0] not in commands:
        return []
    from edgewright.cli.arguments import Parser

    module = import_module(commands[words[0]][0])
    parser = Parser(prog=f"edgewright {words[0]}", description=module.HELP)
    module.configure(parser)
    place = _Place(parser)
    for word in words[1:-1]:
        place.take(word)
    return _beginning(words[-1], place.candidates(words[-1]))


def _beginning(typed: str, candidates: Iterable[Candidate]) -> list[Candidate]:
    found = dict.fromkeys(one for one in candidates if one[0] == FILES or one[0].startswith(typed))
    return list(found)


@dataclass(slots=True)
class _Place:
    """Where on its command line a parser is, after the words taken so far."""

    parser: argparse.ArgumentParser
    positionals: list[str] = field(default_factory=list)
    waiting: argparse.Action | None = None
    context: str | None = None

    def take(self, word: str) -> None:
        """Go on by one whole word."""
        if self.waiting is not None:
            if self.waiting.dest == "context":
                self.context = word
            self.waiting = None
        elif word.startswith("-") and word != "-":
            name, sign, _ = word.partition("=")
            option = self._option(name)
            if option is not None and option.nargs != 0 and not sign:
                self.waiting = option
        else:
            group = self._group()
            if group is not None and word in group.choices:
                self.parser, self.positionals = group.choices[word], []
            else:
                self.positionals.append(word)

    def candidates(self, typed: str) -> Iterator[Candidate]:
        """Yield what may stand here."""
        if self.waiting is not None:
            yield from self._values(self.waiting, typed)
            return
        if typed.startswith("-"):
            name, sign, _ = typed.partition("=")
            option = self._option(name) if sign else None
            if option is not None:
                yield from ((f"{name}={value}", told) for value, told in self._values(option, typed))
                return
            for one in self.parser._actions:
                for name in one.option_strings:
                    if name.startswith("--") or len(typed) == 1:
                        yield name, one.help or ""
            return
        group = self._group()
        if group is not None:
            yield from ((one.dest, one.help or "") for one in group._choices_actions)
            return
        action = self._positional()
        if action is not None:
            yield from self._values(action, typed)

    def _values(self, action: argparse.Action, typed: str) -> Iterator[Candidate]:
        if action.choices is not None:
            yield from ((str(choice), "") for choice in action.choices)
            return
        completes = getattr(action, "completes", None)
        if completes == "kind":
            yield from self._kinds(typed)
        elif completes == "name":
            yield from self._names(self.positionals[0], typed)
        elif isinstance(action.metavar, str) and action.metavar in _NAMED:
            yield from self._names(_NAMED[action.metavar], typed)
        elif isinstance(action.metavar, str) and action.metavar.startswith(_FILES):
            yield FILES, ""

    def _kinds(self, typed: str) -> Iterator[Candidate]:
        from edgewright.cli.resources.registry import KINDS

        kind, sign, name = typed.partition("/")
        if sign:
            yield from ((f"{kind}/{key}", told) for key, told in self._names(kind, name))
            return
        before = typed.rpartition(",")[0]
        for plural, short, _title in KINDS.values():
            yield f"{before},{plural}" if before else plural, ", ".join(short)

    def _names(self, word: str, typed: str) -> Iterator[Candidate]:
        """Yield names of a kind as the fleet manager has them; none if it cannot be asked."""
        from edgewright.cli.resources.asking import query_of
        from edgewright.cli.resources.registry import kind_called
        from edgewright.protocol.errors import EdgewrightError

        if "/" in word:
            yield from self._kinds(typed)
            return
        try:
            kind = kind_called(word)
            where = [f"{kind.search}={typed}"] if kind.search and typed else []
            query = query_of(kind, None, where)
            for entry in first_entries(self._operator(), f"{kind.path}{query}"):
                told = " ".join(str(entry.get(name) or "") for name in ("application", "state")).strip()
                yield kind.key(entry), told
        except (EdgewrightError, OSError):
            return

    def _operator(self) -> Operator:
        import os

        from edgewright.cli.context import context_path, load_context
        from edgewright.cli.operator_client import Operator

        return Operator(load_context(context_path(self.context, os.environ)), timeout=ASK_SECONDS)

    def _option(self, name: str) -> argparse.Action | None:
        return self.parser._option_string_actions.get(name)

    def _group(self) -> argparse._SubParsersAction[argparse.ArgumentParser] | None:
        found = (one for one in self.parser._actions if isinstance(one, argparse._SubParsersAction))
        return next(found, None)

    def _positional(self) -> argparse.Action | None:
        """Return the argument that the next word belongs to."""
        actions = [one for one in self.parser._actions if not one.option_strings]
        taken = len(self.positionals)
        for action in actions:
            if action.nargs in {"*", "+"} or taken == 0:
                return action
            taken -= 1
        return None


def first_entries(operator: Operator, path: str) -> list[dict[str, object]]:
    """Return as many entries of a list as somebody can choose from."""
    from edgewright.cli.operator import Listed, read

    sign = "&" if "?" in path else "?"
    page = read(operator.get(f"{path}{sign}limit={_MOST_NAMES}"), Listed)
    return [one for one in page.items if isinstance(one, dict)]
