"""What sites report, what is suggested to them, and when this server ran."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("alive", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "suggestions",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("tag", sa.String(length=12), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_suggestions")),
    )
    op.create_table(
        "site_audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_site_audit_client_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_audit")),
        sa.UniqueConstraint("client_id", "number", "at", name="uq_site_audit_entry"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sites",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("is_clock_trusted", sa.Boolean(), nullable=False),
        sa.Column("holds", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_sites_client_id")),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_sites")),
    )
