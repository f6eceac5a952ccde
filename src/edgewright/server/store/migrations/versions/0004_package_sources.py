"""Where packages come from, and what was wrong with some of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("repositories", sa.String(), nullable=False),
        sa.Column("every_minutes", sa.Integer()),
        sa.Column("plain_http", sa.Boolean(), nullable=False),
        sa.Column("ca", sa.String()),
        sa.Column("username", sa.String()),
        sa.Column("secret", sa.String()),
        sa.Column("prune", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("began", sa.DateTime(timezone=True)),
        sa.Column("ended", sa.DateTime(timezone=True)),
        sa.Column("problem", sa.String()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sources_name", "sources", ["name"], unique=True)
    op.create_table(
        "listings",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("upstream", sa.String(), nullable=False),
        sa.Column("application_id", sa.String()),
        sa.Column("version", sa.String()),
        sa.Column("problems", sa.String(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"],
            ["sources.id"],
            name=op.f("fk_listings_source_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("source_id", "place", name=op.f("pk_listings")),
    )
    op.create_index("ix_listings_application_id", "listings", ["application_id", "version"])
