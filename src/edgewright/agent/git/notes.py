"""What the agent remembers of its repository, by the names in the store; written by `courier.py`.

The watch writes one thing, when no courier is at work: that a person wants a refused head looked at again.

Part of the resident watch: standard library only, small (docs/decisions/0003).
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from edgewright.agent.state.store import Store

RELATION = "git.relation"
"""Whose repository all of this is of (`Identity.relation`)."""
COMMIT = "git.commit"
"""The commit of `desired` taken up last, from which the next has to grow; empty: a person let go of it."""
TRUSTED = "git.signers"
"""Who may sign what follows that commit, as `signers` says it."""
TOLD_SIGNERS = "git.signers.told"
"""The digest of the signers this device was told at enrolment, when `git.signers` began with them."""
REFUSED = "git.refused"
"""The head of `desired` that was refused: JSON as `adopted.json` tells it; empty when there is none."""
AGAIN = "git.refused.again"
"""From when on (unix seconds) that head may be fetched once more; empty: its commit itself is at fault."""
TOLD = "git.told"
"""What `adopted.json` on the branch `current` says."""
PUSHING = "git.pushing"
"""What is on its way: JSON with the commit, the numbers of the reports in it, and `adopted.json`."""
DECLINED = "git.declined"
"""The reports that the Git server did not take, by their number in the outbox: JSON; empty for none."""
LOST = "git.lost"
"""Why the repository has to be fetched again although its branch did not move; empty when it has not to."""

_LEAST_SECONDS, _MOST_SECONDS = 900.0, 86400.0
_COMMIT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Declined:
    """A report that the Git server declined: what it said, and how often, first at `since` (ISO 8601).

    `adopted.json` counts as a report of number 0.
    """

    __slots__ = ("name", "reason", "since", "tries")

    def __init__(self, name: str, reason: str, since: str, tries: int) -> None:
        self.name = name
        self.reason = reason
        self.since = since
        self.tries = tries

    def told(self) -> dict[str, str | int]:
        """Return it as the status tells it."""
        return {"name": self.name, "reason": self.reason, "since": self.since, "tries": self.tries}


class Refusal:
    """A head of `desired` that is refused, None for a branch that is gone; `since` is ISO 8601."""

    __slots__ = ("commit", "reason", "since")

    def __init__(self, commit: str | None, reason: str, since: str) -> None:
        self.commit = commit
        self.reason = reason
        self.since = since

    def told(self) -> dict[str, str | None]:
        """Return it as `adopted.json` and the status tell it."""
        return {"commit": self.commit, "reason": self.reason, "since": self.since}


def is_commit_id(text: str) -> bool:
    """Whether `text` is a whole commit id."""
    return _COMMIT_ID.fullmatch(text) is not None


def taken_up(store: Store) -> str:
    """Return the commit taken up last, empty before the first."""
    return store.remembered(COMMIT) or ""


def refusal(store: Store) -> Refusal | None:
    """Return the head that is refused, and why, None when it is fine."""
    kept = store.remembered(REFUSED)
    if not kept:
        return None
    told = json.loads(kept)
    # A database of before said "" of a branch that is gone.
    return Refusal(told["commit"] or None, told["reason"], told["since"])


def declined(store: Store) -> dict[int, Declined]:
    """Return the reports that the Git server did not take, by their number."""
    kept = json.loads(store.meta(DECLINED) or "{}")
    return {int(number): Declined(*told) for number, told in kept.items()}


def note_declined(store: Store, known: Mapping[int, Declined]) -> None:
    """Keep which reports the Git server did not take."""
    kept = {str(key): [each.name, each.reason, each.since, each.tries] for key, each in known.items()}
    text = json.dumps(kept) if kept else ""
    if text != (store.meta(DECLINED) or ""):
        store.set_meta(DECLINED, text)


def declined_again(known: Declined | None, name: str, reason: str, at: float) -> Declined:
    """Return what is known of a report that was declined at `at` (unix seconds), once more or first."""
    if known is None:
        return Declined(name, reason, _moment(at), 1)
    return Declined(name, reason, known.since, known.tries + 1)


def is_refused(store: Store, head: str, now: float) -> bool:
    """Whether `head` was refused and is not to be fetched again, at `now` (unix seconds)."""
    refused = refusal(store)
    if refused is None or (refused.commit or "") != head:
        return False
    again = store.remembered(AGAIN)
    # A wait that is longer than any can be was noted by a clock that was wrong.
    return not again or 0 < float(again) - now <= _MOST_SECONDS


def is_news(store: Store, head: str, now: float) -> bool:
    """Whether the courier is needed for `head` of `desired` (empty: the branch is not there)."""
    if is_refused(store, head, now):
        return False
    return bool(store.remembered(LOST)) or head != taken_up(store) or refusal(store) is not None


def let_try(store: Store) -> None:
    """Have the head that was refused fetched once more, if that was not its commit's own fault."""
    if store.remembered(AGAIN):
        store.set_meta(AGAIN, "0")


def next_try(since: float, now: float) -> float:
    """Return when to try again what fails since then: after as long as it has lasted, within a day."""
    return now + min(max(now - since, _LEAST_SECONDS), _MOST_SECONDS)


def render_adopted(store: Store) -> str:
    """Return what `adopted.json` has to say now (spec: GR-33)."""
    accepted, received, commit = store.accepted(), store.received(), taken_up(store)
    pending = received is not None and received.etag == commit
    if pending or accepted is None:
        commit = accepted.etag if accepted is not None and is_commit_id(accepted.etag) else ""
    version = None if accepted is None or accepted.version is None else str(accepted.version)
    refused = refusal(store)
    told = {
        "manifestVersion": version,
        "commit": commit or None,
        "refused": None if refused is None else refused.told(),
    }
    return json.dumps(told, indent=2) + "\n"


def owes_adopted(store: Store) -> bool:
    """Whether `adopted.json` on the branch `current` is not what it has to be."""
    return render_adopted(store) != (store.remembered(TOLD) or "")


def since_of(refused: Refusal) -> float:
    """Return when a head was refused first, in unix seconds."""
    return datetime.fromisoformat(refused.since).timestamp()


def render_refusal(commit: str, reason: str, at: float) -> str:
    """Return what is kept of a refused head, empty for a branch that is gone; `at` is unix seconds."""
    return json.dumps(Refusal(commit or None, reason, _moment(at)).told())


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
