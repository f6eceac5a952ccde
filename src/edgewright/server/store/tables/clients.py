"""Clients: who is accepted, who is invited, what each reported of itself and of its site."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from edgewright.server.store.tables.base import Instant, metadata

# The accepted-client policy (spec: ID-20) and what is known of each client. `key_digest` is of the only key
# that is admitted, null where another authority issues the SVID. `labels` are those
# that operators gave it, as JSON; what it reports itself is in `devices`.
clients = Table(
    "clients",
    metadata,
    Column("client_id", String, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("created", Instant, nullable=False),
    Column("retired", Instant),
    Column("key_digest", String),
    Column("svid_expires", Instant),
    Column("last_contact", Instant),
    Column("labels", String, nullable=False, server_default="{}"),
    CheckConstraint("state IN ('accepted', 'retired')", name="state"),
    CheckConstraint("origin IN ('enrolled', 'foreign')", name="origin"),
)

enrollments = Table(
    "enrollments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("client_id", String, nullable=False, index=True),
    Column("secret_digest", String, nullable=False, unique=True),
    Column("created", Instant, nullable=False),
    Column("expires", Instant, nullable=False),
    Column("used", Instant),
    Column("key_digest", String),
    Column("svid", String),
    Column("withdrawn", Instant),
)

# Keys that ask to be let in, by the part of their digest that people compare; what their bearers say of
# themselves proves nothing. `svid` is what an approved one is answered with.
enrollment_requests = Table(
    "enrollment_requests",
    metadata,
    Column("fingerprint", String(20), primary_key=True),
    Column("key_digest", String, nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("name", String, nullable=False),
    Column("hostname", String, nullable=False),
    Column("version", String, nullable=False),
    Column("address", String, nullable=False),
    Column("created", Instant, nullable=False),
    Column("seen", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("decided", Instant),
    Column("actor", String),
    Column("client_id", String),
    Column("reason", String, nullable=False),
    Column("svid", String),
    CheckConstraint("state IN ('waiting', 'approved', 'rejected')", name="state"),
)

# Capabilities as reported; (client, device id) is the record's name (spec: API-8).
devices = Table(
    "devices",
    metadata,
    Column("client_id", String, ForeignKey("clients.client_id"), primary_key=True),
    Column("device_id", String, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("created", Instant, nullable=False),
    Column("updated", Instant, nullable=False),
)

# What a client's site reported last: its bytes, and beside them what lists need of it. `policy` is the one
# in force as JSON, `holds` what may not start yet.
sites = Table(
    "sites",
    metadata,
    Column("client_id", String, ForeignKey("clients.client_id"), primary_key=True),
    Column("received", Instant, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("policy", String, nullable=False),
    Column("is_clock_trusted", Boolean, nullable=False),
    Column("holds", String, nullable=False),
)

# What people did on site, gathered from the reports, each of which has the newest entries only.
site_audit = Table(
    "site_audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("client_id", String, ForeignKey("clients.client_id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("via", String, nullable=False),
    Column("what", String, nullable=False),
    Column("reason", String, nullable=False),
    UniqueConstraint("client_id", "number", "at", name="uq_site_audit_entry"),
    sqlite_autoincrement=True,
)

# Policies suggested to one client, or to all who have none of their own (`database.EVERYBODY`).
suggestions = Table(
    "suggestions",
    metadata,
    Column("client_id", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("tag", String(12), nullable=False),
    Column("created", Instant, nullable=False),
    Column("actor", String, nullable=False),
)

# From when on the contact with a client was another one, for its timeline: a word of `domain.contact`.
contact_changes = Table(
    "contact_changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("client_id", String, ForeignKey("clients.client_id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("word", String(16), nullable=False),
    Index("ix_contact_changes_client_id", "client_id", "id"),
    Index("ix_contact_changes_at", "at"),
    sqlite_autoincrement=True,
)
