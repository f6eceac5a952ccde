"""Who belongs: inviting, enrolling, accepting and retiring clients (spec: ON-2, ID-20 to ID-23)."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.digests import digest_of
from edgewright.protocol.errors import IdentityError
from edgewright.protocol.spiffe import check_segment
from edgewright.protocol.spiffe import client_id as client_spiffe_id
from edgewright.server.errors import EnrollmentRefusedError, Fault, InvalidError, NotFoundError
from edgewright.server.fleet.publishing import publish
from edgewright.server.identity import authority as ca
from edgewright.server.settings import ServerSettings
from edgewright.server.store import audit, clients, desired, enrollment_requests, enrollments
from edgewright.server.store.clients import Client, Origin
from edgewright.server.store.database import announce
from edgewright.server.store.enrollments import Enrollment

LONGEST_INVITATION = timedelta(days=30)
# What stands in the operator API where the id of a device or the name of an invitation does.
RESERVED = frozenset({"labels", "requests"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A new invitation; `secret` is shown once and not kept."""

    client_id: str
    secret: str
    expires: datetime


def check_name(name: str, refusal: str, *, field: str = "name") -> None:
    """Raise `InvalidError` for what cannot be a new client's id."""
    try:
        check_segment(name)
    except IdentityError as error:
        raise InvalidError(refusal, Fault(field=field, message=str(error))) from error
    if name in RESERVED:
        fault = Fault(field=field, message=f"'{name}' has a meaning of its own here; choose another name")
        raise InvalidError(refusal, fault)


def secret_digest(secret: str) -> str:
    """Return what is kept of a secret: its SHA-256, as secrets are random and long."""
    return sha256(secret.encode()).hexdigest()


async def invite(
    connection: AsyncConnection, name: str, *, valid: timedelta, actor: str, now: datetime
) -> Invitation:
    """Invite a device under the client id `name`; earlier invitations of that name are withdrawn."""
    check_name(name, "the invitation is not usable")
    if not timedelta(minutes=1) <= valid <= LONGEST_INVITATION:
        minutes = int(LONGEST_INVITATION.total_seconds() // 60)
        fault = Fault(field="valid_minutes", message=f"expected 1 to {minutes}")
        raise InvalidError("the invitation is not usable", fault)
    invitation = Invitation(client_id=name, secret=secrets.token_urlsafe(32), expires=now + valid)
    await enrollments.add(
        connection,
        client_id=name,
        secret_digest=secret_digest(invitation.secret),
        created=now,
        expires=invitation.expires,
    )
    announce(connection, "enrollments")
    after = {"invitation": "open", "expires": invitation.expires.isoformat()}
    await audit.note(connection, now=now, actor=actor, action="invite", subject=name, after=after)
    return invitation


async def withdraw_invitation(connection: AsyncConnection, name: str, *, actor: str, now: datetime) -> None:
    """Make the open invitation of that name worthless; raises `NotFoundError` if there is none."""
    if await enrollments.open_for(connection, name, now=now) is None:
        raise NotFoundError(f"no invitation for '{name}' is open")
    await enrollments.withdraw(connection, name, now=now)
    announce(connection, "enrollments")
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="withdraw invitation",
        subject=name,
        before={"invitation": "open"},
        after={"invitation": "withdrawn"},
    )


def judge(invitation: Enrollment | None, key_digest: str, now: datetime) -> str | None:
    """Return the SVID already issued to this very key, or None if a first one may be; raises for all others.

    The answer to the first request can be lost on its way, so the same key may ask again until the
    invitation expires (docs/decisions/0005).
    """
    if invitation is None:
        raise EnrollmentRefusedError("unknown token: it was not made by this server")
    if invitation.withdrawn is not None:
        raise EnrollmentRefusedError("withdrawn token: a newer one was made, or the device was retired")
    if now >= invitation.expires:
        raise EnrollmentRefusedError("expired token: ask for a new one")
    if invitation.used is not None and invitation.key_digest != key_digest:
        raise EnrollmentRefusedError("used token: another device has enrolled with it")
    return invitation.svid


async def check_bearer(connection: AsyncConnection, *, secret: str, csr: str, now: datetime) -> None:
    """Raise as `enroll` would for what strangers send, without taking the writer's turn."""
    _, key_digest = key_of(csr)
    judge(await enrollments.by_secret(connection, secret_digest(secret)), key_digest, now)


async def enroll(
    connection: AsyncConnection,
    *,
    secret: str,
    csr: str,
    settings: ServerSettings,
    authority: ca.Authority,
    now: datetime,
) -> tuple[str, str]:
    """Make the bearer of an invitation a client; return its client id and its SVID in PEM form.

    Raises `EnrollmentRefusedError` for the token and `IdentityError` for the certificate request.
    """
    key, key_digest = key_of(csr)
    invitation = await enrollments.by_secret(connection, secret_digest(secret))
    issued = judge(invitation, key_digest, now)
    assert invitation is not None  # noqa: S101 - judge raises without one
    name = invitation.client_id
    if issued is not None:
        return name, issued
    svid = await admit(connection, name, key, settings=settings, authority=authority, now=now)
    await enrollments.use(connection, invitation.id, key_digest=key_digest, svid=svid, now=now)
    await audit.note(
        connection, now=now, actor=f"token of {name}", action="enroll", subject=name, key=key_digest
    )
    return name, svid


async def admit(
    connection: AsyncConnection,
    name: str,
    key: EllipticCurvePublicKey,
    *,
    settings: ServerSettings,
    authority: ca.Authority,
    now: datetime,
) -> str:
    """Make a key the only one of the client `name`, new or known; return its SVID in PEM form."""
    spiffe_id = str(client_spiffe_id(settings.trust_domain, settings.wfm_id, name))
    leaf = ca.issue_svid(authority, key, spiffe_id, now=now, lifetime=ca.DEVICE_LIFETIME)
    await clients.accept(
        connection,
        name,
        origin=Origin.ENROLLED,
        key_digest=digest_of(der_of(key)),
        svid_expires=leaf.not_valid_after_utc,
        now=now,
    )
    await _publish_first(connection, name, now=now)
    announce(connection, "devices", f"device:{name}", "enrollments")
    return ca.certificate_pem(leaf)


async def accept(connection: AsyncConnection, name: str, *, actor: str, now: datetime) -> bool:
    """Accept a client whose SVID another authority issues; return whether it is new (spec: ON-2).

    A retired client returns as it was, with the only key it may come with if it had enrolled here. Of
    one that is accepted already any key is admitted from now on that an authority certifies.
    """
    check_name(name, "not a client id", field="client_id")
    known = await clients.get(connection, name)
    if known is not None and known.is_accepted and known.origin == Origin.FOREIGN:
        return False
    is_return = known is not None and not known.is_accepted
    await clients.accept(
        connection,
        name,
        origin=known.origin if known and is_return else Origin.FOREIGN,
        key_digest=known.key_digest if known and is_return else None,
        svid_expires=known.svid_expires if known and is_return else None,
        now=now,
    )
    await _publish_first(connection, name, now=now)
    announce(connection, "devices", f"device:{name}", "enrollments")
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="accept",
        subject=name,
        before=shown(known),
        after=shown(await clients.get(connection, name)),
    )
    return known is None


async def retire(connection: AsyncConnection, name: str, *, actor: str, now: datetime) -> None:
    """Take a client off the list; its next request is refused (spec: ID-22, ID-23)."""
    known = await client_called(connection, name)
    await clients.retire(connection, name, now=now)
    await enrollments.withdraw(connection, name, now=now)
    await enrollment_requests.remove_of_client(connection, name)
    announce(connection, "devices", f"device:{name}", "enrollments")
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="retire",
        subject=name,
        before=shown(known),
        after=shown(await clients.get(connection, name)),
    )


def shown(client: Client | None) -> dict[str, object] | None:
    """Return what the audit says of a client."""
    if client is None:
        return None
    return {"state": client.state, "origin": client.origin, "key": client.key_digest}


async def client_called(connection: AsyncConnection, name: str) -> Client:
    """Return the client of that id; raises `NotFoundError`."""
    client = await clients.get(connection, name)
    if client is None:
        raise NotFoundError(f"no device '{name}' is known")
    return client


def key_of(csr: str) -> tuple[EllipticCurvePublicKey, str]:
    """Return the key that a certificate request proves to hold, and its digest; raises `IdentityError`."""
    key = ca.public_key_of_request(csr)
    return key, digest_of(der_of(key))


def der_of(key: EllipticCurvePublicKey) -> bytes:
    """Return a public key as its digest is made of."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


async def _publish_first(connection: AsyncConnection, name: str, *, now: datetime) -> None:
    """Give a client its first manifest; one that returns keeps its own, and its count of versions."""
    if await desired.version(connection, name) == 0:
        await publish(connection, name, 1, now=now)
