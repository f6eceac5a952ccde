"""What an unchanged poll asks, answered without Git: what is offered, and where the branches stand.

Git's protocol in version 2 (gitprotocol-v2): a client asks for the capabilities, then for the branches it
cares about. All else is for Git's own program to answer, so what is offered here is what every version of
it can keep.
"""

from dataclasses import dataclass
from typing import Self

from edgewright import __version__
from edgewright.protocol.errors import EdgewrightError
from edgewright.protocol.repository import DESIRED
from edgewright.server.repositories.refs import RefTable

FLUSH = b"0000"
_FLUSH, _DELIMITER = 0, 1
_LONGEST = 65520


class WrongRequestError(EdgewrightError):
    """A request that is not what Git's protocol knows."""

    code = "git.wrong-request"


def packet(line: bytes) -> bytes:
    """Return one pkt-line."""
    return b"%04x" % (len(line) + 4) + line


ADVERTISEMENT = b"".join(
    [
        packet(b"# service=git-upload-pack\n"),
        FLUSH,
        packet(b"version 2\n"),
        packet(f"agent=edgewright/{__version__}\n".encode()),
        packet(b"ls-refs=unborn\n"),
        packet(b"fetch=shallow\n"),
        FLUSH,
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """What `ls-refs` asks for; without prefixes: everything."""

    prefixes: tuple[str, ...] = ()
    symrefs: bool = False
    unborn: bool = False

    @classmethod
    def parse(cls, arguments: list[bytes]) -> Self:
        """Read the arguments of the command; raises `WrongRequestError`."""
        prefixes: list[str] = []
        flags = {b"peel": False, b"symrefs": False, b"unborn": False}
        for argument in arguments:
            if argument in flags:
                flags[argument] = True
            elif argument.startswith(b"ref-prefix "):
                prefixes.append(argument[11:].decode("utf-8", errors="replace"))
            else:
                raise WrongRequestError(f"ls-refs: unknown argument {argument[:80]!r}")
        return cls(prefixes=tuple(prefixes), symrefs=flags[b"symrefs"], unborn=flags[b"unborn"])

    def answer(self, table: RefTable) -> bytes:
        """Return the body of the answer; HEAD is the branch that devices take up."""
        lines: list[str] = []
        target = f" symref-target:{DESIRED}" if self.symrefs else ""
        if self._wants("HEAD"):
            if table.desired is not None:
                lines.append(f"{table.desired} HEAD{target}")
            elif self.unborn:
                lines.append(f"unborn HEAD{target}")
        lines += [f"{commit} {name}" for name, commit in table.listed() if self._wants(name)]
        return b"".join([*(packet(f"{line}\n".encode()) for line in lines), FLUSH])

    def _wants(self, name: str) -> bool:
        return not self.prefixes or name.startswith(self.prefixes)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of version 2 with its arguments; None is a request that asks for nothing (a lone flush)."""

    name: str | None
    arguments: list[bytes]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read the whole body of a request; raises `WrongRequestError`."""
        lines = _packets(body)
        if lines == [_FLUSH]:
            return cls(None, [])
        first = lines[0] if lines else b""
        if not isinstance(first, bytes) or not first.startswith(b"command="):
            raise WrongRequestError("expected a command of Git's protocol version 2")
        name = first[8:].decode("ascii", errors="replace")
        if lines[-1] != _FLUSH or _FLUSH in lines[:-1]:
            raise WrongRequestError(f"{name[:40]}: expected one command, ended by a flush packet")
        start = lines.index(_DELIMITER) + 1 if _DELIMITER in lines else len(lines) - 1
        arguments = lines[start:-1]
        if _DELIMITER in arguments:
            raise WrongRequestError(f"{name[:40]}: expected one delimiter packet at most")
        return cls(name, [line for line in arguments if isinstance(line, bytes)])


def _packets(body: bytes) -> list[bytes | int]:
    """Return the lines of a body without their line ends, and numbers for what is none."""
    found: list[bytes | int] = []
    at = 0
    while at < len(body):
        try:
            length = int(body[at : at + 4].decode("ascii"), 16) if body[at : at + 4].isalnum() else -1
        except (UnicodeDecodeError, ValueError):
            length = -1
        if length in {_FLUSH, _DELIMITER}:
            found.append(length)
            at += 4
        elif 4 <= length <= _LONGEST and at + length <= len(body):
            found.append(body[at + 4 : at + length].removesuffix(b"\n"))
            at += length
        else:
            raise WrongRequestError("the body is not made of Git's packet lines, or is cut off")
    return found
