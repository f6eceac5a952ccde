"""Reports on their way to the fleet manager: durable, in order, each sent until it was answered.

A report has a name (`capabilities`, `site`, `status/<deployment id>`). Queueing the same report twice in a
row is one report. Capabilities go before everything else and replace their predecessor (spec: CAP-2), as does
what a site reports; statuses are kept in order, because every change is to be reported (spec: ST-1), also
after a long time without a connection (spec: OFF-8); of a deployment that changes without end the oldest
unsent ones are left out.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import time

from edgewright.agent.state.store import Store

CAPABILITIES = "capabilities"
SITE = "site"
STATUS = "status/"
_LATEST_ALONE = (CAPABILITIES, SITE)
KEPT_PER_DEPLOYMENT = 200
DELIVERED = "delivered"


class Report:
    """One request that is owed: `number` grows in the order of queueing."""

    __slots__ = ("body", "method", "name", "number", "path")

    def __init__(self, number: int, name: str, method: str, path: str, body: bytes) -> None:
        self.number = number
        self.name = name
        self.method = method
        self.path = path
        self.body = body


class Outbox:
    """The queue in the store; every method is one durable step."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def queue(self, name: str, method: str, path: str, body: bytes) -> bool:
        """Queue a report unless it says what the last one of that name said; return whether it did."""
        connection = self._store.connection
        with self._store.transaction():
            last = connection.execute("SELECT path, body FROM reports WHERE name = ?", (name,)).fetchone()
            if last == (path, body):
                return False
            connection.execute(
                "INSERT OR REPLACE INTO reports (name, method, path, body, at) VALUES (?, ?, ?, ?, ?)",
                (name, method, path, body, time.time()),
            )
            self._append(name, method, path, body)
        return True

    def queue_again(self, name: str | None = None) -> None:
        """Queue the last report of `name`, or of every name, once more, unless it is still waiting."""
        connection = self._store.connection
        with self._store.transaction():
            rows = connection.execute(
                "SELECT name, method, path, body FROM reports WHERE ?1 IS NULL OR name = ?1 ORDER BY at",
                (name,),
            ).fetchall()
            waiting = {row[0] for row in connection.execute("SELECT name FROM outbox")}
            for row in rows:
                if row[0] not in waiting:
                    self._append(*row)

    def first(self, *, without: str = "") -> Report | None:
        """Return the report to send next: capabilities, then the oldest; none that is named `without`."""
        row = self._store.connection.execute(
            "SELECT number, name, method, path, body FROM outbox WHERE name <> ?"
            " ORDER BY name <> ?, number LIMIT 1",
            (without, CAPABILITIES),
        ).fetchone()
        return None if row is None else Report(*row)

    def waiting(self, limit: int) -> list[Report]:
        """Return up to `limit` reports in the order in which they are to be sent."""
        rows = self._store.connection.execute(
            "SELECT number, name, method, path, body FROM outbox ORDER BY name <> ?, number LIMIT ?",
            (CAPABILITIES, limit),
        )
        return [Report(*row) for row in rows]

    def names(self) -> set[str]:
        """Return the names under which something waits."""
        return {row[0] for row in self._store.connection.execute("SELECT DISTINCT name FROM outbox")}

    def numbers(self) -> set[int]:
        """Return the numbers of all that waits."""
        return {row[0] for row in self._store.connection.execute("SELECT number FROM outbox")}

    def last(self, prefix: str) -> list[Report]:
        """Return the last report of each name that begins with `prefix`, sent or not."""
        rows = self._store.connection.execute(
            "SELECT 0, name, method, path, body FROM reports WHERE substr(name, 1, ?) = ? ORDER BY at",
            (len(prefix), prefix),
        )
        return [Report(*row) for row in rows]

    def answered(self, report: Report, answer: str = DELIVERED) -> None:
        """Take `report` out: it was answered, `answer` tells how if not well."""
        connection = self._store.connection
        with self._store.transaction():
            connection.execute("DELETE FROM outbox WHERE number = ?", (report.number,))
            connection.execute(
                "UPDATE reports SET answer = ? WHERE name = ? AND body = ?",
                (answer, report.name, report.body),
            )

    def answer(self, name: str) -> str | None:
        """Return how the last report of `name` was answered: empty when not yet, None when there is none."""
        row = self._store.connection.execute("SELECT answer FROM reports WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def forget(self, name: str) -> None:
        """Forget what was reported as `name`; what is still waiting to be sent stays."""
        self._store.connection.execute("DELETE FROM reports WHERE name = ?", (name,))

    def clear(self) -> None:
        """Forget all reports, sent or not: they were for another fleet manager."""
        with self._store.transaction():
            self._store.connection.execute("DELETE FROM outbox")
            self._store.connection.execute("DELETE FROM reports")

    def __len__(self) -> int:
        """Return how many reports wait; that of the site does not count: not every server takes it."""
        query = "SELECT count(*) FROM outbox WHERE name <> ?"
        return int(self._store.connection.execute(query, (SITE,)).fetchone()[0])

    def _append(self, name: str, method: str, path: str, body: bytes) -> None:
        connection = self._store.connection
        kept = 0 if name in _LATEST_ALONE else KEPT_PER_DEPLOYMENT - 1
        connection.execute(
            "DELETE FROM outbox WHERE name = ?1 AND number NOT IN"
            " (SELECT number FROM outbox WHERE name = ?1 ORDER BY number DESC LIMIT ?2)",
            (name, kept),
        )
        connection.execute(
            "INSERT INTO outbox (name, method, path, body, at) VALUES (?, ?, ?, ?, ?)",
            (name, method, path, body, time.time()),
        )
