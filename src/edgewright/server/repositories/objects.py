"""Git's objects as bytes: blobs, trees and commits, made and read back. Pure.

Only what a device's repository has: SHA-1, plain files and folders. What is read may have been made by
anybody, so it is taken apart strictly.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1
from typing import Literal

from edgewright.protocol.errors import EdgewrightError

Kind = Literal["blob", "tree", "commit"]

FILE, EXECUTABLE, FOLDER = "100644", "100755", "40000"


class DamagedObjectError(EdgewrightError):
    """An object of a repository is not what Git makes."""

    code = "git.damaged"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree; `mode` as Git writes it there."""

    mode: str
    name: str
    id: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a tree itself."""
        return self.mode == FOLDER

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file, and neither a link nor a submodule."""
        return self.mode in {FILE, EXECUTABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What counts of a commit; `signature` is the armoured one, `payload` what it is made over."""

    tree: str
    parents: tuple[str, ...]
    author: str
    message: str
    signature: str | None
    payload: bytes


def object_id(kind: Kind, body: bytes) -> str:
    """Return the id of an object."""
    # Git's own choice of names; what a device trusts are signatures and SHA-256 digests.
    return sha1(stored(kind, body), usedforsecurity=False).hexdigest()


def stored(kind: Kind, body: bytes) -> bytes:
    """Return the bytes that are packed and named."""
    return f"{kind} {len(body)}\0".encode() + body


def render_tree(entries: Iterable[Entry]) -> bytes:
    """Return a tree, its entries in Git's order."""
    ordered = sorted(entries, key=lambda entry: f"{entry.name}/" if entry.is_folder else entry.name)
    return b"".join(
        f"{entry.mode} {entry.name}".encode() + b"\0" + bytes.fromhex(entry.id) for entry in ordered
    )


def parse_tree(body: bytes) -> list[Entry]:
    """Return a tree's entries, names that are no UTF-8 with escapes. Raises `DamagedObjectError`."""
    entries: list[Entry] = []
    at = 0
    while at < len(body):
        end = body.find(b"\0", at)
        mode, blank, name = body[at:end].partition(b" ")
        if end < 0 or not blank or end + 21 > len(body):
            raise DamagedObjectError("a tree in the repository is damaged")
        entries.append(
            Entry(
                mode.decode("ascii", errors="replace"),
                name.decode("utf-8", errors="backslashreplace"),
                body[end + 1 : end + 21].hex(),
            )
        )
        at = end + 21
    return entries


def render_commit(
    *, tree: str, parents: Iterable[str], who: str, seconds: int, message: str, signature: str | None = None
) -> bytes:
    """Return a commit by `who` (`Name <address>`) at that unix time, in UTC."""
    stamp = f"{who} {seconds} +0000"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {stamp}"]
    lines.append(f"committer {stamp}")
    if signature is not None:
        lines.append("gpgsig " + signature.strip("\n").replace("\n", "\n "))
    return ("\n".join(lines) + "\n\n" + message.rstrip("\n") + "\n").encode()


def parse_commit(body: bytes) -> Commit:
    """Return what counts of a commit; raises `DamagedObjectError`."""
    head, blank, message = body.partition(b"\n\n")
    if not blank:
        head, message = body.rstrip(b"\n"), b""
    fields: list[tuple[str, list[bytes]]] = []
    for line in head.split(b"\n"):
        if line.startswith(b" ") and fields:
            fields[-1][1].append(line[1:])
        else:
            name, _, value = line.partition(b" ")
            fields.append((name.decode("ascii", errors="replace"), [value]))
    values = {name: _text(b"\n".join(lines)) for name, lines in reversed(fields)}
    payload = b"".join(
        name.encode() + b" " + b"\n ".join(lines) + b"\n" for name, lines in fields if name != "gpgsig"
    )
    if not _is_id(values.get("tree", "")):
        raise DamagedObjectError("a commit in the repository is damaged")
    return Commit(
        tree=values["tree"],
        parents=tuple(_text(lines[0]) for name, lines in fields if name == "parent"),
        author=values.get("author", "").rpartition(">")[0] + ">",
        message=_text(message),
        signature=values.get("gpgsig"),
        payload=payload + b"\n" + message,
    )


def _is_id(text: str) -> bool:
    return len(text) == 40 and all(letter in "0123456789abcdef" for letter in text)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
