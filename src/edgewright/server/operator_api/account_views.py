"""From users, tokens, sessions and the audit as they are kept to what is shown of them."""

import json
from datetime import datetime

from edgewright.server.domain.roles import Actor, Role
from edgewright.server.fleet.accounts import IDLE, LONGEST_SESSION, is_over
from edgewright.server.operator_api.account_documents import (
    AuditEntry,
    SessionEntry,
    TokenEntry,
    UserEntry,
    WhoAmI,
)
from edgewright.server.store.accounts import Session, Token, User
from edgewright.server.store.audit_log import Entry


def show_actor(actor: Actor) -> WhoAmI:
    """Return who makes a request."""
    return WhoAmI(
        name=actor.name,
        role=actor.role,
        via=actor.via,
        user=actor.user_id is not None,
        scopes=list(actor.scopes),
        must_change_password=actor.is_temporary,
    )


def show_user(user: User) -> UserEntry:
    """Return a user, without what is kept of the password."""
    return UserEntry(
        name=user.name,
        role=Role(user.role),
        state="disabled" if user.disabled else "active",
        has_password=user.password is not None,
        must_change_password=user.is_temporary,
        identity_provider=user.issuer,
        created=user.created,
        signed_in=user.signed_in,
    )


def show_token(token: Token, now: datetime) -> TokenEntry:
    """Return a token, without what is kept of its secret."""
    return TokenEntry(
        id=token.id,
        name=token.name,
        user=token.owner,
        role=Role(token.role),
        scopes=list(token.areas),
        state="expired" if token.expires is not None and now >= token.expires else "open",
        created=token.created,
        expires=token.expires,
        used=token.used,
    )


def show_sessions(known: list[Session], actor: Actor, now: datetime) -> list[SessionEntry]:
    """Return the sessions of the actor that are not over."""
    return [
        SessionEntry(
            id=session.id,
            present=session.id == actor.session_id,
            method=session.method,
            address=session.address,
            browser=session.browser,
            created=session.created,
            seen=session.seen,
            expires=min(session.created + LONGEST_SESSION, session.seen + IDLE),
        )
        for session in known
        if not is_over(session, now)
    ]


def show_entry(entry: Entry) -> AuditEntry:
    """Return one change."""
    return AuditEntry(
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        via=entry.via,
        address=entry.address,
        action=entry.action,
        subject=entry.subject,
        details=json.loads(entry.details),
        before=None if entry.before is None else json.loads(entry.before),
        after=None if entry.after is None else json.loads(entry.after),
    )
