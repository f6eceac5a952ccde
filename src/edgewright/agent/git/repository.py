"""This device's own copy of its repository: fetched from, pushed from, and kept small for years.

It is bare and nothing is ever checked out. Only the commit of each branch that counts is kept: what is older
is cut off (git's `shallow`), what nothing names is thrown away. All of it can be lost: it comes again.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress

from edgewright.agent.failpoints import hit
from edgewright.agent.state.durable import sync_directory, write_whole
from edgewright.net.git.program import Git, GitError
from edgewright.protocol.repository import CURRENT, DESIRED

FETCHED = "refs/edgewright/fetched"
TAKEN = "refs/edgewright/taken"
TOLD = "refs/edgewright/told"
NEXT = "refs/edgewright/next"
"""Our names: what came and is not judged, what was taken up, what `current` was left at, what is pushed."""
FIRST_DEPTH = 50
"""How far back the first fetch goes: signers may have changed since this device was told them."""
PACK_BYTES = 64 * 1024 * 1024
"""The largest pack that is taken in."""
_MOST_LOOSE, _MOST_PACKS = 300, 8


class Repository:
    """Our copy, and `source`: the address or the bundle it talks to. Raises GitError and OSError.

    Whoever uses it holds the courier's lock, so no other git is at work in it.
    """

    def __init__(self, git: Git, source: str, *, is_bundle: bool = False) -> None:
        self.git = git
        self.source = source
        self.is_bundle = is_bundle

    def open(self) -> None:
        """Make it if it is not there, and clear away what a killed process has left."""
        self.git.make()
        for folder, folders, files in os.walk(self.git.directory):
            for name in files:
                if name.endswith((".lock", ".new")) or name.startswith(("tmp_", ".tmp-")):
                    os.unlink(os.path.join(folder, name))
            for name in [each for each in folders if each.startswith("writing-")]:
                shutil.rmtree(os.path.join(folder, name))
                folders.remove(name)

    def is_whole(self) -> bool:
        """Whether everything that counts is here and is what it was."""
        try:
            self.git.run("fsck", "--full", "--no-dangling", "--no-progress")
        except GitError as error:
            return error.retryable  # a deadline, a full disk: nothing is known then
        return True

    def throw_away(self) -> None:
        """Delete all of it: it is damaged, or was lost in part."""
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.git.directory, "HEAD"))
            sync_directory(self.git.directory)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.git.directory)

    def heads(self) -> Mapping[str, str]:
        """Return where the two branches are at the source; a branch that is missing is missing here."""
        listed = self.git.run("ls-remote", "--end-of-options", self.source, DESIRED, CURRENT)
        heads = {}
        for line in listed.decode("utf-8", "replace").splitlines():
            commit, _, name = line.partition("\t")
            if name in (DESIRED, CURRENT):
                heads[name] = commit
        return heads

    def fetch(self, branch: str, *, depth: int = 0) -> str:
        """Bring `branch` here as FETCHED and return its head, which may have moved since `heads`.

        `depth` bounds history where nothing that is here could be built on; a bundle has what it has.
        """
        shallow = [f"--depth={depth}"] if depth and not self.is_bundle else []
        self.git.set_ref(FETCHED, None)
        self.git.run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            *shallow,
            "--end-of-options",
            self.source,
            f"+{branch}:{FETCHED}",
        )
        head = self.git.commit_of(FETCHED)
        assert head is not None  # noqa: S101 - git has just said so
        return head

    def push(self, commit: str) -> None:
        """Let `current` at the source be `commit`, if that builds on what is there."""
        self.git.push(self.source, f"{commit}:{CURRENT}")

    def write(
        self,
        commits: Iterable[tuple[str, Mapping[str, bytes | None]]],
        *,
        parent: str | None,
        at: int,
        afresh: bool,
    ) -> str:
        """Write commits, each a message and changes by path (None deletes), and return the last one's id.

        `afresh`: the first begins with nothing rather than with what is in `parent`.
        """
        self.git.set_ref(NEXT, None)
        stream = bytearray()
        for number, (message, changes) in enumerate(commits):
            text = message.encode()
            stream += f"commit {NEXT}\ncommitter Edgewright agent <agent@edgewright> {at} +0000\n".encode()
            stream += b"data %d\n%s\n" % (len(text), text)
            if number == 0 and parent is not None:
                stream += f"from {parent}\n".encode()
            if number == 0 and afresh:
                stream += b"deleteall\n"
            for path, data in changes.items():
                if data is None:
                    stream += f"D {path}\n".encode()
                else:
                    stream += f"M 100644 inline {path}\n".encode() + b"data %d\n%s\n" % (len(data), data)
        stream += b"done\n"
        self.git.run("fast-import", "--quiet", "--done", "--date-format=raw", stdin=bytes(stream))
        head = self.git.commit_of(NEXT)
        assert head is not None  # noqa: S101 - git has just said so
        return head

    def drop(self, *refs: str) -> None:
        """Forget `refs`, which may be none."""
        for ref in refs:
            self.git.set_ref(ref, None)

    def tidy(self, *, thorough: bool = False) -> None:
        """Cut history off below what counts and give back the room; rarely, unless `thorough`."""
        if not thorough and not self._has_grown():
            return
        # Nobody else is at work: those are of one that was cut off, on top of history that is cut here.
        self.drop(NEXT, FETCHED)
        kept = [self.git.commit_of(ref) for ref in (TAKEN, TOLD)]
        cut = sorted({each for each in kept if each is not None})
        if not cut:
            self.throw_away()
            return
        write_whole(
            os.path.join(self.git.directory, "shallow"), "".join(f"{each}\n" for each in cut).encode()
        )
        hit("courier.cut")
        self.git.run("repack", "-a", "-d", "-q", settings=["repack.writeBitmaps=false"])
        hit("courier.repacked")
        self.git.run("prune", "--expire=now")

    def _has_grown(self) -> bool:
        told = self.git.run("count-objects", "-v").decode("ascii", "replace")
        counts = dict(line.split(": ") for line in told.splitlines())
        return (
            int(counts["count"]) > _MOST_LOOSE
            or int(counts["packs"]) > _MOST_PACKS
            or int(counts["garbage"]) > 0
        )
