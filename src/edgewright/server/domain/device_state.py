"""One word for a device: what its deployments are said to be, as long as there is reason to believe it.

Pure; the time is handed in, all times are unix seconds. What a device said last stops being how it stands
once it has been silent for too long, and also while it is silent as planned: then the word is about the
silence, and what was said last stands beside it (`DeviceState.said`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edgewright.server.domain.contact import Contact, ContactState
from edgewright.server.domain.truth import Truth


class Word(StrEnum):
    """How it stands with a device; first what most needs a person."""

    FAILED = "failed"
    SILENT = "silent"
    WAITING_FOR_APPROVAL = "waiting-for-approval"
    HELD = "held"
    BEHIND = "behind"
    TAKING_UP = "taking-up"
    EXPECTED = "expected"
    PLANNED_SILENCE = "planned-silence"
    NEVER = "never"
    EMPTY = "empty"
    CONVERGED = "converged"
    RETIRED = "retired"


# What a deployment's word means for its device. A deployment that was never reported is one its device has
# not taken up; one that is gone means nothing any more.
_OF_DEPLOYMENT: Final = {
    Truth.FAILED: Word.FAILED,
    Truth.WAITING_FOR_APPROVAL: Word.WAITING_FOR_APPROVAL,
    Truth.HELD: Word.HELD,
    Truth.WAITING: Word.BEHIND,
    Truth.BEHIND: Word.BEHIND,
    Truth.TAKING_UP: Word.TAKING_UP,
    Truth.REMOVING: Word.TAKING_UP,
    Truth.CONVERGED: Word.CONVERGED,
}
# What the contact says instead, unless the device is there to be believed.
_OF_CONTACT: Final = {
    Contact.SILENT: Word.SILENT,
    Contact.PLANNED_SILENCE: Word.PLANNED_SILENCE,
    Contact.EXPECTED: Word.EXPECTED,
    Contact.NEVER: Word.NEVER,
}
SEVERITY: Final = {word: place for place, word in enumerate(Word)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One deployment of a device: its word, since when it is so, and until when it is held, if known.

    `is_heard` is whether the device has heard of its removal, where it is to be removed.
    """

    truth: Truth
    is_heard: bool = True
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """The word, since and until when it holds (None: not known, or open), and what was said last.

    `said` is made of the last reports alone, and is None for a device that was never heard of or is retired.
    """

    word: Word
    since: float | None = None
    until: float | None = None
    said: Word | None = None


def device_state(contact: ContactState | None, said: DeviceState, *, retired: float | None) -> DeviceState:
    """Return how it stands with a device; `contact` is None for one that was `retired`, and then only.

    `said` is what `last_said` makes of its deployments.
    """
    if contact is None:
        return DeviceState(word=Word.RETIRED, since=retired)
    if contact.word is Contact.NEVER:
        return DeviceState(word=Word.NEVER)
    if contact.word is Contact.IN_CONTACT:
        return said
    return DeviceState(
        word=_OF_CONTACT[contact.word], since=contact.since, until=contact.until, said=said.word
    )


def last_said(parts: Sequence[Part]) -> DeviceState:
    """Return what the last reports amount to: the word that most needs a person, since the first that has it.

    A device that is to have nothing is empty. `until` is when the first of what is held may
    go on.
    """
    words = [(_word(part), part) for part in parts if part.truth is not Truth.REMOVED]
    if not words:
        return DeviceState(word=Word.EMPTY, said=Word.EMPTY)
    worst = min((word for word, _ in words), key=SEVERITY.__getitem__)
    having = [part for word, part in words if word is worst]
    known = [part.since for part in having if part.since is not None]
    ends = [part.until for part in having if part.until is not None]
    since = (max if worst is Word.CONVERGED else min)(known, default=None)
    return DeviceState(word=worst, since=since, until=min(ends, default=None), said=worst)


def _word(part: Part) -> Word:
    return _OF_DEPLOYMENT[part.truth] if part.is_heard else Word.BEHIND
