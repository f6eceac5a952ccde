"""The words for states as people see them, each with an icon and a tone: no state is told by colour alone.

One table for everything that has a state; a word that is not in it is shown as it is, in the quiet tone.
"""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Tone(StrEnum):
    """What a state asks of who reads it; the style sheet has a colour for each."""

    GOOD = "good"
    BUSY = "busy"
    WAIT = "wait"
    BAD = "bad"
    LOST = "lost"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """How a state is shown: the text, an icon of `static/vendor/lucide.svg`, and the tone."""

    text: str
    icon: str
    tone: Tone


def _word(text: str, icon: str, tone: Tone) -> Word:
    return Word(text=text, icon=icon, tone=tone)


WORDS: Final = MappingProxyType(
    {
        # Devices and deployments.
        "converged": _word("Up to date", "circle-check", Tone.GOOD),
        "taking-up": _word("Taking up", "loader", Tone.BUSY),
        "behind": _word("Behind", "clock", Tone.WAIT),
        "waiting": _word("Waiting for the device", "circle-dashed", Tone.WAIT),
        "waiting-for-approval": _word("Waiting for approval on site", "hand", Tone.WAIT),
        "held": _word("Held by the site", "lock", Tone.WAIT),
        "failed": _word("Failed", "circle-x", Tone.BAD),
        "removing": _word("Removing", "trash", Tone.BUSY),
        "removed": _word("Removed", "circle-minus", Tone.QUIET),
        "empty": _word("Nothing deployed", "circle-dashed", Tone.QUIET),
        # Contact.
        "in-contact": _word("In contact", "wifi", Tone.GOOD),
        "planned-silence": _word("Silent as planned", "moon", Tone.QUIET),
        "expected": _word("Expected back", "hourglass", Tone.WAIT),
        "silent": _word("Silent", "wifi-off", Tone.LOST),
        "never": _word("Never heard of", "circle-question-mark", Tone.QUIET),
        # What a device reports itself.
        "pending": _word("Pending", "clock", Tone.WAIT),
        "installing": _word("Installing", "loader", Tone.BUSY),
        "installed": _word("Installed", "circle-check", Tone.GOOD),
        # Membership and enrolment.
        "accepted": _word("Accepted", "shield-check", Tone.GOOD),
        "retired": _word("Retired", "ban", Tone.QUIET),
        "open": _word("Open", "circle-dot", Tone.BUSY),
        "used": _word("Used", "circle-check", Tone.GOOD),
        "expired": _word("Expired", "timer", Tone.QUIET),
        "withdrawn": _word("Withdrawn", "ban", Tone.QUIET),
        "requested": _word("Asks to be let in", "hand", Tone.WAIT),
        # What a person decided.
        "asked": _word("Asked", "hand", Tone.WAIT),
        "approved": _word("Approved", "circle-check", Tone.GOOD),
        "rejected": _word("Rejected", "circle-x", Tone.BAD),
        "postponed": _word("Postponed", "clock", Tone.WAIT),
        # Rollouts and their steps.
        "planned": _word("Planned", "circle-dashed", Tone.QUIET),
        "running": _word("Running", "play", Tone.BUSY),
        "begun": _word("Under way", "loader", Tone.BUSY),
        "paused": _word("Paused", "circle-pause", Tone.WAIT),
        "stopped": _word("Stopped", "circle-stop", Tone.BAD),
        "succeeded": _word("Succeeded", "circle-check", Tone.GOOD),
        "done": _word("Done", "circle-check", Tone.GOOD),
        "cancelled": _word("Cancelled", "ban", Tone.QUIET),
        "superseded": _word("Superseded", "skip-forward", Tone.QUIET),
        "reverting": _word("Reverting", "undo-2", Tone.BUSY),
        "reverted": _word("Reverted", "undo-2", Tone.WAIT),
        "late": _word("Late", "hourglass", Tone.WAIT),
        "skipped": _word("Left out", "skip-forward", Tone.QUIET),
        # Catalogue.
        "available": _word("Available", "circle-check", Tone.GOOD),
        "syncing": _word("Looking for packages", "refresh-cw", Tone.BUSY),
        "problem": _word("Has a problem", "triangle-alert", Tone.BAD),
        "gone": _word("No longer at its source", "unplug", Tone.WAIT),
        "imported": _word("Imported", "circle-check", Tone.GOOD),
        "bad": _word("Faulty", "circle-x", Tone.BAD),
        "changed": _word("Changed", "triangle-alert", Tone.WAIT),
        "ignored": _word("Left alone", "circle-minus", Tone.QUIET),
        "declined": _word("Removed here", "ban", Tone.QUIET),
        "ok": _word("Looked through", "circle-check", Tone.GOOD),
        "problems": _word("Has problems", "triangle-alert", Tone.WAIT),
        "interrupted": _word("Cut off", "circle-pause", Tone.WAIT),
        "fits": _word("Fits", "circle-check", Tone.GOOD),
        "does-not-fit": _word("Does not fit", "circle-x", Tone.BAD),
        # People and tokens.
        "active": _word("Active", "circle-check", Tone.GOOD),
        "disabled": _word("Disabled", "ban", Tone.QUIET),
        "revoked": _word("Revoked", "ban", Tone.QUIET),
        "admin": _word("Administrator", "shield", Tone.QUIET),
        "operator": _word("Operator", "wrench", Tone.QUIET),
        "viewer": _word("Viewer", "eye", Tone.QUIET),
        # Kinds of change.
        "create": _word("Install", "circle-plus", Tone.BUSY),
        "change": _word("Change", "pencil", Tone.BUSY),
        "remove": _word("Remove", "trash", Tone.BAD),
        "unchanged": _word("No change", "circle-minus", Tone.QUIET),
    }
)


def word(state: str) -> Word:
    """Return how `state` is shown."""
    known = WORDS.get(state)
    if known is not None:
        return known
    text = state.replace("-", " ").replace("_", " ")
    return Word(text=text[:1].upper() + text[1:], icon="circle-dot", tone=Tone.QUIET)
