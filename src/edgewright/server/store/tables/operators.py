"""What was changed by whom, and when this server ran."""

from sqlalchemy import (
    Column,
    Index,
    Integer,
    String,
    Table,
)

from edgewright.server.store.tables.base import Instant, metadata

# `via` is with which means (`browser`, `token ci`, `command line`), `address` from where. `before` and
# `after` are JSON, null where there was or is nothing.
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", String, nullable=False),
    Column("via", String, nullable=False, server_default=""),
    Column("address", String, nullable=False, server_default=""),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("details", String, nullable=False),
    Column("before", String),
    Column("after", String),
    Index("ix_audit_at", "at"),
    Index("ix_audit_subject", "subject"),
    Index("ix_audit_actor", "actor"),
    Index("ix_audit_action", "action"),
    sqlite_autoincrement=True,
)

# When this server ran: in between nobody listened. `alive` is when it last wrote that it did.
runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("started", Instant, nullable=False),
    Column("alive", Instant, nullable=False),
    sqlite_autoincrement=True,
)
