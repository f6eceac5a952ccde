"""The queue of devices that ask to be let in without a token (docs/decisions/0021)."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from sqlalchemy.ext.asyncio import AsyncConnection

from edgewright.protocol.enrollment import AdmissionRequest, fingerprint_of, in_groups
from edgewright.protocol.errors import IdentityError
from edgewright.server.domain import admission as rules
from edgewright.server.domain.admission import Crowd, RequestState
from edgewright.server.domain.throttle import place_of
from edgewright.server.errors import (
    ConflictError,
    EnrollmentRefusedError,
    Fault,
    InvalidError,
    NotFoundError,
)
from edgewright.server.fleet import membership
from edgewright.server.identity import authority as ca
from edgewright.server.settings import ServerSettings
from edgewright.server.store import audit, clients, enrollments
from edgewright.server.store import enrollment_requests as requests
from edgewright.server.store.database import announce
from edgewright.server.store.enrollment_requests import EnrollmentAsked


class QueueFullError(ConflictError):
    """As many devices wait as may."""

    code = "enrollment.queue-full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """Who asks: the key it proved to hold, and its words, made harmless."""

    key: bytes
    key_digest: str
    name: str
    hostname: str
    version: str
    address: str

    @property
    def fingerprint(self) -> str:
        """What people compare."""
        return fingerprint_of(self.key_digest)


def read(asked: AdmissionRequest, *, address: str) -> Entrant:
    """Return who asks; raises `IdentityError` for the certificate request, `InvalidError` for the name."""
    key, key_digest = membership.key_of(asked.csr)
    _check_name(asked.name)
    return Entrant(
        key=membership.der_of(key),
        key_digest=key_digest,
        name=asked.name,
        hostname=rules.harmless(asked.hostname),
        version=rules.harmless(asked.agent_version),
        address=address,
    )


async def known(connection: AsyncConnection, entrant: Entrant, *, now: datetime) -> EnrollmentAsked | None:
    """Return the request of this key if it needs no write to answer it, None if `ask` has to be called."""
    found = await _of(connection, entrant)
    if found is None or is_forgotten(found, now) or _news(found, entrant, now):
        return None
    await _check_still_let_in(connection, found)
    return found


async def ask(connection: AsyncConnection, entrant: Entrant, *, now: datetime) -> EnrollmentAsked:
    """Put a key into the queue, or note that it asked again; return its request.

    Raises `QueueFullError`. Nothing of what others asked for is changed by this.
    """
    await _forget(connection, now=now)
    found = await _of(connection, entrant)
    if found is None:
        found = await _begin(connection, entrant, now=now)
        announce(connection, "enrollments")
        return found
    await _check_still_let_in(connection, found)
    news = _news(found, entrant, now)
    if news:
        await requests.change(connection, found.fingerprint, **news)
        announce(connection, "enrollments")
    return replace(found, **news)


async def approve(
    connection: AsyncConnection,
    fingerprint: str,
    *,
    name: str | None,
    is_replacing: bool,
    settings: ServerSettings,
    authority: ca.Authority,
    actor: str,
    now: datetime,
) -> EnrollmentAsked:
    """Let a key in under `name`, or the name it wished; its device gets the certificate when it asks again.

    Raises `ConflictError` where it was decided already, and unless `is_replacing` where the name is taken.
    """
    found = await _undecided(connection, fingerprint, now=now)
    client_id = found.name if name is None else name
    _check_name(client_id)
    other = await clients.with_key(connection, found.key_digest)
    if other is not None and other.client_id != client_id:
        raise ConflictError(f"this key is that of '{other.client_id}' already, and a key has one name")
    taken = await why_taken(connection, client_id, key_digest=found.key_digest, now=now)
    if taken is not None and not is_replacing:
        raise ConflictError(f"{taken}; choose another name, or say that this device takes its place")
    before = membership.shown(await clients.get(connection, client_id))
    await enrollments.withdraw(connection, client_id, now=now)
    await requests.remove_of_client(connection, client_id)
    svid = await membership.admit(
        connection,
        client_id,
        _public_key(found.public_key),
        settings=settings,
        authority=authority,
        now=now,
    )
    values: dict[str, Any] = {
        "state": RequestState.APPROVED,
        "decided": now,
        "actor": actor,
        "client_id": client_id,
        "svid": svid,
    }
    await requests.change(connection, found.fingerprint, **values)
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="approve enrolment",
        subject=client_id,
        before={"request": "waiting", "device": before},
        after={
            "request": "approved",
            "device": membership.shown(await clients.get(connection, client_id)),
        },
        **_told(found),
    )
    return replace(found, **values)


async def reject(
    connection: AsyncConnection, fingerprint: str, *, reason: str, actor: str, now: datetime
) -> EnrollmentAsked:
    """Keep a key out; its device is told `reason`. Raises `ConflictError` where it was decided already."""
    if len(reason) > rules.LONGEST_REASON:
        fault = Fault(field="reason", message=f"expected at most {rules.LONGEST_REASON} characters")
        raise InvalidError("the reason is too long", fault)
    found = await _undecided(connection, fingerprint, now=now)
    values: dict[str, Any] = {
        "state": RequestState.REJECTED,
        "decided": now,
        "actor": actor,
        "reason": reason,
    }
    await requests.change(connection, found.fingerprint, **values)
    announce(connection, "enrollments")
    await audit.note(
        connection,
        now=now,
        actor=actor,
        action="reject enrolment",
        subject=found.name,
        before={"request": "waiting"},
        after={"request": "rejected", "reason": reason},
        **_told(found),
    )
    return replace(found, **values)


async def called(connection: AsyncConnection, fingerprint: str, *, now: datetime) -> EnrollmentAsked:
    """Return the request of that fingerprint, with or without its groups; raises `NotFoundError`."""
    found = await requests.get(connection, _plain(fingerprint))
    if found is None or is_forgotten(found, now):
        raise NotFoundError("no device with this fingerprint asks to be let in")
    return found


async def listed(
    connection: AsyncConnection, *, state: RequestState | None = None, now: datetime
) -> list[EnrollmentAsked]:
    """Return the requests that are not forgotten yet, the oldest first."""
    return [one for one in await requests.every(connection, state=state) if not is_forgotten(one, now)]


async def why_taken(connection: AsyncConnection, name: str, *, key_digest: str, now: datetime) -> str | None:
    """Return who else than this key has a name already, None if nobody has."""
    client = await clients.get(connection, name)
    if client is not None and client.is_accepted and client.key_digest == key_digest:
        return None
    if client is not None:
        if client.is_accepted:
            return f"'{name}' is a device already, and would be locked out"
        return f"'{name}' was a device that is retired, and what it was to run would come back"
    if await enrollments.open_for(connection, name, now=now) is not None:
        return f"an invitation for '{name}' is open, and would be withdrawn"
    return None


def is_forgotten(asked: EnrollmentAsked, now: datetime) -> bool:
    """Whether a request has ended by itself: nobody asks any more, or it was decided long ago."""
    return now - (asked.decided or asked.seen) >= rules.FORGET


def _news(found: EnrollmentAsked, entrant: Entrant, now: datetime) -> dict[str, Any]:
    """Return what has to be written of a key that asks again; what was decided stays as it is."""
    if not found.is_waiting:
        return {}
    said = {
        name: getattr(entrant, name)
        for name in ("name", "hostname", "version", "address")
        if getattr(entrant, name) != getattr(found, name)
    }
    return {**said, "seen": now} if said or now - found.seen >= rules.SEEN_EVERY else {}


async def _of(connection: AsyncConnection, entrant: Entrant) -> EnrollmentAsked | None:
    found = await requests.get(connection, entrant.fingerprint)
    if found is not None and found.key_digest != entrant.key_digest:
        raise EnrollmentRefusedError("another key with this fingerprint waits; make a new key")
    return found


async def _begin(connection: AsyncConnection, entrant: Entrant, *, now: datetime) -> EnrollmentAsked:
    waiting = await requests.every(connection, state=RequestState.WAITING)
    place = place_of(entrant.address)
    near = sum(place_of(one.address) == place for one in waiting)
    told = rules.refusal(Crowd(waiting=len(waiting), from_place=near))
    if told is not None:
        raise QueueFullError(told)
    asked = EnrollmentAsked(
        fingerprint=entrant.fingerprint,
        key_digest=entrant.key_digest,
        public_key=entrant.key,
        name=entrant.name,
        hostname=entrant.hostname,
        version=entrant.version,
        address=entrant.address,
        created=now,
        seen=now,
        state=RequestState.WAITING,
    )
    await requests.add(connection, asked)
    return asked


async def _undecided(connection: AsyncConnection, fingerprint: str, *, now: datetime) -> EnrollmentAsked:
    found = await called(connection, fingerprint, now=now)
    if not found.is_waiting:
        raise ConflictError(f"{found.actor} has {found.state} this request already")
    return found


async def _check_still_let_in(connection: AsyncConnection, found: EnrollmentAsked) -> None:
    """Raise where an approved key was locked out since: retired, or another took its name."""
    if found.client_id is None:
        return
    client = await clients.get(connection, found.client_id)
    if client is None or not client.is_accepted or client.key_digest != found.key_digest:
        raise EnrollmentRefusedError(f"'{found.client_id}' was let in with this key, and is not any more")


async def _forget(connection: AsyncConnection, *, now: datetime) -> None:
    ended = [one.fingerprint for one in await requests.every(connection) if is_forgotten(one, now)]
    if ended:
        await requests.remove(connection, ended)
        announce(connection, "enrollments")


def _check_name(name: str) -> None:
    refusal = "a device cannot be called so"
    fault = rules.name_fault(name)
    if fault is not None:
        raise InvalidError(refusal, Fault(field="name", message=fault))
    membership.check_name(name, refusal)


def _told(asked: EnrollmentAsked) -> dict[str, object]:
    return {
        "fingerprint": in_groups(asked.fingerprint),
        "wished": asked.name,
        "hostname": asked.hostname,
        "asked_from": asked.address,
    }


def _plain(fingerprint: str) -> str:
    return "".join(each for each in fingerprint.lower() if each.isalnum())


def _public_key(der: bytes) -> EllipticCurvePublicKey:
    key = load_der_public_key(der)
    if not isinstance(key, EllipticCurvePublicKey):
        raise IdentityError("the key that was kept is not one that can be certified")
    return key
