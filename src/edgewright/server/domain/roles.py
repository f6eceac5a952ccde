"""What a person or a program may do: three roles, each of which may do all that the one before it may."""

import re
from dataclasses import dataclass
from enum import StrEnum

from edgewright.server.errors import Fault, InvalidError


class Role(StrEnum):
    """`viewer` reads, `operator` also changes what runs where, `admin` also says who may do what."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether who has this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)

    def at_most(self, other: "Role") -> "Role":
        """Return the lesser of the two."""
        return self if other.covers(self) else other


# What a token can be restricted to: `read` to looking, the others to the routes that begin so.
READ = "read"
SCOPES = (
    READ,
    "assignments",
    "audit",
    "deployments",
    "devices",
    "enrollments",
    "fleet",
    "packages",
    "policy",
    "rollouts",
    "sources",
)
NAME = re.compile(r"[a-z0-9]([a-z0-9._@-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who makes a request, and with which rights; `name` is what the audit writes down.

    `user_id` is None for a program with a token that belongs to no user. `via` is with which means: `browser`
    (then `session_id` is set) or a token (then `token_id` is). `scopes` restrict a token, none do not.
    `is_temporary` says that the password was chosen by somebody else and has to be changed first.
    """

    name: str
    role: Role
    user_id: int | None = None
    via: str = ""
    session_id: int | None = None
    token_id: int | None = None
    scopes: tuple[str, ...] = ()
    is_temporary: bool = False

    def may(self, needed: Role) -> bool:
        """Whether the actor may do what needs that role."""
        return self.role.covers(needed)


def scope_refusal(scopes: tuple[str, ...], *, area: str, is_read: bool) -> str | None:
    """Return why a token with these scopes may not do something in that area, None if it may."""
    if READ in scopes and not is_read:
        return "this token may only read"
    areas = [scope for scope in scopes if scope != READ]
    if areas and area not in areas:
        return f"this token is for {', '.join(areas)} alone"
    return None


def check_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes in order, each once; raises `InvalidError` for one nobody knows."""
    for index, scope in enumerate(scopes):
        if scope not in SCOPES:
            fault = Fault(field=f"scopes[{index}]", message=f"'{scope}' is none of {', '.join(SCOPES)}")
            raise InvalidError("the token cannot be made", fault)
    return tuple(scope for scope in SCOPES if scope in scopes)


def check_user_name(name: str) -> str:
    """Return the name of a user as it is kept, in lower case; raises `InvalidError`."""
    kept = name.strip().lower()
    if NAME.fullmatch(kept) is None:
        message = "expected 1 to 64 letters a-z, digits and . _ @ -, with a letter or digit at both ends"
        raise InvalidError("the user cannot be made", Fault(field="name", message=message))
    return kept
