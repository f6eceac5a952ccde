"""Who changed what: one line per change, written in the transaction of the change."""

import json
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.server.store.tables import audit


async def note(
    connection: AsyncConnection, *, now: datetime, actor: str, action: str, subject: str, **details: object
) -> None:
    """Write down that `actor` did `action` to `subject`; `details` is whatever a reader will want to know."""
    await connection.execute(
        audit.insert().values(
            at=now,
            actor=actor,
            action=action,
            subject=subject,
            details=json.dumps(details, sort_keys=True, default=str),
        )
    )
