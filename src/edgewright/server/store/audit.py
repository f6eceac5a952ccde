"""Who changed what: one line per change, written in the transaction of the change.

What an entry says before and after is for people: no password, no token and no other secret is ever in it.
"""

import json
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.database import announce
from edgewright.server.store.tables import audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """With which means somebody acts (`browser`, `token ci`, `command line`), and from which address."""

    via: str = ""
    address: str = ""


# Set where a request is let in, and by commands; work that the server does by itself leaves it as it is.
MEANS: ContextVar[Means] = ContextVar("means", default=Means())  # noqa: B039 - frozen


async def note(
    connection: AsyncConnection,
    *,
    now: datetime,
    actor: str,
    action: str,
    subject: str,
    before: object = None,
    after: object = None,
    **details: object,
) -> None:
    """Write down that `actor` did `action` to `subject`.

    `before` and `after` are what it was and is (None: nothing), as values of JSON; `details` is whatever else
    a reader will want to know. With which means it was done is known from where the request came in.
    """
    means = MEANS.get()
    await connection.execute(
        audit.insert().values(
            at=now,
            actor=actor,
            via=means.via,
            address=means.address,
            action=action,
            subject=subject,
            details=_json(details),
            before=None if before is None else _json(before),
            after=None if after is None else _json(after),
        )
    )
    announce(connection, "audit")


async def forget(connection: AsyncConnection, subject: str, *, keep: int) -> None:
    """Forget the oldest entries about `subject`, and keep the newest of them."""
    newest = select(audit.c.id).where(audit.c.subject == subject).order_by(audit.c.id.desc())
    oldest = newest.limit(1).offset(keep - 1).scalar_subquery()
    await connection.execute(audit.delete().where(audit.c.subject == subject, audit.c.id <= oldest))


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)
