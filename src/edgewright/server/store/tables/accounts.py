"""Accounts: users, their sessions in browsers, and tokens for programs."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from edgewright.server.store.tables.base import Instant, metadata

# `password` is what argon2id makes of it; null for who signs in elsewhere only. `issuer` and `subject` are
# whom an identity provider knows. `is_temporary` says that somebody else chose the password.
users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("password", String),
    Column("is_temporary", Boolean(create_constraint=False), nullable=False),
    Column("issuer", String),
    Column("subject", String),
    Column("created", Instant, nullable=False),
    Column("disabled", Instant),
    Column("signed_in", Instant),
    UniqueConstraint("issuer", "subject", name="uq_users_identity"),
    CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role"),
    sqlite_autoincrement=True,
)

# Kept as digests: who reads the database cannot sign in with what is there.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("method", String(16), nullable=False),
    Column("created", Instant, nullable=False),
    Column("seen", Instant, nullable=False),
    Column("address", String, nullable=False),
    Column("browser", String, nullable=False),
    Index("ix_sessions_user_id", "user_id"),
    sqlite_autoincrement=True,
)

# `user_id` is null for tokens made at the machine itself. `scopes` is a JSON list; an empty one restricts
# nothing.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE")),
    Column("name", String, nullable=False),
    Column("role", String(16), nullable=False),
    Column("scopes", String, nullable=False),
    Column("created", Instant, nullable=False),
    Column("expires", Instant),
    Column("used", Instant),
    CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role"),
    Index("ix_tokens_user_id", "user_id"),
    sqlite_autoincrement=True,
)
