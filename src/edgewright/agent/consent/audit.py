"""What people did on this device, and how: kept here, bounded, and reported to the fleet manager.

Standard library only: the local page and the control socket show it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgewright.agent.state.store import Store

KEPT = 1000
LONGEST_NAME = 100
LONGEST_REASON = 500


def plain(text: str, limit: int) -> str:
    """Return what a person wrote in one line of printable characters, no longer than `limit`."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(line.split())[:limit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was done. `uid` is the user id on this machine where it is known, `at` unix seconds."""

    number: int
    at: float
    who: str
    via: str
    what: str
    reason: str = ""
    uid: int | None = None


class Audit:
    """The log in the store; `clock` tells unix seconds."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def record(self, *, who: str, via: str, what: str, reason: str = "", uid: int | None = None) -> None:
        """Write down that `who` did `what` (a sentence's end: "approved …"); the oldest are forgotten.

        Numbers grow with time itself, so that those of a device that lost its memory do not come again.
        """
        now = self._clock()
        connection = self._store.connection
        with self._store.transaction():
            last = connection.execute("SELECT max(number) FROM audit").fetchone()[0]
            connection.execute(
                "INSERT INTO audit (number, at, who, uid, via, what, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    max((last or 0) + 1, int(now)),
                    now,
                    plain(who, LONGEST_NAME),
                    uid,
                    via,
                    what,
                    plain(reason, LONGEST_REASON),
                ),
            )
            connection.execute(
                "DELETE FROM audit WHERE number NOT IN"
                " (SELECT number FROM audit ORDER BY number DESC LIMIT ?)",
                (KEPT,),
            )

    def entries(self, limit: int = 100) -> list[Entry]:
        """Return the newest entries, newest first."""
        rows = self._store.connection.execute(
            "SELECT number, at, who, via, what, reason, uid FROM audit ORDER BY number DESC LIMIT ?", (limit,)
        )
        return [
            Entry(number=number, at=at, who=who, via=via, what=what, reason=reason, uid=uid)
            for number, at, who, via, what, reason, uid in rows
        ]
