"""What the last round did not let begin, and why: for people to see, and for their overrides.

Standard library only: the local page and the control socket show it.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from edgewright.agent.state.store import Store
from edgewright.protocol.consent import Kind, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """Something that waits since `since`, as far as is known until `until` (unix seconds).

    `digest` is that of what is wanted, for a removal of what runs. `approval` is the number of the approval
    that is waited for.
    """

    deployment_id: str
    name: str
    kind: Kind
    digest: str
    reason: Reason
    message: str
    since: float
    until: float | None = None
    approval: int | None = None


class Holds:
    """The list in the store, of one entry for each deployment that waits."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def held(self) -> list[HeldBack]:
        """Return what the last round held, longest waiting first."""
        rows = self._store.connection.execute(
            "SELECT deployment_id, name, kind, digest, reason, message, since, until, approval"
            " FROM holds ORDER BY since, deployment_id"
        )
        return [
            HeldBack(
                deployment_id=deployment_id,
                name=name,
                kind=Kind(kind),
                digest=digest,
                reason=Reason(reason),
                message=message,
                since=since,
                until=until,
                approval=approval,
            )
            for deployment_id, name, kind, digest, reason, message, since, until, approval in rows
        ]

    def replace(self, held: Iterable[HeldBack]) -> None:
        """Write down what is held now; nothing is written when it is what was held before."""
        known = {each.deployment_id: each for each in self.held()}
        new = {each.deployment_id: each for each in held}
        if known == new:
            return
        with self._store.transaction():
            self._store.connection.execute("DELETE FROM holds")
            self._store.connection.executemany(
                "INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [astuple(each) for each in new.values()],
            )

    def drop(self, deployment_id: str) -> None:
        """Forget what is held of one deployment: it has begun."""
        self._store.connection.execute("DELETE FROM holds WHERE deployment_id = ?", (deployment_id,))
