"""What happens to a user while a password is being checked counts for whoever shows it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.accounts.signing_in import begin_session, try_password
from edgewright.server.domain.roles import Role
from edgewright.server.domain.throttle import Throttle
from edgewright.server.fleet import accounts as fleet
from edgewright.server.store import accounts
from edgewright.server.store.database import Database
from edgewright.server.store.migrate import migrate

NOW = datetime(2026, 11, 26, tzinfo=UTC)
# Of costs that are no longer those of today.
OLD_HASH = "$argon2id$v=19$m=65536,t=2,p=4$b65T/qYtDFhp6C/+36Gqkg$sARGFx7vUqLz/N57zyEBmJE5EXjBtB39fFSgCvi9jkA"
NEW_HASH = OLD_HASH.replace("t=2", "t=3")
Change = Callable[[AsyncConnection], Awaitable[Any]]


def set_password(connection: AsyncConnection) -> Awaitable[Any]:
    return fleet.set_password(connection, "ada", password="another", is_temporary=True, actor="root", now=NOW)


def lock_out(connection: AsyncConnection) -> Awaitable[Any]:
    return fleet.change_user(connection, "ada", is_disabled=True, actor="root", now=NOW)


def remove(connection: AsyncConnection) -> Awaitable[Any]:
    return fleet.remove_user(connection, "ada", actor="root", now=NOW)


async def nothing(_connection: AsyncConnection) -> None:
    """Nobody does anything."""


class SlowPasswords:
    """Takes every password for the right one, and long enough for something else to happen meanwhile."""

    def __init__(self, database: Database, *, while_checking: Change, while_hashing: Change) -> None:
        self._database = database
        self._while_checking = while_checking
        self._while_hashing = while_hashing

    async def verify(self, _kept: str | None, _password: str) -> bool:
        async with self._database.writing() as connection:
            await self._while_checking(connection)
        return True

    async def hash(self, _password: str) -> str:
        async with self._database.writing() as connection:
            await self._while_hashing(connection)
        return "the old password at the costs of today"


async def signed_in(
    path: Path, *, kept: str = OLD_HASH, meanwhile: Change = nothing, at_last: Change = nothing
) -> tuple[bool, Any]:
    """Sign ada in; return whether a session began, and what is kept of her in the end."""
    async with Database(path) as database:
        passwords = SlowPasswords(database, while_checking=meanwhile, while_hashing=at_last)
        context = SimpleNamespace(
            database=database, passwords=passwords, throttle=Throttle(), clock=lambda: NOW
        )
        request: Any = SimpleNamespace(
            app=SimpleNamespace(state=SimpleNamespace(context=context)),
            client=SimpleNamespace(host="192.0.2.1"),
            cookies={},
            headers={},
        )
        async with database.writing() as connection:
            await fleet.add_user(
                connection,
                "ada",
                Role.VIEWER,
                password=kept,
                is_temporary=False,
                actor="root",
                now=NOW,
            )
        tried = await try_password(request, "ada", "seven quiet machines")
        secret = await begin_session(request, tried.user, "password") if tried.user else None
        async with database.reading() as connection:
            return secret is not None, await accounts.user_named(connection, "ada")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(tmp_path / "fleet.db")
    return tmp_path / "fleet.db"


def test_a_password_that_stays_signs_in_and_is_kept_at_the_costs_of_today(path: Path) -> None:
    began, ada = asyncio.run(signed_in(path))
    assert (began, ada.password) == (True, "the old password at the costs of today")


@pytest.mark.parametrize("change", [set_password, lock_out, remove])
@pytest.mark.parametrize(
    ("kept", "when"),
    [(NEW_HASH, "meanwhile"), (OLD_HASH, "meanwhile"), (OLD_HASH, "at_last")],
    ids=["as it is kept today", "as it was kept once", "while it is kept anew"],
)
def test_no_session_begins_for_who_lost_the_right_while_the_password_was_checked(
    path: Path, change: Change, kept: str, when: str
) -> None:
    began, _ = asyncio.run(signed_in(path, kept=kept, **{when: change}))
    assert not began


@pytest.mark.parametrize("when", ["meanwhile", "at_last"])
def test_a_new_password_is_not_undone_by_the_old_one_being_checked(path: Path, when: str) -> None:
    _, ada = asyncio.run(signed_in(path, **{when: set_password}))
    assert ada.password == "another"
