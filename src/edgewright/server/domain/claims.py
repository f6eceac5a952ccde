"""What an identity provider says of a person, and what follows for this server: a name and a role."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewright.server.domain.roles import NAME, Role

_LONGEST_SUBJECT = 255
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._@-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A person as the identity provider knows them; `role` is None if nothing gives them one here."""

    issuer: str
    subject: str
    name: str
    role: Role | None


def known_person(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    name_claim: str,
    role_claim: str | None,
    roles: Mapping[str, Role],
    default_role: Role | None,
) -> Known | None:
    """Return who these claims are about, None if they name nobody."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or len(subject) > _LONGEST_SUBJECT:
        return None
    named = [claims.get(name) for name in (name_claim, "preferred_username", "email")]
    name = next((kept for one in (*named, subject) if (kept := _name(one)) is not None), None)
    if name is None:
        return None
    return Known(
        issuer=issuer,
        subject=subject,
        name=name,
        role=role_of(claims, role_claim=role_claim, roles=roles, default_role=default_role),
    )


def role_of(
    claims: Mapping[str, Any],
    *,
    role_claim: str | None,
    roles: Mapping[str, Role],
    default_role: Role | None,
) -> Role | None:
    """Return the greatest role that the groups in `role_claim` (a text or a list of texts) give.

    `role_claim` may lead into members of members, with dots, where there is no member of the whole name.
    """
    value: Any = None
    if role_claim is not None:
        value = claims.get(role_claim)
        if value is None:
            value = claims
            for part in role_claim.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
    groups = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    found = [roles[group] for group in groups if isinstance(group, str) and group in roles]
    return max(found, key=list(Role).index, default=default_role)


def _name(value: Any) -> str | None:
    """Return what a claim says as the name of a user, None if nothing of it can be one."""
    if not isinstance(value, str):
        return None
    kept = _NOT_IN_NAMES.sub("-", value.strip().lower())[:64].strip("-._@")
    return kept if NAME.fullmatch(kept) else None
