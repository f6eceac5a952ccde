"""The JSON of users, tokens, sessions and the audit."""

from datetime import datetime
from typing import Any

import msgspec

from edgewright.server.domain.roles import Role
from edgewright.server.operator_api.documents import Given, Shown


class WhoAmI(Shown, frozen=True, kw_only=True):
    """Who makes this request: `via` is with which means, `scopes` restrict a token (none do not)."""

    name: str
    role: Role
    via: str
    user: bool
    scopes: list[str]
    must_change_password: bool


class UserEntry(Shown, frozen=True, kw_only=True):
    """A user: `active` or `disabled`; `identity_provider` is the issuer where they sign in, if they do."""

    name: str
    role: Role
    state: str
    has_password: bool
    must_change_password: bool
    identity_provider: str | None
    created: datetime
    signed_in: datetime | None


class NewUser(Given, frozen=True, kw_only=True):
    """A user to make; without a password one is made up and answered, to be changed at the first sign-in."""

    name: str
    role: Role = Role.VIEWER
    password: str | None = None


class CreatedUser(Shown, frozen=True, kw_only=True):
    """A user just made; `password` is the one made up, shown this once."""

    user: UserEntry
    password: str | None


class ChangedUser(Given, frozen=True, kw_only=True):
    """What changes about a user; what is left out stays."""

    role: Role | None = None
    disabled: bool | None = None


class NewPassword(Given, frozen=True, kw_only=True):
    """A password for somebody else; without one it is made up. It has to be changed at the next sign-in."""

    password: str | None = None


class GivenPassword(Shown, frozen=True, kw_only=True):
    """The password made up, shown this once; null if the request brought one."""

    password: str | None


class OwnPassword(Given, frozen=True, kw_only=True):
    """Another password for who asks, who has to know the present one."""

    password: str
    new: str


class TokenEntry(Shown, frozen=True, kw_only=True):
    """A token: `open` or `expired`; `user` is whose it is, null for one made at the machine."""

    id: int
    name: str
    user: str | None
    role: Role
    scopes: list[str]
    state: str
    created: datetime
    expires: datetime | None
    used: datetime | None


class NewTokenRequest(Given, frozen=True, kw_only=True):
    """A token to make: no `role` is the role of who makes it, no `expires` never, no `scopes` everything."""

    name: str
    role: Role | None = None
    scopes: list[str] = msgspec.field(default_factory=list)
    expires: datetime | None = None


class CreatedToken(Shown, frozen=True, kw_only=True):
    """A token just made; `token` is shown this once."""

    token: str
    about: TokenEntry


class SessionEntry(Shown, frozen=True, kw_only=True):
    """A browser in which one is signed in; `expires` is when it ends if nobody uses it from now on."""

    id: int
    present: bool
    method: str
    address: str
    browser: str
    created: datetime
    seen: datetime
    expires: datetime


class AuditEntry(Shown, frozen=True, kw_only=True):
    """One change: who did what to what, with which means, from where, and what it was and is."""

    id: int
    at: datetime
    actor: str
    via: str
    address: str
    action: str
    subject: str
    details: dict[str, Any]
    before: Any
    after: Any
