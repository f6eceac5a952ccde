"""Applications for many devices, how they are rolled out, and what each deployment was before."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("application_id", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_assignments_name", "assignments", ["name"])
    op.create_table(
        "assignment_revisions",
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("spec", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignments.id"], name=op.f("fk_assignment_revisions_assignment_id")
        ),
        sa.PrimaryKeyConstraint("assignment_id", "number", name=op.f("pk_assignment_revisions")),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('running', 'paused', 'stopped', 'done', 'superseded', 'cancelled')",
            name=op.f("ck_rollouts_state"),
        ),
        sa.ForeignKeyConstraint(
            ["assignment_id", "revision"],
            ["assignment_revisions.assignment_id", "assignment_revisions.number"],
            name="fk_rollouts_revision",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
    )
    op.create_index("ix_rollouts_assignment_id", "rollouts", ["assignment_id", "revision"])
    op.create_table(
        "rollout_steps",
        sa.Column("rollout_id", sa.String(length=36), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("obstacle", sa.String(length=16), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("deployment_id", sa.String(length=36)),
        sa.Column("begun", sa.DateTime(timezone=True)),
        sa.Column("since", sa.DateTime(timezone=True)),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("is_accepted", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'begun', 'done', 'failed', 'late', 'skipped', 'cancelled')",
            name=op.f("ck_rollout_steps_state"),
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_rollout_steps_client_id")
        ),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_steps_rollout_id")),
        sa.PrimaryKeyConstraint("rollout_id", "client_id", name=op.f("pk_rollout_steps")),
    )
    op.create_index("ix_rollout_steps_client_id", "rollout_steps", ["client_id"])
    op.create_table(
        "rollout_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rollout_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_events_rollout_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rollout_events_rollout_id"), "rollout_events", ["rollout_id"])
    op.create_table(
        "deployment_revisions",
        sa.Column("deployment_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("profile_id", sa.String(), nullable=False),
        sa.Column("parameters", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("changed_version", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_deployment_revisions_deployment_id")
        ),
        sa.PrimaryKeyConstraint("deployment_id", "number", name=op.f("pk_deployment_revisions")),
    )
    with op.batch_alter_table("deployments") as table:
        table.add_column(sa.Column("assignment_id", sa.Integer()))
        table.add_column(sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
        table.create_foreign_key(
            op.f("fk_deployments_assignment_id"), "assignments", ["assignment_id"], ["id"]
        )
        table.create_index("ix_deployments_assignment_id", ["assignment_id"])
    # What every deployment is now is the first of its revisions that is known.
    op.execute(
        "INSERT INTO deployment_revisions"
        " SELECT id, 1, version, profile_id, parameters, CASE WHEN deleted IS NULL THEN digest ELSE '' END,"
        " changed_version, changed, 'server', 'before revisions were kept' FROM deployments"
    )
