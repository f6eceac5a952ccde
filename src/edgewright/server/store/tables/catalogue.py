"""The catalogue: application packages and their files."""

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    LargeBinary,
    String,
    Table,
)

from edgewright.server.store.tables.base import Instant, metadata

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
