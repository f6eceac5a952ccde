"""Accounts from the machine itself: `edgewright server user`, for the first ones and for who is locked out.

Works beside a running server: both write the same database, one after the other.
"""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.accounts.passwords import hash_password
from edgewright.server.domain.passwords import make_password
from edgewright.server.domain.roles import Role
from edgewright.server.errors import SetupError
from edgewright.server.fleet import accounts as fleet
from edgewright.server.run import existing_database
from edgewright.server.settings import DataDirectory, load_settings
from edgewright.server.store import accounts
from edgewright.server.store.accounts import User
from edgewright.server.store.audit import MEANS, Means
from edgewright.server.store.database import Database, schema_version
from edgewright.server.store.migrate import HEAD

Result = TypeVar("Result")


def list_users(directory: DataDirectory) -> list[User]:
    """Return all users by name."""
    return _at(directory, accounts.every_user)


def add_user(directory: DataDirectory, name: str, role: Role, password: str | None) -> str | None:
    """Make a user; without a password one is made up, to be changed at the first sign-in, and returned."""

    async def add(connection: AsyncConnection) -> str | None:
        kept, made = _password(password, name)
        await fleet.add_user(
            connection,
            name,
            role,
            password=hash_password(kept),
            is_temporary=made is not None,
            actor=_whoever(),
            now=datetime.now(UTC),
        )
        return made

    return _at(directory, add)


def set_password(directory: DataDirectory, name: str, password: str | None) -> str | None:
    """Give a user another password and end all its sessions; without one, one is made up and returned."""

    async def change(connection: AsyncConnection) -> str | None:
        user = await fleet.user_called(connection, name)
        kept, made = _password(password, user.name)
        await fleet.set_password(
            connection,
            user.name,
            password=hash_password(kept),
            is_temporary=made is not None,
            actor=_whoever(),
            now=datetime.now(UTC),
        )
        return made

    return _at(directory, change)


def change_user(
    directory: DataDirectory, name: str, *, role: Role | None = None, is_disabled: bool | None = None
) -> User:
    """Give a user another role, lock it out, or let it in again."""

    async def change(connection: AsyncConnection) -> User:
        return await fleet.change_user(
            connection, name, role=role, is_disabled=is_disabled, actor=_whoever(), now=datetime.now(UTC)
        )

    return _at(directory, change)


def _at(directory: DataDirectory, action: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    """Do `action` in a transaction on the database of a data directory."""
    load_settings(directory)
    path = existing_database(directory)
    if schema_version(path) != HEAD:
        raise SetupError(f"{path}: of another version of Edgewright; start its server once with this one")

    async def run() -> Result:
        async with Database(path) as database, database.writing() as connection:
            return await action(connection)

    MEANS.set(Means(via="command line"))
    return asyncio.run(run())


def _password(given: str | None, name: str) -> tuple[str, str | None]:
    """Return the password, and once more if it was made up here."""
    if given is not None:
        return fleet.check_password(given, name), None
    made = make_password()
    return made, made


def _whoever() -> str:
    """Return who sits at the machine, as far as the system knows."""
    try:
        return f"{getpass.getuser()} at the machine"
    except (KeyError, OSError):
        return "somebody at the machine"
