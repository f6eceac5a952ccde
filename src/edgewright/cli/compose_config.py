"""Asks the Compose program, where there is one, whether a compose.yaml keeps to the Compose Specification.

It knows more than we do: misspelt keys, wrong types, volumes that are used and not declared.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from edgewright.agent.runtimes import EngineError
from edgewright.agent.runtimes.compose_program import ProgramTimeoutError, find_compose_program
from edgewright.cli.compose_check import COMPOSE_FILE, Finding

SECONDS = 30.0
# `$NAME`, `${NAME}` and `${NAME:?message}`, but neither `${NAME:-default}` nor an escaped `$$`.
_NEEDED = re.compile(r"(?<!\$)\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::?\?[^}]*)?\})")


def check_by_compose(folder: Path) -> list[Finding]:
    """Return what the Compose program complains about, nothing where there is no such program.

    Variables that have no default are given the value 1; where there are any, a complaint is a warning,
    because it may be about that value.
    """
    try:
        program = find_compose_program(None, os.environ)
    except EngineError:
        return []
    names = needed_variables((folder / COMPOSE_FILE).read_text(errors="replace"))
    words = ["--file", str((folder / COMPOSE_FILE).resolve()), "config", "--quiet"]
    try:
        done = program.run(words, environment=dict.fromkeys(names, "1"), timeout=SECONDS)
    except ProgramTimeoutError:
        return [Finding(path="$", message=f"{program.path} did not answer in time", fatal=False)]
    except EngineError as error:
        return [Finding(path="$", message=str(error), fatal=False)]
    if done.code == 0:
        return []
    place = str(folder.resolve())
    reason = " ".join(done.reason.replace(f"{place}/", "").split())
    return [Finding(path="$", message=f"Compose {program.version} says: {reason}", fatal=not names)]


def needed_variables(text: str) -> list[str]:
    """Return the variables that a Compose file uses without giving a default."""
    return sorted({first or second for first, second in _NEEDED.findall(text)})
