"""What sites report of themselves: taken in here, and read back as values."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.errors import DocumentError, EdgewrightError
from edgewright.protocol.policy import Policy
from edgewright.protocol.site import AuditReport, HoldReport, SiteReport
from edgewright.server.domain.contact import UNANNOUNCED, Announced, announced
from edgewright.server.store import sites
from edgewright.server.store.database import announce
from edgewright.server.store.sites import SiteSummary

# What is kept of what people did on one site: years, for most.
KEEP_ACTIONS = 1000
# A line of the audit is for people to read.
_MOST_CHARACTERS = 500


async def record_site(
    connection: AsyncConnection, client_id: str, report: SiteReport, body: bytes, *, now: datetime
) -> bool:
    """Keep a site's report in place of the last; return whether it is the client's first.

    Raises `DocumentError` for what could not be shown to anybody.
    """
    _check_sayable(report)
    is_first = await sites.get(connection, client_id) is None
    summary = SiteSummary(
        client_id=client_id,
        policy=msgspec.json.encode(report.policy.in_force, order="sorted").decode(),
        is_clock_trusted=report.clock.trusted,
        holds=msgspec.json.encode(report.holds).decode(),
    )
    await sites.put(connection, summary, body, received=now)
    await sites.add_actions(
        connection, client_id, [_legible(entry) for entry in report.audit], keep=KEEP_ACTIONS
    )
    announce(connection, "devices", f"device:{client_id}", "deployments")
    return is_first


def holds_of(summary: SiteSummary | None) -> Sequence[HoldReport]:
    """Return what a site held when it reported last."""
    return () if summary is None else msgspec.json.decode(summary.holds, type=tuple[HoldReport, ...])


def announced_by(summary: SiteSummary | None) -> Announced:
    """Return when to expect to hear of a device."""
    if summary is None:
        return UNANNOUNCED
    return _announced(summary.policy, is_clock_trusted=summary.is_clock_trusted)


@lru_cache(maxsize=1024)
def _announced(policy: str, *, is_clock_trusted: bool) -> Announced:
    """Return the same by the policy as JSON: most devices have the same few."""
    plain: Mapping[str, Any] = msgspec.json.decode(policy)
    try:
        known = Policy.from_plain(plain) if plain else None
    except EdgewrightError:
        known = None  # made by a newer agent than this server knows of
    return announced(known, is_clock_trusted=is_clock_trusted)


def _check_sayable(report: SiteReport) -> None:
    """Raise `DocumentError` for numbers, texts and moments that no JSON and no database takes."""
    try:
        msgspec.json.encode(report)
        for entry in report.audit:
            entry.at.astimezone(UTC)
    except (OverflowError, ValueError, RecursionError) as error:
        raise DocumentError(f"cannot be kept: {error}", source="site report") from error


def _legible(entry: AuditReport) -> AuditReport:
    texts = {name: getattr(entry, name)[:_MOST_CHARACTERS] for name in ("who", "via", "what", "reason")}
    return msgspec.structs.replace(entry, **texts)
