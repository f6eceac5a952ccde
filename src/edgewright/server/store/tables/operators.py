"""Who may operate, what they changed, and when this server ran."""

from sqlalchemy import (
    Column,
    Integer,
    String,
    Table,
)

from edgewright.server.store.tables.base import Instant, metadata

operator_tokens = Table(
    "operator_tokens",
    metadata,
    Column("token_digest", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created", Instant, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("details", String, nullable=False),
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
