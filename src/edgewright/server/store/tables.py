"""The tables. A change here needs a migration beside it; a test compares the two.

Documents, manifests, bundles and reports are kept as the exact bytes that were sent or received (spec:
DG-3). Text columns holding JSON belong to this server alone.
"""

# ruff: noqa: ARG002 - SQLAlchemy names the arguments of its hooks

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
)


class Instant(TypeDecorator[datetime]):
    """A moment in UTC; databases that forget the zone get it back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Unsigned64(TypeDecorator[int]):
    """A number up to 2^64-1 as a device may report it; databases have no such integer, so it is text."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# The accepted-client policy (spec: ID-20) and what is known of each client. `key_digest` is of the only key
# that is admitted, null where another authority issues the SVID.
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
    CheckConstraint("state IN ('accepted', 'retired')", name="state"),
    CheckConstraint("origin IN ('enrolled', 'foreign')", name="origin"),
)

# The manifest each client is served now. Versions only grow, also over retirement and return (spec: DS-7).
manifests = Table(
    "manifests",
    metadata,
    Column("client_id", String, ForeignKey("clients.client_id"), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("etag", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("bundle_digest", String),
    Column("created", Instant, nullable=False),
    CheckConstraint("version >= 1", name="version"),
)

# Bundles served now (superseded is null) or lately.
bundles = Table(
    "bundles",
    metadata,
    Column("client_id", String, ForeignKey("clients.client_id"), primary_key=True),
    Column("digest", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("superseded", Instant),
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

packages = Table(
    "packages",
    metadata,
    Column("application_id", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("description", LargeBinary, nullable=False),
    Column("digest", String, nullable=False),
    Column("source", String, nullable=False),
    Column("imported", Instant, nullable=False),
)

package_files = Table(
    "package_files",
    metadata,
    Column("application_id", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("path", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["application_id", "version"],
        ["packages.application_id", "packages.version"],
        ondelete="CASCADE",
    ),
)

# `digest` names the current document in `documents`; `changed_version` is ST-25's T. A deployment that the
# operator deleted stays, as its device still reports `removing` and `removed` for it.
deployments = Table(
    "deployments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("client_id", String, ForeignKey("clients.client_id"), nullable=False, index=True),
    Column("device_id", String, nullable=False),
    Column("application_id", String, nullable=False),
    Column("version", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("parameters", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("changed_version", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("created", Instant, nullable=False),
    Column("changed", Instant, nullable=False),
    Column("deleted", Instant),
    Index("ix_deployments_package", "application_id", "version"),
)

# Deployment documents served now (superseded is null) or lately.
documents = Table(
    "documents",
    metadata,
    Column("deployment_id", String(36), ForeignKey("deployments.id"), primary_key=True),
    Column("digest", String, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("superseded", Instant),
)

# Every status received, in order; the last one of a deployment is its present one.
statuses = Table(
    "statuses",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("deployment_id", String(36), ForeignKey("deployments.id"), nullable=False),
    Column("received", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("adopted_version", Unsigned64, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_statuses_deployment_id_id", "deployment_id", "id"),
    sqlite_autoincrement=True,
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

# When this server ran: in between nobody listened. `alive` is when it last wrote that it did.
runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("started", Instant, nullable=False),
    Column("alive", Instant, nullable=False),
    sqlite_autoincrement=True,
)

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
