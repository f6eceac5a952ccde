"""`edgewright edit`: a thing as a document in an editor, applied when the editor is closed."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from edgewright.cli.errors import UsageError
from edgewright.cli.resources.asking import NAMING, add_names, asked

HELP = f"""\
Edit a thing as a document in $VISUAL or $EDITOR, and apply it when the editor is
closed. What somebody else changed meanwhile is not overwritten.
{NAMING}

example: edgewright edit assignment shop"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edgewright edit`."""
    add_names(parser)
    parser.add_argument(
        "--context", metavar="FILE", help="which fleet manager (default: of 'edgewright login')"
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the command."""
    from edgewright.cli.apply import carry_out_all
    from edgewright.cli.operator import connect
    from edgewright.cli.resources.applying import Step, declared_of
    from edgewright.cli.resources.documents import parse, render
    from edgewright.cli.resources.kind import Standing
    from edgewright.protocol.errors import EdgewrightError

    wanted = asked(args)
    if len(wanted) != 1 or len(wanted[0].names) != 1:
        raise UsageError("say which one: edgewright edit KIND NAME")
    kind = wanted[0].kind
    if kind.declared is None:
        raise UsageError(f"a {kind.name} is not edited as a document")
    operator = connect(args)
    entry, tag = kind.find_tagged(operator, wanted[0].names[0])
    before = kind.document(entry)
    path = _write(render([before], "yaml", is_list=False))
    _open_editor(path)
    try:
        edited = list(parse(path.read_bytes(), str(path)))
        if len(edited) != 1 or (edited[0].kind, edited[0].name) != (before.kind, before.name):
            raise UsageError(f"{path}: kind and metadata.name have to stay {before.kind} and {before.name}")
        standing = Standing(entry=entry, tag=tag, document=before)
        change = declared_of(kind).change(edited[0], standing)
        carry_out_all(
            operator, [Step(document=edited[0], kind=kind, standing=standing, change=change)], dry_run=False
        )
    except EdgewrightError:
        print(f"What you wrote is kept in {path}")
        raise
    path.unlink()
    return 0


def _write(text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="edgewright-", suffix=".yaml")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def _open_editor(path: Path) -> None:
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    try:
        done = subprocess.run([*words, str(path)], check=False)
    except OSError as error:
        raise UsageError(f"{words[0]}: {error.strerror}; set EDITOR to an editor that is there") from error
    if done.returncode != 0:
        raise UsageError(f"{words[0]} ended with {done.returncode}; nothing was changed ({path})")
