"""What stands in the files of the file drop: the questions we write, and the answers people do. Pure.

    007-shop.txt, 007-shop.json          what would change, and how to answer
    007.approve | .postpone | .reject    the answer: lines such as `by: Ada`

Names and lines are read as people and their machines write them: in capitals, with `.txt` behind, with line
ends of Windows.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from edgewright.agent.consent.approvals import Approval, Approvals
from edgewright.agent.consent.difference import Change, changes
from edgewright.agent.consent.hold import moment
from edgewright.agent.site.moments import parse_moment
from edgewright.protocol.consent import Verdict
from edgewright.protocol.errors import EdgewrightError

VIA: Final = "file"
_NAME = re.compile(r"0*([1-9][0-9]{0,8})\.(approve|postpone|reject)(\.txt)?", re.IGNORECASE)
_VERDICTS = {
    "approve": Verdict.APPROVED,
    "postpone": Verdict.POSTPONED,
    "reject": Verdict.REJECTED,
}
_MEMBERS = ("by", "reason", "until", "digest")
_SHORTEST_DIGEST = 12


class AnswerError(EdgewrightError):
    """An answer cannot be understood, or is about something else; nothing was decided."""

    code = "answer.refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer as it was written; `digest` is at least the beginning of one, `until` unix seconds."""

    number: int
    verdict: Verdict
    by: str
    reason: str
    digest: str
    until: float | None


def is_answer(name: str) -> bool:
    """Whether a file of this name answers something."""
    return _NAME.fullmatch(name) is not None


def parse_answer(name: str, data: bytes, *, now: float, zone: tzinfo) -> Answer:
    """Read an answer; times without a zone are meant in `zone`. Raises AnswerError."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise AnswerError(f"{name}: expected a name such as 7.approve, 7.postpone or 7.reject")
    members = _members(data)
    digest = members.get("digest", "").lower().removeprefix("sha256:")
    if len(digest) < _SHORTEST_DIGEST or not set(digest) <= set("0123456789abcdef"):
        raise AnswerError("the line 'digest: …' is missing; copy it from the question that is answered")
    if not members.get("by"):
        raise AnswerError("the line 'by: …' with the name of whoever decides is missing")
    return Answer(
        number=int(match[1]),
        verdict=_VERDICTS[match[2].lower()],
        by=members["by"],
        reason=members.get("reason", ""),
        digest=digest,
        until=_moment(members["until"], now, zone) if members.get("until") else None,
    )


def take(answer: Answer, approvals: Approvals, *, uid: int) -> Approval:
    """Decide as `answer` says; `uid` is the file's owner. Raises AnswerError, ApprovalError."""
    approval = approvals.get(answer.number)
    if not approval.digest.removeprefix("sha256:").startswith(answer.digest):
        raise AnswerError(f"approval {answer.number} is about {approval.digest}, the answer is not")
    return approvals.decide(
        answer.number,
        answer.verdict,
        by=answer.by,
        via=VIA,
        reason=answer.reason,
        until=answer.until,
        uid=uid,
        digest=approval.digest,
    )


def question_names(approval: Approval) -> tuple[str, str]:
    """Return the names of the text and of the JSON about `approval`."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", approval.name).strip("-")[:60] or "deployment"
    return f"{approval.number:03}-{plain}.txt", f"{approval.number:03}-{plain}.json"


def question_text(approval: Approval, device_id: str) -> str:
    """Return the question for people, with how to answer."""
    number = f"{approval.number:03}"
    lines = (
        "\n".join(f"    {_line(each)}" for each in changes(approval.summary))
        or "    nothing that is told here"
    )
    return f"""\
Approval {approval.number}: {approval.subject}
on device {device_id}; {_standing(approval)}

What would change:

{lines}

To answer, put one of these files into this directory:

    {number}.approve     it may begin
    {number}.postpone    ask again later
    {number}.reject      it may not begin

with these lines in it:

    by: your name
    reason: in a few words (may be left out, but for a rejection)
    until: 2026-12-01 06:00 (for a postponement)
    digest: {approval.digest}
"""


def _standing(approval: Approval) -> str:
    """Return how it stands: `asked 2026-11-26 18:00 UTC`, `postponed by Ada until …: reason`."""
    why = f": {approval.reason}" if approval.reason else ""
    match approval.verdict:
        case Verdict.ASKED:
            return f"asked {moment(approval.asked)}"
        case Verdict.POSTPONED if approval.until is not None:
            return f"postponed by {approval.by} until {moment(approval.until)}{why}"
        case Verdict.APPROVED if approval.expires is not None:
            return f"approved by {approval.by}, until {moment(approval.expires)}{why}"
    return f"{approval.verdict} by {approval.by}{why}"


def _line(change: Change) -> str:
    old, new = (each.replace("\n", ", ") for each in (change.old, change.new))
    return f"{change.what}: {old or 'nothing'} → {new or 'nothing'}"


def question_json(approval: Approval, device_id: str) -> str:
    """Return the question for programs."""
    plain = {
        "number": approval.number,
        "deviceId": device_id,
        "deploymentId": approval.deployment_id,
        "name": approval.name,
        "kind": approval.kind,
        "digest": approval.digest,
        "verdict": approval.verdict,
        "by": approval.by,
        "reason": approval.reason,
        "summary": approval.summary,
    }
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def _members(data: bytes) -> dict[str, str]:
    try:
        text = data.decode("utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except UnicodeDecodeError:
        raise AnswerError("it is no text in UTF-8") from None
    members: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        word = name.strip().lower()
        if not colon or word not in _MEMBERS:
            raise AnswerError(f"expected lines with {', '.join(f'{each}:' for each in _MEMBERS)}")
        if word in members:
            raise AnswerError(f"there are two lines with {word}:")
        members[word] = value.strip()
    return members


def _moment(text: str, now: float, zone: tzinfo) -> float:
    try:
        return parse_moment(text, datetime.fromtimestamp(now, zone)).timestamp()
    except ValueError as error:
        raise AnswerError(f"until: {error}") from None
