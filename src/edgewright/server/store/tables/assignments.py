"""Assignments, which say what many devices are to have, and the rollouts that bring it step by step."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
)

from edgewright.server.store.tables.base import Instant, metadata

# An application for many devices. `revision` is the newest of its revisions, which say the rest. A deleted
# one stays while its deployments are removed; its name may then be used again.
assignments = Table(
    "assignments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("application_id", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created", Instant, nullable=False),
    Column("changed", Instant, nullable=False),
    Column("deleted", Instant),
    Index("ix_assignments_name", "name"),
    sqlite_autoincrement=True,
)

# What an assignment said from one change to the next: JSON of version, profile, target, parameters for all,
# for groups and for single devices, and how it is rolled out (domain/assignments.py).
assignment_revisions = Table(
    "assignment_revisions",
    metadata,
    Column("assignment_id", Integer, ForeignKey("assignments.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("spec", String, nullable=False),
    Column("created", Instant, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", String, nullable=False),
)

# One way from one revision of an assignment to another, over all its devices. `strategy` is JSON, `batch` the
# present one of `batches`, from 1. `serial` grows with whatever a person, or another rollout, does to it.
rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("assignment_id", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("strategy", String, nullable=False),
    Column("batch", Integer, nullable=False),
    Column("batches", Integer, nullable=False),
    Column("serial", Integer, nullable=False),
    Column("message", String, nullable=False),
    Column("created", Instant, nullable=False),
    Column("actor", String, nullable=False),
    Column("ended", Instant),
    ForeignKeyConstraint(
        ["assignment_id", "revision"],
        ["assignment_revisions.assignment_id", "assignment_revisions.number"],
        name="fk_rollouts_revision",
    ),
    CheckConstraint(
        "state IN ('running', 'paused', 'stopped', 'done', 'superseded', 'cancelled')", name="state"
    ),
    Index("ix_rollouts_assignment_id", "assignment_id", "revision"),
)

# One device on that way (domain/rollouts.py). `deployment_id` is what it has of the assignment, or had before
# it was removed; `attempt` is how often it was to be tried again.
rollout_steps = Table(
    "rollout_steps",
    metadata,
    Column("rollout_id", String(36), ForeignKey("rollouts.id"), primary_key=True),
    Column("client_id", String, ForeignKey("clients.client_id"), primary_key=True),
    Column("batch", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("obstacle", String(16), nullable=False),
    Column("message", String, nullable=False),
    Column("deployment_id", String(36)),
    Column("begun", Instant),
    Column("since", Instant),
    Column("ended", Instant),
    Column("is_accepted", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    CheckConstraint(
        "state IN ('waiting', 'begun', 'done', 'failed', 'late', 'skipped', 'cancelled')", name="state"
    ),
    Index("ix_rollout_steps_client_id", "client_id"),
)

# What happened on the way, for people.
rollout_events = Table(
    "rollout_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rollout_id", String(36), ForeignKey("rollouts.id"), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("actor", String, nullable=False),
    Column("what", String(32), nullable=False),
    Column("message", String, nullable=False),
    sqlite_autoincrement=True,
)
