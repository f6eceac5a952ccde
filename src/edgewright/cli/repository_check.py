"""`edgewright repository check`: says of commits by hand what the fleet manager would say, beforehand."""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.cli.arguments import command
from edgewright.cli.errors import UsageError
from edgewright.cli.operator import add_operator_options, connect, read
from edgewright.cli.output import print_value

if TYPE_CHECKING:
    from edgewright.net.git.program import Git
    from edgewright.server.domain.hand_made import Commit, Refused, Snapshot

_CHECK = """\
In a clone: says which commits after OLD up to NEW the fleet manager would refuse, and
why. As hook pre-receive of a repository, without OLD and NEW, it reads from standard
input which branches move. It ends with 1 if a commit would be refused.

With --device the fleet manager is asked, which knows as well whether an application
takes a value and whether a deployment belongs to an assignment; a user who may only
read is enough. Without it nobody is asked, and what could not be judged is said.

    edgewright repository check origin/desired HEAD --device line-4
    #!/bin/sh
    exec edgewright repository check --device line-4 --context /etc/git-check.json"""
_NOT_ASKED = """\
not judged here: whether the applications take these values, and whether a deployment
belongs to an assignment, or the policy to all devices; --device DEVICE asks the fleet
manager"""
_NOTHING = "0" * 40
# So far back is looked for the last commit of the fleet manager.
_FURTHEST = 500


def configure(group: Any) -> None:
    """Declare the command."""
    check = command(group, "check", _check, summary="judge commits before they are pushed", more=_CHECK)
    check.add_argument("old", metavar="OLD", nargs="?", help="the commit that is on the branch now")
    check.add_argument("new", metavar="NEW", nargs="?", help="the commit that is to be")
    check.add_argument("--device", metavar="DEVICE", help="whose repository it is: ask the fleet manager")
    add_operator_options(check)


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
    if args.context is not None and args.device is None:
        raise UsageError("--device is needed as well: it says whose repository this is")
    ask = None if args.device is None else _asking(args)
    judged = [one for old, new in moves for one in _judged(git, old, new, ask)]
    _tell(judged, args.output, is_asked=ask is not None)
    return 0 if all(one.is_fine for one in judged) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """One commit, and what becomes of it; without a commit, what is wrong with the move of the branch."""

    is_fine: bool
    told: str
    commit: str | None = None
    author: str | None = None
    is_open: bool = False
    """Whether more is to be known than can be seen here."""

    @property
    def line(self) -> str:
        word = "fine" if self.is_fine else "refused"
        return (
            f"{word}: {self.told}"
            if self.commit is None
            else (f"{word}: {self.commit[:12]} by {self.author}: {self.told}")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A commit made by hand, with its tree, or why nobody looks into that."""

    commit: Commit
    made: Snapshot | Refused


_Ask = Callable[[str, "Snapshot", "Sequence[_Made]"], "list[_Judged]"]


def _judged(git: Git, old: str, new: str, ask: _Ask | None) -> list[_Judged]:
    """Return what becomes of each commit that a move of the branch brings."""
    from edgewright.protocol.repository import SIGNERS, SIGNERS_BYTES
    from edgewright.server.domain.hand_made import MOST_COMMITS
    from edgewright.server.repositories.snapshots import look, read_author, read_snapshot

    if new == _NOTHING:
        return [_Judged(is_fine=False, told="the branch desired must not be removed")]
    if old == _NOTHING:
        return []  # the fleet manager's first commit makes the branch
    with tempfile.TemporaryDirectory() as folder:
        signers = Path(folder) / "signers"
        signers.write_bytes(git.read_blob(old, SIGNERS, limit=SIGNERS_BYTES) or b"")
        if _is_signed(git, new, signers):
            return []
        base = _last_signed(git, old, signers)
    path = git.first_parents(base, new)
    if path is None or git.first_parents(old, new) is None:
        told = "the branch must not be rewritten, nor gone back: build on what is there"
        if git.is_ancestor(old, new):
            told = "it has to build on the branch along first parents: rebase, do not merge it in"
        return [_Judged(is_fine=False, told=told)]
    if len(path) > MOST_COMMITS:
        path = path[-1:]  # as the fleet manager does
    known = set(git.first_parents(base, old) or ())
    state = read_snapshot(git, base)
    made = [_Made(commit=read_author(git, each), made=look(git, each)) for each in path]
    judged = [] if not made else _judge(state, made) if ask is None else ask(base, state, made)
    return [one for one in judged if one.commit not in known]


def _judge(state: Snapshot, commits: Sequence[_Made]) -> list[_Judged]:
    """Judge commits on top of `state` as far as that can be done without a fleet manager."""
    from edgewright.server.domain.hand_made import Accepted, Walk

    walk, judged = Walk(state), []
    for one in commits:
        verdict = walk.judge(one.made)
        walk.go_on(one.made, verdict)
        is_fine = isinstance(verdict, Accepted)
        told, is_open = "", False
        if isinstance(verdict, Accepted):
            told, is_open = verdict.in_words(), bool(verdict.parameters or verdict.policy == (None,))
        else:
            told = verdict.reason
        judged.append(
            _Judged(
                is_fine=is_fine, told=told, commit=one.commit.id, author=one.commit.author, is_open=is_open
            )
        )
    return judged


def _asking(args: argparse.Namespace) -> _Ask:
    """Return who has commits judged by the fleet manager."""
    from edgewright.cli.devices import find_device
    from edgewright.cli.operator_client import segment

    def ask(base: str, state: Snapshot, commits: Sequence[_Made]) -> list[_Judged]:
        # Not before there is something to ask: the fleet manager's own pushes pass the hook as well.
        operator = connect(args)
        device = find_device(operator, args.device)
        asked = {"base": base, "commits": _proposed(state, commits)}
        answer = operator.post(f"/devices/{segment(device)}/repository/external/check", asked)
        return [
            _Judged(
                is_fine=one["is_fine"], told=one["told"], commit=made.commit.id, author=made.commit.author
            )
            for one, made in zip(read(answer, dict[str, Any])["commits"], commits, strict=True)
        ]

    return ask


def _proposed(state: Snapshot, commits: Sequence[_Made]) -> list[dict[str, Any]]:
    """Return commits as the fleet manager is asked about them, each by what changed since the one before."""
    from edgewright.server.domain.hand_made import Refused

    proposed: list[dict[str, Any]] = []
    before = state
    for one in commits:
        told: dict[str, Any] = {"id": one.commit.id, "name": one.commit.name, "email": one.commit.email}
        if isinstance(one.made, Refused):
            proposed.append(told | {"refused": one.made.reason})
            continue
        proposed.append(told | {"files": _changes(before, one.made)})
        before = one.made
    return proposed


def _changes(before: Snapshot, made: Snapshot) -> dict[str, dict[str, Any] | None]:
    theirs, ours = made.by_path(), before.by_path()
    changes: dict[str, dict[str, Any] | None] = dict.fromkeys(ours.keys() - theirs.keys())
    for path, entry in theirs.items():
        if entry != ours.get(path):
            content = made.contents.get(path)
            packed = None if content is None else base64.b64encode(content).decode()
            changes[path] = {"mode": entry.mode, "id": entry.id, "size": entry.size, "content": packed}
    return changes


def _tell(judged: Sequence[_Judged], output: str, *, is_asked: bool) -> None:
    if output != "table":
        names = ("commit", "author", "is_fine", "told")
        print_value([{name: getattr(one, name) for name in names} for one in judged], output)
        return
    for one in judged:
        print(one.line)
    if not is_asked and any(one.is_open for one in judged):
        print(_NOT_ASKED)


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
