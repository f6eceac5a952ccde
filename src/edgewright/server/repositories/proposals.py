"""Commits that a person has and this server does not: judged as if they were pushed, and not kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.domain.hand_made import (
    PLAIN,
    Commit,
    Entry,
    Refused,
    Snapshot,
    Verdict,
    Walk,
    is_read,
    size_limit,
)
from edgewright.server.errors import Fault, InvalidError
from edgewright.server.fleet import hand_made as fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as a commit has it; `content` is needed where it decides (see `hand_made.is_read`)."""

    mode: str
    id: str
    size: int
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One commit: what it changed against the one before (None: removed), or why nobody looks into it."""

    commit: Commit
    files: Mapping[str, File | None]
    refused: str | None = None


async def judge_all(
    connection: AsyncConnection,
    client_id: str,
    base: Snapshot,
    proposals: Sequence[Proposal],
    *,
    now: datetime,
) -> list[Verdict]:
    """Return what would become of each commit on top of `base`; the caller takes the transaction back.

    Raises `InvalidError` for a file without the content that is needed to judge it.
    """
    walk, before, verdicts = Walk(base), base, list[Verdict]()
    for index, proposal in enumerate(proposals):
        made: Snapshot | Refused
        if proposal.refused is not None:
            made = Refused(reasons=(proposal.refused,))
        else:
            made = before = _tree(before, proposal.files, f"commits[{index}].files")
        verdict = await fleet.settle(connection, client_id, proposal.commit, walk.judge(made), now=now)
        walk.go_on(made, verdict)
        verdicts.append(verdict)
    return verdicts


def _tree(before: Snapshot, files: Mapping[str, File | None], field: str) -> Snapshot:
    """Return the tree that these changes make out of the one before."""
    entries, contents = before.by_path(), dict(before.contents)
    for path, file in files.items():
        entries.pop(path, None)
        contents.pop(path, None)
        if file is None:
            continue
        entries[path] = Entry(path=path, mode=file.mode, id=file.id, size=file.size)
        if not is_read(path) or file.mode not in PLAIN or file.size > size_limit(path):
            continue
        if file.content is None or len(file.content) != file.size:
            message = f"{path[:200]}: expected its content, of {file.size} bytes, in base64"
            raise InvalidError("the commits cannot be judged", Fault(field=field, message=message))
        contents[path] = file.content
    return Snapshot(entries=tuple(entries.values()), contents=contents)
