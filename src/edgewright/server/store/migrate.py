"""Brings a database to the schema of this program, at every start, before anything else touches it."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.server.errors import SetupError
from edgewright.server.store.database import schema_version

if TYPE_CHECKING:
    from sqlalchemy import Connection

# The newest migration. Known here so that an up-to-date start does not have to load Alembic.
HEAD = "0008"
MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(path: Path) -> None:
    """Create or upgrade the database at `path`; raises `SetupError` if this program is too old for it."""
    try:
        if schema_version(path) != HEAD:
            upgrade(path)
    except sqlite3.DatabaseError as error:
        raise SetupError(f"{path}: not a usable database: {error}; put it back from a backup") from error


def upgrade(path: Path) -> None:
    """Run every migration that is not yet in the database."""
    # Alembic costs a start a quarter of a second, and most starts have nothing to migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415
    from sqlalchemy import create_engine, event  # noqa: PLC0415

    path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path}")
    # Left to itself the driver begins no transaction before a change of the schema, and an upgrade that was
    # interrupted would leave a half of one that nothing can go on from.
    event.listen(engine, "connect", _begin_nothing)
    event.listen(engine, "begin", _begin)
    try:
        with engine.begin() as connection:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(MIGRATIONS))
            command.upgrade(config, "head")
    except CommandError as error:
        raise SetupError(
            f"{path}: made by a newer version of Edgewright than this one; use that or a newer one ({error})"
        ) from error
    finally:
        engine.dispose()


def _begin_nothing(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None


def _begin(connection: "Connection") -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
