"""When the contact with a client changed, for its timeline."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "contact_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("word", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_contact_changes"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name="fk_contact_changes_client_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_contact_changes_client_id", "contact_changes", ["client_id", "id"])
    op.create_index("ix_contact_changes_at", "contact_changes", ["at"])
