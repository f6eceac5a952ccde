"""The catalogue: application packages and their files, and the sources they come from."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
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

# Where packages are looked for: a registry (`location` is its host, `repositories` a JSON list of names and
# patterns) or a folder on this machine. `secret` names the file its credentials are in, which are nowhere
# else; `ca` is PEM. The rest is how the last look went: `ended` before `began` means that it goes on, or was
# cut off by the end of the server.
sources = Table(
    "sources",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("location", String, nullable=False),
    Column("repositories", String, nullable=False),
    Column("every_minutes", Integer),
    Column("plain_http", Boolean, nullable=False),
    Column("ca", String),
    Column("username", String),
    Column("secret", String),
    Column("prune", Boolean, nullable=False),
    Column("created", Instant, nullable=False),
    Column("changed", Instant, nullable=False),
    Column("began", Instant),
    Column("ended", Instant),
    Column("problem", String),
    Index("ix_sources_name", "name", unique=True),
    sqlite_autoincrement=True,
)

# What a source has on offer, one row a place in it (`repository:tag`, or a path in the folder), and what
# became of it (domain/sources.py). `upstream` is the digest the source gives the place; `version` and
# `application_id` are known once its description could be read; `problems` is JSON, path and message each.
listings = Table(
    "listings",
    metadata,
    Column("source_id", Integer, ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True),
    Column("place", String, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("upstream", String, nullable=False),
    Column("application_id", String),
    Column("version", String),
    Column("problems", String, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("since", Instant, nullable=False),
    Index("ix_listings_application_id", "application_id", "version"),
)
