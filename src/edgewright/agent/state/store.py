"""What the agent remembers: one SQLite database, every change durable before anybody acts on it.

Two manifests are kept as the bytes they came in: the one *received* and not yet judged (the inbox), and the
one *accepted* last, finished or not (spec: DS-16, OP-17). A manifest that was refused is remembered by its
digest, so that meeting it again costs nothing. The tables of revisions, of reports and of what the site
decided are read and written by `ledger.py`, `outbox.py` and `consent/`; the schema of all of them is here.

A database that is damaged is moved aside, one that is missing is noticed, and a new one takes its place, in
one step with what a copy beside it tells of the accepted manifest (`mirror.py`), so that nothing older is
ever accepted (spec: DS-12). The rest is put together by the next round (`recovery.py`). A process that has
the old one open finds out by `is_current`. One process writes at a time; others wait.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import os
import sqlite3
import time
from collections.abc import Callable

from edgewright.agent import log
from edgewright.agent.paths import Paths
from edgewright.agent.state import mirror
from edgewright.agent.state.locks import wait_for
from edgewright.agent.state.reserve import SCARCE_BYTES, free_bytes
from edgewright.protocol.errors import EdgewrightError

_VERSION = 4
_CONSENT = """
CREATE TABLE approvals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment_id TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL,
    asked REAL NOT NULL, valid_seconds REAL NOT NULL, summary TEXT NOT NULL, verdict TEXT NOT NULL,
    by TEXT NOT NULL DEFAULT '', via TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    decided REAL, until REAL, expires REAL
);
CREATE TABLE overrides (
    deployment_id TEXT PRIMARY KEY, kind TEXT NOT NULL, digest TEXT NOT NULL,
    by TEXT NOT NULL, via TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE holds (
    deployment_id TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL,
    reason TEXT NOT NULL, message TEXT NOT NULL, since REAL NOT NULL, until REAL, approval INTEGER
) WITHOUT ROWID;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, uid INTEGER,
    via TEXT NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE durations (
    deployment_id TEXT NOT NULL, kind TEXT NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (deployment_id, kind)
) WITHOUT ROWID;
"""
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
    leaving TEXT NOT NULL DEFAULT '[]', stand_in TEXT, begun INTEGER NOT NULL DEFAULT 0,
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
    ),
    2: tuple(_CONSENT.split(";\n")),
    3: (
        "ALTER TABLE revisions ADD COLUMN begun INTEGER NOT NULL DEFAULT 0",
        # Their order was not written down. What runs whole came up after the others, and what failed may
        # never have been begun.
        "UPDATE revisions SET begun = CASE WHEN stage = 'installed' THEN 3 WHEN stage IN ('applying',"
        " 'verifying') THEN 2 WHEN stage IN ('failed', 'rolling-back', 'rolled-back') THEN 1 ELSE 0 END",
    ),
}
_KEPT_EVENTS = 500
_KEPT_REFUSALS = 64
_BUSY_SECONDS = 15.0
_DAMAGED = frozenset({11, 26})  # SQLITE_CORRUPT, SQLITE_NOTADB
_KEPT_DAMAGED = 3

SECURITY = "security"
STATE = "state"
SERVER = "server"
CLOCK_LATEST = "clock.latest"
"""The meta name of the latest time (unix seconds) that was reached: a clock that shows less is wrong."""
CLOCK_TRUST = "clock.trust"
"""The meta name of why the clock is not believed now, empty when it is (clock.py)."""
REBUILT = "rebuilt"
"""The meta name under which a new database tells why it is one, until a round has put the rest together."""


class StoreError(EdgewrightError):
    """The state directory cannot be used; names the file and why."""

    code = "state.unusable"


class StoreFullError(StoreError):
    """There is no room for the state where it is kept."""

    code = "storage.full"
    retryable = True


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
    """The open database. `transaction` groups what has to be on disk together or not at all.

    `now` tells unix seconds. `moved_aside` is where a damaged one went that was found at opening, None when
    all was well.
    """

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self._now = now
        self.moved_aside: str | None = None
        try:
            self.connection = _open(path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise _unusable(path, error) from error
            self.moved_aside = move_aside(path)
            self.connection = _open(path, _damaged(error, self.moved_aside))
        self._file = _file_at(path)
        self._remembered: dict[str, str | None] = {}
        self._changes = (-1, -1)

    def is_current(self) -> bool:
        """Whether this is still the database at its path, and not one that was moved aside or deleted."""
        return self._file == _file_at(self.path)

    def give_up(self, error: sqlite3.Error) -> None:
        """Put a new database in the place of this one, which `error` says is damaged."""
        moved = move_aside(self.path, self._file)
        if moved is not None:
            _open(self.path, _damaged(error, moved)).close()

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

    def recheck(self) -> None:
        """Let `remembered` tell what others have changed since."""
        others = int(self.connection.execute("PRAGMA data_version").fetchone()[0])
        if others != self._changes[0]:
            self._changes = others, self.connection.total_changes
            self._remembered.clear()

    def remembered(self, name: str) -> str | None:
        """Return what `meta` does, by the last `recheck` and our own changes: for what is asked often."""
        ours = self.connection.total_changes
        if ours != self._changes[1]:
            self._changes = self._changes[0], ours
            self._remembered.clear()
        if name not in self._remembered:
            self._remembered[name] = self.meta(name)
        return self._remembered[name]

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
        accepted = self.bound()
        return accepted if accepted is not None and accepted.body else None

    def bound(self) -> Manifest | None:
        """Return what tells which versions may follow: the accepted manifest, empty if its body is lost."""
        return self._manifest("accepted")

    def knows(self, relation: str, digest: str) -> bool:
        """Whether these manifest bytes are waiting, accepted or refused already: then they are no news."""
        query = (
            "SELECT 1 FROM manifests WHERE relation = ?1 AND digest = ?2"
            " AND (slot = 'received' OR (version IS NOT NULL AND length(body) > 0))"
            " UNION ALL SELECT 1 FROM refused WHERE relation = ?1 AND digest = ?2"
        )
        return self.connection.execute(query, (relation, digest)).fetchone() is not None

    def rename(self, relation: str, digest: str, etag: str) -> None:
        """Ask for the accepted manifest by `etag` from now on, if it is the one that has `digest`."""
        query = (
            "UPDATE manifests SET etag = ?3"
            " WHERE slot = 'accepted' AND relation = ?1 AND digest = ?2 AND etag <> ?3"
        )
        if self.connection.execute(query, (relation, digest, etag)).rowcount:
            self.save_copy()

    def receive(self, manifest: Manifest) -> None:
        """Put `manifest` into the inbox, in place of what was there."""
        self._put("received", manifest)

    def accept(self, manifest: Manifest) -> None:
        """Make `manifest` what this device shall run and take it out of the inbox, in one step.

        The copy is written first: found newer than the database, it is one whose step was not completed while
        the inbox still holds it, and else the truth of a database that has lost its last changes.
        """
        mirror.save(mirror.path_beside(self.path), _copy_of(manifest))
        with self.transaction():
            self.put_accepted(manifest)
            self.drop_received(manifest)

    def put_accepted(self, manifest: Manifest) -> None:
        """Write down `manifest` as the accepted one, here alone."""
        self._put("accepted", manifest)

    def save_copy(self) -> None:
        """Write the copy of what is accepted."""
        accepted = self.accepted()
        if accepted is not None:
            mirror.save(mirror.path_beside(self.path), _copy_of(accepted))

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
                (manifest.relation, manifest.digest, self._now()),
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
            # Nor does its repository have to grow from the commit it came in (agent/git/notes.py).
            for name in ("git.commit", "git.refused"):
                self.set_meta(name, "")
            self.record(SECURITY, "the accepted manifest version was forgotten by a local command")
        self.save_copy()

    def record(self, kind: str, message: str) -> None:
        """Remember an event; the oldest are forgotten. A time at which something happened was reached."""
        now = self._now()
        with self.transaction():
            self.connection.execute(
                "INSERT INTO events (at, kind, message) VALUES (?, ?, ?)", (now, kind, message)
            )
            self.connection.execute(
                "INSERT INTO meta SELECT ?1, ?2 WHERE NOT EXISTS"
                " (SELECT 1 FROM meta WHERE name = ?4 AND value <> '')"
                " ON CONFLICT (name) DO UPDATE SET value = ?2 WHERE CAST(value AS REAL) < ?3",
                (CLOCK_LATEST, f"{now:.0f}", now, CLOCK_TRUST),
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
            (slot, manifest.relation, manifest.etag, manifest.digest, manifest.body, version, self._now()),
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


def is_damage(error: sqlite3.Error) -> bool:
    """Whether `error` says that the file's content is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _damaged(error: sqlite3.Error, moved_aside: str | None) -> str:
    kept = f"; it was moved aside as {os.path.basename(moved_aside)}" if moved_aside else ""
    return f"the state database was damaged ({error}){kept}"


def move_aside(path: str, damaged: tuple[int, int] | None = None) -> str | None:
    """Move the damaged database at `path` aside; return where it is, None if somebody else was quicker.

    The file `damaged` (device, inode) is known to be so, whatever a quick check says. Only the newest few are
    kept: a disk that goes on damaging them is not filled by them.
    """
    held = wait_for(f"{path}.lock")
    try:
        if _file_at(path) != damaged and not _is_damaged(path):
            return None
        aside = [name for name in os.listdir(os.path.dirname(path)) if _number_of(name, path)]
        aside.sort(key=lambda name: _number_of(name, path))
        for name in aside[: 1 - _KEPT_DAMAGED]:
            _remove(os.path.join(os.path.dirname(path), name))
        kept = f"{path}.damaged-{_number_of(aside[-1], path) + 1 if aside else 1}"
        for suffix in ("-wal", "-shm", ""):  # last what tells the next one that there is something to move
            if os.path.exists(path + suffix):
                os.replace(path + suffix, kept + suffix)
    finally:
        os.close(held)
    return kept


def _is_damaged(path: str) -> bool:
    try:
        _open(path).close()
    except sqlite3.DatabaseError as error:
        return is_damage(error)
    return False


def _number_of(name: str, path: str) -> int:
    """Return the number of the database that was moved aside as `name`, 0 where it is none."""
    number = name.removeprefix(f"{os.path.basename(path)}.damaged-")
    return int(number) if number != name and number.isdigit() else 0


def _remove(path: str) -> None:
    for suffix in ("-wal", "-shm", ""):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)


def _unusable(path: str, error: sqlite3.Error) -> StoreError:
    """Return what `error` at opening means: a full disk may be told as an I/O error."""
    try:
        free = free_bytes(os.path.dirname(path))
    except OSError:
        return StoreError(f"{path}: {error}")
    if free < SCARCE_BYTES:
        return StoreFullError(f"{path}: no room on the disk for the state: {free} bytes free")
    return StoreError(f"{path}: {error}")


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _copy_of(manifest: Manifest) -> mirror.Mirrored:
    version = None if manifest.version is None else str(manifest.version)
    return mirror.Mirrored(manifest.relation, manifest.etag, manifest.digest, version, manifest.body)


def _open(path: str, why_new: str = "") -> sqlite3.Connection:
    """Open the database; a new one is made where there is none, `why_new` if that is known."""
    try:
        # The file is made here so that nobody else can ever read it. One that is there must not be opened: as
        # it is closed, the system drops the locks of every other connection this process has to it, and the
        # next process that ends takes the log away from under them.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        _prepare(connection, path, why_new)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: str, why_new: str) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -256")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise StoreError(
            f"{path}: written by a newer edgewright (schema {version}, this one knows {_VERSION})"
        )
    if version == 0:
        _create(connection, path, why_new)
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


def _create(connection: sqlite3.Connection, path: str, why_new: str) -> None:
    """Make the tables, and put in what the copy tells, in one step."""
    with _Transaction(connection):
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # nobody was quicker
            for statement in (_SCHEMA + _CONSENT).split(";\n"):
                connection.execute(statement)
            _restore(connection, path, why_new)
            connection.execute(f"PRAGMA user_version = {_VERSION}")


def _has_installed(path: str) -> bool:
    """Whether the state directory of the database at `path` has files of a deployment."""
    try:
        return bool(os.listdir(Paths(os.path.dirname(path)).projects))
    except OSError:
        return False


def _restore(connection: sqlite3.Connection, path: str, why_new: str) -> None:
    """Take up what was accepted from its copy.

    Without one, without a reason and without anything that was ever installed, this is a new device.
    """
    insert = "INSERT INTO events (at, kind, message) VALUES (?, ?, ?)"
    kind, end = STATE, "nothing had been accepted before"
    place = mirror.path_beside(path)
    try:
        copy = mirror.load(place)
    except mirror.MirrorError as error:
        copy, kind, end = None, SECURITY, f"{error} too: which version was accepted last is not known"
    else:
        if copy is None and _has_installed(path):
            kind, end = SECURITY, f"{place}: missing too: which version was accepted last is not known"
        elif copy is None and not why_new:
            return
    if copy is not None:
        end = f"manifest version {copy.version or '(forgotten)'} was taken up from its copy"
        columns = (copy.relation, copy.etag, copy.digest, copy.body, copy.version)
        connection.execute(
            "INSERT INTO manifests (slot, relation, etag, digest, body, version, at)"
            " VALUES ('accepted', ?, ?, ?, ?, ?, ?)",
            (*columns, time.time()),
        )
    reason = why_new or "the state database was missing"
    connection.execute("INSERT INTO meta VALUES (?, ?)", (REBUILT, reason))
    connection.execute(insert, (time.time(), kind, f"{reason}; {end}"))
    log.error(f"{path}: {reason}; {end}")
