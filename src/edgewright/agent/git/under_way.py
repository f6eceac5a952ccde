"""What the courier at work is about, and since when: a long fetch must not look like a dead agent to people.

It stands in the courier's lock file behind the process id, and counts for as long as that lock is held: what
a killed courier was about is nobody's news any more. Nothing is written for it that a disk would feel.
"""

import os
from dataclasses import dataclass
from enum import StrEnum

from edgewright.agent.state.locks import NAME_BYTES, holder

_WORD_BYTES = 7


class Doing(StrEnum):
    """What a courier does; `READY` before it has begun with anything."""

    READY = ""
    FETCH = "fetch"
    PUSH = "push"


@dataclass(frozen=True, slots=True)
class UnderWay:
    """`doing` is what the process is at, `since` (unix seconds) when it began with that."""

    doing: Doing
    since: float
    process: int


def note(held: int, doing: Doing) -> None:
    """Tell those who look what begins just now; `held` is the courier's lock."""
    # In place of what stood there, and as long as that: as the lock itself (locks.py).
    os.pwrite(held, f"{doing:<{_WORD_BYTES}}\n".encode("ascii"), NAME_BYTES)


def under_way(path: str) -> UnderWay | None:
    """Return what whoever holds the lock file `path` is about, None while nobody is about anything."""
    process = holder(path)
    if process is None:
        return None
    with open(path, "rb") as file:
        word = file.read(NAME_BYTES + _WORD_BYTES)[NAME_BYTES:].decode("ascii", "replace").strip()
        since = os.fstat(file.fileno()).st_mtime
    if word not in (Doing.FETCH, Doing.PUSH):
        return None
    return UnderWay(Doing(word), since, process)
