"""What shall run where, what is served for it, and what was reported about it."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from edgewright.server.store.tables.base import Instant, Unsigned64, metadata

# `digest` names the current document in `documents`; `changed_version` is ST-25's T. A deployment that the
# operator deleted stays, as its device still reports `removing` and `removed` for it. `assignment_id` is of
# the assignment it belongs to, null for one that somebody made for this device alone.
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
    Column("assignment_id", Integer, ForeignKey("assignments.id")),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Index("ix_deployments_assignment_id", "assignment_id"),
    Index("ix_deployments_package", "application_id", "version"),
)

# What a deployment was from one change to the next; `changed_version` is that of the manifest with it.
deployment_revisions = Table(
    "deployment_revisions",
    metadata,
    Column("deployment_id", String(36), ForeignKey("deployments.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("version", String, nullable=False),
    Column("profile_id", String, nullable=False),
    Column("parameters", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("changed_version", BigInteger, nullable=False),
    Column("created", Instant, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", String, nullable=False),
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
