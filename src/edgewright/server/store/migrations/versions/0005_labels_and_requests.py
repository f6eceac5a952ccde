"""Labels that operators give to devices, and devices that ask to be let in."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("clients", sa.Column("labels", sa.String(), nullable=False, server_default="{}"))
    op.create_table(
        "enrollment_requests",
        sa.Column("fingerprint", sa.String(length=20), nullable=False),
        sa.Column("key_digest", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("hostname", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decided", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actor", sa.String(), nullable=True),
        sa.Column("client_id", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("svid", sa.String(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'approved', 'rejected')", name=op.f("ck_enrollment_requests_state")
        ),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_enrollment_requests")),
        sa.UniqueConstraint("key_digest", name=op.f("uq_enrollment_requests_key_digest")),
    )
