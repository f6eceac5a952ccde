"""The reference names every command and option there is; pages link to pages that are there."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from edgewright.cli.arguments import Parser
from edgewright.cli.main import COMMANDS

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs" / "reference" / "cli.md").read_text()
COMMON = {"--help", "--output", "--context"}
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield `parser` and the parsers of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from parsers(one)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in {"agent", "server"}])
def test_the_reference_names_every_command_and_option(name):
    module = import_module(COMMANDS[name][0])
    parser = Parser(prog=f"edgewright {name}")
    module.configure(parser)
    section = REFERENCE.partition(f"## `edgewright {name}")[2].partition("\n## ")[0]
    assert section
    for one in parsers(parser):
        subcommand = one.prog.removeprefix(f"edgewright {name}").strip()
        assert subcommand in section
        options = {text for action in one._actions for text in action.option_strings if text.startswith("--")}
        assert [option for option in sorted(options - COMMON) if option not in section] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert broken == []
