"""The words for what a site lets happen on its devices, and when. Standard library only.

Both ends use them: the agent decides by them, and the server shows them (`site.py`).
"""

from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What would be done to a deployment."""

    INSTALL = "install"
    UPDATE = "update"
    REMOVE = "remove"


class Verdict(StrEnum):
    """What became of an approval that was asked for."""

    ASKED = "asked"
    APPROVED = "approved"
    POSTPONED = "postponed"
    REJECTED = "rejected"
    USED = "used"
    EXPIRED = "expired"
    VOID = "void"


STANDING: Final = frozenset({Verdict.ASKED, Verdict.APPROVED, Verdict.POSTPONED, Verdict.REJECTED})
"""Verdicts of an approval whose subject still waits: a person can decide otherwise."""
DECISIONS: Final = frozenset({Verdict.APPROVED, Verdict.POSTPONED, Verdict.REJECTED})
"""What a person can decide."""
HIDDEN: Final = "(hidden)"
"""What a summary has in place of a parameter's value that looks as if it were secret."""


class Reason(StrEnum):
    """Why something may not start yet."""

    POLICY = "policy"
    PAUSED = "paused"
    APPROVAL = "approval"
    POSTPONED = "postponed"
    REJECTED = "rejected"
    CLOCK = "clock"
    WINDOW = "window"
    TOO_LONG = "too-long"

    @property
    def code(self) -> str:
        """The error code of the status report."""
        return f"hold.{self}"
