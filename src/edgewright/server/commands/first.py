"""The first administrator: made with the data directory, or at a start that finds no user at all."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from edgewright.server.accounts.passwords import hash_password
from edgewright.server.domain.passwords import make_password
from edgewright.server.domain.roles import Role
from edgewright.server.fleet import accounts as fleet
from edgewright.server.store import accounts
from edgewright.server.store.audit import MEANS, Means
from edgewright.server.store.database import Database


def ensure_administrator(path: Path) -> str | None:
    """Make the user `admin` if there is no user, and return its password, which is kept nowhere else."""
    MEANS.set(Means(via="server"))
    return asyncio.run(_ensure(path))


def invitation(password: str, url: str) -> str:
    """Return what the person is told who reads this once."""
    return (
        f"sign in at {url} as '{fleet.FIRST_ADMINISTRATOR}' with the password {password}\n"
        "(shown this once; you choose one of your own when you sign in)"
    )


async def _ensure(path: Path) -> str | None:
    async with Database(path) as database, database.writing() as connection:
        if not await accounts.is_without_users(connection):
            return None
        password = make_password()
        await fleet.add_user(
            connection,
            fleet.FIRST_ADMINISTRATOR,
            Role.ADMIN,
            password=hash_password(password),
            is_temporary=True,
            actor="server",
            now=datetime.now(UTC),
        )
        return password
