"""How long changes took the last time, so that none begins in a window that would close too soon."""

from collections.abc import Callable

from edgewright.agent.state.store import Store
from edgewright.protocol.consent import Kind

KEPT = 500


class Durations:
    """The durations in the store, one for each deployment and kind of change.

    `clock` tells unix seconds, `monotonic` seconds that nobody sets.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic

    def start(self) -> float:
        """Return what `note` has to be given when the change that begins now is done."""
        return self._monotonic()

    def note(self, deployment_id: str, kind: Kind, started: float) -> None:
        """Remember that a change took until now; the oldest are forgotten."""
        with self._store.transaction():
            self._store.connection.execute(
                "INSERT OR REPLACE INTO durations (deployment_id, kind, seconds, at) VALUES (?, ?, ?, ?)",
                (deployment_id, kind, max(0.0, self._monotonic() - started), self._clock()),
            )
            self._store.connection.execute(
                "DELETE FROM durations WHERE at < (SELECT min(at) FROM"
                " (SELECT at FROM durations ORDER BY at DESC LIMIT ?))",
                (KEPT,),
            )

    def last(self, deployment_id: str, kind: Kind) -> float | None:
        """Return the seconds such a change took the last time; a first update those of the installation."""
        rows = self._store.connection.execute(
            "SELECT kind, seconds FROM durations WHERE deployment_id = ?", (deployment_id,)
        )
        known: dict[str, float] = dict(rows.fetchall())
        return known.get(kind, known.get(Kind.INSTALL) if kind is Kind.UPDATE else None)
