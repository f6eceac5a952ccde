"""`edgewright repository check`: says of commits by hand what the fleet manager would say, beforehand."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.cli.arguments import command
from edgewright.cli.errors import UsageError

if TYPE_CHECKING:
    from edgewright.net.git.program import Git

_CHECK = """\
In a clone: says which commits after OLD up to NEW the fleet manager would refuse, and
why. As hook pre-receive of a repository, without OLD and NEW, it reads from standard
input which branches move. It ends with 1 if a commit would be refused.

No fleet manager is asked: whether an application takes a value, and whether a
deployment belongs to an assignment, is judged after the push."""
_NOTHING = "0" * 40
# So far back is looked for the last commit of the fleet manager.
_FURTHEST = 500


def configure(group: Any) -> None:
    """Declare the command."""
    check = command(group, "check", _check, summary="judge commits before they are pushed", more=_CHECK)
    check.add_argument("old", metavar="OLD", nargs="?", help="the commit that is on the branch now")
    check.add_argument("new", metavar="NEW", nargs="?", help="the commit that is to be")


def _check(args: argparse.Namespace) -> int:
    from edgewright.protocol.repository import DESIRED

    git = _repository()
    if args.old is not None and args.new is None:
        raise UsageError("both OLD and NEW are needed, or neither, as a hook")
    if args.old is not None:
        moves = [(_resolved(git, args.old), _resolved(git, args.new))]
    else:
        if sys.stdin.isatty():
            raise UsageError("OLD and NEW are needed; without them it is a hook, and reads standard input")
        lines = [line.split() for line in sys.stdin]
        moves = [(line[0], line[1]) for line in lines if len(line) == 3 and line[2] == DESIRED]
    refused = 0
    for old, new in moves:
        for is_fine, told in _judged(git, old, new):
            print(told)
            refused += not is_fine
    return 1 if refused else 0


def _judged(git: Git, old: str, new: str) -> Iterator[tuple[bool, str]]:
    """Yield whether each commit is fine, and what there is to say of it."""
    from edgewright.protocol.repository import SIGNERS, SIGNERS_BYTES
    from edgewright.server.domain.hand_made import Accepted, after
    from edgewright.server.repositories.snapshots import look, read_author, read_snapshot

    if new == _NOTHING:
        yield False, "refused: the branch desired must not be removed"
        return
    if old == _NOTHING:
        return  # the fleet manager's first commit makes the branch
    with tempfile.TemporaryDirectory() as folder:
        signers = Path(folder) / "signers"
        signers.write_bytes(git.read_blob(old, SIGNERS, limit=SIGNERS_BYTES) or b"")
        if _is_signed(git, new, signers):
            return
        base = _last_signed(git, old, signers)
    path = git.first_parents(base, new)
    if path is None or git.first_parents(old, new) is None:
        if git.is_ancestor(old, new):
            yield (
                False,
                "refused: it has to build on the branch along first parents: rebase, do not merge it in",
            )
        else:
            yield False, "refused: the branch must not be rewritten, nor gone back: build on what is there"
        return
    known = set(git.first_parents(base, old) or ())
    state = parent = read_snapshot(git, base)
    for commit_id in path:
        made, verdict = look(git, commit_id, parent, state)
        author = read_author(git, commit_id).author
        if isinstance(verdict, Accepted):
            if made is not None:
                state = after(state, made, verdict)
            told = f"fine: {commit_id[:12]} by {author}: {verdict.in_words()}"
        else:
            told = f"refused: {commit_id[:12]} by {author}: {verdict.reason}"
        if commit_id not in known:
            yield isinstance(verdict, Accepted), told
        parent = state if made is None else made


def _last_signed(git: Git, old: str, signers: Path) -> str:
    """Return the last commit of the fleet manager, `old` itself where none is near."""
    commit = old
    for _ in range(_FURTHEST):
        if _is_signed(git, commit, signers):
            return commit
        parents = git.read_commit(commit).parents
        if not parents or git.commit_of(parents[0]) is None:
            return old
        commit = parents[0]
    return old


def _is_signed(git: Git, commit: str, signers: Path) -> bool:
    from edgewright.net.git.program import UntrustedError

    try:
        git.signer_of(commit, signers)
    except UntrustedError:
        return False
    return True


def _resolved(git: Git, name: str) -> str:
    if name == _NOTHING:
        return name
    found = None if name.startswith("-") else git.commit_of(name)
    if found is None:
        raise UsageError(
            f"{name}: there is no such commit here; in CI fetch the whole history (fetch-depth: 0)"
        )
    return found


def _repository() -> Git:
    """Return the repository one is in; a hook sees what is being pushed, which is not in it yet."""
    from edgewright.net.git.program import Git, need

    class Hooked(Git):
        def environment(self) -> dict[str, str]:
            names = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH")
            kept = {name: os.environ[name] for name in names if name in os.environ}
            return super().environment() | kept

    done = subprocess.run(
        [need("git"), "rev-parse", "--path-format=absolute", "--git-common-dir"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UsageError(f"not in a clone: {done.stderr.strip() or 'git says no'}")
    return Hooked(done.stdout.strip())
