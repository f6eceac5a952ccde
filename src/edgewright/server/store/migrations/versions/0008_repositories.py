"""A Git repository per device, for those that have one."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "repositories",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("desired_commit", sa.String(40), nullable=True),
        sa.Column("desired_etag", sa.String(), nullable=True),
        sa.Column("policy_tag", sa.String(16), nullable=True),
        sa.Column("signer", sa.String(), nullable=True),
        sa.Column("pushed_commit", sa.String(40), nullable=True),
        sa.Column("current_commit", sa.String(40), nullable=True),
        sa.Column("adopted", sa.String(), nullable=True),
        sa.Column("checked", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("unread", sa.String(), nullable=True),
        sa.Column("refused", sa.String(), nullable=True),
        sa.Column("basic_digest", sa.String(64), nullable=True),
        sa.Column("token_digest", sa.String(64), nullable=True),
        sa.Column("webhook_digest", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("client_id", name="pk_repositories"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name="fk_repositories_client_id"),
        sa.CheckConstraint("kind IN ('hosted', 'external')", name="kind"),
        sa.CheckConstraint("kind = 'hosted' OR url IS NOT NULL", name="url"),
    )
