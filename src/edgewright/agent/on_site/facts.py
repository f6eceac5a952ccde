"""What is known on this device, as plain values: what the command line and the local page show.

One function gathers it, so that both show the same; the fleet manager is told the same by the site report.
Times are ISO 8601 in UTC. Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from edgewright.agent.clock import SYSTEM, Clock, assess
from edgewright.agent.consent.approvals import Approval, Approvals
from edgewright.agent.consent.audit import Audit, Entry
from edgewright.agent.consent.holds import HeldBack, Holds
from edgewright.agent.consent.wishes import Wishes
from edgewright.agent.git import notes
from edgewright.agent.git.access import GitAccess
from edgewright.agent.git.under_way import under_way
from edgewright.agent.paths import Paths
from edgewright.agent.runtimes.image_space import RESERVE_BYTES, free_bytes
from edgewright.agent.site.in_force import Site
from edgewright.agent.site.schedule import schedule
from edgewright.agent.state.ledger import Ledger
from edgewright.agent.state.locks import holder
from edgewright.agent.state.outbox import Outbox
from edgewright.agent.state.revisions import Revision, adopted_version, last_good, reported
from edgewright.agent.state.status import failure_of, state_of
from edgewright.agent.state.store import Store
from edgewright.agent.talk.contact import Contact
from edgewright.agent.talk.conversation import LAST_CONTACT, LAST_PROBLEM
from edgewright.agent.talk.session import Identity
from edgewright.protocol.errors import EdgewrightError

APPROVALS: Final = 50
ENTRIES: Final = 100
EVENTS: Final = 100


def facts(paths: Paths, store: Store, site: Site, *, clock: Clock = SYSTEM) -> dict[str, Any]:
    """Return everything that `status` and the local page show."""
    accepted, received = store.accepted(), store.received()
    outbox = Outbox(store)
    revisions = Ledger(store, outbox, device_id="", notify=_nobody).revisions()
    held = Holds(store).held()
    pause = Wishes(store).paused()
    trust = assess(store, clock)
    return {
        "identity": _identity(paths),
        "repository": _repository(paths, store),
        "running": holder(paths.watch_lock),
        "disk": {"free_bytes": free_bytes(paths.root), "needed_bytes": RESERVE_BYTES},
        "contact": _contact(paths, store, len(outbox)),
        "manifest": {
            "version": None if accepted is None else accepted.version,
            "digest": None if accepted is None else accepted.digest,
            "waiting": None if received is None else (received.problem or "not judged yet"),
        },
        "policy": policy_facts(site),
        "clock": {"trusted": trust.trusted, "reason": trust.reason},
        "paused": None
        if pause is None
        else {
            "by": pause.by,
            "reason": pause.reason,
            "since": moment(pause.since),
            "until": moment(pause.until),
        },
        "schedule": schedule(site.policy, clock.time(), trusted=trust.trusted),
        "holds": [held_facts(each) for each in held],
        "approvals": [approval_facts(each) for each in _approvals(Approvals(store))],
        "deployments": [_deployment(each, revisions, held) for each in reported(revisions)],
        "audit": [_entry(each) for each in Audit(store).entries(ENTRIES)],
        "events": [
            {"at": moment(each.at), "kind": each.kind, "message": each.message}
            for each in store.events(EVENTS)
        ],
    }


def moment(seconds: float | None) -> str | None:
    """Return unix seconds as ISO 8601 in UTC; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC).isoformat()


def policy_facts(site: Site) -> dict[str, Any]:
    """Return the policy in force, where each member came from, and what is wrong with a file."""
    return {
        "in_force": site.policy.to_plain(),
        "origins": dict(site.origins),
        "problem": site.problem or None,
        "is_known": site.is_known,
    }


def held_facts(held: HeldBack) -> dict[str, Any]:
    """Return something that waits as plain values."""
    return {
        "deployment_id": held.deployment_id,
        "name": held.name,
        "kind": held.kind.value,
        "digest": held.digest,
        "reason": held.reason.value,
        "message": held.message,
        "since": moment(held.since),
        "until": moment(held.until),
        "approval": held.approval,
    }


def approval_facts(approval: Approval) -> dict[str, Any]:
    """Return an approval as plain values."""
    return {
        "number": approval.number,
        "deployment_id": approval.deployment_id,
        "name": approval.name,
        "kind": approval.kind.value,
        "digest": approval.digest,
        "verdict": approval.verdict.value,
        "by": approval.by,
        "via": approval.via,
        "reason": approval.reason,
        "asked": moment(approval.asked),
        "decided": moment(approval.decided),
        "until": moment(approval.until),
        "expires": moment(approval.expires),
        "summary": approval.summary,
    }


def _approvals(approvals: Approvals) -> list[Approval]:
    """Return those that stand, and the newest others, newest first."""
    found = {each.number: each for each in (*approvals.open(), *approvals.all(APPROVALS))}
    return [found[number] for number in sorted(found, reverse=True)]


def _identity(paths: Paths) -> dict[str, Any]:
    try:
        known = Identity(paths.identity)
        access = GitAccess.load(known.directory)
        return {
            "client": None if known.client is None else str(known.client),
            "server": None if known.server is None else str(known.server),
            "url": known.url,
            "device_id": known.device_id,
            "expires": moment(known.not_after or None),
            "transport": known.transport,
            "relation": known.relation,
            "repository": None if access is None else str(access.url),
        }
    except EdgewrightError as error:
        return {"problem": str(error)}


def _repository(paths: Paths, store: Store) -> dict[str, Any]:
    at_work, refused = under_way(paths.courier_lock), notes.refusal(store)
    return {
        "commit": notes.taken_up(store) or None,
        "refused": None if refused is None else refused.told(),
        "declined": [each.told() for each in notes.declined(store).values()],
        "under_way": None
        if at_work is None
        else {
            "doing": at_work.doing.value,
            "since": moment(at_work.since),
            "process": at_work.process,
        },
    }


def _contact(paths: Paths, store: Store, waiting: int) -> dict[str, Any]:
    noted = float(store.meta(LAST_CONTACT) or 0)
    last = max(Contact(paths.root).last() or 0.0, noted)
    return {
        "last": moment(last or None),
        "problem": store.meta(LAST_PROBLEM) or None,
        "reports_waiting": waiting,
    }


def _deployment(
    revision: Revision, revisions: Iterable[Revision], held: Iterable[HeldBack]
) -> dict[str, Any]:
    failure = failure_of(revision)
    siblings = [each for each in revisions if each.deployment_id == revision.deployment_id]
    good = last_good(siblings)
    waits = next((each for each in held if each.deployment_id == revision.deployment_id), None)
    return {
        "id": revision.deployment_id,
        "name": revision.name,
        "digest": revision.digest,
        "stage": revision.stage.value,
        "state": state_of(revision).value,
        "adopted_manifest_version": adopted_version(revision, siblings),
        "error": None if failure is None else failure.message,
        "held": None if waits is None else held_facts(waits),
        "runs": good is not None and good.digest != revision.digest,
        "components": [
            {
                "name": each.name,
                "state": each.state.value,
                "error": None if each.failure is None else each.failure.message,
            }
            for each in revision.components
        ],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number,
        "at": moment(entry.at),
        "who": entry.who,
        "uid": entry.uid,
        "via": entry.via,
        "what": entry.what,
        "reason": entry.reason,
    }


def _nobody() -> None:
    """Nobody is to be told: nothing is written."""
