"""What the agent remembers: one SQLite database, every change durable before anybody acts on it.

Two manifests are kept as the bytes they came in: the one *received* and not yet judged (the inbox), and the
one *accepted* last, finished or not (spec: DS-16, OP-17). A manifest that was refused is remembered by its
digest, so that meeting it again costs nothing. The tables of revisions and reports are read and written by
`ledger.py` and `outbox.py`; the schema of all of them is here.

A damaged database is moved aside and a new one begun: the device asks its fleet manager again and finds
what runs by its labels. One process writes at a time; others wait.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
import sqlite3
import time

from edgewright.protocol.errors import EdgewrightError

_VERSION = 2
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE manifests (
    slot TEXT PRIMARY KEY CHECK (slot IN ('received', 'accepted')),
    relation TEXT NOT NULL, etag TEXT NOT NULL, digest TEXT NOT NULL, body BLOB NOT NULL,
    version TEXT, failures INTEGER NOT NULL DEFAULT 0, problem TEXT NOT NULL DEFAULT '', at REAL NOT NULL
);
CREATE TABLE refused (
    relation TEXT NOT NULL, digest TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (relation, digest)
) WITHOUT ROWID;
CREATE TABLE revisions (
    deployment_id TEXT NOT NULL, digest TEXT NOT NULL,
    stage TEXT NOT NULL, adopted TEXT NOT NULL, name TEXT NOT NULL, components TEXT NOT NULL,
    error TEXT, verified INTEGER NOT NULL, attempts INTEGER NOT NULL, changed REAL NOT NULL,
    leaving TEXT NOT NULL DEFAULT '[]', stand_in TEXT,
    PRIMARY KEY (deployment_id, digest)
);
CREATE TABLE reports (
    name TEXT PRIMARY KEY, method TEXT NOT NULL, path TEXT NOT NULL, body BLOB NOT NULL,
    answer TEXT NOT NULL DEFAULT '', at REAL NOT NULL
);
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL
);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL
);
"""
_UPGRADES = {
    1: (
        "ALTER TABLE revisions ADD COLUMN leaving TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE revisions ADD COLUMN stand_in TEXT",
    )
}
_KEPT_EVENTS = 500
_KEPT_REFUSALS = 64
_BUSY_SECONDS = 15.0
_DAMAGED = frozenset({11, 26})  # SQLITE_CORRUPT, SQLITE_NOTADB

SECURITY = "security"
STATE = "state"
SERVER = "server"


class StoreError(EdgewrightError):
    """The state directory cannot be used; names the file and why."""

    code = "state.unusable"


class Manifest:
    """A manifest as it came: `body` is the exact bytes, `digest` theirs; `relation` whose it is.

    `relation` is the client identity it was served to: another one has its own sequence of versions.
    `version` is None until it was accepted. `failures` and `problem` tell how often, and why, taking
    up a received one did not succeed yet.
    """

    __slots__ = ("body", "digest", "etag", "failures", "problem", "relation", "version")

    def __init__(
        self,
        *,
        relation: str,
        etag: str,
        digest: str,
        body: bytes,
        version: int | None = None,
        failures: int = 0,
        problem: str = "",
    ) -> None:
        self.relation = relation
        self.etag = etag
        self.digest = digest
        self.body = body
        self.version = version
        self.failures = failures
        self.problem = problem


class Event:
    """Something a person may want to know later; `at` is unix seconds."""

    __slots__ = ("at", "kind", "message")

    def __init__(self, at: float, kind: str, message: str) -> None:
        self.at = at
        self.kind = kind
        self.message = message


class Store:
    """The open database. `transaction` groups what has to be on disk together or not at all."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.moved_aside: str | None = None
        try:
            self.connection = _open(path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in _DAMAGED:
                raise StoreError(f"{path}: {error}") from error
            self.moved_aside = _move_aside(path)
            self.connection = _open(path)
            kept = os.path.basename(self.moved_aside)
            self.record(STATE, f"the state database was damaged ({error}); it was moved aside as {kept}")

    def close(self) -> None:
        """Close the database; everything is on disk already."""
        self.connection.close()

    def transaction(self) -> "_Transaction":
        """Return a context in which all changes happen together; inside another one it joins that."""
        return _Transaction(self.connection)

    def meta(self, name: str) -> str | None:
        """Return the remembered text called `name`."""
        row = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        """Remember `value` as `name`; writes nothing when it is so already."""
        self.connection.execute(
            "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2 WHERE value <> ?2",
            (name, value),
        )

    def received(self) -> Manifest | None:
        """Return the manifest that was received and waits to be judged."""
        return self._manifest("received")

    def accepted(self) -> Manifest | None:
        """Return the manifest accepted last: what this device shall run."""
        return self._manifest("accepted")

    def knows(self, relation: str, digest: str) -> bool:
        """Whether these manifest bytes are waiting, accepted or refused already: then they are no news."""
        query = (
            "SELECT 1 FROM manifests WHERE relation = ?1 AND digest = ?2"
            " AND (slot = 'received' OR version IS NOT NULL)"
            " UNION ALL SELECT 1 FROM refused WHERE relation = ?1 AND digest = ?2"
        )
        return self.connection.execute(query, (relation, digest)).fetchone() is not None

    def receive(self, manifest: Manifest) -> None:
        """Put `manifest` into the inbox, in place of what was there."""
        self._put("received", manifest)

    def accept(self, manifest: Manifest) -> None:
        """Make `manifest` what this device shall run and take it out of the inbox, in one step."""
        with self.transaction():
            self._put("accepted", manifest)
            self.drop_received(manifest)

    def drop_received(self, manifest: Manifest) -> None:
        """Take `manifest` out of the inbox; a newer one that came in meanwhile stays."""
        self.connection.execute(
            "DELETE FROM manifests WHERE slot = 'received' AND digest = ?", (manifest.digest,)
        )

    def note_failure(self, manifest: Manifest, problem: str) -> None:
        """Count one more failure to take up `manifest`, which stays in the inbox."""
        self.connection.execute(
            "UPDATE manifests SET failures = failures + 1, problem = ?"
            " WHERE slot = 'received' AND digest = ?",
            (problem, manifest.digest),
        )

    def refuse(self, manifest: Manifest) -> None:
        """Take `manifest` out of the inbox and remember that these bytes were refused, in one step."""
        with self.transaction():
            self.connection.execute(
                "INSERT OR REPLACE INTO refused VALUES (?, ?, ?)",
                (manifest.relation, manifest.digest, time.time()),
            )
            self.connection.execute(
                "DELETE FROM refused WHERE at < (SELECT min(at) FROM"
                " (SELECT at FROM refused ORDER BY at DESC LIMIT ?))",
                (_KEPT_REFUSALS,),
            )
            self.drop_received(manifest)

    def forget_version(self) -> None:
        """Let the next manifest be accepted whatever its version: a person's decision (spec: OP-16)."""
        with self.transaction():
            self.connection.execute("UPDATE manifests SET version = NULL, etag = '' WHERE slot = 'accepted'")
            self.connection.execute("DELETE FROM refused")
            self.record(SECURITY, "the accepted manifest version was forgotten by a local command")

    def record(self, kind: str, message: str) -> None:
        """Remember an event; the oldest are forgotten."""
        with self.transaction():
            self.connection.execute(
                "INSERT INTO events (at, kind, message) VALUES (?, ?, ?)", (time.time(), kind, message)
            )
            self.connection.execute(
                "DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?", (_KEPT_EVENTS,)
            )

    def events(self, limit: int = 20) -> list[Event]:
        """Return the newest events, newest first."""
        rows = self.connection.execute(
            "SELECT at, kind, message FROM events ORDER BY number DESC LIMIT ?", (limit,)
        )
        return [Event(*row) for row in rows]

    def _manifest(self, slot: str) -> Manifest | None:
        row = self.connection.execute(
            "SELECT relation, etag, digest, body, version, failures, problem FROM manifests WHERE slot = ?",
            (slot,),
        ).fetchone()
        if row is None:
            return None
        relation, etag, digest, body, version, failures, problem = row
        return Manifest(
            relation=relation,
            etag=etag,
            digest=digest,
            body=body,
            # As text: SQLite's integers end at 2^63 - 1, manifest versions at 2^64 - 1 (spec: OP-15).
            version=None if version is None else int(version),
            failures=failures,
            problem=problem,
        )

    def _put(self, slot: str, manifest: Manifest) -> None:
        version = None if manifest.version is None else str(manifest.version)
        self.connection.execute(
            "INSERT OR REPLACE INTO manifests (slot, relation, etag, digest, body, version, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (slot, manifest.relation, manifest.etag, manifest.digest, manifest.body, version, time.time()),
        )


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when anything is raised inside."""

    __slots__ = ("_connection", "_outermost")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._outermost = False

    def __enter__(self) -> None:
        self._outermost = not self._connection.in_transaction
        if self._outermost:
            self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._outermost:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def _open(path: str) -> sqlite3.Connection:
    try:
        # The file is made here so that nobody else can ever read it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -256")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise StoreError(
            f"{path}: written by a newer edgewright (schema {version}, this one knows {_VERSION})"
        )
    if version == 0:
        _create(connection)
    elif version < _VERSION:
        _upgrade(connection)
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorcode = 11
        raise error


def _upgrade(connection: sqlite3.Connection) -> None:
    with _Transaction(connection):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for number in range(version, _VERSION):
            for statement in _UPGRADES[number]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")


def _create(connection: sqlite3.Connection) -> None:
    with _Transaction(connection):
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # nobody was quicker
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")


def _move_aside(path: str) -> str:
    number = 1
    while os.path.exists(f"{path}.damaged-{number}"):
        number += 1
    aside = f"{path}.damaged-{number}"
    for suffix in ("", "-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.replace(path + suffix, aside + suffix)
    return aside
