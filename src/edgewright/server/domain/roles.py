"""What a person or a program may do: three roles, each of which may do all that the one before it may."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """`viewer` reads, `operator` also changes what runs where, `admin` also says who may do what."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether who has this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who makes a request, and with which rights; `name` is what the audit writes down.

    `user_id` is None for a program with a token that belongs to no user.
    """

    name: str
    role: Role
    user_id: int | None = None
